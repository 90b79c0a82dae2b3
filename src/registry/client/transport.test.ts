import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background } from '#context.ts'
import { parseReference } from '#oci/reference.ts'
import type { Credential } from '../login/credential.ts'
import { type Credentials, givenCredentials } from '../login/credentials.ts'
import { createGate } from '../gate.ts'
import { bundleOf } from './certificates.ts'
import { bodyOfBytes } from './message.ts'
import { addressOf } from './host.ts'
import { parseHosts } from './hosts.ts'
import { createRegistryClient } from './registry.ts'
import { settlingScheme } from './scheme.ts'
import { serve } from '../server/server.ts'
import { bytesOf, collect, layerOf, pushImage, startRig } from '../testing.ts'

const users = { user: 'geheim', reader: 'x' }
const mine = givenCredentials('user', 'geheim')
const fixed = (credential: Credential): Credentials => ({ find: async () => credential })
const failure = async (promise: Promise<unknown>) => {
  const error: unknown = await promise.then(
    () => expect.unreachable(),
    (reason: unknown) => reason,
  )
  return error as Error & { code: string; hint?: string; cause?: Error }
}

describe('Basic', () => {
  test('takes one 401, then sends the password from the start', async () => {
    await using rig = await startRig({ auth: { kind: 'basic', users } })
    await pushImage(rig.cx, rig.open('a', { credentials: mine }), 'v1')
    expect(rig.requests.filter(({ status }) => status === 401)).toHaveLength(1)
  })

  test('a wrong password is said, with where it came from, and not shown', async () => {
    await using rig = await startRig({ auth: { kind: 'basic', users } })
    const error = await failure(rig.open('a', { credentials: givenCredentials('user', 'falsch') }).resolve(rig.cx, 'v1'))
    expect(error).toMatchObject({ code: 'unauthorized', hint: expect.stringContaining('came from the command line') })
    expect(JSON.stringify([error.message, error.hint, error.cause?.message])).not.toContain('falsch')
    expect(rig.requests).toHaveLength(2)
  })

  test('without credentials, how to log in is said', async () => {
    await using rig = await startRig({ auth: { kind: 'basic', users } })
    expect(await failure(rig.open('a').resolve(rig.cx, 'v1'))).toMatchObject({
      code: 'unauthorized',
      hint: expect.stringContaining(`stave login ${rig.server.host}`),
    })
  })

  test('who may only read is denied', async () => {
    await using rig = await startRig({ auth: { kind: 'basic', users, allows: (user, _, action) => user === 'user' || action === 'pull' } })
    const reader = rig.open('a', { credentials: givenCredentials('reader', 'x') })
    await pushImage(rig.cx, rig.open('a', { credentials: mine }), 'v1')
    await reader.resolve(rig.cx, 'v1')
    const layer = layerOf(10)
    expect(await failure(reader.write(rig.cx, layer.what, bytesOf(layer.raw)))).toMatchObject({ code: 'denied' })
  })

  test('ping tells right from wrong', async () => {
    await using rig = await startRig({ auth: { kind: 'basic', users } })
    await rig.client({ credentials: mine }).ping(rig.cx, rig.server.host)
    expect(await failure(rig.client({ credentials: givenCredentials('user', 'no') }).ping(rig.cx, rig.server.host))).toMatchObject({
      code: 'unauthorized',
    })
  })
})

describe('Bearer', () => {
  const auth = { kind: 'token', users } as const

  test('a push takes one 401 and one token', async () => {
    await using rig = await startRig({ auth })
    const registry = rig.open('a', { credentials: mine })
    const layers = Array.from({ length: 10 }, () => layerOf(100))
    await Promise.all(
      layers.map(async ({ what, raw }) => {
        if (!(await registry.has(rig.cx, what))) await registry.write(rig.cx, what, bytesOf(raw))
      }),
    )
    const log = rig.log()
    expect(log.filter((line) => line.includes('/token'))).toHaveLength(1)
    // The ten began before there was a token; one of them asked.
    expect(log.filter((line) => line.endsWith('401'))).toHaveLength(1)
    expect(log.filter((line) => line.startsWith('POST'))).toHaveLength(10)
  })

  test('what anyone may read needs no credentials', async () => {
    await using rig = await startRig({ auth: { ...auth, anonymous: 'pull' } })
    await pushImage(rig.cx, rig.open('a', { credentials: mine }), 'v1')
    await rig.open('a').resolve(rig.cx, 'v1')
    const layer = layerOf(10)
    const error = await failure(rig.open('a').write(rig.cx, layer.what, bytesOf(layer.raw)))
    expect(error).toMatchObject({ code: 'denied', hint: expect.stringContaining('No credentials') })
  })

  test('an expired token is replaced in the middle', async () => {
    await using rig = await startRig({ auth: { ...auth, lifetimeS: 1 } })
    const registry = rig.open('a', { credentials: mine })
    await pushImage(rig.cx, registry, 'v1')
    await new Promise((resolve) => setTimeout(resolve, 1100))
    // The client believes in its token for a minute at least, and learns better.
    await pushImage(rig.cx, registry, 'v2')
    const upload = layerOf(3 * 1024 * 1024)
    await new Promise((resolve) => setTimeout(resolve, 1100))
    await registry.write(rig.cx, upload.what, bytesOf(upload.raw))
    expect(rig.log().filter((line) => line.includes('/token'))).toHaveLength(3)
  })

  test('a token that ends during an upload is replaced, and the upload repeated', async () => {
    await using rig = await startRig({ auth: { ...auth, lifetimeS: 1 } })
    const registry = rig.open('a', { credentials: mine })
    const layer = layerOf(3 * 1024 * 1024)
    let isFirst = true
    await registry.transfer(rig.cx, layer.what, async (from) => {
      if (isFirst) await new Promise((resolve) => setTimeout(resolve, 1100))
      isFirst = false
      return bytesOf(layer.raw, from)
    })
    expect((await collect(await registry.open(rig.cx, layer.what))).length).toBe(layer.raw.length)
  })

  test('a mount asks for both repositories in one token', async () => {
    await using rig = await startRig({ auth })
    const client = rig.client({ credentials: mine })
    const [from, to] = ['from', 'to'].map((name) => client.open(parseReference(`${rig.server.host}/${name}/x`)))
    const { layer } = await pushImage(rig.cx, from!, 'v1')
    rig.log()
    expect(await to!.adopt(rig.cx, layer.what, from!)).toBe(true)
    const token = rig.log().find((line) => line.includes('/token'))
    expect(token).toContain('scope=repository:to/x:pull,push')
    expect(token).toContain('scope=repository:from/x:pull')
  })

  test('an identity token is exchanged by POST', async () => {
    await using rig = await startRig({ auth })
    const form = new URLSearchParams({ grant_type: 'password', username: 'user', password: 'geheim', service: 'stave', scope: '' })
    const { refresh_token: token } = (await (await fetch(`${rig.server.url}/token`, { method: 'POST', body: form })).json()) as {
      refresh_token: string
    }
    rig.log()
    await pushImage(
      rig.cx,
      rig.open('a', { credentials: fixed({ kind: 'identity-token', username: '<token>', token, from: 'test' }) }),
      'v1',
    )
    expect(rig.log().filter((line) => line.includes('/token'))).toEqual(['POST /token 200'])
  })

  test('a wrong password is said by the token server', async () => {
    await using rig = await startRig({ auth })
    const error = await failure(rig.open('a', { credentials: givenCredentials('user', 'falsch') }).resolve(rig.cx, 'v1'))
    expect(error).toMatchObject({ code: 'unauthorized', message: expect.stringContaining('cannot get a token') })
  })

  test('the catalog has a scope of its own', async () => {
    await using rig = await startRig({ auth })
    const client = rig.client({ credentials: mine })
    await pushImage(rig.cx, client.open(parseReference(`${rig.server.host}/a`)), 'v1')
    expect(await client.listRepositories(rig.cx, rig.server.host)).toEqual(['a'])
    await client.ping(rig.cx, rig.server.host)
  })

  test.each([
    ['no challenge', {}, 'unauthorized'],
    ['one that cannot be answered', { 'www-authenticate': 'Negotiate' }, 'unauthorized'],
    ['a token server that is a file', { 'www-authenticate': 'Bearer realm="file:///etc/passwd"' }, 'registry-problem'],
  ])('a 401 with %s', async (_, headers, code) => {
    const server = createServer((_request, response) => void response.writeHead(401, headers).end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    await using client = createRegistryClient({ credentials: mine })
    expect(await failure(client.open(parseReference(`${host}/a`)).resolve(background, 'v1'))).toMatchObject({ code })
    server.close()
  })

  test.each([
    ['that is no JSON', 'hello'],
    ['without a token', '{}'],
    ['with a token that would break the header', '{"token":"a\\r\\nb"}'],
  ])('an answer of the token server %s', async (_, body) => {
    const server = createServer((request, response) => {
      if (request.url!.startsWith('/token')) response.end(body)
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token"` }).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
    await using client = createRegistryClient({ credentials: mine })
    expect(await failure(client.open(parseReference(`${host}/a`)).resolve(background, 'v1'))).toMatchObject({ code: 'registry-problem' })
    server.close()
  })
})

describe('TLS', () => {
  let directory: string
  const file = (name: string) => path.join(directory, name)
  const pem = (name: string) => readFile(file(name), 'utf8')
  const openssl = (...parameters: string[]) => execFileSync('openssl', parameters, { cwd: directory, stdio: 'pipe' })

  beforeAll(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'stave-tls-'))
    await writeFile(file('ext'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=stave test authority')
    for (const name of ['server', 'client']) {
      openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        'ca.crt',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-out',
        `${name}.pem`,
        '-days',
        '2',
        '-extfile',
        'ext',
      )
    }
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  async function certsFor(host: string, ...files: readonly (readonly [from: string, to: string])[]): Promise<string> {
    const parent = await mkdtemp(path.join(directory, 'certs-'))
    await mkdir(path.join(parent, host))
    for (const [from, to] of files) await writeFile(path.join(parent, host, to), await pem(from))
    return parent
  }

  const tls = async (clientAuthority = false) => ({
    certificate: await pem('server.pem'),
    key: await pem('server.key'),
    ...(clientAuthority ? { clientAuthority: await pem('ca.crt') } : {}),
  })

  test('with an authority from certs.d', async () => {
    await using rig = await startRig({ tls: await tls() })
    const certificates = [await certsFor(rig.server.host, ['ca.crt', 'ca.crt'])]
    const registry = rig.open('a', { tls: { certificates } })
    const layer = layerOf(3 * 1024 * 1024)
    await registry.has(rig.cx, layer.what)
    await registry.write(rig.cx, layer.what, bytesOf(layer.raw))
    expect((await collect(await registry.open(rig.cx, layer.what))).length).toBe(layer.raw.length)
  })

  test('an unknown authority is refused, and how to add it said', async () => {
    await using rig = await startRig({ tls: await tls() })
    expect(await failure(rig.open('a', { tls: { verify: true } }).resolve(rig.cx, 'v1'))).toMatchObject({
      code: 'tls',
      hint: expect.stringContaining(`certs.d/${rig.server.host}/ca.crt`),
    })
    expect(rig.requests).toEqual([])
  })

  test('--tls-verify=false accepts it', async () => {
    await using rig = await startRig({ tls: await tls() })
    await pushImage(rig.cx, rig.open('a', { tls: { verify: false } }), 'v1')
  })

  test('so does an insecure entry of registries.conf', async () => {
    await using rig = await startRig({ tls: await tls() })
    const hosts = parseHosts([{ file: 'x', text: `[[registry]]\nlocation = "${rig.server.host}"\ninsecure = true` }])
    await pushImage(rig.cx, rig.open('a', { hosts }), 'v1')
  })

  test('a client certificate is shown where there is one', async () => {
    await using rig = await startRig({ tls: await tls(true) })
    const authority = ['ca.crt', 'ca.crt'] as const
    const without = [await certsFor(rig.server.host, authority)]
    expect(['tls', 'network']).toContain(
      (await failure(rig.open('a', { tls: { certificates: without }, retry: { attempts: 1 } }).resolve(rig.cx, 'v1'))).code,
    )
    const full = [await certsFor(rig.server.host, authority, ['client.pem', 'me.cert'], ['client.key', 'me.key'])]
    await pushImage(rig.cx, rig.open('a', { tls: { certificates: full } }), 'v1')
  })

  test('certificates that are given for a host go before certs.d, and are for that host', async () => {
    await using rig = await startRig({ tls: await tls(true) })
    const client = { certificate: await pem('client.pem'), key: await pem('client.key') }
    const certificates = [await certsFor(rig.server.host, ['client.pem', 'me.cert'])]
    const tlsFor = (host: string) => ({ verify: true, certificates, given: new Map([[host, { authorities: [authority], client }]]) })
    const authority = await pem('ca.crt')
    await pushImage(rig.cx, rig.open('a', { tls: tlsFor(rig.server.host) }), 'v1')
    const elsewhere = rig.open('a', { tls: { ...tlsFor('other.example'), certificates: [] }, retry: { attempts: 1 } })
    expect(['tls', 'network']).toContain((await failure(elsewhere.resolve(rig.cx, 'v1'))).code)
  })

  test('half of a client certificate is an error', async () => {
    await using rig = await startRig({ tls: await tls(true) })
    const certificates = [await certsFor(rig.server.host, ['client.pem', 'me.cert'])]
    expect(await failure(rig.open('a', { tls: { certificates, verify: true } }).resolve(rig.cx, 'v1'))).toMatchObject({
      code: 'tls',
      message: expect.stringContaining('me.key is missing'),
    })
  })

  test('plain http is not accepted where TLS is asked for', async () => {
    await using rig = await startRig()
    expect(await failure(rig.open('a', { tls: { verify: true } }).resolve(rig.cx, 'v1'))).toMatchObject({
      code: 'tls',
      hint: expect.stringContaining('does not speak TLS'),
    })
  })

  test('a push to TLS on loopback begins with HEAD, and finds out, once', async () => {
    await using rig = await startRig({ tls: await tls() })
    const certificates = [await certsFor(rig.server.host, ['ca.crt', 'ca.crt'])]
    // Registries in Go answer a plain request with a text; that of Node hangs up.
    const { createServer: createTcp, connect } = await import('node:net')
    let plain = 0
    const front = createTcp((socket) => {
      socket.once('data', (first) => {
        if (first[0] !== 0x16) {
          plain++
          const body = first.toString('latin1').startsWith('HEAD') ? '' : 'Client sent an HTTP request to an HTTPS server.\n'
          socket.end(`HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n${body}`)
          return
        }
        const back = connect(Number(rig.server.host.split(':')[1]), '127.0.0.1')
        back.write(first)
        socket.pipe(back).pipe(socket)
        for (const end of [socket, back]) end.on('error', () => socket.destroy())
      })
    })
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
    const host = `127.0.0.1:${(front.address() as AddressInfo).port}`
    await mkdir(path.join(certificates[0]!, host))
    await writeFile(path.join(certificates[0]!, host, 'ca.crt'), await pem('ca.crt'))
    await using client = createRegistryClient({ tls: { certificates } })
    const registry = client.open(parseReference(`${host}/a`))
    const layers = Array.from({ length: 5 }, () => layerOf(2 * 1024 * 1024))
    await Promise.all(
      layers.map(async ({ what, raw }) => {
        expect(await registry.has(rig.cx, what)).toBe(false)
        await registry.write(rig.cx, what, bytesOf(raw))
      }),
    )
    await pushImage(rig.cx, registry, 'v1')
    expect(plain).toBe(2)
    front.close()
  })

  test('many connections at once to plain http where TLS is tried first settle on one scheme', async () => {
    // Names of loopback are plain from the start, so this is the stage by itself.
    const asked: string[] = []
    const host = {
      name: 'r.example:5000',
      isInsecure: true,
      schemes: ['https:', 'http:'] as readonly ('https:' | 'http:')[],
      pausedUntil: 0,
      gate: createGate(32),
    }
    const send = settlingScheme(async (_, job) => {
      const url = addressOf(job.host, job.call)
      asked.push(url.protocol)
      await new Promise((resolve) => setTimeout(resolve, 5))
      if (url.protocol === 'https:') throw Object.assign(new Error('wrong version number'), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' })
      return { method: 'GET', url, status: 200, headers: {}, body: bodyOfBytes(new Uint8Array()) }
    })
    const endpoint = parseHosts([]).endpoints('r.example:5000', 'a')[0]!
    const call = { method: 'GET', to: '/v2/a', scopes: [], expect: [200], doing: 'x' } as const
    const answers = await Promise.all(Array.from({ length: 8 }, () => send(background, { call, host, endpoint })))
    expect(answers.map(({ url }) => url.protocol)).toEqual(Array(8).fill('http:'))
    expect(asked.filter((scheme) => scheme === 'https:')).toHaveLength(1)
  })

  test.each(['an authority', 'the certificate of the server itself'])('$SSL_CERT_FILE and $SSL_CERT_DIR name %s', async (which) => {
    const isOwn = which !== 'an authority'
    if (isOwn) {
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
      openssl(
        'req',
        '-x509',
        ...key,
        '-keyout',
        'own.key',
        '-out',
        'own.pem',
        '-days',
        '2',
        '-subj',
        '/CN=x',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
      )
    }
    const server = isOwn ? { certificate: await pem('own.pem'), key: await pem('own.key') } : await tls()
    await using rig = await startRig({ tls: server })
    const names = await mkdtemp(path.join(directory, 'bundle-'))
    await writeFile(path.join(names, 'a.pem'), await pem(isOwn ? 'own.pem' : 'ca.crt'))
    for (const environment of [{ SSL_CERT_FILE: path.join(names, 'a.pem') }, { SSL_CERT_DIR: `${names}:` }])
      await pushImage(rig.cx, rig.open('a', { tls: { bundle: bundleOf(environment) } }), 'v1')
    const error = await failure(rig.open('a', { tls: { bundle: bundleOf({ SSL_CERT_FILE: '/nowhere' }) } }).resolve(rig.cx, 'v1'))
    expect(error).toMatchObject({ code: 'tls', message: expect.stringContaining('$SSL_CERT_FILE') })
  })

  test('a redirect from https to http is refused', async () => {
    await using rig = await startRig({ tls: await tls() })
    const certificates = [await certsFor(rig.server.host, ['ca.crt', 'ca.crt'])]
    rig.server.faults.add({ method: 'GET', redirect: 'http://127.0.0.1:1/x' })
    const registry = rig.open('a', { tls: { certificates, verify: true } })
    expect(await failure(registry.open(rig.cx, layerOf(10).what))).toMatchObject({
      code: 'tls',
      message: expect.stringContaining('redirects from https to plain http'),
    })
  })
})

test('a registry that answers nothing ends with the operation', async () => {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  await using client = createRegistryClient()
  const stop = { ...background, signal: AbortSignal.timeout(100) }
  const registry = client.open(parseReference(`127.0.0.1:${(server.address() as AddressInfo).port}/a`))
  expect(await failure(registry.resolve(stop, 'v1'))).toMatchObject({ code: 'cancelled' })
  server.closeAllConnections()
  server.close()
})

test('a proxy is used, but not for loopback', async () => {
  const asked: string[] = []
  const proxy = createServer()
  proxy.on('connect', (request, socket) => {
    asked.push(request.url!)
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  await using client = createRegistryClient({ proxy: { http: address, https: address }, retry: { attempts: 1 } })
  expect((await failure(client.open(parseReference('registry.invalid/a')).resolve(background, 'v1'))).code).toBe('network')
  expect(asked).toEqual(['registry.invalid:443'])
  const directory = await mkdtemp(path.join(os.tmpdir(), 'stave-registry-'))
  const server = await serve({ directory })
  await client.ping(background, server.host)
  await server.close()
  await rm(directory, { recursive: true })
  proxy.close()
})
