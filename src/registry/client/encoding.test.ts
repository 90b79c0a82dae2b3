/** Registries and proxies that compress what nobody asked them to. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { copy } from '#image/copy.ts'
import { memory } from '#image/memory.ts'
import { parseReference } from '#oci/reference.ts'
import { collect, configOf, layerOf, manifestOf, quickRetry, sample } from '../testing.ts'
import { createRegistryClient, type RegistryClient } from './registry.ts'

const layer = layerOf(300_000)
const config = configOf()
const manifest = manifestOf(config, [layer])
const cx = { signal: new AbortController().signal, report: () => undefined }

let server: Server
let client: RegistryClient
/** How the server answers with what is at the path. */
let answer: (request: IncomingMessage, response: ServerResponse, raw: Uint8Array) => void

beforeEach(async () => {
  server = createServer((request, response) => {
    const found = [layer, config, manifest].find(({ what }) => request.url?.endsWith(what.digest)) ?? manifest
    if (request.url === '/v2/') return void response.end()
    response.setHeader('content-type', found.what.mediaType)
    response.setHeader('docker-content-digest', found.what.digest)
    answer(request, response, found.raw)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  client = createRegistryClient({ retry: quickRetry })
})
afterEach(async () => {
  await client[Symbol.asyncDispose]()
  server.closeAllConnections()
  server.close()
})

const registry = (): ReturnType<RegistryClient['open']> =>
  client.open(parseReference(`127.0.0.1:${(server.address() as AddressInfo).port}/acme/web`))

const encoders = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  GZIP: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
}

describe('an encoding that nobody asked for', () => {
  test.each(Object.keys(encoders))('%s: manifest and blobs are what their digests name', async (encoding) => {
    for (const length of [true, false]) {
      answer = (request, response, raw) => {
        const body = encoders[encoding as keyof typeof encoders](raw)
        response.writeHead(200, { 'content-encoding': encoding, ...(length ? { 'content-length': body.length } : {}) })
        response.end(request.method === 'HEAD' ? undefined : body)
      }
      const to = memory()
      const from = registry()
      await copy(cx, from, await from.resolve(cx, 'v1'), to)
      expect(to.blobs.get(layer.what.digest)).toEqual(Buffer.from(layer.raw))
      // The length that a HEAD tells is not that of the manifest.
      expect(await from.describe?.(cx, 'v1')).toBeUndefined()
    }
  })

  test('a layer that is only labelled with its own compression stays as it is', async () => {
    const packed = sample('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(layer.raw))
    answer = (_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.raw.length }).end(packed.raw)
    expect(await collect(await registry().open(cx, packed.what))).toEqual(Buffer.from(packed.raw))
  })

  test('an encoding that is none is passed over', async () => {
    answer = (_request, response, raw) => response.writeHead(200, { 'content-encoding': 'aws-chunked' }).end(raw)
    expect(await collect(await registry().open(cx, layer.what))).toEqual(Buffer.from(layer.raw))
  })

  test('a connection that breaks is taken up again, though the server would send a part of the encoded bytes', async () => {
    const ranges: (string | undefined)[] = []
    answer = (request, response, raw) => {
      const { range } = request.headers
      ranges.push(range)
      const body = gzipSync(raw)
      const start = Number(/bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0)
      if (range !== undefined) {
        response.writeHead(206, { 'content-encoding': 'gzip', 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` })
        return response.end(body.subarray(start))
      }
      response.writeHead(200, { 'content-encoding': 'gzip' })
      if (ranges.length > 1) return response.end(body)
      return response.write(body.subarray(0, body.length - 1000), () => setTimeout(() => response.destroy(), 20))
    }
    expect(await collect(await registry().open(cx, layer.what))).toEqual(Buffer.from(layer.raw))
    expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/), undefined])
  })

  test('what does not decode, or decodes to too much, is an error', async () => {
    answer = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('no gzip')
    await expect(collect(await registry().open(cx, layer.what))).rejects.toMatchObject({ code: 'network' })
    answer = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50_000_000)))
    await expect(collect(await registry().open(cx, layer.what))).rejects.toMatchObject({ code: 'size-mismatch' })
    await expect(registry().resolve(cx, 'v1')).rejects.toMatchObject({ code: 'too-large' })
  })

  test('an error is read, too', async () => {
    const body = gzipSync(JSON.stringify({ errors: [{ code: 'DENIED', message: 'the quota is used up' }] }))
    answer = (_request, response) => response.writeHead(403, { 'content-encoding': 'gzip' }).end(body)
    await expect(registry().resolve(cx, 'v1')).rejects.toMatchObject({
      cause: { message: expect.stringContaining('the quota is used up') },
    })
  })
})
