/** Containers from the command line: what goes in, what they may do, how they end, and what is left of them. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, until, workshop } from './stave.ts'

const shop = workshop('run')
const isRoot = process.getuid?.() === 0
const none = ['run', '--rm', '--network', 'none'] as const

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'bare'])
  mkdirSync(shop.path('image'))
  writeFileSync(
    shop.path('image/Dockerfile'),
    `FROM bare
RUN echo root:x:0:0:root:/root:/bin/sh > /etc/passwd && echo app:x:1000:1000::/home/app:/bin/sh >> /etc/passwd && echo root:x:0: > /etc/group && echo app:x:1000: >> /etc/group && mkdir -p /home/app /data && echo original > /data/file && chown -R 1000:1000 /home/app /data
ENV FROM_IMAGE=yes
VOLUME /data
CMD ["echo", "the command of the image"]
`,
  )
  shop.must(['build', '-q', '-t', 'base', shop.path('image')])
})

afterAll(() => shop[Symbol.dispose]())

function output(child: ChildProcess): { text(): string; ended: Promise<number | null> } {
  let text = ''
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  return { text: () => text, ended: new Promise((done) => child.once('close', (code) => done(code))) }
}

const shell = (script: string, ...flags: readonly string[]) => shop.stave([...none, ...flags, 'base', 'sh', '-c', script])

describe('the command', () => {
  test.each([
    ['true', 0],
    ['exit 7', 7],
    ['exit 125', 125],
    ["sh -c 'kill -9 $$'; exit $?", 137],
    // The first process of a pid namespace gets no signal that it has no handler for.
    ['kill -TERM $$; exit 3', 3],
  ])('sh -c %j', (script, status) => {
    expect(shell(script).status).toBe(status)
  })

  test('--init takes the signals, and reaps what nobody waits for', () => {
    expect(shell('echo $$; kill -9 $$', '--init')).toMatchObject({ status: 137, stdout: '2\n' })
    expect(shell('(sleep 0.1 &); sleep 0.4; ps -o stat | grep -c Z', '--init').stdout).toBe('0\n')
  })

  test('the command of the image, its entrypoint, and others in their place', () => {
    expect(shop.must([...none, 'base'])).toBe('the command of the image')
    expect(shop.must([...none, 'base', 'echo', 'mine'])).toBe('mine')
    expect(shop.must([...none, '--entrypoint', 'cat', 'base', '/data/file'])).toBe('original')
    expect(shop.must([...none, '--entrypoint', '["echo","-n"]', 'base', 'x'])).toBe('x')
    expect(shop.stave([...none, '--entrypoint', '', 'base']).status).toBe(125)
  })

  test('126 where it cannot be executed, 127 where it is not there, 125 where stave failed', () => {
    expect(shop.stave([...none, 'base', '/etc/passwd'])).toMatchObject({ status: 126, stdout: '' })
    expect(shop.stave([...none, 'base', 'frobnicate']).stderr).toMatch(/^error: .*"frobnicate".*not found/m)
    expect(shop.stave([...none, 'base', 'frobnicate']).status).toBe(127)
    expect(shop.stave([...none, '-u', 'nobody-here', 'base', 'true']).status).toBe(125)
    expect(shop.must(['ps', '-aq'])).toBe('')
  })

  test('stdout and stderr stay apart, and bytes stay as they are', () => {
    expect(shell('echo out; echo err >&2')).toMatchObject({ stdout: 'out\n', stderr: 'err\n' })
    const bytes = spawnSync(binary, [...none, 'base', 'sh', '-c', String.raw`printf '\000\377\r\n\033'`], {
      env: { PATH: process.env['PATH'], STAVE_ROOT: shop.store, HOME: shop.directory },
    })
    expect(bytes.stdout.toString('hex')).toBe('00ff0d0a1b')
  })

  test('stdin is passed on with -i, and only then', () => {
    const input = 'line\n'.repeat(50_000)
    expect(shop.stave([...none, '-i', 'base', 'md5sum'], { input }).stdout).toBe(spawnSync('md5sum', { input }).stdout.toString())
    expect(shop.stave([...none, 'base', 'wc', '-c'], { input }).stdout.trim()).toBe('0')
  })

  test('environment, directory, user, host name', () => {
    writeFileSync(shop.path('env'), '# a comment\nONE=1\nTWO=two words\nCALLER\n')
    const seen = shop
      .must([...none, '-e', 'A=b=c', '-e', 'CALLER', '-e', 'UNSET', '--env-file', shop.path('env'), '--hostname', 'box', 'base', 'env'], {
        env: { CALLER: 'mine' },
      })
      .split('\n')
    expect(seen).toEqual(
      expect.arrayContaining(['A=b=c', 'CALLER=mine', 'ONE=1', 'TWO=two words', 'FROM_IMAGE=yes', 'HOSTNAME=box', 'HOME=/root']),
    )
    expect(seen.join('\n')).not.toMatch(/UNSET|STAVE_ROOT/)
    expect(shop.must([...none, '-w', '/made/here', 'base', 'pwd'])).toBe('/made/here')
    expect(shop.must([...none, '-u', 'app', 'base', 'sh', '-c', 'id -u; id -g; echo $HOME'])).toBe('1000\n1000\n/home/app')
    expect(shop.must([...none, '-u', '4321:99', 'base', 'sh', '-c', 'id -u; id -g'])).toBe('4321\n99')
    expect(
      shop
        .must([...none, '-u', 'app:root', '--group-add', '77', 'base', 'id', '-G'])
        .split(' ')
        .toSorted(),
    ).toEqual(['0', '77'])
    expect(shop.must([...none, '--hostname', 'box', 'base', 'hostname'])).toBe('box')
    expect(shop.must([...none, '--add-host', 'db:10.0.0.9', 'base', 'cat', '/etc/hosts'])).toMatch(/10\.0\.0\.9\s+db/)
  })
})

describe('a terminal', () => {
  /** Runs in a pseudo-terminal of `script`, from bsdutils. */
  function inTerminal(args: readonly string[], input = ''): { status: number | null; seen: string } {
    const line = [binary, ...args].map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ')
    const { status, stdout } = spawnSync('script', ['-qec', line, '/dev/null'], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' },
      input,
      encoding: 'utf8',
      timeout: 30_000,
    })
    return { status, seen: stdout }
  }

  test('is one with -t, and its exit status comes through', () => {
    const { status, seen } = inTerminal([
      ...none,
      '-it',
      'base',
      'sh',
      '-c',
      'test -t 0 && test -t 1 && test -t 2 && echo "all three: $TERM"; exit 5',
    ])
    expect(seen).toContain('all three: xterm')
    expect(status).toBe(5)
  })

  test('is none without', () => {
    expect(inTerminal([...none, 'base', 'sh', '-c', 'test -t 0 || echo no terminal']).seen).toContain('no terminal')
  })

  test('what is typed arrives, Ctrl-C interrupts what runs in it, and the keys detach', async () => {
    const line = `${binary} run -it --name typed --network none base sh`
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' },
    })
    const { text, ended } = output(child)
    const type = async (keys: string, answer: RegExp) => {
      child.stdin.write(keys)
      await until(() => answer.test(text()), String(answer))
    }
    await type('', /\/ # /)
    await type('echo $((6 * 7))\r', /^42\r$/m)
    await type('echo begun; sleep 100\r', /^begun\r$/m)
    await type('\u0003', /\^C/)
    await type('echo still $((40 + 2))\r', /^still 42\r$/m)
    child.stdin.write('\u0010\u0011')
    expect(await ended).toBe(0)
    expect(shop.must(['ps', '--format', '{{.Names}}'])).toBe('typed')
    shop.must(['rm', '-fv', 'typed'])
  })
})

/** The native programs that a process, or what it started, has started. */
function runnersBelow(pid: number): readonly number[] {
  const children = spawnSync('pgrep', ['-P', `${pid}`], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => line !== '')
  return children.flatMap((text) => {
    // One that has ended since it was listed has no name, and none below it.
    const name = spawnSync('cat', [`/proc/${text}/comm`], { encoding: 'utf8' }).stdout.trim()
    return [...(name.startsWith('stave-runner') ? [Number(text)] : []), ...runnersBelow(Number(text))]
  })
}

describe('signals', () => {
  const trap = 'trap "echo got TERM; exit 9" TERM; trap "echo got INT; exit 8" INT; echo ready; while :; do sleep 0.05; done'

  test.each([
    ['SIGTERM', 'got TERM', 9],
    ['SIGINT', 'got INT', 8],
  ] as const)('%s is passed on to the command', async (signal, said, status) => {
    const child = shop.start([...none, 'base', 'sh', '-c', trap])
    const { text, ended } = output(child)
    await until(() => text().includes('ready'), 'the container')
    child.kill(signal)
    expect(await ended).toBe(status)
    expect(text()).toContain(said)
  })

  test('Ctrl-C in a terminal reaches a command without one exactly once', async () => {
    const script = 'trap "echo got INT" INT; echo ready; i=0; while [ $i -lt 80 ]; do i=$((i+1)); sleep 0.05; done'
    writeFileSync(shop.path('typed.sh'), script)
    const line = `${binary} run --rm --network none -v ${shop.path('typed.sh')}:/typed.sh base sh /typed.sh`
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' },
    })
    const { text, ended } = output(child)
    await until(() => text().includes('ready'), 'the container')
    // The host learns of the start a little after the command's first words: until then it has nowhere to send the key.
    await delay(1000)
    // A runner that is slow to look finds the terminal's signal and what the host passes on at the same time.
    const runners = runnersBelow(child.pid!)
    expect(runners).not.toEqual([])
    for (const pid of runners) process.kill(pid, 'SIGSTOP')
    child.stdin.write('\u0003')
    await delay(200)
    for (const pid of runners) process.kill(pid, 'SIGCONT')
    await ended
    expect(text().match(/got INT/g)).toHaveLength(1)
  })

  test('one that heeds none is ended by the third, and removed', async () => {
    const child = shop.start([
      ...none,
      '--stop-timeout',
      '0',
      'base',
      'sh',
      '-c',
      'trap "" INT TERM; echo ready; while :; do sleep 0.05; done',
    ])
    const { text, ended } = output(child)
    await until(() => text().includes('ready'), 'the container')
    for (let count = 0; count < 3; count++) {
      child.kill('SIGINT')
      await delay(100)
    }
    expect(await ended).toBe(137)
    expect(shop.must(['ps', '-aq'])).toBe('')
  })

  test('--timeout kills it when it has run long enough, in the background too', async () => {
    const script = 'trap "" TERM; while :; do sleep 0.05; done'
    const started = performance.now()
    expect(shop.stave([...none, '--timeout', '0.5', 'base', 'sh', '-c', script]).status).toBe(137)
    expect(performance.now() - started).toBeLessThan(8000)
    expect(shop.stave([...none, '--timeout', '30', 'base', 'sh', '-c', 'exit 4']).status).toBe(4)
    expect(shop.stave([...none, '--timeout', '-1', 'base', 'true']).status).toBe(125)
    shop.must(['run', '-d', '--name', 'timed', '--network', 'none', '--timeout', '0.5', 'base', 'sh', '-c', script])
    expect(shop.must(['wait', 'timed'])).toBe('137')
    shop.must(['rm', '-v', 'timed'])
  })

  test('one that heeds no Ctrl-C says so, with the way out', async () => {
    const line = `exec ${binary} run --rm --network none --stop-timeout 0 base sleep 60`
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' },
    })
    const { text, ended } = output(child)
    await until(() => runnersBelow(child.pid!).length > 0, 'the container')
    await delay(1000)
    child.stdin.write('\u0003')
    await until(() => text().includes('got SIGINT and goes on. 2 times more ends it.'), 'the first notice')
    child.stdin.write('\u0003')
    await until(() => text().includes('Once more ends it.'), 'the second notice')
    child.stdin.write('\u0003')
    expect(await ended).toBe(137)
    await until(() => shop.must(['ps', '-aq']) === '', 'its removal')
  })

  test('a container whose monitor was killed has ended, at a time, and leaves no control group', async () => {
    shop.must(['run', '-d', '--name', 'lost', '--network', 'none', '--pids-limit', '50', 'base', 'sleep', '600'])
    const state = JSON.parse(readFileSync(shop.path('store/containers', shop.must(['ps', '-q', '--no-trunc']), 'state.json'), 'utf8')) as {
      monitorPid: number
      cgroup?: string
    }
    const groups = (state.cgroup ?? '').split(':').map((entry) => entry.slice(entry.indexOf('=') + 1))
    process.kill(state.monitorPid, 'SIGKILL')
    await until(() => shop.must(['ps', '-q']) === '', 'its end')
    const format = '{{.State.Status}} {{.State.ExitCode}} {{.State.FinishedAt}}'
    const seen = shop.must(['inspect', '--format', format, 'lost'])
    expect(seen).toMatch(/^exited 137 2/)
    await delay(50)
    expect(shop.must(['inspect', '--format', format, 'lost'])).toBe(seen)
    shop.must(['rm', '-v', 'lost'])
    expect(groups.filter((group) => group !== '' && existsSync(group))).toEqual([])
  })

  test('a terminal that is taken away leaves the container running', async () => {
    const line = `${binary} run -it --name window --network none base sh -c 'trap "" HUP; echo up; while :; do sleep 0.1; done'`
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' },
    })
    const { text, ended } = output(child)
    await until(() => text().includes('up'), 'the container')
    // The program that holds the other side of the terminal, as a window does.
    child.kill('SIGKILL')
    await ended
    await delay(1500)
    expect(shop.must(['ps', '--format', '{{.Names}}'])).toBe('window')
    shop.must(['rm', '-fv', 'window'])
  })

  test('a container does not outlive a killed stave that it belongs to', async () => {
    const child = shop.start([...none, 'base', 'sh', '-c', 'echo $$; exec sleep 4711'])
    const { text, ended } = output(child)
    await until(() => text() !== '', 'the container')
    child.kill('SIGKILL')
    await ended
    await until(() => spawnSync('pgrep', ['-f', 'sleep 4711']).status === 1, 'its end')
    await until(() => shop.must(['ps', '-aq']) === '', 'its removal')
  })

  test('Ctrl-C during a build cleans up and exits with 130', async () => {
    mkdirSync(shop.path('slow'))
    writeFileSync(shop.path('slow/Dockerfile'), 'FROM base\nRUN echo begun && sleep 4712\n')
    const child = shop.start(['build', '--progress', 'plain', '-t', 'slow', shop.path('slow')])
    const { text, ended } = output(child)
    await until(() => text().includes('begun'), 'the step')
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(text()).toMatch(/error: cancelled by SIGINT\n$/)
    expect(spawnSync('pgrep', ['-f', 'sleep 4712']).status).toBe(1)
    expect(shop.stave(['inspect', 'slow']).status).toBe(1)
  })
})

describe('volumes', () => {
  test('a directory and a file of this machine, also read-only', () => {
    mkdirSync(shop.path('shared'))
    writeFileSync(shop.path('shared/file'), 'of the host\n')
    expect(shell('cat /mnt/file && echo changed > /mnt/file', '-v', `${shop.path('shared')}:/mnt`)).toMatchObject({
      status: 0,
      stdout: 'of the host\n',
    })
    expect(readFileSync(shop.path('shared/file'), 'utf8')).toBe('changed\n')
    const refused = shell('echo no > /mnt/file', '-v', `${shop.path('shared')}:/mnt:ro`)
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringMatching(/[Rr]ead-only/)])
    expect(shell('cat /config', '--mount', `type=bind,src=${shop.path('shared/file')},dst=/config,ro`).stdout).toBe('changed\n')
    expect(shell('true', '--mount', `type=bind,src=${shop.path('nowhere')},dst=/x`).status).toBe(125)
  })

  test('a named one keeps what is written, and begins with what the image has there', () => {
    expect(shell('cat /data/file; stat -c %u /data/file; echo second > /data/file', '-v', 'kept:/data').stdout).toBe('original\n1000\n')
    expect(shell('cat /data/file', '-v', 'kept:/data').stdout).toBe('second\n')
    expect(shop.must(['volume', 'ls', '-q'])).toBe('kept')
    expect(shop.must(['volume', 'rm', 'kept'])).toBe('kept')
  })

  test('one on a path that is a link, into nothing too, lies where the link leads', () => {
    mkdirSync(shop.path('links'))
    const steps =
      'mkdir /real /gone && echo image > /real/file && ln -s /real /link && ln -s link /second && ln -s /gone/dir /dangling && ln -s loop /loop'
    writeFileSync(shop.path('links/Dockerfile'), `FROM bare\nRUN ${steps} && rmdir /gone && echo > /file\nVOLUME /dangling\n`)
    shop.must(['build', '-q', '-t', 'links', shop.path('links')])
    expect(shop.must([...none, 'links', 'sh', '-c', 'echo x > /dangling/x; ls /gone/dir'])).toBe('x')
    expect(shop.must([...none, '-v', 'kept:/link', 'links', 'sh', '-c', 'echo y > /real/y; ls /link'])).toBe('file\ny')
    expect(shop.must([...none, '-v', 'kept:/m', 'bare', 'ls', '/m'])).toBe('file\ny')
    expect(shop.must([...none, '-v', 'second:/second', 'links', 'cat', '/real/file'])).toBe('image')
    for (const place of ['/file', '/loop']) {
      const { status, stderr } = shop.stave([...none, '-v', `odd:${place}`, 'links', 'true'])
      expect({ status, stderr }).toMatchObject({ status: 125, stderr: expect.stringContaining(`"${place}"`) })
      expect(stderr).not.toContain('EISDIR')
    }
    shop.must(['volume', 'rm', 'kept', 'second', 'odd'])
  })

  test.skipIf(!isRoot)('device nodes work on the root, on volumes and binds, if they are of devices that the container has', () => {
    mkdirSync(shop.path('nodes'))
    const mounts = ['-v', `${shop.path('nodes')}:/bound`, '-v', 'nodes:/volume']
    for (const directory of ['', '/bound', '/volume']) {
      expect(shop.stave([...none, ...mounts, 'base', 'sh', '-c', `mknod ${directory}/n c 1 3 && echo x > ${directory}/n`])).toMatchObject({
        status: 0,
        stderr: '',
      })
      const memory = shop.stave([...none, ...mounts, 'base', 'sh', '-c', `mknod ${directory}/mem c 1 1 && head -c 1 ${directory}/mem`])
      expect(memory).toMatchObject({ stdout: '', stderr: expect.stringContaining('not permitted') })
    }
    // A process that joins is held to the same.
    shop.must(['run', '-d', '--name', 'nodes', '--network', 'none', 'base', 'sleep', '600'])
    expect(shop.stave(['exec', 'nodes', 'sh', '-c', 'mknod /m c 1 1 && head -c 1 /m']).stderr).toContain('not permitted')
    shop.must(['rm', '-fv', 'nodes'])
    shop.must(['volume', 'rm', 'nodes'])
  })

  test('a device in place of a file, as services are masked', () => {
    expect(shop.must([...none, '-v', '/dev/null:/etc/masked', 'base', 'sh', '-c', 'cat /etc/masked; echo x > /etc/masked'])).toBe('')
    expect(shop.stave([...none, '--device', '/dev/null:/etc/x', 'base', 'true'])).toMatchObject({
      status: 125,
      stderr: expect.not.stringContaining('fault of Stave'),
    })
  })

  test('an anonymous one goes with its container', () => {
    shop.must(['run', '--name', 'anonymous', '--network', 'none', 'base', 'sh', '-c', 'echo mine > /data/file'])
    const [volume] = shop.must(['volume', 'ls', '-q']).split('\n')
    expect(volume).toMatch(/^[0-9a-f]{64}$/)
    shop.must(['rm', '-v', 'anonymous'])
    expect(shop.must(['volume', 'ls', '-q'])).toBe('')
    shop.must([...none, 'base', 'true'])
    expect(shop.must(['volume', 'ls', '-q'])).toBe('')
  })

  test('a root that is read-only, with a writable /tmp', () => {
    const { status, stdout, stderr } = shell('echo x > /tmp/y && cat /tmp/y; echo no > /file', '--read-only', '--tmpfs', '/tmp')
    expect([status, stdout]).toEqual([1, 'x\n'])
    expect(stderr).toMatch(/[Rr]ead-only/)
  })
})

describe('confinement', () => {
  test('--network none has a loopback device and no other', () => {
    expect(shell('ls /sys/class/net').stdout).toBe('lo\n')
    expect(shell('cat /proc/net/dev | tail -n +3 | cut -d: -f1').stdout.trim()).toBe('lo')
    expect(shell('ping -c1 -W1 127.0.0.1 >/dev/null && echo up').stdout).toBe('up\n')
  })

  test('a network of its own is the default; the host’s and none are there for the asking', () => {
    const links = (...flags: string[]) => shop.must(['run', '--rm', ...flags, 'base', 'ls', '/sys/class/net']).split('\n')
    expect(links()).toEqual(['eth0', 'lo'])
    expect(links('--network', 'none')).toEqual(['lo'])
    // By its name, as links of this machine come and go with other tests.
    const namespace = shop.must(['run', '--rm', '--network', 'host', 'base', 'readlink', '/proc/self/ns/net'])
    expect(namespace).toBe(readlinkSync('/proc/self/ns/net'))
  })

  test('capabilities are those of Docker, and more or fewer when asked for', () => {
    const effective = (...flags: string[]) => BigInt(`0x${/CapEff:\s*(\w+)/.exec(shell('cat /proc/self/status', ...flags).stdout)![1]}`)
    expect(effective().toString(16)).toBe('a80425fb')
    expect(effective('--cap-drop', 'ALL')).toBe(0n)
    expect(effective('--cap-drop', 'ALL', '--cap-add', 'CHOWN')).toBe(1n)
    expect(effective('--cap-add', 'SYS_PTRACE') & (1n << 19n)).not.toBe(0n)
    expect(shell('chown 5 /home', '--cap-drop', 'chown').status).not.toBe(0)
    expect(shell('mount -t tmpfs x /mnt').status).not.toBe(0)
  })

  test('a seccomp profile of ones own, for what is run and for what is run beside it', () => {
    const profile = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 },
        { names: ['chroot'], action: 'SCMP_ACT_ERRNO', excludes: { caps: ['CAP_SYS_CHROOT'] } },
      ],
    }
    writeFileSync(shop.path('profile.json'), JSON.stringify(profile))
    const own = ['--security-opt', `seccomp=${shop.path('profile.json')}`] as const
    expect(shell('mkdir /x; chroot / echo in; grep Seccomp: /proc/self/status', ...own)).toMatchObject({
      status: 0,
      stdout: 'in\nSeccomp:\t2\n',
      stderr: expect.stringContaining('No space left on device') as string,
    })
    expect(shell('chroot / true', ...own, '--cap-drop', 'SYS_CHROOT').status).toBe(1)
    shop.must(['run', '-d', '--name', 'filtered', '--network', 'none', ...own, 'base', 'sleep', '100'])
    expect(shop.stave(['exec', 'filtered', 'mkdir', '/x']).stderr).toContain('No space left on device')
    shop.must(['rm', '-f', 'filtered'])
    expect(shell('true', '--security-opt', 'seccomp=/nosuch')).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('cannot read /nosuch') as string,
    })
  })

  test('limits and mounts that leave no room to start say so', () => {
    expect(shell('cat; echo ran', '-v', `${shop.directory}:/dev`)).toMatchObject({ status: 0, stdout: 'ran\n' })
    if (isRoot && existsSync('/sys/fs/cgroup/memory')) expect(shell('true', '--memory', '4k').stderr).toContain('--memory is too low')
  })

  test('processes of its own, and none of this machine', () => {
    expect(shell('ls -d /proc/[0-9]*').stdout.trim().split('\n').length).toBeLessThan(4)
    expect(shell('cat /proc/1/comm').stdout).toBe('cat\n')
    for (const hidden of ['/proc/kcore', '/proc/keys', '/proc/timer_list'])
      expect(shell(`head -c 1 ${hidden} | wc -c`).stdout.trim()).toBe('0')
    expect(shell('echo 1 > /proc/sys/kernel/panic').status).not.toBe(0)
  })

  test.skipIf(!isRoot)('memory: 137 where it was not enough', () => {
    const { status } = shell('tail /dev/zero', '--memory', '24m')
    expect(status).toBe(137)
    shop.stave(['run', '--name', 'hungry', '--network', 'none', '--memory', '24m', 'base', 'tail', '/dev/zero'])
    expect(shop.must(['inspect', '--format', '{{.State.OOMKilled}} {{.State.ExitCode}}', 'hungry'])).toBe('true 137')
    shop.must(['rm', 'hungry'])
  })

  test.skipIf(!isRoot)('processes: no more than allowed', () => {
    const { stderr, stdout } = shell('for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; echo; jobs | wc -l', '--pids-limit', '5')
    expect(stderr + stdout).toMatch(/fork|Resource temporarily unavailable/)
  })

  test.skipIf(!isRoot)('CPU: a limit is felt', () => {
    // Wall time says nothing on a busy machine; the control group counts how often it held the container back.
    const spin =
      'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null; true'
    const held = (...flags: string[]) => Number(/^nr_throttled (\d+)$/m.exec(shell(spin, ...flags).stdout)?.[1])
    expect(held('--cpus', '0.05')).toBeGreaterThan(0)
    expect(held('--cpus', '100')).toBe(0)
  })
})

describe('in the background', () => {
  test('lives on, is listed, logged, entered, stopped, and removed', async () => {
    const id = shop.must([
      'run',
      '-d',
      '--name',
      'clock',
      '-l',
      'kind=test',
      '--network',
      'none',
      'base',
      'sh',
      '-c',
      'trap "echo bye; exit 3" TERM; i=0; while :; do echo tick $((i=i+1)); sleep 0.1; done',
    ])
    expect(id).toMatch(/^[0-9a-f]{64}$/)
    expect(shop.must(['ps', '--filter', 'label=kind=test', '--format', '{{.Names}} {{.State}} {{.Image}}'])).toBe('clock running base')
    expect(shop.must(['ps', '-q', '--no-trunc'])).toBe(id)
    expect(shop.stave(['run', '--name', 'clock', '--rm', 'base', 'true'])).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/clock.*\n.*hint/s),
    })
    expect(shop.stave(['rm', 'clock'])).toMatchObject({ status: 1, stderr: expect.stringContaining('--force') })
    expect(shop.stave(['rmi', 'base']).status).toBe(1)

    const follower = shop.start(['logs', '-f', 'clock'])
    const { text, ended } = output(follower)
    await until(() => /tick 12\n/.test(text()), 'the twelfth tick')
    expect(text().startsWith('tick 1\ntick 2\n')).toBe(true)

    expect(shop.stave(['exec', 'clock', 'sh', '-c', 'cat /proc/1/comm; exit 4'])).toMatchObject({ status: 4, stdout: 'sh\n' })
    expect(shop.stave(['exec', '-i', 'clock', 'cat'], { input: 'typed' }).stdout).toBe('typed')
    expect(shop.must(['exec', '-u', 'app', '-w', '/home/app', '-e', 'X=y', 'clock', 'sh', '-c', 'echo $(id -un) $(pwd) $X'])).toBe(
      'app /home/app y',
    )
    expect(shop.stave(['exec', 'clock', 'frobnicate']).status).toBe(127)
    expect(shop.must(['inspect', '--format', '{{.State.Status}} {{.Name}}', 'clock'])).toMatch(/^running \/?clock$/)

    const waiter = shop.start(['wait', 'clock'])
    const waited = output(waiter)
    expect(shop.must(['stop', 'clock'])).toBe('clock')
    expect(await ended).toBe(0)
    expect(text()).toMatch(/bye\n$/)
    expect(await waited.ended).toBe(0)
    expect(waited.text()).toBe('3\n')
    expect(shop.must(['ps', '-a', '--format', '{{.Names}} {{.Status}}'])).toMatch(/^clock Exited \(3\) /)
    expect(shop.must(['logs', '--tail', '1', 'clock'])).toBe('bye')
    expect(shop.stave(['exec', 'clock', 'true']).status).toBe(125)

    shop.must(['start', 'clock'])
    expect(shop.must(['ps', '-q', '--no-trunc'])).toBe(id)
    shop.must(['kill', 'clock'])
    expect(shop.must(['wait', 'clock'])).toBe('137')
    expect(shop.must(['rm', 'clock'])).toBe('clock')
    expect(shop.must(['ps', '-aq'])).toBe('')
    expect(existsSync(shop.path('store/containers', id))).toBe(false)
  })

  test('what it changes is its own, and is still there when it is started again', () => {
    shop.must(['run', '--name', 'writer', '--network', 'none', 'base', 'sh', '-c', 'cat /note 2>/dev/null; echo seen >> /note'])
    expect(shop.must(['start', '-a', 'writer'])).toBe('seen')
    expect(shop.must(['start', '-a', 'writer'])).toBe('seen\nseen')
    expect(shell('ls /note').status).not.toBe(0)
    shop.must(['rm', 'writer'])
  })

  test('--rm removes it when it ends by itself, without anyone waiting', async () => {
    shop.must(['run', '-d', '--rm', '--network', 'none', 'base', 'sleep', '0.2'])
    await until(() => shop.must(['ps', '-aq']) === '', 'its removal')
  })

  test('rm -f of one that runs, and of one that is not there', () => {
    shop.must(['run', '-d', '--name', 'victim', '--network', 'none', 'base', 'sleep', '1000'])
    expect(shop.must(['rm', '-f', 'victim'])).toBe('victim')
    expect(shop.stave(['rm', '-f', 'victim']).status).toBe(0)
    expect(shop.stave(['rm', 'victim']).status).toBe(1)
  })

  test('pause, unpause, rename, attach', async () => {
    shop.must([
      'run',
      '-d',
      '-i',
      '--name',
      'talker',
      '--network',
      'none',
      'base',
      'sh',
      '-c',
      'while read line; do echo "got $line"; done',
    ])
    if (isRoot) {
      shop.must(['pause', 'talker'])
      expect(shop.must(['ps', '--format', '{{.State}}'])).toBe('paused')
      shop.must(['unpause', 'talker'])
    }
    shop.must(['rename', 'talker', 'listener'])
    const child = spawn(binary, ['attach', 'listener'], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const { text, ended } = output(child)
    child.stdin.write('hello\n')
    await until(() => text().includes('got hello'), 'the answer')
    child.kill()
    await ended
    expect(shop.must(['ps', '--format', '{{.Names}} {{.State}}'])).toBe('listener running')
    shop.must(['rm', '-f', 'listener'])
  })
})
