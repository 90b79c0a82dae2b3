import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { isDigest } from '#oci/digest.ts'
import type { Scope } from './auth.ts'
import { readAll, type Response } from './exchange.ts'
import type { Endpoint } from './hosts.ts'
import { pathOf, pullScope, type Remote } from './remote.ts'

export interface ListOptions {
  /** Names after this one only. */
  readonly last?: string
  /** No more than these many. */
  readonly limit?: number
}

const maxPages = 10_000
const maxNames = 1_000_000

/** The tags of a repository, as the registry orders them. @throws StaveError `not-found` @see distribution-spec, "Listing Tags" */
export async function listTags(cx: Context, remote: Remote, endpoint: Endpoint, options: ListOptions = {}): Promise<string[]> {
  const to = pathOf(endpoint, 'tags/list')
  const names = await list(
    cx,
    remote,
    endpoint,
    { to, key: 'tags', scopes: pullScope(endpoint), doing: `cannot list tags of ${remote.title}` },
    options,
  )
  // Seen in answers: an empty name, and digests.
  return names.filter((name) => name !== '' && !isDigest(name))
}

/** The repositories of a registry. @throws StaveError `unsupported`, `denied` @see distribution, "Listing Repositories" */
export function listRepositories(cx: Context, remote: Remote, options: ListOptions = {}): Promise<string[]> {
  const { endpoint } = remote
  const scopes: Scope[] = [{ type: 'registry', name: 'catalog', actions: ['*'] }]
  return list(
    cx,
    remote,
    endpoint,
    { to: '/v2/_catalog', key: 'repositories', scopes, doing: `cannot list repositories of ${endpoint.registry}` },
    options,
  )
}

interface Listed {
  readonly to: string
  readonly key: 'tags' | 'repositories'
  readonly scopes: readonly Scope[]
  readonly doing: string
}

// The size of a page is left to the registry: quay refuses more than 100 at once, ECR more than 1000.
async function list(
  cx: Context,
  remote: Remote,
  endpoint: Endpoint,
  { to, key, scopes, doing }: Listed,
  options: ListOptions,
): Promise<string[]> {
  const names = new Set<string>()
  const most = Math.min(options.limit ?? maxNames, maxNames)
  const seen = new Set<string>()
  let page: string | undefined = options.last === undefined ? to : `${to}?last=${encodeURIComponent(options.last)}`
  // Registries were seen that name the same page for ever.
  while (page !== undefined && !seen.has(page) && names.size < most) {
    if (seen.size === maxPages) throw new StaveError('too-large', `${doing}: more than ${maxPages} pages`)
    seen.add(page)
    const response = await remote.transport.send(cx, endpoint, {
      method: 'GET',
      to: page,
      headers: { accept: 'application/json' },
      scopes,
      expect: [200],
      doing,
    })
    const before = names.size
    for (const name of decodeNames(await readAll(response.body, limit.jsonBytes), key, doing)) names.add(name)
    // Nothing new: the next page would be this one again under another address.
    page = names.size === before ? undefined : nextPage(response)
  }
  return [...names].slice(0, most)
}

function decodeNames(bytes: Uint8Array | undefined, key: string, doing: string): string[] {
  if (bytes === undefined) throw new StaveError('too-large', `${doing}: a page has more than ${limit.jsonBytes} bytes`)
  let names: unknown
  try {
    names = (JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown> | null)?.[key]
  } catch (cause) {
    throw new StaveError('registry-problem', `${doing}: the answer is not JSON`, { cause })
  }
  // `null` is how Go writes a list without elements.
  if (names === null || names === undefined) return []
  if (!Array.isArray(names)) throw new StaveError('registry-problem', `${doing}: "${key}" in the answer is not a list`)
  return names.filter((name) => typeof name === 'string')
}

/**
 * The path of the next page by the Link field. Only path and query are taken from it: behind a proxy, registries name
 * a wrong host, and the request carries credentials.
 *
 * @see RFC 8288 §3
 */
export function nextPage(response: Pick<Response, 'headers' | 'url'>): string | undefined {
  for (const link of (response.headers.link ?? '').split(/,(?=\s*<)/)) {
    const match = /^\s*<?([^>;]*)>?\s*(;.*)?$/.exec(link)
    const isNext = match?.[2] === undefined || /;\s*rel\s*=\s*"?([^"]*\s)?next(\s[^"]*)?"?/i.test(match[2])
    if (match === null || !isNext || match[1] === '') continue
    const url = URL.parse(match[1]!.trim(), response.url)
    if (url === null) continue
    return url.pathname + url.search
  }
  return undefined
}
