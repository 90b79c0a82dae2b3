/** What happens to a container when nobody looks: its health is checked, and it is started again. */
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('restart')
const inspect = (name: string, template: string) => shop.must(['inspect', '--type', 'container', '-f', template, name])
const run = (name: string, ...words: readonly string[]) => shop.must(['run', '-d', '--name', name, '--network', 'none', ...words])

/** Asks until the answer is as wanted; 20 seconds at most. */
async function until(wanted: string | RegExp, ask: () => string): Promise<string> {
  const deadline = performance.now() + 20_000
  for (;;) {
    const answer = ask()
    if (typeof wanted === 'string' ? answer === wanted : wanted.test(answer)) return answer
    if (performance.now() > deadline) throw new Error(`waited for ${wanted}, and it is still ${answer}`)
    await delay(50)
  }
}

beforeAll(() => void shop.must(['import', '-q', busyboxTar(), 'base']))
afterAll(() => shop[Symbol.dispose]())

describe('restart', () => {
  test('on-failure:2 starts it again twice, each life in the same log, and keeps the last status', async () => {
    run('fails', '--restart', 'on-failure:2', 'base', 'sh', '-c', 'echo life; exit 3')
    await until('exited 3 2', () => inspect('fails', '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}'))
    expect(shop.must(['logs', 'fails'])).toBe('life\nlife\nlife')
    expect(inspect('fails', '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}')).toBe('on-failure 2')
    shop.must(['rm', 'fails'])
  })

  test('on-failure leaves one that ends well; in the foreground too', () => {
    expect(shop.must(['run', '--name', 'well', '--network', 'none', '--restart', 'on-failure', 'base', 'echo', 'done'])).toBe('done')
    expect(inspect('well', '{{.State.Status}} {{.RestartCount}}')).toBe('exited 0')
    shop.must(['rm', 'well'])
  })

  test('always: one that is killed from within comes back; stop ends it for good, start begins anew', async () => {
    run('always', '--restart', 'always', '--stop-timeout', '0', 'base', 'sleep', '1000')
    const first = inspect('always', '{{.State.Pid}}')
    process.kill(Number(first), 'SIGKILL')
    await until(/^running 1 (?!0$)/, () => inspect('always', '{{.State.Status}} {{.RestartCount}} {{.State.Pid}}'))
    expect(inspect('always', '{{.State.Pid}}')).not.toBe(first)
    shop.must(['stop', 'always'])
    await delay(500)
    expect(inspect('always', '{{.State.Status}}')).toBe('exited')
    shop.must(['start', 'always'])
    expect(inspect('always', '{{.State.Status}} {{.RestartCount}}')).toBe('running 0')
    shop.must(['rm', '-f', 'always'])
  })

  test('while it waits to be started it is restarting: not removed without force, and stop ends that', async () => {
    run('loops', '--restart', 'unless-stopped', 'base', 'false')
    await until('restarting', () => inspect('loops', '{{.State.Status}}'))
    expect(shop.must(['ps', '--format', '{{.Names}}', '--filter', 'restart-policy=unless-stopped'])).toBe('loops')
    shop.must(['stop', 'loops'])
    expect(inspect('loops', '{{.State.Status}} {{.State.Restarting}}')).toBe('exited false')
    shop.must(['rm', 'loops'])
  })

  test('start --restarting brings back what should be up after a reboot, and nothing else', () => {
    for (const [name, policy] of [
      ['b-always', 'always'],
      ['b-unless', 'unless-stopped'],
      ['b-no', 'no'],
    ] as const) {
      run(name, '--restart', policy, '--stop-timeout', '0', 'base', 'sleep', '1000')
      shop.must(['stop', name])
    }
    shop.must(['start', '--restarting'])
    expect(shop.must(['ps', '--format', '{{.Names}}'])).toBe('b-always')
    shop.must(['rm', '-f', 'b-always', 'b-unless', 'b-no'])
  })

  test('update gives another policy to one that runs, and takes it away', async () => {
    run('changed', 'base', 'sleep', '1000')
    const killed = () => process.kill(Number(inspect('changed', '{{.State.Pid}}')), 'SIGKILL')
    expect(shop.must(['update', '--restart', 'always', 'changed'])).toBe('changed')
    killed()
    await until(/^running 1 (?!0$)/, () => inspect('changed', '{{.State.Status}} {{.RestartCount}} {{.State.Pid}}'))
    shop.must(['container', 'update', '--restart=no', 'changed'])
    killed()
    await until('exited no', () => inspect('changed', '{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}'))
    expect(shop.stave(['update', 'changed']).status).toBe(2)
    shop.must(['update', '--memory', '1g', 'changed'])
    expect(inspect('changed', '{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}')).toBe('1073741824 no')
    shop.must(['rm', 'changed'])
  })

  test('--restart and --rm exclude each other; words that mean nothing are refused', () => {
    const refused = (...words: readonly string[]) => shop.stave(['run', ...words, 'base', 'true'])
    expect(refused('--rm', '--restart', 'always')).toMatchObject({ status: 125, stderr: expect.stringContaining('exclude') as string })
    expect(refused('--restart', 'always:3').status).toBe(125)
    expect(refused('--restart', 'sometimes').status).toBe(125)
  })
})

describe('health', () => {
  const status = (name: string) => inspect(name, '{{.State.Health.Status}}')

  test('starting, healthy, unhealthy: as the last checks say; ps, filters and wait show it', async () => {
    run('sick', '--health-cmd', 'cat /tmp/well', '--health-interval', '100ms', '--health-retries', '2', 'base', 'sleep', '1000')
    await until('unhealthy', () => status('sick'))
    shop.must(['exec', 'sick', 'sh', '-c', 'echo fine > /tmp/well'])
    expect(shop.must(['wait', '--condition', 'healthy', 'sick'])).toBe('-1')
    expect(shop.must(['ps', '--filter', 'health=healthy', '--format', '{{.Names}} {{.Status}}'])).toMatch(/^sick Up .*\(healthy\)$/)
    expect(inspect('sick', '{{(index .State.Health.Log 0).Output}}{{.Config.Healthcheck.Test}}')).toContain('cat /tmp/well')
    shop.must(['rm', '-f', 'sick'])
  })

  test("the image's HEALTHCHECK counts, --health flags go before it, --no-healthcheck switches it off", async () => {
    const file = 'FROM base\nHEALTHCHECK --interval=100ms CMD ["test", "-e", "/bin/busybox"]\nCMD ["sleep", "1000"]\n'
    shop.must(['build', '-q', '-t', 'checked', '-'], { input: file })
    run('by-image', 'checked')
    run('by-flag', '--health-cmd', 'exit 1', '--health-retries', '1', 'checked')
    run('unchecked', '--no-healthcheck', 'checked')
    await until('healthy', () => status('by-image'))
    await until('unhealthy', () => status('by-flag'))
    expect(inspect('unchecked', '{{json .State}}')).not.toContain('Health')
    shop.must(['rm', '-f', 'by-image', 'by-flag', 'unchecked'])
  })

  test('one that hangs is ended, and is a failure', async () => {
    run(
      'hangs',
      '--health-cmd',
      'sleep 1000',
      '--health-interval',
      '100ms',
      '--health-timeout',
      '300ms',
      '--health-retries',
      '1',
      'base',
      'sleep',
      '999',
    )
    await until('unhealthy', () => status('hangs'))
    expect(inspect('hangs', '{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}')).toContain(
      'longer than 300 ms',
    )
    await until(/^(?!.*sleep 1000)/s, () => shop.must(['top', 'hangs', 'args']).split('\n').slice(1, 3).join(' '))
    shop.must(['rm', '-f', 'hangs'])
  })

  test('failures while it starts do not count, and its first success ends the leniency', async () => {
    const lenient = ['--health-start-period', '1h', '--health-start-interval', '50ms', '--health-retries', '1', '--health-interval', '50ms']
    run('slow', '--health-cmd', 'test -e /up', ...lenient, 'base', 'sleep', '1000')
    await until(/^[3-9]/, () => inspect('slow', '{{len .State.Health.Log}}'))
    expect(status('slow')).toBe('starting')
    shop.must(['exec', 'slow', 'touch', '/up'])
    await until('healthy', () => status('slow'))
    shop.must(['exec', 'slow', 'rm', '/up'])
    await until('unhealthy', () => status('slow'))
    shop.must(['rm', '-f', 'slow'])
  })

  test('healthcheck run checks now', () => {
    run('asked', '--health-cmd', 'echo no; exit 1', '--health-interval', '1h', 'base', 'sleep', '1000')
    expect(status('asked')).toBe('starting')
    expect(shop.stave(['healthcheck', 'run', 'asked'])).toMatchObject({ status: 1, stdout: 'no\nunhealthy\n' })
    expect(inspect('asked', '{{.State.Health.FailingStreak}}')).toBe('1')
    run('bare', 'base', 'sleep', '1000')
    expect(shop.stave(['healthcheck', 'run', 'bare']).status).toBe(125)
    shop.must(['rm', '-f', 'asked', 'bare'])
  })

  test('a frozen container is not checked, and nothing stays when it is gone', async () => {
    run('frozen', '--health-cmd', 'true', '--health-interval', '50ms', '--health-retries', '1', 'base', 'sleep', '1000')
    await until('healthy', () => status('frozen'))
    const directory = shop.path('store/containers', inspect('frozen', '{{.Id}}'))
    const { pid } = JSON.parse(readFileSync(`${directory}/guard.json`, 'utf8')) as { pid: number }
    shop.must(['pause', 'frozen'])
    await delay(300)
    expect(status('frozen')).toBe('healthy')
    shop.must(['unpause', 'frozen'])
    shop.must(['rm', '-f', 'frozen'])
    await until('false', () => String(existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('stave-guard')))
    expect(existsSync(directory)).toBe(false)
  })
})
