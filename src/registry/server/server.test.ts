import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { mkdtemp, rm } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as limit from '#limit.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseHtpasswd } from './htpasswd.ts'
import { serve } from './server.ts'
import { bytesOf, configOf, indexOf, layerOf, manifestOf, pushImage, type Rig, startRig } from '../testing.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(() => rig[Symbol.asyncDispose]())

const request = (method: string, to: string, options: { headers?: Record<string, string>; body?: Uint8Array | string } = {}) =>
  fetch(to.startsWith('http') ? to : rig.server.url + to, { method, redirect: 'manual', ...options })

async function begin(repository = 'a'): Promise<string> {
  const response = await request('POST', `/v2/${repository}/blobs/uploads/`)
  expect(response.status).toBe(202)
  return response.headers.get('location')!
}

async function code(response: Response): Promise<string> {
  const body = (await response.json()) as { errors: { code: string; message: string }[] }
  expect(body.errors[0]!.message).not.toBe('')
  return `${response.status} ${body.errors[0]!.code}`
}

describe('uploads', () => {
  const text = 'hello world'
  const digest = digestOf(text)

  test('by one POST', async () => {
    const response = await request('POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: text })
    expect([response.status, response.headers.get('location'), response.headers.get('docker-content-digest')]).toEqual([
      201,
      `/v2/a/blobs/${digest}`,
      digest,
    ])
    expect(await (await request('GET', `/v2/a/blobs/${digest}`)).text()).toBe(text)
  })

  test('by chunks, the last one with the PUT', async () => {
    const location = await begin()
    const first = await request('PATCH', location, { body: text.slice(0, 5), headers: { 'content-range': '0-4' } })
    expect([first.status, first.headers.get('range')]).toEqual([202, '0-4'])
    const status = await request('GET', location)
    expect([status.status, status.headers.get('range')]).toEqual([204, '0-4'])
    const last = await request('PUT', `${location}?digest=${digest}`, {
      body: text.slice(5),
      headers: { 'content-range': `5-${text.length - 1}` },
    })
    expect(last.status).toBe(201)
  })

  test('chunks out of order are refused, and the upload goes on', async () => {
    const location = await begin()
    const early = await request('PATCH', location, { body: text.slice(5), headers: { 'content-range': '5-10' } })
    expect([early.status, early.headers.get('range')]).toEqual([416, '0-0'])
    expect((await request('PUT', `${location}?digest=${digest}`, { body: text })).status).toBe(201)
  })

  test('of sha512', async () => {
    const sha512 = digestOf(text, 'sha512')
    expect((await request('PUT', `${await begin()}?digest=${sha512}`, { body: text })).status).toBe(201)
    const location = await begin()
    await request('PATCH', location, { body: text })
    expect((await request('PUT', `${location}?digest=${sha512}`)).status).toBe(201)
    expect(await (await request('GET', `/v2/a/blobs/${sha512}`)).text()).toBe(text)
  })

  test('of nothing', async () => {
    expect((await request('PUT', `${await begin()}?digest=${digestOf('')}`)).status).toBe(201)
    const response = await request('GET', `/v2/a/blobs/${digestOf('')}`)
    expect([response.status, response.headers.get('content-length')]).toEqual([200, '0'])
  })

  test('with another digest leave nothing', async () => {
    const location = await begin()
    expect(await code(await request('PUT', `${location}?digest=${digestOf('other')}`, { body: text }))).toBe('400 DIGEST_INVALID')
    expect((await request('GET', location)).status).toBe(404)
    expect((await request('HEAD', `/v2/a/blobs/${digestOf('other')}`)).status).toBe(404)
  })

  test('belong to one repository', async () => {
    const location = await begin('a')
    expect(await code(await request('PUT', `${location.replace('/a/', '/b/')}?digest=${digest}`, { body: text }))).toBe(
      '404 BLOB_UPLOAD_UNKNOWN',
    )
    await request('PUT', `${location}?digest=${digest}`, { body: text })
    expect((await request('HEAD', `/v2/a/blobs/${digest}`)).status).toBe(200)
    expect((await request('HEAD', `/v2/b/blobs/${digest}`)).status).toBe(404)
  })

  test('can be cancelled', async () => {
    const location = await begin()
    expect((await request('DELETE', location)).status).toBe(204)
    expect(await code(await request('GET', location))).toBe('404 BLOB_UPLOAD_UNKNOWN')
  })

  test('outlive the server', async () => {
    const directory = await mkdtemp(path.join(os.tmpdir(), 'stave-registry-'))
    const first = await serve({ directory })
    const location = (await request('POST', `${first.url}/v2/a/blobs/uploads/`)).headers.get('location')!
    await request('PATCH', first.url + location, { body: text.slice(0, 5) })
    await first.close()
    const second = await serve({ directory })
    expect((await request('GET', second.url + location)).headers.get('range')).toBe('0-4')
    expect((await request('PUT', `${second.url}${location}?digest=${digest}`, { body: text.slice(5) })).status).toBe(201)
    await second.close()
    await rm(directory, { recursive: true })
  })
})

describe('blobs', () => {
  const text = '0123456789'
  const digest = digestOf(text)
  beforeEach(async () => {
    await request('POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: text })
  })

  test.each<[range: string, status: number, body: string, contentRange: string | null]>([
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=5-100', 206, '56789', 'bytes 5-9/10'],
    ['bytes=-100', 206, text, 'bytes 0-9/10'],
    ['bytes=1-2,4-5', 200, text, null],
    ['lines=1-2', 200, text, null],
    ['bytes=4-2', 200, text, null],
  ])('range %s', async (range, status, body, contentRange) => {
    const response = await request('GET', `/v2/a/blobs/${digest}`, { headers: { range } })
    expect([response.status, await response.text(), response.headers.get('content-range')]).toEqual([status, body, contentRange])
  })

  test('a range beyond the end', async () => {
    const response = await request('GET', `/v2/a/blobs/${digest}`, { headers: { range: 'bytes=10-' } })
    expect([response.status, response.headers.get('content-range')]).toEqual([416, 'bytes */10'])
  })

  test('HEAD, and what is known already', async () => {
    const head = await request('HEAD', `/v2/a/blobs/${digest}`)
    expect([head.status, head.headers.get('content-length'), head.headers.get('docker-content-digest')]).toEqual([200, '10', digest])
    expect((await request('GET', `/v2/a/blobs/${digest}`, { headers: { 'if-none-match': head.headers.get('etag')! } })).status).toBe(304)
  })

  test('a digest may be percent-encoded', async () => {
    expect((await request('GET', `/v2/a/blobs/${encodeURIComponent(digest)}`)).status).toBe(200)
  })

  test('are mounted without saying from where, from what the client may read', async () => {
    const mounted = await request('POST', `/v2/b/blobs/uploads/?mount=${digest}`)
    expect([mounted.status, mounted.headers.get('location')]).toEqual([201, `/v2/b/blobs/${digest}`])
    expect(await (await request('GET', `/v2/b/blobs/${digest}`)).text()).toBe(text)
    expect((await request('POST', `/v2/b/blobs/uploads/?mount=${digestOf('another')}`)).status).toBe(202)

    await using guarded = await startRig({
      auth: { kind: 'basic', users: { ann: 'a', bob: 'b' }, allows: (user, repository) => repository.startsWith(user) },
    })
    const as = (user: string, to: string, body = '') =>
      fetch(guarded.server.url + to, { method: 'POST', body, headers: { authorization: `Basic ${btoa(user)}` } })
    expect((await as('ann:a', `/v2/ann/blobs/uploads/?digest=${digest}`, text)).status).toBe(201)
    // What only another user may read is uploaded as if nobody had it.
    expect((await as('bob:b', `/v2/bob/blobs/uploads/?mount=${digest}`)).status).toBe(202)
    expect((await as('ann:a', `/v2/ann-2/blobs/uploads/?mount=${digest}`)).status).toBe(201)
  })

  test('deleted in one repository stay in the others, and their bytes until the last', async () => {
    await request('POST', `/v2/b/blobs/uploads/?mount=${digest}&from=a`)
    expect((await request('DELETE', `/v2/a/blobs/${digest}`)).status).toBe(202)
    expect((await request('GET', `/v2/a/blobs/${digest}`)).status).toBe(404)
    expect(await (await request('GET', `/v2/b/blobs/${digest}`)).text()).toBe(text)
    expect((await request('DELETE', `/v2/b/blobs/${digest}`)).status).toBe(202)
    expect(await code(await request('DELETE', `/v2/b/blobs/${digest}`))).toBe('404 BLOB_UNKNOWN')
    expect((await request('POST', `/v2/c/blobs/uploads/?mount=${digest}&from=b`)).status).toBe(202)
  })
})

describe('hostile requests', () => {
  // fetch tidies paths up, so these go as they are.
  const raw = (line: string) =>
    new Promise<string>((resolve, reject) => {
      const [, port] = rig.server.host.split(':')
      const socket = net.connect(Number(port), '127.0.0.1', () =>
        socket.write(`${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`),
      )
      let text = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      socket.on('end', () => resolve(text.split('\r\n')[0]!.replace(/HTTP\/1.1 (\d+).*/, '$1')))
      socket.on('error', reject)
    })

  test.each([
    ['GET /v2/../../etc/passwd', '404'],
    ['GET /v2/../manifests/latest', '400'],
    ['GET /v2/a/../b/tags/list', '400'],
    ['GET /v2/%2e%2e/tags/list', '400'],
    ['GET /v2/a%2fb/tags/list', '400'],
    ['GET /v2/A/tags/list', '400'],
    ['GET /v2/a//b/tags/list', '400'],
    ['GET /v2/_uploads/tags/list', '400'],
    [`GET /v2/${'a'.repeat(256)}/tags/list`, '400'],
    ['GET /v2/a/manifests/..', '404'],
    ['GET /v2/a/manifests/%2e%2e%2f%2e%2e%2fx', '404'],
    ['GET /v2/a/manifests/%zz', '400'],
    ['GET /v2/a/manifests/sha256:../../../etc/passwd', '404'],
    [`GET /v2/a/blobs/sha256:${'../'.repeat(21)}.`, '404'],
    ['GET /v2/a/blobs/sha256:%2e%2e', '400'],
    ['GET /v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e', '400'],
    [`GET /v2/a/blobs/sha256:${'A'.repeat(64)}`, '400'],
    ['PATCH /v2/a/blobs/uploads/..', '404'],
    ['PATCH /v2/a/blobs/uploads/%2e%2e%2fx', '404'],
    ['PATCH /v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000', '404'],
    ['POST /v2/a/blobs/uploads/?mount=nothing&from=b', '400'],
    ['POST /v2/a/blobs/uploads/?digest=..', '400'],
    ['GET /v2/_catalog?n=-1', '400'],
    ['GET /v2/a/referrers/x', '400'],
    ['TRACE /v2/a/tags/list', '405'],
    ['DELETE /v2/a/tags/list', '405'],
    ['GET /', '404'],
  ])('%s → %s', async (line, status) => {
    expect(await raw(line)).toBe(status)
  })

  test('a range that is no range is refused', async () => {
    const location = await begin()
    expect((await request('PATCH', location, { body: 'x', headers: { 'content-range': 'x' } })).status).toBe(400)
    expect((await request('PATCH', location, { body: 'x', headers: { 'content-range': `${'9'.repeat(30)}-1` } })).status).toBe(400)
  })

  test('two requests cannot write to one upload at once', async () => {
    const location = await begin()
    const slow = request('PATCH', location, { body: slowly('a', 200), duplex: 'half' } as never)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await request('PATCH', location, { body: 'b' })).status).toBe(409)
    expect((await slow).status).toBe(202)
    expect((await request('PUT', `${location}?digest=${digestOf('aa')}`)).status).toBe(201)
  })

  function slowly(text: string, ms: number): ReadableStream {
    return new ReadableStream({
      async start(controller) {
        controller.enqueue(Buffer.from(text))
        await new Promise((resolve) => setTimeout(resolve, ms))
        controller.enqueue(Buffer.from(text))
        controller.close()
      },
    })
  }
})

describe('manifests', () => {
  const put = (name: string, raw: Uint8Array, type: string = mediaTypes.ociManifest) =>
    request('PUT', `/v2/a/manifests/${name}`, { body: raw, headers: { 'content-type': type } })

  test.each<[name: string, raw: string, type: string, expected: string]>([
    ['no JSON', 'hello', mediaTypes.ociManifest, '400 MANIFEST_INVALID'],
    [
      'another media type than it came under',
      '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
      mediaTypes.ociManifest,
      '400 MANIFEST_INVALID',
    ],
    [
      'both a manifest and an index',
      '{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}',
      mediaTypes.ociIndex,
      '400 MANIFEST_INVALID',
    ],
    ['schema 1', '{"schemaVersion":1}', 'application/vnd.docker.distribution.manifest.v1+json', '400 MANIFEST_INVALID'],
    ['a type that is none', '{}', 'text/html', '400 MANIFEST_INVALID'],
    [
      'an unknown child',
      `{"schemaVersion":2,"manifests":[{"mediaType":"${mediaTypes.ociManifest}","digest":"${digestOf('x')}","size":1}]}`,
      mediaTypes.ociIndex,
      '400 MANIFEST_BLOB_UNKNOWN',
    ],
  ])('%s is refused', async (_, raw, type, expected) => {
    expect(await code(await put('v1', Buffer.from(raw), type))).toBe(expected)
    expect((await request('GET', '/v2/a/manifests/v1')).status).toBe(404)
  })

  test('one that is too large is refused', async () => {
    expect(await code(await put('v1', Buffer.alloc(4 * 1024 * 1024 + 1, ' ')))).toBe('413 SIZE_INVALID')
  })

  test('one of another digest is refused', async () => {
    const { manifest } = await pushImage(rig.cx, rig.open('a'), 'v1')
    expect(await code(await put(digestOf('x'), manifest.raw))).toBe('400 DIGEST_INVALID')
  })

  test('a blob of another size than it is mentioned with is refused', async () => {
    const { config, layer } = await pushImage(rig.cx, rig.open('a'), 'v1')
    const lie = manifestOf(config, [{ ...layer, what: { ...layer.what, size: 1 } }])
    expect(await code(await put('v2', lie.raw))).toBe('400 MANIFEST_BLOB_UNKNOWN')
  })

  test('foreign layers need not be there', async () => {
    const { config } = await pushImage(rig.cx, rig.open('a'), 'v1')
    const foreign = layerOf(5)
    const manifest = manifestOf(config, [{ ...foreign, what: { ...foreign.what, mediaType: mediaTypes.ociForeignLayerGzip } }])
    expect((await put('v2', manifest.raw)).status).toBe(201)
  })

  test('several tags at once are told one by one', async () => {
    const { manifest } = await pushImage(rig.cx, rig.open('a'), 'v1')
    const response = await request('PUT', `/v2/a/manifests/${manifest.what.digest}?tag=x&tag=y`, {
      body: manifest.raw,
      headers: { 'content-type': mediaTypes.ociManifest },
    })
    expect(response.headers.get('oci-tag')).toBe('x, y')
    expect(await (await request('GET', '/v2/a/tags/list')).json()).toEqual({ name: 'a', tags: ['v1', 'x', 'y'] })
  })

  test('referrers can be chosen by type, and go with their manifests', async () => {
    const registry = rig.open('a')
    const { config, manifest } = await pushImage(rig.cx, registry, 'v1')
    const [sbom, signature] = ['sbom', 'signature'].map((type) =>
      manifestOf(config, [], { artifactType: `application/${type}`, subject: manifest.what }),
    )
    for (const { what, raw } of [sbom!, signature!]) {
      const response = await put(what.digest, raw)
      expect(response.headers.get('oci-subject')).toBe(manifest.what.digest)
    }
    const of = async (query = '') => {
      const response = await request('GET', `/v2/a/referrers/${manifest.what.digest}${query}`)
      expect([response.status, response.headers.get('content-type')]).toEqual([200, mediaTypes.ociIndex])
      return {
        applied: response.headers.get('oci-filters-applied'),
        types: ((await response.json()) as { manifests: { artifactType: string }[] }).manifests.map((entry) => entry.artifactType).sort(),
      }
    }
    expect(await of()).toEqual({ applied: null, types: ['application/sbom', 'application/signature'] })
    expect(await of('?artifactType=application/sbom')).toEqual({ applied: 'artifactType', types: ['application/sbom'] })
    await request('DELETE', `/v2/a/manifests/${sbom!.what.digest}`)
    expect((await of()).types).toEqual(['application/signature'])
  })

  test('a list of referrers comes in pages of bounded size', async () => {
    const registry = rig.open('big')
    const { config, manifest } = await pushImage(rig.cx, registry, 'v1')
    // One more than a page has room for.
    const annotations = { note: 'x'.repeat(limit.referrersPageBytes / 4) }
    for (let at = 0; at < 5; at++) {
      const { what, raw } = manifestOf(config, [], { artifactType: `application/${at}`, subject: manifest.what, annotations })
      expect(
        (await request('PUT', `/v2/big/manifests/${what.digest}`, { body: raw, headers: { 'content-type': mediaTypes.ociManifest } }))
          .status,
      ).toBe(201)
    }
    const seen: string[] = []
    let pages = 0
    let to: string | undefined = `/v2/big/referrers/${manifest.what.digest}`
    while (to !== undefined) {
      const response: Response = await request('GET', to)
      const body = Buffer.from(await response.arrayBuffer())
      expect(body.length).toBeLessThan(limit.referrersPageBytes + 4096)
      seen.push(...(JSON.parse(body.toString()) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest))
      to = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
      pages++
    }
    expect([pages, new Set(seen).size, seen.length]).toEqual([2, 5, 5])
    // A client reads them as one list.
    expect(await registry.referrers(rig.cx, manifest.what.digest)).toHaveLength(5)
  })

  test('tags and repositories are listed page by page', async () => {
    for (const name of ['c', 'a/b', 'a', 'B'.toLowerCase()]) await pushImage(rig.cx, rig.open(name), 'v1')
    for (const name of ['v10', 'v2', 'V3']) await rig.open('a').name(rig.cx, await rig.open('a').resolve(rig.cx, 'v1'), name)
    const page = async (to: string) => {
      const response = await request('GET', to)
      return { ...((await response.json()) as { tags?: string[]; repositories?: string[] }), link: response.headers.get('link') }
    }
    expect(await page('/v2/a/tags/list?n=2')).toEqual({ name: 'a', tags: ['V3', 'v1'], link: '</v2/a/tags/list?n=2&last=v1>; rel="next"' })
    expect(await page('/v2/a/tags/list?n=2&last=v1')).toEqual({ name: 'a', tags: ['v10', 'v2'], link: null })
    expect(await page('/v2/a/tags/list?n=0')).toEqual({ name: 'a', tags: [], link: null })
    expect(await page('/v2/_catalog?n=3')).toEqual({ repositories: ['a', 'a/b', 'b'], link: '</v2/_catalog?n=3&last=b>; rel="next"' })
    expect(await page('/v2/_catalog?n=3&last=b')).toEqual({ repositories: ['c'], link: null })
    expect(await code(await request('GET', '/v2/none/tags/list'))).toBe('404 NAME_UNKNOWN')
  })
})

test('what a killed process left is removed when it is old, and never shown', async () => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'stave-registry-'))
  await mkdir(path.join(directory, 'repositories/a/_uploads'), { recursive: true })
  const old = path.join(directory, 'repositories/a/_uploads/00000000-0000-4000-8000-000000000000')
  await writeFile(old, 'half')
  const { utimes } = await import('node:fs/promises')
  await utimes(old, 0, 0)
  await writeFile(path.join(directory, '.x.tmp'), 'half')
  await utimes(path.join(directory, '.x.tmp'), 0, 0)
  const server = await serve({ directory })
  expect(await readdir(path.dirname(old))).toEqual([])
  expect((await readdir(directory)).sort()).toEqual(['.lock', 'blobs', 'repositories'])
  expect(await (await fetch(`${server.url}/v2/_catalog`)).json()).toEqual({ repositories: [] })
  await server.close()
  await rm(directory, { recursive: true })
})

test('blobs are plain files that sha256sum can check', async () => {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'stave-registry-'))
  await using other = await startRig({ directory })
  const { layer } = await pushImage(other.cx, other.open('a/b'), 'v1')
  const file = path.join(directory, 'blobs/sha256', layer.what.digest.slice(7))
  expect(digestOf(await readFile(file))).toBe(layer.what.digest)
  await rm(directory, { recursive: true })
})

test('a manifest whose blobs or images are not there is refused, unless the registry is sparse', async () => {
  await using sparse = await startRig({ sparse: true })
  const image = manifestOf(configOf(), [layerOf(10)])
  for (const { what, raw } of [image, indexOf([image])]) {
    const put = (server: string) =>
      request('PUT', `${server}/v2/a/manifests/v1`, { body: Buffer.from(raw), headers: { 'content-type': what.mediaType } })
    expect(await code(await put(rig.server.url))).toBe('400 MANIFEST_BLOB_UNKNOWN')
    expect((await put(sparse.server.url)).status).toBe(201)
    expect((await request('GET', `${sparse.server.url}/v2/a/manifests/v1`)).headers.get('docker-content-digest')).toBe(what.digest)
  }
})

test('numbers are for those whom the registry lets in', async () => {
  await using closed = await startRig({ auth: { kind: 'basic', users: { ann: 'p' } } })
  expect((await request('GET', `${closed.server.url}/metrics`)).status).toBe(401)
  const authorization = `Basic ${Buffer.from('ann:p').toString('base64')}`
  await request('GET', `${closed.server.url}/v2/a/manifests/v1`, { headers: { authorization } })
  const text = async () => (await request('GET', `${closed.server.url}/metrics`, { headers: { authorization } })).text()
  await expect.poll(text, { timeout: 10_000 }).toContain('stave_registry_requests_total{method="GET",route="manifests",status="404"} 1')
  // Every line is a comment, or a name with labels and a number.
  const lines = (await text()).trimEnd().split('\n')
  expect(lines.filter((line) => !/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [\d.]+)$/.test(line))).toEqual([])
  expect(lines).toContain('stave_registry_request_seconds_count{route="manifests"} 1')
})

test('a read-only registry refuses to change', async () => {
  await using other = await startRig({ readOnly: true })
  expect(await code(await request('POST', `${other.server.url}/v2/a/blobs/uploads/`))).toBe('405 UNSUPPORTED')
  expect((await request('GET', `${other.server.url}/v2/`)).status).toBe(200)
})

test('a port that is taken is said', async () => {
  const port = Number(rig.server.host.split(':')[1])
  const directory = await mkdtemp(path.join(os.tmpdir(), 'stave-registry-'))
  await expect(serve({ directory, port })).rejects.toMatchObject({ code: 'in-use' })
  await rm(directory, { recursive: true })
})

describe('passwords', () => {
  // Of the password `geheim`, made by crypt(3) and by openssl.
  const users = parseHtpasswd(`
# comment
bcrypt:$2y$05$eYpQeDm7g9VatMpXc02L/u.DJ6p.xUSzALzchA8u0yZCU/bAbeEG2
sha:{SHA}kGByAB793z4R5tK1eC9Hd/4Dhzk=
apr1:$apr1$saltsalt$9/tMzdzSc6dIiPlJw6UTa.
plain:geheim
`)

  test.each(Object.keys(users))('as %s', async (user) => {
    await using other = await startRig({ auth: { kind: 'basic', users } })
    const ask = async (password: string) =>
      (
        await request('GET', `${other.server.url}/v2/`, {
          headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
        })
      ).status
    expect([await ask('geheim'), await ask('geheim'), await ask('geheim '), await ask('')]).toEqual([200, 200, 401, 401])
  })
})

test('fifty blobs of one digest at once end as one', async () => {
  const layer = layerOf(100_000)
  await Promise.all(Array.from({ length: 50 }, async (_, index) => rig.open(`r${index}`).write(rig.cx, layer.what, bytesOf(layer.raw))))
  const found = await Promise.all(Array.from({ length: 50 }, (_, index) => rig.open(`r${index}`).has(rig.cx, layer.what)))
  expect(found.every(Boolean)).toBe(true)
  expect(configOf().what.size).toBeGreaterThan(0)
})
