import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StaveError } from '#error.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import * as limit from '#limit.ts'
import { type Answer, Refusal, refusalAnswer, sendAnswer } from './answer.ts'
import { type Caller, createGuard, type Guard, type Need, type ServerAuth } from './auth.ts'
import { createFaults, type Fault, type Faults } from './fault.ts'
import { createManifests, type Manifests } from './manifests.ts'
import { checkOrigin, type Names } from './origin.ts'
import { openStorage, type Storage } from './storage.ts'
import { blobCreated, createUploads, type Uploads } from './uploads.ts'

export interface ServeOptions {
  /** Where everything is kept; made when it does not exist. */
  readonly directory: string
  /** Default: `127.0.0.1`. */
  readonly host?: string
  /** Default: 0, any free one. */
  readonly port?: number
  readonly auth?: ServerAuth
  /** In PEM. With `clientAuthority`, only clients with a certificate of it are let in. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientAuthority?: string }
  readonly readOnly?: boolean
  /** Host names that it is asked for under, besides those of loopback; default on other addresses: any. */
  readonly allowedHosts?: readonly string[]
  /** What goes wrong on purpose, for tests. */
  readonly faults?: readonly Fault[]
  /** Told of each request just before its answer is sent. */
  readonly onRequest?: (request: ServedRequest) => void
}

export interface ServedRequest {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly status: number
  readonly headers: Readonly<IncomingMessage['headers']>
}

export interface RegistryServer {
  /** `http://127.0.0.1:5000` */
  readonly url: string
  /** As in a reference: `127.0.0.1:5000`. */
  readonly host: string
  readonly faults: Faults
  close(): Promise<void>
}

const staleUploadMs = 7 * 24 * 3600 * 1000

interface Parts {
  readonly storage: Storage
  readonly uploads: Uploads
  readonly manifests: Manifests
  readonly guard: Guard
  readonly names: Names
  readonly isReadOnly: boolean
}

interface Request {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: AsyncIterable<Uint8Array>
  readonly origin: string
}

/**
 * Serves a registry from a directory. One process at a time may serve a directory.
 *
 * @throws StaveError `in-use` when the port is taken, `usage` when it is none, `tls` for a certificate, `permission`, `io`
 * @see distribution-spec 1.1
 */
export async function serve(options: ServeOptions): Promise<RegistryServer> {
  const storage = await openStorage(options.directory).catch((cause: unknown) => {
    throw new StaveError('io', `cannot serve a registry from ${JSON.stringify(options.directory)}`, { cause })
  })
  await storage.removeStaleUploads(staleUploadMs)
  const faults = createFaults(options.faults)
  const parts: Parts = {
    storage,
    uploads: createUploads(storage),
    manifests: createManifests(storage),
    guard: createGuard(options.auth),
    names: { host: options.host ?? '127.0.0.1', allowed: options.allowedHosts ?? [] },
    isReadOnly: options.readOnly ?? false,
  }
  const scheme = options.tls === undefined ? 'http' : 'https'
  const server = await createServer(options, (request, response) => {
    const { method = 'GET', url: path = '/', headers } = request
    void handle(parts, faults, scheme, request, response, (status) => options.onRequest?.({ method, path, status, headers }))
  })
  const address = await listen(server, options)
  const host = `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
  return {
    url: `${scheme}://${host}`,
    host,
    faults,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
      await parts.guard[Symbol.asyncDispose]()
    },
  }
}

async function createServer(
  options: ServeOptions,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  // A large blob over a slow line takes longer than any limit on the whole request.
  const settings = { requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 65_000, noDelay: true, highWaterMark: 1024 * 1024 }
  if (options.tls === undefined) return createHttpServer(settings, listener)
  const { createServer: createHttpsServer } = await import('node:https')
  const { certificate, key, clientAuthority } = options.tls
  const client = clientAuthority === undefined ? {} : { ca: clientAuthority, requestCert: true, rejectUnauthorized: true }
  try {
    return createHttpsServer({ ...settings, cert: certificate, key, ...client }, listener)
  } catch (cause) {
    throw new StaveError('tls', 'cannot serve a registry over TLS: the certificate or its key cannot be used', {
      cause,
      hint: 'Both are in PEM, and the key is the one of the certificate.',
    })
  }
}

async function listen(server: Server, options: ServeOptions): Promise<AddressInfo> {
  const host = options.host ?? '127.0.0.1'
  const port = options.port ?? 0
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new StaveError('usage', `cannot serve a registry at port ${port}`, { hint: 'Ports are from 1 to 65535; 0 takes any free one.' })
  }
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'in-use' : cause.code === 'EACCES' ? 'permission' : 'io'
      reject(
        new StaveError(code, `cannot serve a registry at ${host}:${port}`, { cause, hint: 'Choose another port; 0 takes any free one.' }),
      )
    })
    server.listen(port, host, () => resolve(server.address() as AddressInfo))
  })
}

async function handle(
  parts: Parts,
  faults: Faults,
  scheme: string,
  message: IncomingMessage,
  response: ServerResponse,
  tell: (status: number) => void,
): Promise<void> {
  const method = message.method ?? 'GET'
  const fault = faults.strike(method, message.url ?? '/')
  let answer: Answer
  try {
    if (fault?.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, fault.delayMs))
    answer = faultAnswer(fault, message.url ?? '/') ?? (await route(parts, requestOf(message, scheme, fault)))
  } catch (error) {
    // A client that has gone needs no answer.
    if (message.destroyed && !message.complete) return tell(499)
    answer = refusalAnswer(error instanceof Refusal ? error : new Refusal(500, 'UNKNOWN', 'the registry failed'))
  }
  tell(answer.status)
  try {
    await sendAnswer(response, method, answer, fault)
  } catch {
    // The client broke off, or the file vanished midway: the connection is the only way left to say so.
    response.destroy()
  }
}

function requestOf(message: IncomingMessage, scheme: string, fault: Fault | undefined): Request {
  const raw = message.url ?? '/'
  const question = raw.indexOf('?')
  return {
    method: message.method ?? 'GET',
    path: question < 0 ? raw : raw.slice(0, question),
    query: new URLSearchParams(question < 0 ? '' : raw.slice(question)),
    headers: message.headers,
    body: fault?.cutUploadAfter === undefined ? bodyOf(message) : cutUpload(message, fault.cutUploadAfter),
    origin: `${scheme}://${message.headers.host ?? 'localhost'}`,
  }
}

// Whoever stops reading midway, because it is too much, still wants to answer: the usual iterator would hang up.
function bodyOf(message: IncomingMessage): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => message.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array> }
}

async function* cutUpload(message: IncomingMessage, limit: number): AsyncGenerator<Uint8Array> {
  let seen = 0
  for await (const chunk of message as AsyncIterable<Uint8Array>) {
    const rest = limit - seen
    yield chunk.subarray(0, rest)
    seen += chunk.length
    if (seen < limit) continue
    message.destroy()
    throw new Error('cut on purpose')
  }
}

function faultAnswer(fault: Fault | undefined, path: string): Answer | undefined {
  if (fault?.redirect !== undefined) {
    const location = typeof fault.redirect === 'string' ? fault.redirect : fault.redirect(path)
    return { status: 307, headers: { location } }
  }
  if (fault?.status === undefined) return undefined
  const code = fault.status === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN'
  return refusalAnswer(new Refusal(fault.status, code, 'failed on purpose', { 'retry-after': fault.retryAfter }))
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const namePattern = new RegExp(`^${component}(?:/${component})*$`)
const routePattern = /^\/v2\/(.+)\/(?:(tags)\/(list)|(manifests|referrers|blobs)\/([^/]+)|blobs\/(uploads)\/([^/]*))$/

async function route(parts: Parts, request: Request): Promise<Answer> {
  const { method, path, query } = request
  const { guard, manifests } = parts
  checkOrigin(request.headers, parts.names)
  const authorize = (...needs: Need[]) => guard.admit(request.headers.authorization, needs, request.origin)
  if (path === '/token') return guard.token(method, request.headers.authorization, query, await readForm(request))
  if (path === '/v2/' || path === '/v2') {
    await authorize('ping')
    allow(method, 'GET', 'HEAD')
    return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from('{}') }
  }
  if (path === '/v2/_catalog') {
    await authorize('catalog')
    allow(method, 'GET', 'HEAD')
    return manifests.catalog(query)
  }
  const match = routePattern.exec(path)
  if (match === null) throw new Refusal(404, 'UNSUPPORTED', 'no such address')
  const [, repository = '', tags, , kind, item, uploads, id] = match
  if (repository.length > 255 || !namePattern.test(repository)) throw new Refusal(400, 'NAME_INVALID', 'not the name of a repository')
  const isRead = method === 'GET' || method === 'HEAD'
  const isDelete = method === 'DELETE' && uploads === undefined
  const caller = await authorize({ repository, action: isDelete ? 'delete' : isRead && uploads === undefined ? 'pull' : 'push' })
  if (parts.isReadOnly && !isRead) throw new Refusal(405, 'UNSUPPORTED', 'this registry is read-only')

  if (tags !== undefined) {
    allow(method, 'GET', 'HEAD')
    return manifests.tags(repository, query)
  }
  if (uploads !== undefined) return routeUpload(parts, request, caller, repository, id ?? '')
  const name = decode(item ?? '')
  if (kind === 'referrers') {
    allow(method, 'GET', 'HEAD')
    return manifests.referrers(repository, name, query)
  }
  if (kind === 'blobs') return routeBlob(parts, request, repository, name)
  allow(method, 'GET', 'HEAD', 'PUT', 'DELETE')
  if (isRead) return manifests.get(repository, name, request.headers)
  if (method === 'DELETE') return manifests.delete(repository, name)
  return manifests.put(repository, name, request.headers['content-type'] ?? '', request.body, query)
}

async function routeBlob({ storage }: Parts, { method, headers }: Request, repository: string, name: string): Promise<Answer> {
  allow(method, 'GET', 'HEAD', 'DELETE')
  const digest = asDigest(name)
  if (method === 'DELETE') {
    if (!(await storage.deleteBlob(repository, digest))) throw new Refusal(404, 'BLOB_UNKNOWN', `no blob ${digest} in ${repository}`)
    return { status: 202 }
  }
  const size = await storage.blobSize(repository, digest)
  if (size === undefined) throw new Refusal(404, 'BLOB_UNKNOWN', `no blob ${digest} in ${repository}`)
  const etag = `"${digest}"`
  const fields = { 'content-type': 'application/octet-stream', 'docker-content-digest': digest, etag, 'accept-ranges': 'bytes' }
  if (headers['if-none-match'] === etag) return { status: 304, headers: fields }
  const file = storage.blobFile(digest)
  const range = parseRange(headers.range, size)
  if (range === undefined) return { status: 200, headers: fields, body: { file, start: 0, length: size } }
  if (range === 'unsatisfiable')
    throw new Refusal(416, 'SIZE_INVALID', 'the range is outside of the blob', { 'content-range': `bytes */${size}` })
  return {
    status: 206,
    headers: { ...fields, 'content-range': `bytes ${range.start}-${range.end}/${size}` },
    body: { file, start: range.start, length: range.end - range.start + 1 },
  }
}

async function routeUpload({ storage, uploads }: Parts, request: Request, caller: Caller, repository: string, id: string): Promise<Answer> {
  const { method, query, headers, body } = request
  const wanted = query.get('digest')
  if (id === '') {
    allow(method, 'POST')
    const mount = query.get('mount')
    if (mount !== null) {
      const digest = asDigest(mount)
      const mayPull = (from: string) => caller.may({ repository: from, action: 'pull' })
      // Without `from`, any repository that the client may read will do: what it may not read must not show that it is there.
      const from = query.get('from') ?? (await storage.findBlob(digest, mayPull))
      const isUsable = from !== undefined && from.length <= 255 && namePattern.test(from) && mayPull(from)
      if (isUsable && (await storage.mountBlob(repository, digest, from))) return blobCreated(repository, digest)
    }
    const begun = await uploads.begin(repository)
    if (wanted === null) return begun
    return uploads.finish({ repository, id: String(begun.headers?.['docker-upload-uuid']), body, headers }, asDigest(wanted))
  }
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new Refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload')
  switch (method) {
    case 'GET':
    case 'HEAD':
      return uploads.status(repository, id)
    case 'PATCH':
      return uploads.append({ repository, id, body, headers })
    case 'PUT':
      if (wanted === null) throw new Refusal(400, 'DIGEST_INVALID', 'the digest is missing')
      return uploads.finish({ repository, id, body, headers }, asDigest(wanted))
    case 'DELETE':
      return uploads.cancel(repository, id)
    default:
      return allow(method, 'GET', 'HEAD', 'PATCH', 'PUT', 'DELETE')
  }
}

/** One range of bytes. Several at once, and other units, are answered with the whole, as RFC 9110 §14.2 allows. */
function parseRange(field: string | undefined, size: number): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(field ?? '')
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  if (match[1] === '') {
    const length = Math.min(Number(match[2]), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 }
  }
  const start = Number(match[1])
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1)
  if (match[2] !== '' && Number(match[2]) < start) return undefined
  return start >= size ? 'unsatisfiable' : { start, end }
}

function allow(method: string, ...methods: readonly string[]): never | Answer {
  if (!methods.includes(method)) throw new Refusal(405, 'UNSUPPORTED', `${method} is not possible here`, { allow: methods.join(', ') })
  return { status: 200 }
}

function asDigest(text: string): Digest {
  if (!isDigest(text)) throw new Refusal(400, 'DIGEST_INVALID', 'not a digest')
  return text
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Refusal(400, 'NAME_INVALID', 'the address is not valid')
  }
}

async function readForm(request: Request): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of request.body) {
    text += Buffer.from(chunk).toString('utf8')
    if (text.length > limit.formBytes) throw new Refusal(413, 'SIZE_INVALID', 'the form is too long')
  }
  return new URLSearchParams(text)
}
