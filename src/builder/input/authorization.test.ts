import type { Event } from '#event.ts'
import { describe, expect, test } from 'vitest'
import { createSecrets } from './secrets.ts'
import { gitAuthorization, httpAuthorization } from './authorization.ts'

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`
const token = basic('x-access-token:t')

interface Case {
  readonly url: string
  readonly secrets: Record<string, string>
  readonly isLocal?: boolean
  readonly named?: readonly string[]
}

function ask(
  kind: typeof gitAuthorization,
  { url, secrets, isLocal = true, named = [] }: Case,
): { value: string | undefined; warned: number } {
  const events: Event[] = []
  const cx = { signal: new AbortController().signal, report: (event: Event) => void events.push(event) }
  const sources = createSecrets(Object.entries(secrets).map(([id, value]) => ({ id, value: Buffer.from(value) })))
  const value = kind(cx, sources, { isLocal, hosts: new Set(named) }, url)
  return { value, warned: events.filter(({ type }) => type === 'warning').length }
}

describe('git', () => {
  test.each<[string, Case, string | undefined]>([
    ['a token for a host goes to that host', { url: 'https://a/r.git', secrets: { 'GIT_AUTH_TOKEN.a': 't\n' } }, token],
    ['with its port', { url: 'https://a:8443/r.git', secrets: { 'GIT_AUTH_TOKEN.a:8443': 't' } }, token],
    ['and to no other', { url: 'https://b/r.git', secrets: { 'GIT_AUTH_TOKEN.a': 't' } }, undefined],
    ['nor to another port', { url: 'https://a:1/r.git', secrets: { 'GIT_AUTH_TOKEN.a': 't' } }, undefined],
    ['nor over plain http', { url: 'http://a/r.git', secrets: { 'GIT_AUTH_TOKEN.a': 't' } }, undefined],
    ['but to this machine', { url: 'http://127.0.0.1:1/r.git', secrets: { 'GIT_AUTH_TOKEN.127.0.0.1:1': 't' } }, token],
    ['a token for all goes over https where the Dockerfile is local', { url: 'https://a/r.git', secrets: { GIT_AUTH_TOKEN: 't' } }, token],
    ['not over http', { url: 'http://a/r.git', secrets: { GIT_AUTH_TOKEN: 't' } }, undefined],
    ['not to loopback either', { url: 'http://127.0.0.1/r.git', secrets: { GIT_AUTH_TOKEN: 't' } }, undefined],
    ['not where the Dockerfile is another’s', { url: 'https://a/r.git', secrets: { GIT_AUTH_TOKEN: 't' }, isLocal: false }, undefined],
    ['but to the host of the context', { url: 'https://a/r.git', secrets: { GIT_AUTH_TOKEN: 't' }, isLocal: false, named: ['a'] }, token],
    ['also where the caller named it with http', { url: 'http://a/r.git', secrets: { GIT_AUTH_TOKEN: 't' }, named: ['a'] }, token],
    ['a header goes before a token', { url: 'https://a/r', secrets: { GIT_AUTH_TOKEN: 't', GIT_AUTH_HEADER: 'Bearer x' } }, 'Bearer x'],
    ['what the URL says goes first', { url: 'https://u:p%40@a/r.git', secrets: { GIT_AUTH_TOKEN: 't' } }, basic('u:p@')],
    ['a user without a password', { url: 'https://tok@a/r.git', secrets: {} }, basic('tok:')],
    ['ssh has none', { url: 'ssh://git@a/r.git', secrets: { GIT_AUTH_TOKEN: 't' } }, undefined],
  ])('%s', (_name, given, expected) => {
    expect(ask(gitAuthorization, given).value).toBe(expected)
  })

  test('a secret that is held back is told of', () => {
    expect(ask(gitAuthorization, { url: 'http://a/r.git', secrets: { GIT_AUTH_TOKEN: 't' } })).toEqual({ value: undefined, warned: 1 })
    expect(ask(gitAuthorization, { url: 'https://b/r.git', secrets: { 'GIT_AUTH_TOKEN.a': 't' } }).warned).toBe(0)
  })
})

test.each<[string, Case, string | undefined]>([
  ['a token', { url: 'https://a/f', secrets: { HTTP_AUTH_TOKEN_a: 't' } }, 'Bearer t'],
  ['a header', { url: 'https://a/f', secrets: { HTTP_AUTH_HEADER_a: 'Basic x' } }, 'Basic x'],
  ['of another host', { url: 'https://b/f', secrets: { HTTP_AUTH_TOKEN_a: 't' } }, undefined],
  ['over plain http', { url: 'http://a/f', secrets: { HTTP_AUTH_TOKEN_a: 't' } }, undefined],
  ['that is git’s', { url: 'https://a/f', secrets: { GIT_AUTH_TOKEN: 't' } }, undefined],
])('http: %s', (_name, given, expected) => {
  expect(ask(httpAuthorization, given).value).toBe(expected)
})
