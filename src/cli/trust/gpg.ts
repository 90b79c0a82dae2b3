import { spawn } from 'node:child_process'
import { StaveError } from '#error.ts'
import type { Settings } from '../settings.ts'

/** Runs gpg with the caller's keys. @throws StaveError where it fails */
export function gpg(args: readonly string[], input: Uint8Array | undefined, settings: Settings): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const { PATH, GNUPGHOME } = settings.env
    const env = { PATH, HOME: settings.home, LC_ALL: 'C', ...(GNUPGHOME && { GNUPGHOME }) }
    const child = spawn('gpg', ['--batch', '--no-tty', ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    let err = ''
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => (err = (err + chunk.toString()).slice(-4096)))
    child.once('error', (cause) =>
      reject(new StaveError('not-found', 'cannot start gpg', { cause, hint: 'Install it: apt-get install gpg' })),
    )
    child.once('close', (code) => {
      if (code === 0) resolve(Buffer.concat(out))
      else reject(new StaveError('credentials', `gpg ${args[0]?.replace(/^--/, '')} failed`, { cause: new Error(err.trim()) }))
    })
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}
