import { clean } from '../clean.ts'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { isDigest } from '#oci/digest.ts'
import { isRepository, isTag } from '#oci/reference.ts'
import type { Scope } from './auth.ts'
import type { ListOptions } from './choices.ts'
import type { Response } from './message.ts'
import type { Endpoint } from './hosts.ts'
import { pathOf, pullScope, readWhole, type Remote } from './remote.ts'

/**
 * The tags of a repository, as the registry orders them. What is no tag is left out with a warning: a name from outside
 * becomes part of addresses, and of paths.
 *
 * @throws StaveError `not-found`, `too-large`, `registry-problem`
 * @see distribution-spec, "Listing Tags"
 */
export async function listTags(cx: Context, remote: Remote, endpoint: Endpoint, options: ListOptions = {}): Promise<string[]> {
  const names = await list(
    cx,
    remote,
    endpoint,
    { to: pathOf(endpoint, 'tags/list'), key: 'tags', scopes: pullScope(endpoint), doing: `cannot list tags of ${remote.title}` },
    options,
  )
  // An empty name and digests were seen in answers of sound registries.
  const plausible = names.filter((name) => name !== '' && !isDigest(name))
  return onlyNames(cx, plausible, isTag, (name) => `${name} in the list of tags of ${remote.title} is no tag, and is left out`)
}

/**
 * The repositories of a registry. What cannot be a name of one is left out with a warning.
 *
 * @throws StaveError `unsupported`, `denied`, `too-large`, `registry-problem`
 * @see distribution, "Listing Repositories"
 */
export async function listRepositories(cx: Context, remote: Remote, options: ListOptions = {}): Promise<string[]> {
  const { endpoint } = remote
  const scopes: Scope[] = [{ type: 'registry', name: 'catalog', actions: ['*'] }]
  const names = await list(
    cx,
    remote,
    endpoint,
    { to: '/v2/_catalog', key: 'repositories', scopes, doing: `cannot list repositories of ${endpoint.registry}` },
    options,
  )
  return onlyNames(
    cx,
    names,
    isRepository,
    (name) => `${name} in the list of repositories of ${endpoint.registry} is no name of one, and is left out`,
  )
}

function onlyNames(
  cx: Context,
  names: readonly string[],
  isName: (name: string) => boolean,
  warning: (quoted: string) => string,
): string[] {
  const wrong = names.filter((name) => !isName(name))
  for (const name of wrong.slice(0, 10)) cx.report({ type: 'warning', message: warning(JSON.stringify(clean(name).slice(0, 200))) })
  return names.filter(isName)
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
  const most = options.limit ?? Number.POSITIVE_INFINITY
  const seen = new Set<string>()
  let before: readonly string[] | undefined
  let fruitless = 0
  let bytes = 0
  let page: string | undefined = options.last === undefined ? to : `${to}?last=${encodeURIComponent(options.last)}`
  // Registries were seen that name the same page for ever.
  while (page !== undefined && !seen.has(page) && names.size < most) {
    if (seen.size === limit.listPages) throw new StaveError('too-large', `${doing}: there are more than ${limit.listPages} pages`)
    seen.add(page)
    const { response, raw } = await readWhole(cx, remote, endpoint, limit.jsonBytes, {
      method: 'GET',
      to: page,
      headers: { accept: 'application/json' },
      scopes,
      expect: [200],
      doing,
    })
    bytes += raw?.length ?? 0
    if (raw === undefined || bytes > limit.listBytes)
      throw new StaveError('too-large', `${doing}: ${raw === undefined ? 'a page' : 'the list'} has more bytes than are read`)
    const found = decodeNames(raw, key, doing)
    const known = names.size
    for (const name of found) names.add(name)
    // The same page under another address, again and again. An empty one is none: names on it may be hidden from us.
    if (found.length > 0 && isSame(found, before)) break
    before = found
    fruitless = names.size > known ? 0 : fruitless + 1
    page = nextPage(response)
    if (page !== undefined && fruitless >= limit.fruitlessPages)
      throw new StaveError('registry-problem', `${doing}: the registry announces one page after the other, and nothing is on them`)
  }
  return [...names].slice(0, most)
}

function isSame(found: readonly string[], before: readonly string[] | undefined): boolean {
  return before !== undefined && found.length === before.length && found.every((name, at) => name === before[at])
}

function decodeNames(bytes: Uint8Array, key: string, doing: string): string[] {
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
    const { target, parameters } = linkOf(link)
    if (target === '' || !isNext(parameters)) continue
    const url = URL.parse(target, response.url)
    if (url === null) continue
    return url.pathname + url.search
  }
  return undefined
}

/** A link, also one without the brackets that it should have; linear in its length, as a registry chose it. */
function linkOf(link: string): { readonly target: string; readonly parameters: string } {
  const text = link.trim()
  const end = text.search(text.startsWith('<') ? /[>;]/ : /;/)
  if (end < 0) return { target: text.replace(/^</, ''), parameters: '' }
  return { target: text.slice(text.startsWith('<') ? 1 : 0, end).trim(), parameters: text.slice(text[end] === '>' ? end + 1 : end).trim() }
}

/** Whether a link leads to the next page: one that says no relation does, as some registries write it. */
function isNext(parameters: string): boolean {
  if (parameters === '') return true
  const relations = parameters.matchAll(/;\s*(\w+)\s*=\s*(?:"([^"]*)"?|([^";]*))/g)
  for (const [, name, quoted, bare] of relations)
    if (name!.toLowerCase() === 'rel') return (quoted ?? bare ?? '').toLowerCase().trim().split(/\s+/).includes('next')
  return false
}
