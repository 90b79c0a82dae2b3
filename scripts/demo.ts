/**
 * Builds `fixtures/demo`, pushes it to the embedded registry, pulls it into an empty store, runs it.
 * `debian:bookworm` comes from its registry, or where that cannot be reached from mmdebstrap.
 */
import { spawn, spawnSync, type StdioOptions } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const stave = join(root, 'bin/stave')
const cached = join(root, '.setup/debian.tar')
const work = mkdtempSync(join(tmpdir(), 'stave-demo-'))
const first = { ...process.env, STAVE_ROOT: join(work, 'first') }
const second = { ...process.env, STAVE_ROOT: join(work, 'second') }
const began = performance.now()

let registry: ReturnType<typeof spawn> | undefined
try {
  base()
  say('Build: a compiler in one stage, its program alone in the last')
  run(first, ['build', '-t', 'demo', join(root, 'fixtures/demo')])
  const host = await serve()
  say(`Push to the embedded registry at ${host}`)
  run(first, ['push', 'demo', `docker://${host}/demo:1`])
  say('Pull into an empty store')
  run(second, ['pull', `${host}/demo:1`])
  say('Run')
  run(second, ['run', '--rm', '--network', 'none', `${host}/demo:1`])
  run(second, ['images'])
  say(`Done in ${((performance.now() - began) / 1000).toFixed(1)} s`)
} finally {
  registry?.kill()
  run(first, ['rmi', '--all', '--force'], 'ignore')
  rmSync(work, { recursive: true, force: true })
}

/** Brings the base image into the first store. */
function base(): void {
  if (!existsSync(cached)) {
    say('Pull debian:bookworm')
    if (spawnSync(stave, ['pull', 'debian:bookworm'], { env: first, stdio: ['ignore', 'ignore', 'ignore'], timeout: 20_000 }).status === 0)
      return
    say('Its registry cannot be reached: making a Debian root with mmdebstrap')
    const made = spawnSync('sh', [join(root, 'scripts/debian-root.sh'), cached], { stdio: 'inherit' })
    if (made.status !== 0) process.exit(1)
  }
  say('Import the Debian root as debian:bookworm')
  run(first, ['import', '-c', 'CMD ["bash"]', cached, 'debian:bookworm'])
}

async function serve(): Promise<string> {
  registry = spawn(stave, ['serve', '--port', '0', '--directory', join(work, 'registry'), '--quiet'], {
    env: first,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const chunk of registry.stdout!) return String(chunk).trim().replace('http://', '')
  throw new Error('the registry did not start')
}

function run(env: NodeJS.ProcessEnv, words: readonly string[], stdio: StdioOptions = 'inherit'): void {
  const done = spawnSync(stave, words, { env, stdio })
  if (done.status !== 0 && stdio !== 'ignore') {
    console.error(`stave ${words.join(' ')} failed`)
    throw new Error(`exit status ${done.status ?? done.signal}`)
  }
}

function say(text: string): void {
  console.log(process.stdout.isTTY ? `\n\u001B[1m${text}\u001B[0m` : `\n== ${text}`)
}
