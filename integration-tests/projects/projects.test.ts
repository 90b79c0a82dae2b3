/**
 * Dockerfiles as people write them, built on a real Debian root, with packages from real registries; the program is run.
 * Those that install a toolchain take a minute each: they run with STAVE_TEST_PROJECTS=1 only.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { whyNoContainers } from '#store/busybox.fixture.ts'
import { importDebian, must, staveAt, type Stave } from './machine.ts'

const projects = join(import.meta.dirname, '../../fixtures/projects')
const all = process.env['STAVE_TEST_PROJECTS'] === '1'
const unavailable = whyNoContainers()

interface Project {
  readonly name: string
  /** All that it says on its standard output, when it is run without arguments. */
  readonly says?: string | RegExp
  /** It is a server: what a path of it answers, asked from inside of its container. */
  readonly serves?: { readonly port: number; readonly path: string; readonly text: string }
  /** Installs nothing. */
  readonly quick?: true
}

const table: readonly Project[] = [
  {
    name: 'heredoc',
    quick: true,
    says: [
      'starting as app in /srv/app\n[app]\ngreeting = hello\nhome = /srv/app\nprice = $5\n',
      '2 3 5 7 11 13 17 19 23 29 31 37 41 43 47\n3 words\nfirst\nsecond\n',
    ].join(''),
  },
  { name: 'distroless', quick: true, says: 'uid 65532 in /home/nonroot, without a shell\n' },
  { name: 'c-tool', says: 'MMXXVI\n' },
  { name: 'rust-cli', says: '90061 seconds are 1day 1h 1m 1s\n' },
  { name: 'java-maven', says: /^hello world from .+\n$/ },
  { name: 'debian-package', says: 'hello from a package\n' },
  { name: 'cache-mounts', says: 'sum 42\n700 1000:1000\n0\n' },
  { name: 'monorepo', says: 'three hours are 10800000 ms\n' },
  { name: 'node-service', serves: { port: 3000, path: '/', text: 'two days are 172800000 ms, uid 1000\n' } },
  { name: 'python-web', serves: { port: 8000, path: '/hello/a&b', text: 'hello a&amp;b, uid 1001\n' } },
  { name: 'static-site', serves: { port: 8080, path: '/', text: '<h1>Hello</h1>\n<p>A page <em>made</em> of Markdown.</p>\n' } },
]

let work: string
let stave: Stave

beforeAll(async () => {
  if (unavailable !== undefined) return
  work = mkdtempSync(join(tmpdir(), 'stave-projects-'))
  stave = staveAt(join(work, 'store'))
  await importDebian(stave, work)
})
afterAll(async () => {
  if (work === undefined) return
  await stave('rm', '--all', '--force')
  rmSync(work, { recursive: true, force: true })
})

interface Step {
  readonly type: 'step'
  readonly id: string
  readonly title: string
  readonly state: string
}

/** Builds a project: what it is called by its config, and what became of each step of its Dockerfile. */
async function buildProject(name: string): Promise<{ readonly id: string; readonly steps: ReadonlyMap<string, string> }> {
  const { status, stdout, stderr } = await stave('build', '--progress', 'json', '--tag', name, join(projects, name))
  const events = stderr.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Step] : []))
  if (status !== 0) throw new Error(`${name} was not built:\n${stderr.slice(-6000)}`)
  const steps = events.filter(
    ({ type, title, state }) => type === 'step' && state !== 'started' && / (?:RUN|COPY|ADD|WORKDIR) /.test(title),
  )
  return { id: stdout.trim(), steps: new Map(steps.map(({ title, state }) => [title, state])) }
}

describe.skipIf(unavailable !== undefined).each(table)('$name', ({ name, says, serves, quick }) => {
  test.skipIf(!all && quick !== true)('is built, cached and runs', { timeout: 900_000 }, async () => {
    const first = await buildProject(name)
    expect(first.steps.size).toBeGreaterThan(1)
    const second = await buildProject(name)
    expect([...second.steps].filter(([, state]) => state !== 'cached')).toEqual([])
    expect(second.id).toBe(first.id)

    if (says !== undefined) {
      const ran = await stave('run', '--rm', '--network', 'none', name)
      expect({ status: ran.status, stderr: ran.stderr }).toEqual({ status: 0, stderr: expect.any(String) })
      if (typeof says === 'string') expect(ran.stdout).toBe(says)
      else expect(ran.stdout).toMatch(says)
    }
    if (serves !== undefined) expect(await ask(name, serves)).toBe(serves.text)
  })
})

/** Starts a server without a network, asks it over its own loopback, and stops it. */
async function ask(name: string, { port, path }: NonNullable<Project['serves']>): Promise<string> {
  await must(stave, 'run', '--detach', '--name', name, '--network', 'none', name)
  try {
    const request = `exec 3<>/dev/tcp/127.0.0.1/${port} && printf 'GET ${path} HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && cat <&3`
    for (let tries = 0; ; tries++) {
      const { status, stdout, stderr } = await stave('exec', name, 'bash', '-c', request)
      if (status === 0 && stdout.includes('\r\n\r\n')) return stdout.slice(stdout.indexOf('\r\n\r\n') + 4)
      if (tries >= 50) throw new Error(`${name} does not answer: ${stderr}\n${(await stave('logs', name)).stderr}`)
      await setTimeout(200)
    }
  } finally {
    await must(stave, 'stop', name)
    await must(stave, 'rm', name)
  }
}
