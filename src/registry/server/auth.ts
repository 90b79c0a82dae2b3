import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { formatScopes, parseScopes, type Scope } from '../client/auth.ts'
import { type Answer, jsonAnswer, Refusal } from './answer.ts'
import type { TokenServer } from './bearer.ts'
import { createPasswords, type Passwords } from './passwords.ts'

/** Who may do what: as this server knows, or as a token server that others run says. */
export type ServerAuth = OwnAuth | ({ readonly kind: 'bearer' } & TokenServer)

export interface OwnAuth {
  /** `basic`: a password with each request. `token`: this server is its own token server too. */
  readonly kind: 'basic' | 'token'
  /** Names and passwords: plain, or hashed as in an htpasswd file (`parseHtpasswd`). */
  readonly users: Readonly<Record<string, string>>
  /** What needs no user. Default: nothing. */
  readonly anonymous?: 'pull'
  /** Whether a user may do something. Default: everything. */
  readonly allows?: (user: string, repository: string, action: string) => boolean
  /** How long a token is good for, in seconds. Default: 300. */
  readonly lifetimeS?: number
}

/** What a request needs: an action on a repository, or on the catalog. */
export type Need = { readonly repository: string; readonly action: 'pull' | 'push' | 'delete' } | 'catalog' | 'ping'

/** Who sent a request, as far as the server believes it. */
export interface Caller {
  /** Their name, if they proved to be someone. */
  readonly user?: string | undefined
  may(need: Need): boolean
}

export interface Guard extends AsyncDisposable {
  /** Finds out who it is, and whether they may do all of this. @throws Refusal 401 with a challenge, 403, 429 */
  admit(authorization: string | undefined, needs: readonly Need[], origin: string): Promise<Caller>
  /** The token server, at `/token`. */
  token(method: string, authorization: string | undefined, query: URLSearchParams, body: URLSearchParams): Promise<Answer>
}

const service = 'stave'

/** What the Authorization field of a request proves. */
interface Known extends Caller {
  /** Somebody proved to be someone. */
  readonly isKnown: boolean
}

/** What is allowed in a repository or the catalog, in the words of tokens. */
function scopesOf(need: Need): Scope[] {
  if (need === 'ping') return []
  if (need === 'catalog') return [{ type: 'registry', name: 'catalog', actions: ['*'] }]
  return [{ type: 'repository', name: need.repository, actions: [need.action] }]
}

/** Those who bring tokens may do what is in them. Of `undefined`, the token is none. */
function holderOf(granted: readonly Scope[] | undefined, user?: string): Known {
  const covers = (scope: Scope) =>
    (granted ?? []).some(
      ({ type, name, actions }) =>
        type === scope.type && name === scope.name && (actions.includes('*') || scope.actions.every((action) => actions.includes(action))),
    )
  return { isKnown: granted !== undefined, user, may: (need) => granted !== undefined && scopesOf(need).every(covers) }
}

function bearerOf(authorization: string | undefined): string | undefined {
  return /^bearer\s+(\S+)$/i.exec(authorization ?? '')?.[1]
}

export async function createGuard(auth: ServerAuth | undefined): Promise<Guard> {
  if (auth?.kind !== 'bearer') return createOwnGuard(auth)
  const { createTokenCheck } = await import('./bearer.ts')
  const check = createTokenCheck(auth)
  return {
    async admit(authorization, needs) {
      const token = bearerOf(authorization)
      const granted = token === undefined ? undefined : await check(token)
      return admitted(holderOf(granted?.scopes, granted?.user), needs, challengeOf(auth.realm, auth.service))
    },
    async token() {
      throw new Refusal(404, 'UNSUPPORTED', 'no token server here')
    },
    async [Symbol.asyncDispose]() {},
  }
}

type Challenge = (scopes: readonly string[], isKnown: boolean) => string

/** @see distribution, "Token Authentication Specification" */
function challengeOf(realm: string, service: string): Challenge {
  return (scopes, isKnown) =>
    `Bearer realm="${realm}",service="${service}"${scopes.length === 0 ? '' : `,scope="${scopes.join(' ')}"`}${isKnown ? ',error="insufficient_scope"' : ''}`
}

/** @throws Refusal 401 with a challenge: another token, or password, may do */
function admitted(caller: Known, needs: readonly Need[], challenge: Challenge): Caller {
  if (needs.every((need) => caller.may(need))) return caller
  throw new Refusal(401, caller.isKnown ? 'DENIED' : 'UNAUTHORIZED', 'authentication required', {
    'www-authenticate': challenge(formatScopes(needs.flatMap(scopesOf)), caller.isKnown),
  })
}

/** A server that knows its users, and may issue tokens itself. */
interface Gatekeeper {
  /** Undefined: everybody may do everything. */
  readonly auth: OwnAuth | undefined
  /** What its tokens are signed with; they end with the process. */
  readonly secret: Uint8Array
  readonly passwords: Passwords
}

function createOwnGuard(auth: OwnAuth | undefined): Guard {
  const keeper: Gatekeeper = { auth, secret: randomBytes(32), passwords: createPasswords(auth?.users ?? {}) }
  return {
    async admit(authorization, needs, origin) {
      const caller = await identify(keeper, authorization)
      // Who is known by a password and asks for too much is told so; with tokens, another token may do.
      if (caller.isKnown && auth?.kind === 'basic' && !needs.every((need) => caller.may(need)))
        throw new Refusal(403, 'DENIED', 'requested access to the resource is denied')
      return admitted(caller, needs, auth?.kind === 'basic' ? () => 'Basic realm="stave"' : challengeOf(`${origin}/token`, service))
    },
    async token(method, authorization, query, body) {
      if (auth?.kind !== 'token') throw new Refusal(404, 'UNSUPPORTED', 'no token server here')
      const isPost = method === 'POST'
      const user = await applicantOf(keeper, authorization, isPost ? body : undefined)
      if (user === undefined && (isPost || authorization !== undefined))
        throw new Refusal(401, 'UNAUTHORIZED', 'wrong user name or password')
      const asked = (isPost ? [body.get('scope') ?? ''] : query.getAll('scope')).flatMap((text) => parseScopes(text))
      return tokenAnswer(keeper, user, asked, { lifetimeS: auth.lifetimeS ?? 300, isRefreshable: isPost && user !== undefined })
    },
    [Symbol.asyncDispose]: () => keeper.passwords[Symbol.asyncDispose](),
  }
}

function allows({ auth }: Gatekeeper, user: string | undefined, repository: string, action: string): boolean {
  if (user === undefined) return auth?.anonymous === 'pull' && action === 'pull'
  return auth?.allows === undefined || auth.allows(user, repository, action)
}

async function userOf(keeper: Gatekeeper, authorization: string | undefined): Promise<string | undefined> {
  const match = /^basic\s+([A-Za-z0-9+/=]+)$/i.exec(authorization ?? '')
  const text = Buffer.from(match?.[1] ?? '', 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : authenticate(keeper, text.slice(0, colon), text.slice(colon + 1))
}

async function authenticate({ passwords }: Gatekeeper, user: string, password: string): Promise<string | undefined> {
  return (await passwords.check(user, password)) ? user : undefined
}

async function identify(keeper: Gatekeeper, authorization: string | undefined): Promise<Known> {
  const { auth } = keeper
  if (auth === undefined) return { isKnown: false, may: () => true }
  if (auth.kind === 'token') {
    const content = open(keeper, bearerOf(authorization), 'access')
    return holderOf(content === undefined ? undefined : parseScopes(String(content.scope)), content?.user as string | undefined)
  }
  const user = await userOf(keeper, authorization)
  return {
    user,
    isKnown: user !== undefined,
    may: (need) =>
      (user !== undefined || need !== 'ping') &&
      scopesOf(need).every((scope) => scope.actions.every((action) => allows(keeper, user, scope.name, action))),
  }
}

/** Who wants a token: by the Authorization field, or by what the form of a POST says. */
async function applicantOf(
  keeper: Gatekeeper,
  authorization: string | undefined,
  form: URLSearchParams | undefined,
): Promise<string | undefined> {
  const user = await userOf(keeper, authorization)
  switch (form?.get('grant_type')) {
    case 'password':
      return authenticate(keeper, form?.get('username') ?? '', form?.get('password') ?? '')
    case 'refresh_token':
      return open(keeper, form?.get('refresh_token') ?? '', 'refresh')?.user as string | undefined
    default:
      return user
  }
}

/** A token for as much of what was asked as the user may do. */
function tokenAnswer(
  keeper: Gatekeeper,
  user: string | undefined,
  asked: readonly Scope[],
  { lifetimeS, isRefreshable }: { readonly lifetimeS: number; readonly isRefreshable: boolean },
): Answer {
  const granted = asked.map(({ type, name, actions }) => ({
    type,
    name,
    actions: actions.filter((action) => allows(keeper, user, name, action)),
  }))
  const scope = formatScopes(granted.filter(({ actions }) => actions.length > 0)).join(' ')
  const token = issue(keeper, 'access', { user, scope }, lifetimeS)
  return jsonAnswer(200, {
    token,
    access_token: token,
    expires_in: lifetimeS,
    issued_at: new Date().toISOString(),
    ...(isRefreshable && { refresh_token: issue(keeper, 'refresh', { user }, 86_400) }),
  })
}

function issue({ secret }: Gatekeeper, kind: 'access' | 'refresh', content: object, lifetimeS: number): string {
  const payload = Buffer.from(JSON.stringify({ ...content, kind, expires: Date.now() + lifetimeS * 1000 })).toString('base64url')
  return `${payload}.${mac(secret, payload).toString('base64url')}`
}

function open({ secret }: Gatekeeper, token: string | undefined, kind: string): Record<string, unknown> | undefined {
  const [payload = '', signature = ''] = (token ?? '').split('.')
  const given = Buffer.from(signature, 'base64url')
  const expected = mac(secret, payload)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined
  const content = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Record<string, unknown>
  return content.kind === kind && Number(content.expires) > Date.now() ? content : undefined
}

function mac(secret: Uint8Array, text: string): Buffer {
  return createHmac('sha256', secret).update(text).digest()
}
