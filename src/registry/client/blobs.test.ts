import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { background } from '#context.ts'
import { copy } from '#image/copy.ts'
import { writeRange } from '#image/file.ts'
import { parseReference } from '#oci/reference.ts'
import { configOf, layerOf, manifestOf, startRig } from '../testing.ts'
import { createRegistryClient } from './registry.ts'

const layers = Array.from({ length: 6 }, (_, index) => layerOf(6_000_000 + index * 77_777))
const byDigest = new Map(layers.map((layer) => [layer.what.digest as string, layer.raw]))

/** Sends the layers side by side, in pieces of odd sizes, so that reads and buffers begin and end anywhere. */
async function serveLayers() {
  const server = createServer((request, response) => {
    const raw = byDigest.get(request.url!.split('/').at(-1)!)!
    response.setHeader('content-length', raw.length)
    let at = 0
    const send = () => {
      while (at < raw.length) {
        const size = 1 + ((at * 7919) % 90_000)
        const goesOn = response.write(raw.subarray(at, at + size))
        at += size
        if (!goesOn) return void response.once('drain', send)
      }
      response.end()
    }
    send()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, [Symbol.dispose]: () => void server.close() }
}

// Bytes are hashed when they come, and written later from the same memory, which is used again: what is checked here is
// what arrived in the files and at the other registry.
test('what was written of many streams at once is what was sent', { repeats: 2 }, async () => {
  using served = await serveLayers()
  const directory = await mkdtemp(path.join(os.tmpdir(), 'stave-blobs-'))
  await using client = createRegistryClient()
  const source = client.open(parseReference(`${served.host}/app`))
  try {
    await Promise.all(
      layers.map(async ({ what }, index) => {
        const file = path.join(directory, `${index}`)
        const handle = await open(file, 'wx')
        // One begins in the middle, as a resumed one does.
        const from = index === 0 ? 12_345 : 0
        expect(await writeRange(background, handle, from, await source.open(background, what, from))).toBe(what.size - from)
        await handle.close()
        const expected = byDigest.get(what.digest)!.subarray(from)
        expect(
          createHash('sha256')
            .update((await readFile(file)).subarray(from))
            .digest('hex'),
        ).toBe(createHash('sha256').update(expected).digest('hex'))
      }),
    )
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('what goes from one registry to another arrives as it was, and can be read from there', async () => {
  await using rig = await startRig()
  const config = configOf()
  const manifest = manifestOf(config, layers)
  const from = rig.open('from')
  for (const { what, raw } of [...layers, config, manifest]) await from.write(rig.cx, what, pieces(raw))
  const to = rig.open('to')
  // Not mounted: the bytes are to travel.
  const { adopt: _, ...moving } = to
  await copy(rig.cx, from, manifest.what, moving, { name: 'v1', concurrency: 6 })
  for (const { what } of layers) for await (const _chunk of await to.open(rig.cx, what)) continue
})

test('a connection is used again after HEAD, found or not, and after other requests', async () => {
  let connections = 0
  const there = layers[0]!.what
  const server = createServer((request, response) => {
    request.resume()
    const isThere = request.url!.endsWith(there.digest)
    response.writeHead(isThere ? 200 : 404, { 'content-length': isThere ? there.size : 20 })
    if (request.method === 'HEAD') response.end()
    else response.end(layers[0]!.raw)
  })
    .on('connection', () => connections++)
    .listen(0, '127.0.0.1')
  await once(server, 'listening')
  await using client = createRegistryClient()
  const repository = client.open(parseReference(`127.0.0.1:${(server.address() as AddressInfo).port}/app`))
  for (const layer of [...layers.slice(1), layers[0]!]) expect(await repository.has(background, layer.what)).toBe(layer.what === there)
  for await (const _ of await repository.open(background, there)) continue
  expect(await repository.has(background, layerOf(10).what)).toBe(false)
  // A request that follows at once finds the first one not free yet.
  expect(connections).toBeLessThanOrEqual(2)
  server.close()
})

async function* pieces(raw: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < raw.length; at += 300_000) yield raw.subarray(at, at + 300_000)
}
