import type { Context } from '#context.ts'
import type { IgnorePattern, Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { Session } from '../session.ts'
import type { Directory } from '../state.ts'
import type { GitOp, Step } from '../step.ts'
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join, posix } from 'node:path'
import { StaveError } from '#error.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import { lock } from '../lock.ts'
import { parseGitUrl } from '../source-url.ts'

export interface Checkout {
  readonly root: Place
  /** Leaves git's own files out, those of submodules too. */
  readonly ignore: readonly IgnorePattern[]
  readonly commit: string
  /** Of the commit, in seconds since 1970. */
  readonly time: number
  readonly dispose: () => Promise<void>
}

export interface CheckoutOptions {
  readonly keepGitDir?: boolean
  /** A commit, or the beginning of one: anything else is an error. */
  readonly checksum?: string
  /** Value of an Authorization header for the remote. */
  readonly authorization?: string
  /** The socket of an SSH agent. */
  readonly agent?: string
}

/**
 * What a repository must not be able to do: run programs (hooks, filters, transports with commands), read other files of
 * this machine (file: URLs, alternates), or ask a person.
 */
const hardened: readonly string[] = [
  '-c',
  'core.hooksPath=/dev/null',
  '-c',
  'core.fsmonitor=false',
  '-c',
  'core.symlinks=true',
  '-c',
  'core.autocrlf=false',
  '-c',
  'protocol.allow=never',
  '-c',
  'protocol.https.allow=always',
  '-c',
  'protocol.http.allow=always',
  '-c',
  'protocol.ssh.allow=always',
  '-c',
  'protocol.git.allow=always',
  '-c',
  'http.followRedirects=initial',
  '-c',
  'credential.helper=',
  '-c',
  'gc.auto=0',
  '-c',
  'advice.detachedHead=false',
]

/** Fetches one commit of a repository and puts its files into a directory of the store. */
export async function checkout(cx: Context, store: Store, url: string, options: CheckoutOptions = {}): Promise<Checkout> {
  const source = parseGitUrl(url)
  const checksum = options.checksum ?? source.checksum
  const keep = options.keepGitDir ?? source.keepGitDir ?? false
  const name = `cache/git/${digestHex(digestOf(source.remote))}`
  const repository = join(store.root, name)
  mkdirSync(join(store.root, 'cache/git'), { recursive: true })
  const git = (args: readonly string[], cwd?: string): Promise<string> =>
    runGit(cx, args, source.remote, { ...options, ...(cwd === undefined ? {} : { cwd }) })

  using _held = await lock(cx, store, `${name}.lock`)
  await git(['init', '--quiet', '--bare', '--initial-branch=stave', repository])
  const commit = await fetchCommit(git, repository, source.remote, source.ref, checksum)
  if (checksum !== undefined && (checksum.length < 7 || !commit.startsWith(checksum.toLowerCase()))) {
    throw new StaveError('digest-mismatch', `cannot use ${url}: its commit is ${commit}, not ${checksum}`)
  }
  const time = Number((await git(['--git-dir', repository, 'show', '-s', '--format=%ct', commit])).trim())

  const snapshot = await store.snapshots.create()
  const dispose = (): Promise<void> => store.snapshots.discard(snapshot.id)
  try {
    const directory = `${snapshot.place.path as string}/tree`
    const path = join(store.root, directory)
    mkdirSync(path)
    const hasSubmodules =
      source.submodules && (await git(['--git-dir', repository, 'ls-tree', '--name-only', commit, '.gitmodules'])).trim() !== ''
    if (keep || hasSubmodules) {
      // A repository of its own, whose remote is the one that was named and not this cache.
      await git(['init', '--quiet', '--initial-branch=stave', path])
      await git([
        '--git-dir',
        join(path, '.git'),
        '-c',
        'protocol.file.allow=always',
        'fetch',
        '--quiet',
        '--depth=1',
        '--no-tags',
        repository,
        commit,
      ])
      await git(['remote', 'add', 'origin', source.remote], path)
      await git(['checkout', '--quiet', '--force', '--detach', commit], path)
      if (hasSubmodules) {
        await git(['submodule', 'update', '--init', '--recursive', '--depth=1', '--quiet'], path)
      }
    } else {
      await git(['--git-dir', repository, '--work-tree', path, 'read-tree', '--reset', '-u', commit])
    }
    const subdir = source.subdir === undefined ? '' : posix.join('/', source.subdir)
    const ignore = keep ? [] : [{ pattern: '**/.git', negated: false, line: 0 }]
    return { ignore, root: { fd: store.directory, path: subdir === '/' ? directory : `${directory}${subdir}` }, commit, time, dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** The remote's branch, tag, ref, or commit: named refs by themselves, a commit directly where the server gives it, else through all refs. */
async function fetchCommit(
  git: (args: readonly string[]) => Promise<string>,
  repository: string,
  remote: string,
  ref: string | undefined,
  checksum: string | undefined,
): Promise<string> {
  const inRepository = ['--git-dir', repository]
  const resolve = async (name: string): Promise<string> =>
    (await git([...inRepository, 'rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`])).trim()
  const wanted = ref ?? (checksum !== undefined && /^[0-9a-f]{40,64}$/i.test(checksum) ? checksum : 'HEAD')
  if (/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/i.test(wanted)) {
    try {
      return await resolve(wanted)
    } catch {
      // Not fetched yet.
    }
    try {
      await git([...inRepository, 'fetch', '--quiet', '--depth=1', '--no-tags', '--force', '--', remote, wanted])
    } catch {
      await git([...inRepository, 'fetch', '--quiet', '--tags', '--force', '--', remote, '+refs/*:refs/stave/*'])
    }
    return resolve(wanted)
  }
  await git([...inRepository, 'fetch', '--quiet', '--depth=1', '--no-tags', '--force', '--', remote, wanted])
  return resolve('FETCH_HEAD')
}

async function runGit(
  cx: Context,
  args: readonly string[],
  remote: string,
  options: CheckoutOptions & { readonly cwd?: string },
): Promise<string> {
  const env: Record<string, string> = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: 'true',
    GIT_LFS_SKIP_SMUDGE: '1',
    GIT_SSH_COMMAND: 'ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new',
    HOME: '/nonexistent',
    LC_ALL: 'C',
    ...(options.agent === undefined ? {} : { SSH_AUTH_SOCK: options.agent }),
    // In the environment, since arguments can be read by others.
    ...(options.authorization === undefined
      ? {}
      : {
          GIT_CONFIG_COUNT: '1',
          GIT_CONFIG_KEY_0: `http.${new URL(remote).origin}/.extraHeader`,
          GIT_CONFIG_VALUE_0: `Authorization: ${options.authorization}`,
        }),
  }
  return new Promise((resolve, reject) => {
    const child = spawn('git', [...hardened, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: cx.signal,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-4096)))
    child.once('error', (error) => {
      if (cx.signal.aborted) {
        reject(new StaveError('cancelled', 'git was cancelled', { cause: error }))
      } else {
        const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
        reject(new StaveError('io', 'cannot start git', { cause: error, ...(missing ? { hint: 'Install it: apt-get install git' } : {}) }))
      }
    })
    child.once('close', (code) => {
      if (code === 0) {
        resolve(stdout)
      } else {
        reject(
          new StaveError(
            'network',
            `cannot get ${remote}: git ${args.find((arg) => !arg.startsWith('-') && !arg.includes('/') && !arg.includes('=')) ?? ''} failed`,
            { cause: new Error(stderr.trim() || `exit code ${code}`) },
          ),
        )
      }
    })
  })
}

/** ADD of a repository, or a context that is one. */
export async function gitDirectory(cx: Context, session: Session, step: Step, op: GitOp): Promise<Directory> {
  const agent = session.options.ssh?.find(({ id }) => id === 'default')?.socket
  const authorization = authorizationFor(session, op.url)
  try {
    const tree = await checkout(cx, session.store, op.url, {
      ...(op.keepGitDir === undefined ? {} : { keepGitDir: op.keepGitDir }),
      ...(op.checksum === undefined ? {} : { checksum: op.checksum }),
      ...(agent === undefined ? {} : { agent }),
      ...(authorization === undefined ? {} : { authorization }),
    })
    session.disposals.push(tree.dispose)
    return { kind: 'directory', root: tree.root, ignore: tree.ignore, ignoreFile: undefined, title: op.url }
  } catch (error) {
    if (error instanceof StaveError && error.span === undefined && step.span !== undefined && error.code !== 'cancelled') {
      throw new StaveError(error.code, error.message, {
        cause: error.cause,
        span: step.span,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      })
    }
    throw error
  }
}

/** The secrets GIT_AUTH_TOKEN and GIT_AUTH_HEADER, also with `.<host>`, as BuildKit names them. */
function authorizationFor(session: Session, url: string): string | undefined {
  if (!/^https?:/i.test(url)) {
    return undefined
  }
  const { host } = new URL(url)
  const secret = (id: string): string | undefined => {
    const value = session.secrets.get(`${id}.${host}`, false, undefined) ?? session.secrets.get(id, false, undefined)
    return value === undefined ? undefined : Buffer.from(value).toString().trim()
  }
  const token = secret('GIT_AUTH_TOKEN')
  return (
    secret('GIT_AUTH_HEADER') ?? (token === undefined ? undefined : `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`)
  )
}
