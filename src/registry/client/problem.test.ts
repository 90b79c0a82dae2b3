import { clean } from '../clean.ts'
import { expect, test } from 'vitest'
import type { StaveError } from '#error.ts'
import { bodyOfBytes, type Method, type Headers } from './message.ts'
import { networkProblem, parseErrors, redactUrl, responseProblem } from './problem.ts'

function print(error: StaveError): string {
  const hint = error.hint === undefined ? '' : `\n  hint:  ${error.hint}`
  return `${error.code}: ${error.message}\n  cause: ${(error.cause as Error).message}${hint}`
}

async function of(
  method: Method,
  url: string,
  status: number,
  body: string,
  options: { headers?: Headers; from?: string } = {},
): Promise<string> {
  const response = { method, url: new URL(url), status, headers: options.headers ?? {}, body: bodyOfBytes(Buffer.from(body)) }
  return print(await responseProblem(response, 'cannot push ghcr.io/acme/web', { registry: 'ghcr.io', credentialsFrom: options.from }))
}

const error = (code: string, message: string) => JSON.stringify({ errors: [{ code, message }] })

test('denied, with credentials', async () => {
  const text = await of('POST', 'https://ghcr.io/v2/acme/web/blobs/uploads/', 403, error('DENIED', 'permission_denied: write_package'), {
    from: '~/.docker/config.json',
  })
  expect(text).toMatchInlineSnapshot(`
    "denied: cannot push ghcr.io/acme/web: denied
      cause: POST https://ghcr.io/v2/acme/web/blobs/uploads/ → 403 DENIED "permission_denied: write_package"
      hint:  Credentials for ghcr.io came from ~/.docker/config.json. \`stave login ghcr.io\` stores others."
  `)
})

test('unauthorized, without credentials', async () => {
  expect(await of('GET', 'https://ghcr.io/v2/acme/web/manifests/1', 401, error('UNAUTHORIZED', 'authentication required')))
    .toMatchInlineSnapshot(`
    "unauthorized: cannot push ghcr.io/acme/web: not authorized
      cause: GET https://ghcr.io/v2/acme/web/manifests/1 → 401 UNAUTHORIZED "authentication required"
      hint:  No credentials for ghcr.io were found. \`stave login ghcr.io\` stores some; a misspelt name is refused likewise."
  `)
})

test('too many requests', async () => {
  expect(await of('GET', 'https://ghcr.io/v2/x', 429, error('TOOMANYREQUESTS', 'slow down'), { headers: { 'retry-after': '600' } }))
    .toMatchInlineSnapshot(`
    "too-many-requests: cannot push ghcr.io/acme/web: the registry refuses further requests for now
      cause: GET https://ghcr.io/v2/x → 429 TOOMANYREQUESTS "slow down"
      hint:  The registry asks to wait: Retry-After 600; \`stave login ghcr.io\` may raise the limit."
  `)
})

test('a failing server, with a page for people', async () => {
  expect(await of('PUT', 'https://ghcr.io/v2/x', 502, '<html>Bad Gateway</html>', { headers: { 'content-type': 'text/html' } }))
    .toMatchInlineSnapshot(`
    "registry-problem: cannot push ghcr.io/acme/web: the registry answered 502
      cause: PUT https://ghcr.io/v2/x → 502
      hint:  The fault is in the registry; try again later."
  `)
})

test('a name that nobody knows', () => {
  const cause = Object.assign(new Error('getaddrinfo ENOTFOUND nope.example'), { code: 'ENOTFOUND' })
  expect(print(networkProblem(cause, 'cannot read nope.example/x:1', 'GET', new URL('https://nope.example/v2/x/manifests/1'))))
    .toMatchInlineSnapshot(`
    "network: cannot read nope.example/x:1: no connection to nope.example
      cause: GET https://nope.example/v2/x/manifests/1: getaddrinfo ENOTFOUND nope.example
      hint:  The name nope.example is unknown. Is it spelt right?"
  `)
})

test('a certificate that is not trusted', () => {
  const cause = Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  expect(print(networkProblem(cause, 'cannot read r.example/x:1', 'GET', new URL('https://r.example:5000/v2/')))).toMatchInlineSnapshot(`
    "tls: cannot read r.example/x:1: no trusted connection to r.example:5000
      cause: GET https://r.example:5000/v2/: self-signed certificate
      hint:  Put the certificate of its authority into ~/.config/containers/certs.d/r.example:5000/ca.crt, or use \`--tls-verify=false\`."
  `)
})

test.each([
  ['a presigned address', 'https://s3.example/b?X-Amz-Signature=abc&X-Amz-Date=1', 'https://s3.example/b?X-Amz-Signature=…&X-Amz-Date=…'],
  [
    'an upload state',
    'https://r.example/v2/x/blobs/uploads/1?_state=secret&digest=sha256%3Aab',
    'https://r.example/v2/x/blobs/uploads/1?_state=…&digest=sha256:ab',
  ],
  ['a user name', 'https://u:p@r.example/v2/#frag', 'https://r.example/v2/'],
  [
    'a mount',
    'https://r.example/v2/x/blobs/uploads/?mount=sha256:a&from=b/c',
    'https://r.example/v2/x/blobs/uploads/?mount=sha256:a&from=b/c',
  ],
])('an address in a message: %s', (_, url, expected) => {
  expect(redactUrl(new URL(url))).toBe(expected)
})

test('a registry cannot write to the terminal, nor repeat a secret', () => {
  expect(clean('a\u001b[31mred\u001b[0m\r\nb\u202ec')).toBe('a [31mred [0m b c')
  expect(clean('sent Bearer abcdefghijklmnop1234 and eyJhbGciOi.eyJpc3MiOi.c2lnbmF0dXJl')).toBe('sent Bearer … and …')
  expect(clean('x'.repeat(10_000))).toHaveLength(501)
})

test.each([
  [
    'the form of the specification',
    '{"errors":[{"code":"A","message":"b","detail":"c"}]}',
    'application/json',
    { code: 'A', message: 'b: c' },
  ],
  ['an OAuth2 answer', '{"error":"invalid_grant","error_description":"expired"}', 'application/json', { message: 'expired' }],
  [
    'a token server of Docker',
    '{"details":"incorrect username or password"}',
    'application/json',
    { message: 'incorrect username or password' },
  ],
  ['plain text', 'no space left\n', 'text/plain', { message: 'no space left' }],
  ['an empty list', '{"errors":[]}', 'application/json', undefined],
  ['a list of nothing', '{"errors":[null]}', 'application/json', undefined],
  ['null', 'null', 'application/json', undefined],
])('reads %s', (_, text, type, expected) => {
  expect(parseErrors(text, type)).toEqual(expected)
})
