import type { Context } from '#context.ts'
import type { Bytes } from '#image/content.ts'
import type { Response } from '#registry/client/message.ts'
import { StaveError } from '#error.ts'
import { leadsInside } from '#registry/client/reach.ts'
import { redactUrl } from '#text/url.ts'
import * as limit from '#limit.ts'

const headersTimeoutMs = 60_000
const bodyTimeoutMs = 60_000

/** Proxies by the names of their variables, in any case: HTTP_PROXY, HTTPS_PROXY, NO_PROXY. */
export type Proxies = Readonly<Record<string, string>>

export interface HttpRequest {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** The value of an Authorization header. It is for the origin of `url` alone: a redirect to another one goes without it. */
  readonly authorization?: string | undefined
  readonly proxy?: Proxies | undefined
}

/** The last answer after redirects: whatever is neither a redirect nor an error of the network. */
export interface HttpAnswer {
  readonly url: URL
  readonly status: number
  readonly headers: Response['headers']
  readonly body: Bytes
  /** Drops the rest of the body, and with it the connection. */
  discard(): Promise<void>
}

/**
 * Asks for a URL that a Dockerfile or the command line names. Redirects are followed, but never from https to http, and
 * never from a public address to a private one: an answer from the internet must not make this machine ask its own network.
 *
 * @throws StaveError `network`, `denied`, `cancelled`
 */
export async function get(cx: Context, request: HttpRequest): Promise<HttpAnswer> {
  const shown = redactUrl(request.url)
  let url = new URL(request.url)
  const { origin } = url
  const isFromPublic = !(await leadsInside(url.hostname))
  for (let redirects = 0; ; redirects++) {
    const authorization = url.origin === origin ? request.authorization : undefined
    const answer = await once(cx, url, { ...request.headers, ...(authorization !== undefined && { authorization }) }, request, shown)
    const location = answer.headers['location']
    if (answer.status < 300 || answer.status >= 400 || answer.status === 304 || location === undefined) return answer
    await answer.discard()
    if (redirects === limit.redirects) throw failed(shown, `it redirects more than ${limit.redirects} times`)
    url = redirected(url, location, shown)
    if (isFromPublic && (await leadsInside(url.hostname)))
      throw new StaveError('denied', `cannot download ${shown}: it redirects to ${url.host}, an address of this machine or its network`)
  }
}

function redirected(from: URL, location: string, shown: string): URL {
  const next = URL.parse(location, from.href)
  if (next === null || (next.protocol !== 'http:' && next.protocol !== 'https:'))
    throw failed(shown, `it redirects to ${redactUrl(location)}, which is neither http nor https`)
  if (from.protocol === 'https:' && next.protocol === 'http:') throw failed(shown, `it redirects from https to ${redactUrl(next.href)}`)
  // Who answers chooses no credentials.
  next.username = ''
  next.password = ''
  return next
}

function failed(shown: string, why: string): StaveError {
  return new StaveError('network', `cannot download ${shown}: ${why}`)
}

async function once(
  cx: Context,
  url: URL,
  headers: Readonly<Record<string, string>>,
  { proxy }: HttpRequest,
  shown: string,
): Promise<HttpAnswer> {
  const [{ exchange }, { decoded }, { openDispatcher }, { systemAuthorities }, { proxyFor }] = await Promise.all([
    import('#registry/client/exchange.ts'),
    import('#registry/client/encoding.ts'),
    import('#registry/client/connection.ts'),
    import('#registry/client/certificates.ts'),
    import('#registry/client/proxy.ts'),
  ])
  const dispatcher = await openDispatcher({
    verify: true,
    authorities: systemAuthorities(),
    certificates: { authorities: [] },
    // A proxy cannot reach what only this machine can.
    proxy: proxyFor(url, proxySettings(proxy)),
  })
  try {
    const answer = await exchange(dispatcher, {
      method: 'GET',
      url,
      headers: { 'accept-encoding': 'identity', 'user-agent': 'stave', ...headers },
      signal: cx.signal,
      headersTimeoutMs,
      bodyTimeoutMs,
    })
    const response = decoded(answer)
    return {
      url,
      status: response.status,
      headers: response.headers,
      body: response.body,
      discard: async () => {
        await response.body.discard()
        await dispatcher.destroy()
      },
    }
  } catch (error) {
    cx.signal.throwIfAborted()
    throw error instanceof StaveError ? error : new StaveError('network', `cannot download ${shown}`, { cause: error })
  } finally {
    // It closes when the answer was read.
    void dispatcher.close().catch(() => undefined)
  }
}

/** Variables in the case in which they are given; the lower one counts, as everywhere. */
function proxySettings(proxy: Proxies = {}): { http?: string; https?: string; no?: string } {
  const of = (name: string): string | undefined => proxy[name] || proxy[name.toUpperCase()] || undefined
  const [http, https, no] = [of('http_proxy'), of('https_proxy'), of('no_proxy')]
  return { ...(http && { http }), ...(https && { https }), ...(no && { no }) }
}
