import { spawn } from 'node:child_process'
import type { Case } from '../case.ts'
import type { Built } from '../image.ts'

/** Another builder. */
export interface Peer extends AsyncDisposable {
  /** Builds a case; its context and Dockerfile lie in `directory`. The text of the error, if it cannot be built. */
  build(one: Case, directory: string): Promise<{ readonly built: Built } | { readonly failed: string }>
}

export type PeerName = 'buildah' | 'buildkit'

/** Starts a peer, or says why it cannot be here. `bases` are archives of `docker save`, by name. */
export type OpenPeer = (work: string, bases: ReadonlyMap<string, string>) => Promise<Peer | string>

/** Runs a program to its end. */
export async function execute(
  command: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<{ readonly status: number; readonly output: string }> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.on('error', reject)
  child.on('close', (code) => resolve(code ?? 1))
  return { status: await promise, output }
}

/** The flags that both peers have, in their own words. */
export function commonFlags(one: Case, directory: string): readonly string[] {
  return [
    '--file',
    `${directory}/Dockerfile`,
    ...(one.target === undefined ? [] : ['--target', one.target]),
    ...Object.entries(one.buildArgs ?? {}).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    ...Object.entries(one.labels ?? {}).flatMap(([name, value]) => ['--label', `${name}=${value}`]),
    ...Object.keys(one.contexts ?? {}).flatMap((name) => ['--build-context', `${name}=${directory}/context-${name}`]),
    ...Object.keys(one.secrets ?? {}).flatMap((id) => ['--secret', `id=${id},src=${directory}/secret-${id}`]),
  ]
}

/** The line that says why, without what is different each time. */
export function reasonOf(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  const line = lines.findLast((line) => /error|failed|unknown|denied|not found/i.test(line)) ?? lines.findLast((line) => line !== '') ?? ''
  return line
    .replaceAll(/\/[^ ":]*stave-[^ ":]*/g, '…')
    .replaceAll(/[0-9a-z]{25}::[0-9a-z]+|[0-9a-f]{32,}|0x[0-9a-f]+/g, '…')
    .slice(0, 300)
}
