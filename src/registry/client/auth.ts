import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { isLoopback } from '#text/address.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credential } from '../login/credential.ts'
import { type Method, type Response, readAll, type Headers } from './message.ts'
import { redactUrl, responseProblem } from './problem.ts'
import { mayLeadTo } from './reach.ts'

/** What a request wants to do with a repository, or with the catalog. */
export interface Scope {
  readonly type: 'repository' | 'registry'
  readonly name: string
  readonly actions: readonly string[]
}

/** The host that asks for authentication. */
export interface Realm {
  /** `https://ghcr.io`: what the credentials are for. */
  readonly origin: URL
  /** For messages, and what the user calls it: `ghcr.io`. */
  readonly registry: string
  /** May its token server be reached over plain http? */
  readonly isInsecure: boolean
  /** The credential for this host and repository; looked up at most once. */
  credential(cx: Context): Promise<Credential | undefined>
}

/** Sends a request to a token server: retried, never redirected, never authenticated by itself. */
export type Ask = (
  cx: Context,
  request: { method: Method; url: URL; headers: Record<string, string>; body?: Uint8Array },
) => Promise<Response>

export interface Authenticator {
  /** The Authorization field to send from the start, when a challenge of this realm was seen before. */
  prepare(cx: Context, realm: Realm, scopes: readonly Scope[]): Promise<string | undefined>
  /** The field to try next after a 401; undefined when there is nothing left to try. */
  answer(cx: Context, realm: Realm, scopes: readonly Scope[], headers: Headers, sent: string | undefined): Promise<string | undefined>
}

interface Token {
  readonly value: string
  /** By `performance.now()`: server clocks are not trusted. */
  readonly expires: number
}

// A token is renewed this long before it ends: a request may queue for a while before it is read.
const renewEarlyMs = 10_000
/** The specification's default, and the least that is assumed, where a server says less or nothing. */
const defaultLifetimeS = 60

/** What this process has learnt and got of registries and their token servers. */
interface Wallet {
  readonly ask: Ask
  /** What each host asked for last, so that later requests need no 401 to learn it. */
  readonly known: Map<string, Challenge>
  readonly tokens: Map<string, Token>
  /** Parallel requests of one repository share one token request. */
  readonly pending: Map<string, Promise<string | undefined>>
  /** A login's refresh token replaces the stored identity token for this process, where the server rotates it. */
  readonly refreshed: Map<string, string>
}

/** What a token is wanted for, and who wants it. */
interface TokenRequest {
  readonly realm: Realm
  readonly challenge: Challenge
  /** As `formatScopes` gives them. */
  readonly scopes: readonly string[]
  readonly credential: Credential | undefined
}

/** Answers Basic and Bearer challenges, and keeps the tokens of this process. */
export function createAuthenticator(ask: Ask): Authenticator {
  const wallet: Wallet = { ask, known: new Map(), tokens: new Map(), pending: new Map(), refreshed: new Map() }
  return {
    async prepare(cx, realm, scopes) {
      const challenge = wallet.known.get(realm.origin.origin)
      return challenge === undefined ? undefined : authorize(cx, wallet, realm, challenge, scopes)
    },
    async answer(cx, realm, scopes, headers, sent) {
      const challenge = choose(parseChallenges(headers['www-authenticate'] ?? ''))
      if (challenge === undefined) return undefined
      wallet.known.set(realm.origin.origin, challenge)
      if (sent !== undefined) forget(wallet, sent)
      const wanted = challenge.scheme === 'bearer' ? unite(scopes, parseScopes(challenge.parameters.scope ?? '')) : scopes
      const field = await authorize(cx, wallet, realm, challenge, wanted)
      // The same Basic field would be refused again; a new token may be accepted.
      return field === sent ? undefined : field
    },
  }
}

async function authorize(
  cx: Context,
  wallet: Wallet,
  realm: Realm,
  challenge: Challenge,
  scopes: readonly Scope[],
): Promise<string | undefined> {
  const credential = await realm.credential(cx)
  if (challenge.scheme === 'basic') return credential?.kind === 'password' ? basic(credential.username, credential.password) : undefined
  if (credential?.kind === 'registry-token') return `Bearer ${credential.token}`
  return bearer(cx, wallet, { realm, challenge, scopes: formatScopes(scopes), credential })
}

async function bearer(cx: Context, wallet: Wallet, request: TokenRequest): Promise<string | undefined> {
  const { tokens, pending } = wallet
  const { realm, challenge, scopes, credential } = request
  const key = [realm.origin.origin, challenge.parameters.realm, challenge.parameters.service, identity(credential), ...scopes].join('\n')
  const token = tokens.get(key)
  if (token !== undefined && token.expires > performance.now()) return `Bearer ${token.value}`
  let flight = pending.get(key)
  if (flight === undefined) {
    flight = fetchToken(cx, wallet, request)
      .then((fetched) => {
        tokens.set(key, fetched)
        return `Bearer ${fetched.value}`
      })
      .finally(() => pending.delete(key))
    pending.set(key, flight)
  }
  return flight
}

async function fetchToken(cx: Context, wallet: Wallet, { realm, challenge, scopes, credential }: TokenRequest): Promise<Token> {
  const url = realmUrl(realm, challenge)
  if (!realm.isInsecure && !(await mayLeadTo(realm.origin, url)))
    throw refusedRealm(realm, challenge, 'its token server is at a private address')
  const service = challenge.parameters.service
  if (credential?.kind === 'identity-token') {
    const body = refreshForm(wallet, realm, service, scopes, credential)
    const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
    const response = await wallet.ask(cx, { method: 'POST', url, headers, body })
    // Servers without OAuth2 answer 404 or 405 here, and take the refresh token as a password.
    if (response.status !== 404 && response.status !== 405) return readToken(wallet, response, realm, credential)
    await response.body.discard()
  }
  for (const scope of scopes) url.searchParams.append('scope', scope)
  if (service !== undefined) url.searchParams.set('service', service)
  const headers: Record<string, string> = { accept: 'application/json' }
  if (credential?.kind === 'password') {
    url.searchParams.set('account', credential.username)
    headers.authorization = basic(credential.username, credential.password)
  } else if (credential?.kind === 'identity-token') headers.authorization = basic(credential.username, credential.token)
  return readToken(wallet, await wallet.ask(cx, { method: 'GET', url, headers }), realm, credential)
}

function refreshForm(
  { refreshed }: Wallet,
  realm: Realm,
  service: string | undefined,
  scopes: readonly string[],
  credential: Credential & { kind: 'identity-token' },
): Uint8Array {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'stave' })
  if (service !== undefined) form.set('service', service)
  if (scopes.length > 0) form.set('scope', scopes.join(' '))
  form.set('refresh_token', refreshed.get(realm.origin.origin) ?? credential.token)
  return Buffer.from(form.toString())
}

async function readToken({ refreshed }: Wallet, response: Response, realm: Realm, credential: Credential | undefined): Promise<Token> {
  const doing = `cannot get a token for ${realm.registry} from ${response.url.host}`
  if (response.status !== 200) throw await responseProblem(response, doing, { registry: realm.registry, credentialsFrom: credential?.from })
  const bytes = await readAll(response.body, limit.jsonBytes)
  const body = decodeToken(bytes)
  if (body === undefined) {
    throw new StaveError('registry-problem', `${doing}: its answer holds no token`, {
      cause: new Error(`${response.method} ${redactUrl(response.url)} → ${response.status} without "token" or "access_token"`),
    })
  }
  if (body.refreshToken !== undefined) refreshed.set(realm.origin.origin, body.refreshToken)
  const lifetimeMs = Math.max(body.expiresIn, defaultLifetimeS) * 1000
  return { value: body.token, expires: performance.now() + lifetimeMs - Math.min(renewEarlyMs, lifetimeMs / 4) }
}

/** A token that was refused is not used again. */
function forget({ tokens }: Wallet, sent: string): void {
  for (const [key, token] of tokens) if (sent === `Bearer ${token.value}`) tokens.delete(key)
}

function choose(challenges: readonly Challenge[]): Challenge | undefined {
  // A token names what it is for and ends soon, so it is preferred to sending the password with each request.
  return (
    challenges.find((challenge) => challenge.scheme === 'bearer' && challenge.parameters.realm !== undefined) ??
    challenges.find((challenge) => challenge.scheme === 'basic')
  )
}

/**
 * The token server, checked: a registry must not be able to send a user's password over plain http, nor to
 * services of the user's own machine or network.
 */
export function realmUrl(realm: Pick<Realm, 'origin' | 'registry' | 'isInsecure'>, challenge: Challenge): URL {
  const refuse = (why: string, hint?: string) => refusedRealm(realm, challenge, why, hint)
  const url = URL.parse(challenge.parameters.realm ?? '', realm.origin)
  if (url === null) throw refuse('its token server has no valid address')
  if (url.username !== '' || url.password !== '') throw refuse("its token server's address holds a user name")
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse('its token server is not reached over http')
  if (url.protocol === 'http:' && !realm.isInsecure && !(isLoopback(url.hostname) && isLoopback(realm.origin.hostname))) {
    throw refuse(
      'its token server uses plain http',
      'Mark the registry as insecure in registries.conf, or use `--tls-verify=false`, if that is meant.',
    )
  }
  url.hash = ''
  return url
}

function refusedRealm({ registry }: Pick<Realm, 'registry'>, challenge: Challenge, why: string, hint?: string): StaveError {
  return new StaveError('registry-problem', `cannot log in to ${registry}: ${why}`, {
    cause: new Error(`WWW-Authenticate names the token server ${JSON.stringify((challenge.parameters.realm ?? '').slice(0, 200))}`),
    ...(hint !== undefined && { hint }),
  })
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function identity(credential: Credential | undefined): string {
  return credential === undefined ? '' : `${credential.kind} ${'username' in credential ? credential.username : ''}`
}

/** One line for each resource, the actions of one resource joined: the form of the `scope` parameter. */
export function formatScopes(scopes: readonly Scope[]): string[] {
  return unite(scopes, []).map((scope) => `${scope.type}:${scope.name}:${scope.actions.join(',')}`)
}

/** @see distribution, "Token Scope Documentation": `type:name:action,action`, space-separated */
export function parseScopes(text: string): Scope[] {
  const scopes: Scope[] = []
  for (const part of text.split(' ')) {
    // A name may hold a colon (host:port), so the outer ones count.
    const match = /^([a-z]+)(?:\([a-z]+\))?:(.+):([a-z*,]+)$/.exec(part)
    if (match !== null && (match[1] === 'repository' || match[1] === 'registry'))
      scopes.push({ type: match[1], name: match[2]!, actions: match[3]!.split(',').filter((action) => action !== '') })
  }
  return scopes
}

// The order is kept: some servers read only the first scope, so the one of the request itself comes first.
function unite(first: readonly Scope[], second: readonly Scope[]): Scope[] {
  const united = new Map<string, Scope>()
  for (const scope of [...first, ...second]) {
    const key = `${scope.type}:${scope.name}`
    const actions = new Set([...(united.get(key)?.actions ?? []), ...scope.actions])
    united.set(key, { ...scope, actions: [...actions].sort() })
  }
  return [...united.values()]
}

function decodeToken(bytes: Uint8Array | undefined): { token: string; expiresIn: number; refreshToken?: string } | undefined {
  if (bytes === undefined) return undefined
  let body: Record<string, unknown>
  try {
    body = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
  } catch {
    return undefined
  }
  if (typeof body !== 'object' || body === null) return undefined
  const token = [body.token, body.access_token].find((value) => typeof value === 'string' && /^[\x21-\x7e]+$/.test(value))
  if (typeof token !== 'string') return undefined
  const expiresIn = typeof body.expires_in === 'number' && Number.isFinite(body.expires_in) ? body.expires_in : defaultLifetimeS
  return { token, expiresIn, ...(typeof body.refresh_token === 'string' ? { refreshToken: body.refresh_token } : {}) }
}
