import { clean } from '../clean.ts'
import { type ErrorCode, StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { type Method, type Response, readAll } from './message.ts'

/** Who was asked, for messages: nothing of it is secret. */
export interface Asked {
  readonly registry: string
  /** Where the credentials that were sent came from; undefined when none were found. */
  readonly credentialsFrom?: string | undefined
}

/**
 * Turns a registry's unwelcome answer into an error. Reads the body.
 *
 * @param doing what failed, as `cannot push ghcr.io/acme/web:1.2`
 * @see distribution-spec, "Error Codes"
 */
export async function responseProblem(response: Response, doing: string, asked: Asked): Promise<StaveError> {
  const said = await readErrors(response)
  const code = codeOf(response, said?.code)
  const answer = [String(response.status), said?.code, said?.message === undefined ? undefined : JSON.stringify(said.message)]
  const exchanged = `${response.method} ${redactUrl(response.url)} → ${answer.filter((part) => part !== undefined).join(' ')}`
  const hint = hintFor(code, response, asked)
  return new StaveError(code, `${doing}: ${summaries[code] ?? `the registry answered ${response.status}`}`, {
    cause: new Error(exchanged),
    ...(hint !== undefined && { hint }),
  })
}

/** The registry's own error code, for decisions: `MANIFEST_UNKNOWN`, `DIGEST_INVALID`. */
interface Said {
  readonly code?: string
  readonly message?: string
}

async function readErrors(response: Response): Promise<Said | undefined> {
  let text: string
  try {
    const bytes = await readAll(response.body, limit.errorBodyBytes)
    if (bytes === undefined || bytes.length === 0) return undefined
    text = new TextDecoder().decode(bytes)
  } catch {
    // The status says enough when the body cannot be had.
    return undefined
  }
  return parseErrors(text, response.headers['content-type'] ?? '')
}

/** The first entry of an error body of the spec's form, or the plain text of another one. */
export function parseErrors(text: string, contentType: string): Said | undefined {
  try {
    const body: unknown = JSON.parse(text)
    const list = isRecord(body) && Array.isArray(body.errors) ? (body.errors as unknown[]) : [body]
    const first = list.find(isRecord)
    if (first === undefined) return undefined
    const message = first.message ?? first.details ?? first.error_description ?? first.error
    const detail = typeof first.detail === 'string' && first.detail !== '' && first.detail !== message ? `: ${first.detail}` : ''
    return {
      ...(typeof first.code === 'string' ? { code: clean(first.code).slice(0, 60) } : {}),
      ...(typeof message === 'string' && message !== '' ? { message: clean(message + detail) } : {}),
    }
  } catch {
    // A page for people says little; a line of text may say all.
    return /html|xml/i.test(contentType) || text.trimStart().startsWith('<') ? undefined : { message: clean(text.trim()) }
  }
}

const codesOfErrors: Readonly<Record<string, ErrorCode>> = {
  DENIED: 'denied',
  UNAUTHORIZED: 'unauthorized',
  TOOMANYREQUESTS: 'too-many-requests',
  BLOB_UNKNOWN: 'blob-unknown',
  MANIFEST_UNKNOWN: 'not-found',
  NAME_UNKNOWN: 'not-found',
  DIGEST_INVALID: 'digest-mismatch',
  SIZE_INVALID: 'size-mismatch',
  UNSUPPORTED: 'unsupported',
}

const codesOfStatuses: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthorized',
  403: 'denied',
  404: 'not-found',
  405: 'unsupported',
  408: 'timeout',
  413: 'too-large',
  429: 'too-many-requests',
  504: 'timeout',
}

function codeOf({ method, status, url }: Response, said: string | undefined): ErrorCode {
  // Also what distribution answers to a delete by tag, where nothing mismatched.
  if (said === 'DIGEST_INVALID' && method === 'DELETE') return 'unsupported'
  if (said !== undefined && Object.hasOwn(codesOfErrors, said)) return codesOfErrors[said]!
  if (status === 404 && url.pathname.includes('/blobs/sha')) return 'blob-unknown'
  return codesOfStatuses[status] ?? 'registry-problem'
}

const summaries: Partial<Readonly<Record<ErrorCode, string>>> = {
  denied: 'denied',
  unauthorized: 'not authorized',
  'not-found': 'not found',
  'blob-unknown': 'not found',
  'too-many-requests': 'the registry refuses further requests for now',
  unsupported: 'the registry does not support it',
  'digest-mismatch': 'the registry says that the digest does not match',
  'size-mismatch': 'the registry says that the size does not match',
  'too-large': 'too large for the registry',
}

function hintFor(code: ErrorCode, response: Response, asked: Asked): string | undefined {
  const login = `\`stave login ${asked.registry}\``
  if (code === 'unauthorized' || code === 'denied') {
    return asked.credentialsFrom === undefined
      ? `No credentials for ${asked.registry} were found. ${login} stores some; a misspelt name is refused likewise.`
      : `Credentials for ${asked.registry} came from ${asked.credentialsFrom}. ${login} stores others.`
  }
  if (code === 'too-many-requests') {
    const after = response.headers['retry-after']
    const wait = after === undefined ? 'Wait a while' : `The registry asks to wait: Retry-After ${clean(after).slice(0, 40)}`
    return asked.credentialsFrom === undefined ? `${wait}; ${login} may raise the limit.` : `${wait}.`
  }
  return code === 'registry-problem' && response.status >= 500 ? 'The fault is in the registry; try again later.' : undefined
}

/** Turns what a socket, TLS or undici threw into an error; passes through what is a StaveError already. */
export function networkProblem(error: unknown, doing: string, method: Method, url: URL): StaveError {
  if (error instanceof StaveError) return error
  if (isMistake(error)) throw error
  const code = errorCode(error)
  const asked = `${method} ${redactUrl(url)}`
  const cause = new Error(`${asked}: ${describe(error)}`, { cause: error })
  if (isTimeout(code)) {
    return new StaveError('timeout', `${doing}: ${url.host} did not answer in time`, {
      cause,
      hint: 'Check the network, and whether a proxy is needed.',
    })
  }
  if (isTls(error)) {
    const hint = speaksPlainHttp(error)
      ? `${url.host} does not speak TLS. \`--tls-verify=false\` allows plain http.`
      : `Put the certificate of its authority into ~/.config/containers/certs.d/${url.host}/ca.crt, or use \`--tls-verify=false\`.`
    return new StaveError('tls', `${doing}: no trusted connection to ${url.host}`, { cause, hint })
  }
  return new StaveError('network', `${doing}: no connection to ${url.host}`, { cause, hint: networkHint(code, url) })
}

function networkHint(code: string, url: URL): string {
  switch (code) {
    case 'ECONNREFUSED':
      return `Nothing listens at ${url.host}. Is the registry running, and is the port right?`
    case 'ENOTFOUND':
      return `The name ${url.hostname} is unknown. Is it spelt right?`
    case 'EAI_AGAIN':
      return 'The name server did not answer. Is there a network?'
    default:
      return 'The connection broke. Try again.'
  }
}

/** Is a failure of this kind likely to pass? */
export function isTransient(error: unknown): boolean {
  if (error instanceof StaveError || isMistake(error) || isTls(error)) return false
  return errorCode(error) !== 'ENOTFOUND'
}

// What the program did wrong, not the network: it shows a stack, and is not tried again.
function isMistake(error: unknown): boolean {
  return (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) && errorCode(error) === ''
}

export function errorCode(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    const code = (at as NodeJS.ErrnoException).code
    if (typeof code === 'string') return code
    if (at instanceof AggregateError) return errorCode(at.errors[0])
  }
  return ''
}

function isTimeout(code: string): boolean {
  return ['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'].includes(code)
}

export function isTls(error: unknown): boolean {
  const code = errorCode(error)
  return (
    /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/.test(code) ||
    (error instanceof Error && /before secure TLS connection was established/.test(error.message))
  )
}

/** Did TLS fail because the other side answered in plain text? */
export function speaksPlainHttp(error: unknown): boolean {
  return (
    /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(errorCode(error)) || (errorCode(error) === 'EPROTO' && isTls(error))
  )
}

// Presigned URLs, upload states and token requests carry secrets in their queries; these parameters never do.
const harmless = new Set(['mount', 'from', 'digest', 'n', 'last', 'tag', 'artifactType', 'service', 'scope', 'ns'])

/** A URL fit for a message: without user, password, fragment and the values of unknown query parameters. */
export function redactUrl(url: URL): string {
  const query: string[] = []
  for (const [name, value] of url.searchParams) query.push(harmless.has(name) ? `${name}=${value}` : `${name}=…`)
  return clean(`${url.protocol}//${url.host}${url.pathname}${query.length === 0 ? '' : `?${query.join('&')}`}`)
}

function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(describe).join('; ')
  return clean(error instanceof Error ? error.message || errorCode(error) : String(error))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
