import { expect, test } from 'vitest'
import { formatReference, parseReference } from '#oci/reference.ts'
import { formatPlace, planMirror, type Found, type PlanOptions } from './plan.ts'

const digest = `sha256:${'a'.repeat(64)}`

function remote(text: string): Found {
  const reference = parseReference(text)
  return { place: { transport: 'docker', reference }, scope: formatReference(reference) }
}

const local = (base: string, scope: string): Found => ({ place: { transport: 'dir', path: `${base}/${scope}` }, scope })

// The first eight are the examples of skopeo-sync(1), and what skopeo makes of their neighbours.
test.each<[string, Found, PlanOptions, string]>([
  ['to a directory', remote('r.example/busybox:1'), { transport: 'dir', target: '/media/usb' }, 'dir:/media/usb/busybox:1'],
  ['scoped', remote('r.example/busybox:1'), { transport: 'dir', target: '/media/usb', scoped: true }, 'dir:/media/usb/r.example/busybox:1'],
  ['from a directory', local('/media/usb', 'busybox:1'), { transport: 'docker', target: 'm.lan/test/' }, 'docker://m.lan/test/busybox:1'],
  ['to a registry', remote('r.example/busybox:1'), { transport: 'docker', target: 'm.lan' }, 'docker://m.lan/busybox:1'],
  ['with a path', remote('r.example/repo/busybox:1'), { transport: 'docker', target: 'm.lan/repo' }, 'docker://m.lan/repo/busybox:1'],
  ['path not kept', remote('r.example/a/b/c:1'), { transport: 'docker', target: 'm.lan' }, 'docker://m.lan/c:1'],
  ['path kept', remote('r.example/a/b/c:1'), { transport: 'docker', target: 'm.lan', scoped: true }, 'docker://m.lan/r.example/a/b/c:1'],
  ['a directory in one', local('/usb', 'r/a/c:1'), { transport: 'docker', target: 'm.lan', scoped: true }, 'docker://m.lan/r/a/c:1'],
  ['Docker Hub', remote('busybox:1'), { transport: 'docker', target: 'm.lan', scoped: true }, 'docker://m.lan/docker.io/library/busybox:1'],
  [
    'a suffix',
    remote('r.example/busybox:1'),
    { transport: 'docker', target: 'm.lan', suffix: '-mirror' },
    'docker://m.lan/busybox:1-mirror',
  ],
  ['a digest', remote(`r.example/busybox@${digest}`), { transport: 'docker', target: 'm.lan' }, `docker://m.lan/busybox@${digest}`],
  ['a digest in a directory', remote(`r.example/busybox@${digest}`), { transport: 'dir', target: '/d' }, `dir:/d/busybox@${digest}`],
  [
    'no tag in the name of a directory',
    local('/usb', 'busybox'),
    { transport: 'docker', target: 'm.lan' },
    'docker://m.lan/busybox:latest',
  ],
  ['a port', remote('localhost:5000/busybox:1'), { transport: 'docker', target: '127.0.0.1:5001' }, 'docker://127.0.0.1:5001/busybox:1'],
  ['the root directory', remote('r.example/busybox:1'), { transport: 'dir', target: '/' }, 'dir:/busybox:1'],
])('%s', (_, found, options, expected) => {
  expect(planMirror([found], options).map(({ to }) => formatPlace(to))).toEqual([expected])
})

test('what was found twice is copied once', () => {
  const pairs = planMirror([remote('r.example/a:1'), remote('r.example/a:2'), remote('r.example/a:1')], { transport: 'dir', target: '/d' })
  expect(pairs.map(({ from }) => from.scope)).toEqual(['r.example/a:1', 'r.example/a:2'])
})

test('two images do not get one name', () => {
  const found = [remote('r.example/a/web:1'), remote('r.example/b/web:1')]
  expect(() => planMirror(found, { transport: 'docker', target: 'm.lan' })).toThrow(
    expect.objectContaining({
      code: 'conflict',
      message: 'cannot sync both docker://r.example/a/web:1 and docker://r.example/b/web:1 to docker://m.lan/web:1',
      hint: expect.stringContaining('--scoped') as string,
    }) as Error,
  )
  expect(planMirror(found, { transport: 'docker', target: 'm.lan', scoped: true })).toHaveLength(2)
})

test('a name that no registry accepts fails before anything is copied', () => {
  expect(() => planMirror([local('/usb', 'Not An Image')], { transport: 'docker', target: 'm.lan' })).toThrow(
    expect.objectContaining({ code: 'invalid-reference' }) as Error,
  )
  expect(() => planMirror([remote(`a@${digest}`)], { transport: 'docker', target: 'm.lan', suffix: '-x' })).toThrow(
    expect.objectContaining({ code: 'invalid-reference' }) as Error,
  )
})

test.each(['../../../tmp/x', 'a/../../x', 'web:..', '..', 'a//b', 'a\0b'])('nothing is written beside the directory: %j', (scope) => {
  const found = [{ place: { transport: 'dir', path: '/x' }, scope } as const]
  const name = scope.split('/').at(-1)!
  const plan = (scoped: boolean) => () => planMirror(found, { transport: 'dir', target: '/media/usb', scoped })
  if (scope !== 'web:..') expect(plan(true)).toThrow(expect.objectContaining({ code: 'escape' }))
  if (name === '..') expect(plan(false)).toThrow(expect.objectContaining({ code: 'escape' }))
})
