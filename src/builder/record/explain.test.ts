import type { Digest } from '#oci/digest.ts'
import type { Store } from '#store/store.ts'
import type { ExecOp } from '../plan/step.ts'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { digestHex, digestOf } from '#oci/digest.ts'
import { explainMiss } from './explain.ts'
import { stepKey, type StepKey } from '../plan/key.ts'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'stave-explain-'))
  mkdirSync(join(root, 'cache/listings/sha256'), { recursive: true })
})
afterAll(() => rmSync(root, { recursive: true }))

const run: ExecOp = {
  kind: 'exec',
  args: ['/bin/sh', '-c', 'make'],
  env: ['PATH=/bin', 'V=1'],
  cwd: '/',
  network: 'host',
  mounts: [],
  platform: { os: 'linux', architecture: 'amd64' },
  proxyEnv: [],
  shell: [],
}
const state = digestOf('state')

function listing(lines: readonly string[]): Digest {
  const text = `${lines.join('\n')}\n`
  const digest = digestOf(text)
  writeFileSync(join(root, 'cache/listings/sha256', digestHex(digest)), text)
  return digest
}

/** A store that knows these earlier tries. */
function explained(before: StepKey | undefined, now: StepKey): readonly string[] {
  const records = before === undefined || before.opKey !== now.opKey ? [] : [{ key: before.key, explanation: before.preImage }]
  const store = { root, cache: { byOperation: () => records } } as unknown as Store
  return explainMiss(store, now, before?.preImage)
}

test('never built', () => {
  expect(explained(undefined, stepKey(run, state, [], {}))).toEqual(['it was not built before'])
})

test('a variable', () => {
  const now = { ...run, env: ['PATH=/bin', 'V=2', 'W=3'] }
  expect(explained(stepKey(run, state, [], {}), stepKey(now, state, [], {}))).toEqual([
    'variable V changed: "1" → "2"',
    'variable W changed: none → "3"',
  ])
})

test('the command, and what is before it', () => {
  const now = { ...run, args: ['/bin/sh', '-c', 'make all'] }
  expect(explained(stepKey(run, state, [], {}), stepKey(now, digestOf('other'), [], {}))).toEqual([
    'the command changed: ["/bin/sh","-c","make"] → ["/bin/sh","-c","make all"]',
    'the files that it works on changed: the base image, or what a step before it left',
  ])
})

test('files, one by one', () => {
  const before = listing(['a f 644 0:0 sha256:1', 'b f 644 0:0 sha256:2', 'd d 755 0:0'])
  const now = listing(['a f 644 0:0 sha256:9', 'c f 644 0:0 sha256:2', 'd d 755 0:0'])
  expect(explained(stepKey(run, state, [before], {}), stepKey(run, state, [now], {}))).toEqual([
    'file a changed',
    'file b is gone',
    'file c is new',
  ])
})

test('many files, and a listing that was pruned', () => {
  const before = listing(Array.from({ length: 30 }, (_, at) => `f${at} f 644`))
  const now = listing(['x f 644'])
  const lines = explained(stepKey(run, state, [before], {}), stepKey(run, state, [now], {}))
  expect(lines).toHaveLength(11)
  expect(lines.at(-1)).toBe('and 21 more')
  expect(explained(stepKey(run, state, [before], {}), stepKey(run, state, [digestOf('no listing')], {}))[0]).toMatch(
    /the files that it reads changed/,
  )
})

test('of several earlier tries, the nearest one', () => {
  const before = listing(['a f 644 0:0 sha256:1', 'b f 644 0:0 sha256:2'])
  const other = listing(['x f 644 0:0 sha256:1', 'y f 644 0:0 sha256:2'])
  const now = stepKey(run, state, [listing(['a f 644 0:0 sha256:1', 'b f 644 0:0 sha256:3'])], {})
  const mine = stepKey(run, state, [before], {})
  // The newest is of another project, which has the same instruction.
  const records = [stepKey(run, digestOf('other'), [other], {}), mine].map(({ key, preImage }) => ({ key, explanation: preImage }))
  const store = { root, cache: { byOperation: () => records } } as unknown as Store
  expect(explainMiss(store, now, undefined)).toEqual(['file b changed'])
  expect(explainMiss(store, now, mine.preImage)).toEqual(['file b changed'])
})

test('how layers are written', () => {
  expect(explained(stepKey(run, state, [], {}), stepKey(run, state, [], { epoch: 1 }))).toEqual([
    'layers are written differently: {} → {"epoch":1}',
  ])
})
