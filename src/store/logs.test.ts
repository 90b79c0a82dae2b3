import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import * as limit from '#limit.ts'
import { capBuildLogs, danglingLinks } from './logs.ts'

let root: string
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'stave-logs-'))))
afterEach(() => rmSync(root, { recursive: true, force: true }))

const now = Date.now()
const hourMs = 3_600_000

/** A build of so many hours ago, which was the last of its project. */
function build(name: string, hoursAgo: number, bytes = 10): void {
  const log = join(root, 'logs', name)
  mkdirSync(log, { recursive: true })
  writeFileSync(join(log, 'step-1.log'), '')
  // It has no blocks on the disk.
  truncateSync(join(log, 'step-1.log'), bytes)
  const when = new Date(now - hoursAgo * hourMs)
  utimesSync(join(log, 'step-1.log'), when, when)
  mkdirSync(join(root, 'cache/last'), { recursive: true })
  symlinkSync(name, join(root, 'cache/last', `of-${name}`))
}
const left = () => readdirSync(join(root, 'logs')).toSorted()

test('old ones go, with what names them', () => {
  build('old', 24 * (limit.buildLogDays + 1))
  build('young', 24)
  capBuildLogs({ root }, now)
  expect(left()).toEqual(['young'])
  expect(readdirSync(join(root, 'cache/last'))).toEqual(['of-young'])
})

test('the largest share goes to the newest', () => {
  build('a', 5, limit.buildLogBytes / 2)
  build('b', 4, limit.buildLogBytes / 2)
  build('c', 3, 1000)
  capBuildLogs({ root }, now)
  expect(left()).toEqual(['b', 'c'])
})

test('no more than so many', () => {
  for (let index = 0; index < limit.buildLogs + 3; index++) build(`b${index}`, 2 + index)
  capBuildLogs({ root }, now)
  expect(left()).toHaveLength(limit.buildLogs)
  expect(left()).not.toContain(`b${limit.buildLogs}`)
})

test('what may still be written stays, and a store without builds has none', () => {
  build('running', 0, limit.buildLogBytes * 2)
  capBuildLogs({ root }, now)
  expect(left()).toEqual(['running'])
  rmSync(root, { recursive: true })
  capBuildLogs({ root }, now)
})

test('links to logs that are gone are found', () => {
  build('kept', 1)
  build('gone', 1)
  rmSync(join(root, 'logs/gone'), { recursive: true })
  expect(danglingLinks({ root })).toEqual([join(root, 'cache/last/of-gone')])
})
