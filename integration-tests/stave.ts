import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { StorageDriver } from '#store/snapshots.ts'

const checkout = join(import.meta.dirname, '..')
export const binary = join(checkout, 'bin/stave')
/** How layers are to be kept in these tests: see vitest.config.ts. Absent: as ever. */
export const testedDriver = process.env['STAVE_STORAGE_DRIVER'] as StorageDriver | undefined

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A directory for one test file, with a store, removed at its end. */
export interface Workshop extends Disposable {
  readonly directory: string
  readonly store: string
  path(...parts: string[]): string
  /** Runs stave on the store, to its end. */
  stave(args: readonly string[], options?: RunOptions): Outcome
  /** The same, and fails unless it exits with 0. @returns stdout, trimmed */
  must(args: readonly string[], options?: RunOptions): string
  /** As {@link Workshop.stave}, for what talks to a server of this process, which goes on meanwhile. */
  run(args: readonly string[], options?: RunOptions): Promise<Outcome>
  /** Starts stave and does not wait. */
  start(args: readonly string[], options?: RunOptions): ChildProcess
  /** What `stave doctor --verify` finds wrong with a store, other than temporary files, which the next command sweeps. */
  damage(store?: string): readonly string[]
}

export interface RunOptions {
  readonly input?: string | Buffer
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly store?: string
  /** Descriptors that are left open for stave, as 3 and on. */
  readonly descriptors?: readonly number[]
}

/** Whom stave is run as. */
export interface User {
  readonly uid: number
  readonly gid: number
}

/** An ordinary user with subordinate ids: the caller, or one that root makes for this. @returns or why there is none */
export function ordinaryUser(): User | string {
  const ids = (...of: string[]) => {
    const { status, stdout } = spawnSync('id', of, { encoding: 'utf8' })
    return status === 0 ? Number(stdout) : undefined
  }
  const isRoot = process.getuid?.() === 0
  const name = isRoot ? 'tester' : spawnSync('id', ['-un'], { encoding: 'utf8' }).stdout.trim()
  if (isRoot && ids('-u', name) === undefined && spawnSync('useradd', ['--create-home', '--shell', '/bin/sh', name]).status !== 0)
    return 'useradd does not work'
  if (spawnSync('sh', ['-c', 'command -v newuidmap']).status !== 0) return 'newuidmap is missing'
  for (const kind of ['uid', 'gid']) {
    const has = () => readFileSync(`/etc/sub${kind}`, 'utf8').includes(`${name}:`)
    // Some systems give a new user no ids.
    if (isRoot && !has()) spawnSync('usermod', [`--add-sub${kind}s`, '100000-165535', name])
    if (!has()) return `${name} has no ids in /etc/sub${kind}`
  }
  const user = { uid: ids('-u', name)!, gid: ids('-g', name)! }
  if (isRoot && spawnSync(process.execPath, ['-e', '0'], { ...user, cwd: '/' }).status !== 0)
    return `${name} may not run ${process.execPath}`
  return user
}

/** @param user Whom stave is run as, where this is root. */
export function workshop(name: string, user?: User): Workshop {
  const directory = mkdtempSync(join(tmpdir(), `stave-${name}-`))
  if (user) chownSync(directory, user.uid, user.gid)
  const store = join(directory, 'store')
  const environment = (options: RunOptions) =>
    ({
      PATH: process.env['PATH'],
      HOME: directory,
      STAVE_ROOT: options.store ?? store,
      ...(testedDriver !== undefined && { STAVE_STORAGE_DRIVER: testedDriver }),
      ...options.env,
    }) as NodeJS.ProcessEnv
  const shop: Workshop = {
    directory,
    store,
    path: (...parts) => join(directory, ...parts),
    stave(args, options = {}) {
      const { status, stdout, stderr } = spawnSync(binary, args, {
        env: environment(options),
        cwd: options.cwd ?? directory,
        encoding: 'utf8',
        input: options.input ?? '',
        stdio: ['pipe', 'pipe', 'pipe', ...(options.descriptors ?? [])],
        maxBuffer: 1 << 28,
        ...user,
      })
      return { status, stdout, stderr }
    },
    must(args, options) {
      const { status, stdout, stderr } = shop.stave(args, options)
      if (status !== 0) throw new Error(`stave ${args.join(' ')} exited with ${status}:\n${stderr}`)
      return stdout.trim()
    },
    run: (args, options = {}) =>
      new Promise((resolve) => {
        const child = execFile(
          binary,
          args,
          { env: environment(options), cwd: options.cwd ?? directory, maxBuffer: 1 << 28, ...user },
          (_error, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
        )
        child.stdin!.end(options.input ?? '')
      }),
    start: (args, options = {}) =>
      spawn(binary, args, { env: environment(options), cwd: options.cwd ?? directory, stdio: ['ignore', 'pipe', 'pipe'], ...user }),
    damage(inStore = store) {
      const { stdout, stderr } = shop.stave(['doctor', '--verify', '--json'], { store: inStore })
      if (stdout === '') throw new Error(`stave doctor says nothing:\n${stderr}`)
      const { problems } = JSON.parse(stdout) as { problems: readonly { kind: string; message: string }[] }
      return problems.filter(({ kind }) => kind !== 'leftover').map(({ kind, message }) => `${kind}: ${message}`)
    },
    [Symbol.dispose]() {
      shop.stave(['rm', '--all', '--force'])
      rmSync(directory, { recursive: true, force: true })
    },
  }
  return shop
}

/** Looks until it is so, for ten seconds and as long as looking takes: some machines are slow. */
export async function until(isSo: () => boolean, what = String(isSo)): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (isSo()) return
    await delay(25)
  }
  throw new Error(`it did not come to be within 10 seconds: ${what}`)
}

/** A tar of a root with static busybox and nothing else, made once for each process. */
export function busyboxTar(): string {
  const tar = join(checkout, '.setup/busybox.tar')
  if (existsSync(tar)) return tar
  const root = mkdtempSync(join(tmpdir(), 'stave-busybox-'))
  for (const directory of ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp']) mkdirSync(join(root, directory))
  const found = spawnSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).stdout.trim()
  if (found === '') throw new Error('busybox is missing; run: sh scripts/setup.sh --peers')
  cpSync(found, join(root, 'bin/busybox'), { dereference: true })
  const applets = spawnSync('busybox', ['--list'], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((applet) => applet !== '' && applet !== 'busybox')
  for (const applet of applets) symlinkSync('busybox', join(root, 'bin', applet))
  const partial = `${tar}.${process.pid}`
  const packed = spawnSync('sh', [
    '-c',
    `chmod 755 ${root} && chmod 1777 ${root}/tmp && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf ${partial} -C ${root} . && mv ${partial} ${tar}`,
  ])
  rmSync(root, { recursive: true, force: true })
  if (packed.status !== 0) throw new Error('cannot make the busybox root')
  return tar
}

/** A Debian bookworm root, made once with mmdebstrap. */
export function debianTar(): string {
  const tar = join(checkout, '.setup/debian.tar')
  const made = spawnSync('sh', [join(checkout, 'scripts/debian-root.sh'), tar], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`cannot make the Debian root:\n${made.stderr}`)
  return tar
}

/** The embedded registry, on a free port, until it is killed. @returns its `host:port` */
export async function embeddedRegistry(shop: Workshop): Promise<{ readonly host: string; readonly process: ChildProcess }> {
  const process = shop.start(['serve', '--port', '0', '--directory', shop.path('registry'), '--quiet'])
  for await (const chunk of process.stdout!) return { host: String(chunk).trim().replace('http://', ''), process }
  throw new Error('the embedded registry did not start')
}
