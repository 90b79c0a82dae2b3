/** Flags of run, create, exec and update that change what a container is given: each is asked for, and looked at from inside. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, until, workshop } from './stave.ts'

const shop = workshop('run-options')
const isRoot = process.getuid?.() === 0

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'bare'])
  mkdirSync(shop.path('image'))
  writeFileSync(
    shop.path('image/Dockerfile'),
    `FROM bare
RUN echo root:x:0:0:root:/root:/bin/sh > /etc/passwd && echo app:x:1000:1001::/home/app:/bin/sh >> /etc/passwd && echo root:x:0: > /etc/group
RUN mkdir -p /usr/share/data/sub && echo here > /usr/share/data/sub/file
ENV FROM_IMAGE=yes OTHER=kept
`,
  )
  shop.must(['build', '-q', '-t', 'base', shop.path('image')])
  mkdirSync(shop.path('host/sub'), { recursive: true })
  writeFileSync(shop.path('host/sub/file'), 'of the host\n')
  writeFileSync(shop.path('host/run.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
})

afterAll(() => {
  shop.stave(['rm', '-fa'])
  shop[Symbol.dispose]()
})

const run = (flags: readonly string[], script: string, env: Record<string, string> = {}) =>
  shop.stave(['run', '--rm', '--network', 'none', ...flags, 'base', 'sh', '-c', script], { env })

const mountOf = (target: string) => `grep " ${target} " /proc/self/mountinfo | cut -d' ' -f6`

test.each<[string, readonly string[], string, RegExp]>([
  ['--umask', ['--umask', '027'], 'umask; touch /f; stat -c %a /f', /^0027\n640$/],
  ['--tz', ['--tz', 'UTC'], 'tail -1 /etc/localtime', /UTC/],
  ['--tz of a place', ['--tz', 'local'], 'test -s /etc/localtime && echo there', /^there$/],
  ['--unsetenv', ['--unsetenv', 'FROM_IMAGE'], 'echo "${FROM_IMAGE-none} $OTHER"', /^none kept$/],
  ['--unsetenv-all', ['--unsetenv-all'], 'echo "${FROM_IMAGE-none} ${OTHER-none}"', /^none none$/],
  ['--env-host', ['--env-host'], 'echo $CALLER', /^here$/],
  ['--no-hosts', ['--no-hosts'], 'grep -c localhost /etc/hosts 2>/dev/null || echo none', /none/],
  ['--no-hostname', ['--no-hostname'], 'test -s /etc/hostname && echo given || echo none', /^none$/],
  ['--http-proxy', ['--http-proxy'], 'echo $http_proxy', /^http:\/\/proxy$/],
  ['--read-only-tmpfs', ['--read-only', '--read-only-tmpfs'], 'touch /tmp/f /run/f /var/tmp/f && echo fine', /^fine$/],
  ['--security-opt mask', ['--security-opt', 'mask=/proc/version:/usr/share/data'], 'cat /proc/version; ls /usr/share/data', /^$/],
  ['--security-opt unmask', ['--security-opt', 'unmask=/proc/s*'], 'grep -c " /proc/sys " /proc/self/mountinfo', /^0$/],
  ['--security-opt systempaths', ['--security-opt', 'systempaths=unconfined'], 'grep -c " /proc/" /proc/self/mountinfo', /^0$/],
  ['without them, both are covered', [], 'grep -c " /proc/sys " /proc/self/mountinfo', /^1$/],
  ['-v noexec,nosuid,nodev', ['-v', 'host:/h:noexec,nosuid,nodev'], mountOf('/h'), /nosuid,nodev,noexec/],
  ['-v O', ['-v', 'HOST:/h:O'], 'echo changed > /h/sub/file; cat /h/sub/file', /^changed$/],
  [
    '--mount type=image',
    ['--mount', 'type=image,src=bare,dst=/i'],
    'ls /i/bin/busybox; touch /i/f 2>&1',
    /^\/i\/bin\/busybox\n.*Read-only/,
  ],
  ['--mount type=image,rw', ['--mount', 'type=image,src=base,dst=/i,rw=true'], 'touch /i/f && ls /i/f', /^\/i\/f$/],
  ['--mount type=image,subpath', ['--mount', 'type=image,src=base,dst=/i,subpath=usr/share/data'], 'cat /i/sub/file', /^here$/],
])('%s', (_, flags, script, expected) => {
  const typed = flags.map((flag) => flag.replace(/^HOST:/, `${shop.path('host')}:`))
  const { status, stdout, stderr } = run(typed, script, { CALLER: 'here', http_proxy: 'http://proxy' })
  expect(`${stdout}${status === 125 ? stderr : ''}`.trim()).toMatch(expected)
  expect(readFileSync(shop.path('host/sub/file'), 'utf8')).toBe('of the host\n')
})

test('-v noexec is held to', () => {
  expect(run(['-v', `${shop.path('host')}:/h`], '/h/run.sh').stdout).toBe('ran\n')
  expect(run(['-v', `${shop.path('host')}:/h:noexec`], '/h/run.sh')).toMatchObject({ status: 126, stdout: '' })
})

test('-v U gives all that is mounted to the user, and follows no link', () => {
  mkdirSync(shop.path('given/deep'), { recursive: true })
  writeFileSync(shop.path('given/deep/file'), '')
  writeFileSync(shop.path('outside'), '')
  expect(
    run(['-u', 'app', '-v', `${shop.path('given')}:/g:U`], 'ln -s /etc/passwd /g/link; stat -c %u:%g /g /g/deep /g/deep/file').stdout,
  ).toBe('1000:1001\n'.repeat(3))
  expect(run(['-v', 'named:/v'], 'mkdir /v/a; touch /v/a/b').status).toBe(0)
  expect(run(['-u', 'app', '--mount', 'type=volume,src=named,dst=/v,U=true'], 'stat -c %u /v/a/b').stdout).toBe('1000\n')
})

test('a part of a volume, and none that leads out of it', () => {
  run(['-v', 'parts:/v'], 'mkdir -p /v/one/two; echo part > /v/one/two/file; ln -s / /v/out')
  expect(run(['--mount', 'type=volume,src=parts,dst=/p,volume-subpath=one/two'], 'cat /p/file').stdout).toBe('part\n')
  expect(run(['--mount', 'type=volume,src=parts,dst=/p,volume-subpath=out'], 'ls /p').status).toBe(125)
  expect(run(['--mount', 'type=volume,src=parts,dst=/p,volume-subpath=../..'], 'ls /p')).toMatchObject({ status: 125, stdout: '' })
})

test('--pidfile and --annotation', () => {
  shop.must([
    'run',
    '-d',
    '--name',
    'noted',
    '--network',
    'none',
    '--annotation',
    'a=b',
    '--pidfile',
    shop.path('pid'),
    'base',
    'sleep',
    '60',
  ])
  expect(shop.must(['inspect', '-f', '{{.State.Pid}} {{json .HostConfig.Annotations}}', 'noted'])).toBe(
    `${readFileSync(shop.path('pid'), 'utf8')} {"a":"b"}`,
  )
  shop.must(['rm', '-f', 'noted'])
})

describe('namespaces of another container', () => {
  beforeAll(() => {
    shop.must([
      'run',
      '-d',
      '--name',
      'other',
      '--network',
      'none',
      '-h',
      'its-name',
      'base',
      'sh',
      '-c',
      'echo shared > /dev/shm/file; exec sleep 600',
    ])
  })

  test('its processes, its shared memory and its name', async () => {
    await until(() => shop.stave(['exec', 'other', 'test', '-s', '/dev/shm/file']).status === 0, 'the file in memory')
    expect(run(['--pid', 'container:other'], 'cat /proc/1/cmdline | tr "\\0" " "').stdout).toContain('sleep 600')
    expect(run(['--ipc', 'container:other'], 'cat /dev/shm/file').stdout).toBe('shared\n')
    expect(run(['--uts', 'container:other'], 'hostname').stdout).toBe('its-name\n')
    expect(run([], 'ls /dev/shm; hostname').stdout).not.toMatch(/file|its-name/)
  })

  test('its end takes the processes of one that shares them along, and not those of the other', () => {
    expect(run(['--pid', 'container:other'], 'sleep 500 & echo started').status).toBe(0)
    expect(shop.must(['inspect', '-f', '{{.State.Running}}', 'other'])).toBe('true')
    if (isRoot) expect(shop.must(['exec', 'other', 'ps', '-o', 'args'])).not.toContain('sleep 500')
  })

  test('one that is not there, or does not run', () => {
    expect(run(['--pid', 'container:nobody'], 'true')).toMatchObject({ status: 125, stderr: expect.stringContaining('nobody') })
    shop.must(['create', '--name', 'idle', 'base', 'true'])
    expect(run(['--ipc', 'container:idle'], 'true').stderr).toMatch(/idle does not run[^]*hint: +Start it first/)
  })
})

describe('logs', () => {
  const write = (name: string, options: readonly string[], script: string) =>
    shop.must(['run', '--name', name, '--network', 'none', ...options, 'base', 'sh', '-c', script])

  test('a file that is full is put aside, and all of them are read', () => {
    write('full', ['--log-opt', 'max-size=1k', '--log-opt', 'max-file=3'], 'for i in $(seq 1 90); do echo line $i; done')
    const path = shop.must(['inspect', '-f', '{{.LogPath}}', 'full'])
    expect([existsSync(`${path}.1`), existsSync(`${path}.2`), existsSync(`${path}.3`)]).toEqual([true, true, false])
    for (const file of [path, `${path}.1`]) expect(statSync(file).size).toBeLessThan(1200)
    const lines = shop.must(['logs', 'full']).split('\n')
    expect(lines.length).toBeLessThan(90)
    expect(lines).toEqual(Array.from({ length: lines.length }, (_, index) => `line ${91 - lines.length + index}`))
    expect(shop.must(['logs', '--tail', '20', 'full']).split('\n')).toEqual(lines.slice(-20))
  })

  test('-f goes on in the next file', async () => {
    shop.must([
      'run',
      '-d',
      '--name',
      'chatty',
      '--network',
      'none',
      '--log-opt',
      'max-size=1k',
      '--log-opt',
      'max-file=100',
      'base',
      'sh',
      '-c',
      'for i in $(seq 1 200); do echo line $i; sleep 0.005; done',
    ])
    const follower = shop.start(['logs', '-f', 'chatty'])
    let text = ''
    follower.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
    await new Promise((done) => follower.once('close', done))
    expect(text).toBe(Array.from({ length: 200 }, (_, index) => `line ${index + 1}\n`).join(''))
  })

  test('bytes stay as they are, in either form', () => {
    for (const driver of ['json-file', 'k8s-file']) {
      write(`raw-${driver}`, ['--log-driver', driver], String.raw`printf 'a\377b\nrest'`)
      expect(shop.stave(['logs', `raw-${driver}`]).stdout).toBe('a\uFFFDb\nrest')
      expect(logsOf(`raw-${driver}`)).toEqual(Buffer.from('a\xFFb\nrest', 'latin1'))
    }
  })

  test('k8s-file at a path, with a tag', () => {
    write(
      'kube',
      ['--log-driver', 'k8s-file', '--log-opt', `path=${shop.path('kube.log')}`, '--log-opt', 'tag=t'],
      'echo out; echo err >&2; printf part',
    )
    expect(readFileSync(shop.path('kube.log'), 'utf8')).toMatch(/^\S+Z stdout F out\n\S+Z stderr F err\n\S+Z stdout P part\n$/)
    expect(shop.stave(['logs', 'kube'])).toMatchObject({ stdout: 'out\npart', stderr: 'err\n' })
    expect(shop.must(['inspect', '-f', '{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Tag}} {{.LogPath}}', 'kube'])).toBe(
      `k8s-file t ${shop.path('kube.log')}`,
    )
  })

  test('of several', () => {
    write('one', [], 'echo 1')
    write('two', [], 'echo 2')
    expect(shop.must(['logs', '--names', 'one', 'two'])).toBe('one 1\ntwo 2')
    const id = shop.must(['inspect', '-f', '{{.Id}}', 'one']).slice(0, 12)
    expect(shop.must(['logs', 'one', 'two'])).toContain(`${id} 1`)
  })

  test.each([
    [['--log-opt', 'max-size=x'], /--log-opt max-size/],
    [['--log-opt', 'max-file=0'], /max-file takes 1 to/],
    [['--log-opt', 'colour=red'], /no such option/],
    [['--log-driver', 'journald'], /stave logs -f NAME \| systemd-cat/],
  ])('%j is refused', (flags, message) => {
    expect(run(flags, 'true')).toMatchObject({ status: 125, stderr: expect.stringMatching(message) })
  })
})

describe.skipIf(!isRoot)('control groups', () => {
  const groups = (files: string) => `cd /sys/fs/cgroup; cat ${files} 2>/dev/null | tr '\\n' ' '`

  test('memory that is kept, memory nodes', () => {
    const flags = ['--memory', '64m', '--memory-reservation', '32m', '--cpuset-mems', '0', '--pids-limit', '50']
    expect(run(flags, groups('memory/memory.soft_limit_in_bytes memory.low cpuset/cpuset.mems cpuset.mems')).stdout).toBe('33554432 0 ')
    expect(run(['--memory', '64m', '--memory-reservation', '65m'], 'true').stderr).toMatch(/--memory-reservation 65m is above --memory 64m/)
  })

  test('a control group of the user, seen with --cgroupns host', () => {
    const parent = `stave-test-${process.pid}`
    const { stdout } = run(['--cgroup-parent', `/${parent}`, '--cgroupns', 'host'], 'cat /proc/self/cgroup')
    expect(stdout).toContain(`/${parent}/stave-`)
    expect(run(['--cgroup-parent', `/${parent}`], 'cat /proc/self/cgroup').stdout).not.toContain(parent)
    const left = spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-path', `*/${parent}*`], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n')
      .toReversed()
    for (const directory of left) spawnSync('rmdir', [directory])
    // The one that the user named, and none of a container.
    expect(left.every((directory) => directory.endsWith(parent))).toBe(true)
    expect(run(['--cgroup-parent', '/../..'], 'true').status).toBe(125)
  })

  test('--device-cgroup-rule lets a device be opened that there is no node of', () => {
    const open = 'mknod /d c 250 250; cat /d 2>&1'
    expect(run([], open).stdout).toMatch(/not permitted/)
    expect(run(['--device-cgroup-rule', 'c 250:* rw'], open).stdout).toMatch(/No such device/)
    expect(run(['--device-cgroup-rule', 'x 1:1 r'], 'true')).toMatchObject({ status: 125, stderr: expect.stringContaining('c 42:* rwm') })
  })

  test.each([
    [['--device-read-bps', '/dev/null:1m'], /it is no disk/],
    [['--device-write-iops', '/dev/no-such-disk:10'], /there is no such device/],
    [['--blkio-weight', '5'], /a weight of 10 to 1000/],
    [['--memory-swappiness', '101'], /0 to 100/],
  ])('%j is refused', (flags, message) => {
    expect(run(flags, 'true')).toMatchObject({ status: 125, stderr: expect.stringMatching(message) })
  })

  test('update changes what a container may use while it runs, also what nothing limited before', () => {
    shop.must(['run', '-d', '--name', 'updated', '--network', 'none', 'base', 'sleep', '600'])
    const fork = () => shop.stave(['exec', 'updated', 'sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait']).stderr
    expect(fork()).toBe('')
    shop.must(['update', '--pids-limit', '5', '--memory', '100m', 'updated'])
    expect(fork()).toMatch(/fork/)
    expect(shop.must(['inspect', '-f', '{{.HostConfig.PidsLimit}} {{.HostConfig.Memory}}', 'updated'])).toBe('5 104857600')
    shop.must(['update', '--pids-limit', '100', 'updated'])
    expect(fork()).toBe('')
    shop.must(['rm', '-f', 'updated'])
    expect(spawnSync('find', ['/sys/fs/cgroup', '-name', 'stave-limit-*'], { encoding: 'utf8' }).stdout).toBe('')
  })
})

test('stats of those that run', () => {
  shop.must(['run', '-d', '--name', 'busy', '--network', 'none', 'base', 'sh', '-c', 'while :; do :; done'])
  const lines = shop.must(['stats', '--no-stream', '--format', '{{.Name}} {{.CPUPerc}} {{.PIDs}} {{.MemUsage}}', 'busy'])
  expect(lines).toMatch(/^busy \d+\.\d\d% 1 \S+ \S?B \/ \S+ \S?B$/)
  const [one] = JSON.parse(shop.must(['stats', '--no-stream', '--format', 'json'])) as { Name: string; MemUsageBytes: number }[]
  expect(one).toMatchObject({ Name: 'busy' })
  expect(one?.MemUsageBytes).toBeGreaterThan(1000)
  shop.must(['rm', '-f', 'busy'])
  expect(shop.stave(['stats', '--no-stream', 'nobody']).stderr).toMatch(/cannot find the container nobody/)
})

describe('which containers', () => {
  const names = (flags: readonly string[]) =>
    shop
      .must(['ps', '--format', '{{.Names}}', ...flags])
      .split('\n')
      .filter(Boolean)
      .sort()

  beforeAll(() => {
    shop.must(['rm', '-fa'])
    for (const name of ['a', 'b', 'c']) {
      shop.must([
        'create',
        '--name',
        name,
        '--network',
        'none',
        '--label',
        `is=${name}`,
        '--cidfile',
        shop.path(name),
        'base',
        'sleep',
        '600',
      ])
    }
  })

  test('--all, --filter, --latest and --cidfile, for each verb', () => {
    shop.must(['start', '--all'])
    expect(names([])).toEqual(['a', 'b', 'c'])
    shop.must(['stop', '-t', '0', '--filter', 'label=is=a'])
    expect(names([])).toEqual(['b', 'c'])
    shop.must(['pause', '--latest'])
    expect(names(['--filter', 'status=paused'])).toEqual(['c'])
    shop.must(['unpause', '--all'])
    shop.must(['kill', '--cidfile', shop.path('b')])
    shop.must(['wait', 'b'])
    expect(names([])).toEqual(['c'])
    shop.must(['restart', '-t', '0', '--running'])
    expect(names([])).toEqual(['c'])
    shop.must(['rm', '--filter', 'status=exited'])
    expect(names(['-a'])).toEqual(['c'])
    shop.must(['rm', '-f', '-t', '0', '--latest'])
    expect(names(['-a'])).toEqual([])
  })

  test('mixed ways are refused, and a file that is not there can be passed over', () => {
    expect(shop.stave(['start', '--all', 'a']).stderr).toMatch(/are named, and chosen by/)
    expect(shop.stave(['stop', '--all', '--latest']).stderr).toMatch(/--latest is one container/)
    expect(shop.stave(['rm', '--latest']).stderr).toMatch(/there is no container/)
    expect(shop.stave(['rm', '--cidfile', shop.path('none')]).stderr).toMatch(/cannot read the ID/)
    expect(shop.stave(['rm', '--ignore', '--cidfile', shop.path('none')]).status).toBe(0)
    shop.must(['volume', 'create', 'left'])
    shop.must(['volume', 'rm', '--all'])
    expect(shop.must(['volume', 'ls', '-q'])).toBe('')
  })
})

/** What stave logs writes, as it is. */
function logsOf(name: string): Buffer {
  return spawnSync(binary, ['logs', name], { env: { ...process.env, STAVE_ROOT: shop.store } }).stdout
}
