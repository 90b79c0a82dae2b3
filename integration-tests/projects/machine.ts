import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const authorities = '/usr/local/share/ca-certificates'

export interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** The command line of the checkout, on a store of its own. */
export interface Stave {
  (...words: readonly string[]): Promise<Ran>
}

export function staveAt(store: string): Stave {
  return async (...words) => {
    const child = spawn(join(root, 'bin/stave'), words, { env: { ...process.env, STAVE_ROOT: store }, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    child.on('error', reject)
    child.on('close', (code) => resolve(code ?? 1))
    return { status: await promise, stdout, stderr }
  }
}

/** The same, and what it says on stdout. @throws Error if it fails */
export async function must(stave: Stave, ...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await stave(...words)
  if (status !== 0) throw new Error(`stave ${words.join(' ')} ended with ${status}:\n${stderr.slice(-4000)}`)
  return stdout
}

/**
 * Imports the Debian root as `debian:bookworm`. Where this machine trusts certificate authorities of its own, so does the
 * image, as base images of such places do: package registries are reached through them.
 */
export async function importDebian(stave: Stave, work: string): Promise<void> {
  const tar = join(root, '.setup/debian.tar')
  execFileSync('sh', [join(root, 'scripts/debian-root.sh'), tar], { stdio: ['ignore', 'ignore', 'inherit'] })
  await must(stave, 'import', '--change', 'CMD ["bash"]', tar, 'localhost/debian-root')
  const trusted = existsSync(authorities) ? readdirSync(authorities).filter((name) => name.endsWith('.crt')) : []
  const context = join(work, 'machine')
  mkdirSync(join(context, 'authorities'), { recursive: true })
  for (const name of trusted) copyFileSync(join(authorities, name), join(context, 'authorities', name))
  writeFileSync(
    join(context, 'Dockerfile'),
    ['FROM localhost/debian-root', ...(trusted.length > 0 ? [`COPY authorities ${authorities}`] : []), ''].join('\n'),
  )
  await must(stave, 'build', '--quiet', '--tag', 'debian:bookworm', context)
}
