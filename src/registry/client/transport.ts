import type { Dispatcher } from 'undici'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { isLoopback } from '#text/address.ts'
import { createAuthenticator, type Realm, type Scope } from './auth.ts'
import { readCertificateDirectory, readCertificates } from './certificates.ts'
import { openDispatcher, type ProxySettings, proxyFor } from './connection.ts'
import type { Credential } from '../login/credential.ts'
import type { Credentials } from '../login/credentials.ts'
import { abortedError, bodyOfBytes, exchange, type Method, readAll, type Response, type StreamBody } from './exchange.ts'
import type { Endpoint } from './hosts.ts'
import { errorCode, isTls, isTransient, networkProblem, redactUrl, responseProblem, speaksPlainHttp } from './problem.ts'
import { createGate, type Gate } from '../gate.ts'
import { attemptsFor, backoffMs, isPassing, pause, retryAfterMs, type RetryPolicy } from './retry.ts'

export interface TransportOptions {
  readonly credentials: Credentials
  /** Checks certificates, and refuses plain http but for loopback. `undefined`: as the endpoint says. */
  readonly verifyTls: boolean | undefined
  /** A directory with certificates for every host, instead of certs.d. */
  readonly certificateDirectory: string | undefined
  readonly certificateParents: readonly string[]
  readonly proxy: ProxySettings | undefined
  readonly userAgent: string
  readonly retry: RetryPolicy
}

/** One request to an endpoint, with what to do about its answer. */
export interface Call {
  readonly method: Method
  /** A path with query below the endpoint's host (`/v2/…`), or the whole address. */
  readonly to: string | URL
  readonly headers?: Readonly<Record<string, string>>
  /** A stream is sent once, so such a call is not repeated here. */
  readonly body?: Uint8Array | StreamBody
  readonly scopes: readonly Scope[]
  /** The statuses that the caller deals with. Any other is thrown. */
  readonly expect: readonly number[]
  /** Send it again when it fails in a way that may pass? Default: yes. */
  readonly repeat?: boolean
  /** What fails if it fails: `cannot push ghcr.io/acme/web`. */
  readonly doing: string
}

export interface Transport extends AsyncDisposable {
  /** @throws StaveError for whatever is not in `expect`, after retries */
  send(cx: Context, endpoint: Endpoint, call: Call): Promise<Response>
  /** `https://host`, as far as it is known by now. */
  origin(endpoint: Endpoint): URL
}

/** Requests to one host that may be under way at once, bodies of blobs not counted. */
const requestsPerHost = 32
const redirects = 5
const plainAnswerBytes = 64 * 1024
const requestTimeoutMs = 60_000
// A registry in front of an object store may take minutes to put a large blob together after its last byte.
const uploadTimeoutMs = 600_000
const stallTimeoutMs = 60_000

interface Host {
  readonly name: string
  readonly isInsecure: boolean
  /** Schemes still possible; the first is used. Settled by the first answer. */
  schemes: readonly ('https:' | 'http:')[]
  isSettled: boolean
  /** By `performance.now()`: a 429 slows down every request to this host. */
  pausedUntil: number
  readonly gate: Gate
}

/**
 * Sends requests to registries. From the outside in: retry, authentication, redirects, choice of the scheme, a bound
 * on how much goes to one host at once.
 */
export function createTransport(options: TransportOptions): Transport {
  const hosts = new Map<string, Host>()
  const dispatchers = new Map<string, Promise<Dispatcher>>()
  const retired: Promise<Dispatcher>[] = []
  const credentials = new Map<string, Promise<Credential | undefined>>()
  let trustsSystem = false
  const authenticator = createAuthenticator((cx, request) => {
    const plain = { ...request, to: request.url, scopes: [], expect: [], doing: 'cannot get a token' }
    return repeated(cx, plain, request.url, () => dispatch(cx, request.url, plain, request.headers))
  })

  async function send(cx: Context, endpoint: Endpoint, call: Call): Promise<Response> {
    const host = hostOf(endpoint)
    const response = await repeated(cx, call, addressOf(host, call), () => authorized(cx, host, endpoint, call), host)
    if (call.expect.includes(response.status)) return response
    const credential = await credentialOf(cx, endpoint).catch(() => undefined)
    throw await responseProblem(response, call.doing, { registry: endpoint.registry, credentialsFrom: credential?.from })
  }

  // Ends with a response that is not worth repeating, or the last one.
  async function repeated(cx: Context, call: Call, url: URL, once: () => Promise<Response>, host?: Host): Promise<Response> {
    const isReplayable = call.repeat !== false && !isStream(call.body)
    for (let attempt = 0; ; attempt++) {
      if (host !== undefined && host.pausedUntil > performance.now()) await pause(cx, host.pausedUntil - performance.now())
      let response: Response
      try {
        response = await once()
      } catch (error) {
        if (cx.signal.aborted) throw abortedError(cx.signal)
        if (!isReplayable || !isTransient(error) || attempt + 1 >= attemptsFor(error, options.retry)) {
          throw networkProblem(error, call.doing, call.method, url)
        }
        await pause(cx, backoffMs(attempt, options.retry))
        continue
      }
      if (!isPassing(response.status) || call.expect.includes(response.status)) return response
      const asked = retryAfterMs(response.headers)
      const waitMs = asked ?? backoffMs(attempt, options.retry)
      if (host !== undefined && asked !== undefined && asked <= options.retry.maxRetryAfterMs) {
        host.pausedUntil = Math.max(host.pausedUntil, performance.now() + asked)
      }
      if (!isReplayable || attempt + 1 >= options.retry.attempts || waitMs > options.retry.maxRetryAfterMs) return response
      await response.body.discard()
      if (waitMs > 2000) {
        cx.report({ type: 'warning', message: `${url.host} answered ${response.status}; trying again in ${Math.ceil(waitMs / 1000)} s` })
      }
      await pause(cx, waitMs)
    }
  }

  async function authorized(cx: Context, host: Host, endpoint: Endpoint, call: Call): Promise<Response> {
    const realm = (): Realm => ({
      origin: originOf(host),
      registry: endpoint.registry,
      isInsecure: host.isInsecure,
      credential: (context) => credentialOf(context, endpoint),
    })
    const isOwn = (url: URL) => url.host === originOf(host).host
    const mayAuthorize = isOwn(addressOf(host, call))
    let authorization = mayAuthorize ? await authenticator.prepare(cx, realm(), call.scopes) : undefined
    // A second challenge may ask for a scope that the first did not.
    for (let challenges = 0; ; challenges++) {
      const response = await followed(cx, host, call, authorization)
      if (response.status !== 401 || challenges === 2 || !mayAuthorize || !isOwn(response.url)) return response
      const next = await authenticator.answer(cx, realm(), call.scopes, response.headers, authorization)
      // A body that was a stream is gone, but the next call finds the new token.
      if (next === undefined || isStream(call.body)) return response
      await response.body.discard()
      authorization = next
    }
  }

  async function followed(cx: Context, host: Host, call: Call, authorization: string | undefined): Promise<Response> {
    let response = await schemed(cx, host, call, authorization)
    const origin = response.url.origin
    let mayAuthorize = true
    for (let hop = 0; isRedirect(response, call); hop++) {
      const target = redirectTarget(response, call, host)
      if (hop === redirects) throw new StaveError('registry-problem', `${call.doing}: more than ${redirects} redirects`)
      await response.body.discard()
      // Once on another origin there is no way back to trust: what it redirects to is its choice.
      mayAuthorize &&= target.origin === origin
      response = await dispatch(cx, target, call, headersOf(call, mayAuthorize ? authorization : undefined))
    }
    return response
  }

  async function schemed(cx: Context, host: Host, call: Call, authorization: string | undefined): Promise<Response> {
    const slot = isStream(call.body) ? undefined : await host.gate.enter(cx.signal)
    try {
      const url = addressOf(host, call)
      try {
        const response = await dispatch(cx, url, call, headersOf(call, authorization))
        const settled = host.isSettled ? response : await unlessTlsWanted(host, response)
        if (settled !== undefined) {
          host.isSettled = true
          return settled
        }
      } catch (error) {
        if (!mayTryOtherScheme(host, call, url, error)) throw error
      }
      host.schemes = host.schemes.slice(1)
      return await dispatch(cx, addressOf(host, call), call, headersOf(call, authorization))
    } finally {
      slot?.()
    }
  }

  async function dispatch(cx: Context, url: URL, call: Pick<Call, 'method' | 'body'>, headers: Record<string, string>): Promise<Response> {
    const request = {
      method: call.method,
      url,
      headers,
      ...(call.body === undefined ? {} : { body: call.body }),
      signal: cx.signal,
      headersTimeoutMs: call.method === 'PUT' || isStream(call.body) ? uploadTimeoutMs : requestTimeoutMs,
      bodyTimeoutMs: stallTimeoutMs,
    }
    try {
      return await exchange(await dispatcherFor(url), request)
    } catch (error) {
      // Authorities that only the machine's administrator added: loading them takes time, so only when they are missed.
      if (trustsSystem || isStream(call.body) || !/^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN)/.test(errorCode(error))) throw error
      trustsSystem = true
      for (const dispatcher of dispatchers.values()) retired.push(dispatcher)
      dispatchers.clear()
      return exchange(await dispatcherFor(url), request)
    }
  }

  function dispatcherFor(url: URL): Promise<Dispatcher> {
    const verify = verifies(url)
    const key = `${url.origin} ${verify}`
    let dispatcher = dispatchers.get(key)
    if (dispatcher === undefined) {
      dispatcher = connect(url, verify)
      dispatcher.catch(() => dispatchers.delete(key))
      dispatchers.set(key, dispatcher)
    }
    return dispatcher
  }

  async function connect(url: URL, verify: boolean): Promise<Dispatcher> {
    const none = { authorities: [] }
    const own = options.certificateDirectory
    let certificates = none as Awaited<ReturnType<typeof readCertificates>>
    if (url.protocol === 'https:') {
      certificates =
        own === undefined ? await readCertificates(options.certificateParents, url.host) : ((await readCertificateDirectory(own)) ?? none)
    }
    return openDispatcher({
      verify,
      trustsSystem,
      certificates,
      proxy: isLoopback(url.hostname) ? undefined : proxyFor(url, options.proxy),
    })
  }

  function verifies(url: URL): boolean {
    if (options.verifyTls !== undefined) return options.verifyTls
    return ![...hosts.values()].some((host) => host.isInsecure && originOf(host).host === url.host)
  }

  function hostOf(endpoint: Endpoint): Host {
    const isInsecure = options.verifyTls === undefined ? endpoint.isInsecure : !options.verifyTls
    const key = `${endpoint.host} ${isInsecure}`
    let host = hosts.get(key)
    if (host === undefined) {
      host = {
        name: endpoint.host,
        isInsecure,
        schemes: schemesFor(endpoint.host, isInsecure, options.verifyTls),
        isSettled: false,
        pausedUntil: 0,
        gate: createGate(requestsPerHost),
      }
      hosts.set(key, host)
    }
    return host
  }

  function credentialOf(cx: Context, endpoint: Endpoint): Promise<Credential | undefined> {
    const key = `${endpoint.registry}/${endpoint.repository}`
    let finding = credentials.get(key)
    if (finding === undefined) {
      finding = options.credentials.find(cx, endpoint.registry, endpoint.repository)
      finding.catch(() => credentials.delete(key))
      credentials.set(key, finding)
    }
    return finding
  }

  function headersOf(call: Call, authorization: string | undefined): Record<string, string> {
    return {
      'user-agent': options.userAgent,
      // Compressed on the way, bytes would no longer be those that the digest names.
      'accept-encoding': 'identity',
      ...call.headers,
      ...(authorization === undefined ? {} : { authorization }),
    }
  }

  return {
    send,
    origin: (endpoint) => originOf(hostOf(endpoint)),
    async [Symbol.asyncDispose]() {
      const open = await Promise.allSettled([...dispatchers.values(), ...retired])
      dispatchers.clear()
      await Promise.all(open.flatMap((result) => (result.status === 'fulfilled' ? [result.value.destroy()] : [])))
    },
  }
}

function schemesFor(name: string, isInsecure: boolean, verifyTls: boolean | undefined): Host['schemes'] {
  const hostname = URL.parse(`http://${name}`)?.hostname ?? name
  // Where nobody is between, plain http is as good, and usual; TLS is found out by the answer.
  if (isLoopback(hostname)) return verifyTls === true ? ['https:'] : ['http:', 'https:']
  return isInsecure ? ['https:', 'http:'] : ['https:']
}

function originOf(host: Host): URL {
  const url = URL.parse(`${host.schemes[0]!}//${host.name}`)
  if (url === null) throw new StaveError('invalid-reference', `cannot use ${JSON.stringify(host.name)} as the address of a registry`)
  return url
}

function addressOf(host: Host, call: Call): URL {
  return typeof call.to === 'string' ? new URL(call.to, originOf(host)) : new URL(call.to)
}

function mayTryOtherScheme(host: Host, call: Call, url: URL, error: unknown): boolean {
  if (host.isSettled || host.schemes.length < 2 || isStream(call.body) || typeof call.to !== 'string') return false
  if (url.protocol === 'https:') return speaksPlainHttp(error) || isTls(error) || ['ECONNREFUSED', 'ECONNRESET'].includes(errorCode(error))
  // A TLS server hangs up on, or answers with an alert to, what is no TLS hello.
  return ['ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE'].includes(errorCode(error)) || errorCode(error).startsWith('HPE_')
}

/** Did a plain request reach a TLS server that says so, as Go's and nginx's do? Else the answer, whole. */
async function unlessTlsWanted(host: Host, response: Response): Promise<Response | undefined> {
  if (host.schemes.length < 2 || host.schemes[0] !== 'http:' || response.status !== 400) return response
  const bytes = (await readAll(response.body, plainAnswerBytes)) ?? new Uint8Array()
  const text = new TextDecoder().decode(bytes)
  return /plain HTTP request|HTTP request to an HTTPS server/i.test(text) ? undefined : { ...response, body: bodyOfBytes(bytes) }
}

function isRedirect(response: Response, call: Call): boolean {
  if (response.headers.location === undefined) return false
  if (call.method === 'GET' || call.method === 'HEAD') return [301, 302, 303, 307, 308].includes(response.status)
  return [307, 308].includes(response.status) && !isStream(call.body)
}

function redirectTarget(response: Response, call: Call, host: Host): URL {
  const target = URL.parse(response.headers.location ?? '', response.url)
  const from = `${call.method} ${redactUrl(response.url)} → ${response.status}`
  if (target === null || (target.protocol !== 'https:' && target.protocol !== 'http:')) {
    throw new StaveError('registry-problem', `${call.doing}: the registry redirects to no valid address`, { cause: new Error(from) })
  }
  if (response.url.protocol === 'https:' && target.protocol === 'http:' && !host.isInsecure) {
    throw new StaveError('tls', `${call.doing}: the registry redirects from https to plain http`, {
      cause: new Error(`${from} ${redactUrl(target)}`),
      hint: 'Plain http is used only for registries that registries.conf marks as insecure.',
    })
  }
  target.username = ''
  target.password = ''
  return target
}

export function isStream(body: Uint8Array | StreamBody | undefined): body is StreamBody {
  return body !== undefined && !(body instanceof Uint8Array)
}
