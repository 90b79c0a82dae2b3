import { expect, test } from 'vitest'
import { defaultCapabilities } from './capability.ts'
import { parseSeccompProfile, type SeccompTarget } from './seccomp.ts'

const target: SeccompTarget = { capabilities: defaultCapabilities, architecture: 'amd64', kernel: '6.1.0-18-amd64' }
const parse = (document: object, of: Partial<SeccompTarget> = {}) =>
  parseSeccompProfile(Buffer.from(JSON.stringify(document)), 'profile.json', { ...target, ...of })
const names = (syscalls: readonly object[], of: Partial<SeccompTarget> = {}) =>
  parse({ defaultAction: 'SCMP_ACT_ERRNO', syscalls }, of).rules.flatMap((rule) => rule.names)
const allow = (name: string, more: object = {}) => ({ names: [name], action: 'SCMP_ACT_ALLOW', ...more })

test('rules, errno and conditions', () => {
  expect(
    parse({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 38,
      architectures: ['SCMP_ARCH_X86_64'],
      syscalls: [
        { name: 'old', action: 'SCMP_ACT_KILL' },
        allow('clone', { args: [{ index: 0, value: 2114060288, op: 'SCMP_CMP_MASKED_EQ' }] }),
        { names: ['a', 'b'], action: 'SCMP_ACT_ERRNO', errnoRet: 1, args: [{ index: 1, value: 5, valueTwo: 0, op: 'SCMP_CMP_GT' }] },
      ],
    }),
  ).toEqual({
    defaultAction: 'errno',
    defaultErrno: 38,
    rules: [
      { names: ['old'], action: 'kill-thread' },
      { names: ['clone'], action: 'allow', conditions: [{ index: 0, operator: 'masked-eq', value: 0, mask: 2114060288 }] },
      { names: ['a', 'b'], action: 'errno', errno: 1, conditions: [{ index: 1, operator: 'gt', value: 5 }] },
    ],
  })
})

test('what depends on capabilities, architecture and kernel is decided', () => {
  const rules = [
    allow('chroot', { includes: { caps: ['CAP_SYS_CHROOT'] } }),
    allow('mount', { includes: { caps: ['CAP_SYS_ADMIN'] } }),
    allow('clone', { excludes: { caps: ['CAP_SYS_ADMIN'] } }),
    allow('arch_prctl', { includes: { arches: ['amd64', 'x32'] } }),
    allow('cacheflush', { includes: { arches: ['arm64'] } }),
    allow('not_s390', { excludes: { arches: ['s390x'] } }),
    allow('ptrace', { includes: { minKernel: '4.8' } }),
    allow('future', { includes: { minKernel: '6.2' } }),
    allow('empty', { includes: {}, excludes: {} }),
  ]
  expect(names(rules)).toEqual(['chroot', 'clone', 'arch_prctl', 'not_s390', 'ptrace', 'empty'])
  expect(names(rules, { capabilities: ['CAP_SYS_ADMIN'], architecture: 'arm64', kernel: '7.0' })).toEqual([
    'mount',
    'cacheflush',
    'not_s390',
    'ptrace',
    'future',
    'empty',
  ])
})

test.each([
  [{}, /defaultAction must be a string/],
  [{ defaultAction: 'SCMP_ACT_NOTIFY' }, /is SCMP_ACT_NOTIFY, which is none of SCMP_ACT_ALLOW/],
  [{ defaultAction: 'SCMP_ACT_ALLOW', listenerPath: '/s' }, /listenerPath/],
  [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [allow('a', { args: [{ index: 0, value: 1, op: 'LIKE' }] })] }, /is LIKE/],
  [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: 'read', action: 'SCMP_ACT_ALLOW' }] }, /names must be an array/],
])('%j is refused', (document, why) => {
  expect(() => parse(document)).toThrow(why)
})
