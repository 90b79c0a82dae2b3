import { clean } from '../clean.ts'
import { spawn } from 'node:child_process'
import { abortedError, type Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { type Credential, identityTokenUser } from './credential.ts'

const timeoutMs = 30_000

/**
 * Asks `docker-credential-<helper> get`. Undefined when it knows no such server.
 *
 * @throws StaveError `credentials` when the program is missing, fails, hangs or talks nonsense
 */
export async function askHelper(
  cx: Context,
  helper: string,
  server: string,
  environment: Readonly<Record<string, string>>,
): Promise<Credential | undefined> {
  const { status, stdout, stderr } = await run(cx, helper, 'get', server, environment)
  if (status !== 0) {
    if (/credentials not found|no credentials|not found in native keychain/i.test(stdout + stderr)) return undefined
    throw problem(helper, `it exited with status ${status}: ${clean((stdout || stderr).trim())}`)
  }
  const answer = decode(stdout)
  if (answer === undefined) throw problem(helper, 'its answer is not the JSON of a credential')
  const { username, secret } = answer
  // Helpers that were told to forget answer with empty fields.
  if (username === '' && secret === '') return undefined
  const from = `docker-credential-${helper}`
  return username === identityTokenUser
    ? { kind: 'identity-token', username, token: secret, from }
    : { kind: 'password', username, password: secret, from }
}

/** Has `docker-credential-<helper> store` keep a secret. @throws StaveError `credentials` */
export async function storeWithHelper(
  cx: Context,
  helper: string,
  entry: { readonly server: string; readonly username: string; readonly secret: string },
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: entry.server, Username: entry.username, Secret: entry.secret })
  const { status, stdout, stderr } = await run(cx, helper, 'store', input, environment)
  if (status !== 0) throw problem(helper, `it exited with status ${status}: ${clean((stdout || stderr).trim())}`)
}

/** Has `docker-credential-<helper> erase` forget a server. False when it knew none. */
export async function eraseWithHelper(
  cx: Context,
  helper: string,
  server: string,
  environment: Readonly<Record<string, string>>,
): Promise<boolean> {
  const { status, stdout, stderr } = await run(cx, helper, 'erase', server, environment)
  if (status === 0) return true
  if (/not found/i.test(stdout + stderr)) return false
  throw problem(helper, `it exited with status ${status}: ${clean((stdout || stderr).trim())}`)
}

interface Outcome {
  readonly status: number | string
  readonly stdout: string
  readonly stderr: string
}

function run(
  cx: Context,
  helper: string,
  verb: 'get' | 'store' | 'erase',
  input: string,
  environment: Readonly<Record<string, string>>,
): Promise<Outcome> {
  // The name comes from a file and becomes part of a program's name: it must not lead elsewhere.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(helper)) throw problem(helper, 'its name holds characters that no program name has')
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.any([cx.signal, AbortSignal.timeout(timeoutMs)])
    const child = spawn(`docker-credential-${helper}`, [verb], {
      env: { ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    })
    const collected = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
    let size = 0
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > limit.helperBytes) child.kill('SIGKILL')
        else collected[name].push(chunk)
      })
    }
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (cx.signal.aborted) reject(abortedError(cx.signal))
      else if (signal.aborted) reject(problem(helper, `it did not answer within ${timeoutMs / 1000} seconds`))
      else if (error.code === 'ENOENT') reject(missing(helper, error))
      else reject(problem(helper, error.message, error))
    })
    child.on('close', (code, killedBy) => {
      resolve({
        status: code ?? killedBy ?? 'unknown',
        stdout: Buffer.concat(collected.stdout).toString('utf8'),
        stderr: Buffer.concat(collected.stderr).toString('utf8'),
      })
    })
    // A helper that does not read its input has its own reasons; its exit status tells.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

function decode(text: string): { username: string; secret: string } | undefined {
  try {
    const { Username: username, Secret: secret } = JSON.parse(text) as Record<string, unknown>
    return typeof username === 'string' && typeof secret === 'string' ? { username, secret } : undefined
  } catch {
    return undefined
  }
}

function problem(helper: string, why: string, cause?: unknown): StaveError {
  return new StaveError('credentials', `cannot ask docker-credential-${clean(helper)} for credentials: ${why}`, {
    ...(cause !== undefined && { cause }),
    hint: `Run \`docker-credential-${clean(helper)} list\` to see whether it works, or remove it from the credential file.`,
  })
}

function missing(helper: string, cause: unknown): StaveError {
  return new StaveError('credentials', `cannot run docker-credential-${helper}: there is no such program`, {
    cause,
    hint: 'Install it, or remove its name (credsStore, credHelpers) from the credential file.',
  })
}
