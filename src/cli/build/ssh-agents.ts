import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { lstatSync, mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SshSource } from '#builder/options.ts'
import { StaveError } from '#error.ts'
import type { Settings } from '../settings.ts'

/** The agents of a build: those of the caller, and such as hold key files for the time of it. */
export interface SshAgents extends AsyncDisposable {
  readonly sources: readonly SshSource[]
}

/**
 * `--ssh default|ID[=SOCKET|KEY[,KEY…]]`. A key file itself is never given to a step: an agent of its own signs with it.
 *
 * @throws StaveError `usage`, `not-found`
 */
export async function openSshAgents(words: readonly string[], settings: Settings): Promise<SshAgents> {
  await using opened = new AsyncDisposableStack()
  const sources: SshSource[] = []
  for (const text of words) {
    const [id = 'default', list] = text.split(/=(.*)/s)
    const paths = (list ?? settings.env['SSH_AUTH_SOCK'] ?? '').split(',').filter((path) => path !== '')
    if (paths.length === 0) {
      throw new StaveError('usage', `--ssh ${text}: no socket is named and SSH_AUTH_SOCK is not set`, {
        hint: 'Start ssh-agent, or write --ssh ID=SOCKET or --ssh ID=KEYFILE.',
      })
    }
    const files = paths.map((path) => resolve(settings.cwd, path.replace(/^~(?=\/)/, settings.home)))
    const sockets = files.filter((file) => kindOf(file, text) === 'socket')
    if (sockets.length > 0 && files.length > 1) throw new StaveError('usage', `--ssh ${text}: it is one socket, or keys`)
    sources.push({ id, socket: sockets[0] ?? (await agentWith(files, settings, opened)) })
  }
  const kept = opened.move()
  return { sources, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

function kindOf(file: string, text: string): 'socket' | 'key' {
  let found
  try {
    found = statSync(file)
  } catch (cause) {
    throw new StaveError('not-found', `--ssh ${text}: cannot use ${file}`, { cause })
  }
  if (found.isSocket()) return 'socket'
  if (found.isFile()) return 'key'
  throw new StaveError('usage', `--ssh ${text}: ${file} is neither the socket of an agent nor a key`)
}

async function agentWith(keys: readonly string[], settings: Settings, opened: AsyncDisposableStack): Promise<string> {
  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'stave-ssh-'))
  opened.defer(() => rmSync(directory, { recursive: true, force: true }))
  const socket = join(directory, 'agent')
  const env = { PATH: settings.env['PATH'], HOME: settings.home, SSH_AUTH_SOCK: socket }
  const agent = spawn('ssh-agent', ['-D', '-a', socket], { env, stdio: 'ignore' })
  opened.defer(() => void agent.kill())
  await listening(agent, socket)
  for (const key of keys) {
    // Without a terminal and without DISPLAY it does not ask for a passphrase, it fails.
    const { status, stderr } = spawnSync('ssh-add', ['-q', key], {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 10_000,
    })
    if (status === 0) continue
    throw new StaveError('usage', `cannot use the SSH key ${key}`, {
      cause: new Error(stderr.trim() || 'ssh-add failed'),
      hint: 'A key with a passphrase is added to an agent of your own with ssh-add; then write --ssh default.',
    })
  }
  return socket
}

async function listening(agent: ChildProcess, socket: string): Promise<void> {
  let failure: unknown
  agent.once('error', (error) => (failure = error))
  agent.once('exit', () => (failure ??= new Error('ssh-agent ended at once')))
  for (let attempt = 0; attempt < 500 && failure === undefined; attempt++) {
    if (lstatSync(socket, { throwIfNoEntry: false })?.isSocket() === true) return
    await delay(10)
  }
  throw new StaveError('not-found', 'cannot start ssh-agent for a key', {
    cause: failure ?? new Error('it does not listen'),
    hint: 'Install it: apt-get install openssh-client. Or name the socket of an agent.',
  })
}
