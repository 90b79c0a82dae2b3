import type { IncomingMessage } from 'node:http'
import { isDigest, type Digest } from '#oci/digest.ts'
import * as limit from '#limit.ts'
import { type Answer, Refusal } from './answer.ts'
import type { Caller, Guard, Need } from './auth.ts'
import type { Cause, Happening } from './happening.ts'
import type { Manifests } from './manifests.ts'
import type { Metrics } from './metrics.ts'
import type { Notifier } from './notifications.ts'
import { checkOrigin, type Names } from './origin.ts'
import type { Storage } from './storage.ts'
import { blobCreated, type Uploads } from './uploads.ts'
import type { Origin, PullThrough } from './upstream.ts'
import type { Usage } from './usage.ts'

/** What requests are answered with. */
export interface Parts {
  readonly storage: Storage
  readonly uploads: Uploads
  readonly manifests: Manifests
  readonly guard: Guard
  readonly names: Names
  readonly isReadOnly: boolean
  readonly usage: Usage | undefined
  readonly upstreams: PullThrough | undefined
  readonly metrics: Metrics
  readonly notifier: Notifier | undefined
}

export interface Request {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: AsyncIterable<Uint8Array>
  readonly origin: string
  /** Where it comes from: `192.0.2.1:40000`. */
  readonly address: string
}

/** A request for something of a repository, from somebody who may. */
interface Visit {
  readonly request: Request
  readonly repository: string
  readonly caller: Caller
  /** Where the repository's content comes from, if that is another registry. */
  readonly upstream: Origin | undefined
  readonly tell: (happening: Happening) => void
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const namePattern = new RegExp(`^${component}(?:/${component})*$`)
const routePattern = /^\/v2\/(.+)\/(?:(tags)\/(list)|(manifests|referrers|blobs)\/([^/]+)|blobs\/(uploads)\/([^/]*))$/

/** What a request is about, in one word, for metrics. */
export function routeOf(path: string): string {
  const match = routePattern.exec(path)
  if (match !== null) return match[6] ?? match[4] ?? match[2]!
  return path === '/v2/' || path === '/v2' ? 'ping' : path === '/v2/_catalog' ? 'catalog' : 'other'
}

/** Answers one request. @throws Refusal */
export async function route(parts: Parts, request: Request): Promise<Answer> {
  const { method, path, query } = request
  const { guard, manifests, metrics } = parts
  checkOrigin(request.headers, parts.names)
  const authorize = (...needs: Need[]) => guard.admit(request.headers.authorization, needs, request.origin)
  if (path === '/token') return guard.token(method, request.headers.authorization, query, await readForm(request))
  if (path === '/v2/' || path === '/v2') {
    await authorize('ping')
    allow(method, 'GET', 'HEAD')
    return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from('{}') }
  }
  if (path === '/metrics') {
    await authorize('ping')
    allow(method, 'GET', 'HEAD')
    return { status: 200, headers: { 'content-type': 'text/plain; version=0.0.4' }, body: Buffer.from(metrics.text()) }
  }
  if (path === '/v2/_catalog') {
    await authorize('catalog')
    allow(method, 'GET', 'HEAD')
    return manifests.catalog(query)
  }
  const match = routePattern.exec(path)
  if (match === null) throw new Refusal(404, 'UNSUPPORTED', 'no such address')
  const [, repository = '', tags, , kind, item, uploads, id] = match
  const visit = await enter(parts, request, repository, uploads !== undefined)
  const { upstream } = visit
  const answer = await routeRepository(parts, visit, { isTags: tags !== undefined, kind: uploads ?? kind, item: id ?? item ?? '' })
  // distribution-spec, "Registry Proxying": what chose the upstream is said back.
  return upstream?.namespace === undefined ? answer : { ...answer, headers: { ...answer.headers, 'oci-namespace': upstream.namespace } }
}

/** @throws Refusal 400, 401, 403; 405 for what cannot be changed here */
async function enter(parts: Parts, request: Request, repository: string, isUpload: boolean): Promise<Visit> {
  if (repository.length > 255 || !namePattern.test(repository)) throw new Refusal(400, 'NAME_INVALID', 'not the name of a repository')
  const { method, headers } = request
  const isRead = method === 'GET' || method === 'HEAD'
  const isDelete = method === 'DELETE' && !isUpload
  const caller = await parts.guard.admit(
    headers.authorization,
    [{ repository, action: isDelete ? 'delete' : isRead && !isUpload ? 'pull' : 'push' }],
    request.origin,
  )
  if (parts.isReadOnly && !isRead) throw new Refusal(405, 'UNSUPPORTED', 'this registry is read-only')
  const upstream = parts.upstreams?.origin(repository, request.query.get('ns') ?? undefined)
  if (upstream !== undefined && !isRead) throw new Refusal(405, 'UNSUPPORTED', `${repository} is another registry's, and only read here`)
  const cause: Cause = {
    address: request.address,
    method,
    host: headers.host ?? '',
    userAgent: headers['user-agent'] ?? '',
    user: caller.user,
    origin: request.origin,
  }
  const tell = (happening: Happening) => {
    parts.metrics.count('stave_registry_happenings_total', { action: happening.action, kind: happening.kind })
    parts.notifier?.tell(happening, cause)
  }
  // A HEAD brings nothing to anyone.
  return { request, repository: upstream?.repository ?? repository, caller, upstream, tell: method === 'HEAD' ? () => {} : tell }
}

async function routeRepository(
  parts: Parts,
  visit: Visit,
  { isTags, kind, item }: { readonly isTags: boolean; readonly kind: string | undefined; readonly item: string },
): Promise<Answer> {
  const { manifests } = parts
  const { request, repository, upstream, tell } = visit
  const { method, query } = request
  if (isTags) {
    allow(method, 'GET', 'HEAD')
    return manifests.tags(repository, query, await upstream?.tags())
  }
  if (kind === 'uploads') return routeUpload(parts, visit, item)
  const name = decode(item)
  if (kind === 'referrers') {
    allow(method, 'GET', 'HEAD')
    if (isDigest(name)) await upstream?.referrers(name)
    return manifests.referrers(repository, name, query, upstream !== undefined)
  }
  if (kind === 'blobs') return routeBlob(parts, visit, name)
  allow(method, 'GET', 'HEAD', 'PUT', 'DELETE')
  const asked = { repository, name, headers: request.headers, query, body: request.body, tell }
  if (method === 'DELETE') return manifests.delete(asked)
  if (method === 'PUT') return manifests.put(asked)
  await upstream?.manifest(name)
  return manifests.get(asked)
}

async function routeBlob({ storage, isReadOnly }: Parts, { request, repository, upstream, tell }: Visit, name: string): Promise<Answer> {
  const { method, headers } = request
  allow(method, 'GET', 'HEAD', 'DELETE')
  const digest = asDigest(name)
  const unknown = () => new Refusal(404, 'BLOB_UNKNOWN', `no blob ${digest} in ${repository}`)
  if (method === 'DELETE') {
    if (!(await storage.inTurn(repository, () => storage.deleteBlob(repository, digest)))) throw unknown()
    tell({ action: 'delete', kind: 'blobs', repository, digest })
    return { status: 202 }
  }
  let size = await storage.blobSize(repository, digest)
  // Whoever finds it there may push a manifest that mentions it: it is not garbage for a while.
  if (size !== undefined && method === 'HEAD' && !isReadOnly)
    if (!(await storage.inTurn(repository, () => storage.renewBlob(repository, digest)))) size = undefined
  const download = size === undefined && method === 'GET' ? await upstream?.blob(digest) : undefined
  size ??= download?.size ?? (method === 'HEAD' ? await upstream?.blobSize(digest) : await storage.blobSize(repository, digest))
  if (size === undefined) throw unknown()
  const etag = `"${digest}"`
  const fields = { 'content-type': 'application/octet-stream', 'docker-content-digest': digest, etag, 'accept-ranges': 'bytes' }
  if (headers['if-none-match'] === etag) return { status: 304, headers: fields }
  const range = parseRange(headers.range, size)
  if (range === 'unsatisfiable')
    throw new Refusal(416, 'SIZE_INVALID', 'the range is outside of the blob', { 'content-range': `bytes */${size}` })
  tell({ action: 'pull', kind: 'blobs', repository, digest, size, mediaType: 'application/octet-stream' })
  const start = range?.start ?? 0
  const length = range === undefined ? size : range.end - start + 1
  const body = download === undefined ? { file: storage.blobFile(digest), start, length } : { stream: download.read(start, length), length }
  if (range === undefined) return { status: 200, headers: fields, body }
  return { status: 206, headers: { ...fields, 'content-range': `bytes ${start}-${range.end}/${size}` }, body }
}

async function routeUpload(parts: Parts, visit: Visit, id: string): Promise<Answer> {
  const { uploads } = parts
  const { request, repository, tell } = visit
  const { method, query, headers, body } = request
  const wanted = query.get('digest')
  const finish = async (upload: string, digest: Digest) => {
    const answer = await uploads.finish({ repository, id: upload, body, headers }, digest)
    const size = await parts.storage.contentSize(digest)
    tell({ action: 'push', kind: 'blobs', repository, digest, mediaType: 'application/octet-stream', ...(size !== undefined && { size }) })
    return answer
  }
  if (id === '') {
    allow(method, 'POST')
    const mounted = await mount(parts, visit)
    if (mounted !== undefined) return mounted
    const begun = await uploads.begin(repository)
    return wanted === null ? begun : finish(String(begun.headers?.['docker-upload-uuid']), asDigest(wanted))
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
      return finish(id, asDigest(wanted))
    case 'DELETE':
      return uploads.cancel(repository, id)
    default:
      return allow(method, 'GET', 'HEAD', 'PATCH', 'PUT', 'DELETE')
  }
}

/** Undefined when nothing can be mounted, or nothing was asked to be: an upload begins then. */
async function mount({ storage, usage }: Parts, { request, repository, caller, tell }: Visit): Promise<Answer | undefined> {
  const asked = request.query.get('mount')
  if (asked === null) return undefined
  const digest = asDigest(asked)
  const mayPull = (from: string) => caller.may({ repository: from, action: 'pull' })
  // Without `from`, any repository that the client may read will do: what it may not read must not show that it is there.
  const from = request.query.get('from') ?? (await storage.findBlob(digest, mayPull))
  if (from === undefined || from.length > 255 || !namePattern.test(from) || !mayPull(from)) return undefined
  const size = await storage.blobSize(from, digest)
  if (size === undefined) return undefined
  usage?.check(repository, size)
  if (!(await storage.mountBlob(repository, digest, from))) return undefined
  tell({ action: 'mount', kind: 'blobs', repository, digest, size, mediaType: 'application/octet-stream', from })
  return blobCreated(repository, digest)
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
