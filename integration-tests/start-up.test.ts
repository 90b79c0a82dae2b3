/**
 * Each module of Node that a command loads costs it up to a millisecond, and one careless import loads thirty. So what the
 * everyday commands load is written down here: a new one is either avoided, or worth a line.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('start-up')
const probe = shop.path('probe.cjs')
const loaded = shop.path('loaded')
const digest = `sha256:${'a'.repeat(64)}`
const requests: string[] = []
const registry = createServer(({ method, url }, response) => {
  requests.push(`${method} ${url}`)
  response.setHeader('content-type', 'application/vnd.oci.image.manifest.v1+json')
  if (url?.includes('/manifests/') === true) response.setHeader('docker-content-digest', digest).setHeader('content-length', 2)
  response.end(method === 'HEAD' ? undefined : '{"name":"app","tags":["one"]}')
})
let place = ''

beforeAll(async () => {
  registry.listen(0, '127.0.0.1')
  await once(registry, 'listening')
  place = `127.0.0.1:${(registry.address() as AddressInfo).port}`
  writeFileSync(
    probe,
    `const before = new Set(process.moduleLoadList)
process.on('exit', () => require('fs').writeFileSync(${JSON.stringify(loaded)},
  process.moduleLoadList.filter((name) => !before.has(name)).map((name) => name.replace(/^NativeModule /, '')).join('\\n')))\n`,
  )
  shop.must(['import', '-q', busyboxTar(), 'base'])
  writeFileSync(shop.path('Dockerfile'), 'FROM base\nRUN true\n')
  shop.must(['build', '-q', '-t', 'app', '.'])
})
afterAll(() => {
  registry.close()
  shop[Symbol.dispose]()
})

/** The modules of Node, public or within, that a command loads and an empty script does not; parts of one count as one. */
async function modulesOf(words: readonly string[]): Promise<string[]> {
  const child = shop.start(words, { env: { NODE_OPTIONS: `--require ${probe}` } })
  child.stdout?.resume()
  child.stderr?.resume()
  const [code] = await once(child, 'exit')
  expect(code).toBe(0)
  const names = readFileSync(loaded, 'utf8').split('\n')
  return [
    ...new Set(names.filter((name) => !name.startsWith('Internal Binding')).map((name) => name.replace(/^internal\/([^/]+).*/, '$1'))),
  ]
}

/** What comes with standard streams that are pipes, and with the probe. */
const always = [
  'source_map',
  'module',
  'os',
  'abort_controller',
  'streams',
  'stream',
  'stream/promises',
  'string_decoder',
  'stream_base_commons',
  'perf',
  'net',
]
/** `fs/promises` brings the parts of `readline` that files have. */
const files = ['fs', 'fs/promises', 'readline', 'repl']

test.each([
  { words: ['--version'], more: [] },
  { words: ['images', '-q'], more: ['sqlite', 'crypto'] },
  { words: ['build', '-q', '.'], more: ['sqlite', 'crypto', 'child_process', 'dgram', ...files] },
  {
    words: ['run', '--rm', '--network', 'none', 'base', 'true'],
    more: ['sqlite', 'crypto', 'child_process', 'dgram', 'socket_list', ...files],
  },
  { words: ['list-tags', 'docker://HERE/app'], more: [] },
  { words: ['copy', '-q', 'docker://HERE/app:one', 'docker://HERE/app:two'], more: ['process', ...files] },
] as { words: readonly string[]; more: readonly string[] }[])('$words loads little of Node', async ({ words, more }) => {
  const modules = await modulesOf(words.map((word) => word.replace('HERE', place)))
  expect(modules.filter((name) => !always.includes(name) && !more.includes(name))).toEqual([])
})

test('a copy with nothing to do asks each end once', async () => {
  requests.length = 0
  await modulesOf(['copy', '-q', `docker://${place}/app:one`, `docker://${place}/app:two`])
  expect(requests.sort()).toEqual(['HEAD /v2/app/manifests/one', 'HEAD /v2/app/manifests/two'])
})
