/** Logs of builds are part of the build cache: counted, and removed with it. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('logs')
beforeAll(() => void shop.must(['import', '-q', busyboxTar(), 'base']))
afterAll(() => shop[Symbol.dispose]())

const logs = () => (existsSync(shop.path('store/logs')) ? readdirSync(shop.path('store/logs')) : [])
const counted = () => (JSON.parse(shop.must(['df', '--json'])) as { cacheFiles: { bytes: number } }).cacheFiles.bytes

test('they are counted, and prune removes them; doctor knows what is left', async () => {
  mkdirSync(shop.path('context'))
  writeFileSync(shop.path('context/Dockerfile'), 'FROM base\nRUN head -c 300000 /dev/zero | tr "\\0" x\n')
  shop.must(['build', '-q', shop.path('context')])
  expect(logs()).toHaveLength(1)
  // What was used in the last two seconds may be in use.
  await delay(2100)
  expect(counted()).toBeGreaterThan(300_000)
  shop.must(['builder', 'prune', '-f'])
  expect(logs()).toEqual([])
  expect(counted()).toBeLessThan(300_000)
  const { stdout } = shop.stave(['doctor', '--json', '--repair'])
  expect(stdout).toMatch(/names a build whose log is gone/)
  expect(readdirSync(shop.path('store/cache/last'))).toEqual([])
})
