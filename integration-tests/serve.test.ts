import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { utimesSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient } from '#registry/client/registry.ts'
import { givenCredentials, anonymous } from '#registry/login/credentials.ts'
import { bytesOf, layerOf, pushImage } from '#registry/testing.ts'
import { workshop } from './stave.ts'

const shop = workshop('serve')
const running: ChildProcess[] = []
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill()
    await once(child, 'exit')
  }
})
afterAll(() => shop[Symbol.dispose]())

/** @returns the host of a registry that runs until the end of the test */
async function serve(directory: string, ...flags: readonly string[]): Promise<string> {
  const child = shop.start(['serve', '--port', '0', '--directory', shop.path(directory), '--quiet', ...flags])
  running.push(child)
  const [url] = (await once(child.stdout!, 'data')) as [Buffer]
  return String(url).trim().replace('http://', '')
}

const user = { name: 'ann', password: 'correct-horse' }
const repository = (host: string, name: string) =>
  createRegistryClient({ credentials: givenCredentials(user.name, user.password) }).open(parseReference(`${host}/${name}`))
const htpasswd = (): string => {
  writeFileSync(shop.path('users'), `${user.name}:${user.password}\n`)
  return shop.path('users')
}

test('garbage is collected while nobody serves, and only then', async () => {
  const host = await serve('garbage')
  const registry = repository(host, 'a')
  await pushImage(cx, registry, 'v1')
  const orphan = layerOf(1000)
  await registry.write(cx, orphan.what, bytesOf(orphan.raw))
  const gc = (...more: readonly string[]) => shop.stave(['serve', '--gc', '--directory', shop.path('garbage'), ...more])
  expect(gc()).toMatchObject({ status: 1, stderr: expect.stringContaining('another process does so already') as string })
  running[0]!.kill()
  await once(running.pop()!, 'exit')
  for (const entry of readdirSync(shop.path('garbage'), { recursive: true, withFileTypes: true }))
    if (entry.isFile()) utimesSync(join(entry.parentPath, entry.name), 1, 1)
  expect(gc('--dry-run')).toMatchObject({ status: 0, stdout: 'would remove 0 manifests, 1 blob, 0 uploads: 1.00 kB\n' })
  expect(gc()).toMatchObject({ status: 0, stdout: 'removed 0 manifests, 1 blob, 0 uploads: 1.00 kB\n' })
  expect(gc()).toMatchObject({ status: 0, stdout: 'removed 0 manifests, 0 blobs, 0 uploads: 0 B\n' })
  expect(shop.stave(['serve', '--gc', '--directory', shop.path('nothing')])).toMatchObject({ status: 1 })
})

test('a registry of one’s own behind a cache, each with its users', async () => {
  const upstream = await serve('upstream', '--htpasswd', htpasswd(), '--tokens')
  await pushImage(cx, repository(upstream, 'team/web'), '1')
  writeFileSync(
    shop.path('auth.json'),
    JSON.stringify({ auths: { [upstream]: { auth: Buffer.from(`${user.name}:${user.password}`).toString('base64') } } }),
  )
  const cache = await serve('cache', '--upstream', `mirror=${upstream}/team`, '--authfile', shop.path('auth.json'))
  await using stranger = createRegistryClient({ credentials: anonymous })
  await expect(stranger.open(parseReference(`${upstream}/team/web`)).resolve(cx, '1')).rejects.toMatchObject({ code: 'denied' })
  expect(shop.must(['manifest', 'get', `docker://${cache}/mirror/web:1`])).toContain('"schemaVersion":2')
})

test('quota, webhook and sparse manifests are as the flags say', async () => {
  const actions: string[] = []
  let authorization: string | undefined
  const hook = createServer((request, response) => {
    let text = ''
    authorization = request.headers.authorization
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      actions.push(...(JSON.parse(text) as { events: { action: string }[] }).events.map(({ action }) => action))
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(hook, 'listening')
  const url = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`
  writeFileSync(shop.path('headers'), '# for the hook\nAuthorization: Bearer of-the-hook\n')
  const host = await serve(
    'flags',
    '--repository-quota',
    '4k',
    '--webhook',
    url,
    '--webhook-headers',
    shop.path('headers'),
    '--webhook-events',
    'delete',
  )
  const registry = repository(host, 'a')
  const { manifest } = await pushImage(cx, registry, 'v1')
  const large = layerOf(5000)
  await expect(registry.write(cx, large.what, bytesOf(large.raw))).rejects.toMatchObject({ code: 'denied' })
  await registry.deleteManifest(cx, manifest.what.digest)
  await expect.poll(() => actions, { timeout: 20_000 }).toEqual(['delete'])
  expect(authorization).toBe('Bearer of-the-hook')
  hook.close()
})

test('images of a registry go in a file to another one, and then what is new alone', async () => {
  const [near, far] = [await serve('near'), await serve('far')]
  for (const name of ['team/web', 'db']) await pushImage(cx, repository(near, name), '1')
  const file = (name: string) => shop.path(name)
  const words = ['artifact', 'backup', '--inventory', file('far.json')]
  expect(shop.must([...words, '-o', file('a.tar'), `docker://${near}/team/web`, `docker://${near}/db:1`])).toMatch(/^2 images, 3 blobs: /)
  expect(shop.must(['artifact', 'restore', '--dry-run', file('a.tar')]).split('\n')).toHaveLength(2)
  shop.must(['artifact', 'restore', '-q', file('a.tar'), `docker://${far}/mirror/`])
  expect(shop.must(['repo', 'ls', far]).split('\n')).toEqual(['mirror/db', 'mirror/team/web'])
  await pushImage(cx, repository(near, 'db'), '2')
  const second = shop.must([
    ...words,
    '-o',
    file('b.tar'),
    '--known',
    file('far.json'),
    `docker://${near}/db`,
    `docker://${near}/team/web:1`,
  ])
  expect(second).toMatch(/^3 images, 2 blobs: .*\nleft out, as the other side has it: /)
  shop.must(['artifact', 'restore', '-q', file('b.tar'), `docker://${far}/mirror`])
  expect(shop.must(['repo', 'tags', `${far}/mirror/db`]).split('\n')).toEqual(['1', '2'])
  shop.must(['artifact', 'restore', '-q', file('a.tar'), `oci:${shop.path('layout')}`])
  expect(shop.must(['inspect', '--raw', `oci:${shop.path('layout')}:${near}/db:1`])).toContain('schemaVersion')
  expect(shop.stave(['artifact', 'backup', '-o', file('c.tar'), 'oci:x'])).toMatchObject({ status: 2 })
  expect(shop.stave(['artifact', 'restore', file('a.tar'), 'dir:x'])).toMatchObject({ status: 2 })
})

test.each([
  [['--tokens'], '--tokens needs --htpasswd'],
  [['--token-realm', 'https://a.example/token'], 'go together'],
  [['--upstream', 'https://docker.io'], '--upstream takes'],
  [['--upstream', 'docker.io', '--read-only'], 'read-only'],
  [['--gc-untagged', '1h'], '--gc-every'],
  [['--gc-every', '1h', '--gc-after', '1s'], 'older than 2m'],
  [['--dry-run'], '--dry-run goes with --gc'],
  [['--webhook', 'ftp://a.example/'], '--webhook takes'],
  [['--tls-client-ca', '/dev/null'], '--tls-client-ca needs'],
])('what excludes each other is said: %j', (flags, text) => {
  const { status, stderr } = shop.stave(['serve', '--port', '0', '--directory', shop.path('none'), ...flags])
  expect([status, stderr]).toEqual([2, expect.stringContaining(text)])
})
