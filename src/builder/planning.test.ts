import { expect, test } from 'vitest'
import type { BuildOptions } from './options.ts'
import { sandboxKey } from './planning.ts'

const bind = { source: '/a', target: '/v', readonly: true }

test.each<[string, Partial<BuildOptions>, Partial<BuildOptions>, readonly string[]]>([
  ['capabilities', { sandbox: { capabilities: ['CAP_CHOWN'] } }, { sandbox: { capabilities: [] } }, []],
  ['no-new-privileges', { sandbox: { noNewPrivileges: true } }, {}, []],
  ['a seccomp profile', { sandbox: { seccomp: 'unconfined' } }, {}, []],
  ['devices', { sandbox: { devices: [{ source: '/dev/a', target: '/dev/a', permissions: 'rwm' }] as never } }, {}, []],
  ['where something is bound', { sandbox: { binds: [bind] } }, { sandbox: { binds: [{ ...bind, target: '/w' }] } }, ['x']],
  ['how it is bound', { sandbox: { binds: [bind] } }, { sandbox: { binds: [{ ...bind, readonly: false }] } }, ['x']],
  ['own hosts', { sandbox: { ownHosts: true } }, {}, []],
  ['resolvers', { sandbox: { resolver: { nameserver: ['1.1.1.1'] } } }, { sandbox: { resolver: { nameserver: ['8.8.8.8'] } } }, []],
  ['the size of /dev/shm', { shmBytes: 1 }, { shmBytes: 2 }, []],
  ['limits', { ulimits: [{ name: 'nofile', soft: 1, hard: 1 }] as never }, {}, []],
])('the key has %s', (_name, one, other, found) => {
  expect(sandboxKey(one, found)).not.toEqual(sandboxKey(other, found))
})

test('the key has the content of what is bound, and not where it is', () => {
  const key = (source: string, digest: string) => sandboxKey({ sandbox: { binds: [{ ...bind, source }] } }, [digest])
  expect(key('/a', 'x')).toEqual(key('/b', 'x'))
  expect(key('/a', 'x')).not.toEqual(key('/a', 'y'))
})

test('what has no content that stands still is never the same', () => {
  const key = () => sandboxKey({ sandbox: { binds: [bind] } }, [undefined])
  expect(key()).not.toEqual(key())
})

test.each<[string, Partial<BuildOptions>]>([
  ['memory and processor', { sandbox: { resources: { memoryBytes: 1 } } }],
  ['nothing', {}],
])('%s decide no result', (_name, options) => {
  expect(sandboxKey(options, [])).toEqual({})
})
