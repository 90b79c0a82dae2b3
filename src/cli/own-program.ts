import { resolve } from 'node:path'
import type { OwnProgram } from '#container/supervise.ts'
import type { Settings } from './settings.ts'

/** How the native half calls this very program again, on the same store and in the same environment. */
export function ownProgram(settings: Settings): OwnProgram {
  const [, main = ''] = process.argv
  return {
    words: [process.execPath, ...process.execArgv, main, '--root', resolve(settings.cwd, settings.root)],
    env: Object.entries(settings.env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  }
}
