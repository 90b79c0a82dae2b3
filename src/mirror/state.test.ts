import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf } from '#oci/digest.ts'
import { parseReference } from '#oci/reference.ts'
import type { Pair } from './plan.ts'
import { openState } from './state.ts'

let root: string
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'stave-state-'))))
afterEach(() => rmSync(root, { recursive: true, force: true }))

const [one, two] = [digestOf('one'), digestOf('two')]
const pair = (from: string, to: string): Pair => ({
  from: { place: { transport: 'docker', reference: parseReference(from) }, scope: from },
  to: { transport: 'docker', reference: parseReference(to) },
})
const web = pair('a.example/web:1', 'b.example/web:1')

test('what was noted is known by the next run, also of one that was killed', async () => {
  const path = join(root, 'state')
  const killed = await openState(path)
  expect(killed.digestOf(web)).toBeUndefined()
  await killed.note(web, one)
  appendFileSync(path, '{"to": "docker://b.exam')
  const next = await openState(path)
  expect(next.digestOf(web)).toBe(one)
  await next.note(web, two)
  await next.close()
  const last = await openState(path)
  expect(last.digestOf(web)).toBe(two)
  expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(2)
  // From another source it may be something else.
  expect(last.digestOf(pair('c.example/web:1', 'b.example/web:1'))).toBeUndefined()
  await last.forget('docker://b.example/web:1')
  expect((await openState(path)).digestOf(web)).toBeUndefined()
})

test('what is no state, or of another version, is refused and left alone', async () => {
  for (const [text, code] of [
    ['{"stave-sync-state": 2}\n', 'unsupported'],
    ['', 'invalid-document'],
    ['registries: {}\n', 'invalid-document'],
    ['[]\n', 'invalid-document'],
  ] as const) {
    const path = join(root, 'other')
    writeFileSync(path, text)
    await expect(openState(path), text).rejects.toMatchObject({ code })
    expect(readFileSync(path, 'utf8')).toBe(text)
  }
  await expect(openState(root)).rejects.toMatchObject({ name: 'StaveError' })
})
