import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import * as limit from '#limit.ts'
import { digestOf } from '#oci/digest.ts'
import { bytesOf, layerOf, manifestOf, pushImage, startRig } from '../testing.ts'
import type { Cause, Happening } from './happening.ts'
import { createMetrics } from './metrics.ts'
import { createNotifier } from './notifications.ts'

interface Event {
  readonly id: string
  readonly action: string
  readonly target: Record<string, unknown>
  readonly request: Record<string, string>
  readonly actor: { name?: string }
}

let hook: Server
let url: string
let status: (attempt: number) => number
let deliveries: { headers: IncomingHttpHeaders; events: Event[] }[]
let attempts: number
beforeEach(async () => {
  status = () => 200
  deliveries = []
  attempts = 0
  hook = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const code = status(attempts++)
      if (code < 400)
        deliveries.push({ headers: request.headers, ...(JSON.parse(Buffer.concat(chunks).toString()) as { events: Event[] }) })
      response.writeHead(code, { location: 'http://127.0.0.1:1/' }).end()
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => hook.once('listening', resolve))
  url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/hook?secret=1`
})
afterEach(() => {
  hook.closeAllConnections()
  hook.close()
})

const events = () => deliveries.flatMap((delivery) => delivery.events)
const cause: Cause = { address: '192.0.2.1:1', method: 'PUT', host: 'h', userAgent: 'u', user: undefined, origin: 'http://h' }
const pushed = (tag: string): Happening => ({ action: 'push', kind: 'manifests', repository: 'a', digest: digestOf(tag), tag, size: 1 })

test('push, pull, mount and delete are told as distribution tells them', async () => {
  await using rig = await startRig({
    webhooks: [{ url, headers: { authorization: 'Bearer x' } }],
    auth: { kind: 'basic', users: { ann: 'p' } },
  })
  const { givenCredentials } = await import('../login/credentials.ts')
  const open = (name: string) => rig.open(name, { credentials: givenCredentials('ann', 'p') })
  const { layer, manifest } = await pushImage(cx, open('a'), 'v1')
  await open('a').resolve(cx, 'v1')
  await open('b').adopt(cx, layer.what, open('a'))
  await open('a').deleteManifest(cx, manifest.what.digest)
  await expect.poll(() => events().map(({ action }) => action), { timeout: 10_000 }).toContain('delete')

  const told = events()
  expect(told.filter(({ target }) => target['tag'] === 'v1').map(({ action }) => action)).toEqual(['push', 'pull'])
  expect(told.find(({ target }) => target['tag'] === 'v1')).toMatchObject({
    action: 'push',
    target: {
      mediaType: manifest.what.mediaType,
      digest: manifest.what.digest,
      size: manifest.what.size,
      length: manifest.what.size,
      repository: 'a',
      url: `${rig.server.url}/v2/a/manifests/${manifest.what.digest}`,
      references: [{ digest: expect.any(String) as string }, { digest: layer.what.digest, size: layer.what.size }],
    },
    request: { method: 'PUT', host: rig.server.host },
    actor: { name: 'ann' },
  })
  expect(told.find(({ action }) => action === 'mount')!.target).toMatchObject({
    repository: 'b',
    fromRepository: 'a',
    digest: layer.what.digest,
  })
  expect(new Set(told.map(({ id }) => id)).size).toBe(told.length)
  const { headers } = deliveries[0]!
  expect([headers['content-type'], headers['authorization']]).toEqual(['application/vnd.docker.distribution.events.v1+json', 'Bearer x'])
})

test('what was not taken is sent again, in its order, and one that fails is named without its secret', async () => {
  status = (attempt) => (attempt < 3 ? 503 : 200)
  const warnings: string[] = []
  const metrics = createMetrics()
  await using notifier = createNotifier([{ url, firstDelayMs: 5 }], metrics, (message) => void warnings.push(message))
  for (const tag of ['one', 'two', 'three']) notifier.tell(pushed(tag), cause)
  await expect.poll(() => events().length, { timeout: 10_000 }).toBe(3)
  expect(events().map(({ target }) => target['tag'])).toEqual(['one', 'two', 'three'])
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toContain('503')
  expect(warnings[0]).not.toContain('secret')
  expect(metrics.text()).toMatch(/outcome="failed"\} \d/)
})

test('a redirect is taken for an answer, and not followed with the headers', async () => {
  status = () => 302
  await using notifier = createNotifier([{ url, headers: { authorization: 'x' } }], createMetrics(), () => {})
  notifier.tell(pushed('one'), cause)
  await expect.poll(() => events().length, { timeout: 10_000 }).toBe(1)
})

test('actions that nobody asked for are not told', async () => {
  await using notifier = createNotifier([{ url, actions: ['delete'] }], createMetrics(), () => {})
  notifier.tell(pushed('one'), cause)
  notifier.tell({ ...pushed('one'), action: 'delete' }, cause)
  await expect.poll(() => events().map(({ action }) => action), { timeout: 10_000 }).toEqual(['delete'])
})

test('while a webhook does not answer, the oldest events make room for new ones', async () => {
  let isDown = true
  status = () => (isDown ? 500 : 200)
  const metrics = createMetrics()
  await using notifier = createNotifier([{ url, firstDelayMs: 300 }], metrics, () => {})
  notifier.tell(pushed('t0'), cause)
  await expect.poll(() => attempts, { timeout: 10_000 }).toBe(1)
  for (let at = 1; at < limit.webhookEvents + 3; at++) notifier.tell(pushed(`t${at}`), cause)
  expect(notifier.waiting).toBe(limit.webhookEvents)
  isDown = false
  await expect.poll(() => events().length, { timeout: 10_000 }).toBe(limit.webhookEvents)
  expect(events()[0]!.target['tag']).toBe('t3')
  expect(Math.max(...deliveries.map((delivery) => delivery.events.length))).toBe(limit.webhookBatch)
  expect(metrics.text()).toMatch(/outcome="dropped"\} 3\n/)
})

test('whoever stops the server does not wait for a webhook that does not answer', async () => {
  status = () => 500
  const notifier = createNotifier([{ url, firstDelayMs: 10_000 }], createMetrics(), () => {})
  notifier.tell(pushed('one'), cause)
  await expect.poll(() => attempts, { timeout: 10_000 }).toBe(1)
  const started = performance.now()
  await notifier[Symbol.asyncDispose]()
  expect(performance.now() - started).toBeLessThan(9000)
})

test('what a manifest mentions is told, unless it is much', async () => {
  await using rig = await startRig({ webhooks: [{ url }] })
  const { config } = await pushImage(cx, rig.open('a'), 'v1')
  const layers = Array.from({ length: limit.webhookReferences }, (_, at) => layerOf(at + 1))
  for (const { what, raw } of layers) await rig.open('a').write(cx, what, bytesOf(raw))
  for (const [tag, count] of [
    ['much', limit.webhookReferences],
    ['less', limit.webhookReferences - 1],
  ] as const) {
    const image = manifestOf(config, layers.slice(0, count))
    const registry = rig.open('a')
    await registry.write(cx, image.what, bytesOf(image.raw))
    await registry.name(cx, image.what, tag)
  }
  const references = (tag: string) => events().find(({ target }) => target['tag'] === tag)?.target['references'] as unknown[] | undefined
  await expect.poll(() => references('less')?.length, { timeout: 10_000 }).toBe(limit.webhookReferences)
  expect(references('much')).toBeUndefined()
})
