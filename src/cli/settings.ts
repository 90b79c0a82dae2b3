import { homedir } from 'node:os'
import { join } from 'node:path'
import { StaveError } from '#error.ts'
import type { StorageDriver } from '#store/snapshots.ts'

/** What is meant, put together from flags and environment: the one reader of `process.env`. */
export interface Settings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly uid: number
  readonly home: string
  /** The store's directory. */
  readonly root: string
  /** How layers are kept: see `StorageDriver`. */
  readonly storageDriver: StorageDriver
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
    readonly storageDriver?: string | undefined
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
    storageDriver: driverOf(typed.storageDriver, env),
    runner: env.STAVE_RUNNER || undefined,
    debug: typed.debug ?? Boolean(env.STAVE_DEBUG),
    isCi: isSet(env.CI),
  }
}

/** What `--storage-driver` takes: ours, and podman's and docker's, all of which keep layers unpacked. */
export const storageDrivers: readonly string[] = ['auto', 'dir', 'erofs', 'overlay', 'overlay2', 'vfs', 'fuse-overlayfs', 'btrfs', 'zfs']

function driverOf(typed: string | undefined, env: NodeJS.ProcessEnv): StorageDriver {
  const said = typed ?? (env.STAVE_STORAGE_DRIVER || env.STORAGE_DRIVER || 'dir')
  if (said === 'auto' || said === 'erofs') return said
  // Of the environment, which is not only ours: what we do not know keeps layers unpacked too.
  if (typed !== undefined || env.STAVE_STORAGE_DRIVER === undefined || storageDrivers.includes(said)) return 'dir'
  throw new StaveError('usage', `$STAVE_STORAGE_DRIVER cannot be ${JSON.stringify(said)}`, {
    hint: `It is one of ${storageDrivers.join(', ')}.`,
  })
}

function defaultRoot(uid: number, home: string, env: NodeJS.ProcessEnv): string {
  if (uid === 0) return '/var/lib/stave'
  return join(env.XDG_DATA_HOME || join(home, '.local/share'), 'stave')
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value !== 'false'
}
