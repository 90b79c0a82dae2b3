/** `stave sync` in two steps, again and again, and interrupted: what it says before, and what it tells after. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient, type Registry, type RegistryClient } from '#registry/client/registry.ts'
import { serve, type RegistryServer, type ServedRequest } from '#registry/server/server.ts'
import { layerOf, pushImage } from '#registry/testing.ts'
import { sampleImage } from '#image/testing.ts'
import { workshop } from './stave.ts'

const shop = workshop('sync-plan')
const client: RegistryClient = createRegistryClient({})
const open = (name: string): Registry => client.open(parseReference(name))
const uploads: ServedRequest[] = []
let from: RegistryServer
let to: RegistryServer

beforeAll(async () => {
  from = await serve({ directory: shop.path('from') })
  to = await serve({ directory: shop.path('to'), onRequest: (request) => void uploads.push(request) })
  const shared = layerOf(200_000)
  for (const name of ['a/web:1', 'a/web:2', 'b/api:1']) await pushImage(cx, open(`${from.host}/${name}`), name.split(':')[1]!, shared)
  writeFileSync(shop.path('list.yml'), `${from.host}:\n  images:\n    a/web: []\n    b/api: []\n`)
})
afterAll(async () => {
  await client[Symbol.asyncDispose]()
  await from.close()
  await to.close()
  shop[Symbol.dispose]()
})

const words = (target: string, ...more: string[]) => [
  'sync',
  '-q',
  '--src',
  'yaml',
  '--dest',
  'docker',
  ...more,
  'list.yml',
  `${to.host}/${target}`,
]
interface Plan {
  totals: Record<string, number>
  images: { from: string; to: string; digest: string; state: string }[]
  uploads: { digest: string; size: number; to: string }[]
  mounts: { digest: string; from: string; to: string }[]
  deletions: string[]
}

test('a plan says what moves, and applying it moves just that: what repositories share once', async () => {
  expect(await shop.run(words('planned', '--plan', 'p.json'))).toMatchObject({ status: 0, stdout: '' })
  const plan = JSON.parse(readFileSync(shop.path('p.json'), 'utf8')) as Plan
  expect(plan.totals).toMatchObject({ images: 3, copies: 3, manifests: 3, mounts: plan.mounts.length, deletions: 0 })
  expect(plan.mounts.map((mount) => mount.to)).toContain(`${to.host}/planned/api`)
  expect(new Set(plan.uploads.map(({ digest }) => digest)).size).toBe(plan.uploads.length)
  // Nothing was written.
  await expect(open(`${to.host}/planned/web`).listTags(cx)).rejects.toMatchObject({ code: 'not-found' })

  uploads.splice(0)
  const applied = await shop.run(['sync', '--apply', 'p.json', '--json', '--metrics', 'm.prom'])
  expect(applied.status).toBe(0)
  for (const { to: place, digest } of plan.images) {
    const reference = parseReference(place.slice('docker://'.length))
    expect((await open(place.slice('docker://'.length)).resolve(cx, reference.tag!)).digest).toBe(digest)
  }
  const whole = uploads.filter(({ method, path }) => method === 'PUT' && path.includes('/blobs/uploads/'))
  expect(whole.length).toBe(plan.uploads.length)
  expect(readFileSync(shop.path('m.prom'), 'utf8')).toMatch(/^stave_sync_images\{state="copied"\} 3$[^]*^stave_sync_success 1$/m)

  const again = JSON.parse((await shop.run(words('planned', '--plan', '-'))).stdout) as Plan
  expect(again).toMatchObject({ totals: { images: 3, copies: 0, manifests: 0, blobs: 0, bytes: 0, mounts: 0 } })
})

test('an image that moved since is not copied, and the others are with --keep-going', async () => {
  const source = `${from.host}/moved/web`
  const [before, other, after] = [
    await sampleImage(cx, { seed: 'b' }),
    await sampleImage(cx, { seed: 'o' }),
    await sampleImage(cx, { seed: 'a' }),
  ]
  await copy(cx, before.source, before.descriptor, open(source), { name: '1' })
  await copy(cx, other.source, other.descriptor, open(source), { name: '2' })
  await shop.run(['sync', '-q', '--src', 'docker', '--dest', 'docker', '--plan', 'moved.json', source, `${to.host}/moved`])
  await copy(cx, after.source, after.descriptor, open(source), { name: '1' })
  const applied = await shop.run(['sync', '--apply', 'moved.json', '--keep-going', '--metrics', 'moved.prom'])
  expect(applied.status).toBe(1)
  expect(applied.stderr).toContain('the plan is about')
  expect(await open(`${to.host}/moved/web`).listTags(cx)).toEqual(['2'])
  expect(readFileSync(shop.path('moved.prom'), 'utf8')).toMatch(/^stave_sync_images\{state="failed"\} 1$[^]*^stave_sync_success 0$/m)
})

test('deletions stand in the plan, and a tag that is gone by then is no failure', async () => {
  const target = open(`${to.host}/pruned/web`)
  const old = await sampleImage(cx, { seed: 'old' })
  for (const name of ['old-1', 'old-2']) await copy(cx, old.source, old.descriptor, target, { name })
  const pruning = [
    'sync',
    '-q',
    '--src',
    'docker',
    '--dest',
    'docker',
    '--prune',
    '--plan',
    'prune.json',
    `${from.host}/a/web`,
    `${to.host}/pruned`,
  ]
  expect((await shop.run(pruning)).status).toBe(0)
  const { deletions } = JSON.parse(readFileSync(shop.path('prune.json'), 'utf8')) as Plan
  expect(deletions).toEqual(['old-1', 'old-2'].map((tag) => `docker://${to.host}/pruned/web:${tag}`))
  expect((await target.listTags(cx)).sort()).toEqual(['old-1', 'old-2'])
  await target.deleteTag(cx, 'old-1')
  expect((await shop.run(['sync', '-q', '--apply', 'prune.json'])).status).toBe(0)
  expect((await target.listTags(cx)).sort()).toEqual(['1', '2'])
})

test('--watch syncs again and again, until it is told to end', async () => {
  const child = shop.start([...words('watched', '--watch', '50ms', '--jitter', '1ms')])
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  try {
    const tagsOf = (name: string) =>
      open(`${to.host}/watched/${name}`)
        .listTags(cx)
        .catch(() => [])
    await expect.poll(() => tagsOf('web'), { timeout: 20_000 }).toEqual(['1', '2'])
    const later = await sampleImage(cx, { seed: 'later' })
    await copy(cx, later.source, later.descriptor, open(`${from.host}/a/web`), { name: '3' })
    await expect.poll(() => tagsOf('web'), { timeout: 20_000 }).toEqual(['1', '2', '3'])
  } finally {
    child.kill('SIGTERM')
    await ended
  }
})

test('killed in the middle, it goes on: what arrived is not uploaded again', async () => {
  const source = `${from.host}/many/web`
  for (let index = 0; index < 12; index++) await pushImage(cx, open(source), String(index), layerOf(300_000 + index))
  const run = ['sync', '-q', '--src', 'docker', '--dest', 'docker', '--state', 'killed.state', source, `${to.host}/killed`]
  uploads.splice(0)
  const child = shop.start(run)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await expect
    .poll(() => existsSync(shop.path('killed.state')) && readFileSync(shop.path('killed.state'), 'utf8').split('\n').length, {
      timeout: 20_000,
      interval: 2,
    })
    .toBeGreaterThan(2)
  child.kill('SIGKILL')
  await ended
  expect((await shop.run(run)).status).toBe(0)
  expect((await open(`${to.host}/killed/web`).listTags(cx)).length).toBe(12)
  const done = uploads.filter(({ method, path, status }) => method === 'PUT' && /\/manifests\/\d+$/.test(path) && status === 201)
  // Six were on their way at most.
  expect(done.length).toBeLessThanOrEqual(12 + 6)
})

test.each([
  ['--apply and places', ['--apply', 'p.json', 'a', 'b']],
  ['--apply and --prune', ['--apply', 'p.json', '--prune']],
  ['--plan and --watch', ['--src', 'docker', '--dest', 'docker', '--plan', 'x', '--watch', '1h', 'localhost:1/a', 'localhost:1/b']],
  ['a time that is none', ['--src', 'docker', '--dest', 'docker', '--watch', 'soon', 'localhost:1/a', 'localhost:1/b']],
  ['no target', ['--src', 'docker', '--dest', 'docker', 'localhost:1/a']],
])('refused: %s', (_, more) => {
  expect(shop.stave(['sync', ...more]).status).toBe(2)
})
