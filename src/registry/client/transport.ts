import type { Context } from '#context.ts'
import type { Credential } from '../login/credential.ts'
import type { Credentials } from '../login/credentials.ts'
import { type Ask, createAuthenticator } from './auth.ts'
import { authorizing } from './authorize.ts'
import { type ConnectionOptions, createConnections } from './connections.ts'
import { decoded } from './encoding.ts'
import type { Response } from './message.ts'
import { addressOf, createHosts, originOf } from './host.ts'
import type { Endpoint } from './hosts.ts'
import { responseProblem } from './problem.ts'
import { redirecting } from './redirect.ts'
import type { RetryPolicy } from './choices.ts'
import { repeated, retrying } from './retry.ts'
import { settlingScheme } from './scheme.ts'
import { type Call, limiting, openingAlone, type Send } from './stage.ts'

export interface TransportOptions extends Pick<
  ConnectionOptions,
  'certificateDirectory' | 'certificateParents' | 'certificates' | 'bundle' | 'proxy'
> {
  readonly credentials: Credentials
  /** Checks certificates, and refuses plain http but for loopback. `undefined`: as the endpoint says. */
  readonly verifyTls: boolean | undefined
  readonly userAgent: string
  readonly retry: RetryPolicy
}

export interface Transport extends AsyncDisposable {
  /** @throws StaveError for whatever is not in `expect`, after retries */
  send(cx: Context, endpoint: Endpoint, call: Call): Promise<Response>
  /** `https://host`, as far as it is known by now. */
  origin(endpoint: Endpoint): URL
}

/**
 * Sends requests to registries, through stages, from the outside in: retry, the first one alone, authentication,
 * redirects, the scheme, a bound on how much goes to one host at once.
 */
export function createTransport(options: TransportOptions): Transport {
  const { retry, verifyTls } = options
  const hosts = createHosts(verifyTls)
  const connections = createConnections({ ...options, answerMs: retry.answerMs, verifies: hosts.verifies })
  const credentialOf = rememberCredentials(options.credentials)
  const ask: Ask = (cx, { url, headers, ...request }) => {
    const call = { ...request, to: url, scopes: [], expect: [], doing: 'cannot get a token' }
    return repeated(cx, retry, { call, url }, () => connections.send(cx, url, call, headersOf(headers)))
  }
  const headersOf = (headers: Readonly<Record<string, string>>, authorization?: string) => ({
    'user-agent': options.userAgent,
    // Compressed on the way, bytes would no longer be those that the digest names.
    'accept-encoding': 'identity',
    ...headers,
    ...(authorization !== undefined && { authorization }),
  })

  const dispatch: Send = (cx, { call, host, url, authorization }) =>
    connections.send(cx, url ?? addressOf(host, call), call, headersOf(call.headers ?? {}, authorization))
  const authorized = authorizing(createAuthenticator(ask), credentialOf, redirecting(settlingScheme(limiting(dispatch))))
  const through = retrying(retry, openingAlone(authorized))

  return {
    async send(cx, endpoint, call) {
      const response = decoded(await through(cx, { call, host: hosts.of(endpoint), endpoint }), call.plainBytes)
      if (call.expect.includes(response.status)) return response
      const credential = await credentialOf(cx, endpoint).catch(() => undefined)
      throw await responseProblem(response, call.doing, { registry: endpoint.registry, credentialsFrom: credential?.from })
    },
    origin: (endpoint) => originOf(hosts.of(endpoint)),
    [Symbol.asyncDispose]: () => connections[Symbol.asyncDispose](),
  }
}

/** Looks a credential up at most once for each repository; what failed may be tried again. */
function rememberCredentials(credentials: Credentials) {
  const known = new Map<string, Promise<Credential | undefined>>()
  return (cx: Context, endpoint: Endpoint): Promise<Credential | undefined> => {
    const key = `${endpoint.registry}/${endpoint.repository}`
    let finding = known.get(key)
    if (finding === undefined) {
      finding = credentials.find(cx, endpoint.registry, endpoint.repository)
      finding.catch(() => known.delete(key))
      known.set(key, finding)
    }
    return finding
  }
}
