import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// Beside the code and not in /tmp, where another user could plant code.
enableCompileCache(join(import.meta.dirname, '.compile-cache'))

const { main } = await import('./cli/main.ts')
process.exit(await main(process.argv.slice(2), process.env))
