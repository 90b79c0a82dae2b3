import type { Context } from '#context.ts'
import { spawn } from 'node:child_process'
import { StaveError } from '#error.ts'
import { redactUrl } from '#text/url.ts'

/** What git may use besides the repository. */
export interface GitMeans {
  /** Value of an Authorization header, for the origin of the remote alone. */
  readonly authorization?: string | undefined
  /** The socket of an SSH agent. Without one, ssh has no identity at all. */
  readonly agent?: string | undefined
  /** The file in which keys of SSH hosts are remembered that were met for the first time. */
  readonly knownHosts: string
  readonly proxy?: Readonly<Record<string, string>> | undefined
  /** Authorities to trust in place of the system's, in PEM. */
  readonly authorities?: string | undefined
}

/** Runs git, and returns what it wrote to stdout. */
export type Git = (args: readonly string[], cwd?: string) => Promise<string>

/**
 * What a repository must not be able to do: run programs (hooks, filters, transports with commands), read other files of
 * this machine (file: URLs, alternates), or ask a person.
 */
const hardened: readonly (readonly [string, string])[] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.symlinks', 'true'],
  ['core.autocrlf', 'false'],
  ['protocol.allow', 'never'],
  ['protocol.https.allow', 'always'],
  ['protocol.http.allow', 'always'],
  ['protocol.ssh.allow', 'always'],
  ['protocol.git.allow', 'always'],
  ['credential.helper', ''],
  ['gc.auto', '0'],
  ['advice.detachedHead', 'false'],
]

/**
 * Git for one remote, whose redirects were followed before: git itself would take an Authorization header along to
 * wherever it is sent. Submodules of other origins may redirect, where there is no header to lose.
 */
export function gitFor(cx: Context, remote: string, means: GitMeans): Git {
  const env = environment(remote, means)
  const settings = [...hardened, ['http.followRedirects', means.authorization === undefined ? 'initial' : 'false'] as const]
  if (means.authorities !== undefined) settings.push(['http.sslCAInfo', means.authorities])
  const words = settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return (args, cwd) => run(cx, [...words, ...args], remote, env, cwd)
}

function environment(remote: string, means: GitMeans): Record<string, string> {
  // `none` keeps ssh from the keys in the home of whoever builds; those of an agent that was given are used.
  const ssh = [
    'ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o StrictHostKeyChecking=accept-new',
    `-o ${quoted(`UserKnownHostsFile="${means.knownHosts}" ~/.ssh/known_hosts`)}`,
    ...(means.agent === undefined ? ['-o IdentityAgent=none'] : []),
  ].join(' ')
  return {
    ...proxies(means.proxy),
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: 'true',
    GIT_LFS_SKIP_SMUDGE: '1',
    GIT_SSH_COMMAND: ssh,
    HOME: '/nonexistent',
    LC_ALL: 'C',
    ...(means.agent !== undefined && { SSH_AUTH_SOCK: means.agent }),
    // In the environment, since arguments can be read by others.
    ...(means.authorization === undefined
      ? {}
      : {
          GIT_CONFIG_COUNT: '1',
          GIT_CONFIG_KEY_0: `http.${new URL(remote).origin}/.extraHeader`,
          GIT_CONFIG_VALUE_0: `Authorization: ${means.authorization}`,
        }),
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** curl reads http_proxy in lower case only. */
function proxies(given: Readonly<Record<string, string>> = {}): Record<string, string> {
  const known = new Set(['http_proxy', 'https_proxy', 'no_proxy', 'all_proxy'])
  return Object.fromEntries(
    Object.entries(given)
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name]) => known.has(name)),
  )
}

function run(cx: Context, args: readonly string[], remote: string, env: Record<string, string>, cwd: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('git', args, { env, stdio: ['ignore', 'pipe', 'pipe'], signal: cx.signal, ...(cwd !== undefined && { cwd }) })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-4096)))
    child.once('error', (error) => {
      if (cx.signal.aborted) reject(new StaveError('cancelled', 'git was cancelled', { cause: error }))
      else {
        const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
        reject(new StaveError('io', 'cannot start git', { cause: error, ...(missing ? { hint: 'Install it: apt-get install git' } : {}) }))
      }
    })
    child.once('close', (code) => {
      if (code === 0) resolve(stdout)
      else reject(failure(args, remote, redactUrl(stderr.trim()) || `exit code ${code}`))
    })
  })
}

function failure(args: readonly string[], remote: string, why: string): StaveError {
  const verb = args.find((arg, at) => args[at - 1] !== '-c' && !arg.startsWith('-') && !arg.includes('/') && !arg.includes('=')) ?? ''
  const denied = /Authentication failed|could not read Username|Permission denied|HTTP 40[13]|error: 40[13]/i.test(why)
  const hint = denied
    ? remote.startsWith('http')
      ? 'Give a token: --secret id=GIT_AUTH_TOKEN.HOST,env=VARIABLE.'
      : 'Give an SSH agent or a key: --ssh default, or --ssh default=KEYFILE.'
    : undefined
  return new StaveError('network', `cannot get ${redactUrl(remote)}: git ${verb} failed`, {
    cause: new Error(why),
    ...(hint !== undefined && { hint }),
  })
}
