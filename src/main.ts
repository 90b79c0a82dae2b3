// Imports nothing: what it would import would be compiled before there is a cache.
// Beside the code and not in /tmp, where another user could plant code.
process.getBuiltinModule('node:module').enableCompileCache(`${import.meta.dirname}/.compile-cache`)

const { main } = await import('./cli/main.ts')
process.exit(await main(process.argv.slice(2), process.env))
