import { expect, test } from 'vitest'
import { parseChallenges } from './challenge.ts'

const cases: readonly { name: string; field: string; expected: readonly (readonly [scheme: string, parameters: object])[] }[] = [
  { name: 'basic', field: 'Basic realm="Registry Realm"', expected: [['basic', { realm: 'Registry Realm' }]] },
  {
    name: 'bearer of Docker Hub',
    field: 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"',
    expected: [
      ['bearer', { realm: 'https://auth.docker.io/token', service: 'registry.docker.io', scope: 'repository:library/debian:pull' }],
    ],
  },
  {
    name: 'a comma within quotes',
    field: 'Bearer realm="https://a/t",scope="repository:a/b:pull,push"',
    expected: [['bearer', { realm: 'https://a/t', scope: 'repository:a/b:pull,push' }]],
  },
  {
    name: 'several challenges in one field',
    field: 'Basic realm="a", Bearer realm="https://b/t", service="s"',
    expected: [
      ['basic', { realm: 'a' }],
      ['bearer', { realm: 'https://b/t', service: 's' }],
    ],
  },
  {
    name: 'schemes without parameters around one with',
    field: 'Negotiate, Basic realm="a", NTLM',
    expected: [
      ['negotiate', {}],
      ['basic', { realm: 'a' }],
      ['ntlm', {}],
    ],
  },
  {
    name: 'a token68',
    field: 'Negotiate YIIJvwYGKw==, Bearer realm=https://b/t',
    expected: [
      ['negotiate', {}],
      ['bearer', { realm: 'https://b/t' }],
    ],
  },
  { name: 'escapes', field: 'Basic realm="say \\"hi\\" \\\\ bye"', expected: [['basic', { realm: 'say "hi" \\ bye' }]] },
  {
    name: 'case and blanks',
    field: '  BEARER   Realm = "https://b/t" ,  SERVICE= s ',
    expected: [['bearer', { realm: 'https://b/t', service: 's' }]],
  },
  { name: 'empty list elements', field: ',, Basic ,realm="a",,', expected: [['basic', { realm: 'a' }]] },
  { name: 'a quoted string that does not end', field: 'Bearer realm="https://b', expected: [['bearer', { realm: 'https://b' }]] },
  {
    name: 'the first of two equal names',
    field: 'Bearer realm="https://a",realm="https://evil"',
    expected: [['bearer', { realm: 'https://a' }]],
  },
  { name: 'a name of every object', field: 'Bearer __proto__="x",realm="r"', expected: [['bearer', { ['__proto__']: 'x', realm: 'r' }]] },
  { name: 'noise', field: '"" = ; @ Basic realm="a"', expected: [['basic', { realm: 'a' }]] },
  { name: 'nothing', field: '', expected: [] },
]

test.each(cases)('reads $name', ({ field, expected }) => {
  const found = parseChallenges(field).map(({ scheme, parameters }) => [scheme, Object.entries(parameters)])
  expect(found).toEqual(expected.map(([scheme, parameters]) => [scheme, Object.entries(parameters)]))
})

test('takes time in proportion to the length of a hostile field', () => {
  const start = performance.now()
  for (const part of ['a ', 'a=', '"\\', 'a ="', ',']) parseChallenges(part.repeat(1_000_000))
  expect(performance.now() - start).toBeLessThan(1000)
})
