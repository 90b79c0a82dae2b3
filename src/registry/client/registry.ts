import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import type { Bytes, Source, Target } from '#image/content.ts'
import { verified, once } from '#image/read.ts'
import { referrerOf } from '#image/referrer.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import type { Reference } from '#oci/reference.ts'
import { deleteBlob, describeBlob, hasBlob, openBlob } from './blobs.ts'
import type { Certificates, TrustBundle } from './certificates.ts'
import type { ProxySettings } from './proxy.ts'
import { isDockerHub } from '../login/credential.ts'
import { anonymous, type Credentials } from '../login/credentials.ts'
import { type Endpoint, type Hosts, noHosts } from './hosts.ts'
import type { ListOptions, RetryPolicy } from './choices.ts'
import { listRepositories, listTags } from './listing.ts'
import {
  deleteManifest,
  type Fetched,
  getManifest,
  hasManifest,
  headManifest,
  isManifestLike,
  lookAtManifest,
  putManifest,
} from './manifests.ts'
import { rateLimit, type RateLimit } from './rate-limit.ts'
import { addReferrer, listReferrers } from './referrers.ts'
import type { Remote } from './remote.ts'
import { deleteTag } from './tags.ts'
import { defaultRetry } from './retry.ts'
import { createTransport } from './transport.ts'
import { type Content, mountBlob, onceContent, type Session, uploadBlob } from './uploads.ts'

export interface RegistryOptions {
  /** Default: none. */
  readonly credentials?: Credentials
  /** Mirrors, rewritten and blocked names. Default: none. */
  readonly hosts?: Hosts
  readonly tls?: {
    /** `--tls-verify`: false accepts any certificate and plain http; true insists even where registries.conf or loopback would not. */
    readonly verify?: boolean
    /** `--cert-dir`: for every host, instead of `certificates`. */
    readonly certificateDirectory?: string
    /** certs.d directories: `HostsPaths.certificates`. */
    readonly certificates?: readonly string[]
    /** Of hosts (`host:port` where there is a port), before those in directories. */
    readonly given?: ReadonlyMap<string, Certificates> | undefined
    /** All authorities that are trusted, instead of those of Node and the system. */
    readonly bundle?: TrustBundle | undefined
  }
  readonly proxy?: ProxySettings
  /** `stave/1.2.3` */
  readonly userAgent?: string
  readonly retry?: Partial<RetryPolicy>
}

/** One repository of one registry. */
export interface Registry extends Target {
  readonly reference: Reference
  referrers(cx: Context, subject: Digest): Promise<readonly Descriptor[]>
  transfer(cx: Context, what: Descriptor, open: (from: number) => Promise<Bytes>): Promise<void>
  adopt(cx: Context, what: Descriptor, from: Source): Promise<boolean>
  describe(cx: Context, name: string): Promise<Descriptor | undefined>
  listTags(cx: Context, options?: ListOptions): Promise<string[]>
  /** What a name stands for in the repository that is written to, by one HEAD. Undefined: nothing, or the registry does not say. */
  look(cx: Context, name: string): Promise<Descriptor | undefined>
  /** How many pulls are left, by one HEAD of a name. Undefined: the registry says nothing of it. */
  rateLimit(cx: Context, name: string): Promise<RateLimit | undefined>
  /** Deletes a tag, or by digest a manifest with all its tags. @throws StaveError `not-found`, `unsupported` */
  deleteManifest(cx: Context, name: string): Promise<void>
  /** Takes a tag away, and nothing else: other tags of its manifest stay. @throws StaveError `not-found`, `unsupported` */
  deleteTag(cx: Context, tag: string): Promise<void>
  /** The size of a blob, by one HEAD. @throws StaveError `blob-unknown` */
  describeBlob(cx: Context, digest: Digest): Promise<Descriptor>
  /** @throws StaveError `blob-unknown`, `unsupported` */
  deleteBlob(cx: Context, digest: Digest): Promise<void>
}

/** Registries, with the connections, tokens and limits that their repositories share. */
export interface RegistryClient extends AsyncDisposable {
  /** @throws StaveError `denied` when registries.conf blocks the name */
  open(reference: Pick<Reference, 'registry' | 'repository' | 'tag' | 'digest'>): Registry
  /** Is it a registry, and does it accept the credentials? @throws StaveError `unauthorized`, `network`, … */
  ping(cx: Context, registry: string): Promise<void>
  listRepositories(cx: Context, registry: string, options?: ListOptions): Promise<string[]>
}

/** Opens one repository, with a client of its own that is closed with it. For more than one, use {@link createRegistryClient}. */
export async function openRegistry(options: RegistryOptions & { readonly reference: Reference }): Promise<Registry> {
  const client = createRegistryClient(options)
  return { ...client.open(options.reference), [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() }
}

// Which registry and repository a source is, for mounts: a key that only this file knows, and copies of the object keep.
const place = Symbol('place')

function placeOf(source: Source): Endpoint | undefined {
  return (source as { readonly [place]?: Endpoint })[place]
}

export function createRegistryClient(options: RegistryOptions = {}): RegistryClient {
  const hosts = options.hosts ?? noHosts
  const retry = { ...defaultRetry, ...options.retry }
  const transport = createTransport({
    credentials: options.credentials ?? anonymous,
    verifyTls: options.tls?.verify,
    certificateDirectory: options.tls?.certificateDirectory,
    certificateParents: options.tls?.certificates ?? [],
    certificates: options.tls?.given,
    bundle: options.tls?.bundle,
    proxy: options.proxy,
    userAgent: options.userAgent ?? 'stave',
    retry,
  })
  const remoteOf = (endpoint: Endpoint, title: string): Remote => ({ transport, retry, endpoint, title })
  const wholeRegistry = (registry: string) => {
    const endpoints = hosts.endpoints(registry, '')
    return remoteOf({ ...endpoints.at(-1)!, repository: '' }, registry)
  }
  return {
    open(reference) {
      const endpoints = hosts.endpoints(reference.registry, reference.repository, reference.tag)
      return openRepository(remoteOf(endpoints.at(-1)!, `${reference.registry}/${reference.repository}`), endpoints, reference)
    },
    async ping(cx, registry) {
      const remote = wholeRegistry(registry)
      const response = await transport.send(cx, remote.endpoint, {
        method: 'GET',
        to: '/v2/',
        scopes: [],
        expect: [200],
        doing: `cannot reach ${registry}`,
      })
      await response.body.discard()
    },
    listRepositories: (cx, registry, list) => listRepositories(cx, wholeRegistry(registry), list),
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  }
}

/** A repository, and what is known of it in this run. */
interface Repository {
  readonly remote: Remote
  /** Where it is read from, in turn: mirrors, and the registry itself last. */
  readonly endpoints: readonly Endpoint[]
  readonly manifests: ReturnType<typeof createCache>
  /** What is known to be there needs no further HEAD. */
  readonly present: Set<Digest>
  /** Uploads that were begun where a blob could not be mounted. */
  readonly sessions: Map<Digest, Session>
  /** Repositories that nothing can be mounted from. */
  readonly unmountable: Set<string>
}

function openRepository(remote: Remote, endpoints: readonly Endpoint[], reference: Reference): Registry {
  const repository: Repository = {
    remote,
    endpoints,
    manifests: createCache(),
    present: new Set(),
    sessions: new Map(),
    unmountable: new Set(),
  }
  const { manifests, present } = repository
  const registry: Registry & { readonly [place]: Endpoint } = {
    [place]: remote.endpoint,
    title: remote.title,
    reference,
    resolve: (cx, name) => resolve(cx, repository, name),
    open: (cx, what, from = 0) => openContent(cx, repository, what, from),
    referrers: (cx, subject) => fromAny(endpoints, true, (endpoint) => listReferrers(cx, remote, endpoint, subject)),
    has: (cx, what) => has(cx, repository, what),
    write: (cx, what, bytes) => store(cx, repository, what, onceContent(bytes)),
    transfer: (cx, what, open) => store(cx, repository, what, { open, isReopenable: true }),
    name: (cx, root, name) => nameManifest(cx, repository, root, name),
    adopt: (cx, what, from) => adopt(cx, repository, what, from),
    listTags: (cx, list) => listTags(cx, remote, remote.endpoint, list),
    describe: (cx, name) => fromAny(endpoints, isDigest(name), (endpoint) => headManifest(cx, remote, endpoint, name)),
    look: (cx, name) => lookAtManifest(cx, remote, name),
    rateLimit: (cx, name) => rateLimit(cx, remote, name),
    async deleteManifest(cx, name) {
      present.clear()
      manifests.clear()
      await deleteManifest(cx, remote, name)
    },
    async deleteTag(cx, tag) {
      present.clear()
      await deleteTag(cx, remote, tag)
    },
    describeBlob: (cx, digest) => fromAny(endpoints, true, (endpoint) => describeBlob(cx, remote, endpoint, digest)),
    async deleteBlob(cx, digest) {
      present.delete(digest)
      await deleteBlob(cx, remote, digest)
    },
    async [Symbol.asyncDispose]() {},
  }
  return registry
}

async function resolve(cx: Context, repository: Repository, name: string): Promise<Descriptor> {
  const { remote, endpoints } = repository
  // One GET brings what would be read next anyway. On Docker Hub a GET counts as a pull and a HEAD does not.
  if (isDockerHub(remote.endpoint.registry) && !isDigest(name)) {
    const found = await fromAny(endpoints, false, (endpoint) => headManifest(cx, remote, endpoint, name))
    if (found !== undefined) return found
  }
  return (await fetchManifest(cx, repository, name)).descriptor
}

async function fetchManifest(cx: Context, { remote, endpoints, manifests }: Repository, name: string): Promise<Fetched> {
  const cached = manifests.get(name)
  if (cached !== undefined) return cached
  const fetched = await fromAny(endpoints, isDigest(name), (endpoint) => getManifest(cx, remote, endpoint, name))
  manifests.set(fetched)
  return fetched
}

async function openContent(cx: Context, repository: Repository, what: Descriptor, from: number): Promise<Bytes> {
  const { remote, endpoints } = repository
  if (!isManifestLike(what.mediaType)) return fromAny(endpoints, true, (endpoint) => openBlob(cx, remote, endpoint, what, from))
  const { raw } = await fetchManifest(cx, repository, what.digest)
  if (raw.length !== what.size)
    throw new StaveError('size-mismatch', `cannot read ${remote.title}@${what.digest}: it has ${raw.length} bytes instead of ${what.size}`)
  return Object.assign(once(from === 0 ? raw : raw.subarray(from)), from === 0 ? { verifies: what.digest } : {})
}

async function has(cx: Context, { remote, present }: Repository, what: Descriptor): Promise<boolean> {
  if (present.has(what.digest)) return true
  const found = await (isManifestLike(what.mediaType) ? hasManifest : hasBlob)(cx, remote, what.digest)
  if (found) present.add(what.digest)
  return found
}

async function store(cx: Context, repository: Repository, what: Descriptor, content: Content): Promise<void> {
  const { remote, present, sessions } = repository
  if (isManifestLike(what.mediaType)) {
    if (what.size > limit.manifestBytes) {
      throw new StaveError(
        'too-large',
        `cannot push ${what.digest} to ${remote.title}: a manifest has at most ${limit.manifestBytes} bytes`,
      )
    }
    const chunks: Uint8Array[] = []
    for await (const chunk of verified(await content.open(0), what, remote.title)) chunks.push(chunk)
    return writeManifest(cx, repository, what, Buffer.concat(chunks))
  }
  const session = sessions.get(what.digest)
  sessions.delete(what.digest)
  await uploadBlob(cx, remote, what, content, session)
  present.add(what.digest)
}

async function writeManifest(cx: Context, repository: Repository, what: Descriptor, raw: Uint8Array): Promise<void> {
  const { remote, present, manifests } = repository
  const listedUnder = await putManifest(cx, remote, what, raw, what.digest)
  present.add(what.digest)
  manifests.set({ descriptor: what, raw })
  const document = decodeManifestOrIndex(raw, { mediaType: what.mediaType, title: what.digest })
  const { subject } = document.kind === 'manifest' ? document.manifest : document.index
  const referrer = subject === undefined || listedUnder !== undefined ? undefined : referrerOf(subject.digest, what, raw)
  if (subject !== undefined && referrer !== undefined) await addReferrer(cx, remote, subject.digest, referrer)
}

/** Gives a manifest that is there a tag; by its digest, only makes sure that it is there. */
async function nameManifest(cx: Context, { remote, present, manifests }: Repository, root: Descriptor, name: string): Promise<void> {
  if (name === root.digest) {
    if (present.has(root.digest) || (await hasManifest(cx, remote, root.digest))) return
    throw new StaveError('not-found', `cannot name ${remote.title}@${root.digest}: it was not pushed`)
  }
  const raw = manifests.get(root.digest)?.raw ?? (await getManifest(cx, remote, remote.endpoint, root.digest)).raw
  await putManifest(cx, remote, root, raw, name)
}

/** Mounts a blob from another repository of the same registry. False: it has to be uploaded. */
async function adopt(cx: Context, repository: Repository, what: Descriptor, from: Source): Promise<boolean> {
  const { remote, present, sessions, unmountable } = repository
  const other = placeOf(from)
  if (other === undefined || other.host !== remote.endpoint.host || isManifestLike(what.mediaType)) return false
  if (other.repository === remote.endpoint.repository) return hasBlob(cx, remote, what.digest)
  if (unmountable.has(other.repository)) return false
  const result = await mountBlob(cx, remote, what, other.repository)
  if (result === 'mounted') {
    present.add(what.digest)
    return true
  }
  if (result === undefined) unmountable.add(other.repository)
  else sessions.set(what.digest, result)
  return false
}

/** Asks the mirrors in turn, and the registry itself last: a mirror that fails in whatever way is passed over. */
async function fromAny<T>(endpoints: readonly Endpoint[], byDigest: boolean, ask: (endpoint: Endpoint) => Promise<T>): Promise<T> {
  const failures: MirrorFailure[] = []
  for (const endpoint of endpoints) {
    if (endpoint.serves === (byDigest ? 'tag-only' : 'digest-only')) continue
    try {
      return await ask(endpoint)
    } catch (error) {
      if (!endpoint.isMirror && failures.length === 0) throw error
      if (!endpoint.isMirror || hasCode(error, 'cancelled')) throw withMirrors(error, failures)
      failures.push({ host: endpoint.host, error })
    }
  }
  throw new StaveError('not-found', 'no endpoint to read from')
}

interface MirrorFailure {
  readonly host: string
  readonly error: unknown
}

/** What the mirrors said goes with the error of the registry itself: it may be the very answer, if that is not even there. */
function withMirrors(error: unknown, failures: readonly MirrorFailure[]): unknown {
  if (!(error instanceof StaveError) || error.code === 'cancelled') return error
  const said = failures.map(({ host, error: failure }) => `${host} (${failure instanceof StaveError ? reasonOf(failure) : 'failed'})`)
  const lacks = failures.find(({ error: failure }) => hasCode(failure, 'not-found', 'blob-unknown'))
  const isUnreachable = error.code === 'network' || error.code === 'timeout'
  return error.with({
    message: `${error.message}, and before it mirrors failed: ${said.join(', ')}`,
    ...(lacks !== undefined && isUnreachable && { hint: `The mirror ${lacks.host} does not have it. ${error.hint ?? ''}`.trim() }),
    cause: new AggregateError([error.cause, ...failures.map(({ error: failure }) => failure)], (error.cause as Error | undefined)?.message),
  })
}

/** `cannot read X: not found` → `not found` */
function reasonOf({ message }: StaveError): string {
  return message.slice(message.lastIndexOf(': ') + 1).trim()
}

/** The manifests of this run by digest, bounded: they are asked for again when their blobs have been moved. */
function createCache() {
  const entries = new Map<string, Fetched>()
  let bytes = 0
  return {
    get: (digest: string) => entries.get(digest),
    set(fetched: Fetched) {
      if (entries.has(fetched.descriptor.digest)) return
      entries.set(fetched.descriptor.digest, fetched)
      bytes += fetched.raw.length
      for (const [digest, oldest] of entries) {
        if (bytes <= limit.keptManifestBytes) break
        entries.delete(digest)
        bytes -= oldest.raw.length
      }
    },
    clear() {
      entries.clear()
      bytes = 0
    },
  }
}
