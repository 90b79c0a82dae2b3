/** What a process may use is said in the same words, and means the same, in `run` and in RUN. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('sandbox')
beforeAll(() => void shop.must(['import', '-q', busyboxTar(), 'base']))
afterAll(() => shop[Symbol.dispose]())

/** Does the same in a container and in a step. @returns status, and what it printed between the marks */
function both(script: string, ...flags: readonly string[]) {
  const marked = `echo BEGIN; ${script}; echo END`
  mkdirSync(shop.path('context'), { recursive: true })
  writeFileSync(shop.path('context/Dockerfile'), `FROM base\nRUN ${marked}\n`)
  const run = shop.stave(['run', '--rm', ...flags, 'base', 'sh', '-c', marked])
  const build = shop.stave(['build', '--no-cache', '--progress', 'plain', ...flags, shop.path('context')])
  const said = (text: string) =>
    /^BEGIN\n([^]*?)^END$/m.exec(
      text
        .split('\n')
        .map((line) => line.replace(/^#\d+ /, ''))
        .join('\n'),
    )?.[1]
  return { run: { ...run, said: said(run.stdout) }, build: { ...build, said: said(build.stderr) } }
}

describe('limits', () => {
  test.each([
    ['--memory', '0'],
    ['--memory', '64m', '--memory-swap', '64m'],
    ['--cpu-shares', '0'],
    ['--cpuset-cpus', '0'],
  ])('%s %s %s %s', (...flags) => {
    const { run, build } = both('echo ran', ...flags)
    expect(run).toMatchObject({ status: 0, said: 'ran\n' })
    expect(build).toMatchObject({ status: 0, said: 'ran\n' })
  })

  test.each([
    [['--memory', '64m', '--memory-swap', '32m'], /--memory-swap 32m is below --memory 64m/],
    [['--memory-swap', '32m'], /needs --memory beside it/],
    [['--cpuset-cpus', 'abc'], /--cpuset-cpus takes a list such as 0-1,3, not "abc"/],
    [['--cpu-quota', '1000', '--cpu-period', '5'], /--cpu-period takes 1000 to 1000000/],
  ])('%j is refused', (flags, why) => {
    const { run, build } = both('true', ...flags)
    expect(run).toMatchObject({ status: 125, stderr: expect.stringMatching(why) })
    expect(build).toMatchObject({ status: 2, stderr: expect.stringMatching(why) })
  })
})

describe('names', () => {
  test.each([
    ['a dot: no search domain', 'cat /etc/resolv.conf', ['--dns', '192.0.2.53', '--dns-search', '.'], 'nameserver 192.0.2.53\n'],
    ['no network, no servers', 'cat /etc/resolv.conf', ['--network', 'none'], ''],
    [
      'the own name',
      'grep -w "$(cat /etc/hostname)" /etc/hosts | grep -c "^127"; grep -c localhost /etc/hosts',
      ['--network', 'none'],
      '1\n2\n',
    ],
    ['added ones', 'grep 192.0.2.7 /etc/hosts', ['--network', 'none', '--add-host', 'db:192.0.2.7'], '192.0.2.7\tdb\n'],
  ])('%s', (_, script, flags, said) => {
    const { run, build } = both(script, ...flags)
    expect(run.said).toBe(said)
    expect(build.said).toBe(said)
  })
})
