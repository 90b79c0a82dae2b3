import type { AddressInfo } from 'node:net'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Session } from '../session.ts'
import type { FetchOp, Step } from '../plan/step.ts'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { digestOf } from '#oci/digest.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { createSecrets } from './secrets.ts'
import { download, fetchUrl } from './fetch.ts'

let root: string
let store: LocalStore
let server: Server
let base: string
let requests: IncomingMessage[]
let answer: (request: IncomingMessage, response: ServerResponse) => void

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'stave-fetch-'))
  store = await openStore({ root, runner: undefined as never })
  requests = []
  server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await store[Symbol.asyncDispose]()
  rmSync(root, { recursive: true })
})

function fetched(op: Partial<FetchOp>, secrets: Record<string, string> = {}): ReturnType<typeof fetchUrl> {
  const values = Object.entries(secrets).map(([id, value]) => ({ id, value: Buffer.from(value) }))
  const contexts = { trust: { isLocal: true, hosts: new Set() } }
  const session = { store, secrets: createSecrets(values), options: {}, contexts, materials: new Map() } as unknown as Session
  const whole: FetchOp = { kind: 'fetch', url: `${base}/file`, ...op }
  const span = { file: 'Dockerfile', line: 2, column: 1, endLine: 2, endColumn: 2 }
  const step: Step = { id: 's', op: whole, inputs: [], span, title: '', stage: '', useCache: true }
  return fetchUrl(cx, session, step, whole)
}

test('a file is kept, and asked for again by its ETag', async () => {
  answer = (request, response) => {
    if (request.headers['if-none-match'] === '"one"') response.writeHead(304).end()
    else response.writeHead(200, { etag: '"one"', 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' }).end('content')
  }
  const first = await fetched({})
  expect(first).toMatchObject({ digest: digestOf('content'), mtime: 1767225600 })
  expect(readFileSync(join(root, first.file.path as string), 'utf8')).toBe('content')
  expect(await fetched({})).toEqual(first)
  expect(requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"one"'])
})

test('with the right checksum, what is there is not asked for at all', async () => {
  answer = (_request, response) => response.end('content')
  await fetched({ checksum: digestOf('content') })
  await fetched({ checksum: digestOf('content') })
  expect(requests).toHaveLength(1)
  expect((await fetched({ checksum: digestOf('content', 'sha512') })).digest).toBe(digestOf('content'))
})

test.each([
  ['a wrong checksum', { checksum: digestOf('other') }, 'digest-mismatch'],
  ['a checksum that is none', { checksum: 'abc' }, 'dockerfile'],
])('%s is an error with its line, and leaves nothing', async (_name, op, code) => {
  answer = (_request, response) => response.end('content')
  await expect(fetched(op)).rejects.toMatchObject({ code, span: { line: 2 } })
  expect(await store.blobs.has(digestOf('content'))).toBe(false)
})

test.each([
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
])('%s on the way that nobody asked for is taken off', async (encoding, encode) => {
  answer = (request, response) => {
    expect(request.headers['accept-encoding']).toBe('identity')
    response.writeHead(200, { 'content-encoding': encoding }).end(encode('content'))
  }
  expect((await fetched({ checksum: digestOf('content') })).digest).toBe(digestOf('content'))
})

test('an error of the server is told', async () => {
  answer = (_request, response) => response.writeHead(404).end()
  await expect(fetched({})).rejects.toMatchObject({ code: 'not-found', message: expect.stringContaining('404') })
  answer = (_request, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('part')
    setTimeout(() => response.destroy(), 20)
  }
  await expect(fetched({})).rejects.toMatchObject({ code: 'network' })
})

test('redirects are followed, credentials are not sent elsewhere, and circles end', async () => {
  const other = createServer((request, response) => {
    requests.push(request)
    response.end('there')
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  answer = (request, response) =>
    response.writeHead(302, { location: request.url === '/circle' ? '/circle' : `http://127.0.0.1:${port}/x` }).end()
  const host = new URL(base).host
  expect((await fetched({}, { [`HTTP_AUTH_TOKEN_${host}`]: 'secret' })).digest).toBe(digestOf('there'))
  expect(requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret', undefined])
  await expect(fetched({ url: `${base}/circle` })).rejects.toMatchObject({ message: expect.stringContaining('redirects') })
  other.close()
})

test('a redirect to another scheme is refused', async () => {
  answer = (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end()
  await expect(download(cx, store, { url: `${base}/x` })).rejects.toMatchObject({ message: expect.stringContaining('file:') })
})

test('a redirect from a public address to a private one is refused, and nothing is asked there', async () => {
  // The server is the proxy here, so it answers for an address of the internet.
  const proxy = { HTTP_PROXY: base }
  const asked = (): unknown[] => requests.map(({ url }) => url)
  for (const location of [
    'http://127.0.0.1/x',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]/x',
    'http://[::ffff:10.0.0.1]/x',
  ]) {
    answer = (_request, response) => response.writeHead(302, { location }).end()
    await expect(download(cx, store, { url: 'http://192.0.2.1/context.tar', proxy })).rejects.toMatchObject({
      code: 'denied',
      message: expect.stringContaining('an address of this machine or its network'),
    })
  }
  expect(new Set(asked())).toEqual(new Set(['http://192.0.2.1/context.tar']))
  answer = (request, response) =>
    request.url?.includes('192.0.2.1') === true
      ? response.writeHead(302, { location: 'http://192.0.2.2/there' }).end()
      : response.end('there')
  const { digest, dispose } = await download(cx, store, { url: 'http://192.0.2.1/context.tar', proxy })
  expect(digest).toBe(digestOf('there'))
  await dispose()
})
