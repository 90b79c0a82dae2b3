import { parseChallenges } from '#registry/client/challenge.ts'
import { nextPage } from '#registry/client/listing.ts'
import { clean } from '#registry/clean.ts'
import { parseErrors } from '#registry/client/problem.ts'
import { parseScopes } from '#registry/client/auth.ts'
import { retryAfterMs } from '#registry/client/retry.ts'
import { mutated } from '../random.ts'
import { documentWords, ours, type Target } from '../target.ts'

const fields = [
  'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push",error="invalid_token"',
  'Basic realm="x", Bearer realm=y, Negotiate dG9rZW4=',
  '</v2/a/tags/list?last=b&n=100>; rel="next"',
  '<https://other.example/x>; rel=next, <y>; rel="last"',
  'repository:a/b:pull,push registry:catalog:*',
  'Wed, 21 Oct 2026 07:28:00 GMT',
  '120',
]
const bodies = [
  '{"errors":[{"code":"DENIED","message":"no","detail":{"x":1}}]}',
  '{"details":"x"}',
  '<html><title>502</title></html>',
  'plain',
  '{"errors":"x"}',
]

/** Whatever a registry answers is read without a fault, and nothing of it can steer a terminal. */
export const answers: Target = {
  name: 'answer',
  next(random) {
    const field = mutated(random, fields, documentWords)
    const body = mutated(random, bodies, documentWords)
    return { input: JSON.stringify([field, body]), work: () => check(field, body) }
  },
}

function check(field: string, body: string): void {
  parseChallenges(field)
  ours(() => void parseScopes(field))
  ours(() => void nextPage({ url: new URL('https://r.example/v2/a/tags/list'), headers: { link: field } }))
  const wait = retryAfterMs({ 'retry-after': field }, 0)
  if (wait !== undefined && !(wait >= 0)) throw new Error(`it says to wait ${wait} ms`)
  for (const text of [clean(field), parseErrors(body, 'application/json')?.message ?? '', parseErrors(body, 'text/plain')?.code ?? ''])
    if (/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/.test(text)) throw new Error(`it would steer a terminal: ${JSON.stringify(text)}`)
}
