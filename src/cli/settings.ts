import { homedir } from 'node:os'
import { join } from 'node:path'

/** What is meant, put together from flags and environment: the one reader of `process.env`. */
export interface Settings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly uid: number
  readonly home: string
  /** The store's directory. */
  readonly root: string
  /** For archives that cannot be read in place; else it is below {@link root}. */
  readonly temporary: string | undefined
  /** The native program, where it was named. */
  readonly runner: string | undefined
  readonly debug: boolean
  readonly isCi: boolean
}

/** Reads the environment. `root` and `debug` are what was typed. */
export function readSettings(
  env: NodeJS.ProcessEnv,
  typed: {
    readonly root?: string | undefined
    readonly debug?: boolean | undefined
    readonly registriesConf?: string | undefined
    readonly temporary?: string | undefined
  },
): Settings {
  const uid = process.getuid?.() ?? 0
  const home = env.HOME || homedir()
  return {
    env: typed.registriesConf === undefined ? env : { ...env, CONTAINERS_REGISTRIES_CONF: typed.registriesConf },
    cwd: process.cwd(),
    uid,
    home,
    root: typed.root ?? (env.STAVE_ROOT || defaultRoot(uid, home, env)),
    temporary: typed.temporary,
    runner: env.STAVE_RUNNER || undefined,
    debug: typed.debug ?? Boolean(env.STAVE_DEBUG),
    isCi: isSet(env.CI),
  }
}

function defaultRoot(uid: number, home: string, env: NodeJS.ProcessEnv): string {
  if (uid === 0) return '/var/lib/stave'
  return join(env.XDG_DATA_HOME || join(home, '.local/share'), 'stave')
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value !== 'false'
}
