import type { Context } from '#context.ts'
import type { Secrets } from './secrets.ts'
import { isLoopback } from '#text/address.ts'
import { splitUserinfo } from '#text/url.ts'

/** Whom the secrets of a build may be told. */
export interface Trust {
  /** The Dockerfile is the caller's own: it is a file of this machine, or came on standard input. */
  readonly isLocal: boolean
  /** Hosts, with their ports, that the caller named: those of contexts that are URLs. */
  readonly hosts: ReadonlySet<string>
}

/**
 * The value of an Authorization header for a git remote: what the URL itself says, else the secrets GIT_AUTH_HEADER and
 * GIT_AUTH_TOKEN, with `.<host>` or without, as BuildKit names them.
 */
export function gitAuthorization(cx: Context, secrets: Secrets, trust: Trust, url: string): string | undefined {
  return chosen(
    cx,
    trust,
    url,
    [
      { id: (host) => (host === undefined ? 'GIT_AUTH_HEADER' : `GIT_AUTH_HEADER.${host}`), header: (value) => value },
      {
        id: (host) => (host === undefined ? 'GIT_AUTH_TOKEN' : `GIT_AUTH_TOKEN.${host}`),
        header: (value) => basic(`x-access-token:${value}`),
      },
    ],
    secrets,
  )
}

/** The same for ADD of a URL: HTTP_AUTH_HEADER_<host> and HTTP_AUTH_TOKEN_<host>. */
export function httpAuthorization(cx: Context, secrets: Secrets, trust: Trust, url: string): string | undefined {
  return chosen(
    cx,
    trust,
    url,
    [
      { id: (host) => (host === undefined ? undefined : `HTTP_AUTH_HEADER_${host}`), header: (value) => value },
      { id: (host) => (host === undefined ? undefined : `HTTP_AUTH_TOKEN_${host}`), header: (value) => `Bearer ${value}` },
    ],
    secrets,
  )
}

interface Kind {
  /** Name of the secret for a host; for any host where it has one. */
  readonly id: (host: string | undefined) => string | undefined
  readonly header: (value: string) => string
}

/**
 * A secret goes where it was meant to go. One that names its host goes to that host; one that does not, to hosts that the
 * caller named, and over https to those that the caller's own Dockerfile names. None goes over plain http, but to this
 * machine or a host that the caller named with http: the network between would read it.
 */
function chosen(cx: Context, trust: Trust, text: string, kinds: readonly Kind[], secrets: Secrets): string | undefined {
  const { url: bare, userinfo } = splitUserinfo(text)
  const url = URL.parse(bare)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) return undefined
  if (userinfo !== undefined) return urlAuthorization(text)
  const isNamed = trust.hosts.has(url.host)
  const isPrivateLine = url.protocol === 'https:' || isNamed
  const candidates = kinds.flatMap(({ id, header }) => [
    { id: id(url.host), header, mayGo: isPrivateLine || isLoopback(url.hostname) },
    { id: id(undefined), header, mayGo: isPrivateLine && (isNamed || trust.isLocal) },
  ])
  for (const { id, header, mayGo } of candidates) {
    const value = id === undefined ? undefined : secrets.get(id, false, undefined)
    if (value === undefined) continue
    if (mayGo) return header(Buffer.from(value).toString().trim())
    cx.report({
      type: 'warning',
      message: `the secret ${id} is not sent to ${url.origin}`,
      hint:
        url.protocol === 'http:'
          ? 'Over plain http anybody between could read it: name the host by https.'
          : `The Dockerfile is not yours, and names a host that you did not: if it shall have the secret, give it as ${kinds[0]!.id(url.host)}.`,
    })
  }
  return undefined
}

/** What user and password in a URL become. */
export function urlAuthorization(text: string): string | undefined {
  const { userinfo } = splitUserinfo(text)
  return userinfo === undefined ? undefined : basic(decoded(userinfo))
}

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString('base64')}`
}

function decoded(userinfo: string): string {
  const plain = (text: string): string => {
    try {
      return decodeURIComponent(text)
    } catch {
      return text
    }
  }
  const [user = '', password = ''] = userinfo.split(/:(.*)/s)
  return `${plain(user)}:${plain(password)}`
}
