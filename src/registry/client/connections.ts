import type { Dispatcher } from 'undici'
import type { Context } from '#context.ts'
import {
  type Certificates,
  readBundle,
  readCertificateDirectory,
  readCertificates,
  systemAuthorities,
  type TrustBundle,
} from './certificates.ts'
import { openDispatcher } from './connection.ts'
import { exchange } from './exchange.ts'
import type { Response } from './message.ts'
import { errorCode } from './problem.ts'
import { proxyFor, type ProxySettings } from './proxy.ts'
import { type Call, isStream } from './stage.ts'

export interface ConnectionOptions {
  /** A directory with certificates for every host, instead of certs.d. */
  readonly certificateDirectory: string | undefined
  readonly certificateParents: readonly string[]
  /** Of hosts (`host:port` where there is a port), before those in directories. */
  readonly certificates: ReadonlyMap<string, Certificates> | undefined
  /** The authorities that are trusted, instead of those of Node and the system. */
  readonly bundle: TrustBundle | undefined
  readonly proxy: ProxySettings | undefined
  /** How long an answer may take that leaves nothing to do but to answer. */
  readonly answerMs: number
  /** Are certificates checked at this address? */
  verifies(url: URL): boolean
}

/** The connections of a client: what one request goes over, and its answer comes by. */
export interface Connections extends AsyncDisposable {
  /** One request to one address, with these headers. No repetition, no redirect. Fails as undici and the socket do. */
  send(cx: Context, url: URL, call: Pick<Call, 'method' | 'body' | 'isSlow'>, headers: Record<string, string>): Promise<Response>
}

// A registry in front of an object store may take minutes to put a large blob together after its last byte.
const slowAnswerMs = 600_000
const stallMs = 60_000
const none: Certificates = { authorities: [] }

export function createConnections(options: ConnectionOptions): Connections {
  const dispatchers = new Map<string, Promise<Dispatcher>>()
  const retired: Promise<Dispatcher>[] = []
  let trustsSystem = false

  async function connect(url: URL, verify: boolean): Promise<Dispatcher> {
    return openDispatcher({
      verify,
      authorities: trusted(),
      certificates: url.protocol === 'https:' ? certificatesFor(url) : none,
      proxy: proxyFor(url, options.proxy),
    })
  }

  function trusted(): readonly string[] | undefined {
    if (options.bundle !== undefined) return readBundle(options.bundle)
    return trustsSystem ? systemAuthorities() : undefined
  }

  function certificatesFor(url: URL): Certificates {
    const given = options.certificates?.get(url.host)
    if (given !== undefined) return given
    const own = options.certificateDirectory
    return own === undefined ? readCertificates(options.certificateParents, url.host) : (readCertificateDirectory(own) ?? none)
  }

  function dispatcherFor(url: URL): Promise<Dispatcher> {
    const verify = options.verifies(url)
    const key = `${url.origin} ${verify}`
    let dispatcher = dispatchers.get(key)
    if (dispatcher === undefined) {
      dispatcher = connect(url, verify)
      dispatcher.catch(() => dispatchers.delete(key))
      dispatchers.set(key, dispatcher)
    }
    return dispatcher
  }

  return {
    async send(cx, url, call, headers) {
      const request = {
        method: call.method,
        url,
        headers,
        ...(call.body !== undefined && { body: call.body }),
        signal: cx.signal,
        headersTimeoutMs: call.isSlow === true || isStream(call.body) ? slowAnswerMs : options.answerMs,
        bodyTimeoutMs: stallMs,
      }
      try {
        return await exchange(await dispatcherFor(url), request)
      } catch (error) {
        // Authorities that only the machine's administrator added: loading them takes time, so only when they are missed.
        const isMissed = /^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT)/.test(errorCode(error))
        if (trustsSystem || options.bundle !== undefined || isStream(call.body) || !isMissed) throw error
        trustsSystem = true
        for (const dispatcher of dispatchers.values()) retired.push(dispatcher)
        dispatchers.clear()
        return exchange(await dispatcherFor(url), request)
      }
    },
    async [Symbol.asyncDispose]() {
      const open = await Promise.allSettled([...dispatchers.values(), ...retired])
      dispatchers.clear()
      await Promise.all(open.flatMap((result) => (result.status === 'fulfilled' ? [result.value.destroy()] : [])))
    },
  }
}
