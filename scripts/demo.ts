/**
 * Builds an image, pushes it to the embedded registry, pulls it into an empty store, runs it, and removes all that it made.
 *
 * The image is `fixtures/demo`, on `debian:bookworm` from its registry, or where that cannot be reached from mmdebstrap.
 * A machine with neither, or with a user who has no subordinate ids, has `fixtures/demo/machine`, on its own shell.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { machineRoot } from './machine-root.ts'

const root = join(import.meta.dirname, '..')
const stave = join(root, 'bin/stave')
const cached = join(root, '.setup/debian.tar')
const work = mkdtempSync(join(tmpdir(), 'stave-demo-'))
const first = { ...process.env, STAVE_ROOT: join(work, 'first') }
const second = { ...process.env, STAVE_ROOT: join(work, 'second') }
const began = performance.now()

/** The signal that has stopped the demo. What runs at the time gets it too, from the terminal. */
let stopped: NodeJS.Signals | undefined
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => (stopped = signal))

let registry: ReturnType<typeof spawn> | undefined
let status = 0
try {
  const context = await base()
  say('Build: one stage works, the last has what it made')
  await run(first, ['build', '-t', 'demo', context])
  const host = await serve()
  say(`Push to the embedded registry at ${host}`)
  await run(first, ['push', 'demo', `docker://${host}/demo:1`])
  say('Pull into an empty store')
  await run(second, ['pull', `${host}/demo:1`])
  say('Run')
  await run(second, ['run', '--rm', '--network', 'none', `${host}/demo:1`])
  await run(second, ['images'])
  say(`Done in ${((performance.now() - began) / 1000).toFixed(1)} s`)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  status = 1
} finally {
  registry?.kill()
  for (const env of [first, second])
    if (existsSync(env.STAVE_ROOT)) spawnSync(stave, ['system', 'reset', '--force'], { env, stdio: 'ignore' })
  rmSync(work, { recursive: true, force: true })
}
process.exit(status)

/** Brings a base image into the first store. @returns the build context that is based on it */
async function base(): Promise<string> {
  if (hasManyIds() && (pullsDebian() || (await importsDebian()))) return join(root, 'fixtures/demo')
  say("This machine's own shell as the base image")
  const context = join(work, 'machine')
  machineRoot(context, ['sh', 'cat', 'chmod', 'wc', 'id', 'uname'])
  await run(first, ['build', '-q', '-f', join(context, 'Dockerfile'), '-t', 'machine', join(context, 'root')])
  return join(root, 'fixtures/demo/machine')
}

/** Debian's packages have files of several owners. */
function hasManyIds(): boolean {
  const { stdout } = spawnSync(stave, ['info', '--format', '{{.machine.isolation}}'], { env: first, encoding: 'utf8' })
  return ['root', 'subid'].includes(stdout.trim())
}

function pullsDebian(): boolean {
  if (existsSync(cached)) return false
  say('Pull debian:bookworm')
  const { status } = spawnSync(stave, ['pull', 'debian:bookworm'], { env: first, stdio: 'ignore', timeout: 20_000 })
  if (status !== 0) console.log('Its registry cannot be reached.')
  return status === 0
}

async function importsDebian(): Promise<boolean> {
  if (!existsSync(cached)) {
    if (spawnSync('sh', ['-c', 'command -v mmdebstrap'], { stdio: 'ignore' }).status !== 0) return false
    say('Make a Debian root with mmdebstrap')
    const made = spawnSync('sh', [join(root, 'scripts/debian-root.sh'), cached], { stdio: ['ignore', 'inherit', 'inherit'] })
    if (made.status !== 0) return false
  }
  say('Import the Debian root as debian:bookworm')
  await run(first, ['import', '-c', 'CMD ["bash"]', cached, 'debian:bookworm'])
  return true
}

async function serve(): Promise<string> {
  registry = spawn(stave, ['serve', '--port', '0', '--directory', join(work, 'registry'), '--quiet'], {
    env: first,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const chunk of registry.stdout!) return String(chunk).trim().replace('http://', '')
  throw new Error('the registry did not start')
}

/** Not spawnSync: a signal would be heard only after the next command. */
async function run(env: NodeJS.ProcessEnv, words: readonly string[]): Promise<void> {
  const child = spawn(stave, words, { env, stdio: 'inherit' })
  const ended = await new Promise((resolve, reject) => child.once('close', (code, signal) => resolve(code ?? signal)).once('error', reject))
  if (stopped !== undefined) throw new Error(`stopped by ${stopped}`)
  if (ended !== 0) throw new Error(`stave ${words.join(' ')} failed: exit status ${String(ended)}`)
}

function say(text: string): void {
  console.log(process.stdout.isTTY ? `\n\u001B[1m${text}\u001B[0m` : `\n== ${text}`)
}
