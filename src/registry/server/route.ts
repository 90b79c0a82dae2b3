import type { IncomingMessage } from 'node:http'
import { isDigest, type Digest } from '#oci/digest.ts'
import * as limit from '#limit.ts'
import { type Answer, Refusal } from './answer.ts'
import type { Caller, Guard, Need } from './auth.ts'
import type { Manifests } from './manifests.ts'
import { checkOrigin, type Names } from './origin.ts'
import type { Storage } from './storage.ts'
import { blobCreated, type Uploads } from './uploads.ts'

/** What requests are answered with. */
export interface Parts {
  readonly storage: Storage
  readonly uploads: Uploads
  readonly manifests: Manifests
  readonly guard: Guard
  readonly names: Names
  readonly isReadOnly: boolean
}

export interface Request {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: AsyncIterable<Uint8Array>
  readonly origin: string
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const namePattern = new RegExp(`^${component}(?:/${component})*$`)
const routePattern = /^\/v2\/(.+)\/(?:(tags)\/(list)|(manifests|referrers|blobs)\/([^/]+)|blobs\/(uploads)\/([^/]*))$/

/** Answers one request. @throws Refusal */
export async function route(parts: Parts, request: Request): Promise<Answer> {
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
