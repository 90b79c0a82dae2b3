import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StaveError } from '#error.ts'
import { background } from '#context.ts'
import type { Event } from '#event.ts'
import { type Answer, Refusal, refusalAnswer, sendAnswer } from './answer.ts'
import { createGuard, type ServerAuth } from './auth.ts'
import { createFaults, type Fault, type Faults } from './fault.ts'
import { collect, type CollectOptions, removeAbandoned } from './collect.ts'
import { lockDirectory } from './directory-lock.ts'
import { createManifests } from './manifests.ts'
import { createMetrics } from './metrics.ts'
import { createNotifier, type Webhook } from './notifications.ts'
import { type Parts, type Request, route, routeOf } from './route.ts'
import { openStorage } from './storage.ts'
import { createUploads } from './uploads.ts'
import { createPullThrough, type UpstreamOptions } from './upstream.ts'
import { createUsage, type Quota } from './usage.ts'

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
  /** Refuses all writes, and needs the directory for itself only as far as nobody removes what is in it. */
  readonly readOnly?: boolean
  /** Takes manifests whose blobs or children are not there. */
  readonly sparse?: boolean
  /** Host names that it is asked for under, besides those of loopback; default on other addresses: any. */
  readonly allowedHosts?: readonly string[]
  readonly quota?: Quota
  /** Collects garbage while it serves. Default: never, but for uploads that were given up. */
  readonly collect?: CollectOptions & { readonly everyMs: number }
  readonly webhooks?: readonly Webhook[]
  /** Registries whose content it fetches and keeps. */
  readonly upstreams?: UpstreamOptions
  /** Told of what nobody asked for: garbage that was collected, a webhook that does not answer. */
  readonly report?: (event: Event) => void
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

/** Garbage collection while others push: whoever finds a blob there needs time to push the manifest that mentions it. */
const leastGraceMs = 2 * 60_000

/**
 * Serves a registry from a directory. One process at a time may write to a directory.
 *
 * @throws StaveError `in-use` when the port or the directory is taken, `usage` for what excludes each other, `tls`, `permission`, `io`
 * @see distribution-spec 1.1
 */
export async function serve(options: ServeOptions): Promise<RegistryServer> {
  checkOptions(options)
  await using opened = new AsyncDisposableStack()
  const warn = (message: string) => options.report?.({ type: 'warning', message })
  const parts = await openParts(options, opened, warn)
  const faults = createFaults(options.faults)
  const scheme = options.tls === undefined ? 'http' : 'https'
  const server = await createServer(options, (request, response) => {
    const { method = 'GET', url: path = '/', headers } = request
    void handle({ parts, faults, scheme, warn }, request, response, (status) => options.onRequest?.({ method, path, status, headers }))
  })
  const address = await listen(server, options)
  const host = `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
  const kept = opened.move()
  kept.defer(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  })
  return { url: `${scheme}://${host}`, host, faults, close: () => kept.disposeAsync() }
}

/** @throws StaveError `usage` */
function checkOptions({ readOnly, collect: collecting, upstreams, quota }: ServeOptions): void {
  if (readOnly && (collecting !== undefined || upstreams !== undefined || quota !== undefined))
    throw new StaveError('usage', 'a registry that is read-only collects no garbage, keeps nothing of upstreams, and has no quota')
  if (collecting !== undefined && Math.min(collecting.graceMs ?? Infinity, collecting.untaggedMs ?? Infinity) < leastGraceMs) {
    throw new StaveError('usage', 'cannot collect what was used in the last two minutes while others push', {
      hint: 'What is collected while it serves has to be older than 2m.',
    })
  }
}

async function openParts(options: ServeOptions, opened: AsyncDisposableStack, warn: (message: string) => void): Promise<Parts> {
  const isReadOnly = options.readOnly ?? false
  const usage = options.quota === undefined ? undefined : createUsage(options.quota)
  const storage = await openStorage(options.directory, usage).catch((cause: unknown) => {
    throw new StaveError('io', `cannot serve a registry from ${JSON.stringify(options.directory)}`, { cause })
  })
  if (!isReadOnly) {
    opened.use(await lockDirectory(options.directory))
    await removeAbandoned(storage)
  }
  await usage?.measure(storage)
  const metrics = createMetrics()
  if (usage !== undefined) metrics.gauge('stave_registry_stored_bytes', 'Bytes of content and of uploads.', () => usage.total)
  const notifier = options.webhooks === undefined ? undefined : opened.use(createNotifier(options.webhooks, metrics, warn))
  if (notifier !== undefined)
    metrics.gauge('stave_registry_notifications_waiting', 'Events that wait for webhooks.', () => notifier.waiting)
  const manifests = createManifests(storage, { isSparse: options.sparse ?? false, usage })
  const parts: Parts = {
    storage,
    usage,
    metrics,
    notifier,
    manifests,
    uploads: createUploads(storage, usage),
    guard: opened.use(await createGuard(options.auth)),
    names: { host: options.host ?? '127.0.0.1', allowed: options.allowedHosts ?? [] },
    isReadOnly,
    upstreams:
      options.upstreams && opened.use(createPullThrough(options.upstreams, { cx: background, storage, usage, manifests, metrics })),
  }
  if (options.collect !== undefined) opened.use(collectEvery(parts, options.collect, options.report, warn))
  return parts
}

function collectEvery(
  { storage, usage, metrics }: Parts,
  options: NonNullable<ServeOptions['collect']>,
  report: ServeOptions['report'],
  warn: (message: string) => void,
): AsyncDisposable {
  let running: Promise<void> = Promise.resolve()
  let isRunning = false
  const run = async () => {
    isRunning = true
    try {
      const { manifests, blobs, uploads, bytes, skipped } = await collect(storage, options, usage)
      for (const [kind, count] of Object.entries({ manifests, blobs, uploads }))
        metrics.count('stave_registry_collected_total', { kind }, count)
      metrics.count('stave_registry_collected_bytes_total', {}, bytes)
      for (const reason of skipped) warn(`garbage collection left a repository as it is: ${reason}`)
      report?.({ type: 'debug', message: `garbage collection freed ${bytes} bytes` })
    } catch (error) {
      warn(`garbage collection failed: ${(error as Error).message}`)
    } finally {
      isRunning = false
    }
  }
  const timer = setInterval(() => {
    if (!isRunning) running = run()
  }, options.everyMs)
  timer.unref()
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await running
    },
  }
}

async function createServer(
  options: ServeOptions,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  // A large blob over a slow line takes longer than any limit on the whole request.
  const settings = { requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 65_000, noDelay: true, highWaterMark: 256 * 1024 }
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
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new StaveError('usage', `cannot serve a registry at port ${port}`, { hint: 'Ports are from 1 to 65535; 0 takes any free one.' })
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

/** What a request is answered with, and what else goes on around it. */
interface Handling {
  readonly parts: Parts
  readonly faults: Faults
  readonly scheme: string
  readonly warn: (message: string) => void
}

async function handle(
  { parts, faults, scheme, warn }: Handling,
  message: IncomingMessage,
  response: ServerResponse,
  tell: (status: number) => void,
): Promise<void> {
  const method = message.method ?? 'GET'
  const started = performance.now()
  const fault = faults.strike(method, message.url ?? '/')
  const request = requestOf(message, scheme, fault, (bytes) => parts.metrics.count('stave_registry_received_bytes_total', {}, bytes))
  let answer: Answer
  try {
    if (fault?.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, fault.delayMs))
    answer = faultAnswer(fault, message.url ?? '/') ?? (await route(parts, request))
  } catch (error) {
    // A client that has gone needs no answer.
    if (message.destroyed && !message.complete) return tell(499)
    answer = refusalAnswer(error instanceof Refusal ? error : failure(error, method, request.path, warn))
  }
  tell(answer.status)
  try {
    await sendAnswer(response, method, answer, fault)
    parts.metrics.count('stave_registry_sent_bytes_total', {}, method === 'HEAD' ? 0 : (answer.body?.length ?? 0))
  } catch {
    // The client broke off, or the file vanished midway: the connection is the only way left to say so.
    response.destroy()
  }
  const seconds = (performance.now() - started) / 1000
  parts.metrics.request({ method: methods.has(method) ? method : 'other', route: routeOf(request.path), status: answer.status, seconds })
}

const methods = new Set(['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE'])

/** What no client is to blame for. Whoever runs the server is told more than they are. */
function failure(error: unknown, method: string, path: string, warn: (message: string) => void): Refusal {
  const { code, message } = error as NodeJS.ErrnoException
  warn(`${method} ${path} failed: ${message}`)
  if (code === 'ENOSPC' || code === 'EDQUOT') return new Refusal(507, 'UNKNOWN', 'the disk of the registry is full')
  return new Refusal(500, 'UNKNOWN', 'the registry failed')
}

function requestOf(message: IncomingMessage, scheme: string, fault: Fault | undefined, received: (bytes: number) => void): Request {
  const raw = message.url ?? '/'
  const { remoteAddress, remotePort } = message.socket
  const question = raw.indexOf('?')
  return {
    method: message.method ?? 'GET',
    path: question < 0 ? raw : raw.slice(0, question),
    query: new URLSearchParams(question < 0 ? '' : raw.slice(question)),
    headers: message.headers,
    body: fault?.cutUploadAfter === undefined ? bodyOf(message, received) : cutUpload(message, fault.cutUploadAfter),
    address: `${remoteAddress}:${remotePort}`,
    origin: `${scheme}://${message.headers.host ?? 'localhost'}`,
  }
}

// Whoever stops reading midway, because it is too much, still wants to answer: the usual iterator would hang up.
async function* bodyOf(message: IncomingMessage, received: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
    received(chunk.length)
    yield chunk
  }
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
