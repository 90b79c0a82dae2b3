/** A terminal that is closed takes nothing along but itself. */
import { spawn, spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { binary, busyboxTar, until, workshop } from './stave.ts'

const shop = workshop('hangup')
beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
})
afterAll(() => shop[Symbol.dispose]())

const hasScript = spawnSync('sh', ['-c', 'command -v script']).status === 0

test.skipIf(!hasScript).each([
  ['without -t, writing all the time', [], 'while :; do echo tick; sleep 0.1; done'],
  ['with -i', ['-i'], 'trap "" TERM; while :; do sleep 0.1; done'],
  ['with -it', ['-it'], 'trap "" HUP; while :; do echo tick; sleep 0.1; done'],
])('a container whose terminal is closed goes on: %s', async (name, flags, command) => {
  const container = name.replaceAll(/\W+/g, '-')
  const line = [binary, 'run', ...flags, '--name', container, '--network', 'none', 'base', 'sh', '-c', `'${command}'`].join(' ')
  const terminal = spawn('script', ['-qec', line, '/dev/null'], {
    env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const state = () => shop.stave(['inspect', '--format', '{{.State.Status}}', container]).stdout.trim()
  await until(() => state() === 'running')
  const pid = shop.must(['inspect', '--format', '{{.State.Pid}}', container])
  terminal.kill('SIGKILL')
  await delay(700)
  expect(shop.must(['inspect', '--format', '{{.State.Status}} {{.State.Pid}}', container])).toBe(`running ${pid}`)
  if (command.includes('tick')) {
    const lines = () => shop.must(['logs', container]).split('\n').length
    const before = lines()
    await until(() => lines() > before)
  }
  shop.must(['kill', container])
  await until(() => state() === 'exited')
  expect(shop.must(['inspect', '--format', '{{.State.ExitCode}}', container])).toBe('137')
})
