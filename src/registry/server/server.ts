import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StaveError } from '#error.ts'
import { type Answer, Refusal, refusalAnswer, sendAnswer } from './answer.ts'
import { createGuard, type ServerAuth } from './auth.ts'
import { createFaults, type Fault, type Faults } from './fault.ts'
import { createManifests } from './manifests.ts'
import { type Parts, type Request, route } from './route.ts'
import { openStorage } from './storage.ts'
import { createUploads } from './uploads.ts'

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
