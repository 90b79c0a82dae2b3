import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { createdByRun } from './history.ts'
import { parseBoolean } from './go-values.ts'
import { shellCommand } from './run.ts'
import { normalizeWorkdir, parseChmod, parseChown, parsePorts } from './values.ts'

describe('ports', () => {
  test.each<[string, string[]]>([
    ['80', ['80/tcp']],
    ['80/udp', ['80/udp']],
    ['80/TCP', ['80/tcp']],
    ['80/sctp', ['80/sctp']],
    ['80/', ['80/tcp']],
    ['0', ['0/tcp']],
    ['65535', ['65535/tcp']],
    ['080', ['80/tcp']],
    ['8000-8002/udp', ['8000/udp', '8001/udp', '8002/udp']],
    ['80-80', ['80/tcp']],
    ['8080:80', ['80/tcp']],
    [':80', ['80/tcp']],
    ['127.0.0.1:8080:80/udp', ['80/udp']],
    ['127.0.0.1::80', ['80/tcp']],
    ['[::1]:8080:80', ['80/tcp']],
    ['8080-8081:80', ['80/tcp']],
    ['8080-8081:80-81', ['80/tcp', '81/tcp']],
  ])('%s', (text, ports) => {
    expect(parsePorts([text])).toEqual(ports)
  })

  test.each([
    '',
    'x',
    '65536',
    '-1',
    '80-',
    '-80',
    '81-80',
    '80/x',
    '80/tcp/udp',
    '/tcp',
    'a:80',
    '8080-8082:80-81',
    '1.2.3:80:80',
    '300.1.1.1:80:80',
    '80 81',
    '0x50',
    '1e3',
  ])('%j: an error', (text) => {
    expect(() => parsePorts([text])).toThrow(StaveError)
  })

  test('the whole range', () => {
    expect(parsePorts(['0-65535'])).toHaveLength(65_536)
  })
})

describe('chmod', () => {
  test.each<[string, number]>([
    ['755', 0o755],
    ['0644', 0o644],
    ['7777', 0o7777],
    ['0', 0],
    ['00755', 0o755],
  ])('%s', (text, mode) => {
    expect(parseChmod(text)).toEqual({ kind: 'octal', mode })
  })

  test.each(['u=rwX,go=rX', '+x', 'a+x', 'u+x', 'go-rwx', 'go=', 'g=u', 'u+s', '+t', 'u+w-x', 'a-x,a+X', 'ugoa+r'])('%s', (text) => {
    expect(parseChmod(text)).toEqual({ kind: 'symbolic' })
  })

  test.each(['', '8', '10000', '77777777777', 'x', 'u', 'u=rwz', 'u+rw,', ',u+x', 'u +x', '0x1ff', '755a', '-755', 'g=ur', 'u+x;id'])(
    '%j: an error',
    (text) => {
      expect(() => parseChmod(text)).toThrow('invalid chmod')
    },
  )
})

test.each<[string, object]>([
  ['1000', { user: '1000' }],
  ['1000:1001', { user: '1000', group: '1001' }],
  ['app', { user: 'app' }],
  ['app:web', { user: 'app', group: 'web' }],
  ['app:0', { user: 'app', group: '0' }],
  [':web', { user: '0', group: 'web' }],
])('chown %s', (text, expected) => {
  expect(parseChown(text)).toEqual(expected)
})

test.each(['', ':', 'a:', 'a:b:c', 'a b', 'a/b', '4294967296', '1:99999999999'])('chown %j: an error', (text) => {
  expect(() => parseChown(text)).toThrow('invalid chown')
})

test.each([
  ['', '/a', '/a'],
  ['/a', 'b', '/a/b'],
  ['', 'b', '/b'],
  ['/a', '/b/', '/b'],
  ['/a/b', '..', '/a'],
  ['/a', '../../..', '/'],
  ['/', '.', '/'],
  ['/a', './b//c/.', '/a/b/c'],
])('WORKDIR %j then %j', (current, path, expected) => {
  expect(normalizeWorkdir(current, path)).toBe(expected)
})

test('booleans as Go reads them', () => {
  expect(['1', 't', 'T', 'true', 'TRUE', 'True'].map(parseBoolean)).not.toContain(false)
  expect(['0', 'f', 'F', 'false', 'FALSE', 'False'].map(parseBoolean)).not.toContain(true)
  expect(['', 'yes', 'tRUE', 'no', '2'].map(parseBoolean)).toEqual(Array.from({ length: 5 }, () => undefined))
})

test('what the history says of a RUN', () => {
  expect(createdByRun(['/bin/sh', '-c', 'x y'], [])).toBe('/bin/sh -c x y')
  expect(createdByRun(['/bin/sh', '-c', 'x'], ['A=1', 'B='])).toBe('|2 A=1 B= /bin/sh -c x')
})

test('exec form needs no shell', () => {
  expect(shellCommand({ form: 'exec', args: ['a', 'b'] }, ['sh', '-c'])).toEqual(['a', 'b'])
  expect(shellCommand({ form: 'shell', args: ['a b'] }, ['sh', '-c'])).toEqual(['sh', '-c', 'a b'])
})
