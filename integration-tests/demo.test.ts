/** `npm run demo` on a machine with git, npm and cargo alone: no registry, no program of a Debian package that it could miss. */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ordinaryUser, type User } from './stave.ts'

const checkout = join(import.meta.dirname, '..')
const isRoot = process.getuid?.() === 0
const users = [...(isRoot ? [['root', undefined] as const] : []), ['an ordinary user', ordinaryUser()] as const]

/** What every system has, and nothing that only some packages bring. */
const everywhere = ['sh', 'cat', 'chmod', 'wc', 'id', 'uname', 'ldd', 'readlink', 'dirname', 'uniq', 'grep', 'rm', 'head', 'tail']
const directory = mkdtempSync(join(tmpdir(), 'stave-demo-test-'))
const clone = join(directory, 'clone')

beforeAll(() => {
  chmodSync(directory, 0o755)
  // As a clone after npm run setup, without what a run of the tests has left in .setup.
  for (const part of ['bin', 'dist', 'scripts', 'fixtures/demo', 'package.json'])
    cpSync(join(checkout, part), join(clone, part), { recursive: true, verbatimSymlinks: true })
  symlinkSync(join(checkout, 'node_modules'), join(clone, 'node_modules'))
  mkdirSync(join(directory, 'bin'))
  for (const program of everywhere) {
    const path = spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim()
    symlinkSync(path, join(directory, 'bin', program))
  }
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

describe.each(users)('as %s', (who, user) => {
  const why = typeof user === 'string' ? user : undefined
  const place = join(directory, who.replaceAll(' ', '-'))

  /** A home and a temporary directory that are empty. */
  function start() {
    for (const name of ['', 'home', 'tmp']) {
      mkdirSync(join(place, name), { recursive: true })
      if (user !== undefined) chownSync(join(place, name), (user as User).uid, (user as User).gid)
    }
    return spawn('sh', [join(clone, 'scripts/node.sh'), join(clone, 'scripts/demo.ts')], {
      cwd: join(place, 'home'),
      // A registry that nobody reaches.
      env: { PATH: join(directory, 'bin'), HOME: join(place, 'home'), TMPDIR: join(place, 'tmp'), HTTPS_PROXY: 'http://127.0.0.1:9' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      ...(user as User | undefined),
    })
  }

  /** @param onText Gets all that it has said so far. */
  async function end(demo: ReturnType<typeof start>, onText?: (text: string) => void) {
    let said = ''
    for (const stream of [demo.stdout, demo.stderr]) {
      stream.on('data', (chunk) => {
        said += String(chunk)
        onText?.(said)
      })
    }
    const status = await new Promise((resolve, reject) => demo.once('close', resolve).once('error', reject))
    return { status, said }
  }

  test.skipIf(why !== undefined)('it builds, pushes, pulls and runs, and leaves nothing', async () => {
    const { status, said } = await end(start())
    expect(said).toMatch(/six times nine: 42\nprocess 1, user 0, on Linux/)
    expect(status, said).toBe(0)
    expect(readdirSync(join(place, 'tmp'))).toEqual([])
    expect(readdirSync(join(place, 'home'))).toEqual([])
  })

  test.skipIf(why !== undefined)('stopped in the middle, it leaves nothing either', async () => {
    const demo = start()
    let sent = false
    const { status, said } = await end(demo, (text) => {
      if (sent || !text.includes('Push')) return
      sent = true
      process.kill(-demo.pid!, 'SIGTERM')
    })
    expect(said).toContain('stopped by SIGTERM')
    expect(status).toBe(1)
    expect(readdirSync(join(place, 'tmp'))).toEqual([])
  })
})
