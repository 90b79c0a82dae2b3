/** Listing, choosing and keeping containers and volumes by the words of docker and podman. */
import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, workshop } from './stave.ts'

const shop = workshop('containers')
const sleeper = (name: string, ...flags: readonly string[]) =>
  shop.must(['run', '-d', '--name', name, '--network', 'none', ...flags, 'base', 'sleep', '1000'])

beforeAll(() => void shop.must(['import', '-q', busyboxTar(), 'base']))
afterAll(() => shop[Symbol.dispose]())

describe('several at once', () => {
  test('a name that stands for none is reported, and the others are dealt with', () => {
    sleeper('one')
    sleeper('two')
    expect(shop.stave(['stop', '-t', '0', 'one', 'nosuch', 'two'])).toMatchObject({
      status: 1,
      stdout: 'one\ntwo\n',
      stderr: expect.stringContaining('cannot find the container nosuch') as string,
    })
    expect(shop.stave(['rm', '-f', 'nosuch', 'one', 'two'])).toEqual({ status: 0, stdout: 'one\ntwo\n', stderr: '' })
  })

  test('starting one that runs is no error', () => {
    const id = sleeper('runs')
    expect(shop.must(['start', 'runs'])).toBe('runs')
    expect(shop.must(['ps', '-q', '--no-trunc'])).toBe(id)
    shop.must(['rm', '-f', 'runs'])
  })

  test('container prune removes those that do not run; exists says which there are', () => {
    sleeper('stays')
    const ended = shop.must(['create', '--name', 'goes', '-l', 'k=v', 'base', 'true'])
    const kept = shop.must(['create', '--name', 'other', 'base', 'true'])
    expect(shop.must(['container', 'prune', '-f', '--filter', 'label=k=v'])).toBe(ended)
    expect(shop.must(['container', 'prune', '-f'])).toBe(kept)
    expect(shop.stave(['container', 'exists', 'stays']).status).toBe(0)
    expect(shop.stave(['container', 'exists', 'goes'])).toEqual({ status: 1, stdout: '', stderr: '' })
    shop.must(['rm', '-f', 'stays'])
  })
})

test('ps: filters, and fields of templates', () => {
  sleeper('web-1', '-l', 'app=web', '-l', 'tier', '-v', 'data:/data')
  const second = sleeper('web-2', '-l', 'app=web')
  const names = (...filters: readonly string[]) =>
    shop.must(['ps', '-a', '--format', '{{.Names}}', ...filters.flatMap((filter) => ['--filter', filter])])
  expect(names('name=^web-1$')).toBe('web-1')
  expect(names('name=web')).toBe('web-2\nweb-1')
  expect(names('label=app=web', 'label=tier')).toBe('web-1')
  expect(names('label!=tier')).toBe('web-2')
  expect(names('volume=data')).toBe('web-1')
  expect(names('volume=/data')).toBe('web-1')
  expect(names('before=web-2')).toBe('web-1')
  expect(names('since=web-1')).toBe('web-2')
  expect(names('network=host')).toBe('')
  expect(names('status=running', 'status=exited', `id=${second.slice(0, 8)}`)).toBe('web-2')
  expect(shop.stave(['ps', '--filter', 'status=bogus']).status).toBe(2)
  expect(shop.must(['ps', '--filter', 'name=web-1', '--format', '{{.Labels}} {{.Label "app"}} {{.Mounts}} {{.Networks}}'])).toBe(
    'app=web,tier= web data none',
  )
  shop.must(['rm', '-f', 'web-1', 'web-2'])
})

test('volume inspect --format, volume exists', () => {
  shop.must(['volume', 'create', 'kept'])
  expect(shop.must(['volume', 'inspect', '-f', '{{.Name}} {{.Mountpoint}}', 'kept'])).toBe(`kept ${shop.store}/volumes/kept/_data`)
  expect(shop.stave(['volume', 'inspect', 'nosuch'])).toMatchObject({ status: 1, stdout: '[]\n' })
  expect(shop.stave(['volume', 'exists', 'kept']).status).toBe(0)
  expect(shop.stave(['volume', 'exists', 'nosuch']).status).toBe(1)
  expect(shop.stave(['volume', 'nosuch']).stderr).toContain('stave volume nosuch: there is no such command')
})

describe('making one', () => {
  test('--cidfile: one that is there stops it before anything is made, and none is left where nothing was made', () => {
    const id = shop.must(['create', '--cidfile', 'cid', 'base', 'true'])
    expect(readFileSync(shop.path('cid'), 'utf8')).toBe(id)
    expect(shop.stave(['run', '--cidfile', 'cid', 'base', 'true'])).toMatchObject({ status: 125, stdout: '' })
    expect(shop.must(['ps', '-aq', '--no-trunc'])).toBe(id)
    expect(shop.stave(['run', '--cidfile', 'other', '--pull', 'never', 'nosuch', 'true']).status).toBe(125)
    expect(existsSync(shop.path('other'))).toBe(false)
    shop.must(['rm', id])
  })

  test('--replace takes the place of the one with the same name', () => {
    const first = sleeper('same')
    const second = sleeper('same', '--replace')
    expect(second).not.toBe(first)
    expect(shop.must(['ps', '-aq', '--no-trunc'])).toBe(second)
    shop.must(['rm', '-f', 'same'])
  })

  test('--log-driver none keeps nothing; -a connects one stream', () => {
    shop.must(['run', '--name', 'mute', '--log-driver', 'none', 'base', 'echo', 'hello'])
    expect(existsSync(shop.path('store/containers', shop.must(['ps', '-aq', '--no-trunc']), 'log'))).toBe(false)
    expect(shop.stave(['logs', 'mute'])).toMatchObject({ status: 1, stderr: expect.stringContaining('--log-driver none') as string })
    shop.must(['rm', 'mute'])
    expect(shop.stave(['run', '--rm', '-a', 'stderr', 'base', 'sh', '-c', 'echo out; echo err >&2'])).toEqual({
      status: 0,
      stdout: '',
      stderr: 'err\n',
    })
  })

  test('names: its own, added ones, other name servers', () => {
    const read = (file: string, ...flags: readonly string[]) => shop.must(['run', '--rm', ...flags, 'base', 'cat', file])
    expect(read('/etc/hosts', '--network', 'none', '-h', 'own', '--add-host', 'there:192.0.2.1')).toMatch(
      /^127\.0\.0\.1\tlocalhost\n[^]*192\.0\.2\.1\tthere\n127\.0\.1\.1\town$/,
    )
    expect(read('/etc/resolv.conf', '--dns', '192.0.2.53', '--dns-search', 'a.example', '--dns-opt', 'ndots:2')).toBe(
      'nameserver 192.0.2.53\nsearch a.example\noptions ndots:2',
    )
    expect(shop.stave(['run', '--dns', 'nosuch', 'base', 'true']).status).toBe(125)
  })

  test('--label-file', () => {
    writeFileSync(shop.path('labels'), '# of the file\na=1\nb=2\n')
    const id = shop.must(['create', '--label-file', 'labels', '-l', 'b=3', 'base', 'true'])
    expect(shop.must(['inspect', '-f', '{{json .Config.Labels}}', id])).toBe('{"a":"1","b":"3"}')
    shop.must(['rm', id])
  })

  test('what cannot be is refused before anything is made', () => {
    for (const [flags, why] of [
      [['--network', 'host', '--sysctl', 'net.core.somaxconn=99'], /shares the network namespace/],
      [['--gpus', 'all'], /--gpus is not offered/],
      [['--health-retries', '2'], /there is none to make/],
    ] as const) {
      const { status, stderr } = shop.stave(['run', ...flags, 'base', 'true'])
      expect(stderr).toMatch(why)
      expect(status).toBe(125)
    }
    expect(shop.must(['ps', '-aq'])).toBe('')
  })
})

test('--volumes-from: the same volumes at the same places, which outlive the one that made them', () => {
  const of = ['run', '--network', 'none']
  shop.must([...of, '--name', 'giver', '-v', '/data', '-v', `${shop.directory}:/bound:ro`, 'base', 'sh', '-c', 'echo kept > /data/file'])
  shop.must(['create', '--name', 'taker', '--volumes-from', 'giver', 'base', 'cat', '/data/file'])
  expect(
    shop.must([...of, '--rm', '--volumes-from', 'giver', 'base', 'sh', '-c', 'cat /data/file; echo x > /data/own; ls /bound']),
  ).toContain('kept')
  expect(shop.stave([...of, '--rm', '--volumes-from', 'giver:ro', 'base', 'touch', '/data/x']).stderr).toContain('Read-only')
  expect(shop.must([...of, '--rm', '--volumes-from', 'giver', '--tmpfs', '/data', 'base', 'ls', '/data'])).toBe('')
  expect(shop.stave([...of, '--volumes-from', 'nobody', 'base', 'true']).status).toBe(125)
  shop.must(['rm', '-v', 'giver'])
  expect(shop.must(['start', '-a', 'taker'])).toBe('kept')
  shop.must(['rm', '-v', 'taker'])
  const isAnonymous = (name: string) => name.length === 64
  expect(shop.must(['volume', 'ls', '-q']).split('\n').filter(isAnonymous)).toEqual([])
})

test('--env-host: the caller’s environment, which the image and --env go before', () => {
  const flags = ['run', '--rm', '--network', 'none', '--env-host', '-e', 'SECOND=mine', 'base', 'sh', '-c', 'echo $FIRST $SECOND $PATH']
  // The image says where its own programs are.
  const said = shop.must(flags, { env: { FIRST: '1', SECOND: '2' } })
  expect(said).toBe(`1 mine ${shop.must(['run', '--rm', '--network', 'none', 'base', 'sh', '-c', 'echo $PATH'])}`)
})

test('top: processes by the columns of docker and podman', () => {
  sleeper('busy')
  shop.must(['exec', '-d', 'busy', 'sleep', '999'])
  const [heading, ...lines] = shop.must(['top', 'busy']).split('\n')
  expect(heading).toMatch(/^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/)
  expect(lines.map((line) => line.replace(/.* (sleep \d+)$/, '$1')).toSorted()).toEqual(['sleep 1000', 'sleep 999'])
  expect(shop.must(['container', 'top', 'busy', 'nspid', 'comm']).split('\n')[1]).toMatch(/^1 +sleep$/)
  expect(shop.must(['top', 'busy', '-eo', 'user,args']).split('\n')[1]).toMatch(/^\S+ +sleep 1000$/)
  expect(shop.stave(['top', 'busy', 'nonsense'])).toMatchObject({ status: 2, stderr: expect.stringContaining('no column') })
  shop.must(['rm', '-f', 'busy'])
  expect(shop.stave(['top', 'busy']).status).toBe(1)
})

test('exit statuses: 125 for all that stave itself could not do, whatever the words', () => {
  for (const words of [
    ['run'],
    ['run', '--nope', 'base'],
    ['run', '-m', '3x', 'base', 'true'],
    ['run', '--cpus', 'x', 'base', 'true'],
    ['run', '-v', 'a:b', 'base', 'true'],
    ['run', '--pull', 'never', 'missing', 'true'],
    ['run', '--restart', 'sometimes', 'base', 'true'],
    ['run', '--userns', 'auto', 'base', 'true'],
    ['run', '--cap-add', 'nope,mknod', 'base', 'true'],
    ['create'],
    ['create', '--nope', 'base'],
    ['exec', 'missing'],
    ['exec', '-u'],
    ['exec', 'missing', 'true'],
  ])
    expect(shop.stave(words).status, words.join(' ')).toBe(125)
  expect(shop.must(['ps', '-aq'])).toBe('')
})

test('what says the default is accepted, and several capabilities in one word', () => {
  const neutral = ['--restart', 'no', '--restart=', '--userns', 'host', '--isolation', 'default']
  const script = 'grep CapBnd /proc/self/status'
  const flags = ['--cap-drop', 'all', '--cap-add', 'chown,CAP_KILL']
  expect(shop.must(['run', '--rm', ...neutral, ...flags, 'base', 'sh', '-c', script])).toMatch(/0{14}21$/)
})

test('an image of a name is listed once, and is not dangling', () => {
  const id = shop.must(['images', '-q', '--no-trunc', 'base'])
  const container = shop.must(['create', 'base', 'true'])
  shop.must(['commit', container])
  const bare = shop.must(['images', '-q', '-f', 'dangling=true'])
  expect(bare).not.toBe('')
  shop.must(['tag', bare, 'named'])
  expect(shop.must(['images', '-q', '-f', 'dangling=true'])).toBe('')
  expect(shop.must(['images', '--format', '{{.Repository}} {{.ID}}']).match(new RegExp(bare, 'g'))).toHaveLength(1)
  shop.must(['rm', container])
  shop.must(['rmi', 'named'])
  expect(shop.must(['images', '-q', '--no-trunc', 'base'])).toBe(id)
})

test('prune --all asks on a terminal', () => {
  const line = `'${binary}' system prune -a; echo "status $?"; '${binary}' images -q | wc -l`
  const { stdout } = spawnSync('script', ['-qec', line, '/dev/null'], {
    env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' },
    input: 'n\n',
    encoding: 'utf8',
  })
  expect(stdout).toMatch(/Remove all images .*\[y\/N\]/)
  expect(stdout).toMatch(/nothing was removed/)
  expect(stdout).not.toMatch(/status 0/)
  expect(shop.must(['images', '-q'])).not.toBe('')
})

test('a template with a field that there is not is an error', () => {
  for (const words of [['images'], ['inspect', 'base']])
    expect(shop.stave([...words, '--format', '{{.Nope}}'])).toMatchObject({ stderr: expect.stringContaining('no field .Nope') })
  expect(shop.must(['inspect', '--format', '{{json .Config.Healthcheck}} {{index .Config.Labels "none"}}|', 'base'])).toBe('null |')
})

describe('what a container wrote', () => {
  beforeAll(() => {
    const script =
      'mkdir -p d/sub && echo text > d/sub/file && ln -s file d/sub/link && rm /bin/zcat && chown -R 5:6 d && echo kept > /vol/file'
    shop.must(['run', '--name', 'worker', '-w', '/work', '-e', 'FOO=bar', '-v', 'vol:/vol', 'base', 'sh', '-c', script])
  })
  const exists = (...path: readonly string[]) => existsSync(shop.path(...path))

  test('cp takes it out: into a directory, under a new name, what is in it, out of a volume, as a tar', () => {
    shop.must(['cp', 'worker:/work/d', '.'])
    expect(readFileSync(shop.path('d/sub/link'), 'utf8')).toBe('text\n')
    expect(statSync(shop.path('d/sub/file')).uid).toBe(process.getuid!())
    shop.must(['cp', 'worker:/work/d', 'new'])
    expect(exists('new/sub/file')).toBe(true)
    shop.must(['cp', 'worker:/work/d', 'new'])
    expect(exists('new/d/sub/file')).toBe(true)
    shop.must(['cp', 'worker:/work/d/.', 'content'])
    expect(exists('content/sub/file')).toBe(true)
    shop.must(['cp', 'worker:work/d/sub/file', 'copy'])
    shop.must(['cp', 'worker:/vol/file', 'copy'])
    expect(readFileSync(shop.path('copy'), 'utf8')).toBe('kept\n')
    expect(shop.stave(['cp', 'worker:/nosuch', '.'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('cannot find /nosuch') as string,
    })
    expect(shop.stave(['cp', 'worker:/work/d', 'copy']).stderr).toContain('it is a file')
    expect(shop.stave(['cp', 'worker:/work/d', 'nosuch/']).status).toBe(1)
    expect(readdirSync(shop.directory).filter((name) => name.startsWith('.stave'))).toEqual([])
    const tar = spawnSync('sh', ['-c', `"${binary}" --root "${shop.store}" cp worker:/work/d - | tar -tf -`], { encoding: 'utf8' })
    expect(tar.stdout).toBe('d/\nd/sub/\nd/sub/file\nd/sub/link\n')
  })

  test('cp follows a link, and replaces no device, FIFO or socket', () => {
    const made = spawnSync('sh', ['-c', 'mkfifo fifo; ln -s real link; ln -s missing dangling; ln -s circle circle; echo before > real'], {
      cwd: shop.directory,
    })
    expect(made.status).toBe(0)
    shop.must(['cp', 'worker:/work/d/sub/file', 'link'])
    expect(lstatSync(shop.path('link')).isSymbolicLink()).toBe(true)
    expect(readFileSync(shop.path('real'), 'utf8')).toBe('text\n')
    shop.must(['cp', 'worker:/work/d/sub/file', 'dangling'])
    expect(readFileSync(shop.path('missing'), 'utf8')).toBe('text\n')
    expect(lstatSync(shop.path('dangling')).isSymbolicLink()).toBe(true)
    expect(shop.stave(['cp', 'worker:/work/d/sub/file', 'circle']).stderr).toContain('round in a circle')
    expect(shop.stave(['cp', 'worker:/work/d/sub/file', 'fifo'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('it is a FIFO'),
    })
    expect(lstatSync(shop.path('fifo')).isFIFO()).toBe(true)
    expect(shop.stave(['cp', 'worker:/work/d/sub/file', '/dev/full'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('it is a device'),
    })
    expect(lstatSync('/dev/full').isCharacterDevice()).toBe(true)
  })

  test('cp leaves the setuid bit behind', () => {
    shop.must(['run', '--name', 'setuid', '--network', 'none', 'base', 'sh', '-c', 'echo > /su; chown 7:7 /su; chmod 6755 /su'])
    shop.must(['cp', 'setuid:/su', 'su'])
    expect((statSync(shop.path('su')).mode & 0o7777).toString(8)).toBe('755')
    shop.must(['rm', 'setuid'])
  })

  test('export is all of its root, with owners and without what it removed', () => {
    shop.must(['export', '-o', 'root.tar', 'worker'])
    const { stdout } = spawnSync('tar', ['-tvf', shop.path('root.tar'), '--numeric-owner'], { encoding: 'utf8' })
    expect(stdout).toMatch(/ 5\/6 .* work\/d\/sub\/file$/m)
    expect(stdout).toMatch(/ bin\/busybox$/m)
    expect(stdout).not.toContain('bin/zcat')
  })

  test('commit makes an image of it, with what it was told to run', () => {
    const id = shop.must([
      'commit',
      '-q',
      '-m',
      'tried',
      '-c',
      'CMD ["sh", "-c", "cat /work/d/sub/file; ls /bin/zcat; ls /vol"]',
      '-c',
      'ENV A=b',
      'worker',
      'tried',
    ])
    expect(shop.stave(['run', '--rm', '--network', 'none', 'tried'])).toMatchObject({ stdout: 'text\n', status: 1 })
    const { Config } = (JSON.parse(shop.must(['inspect', 'tried'])) as { Config: Record<string, unknown> }[])[0]!
    expect(Config).toMatchObject({ Env: [expect.stringMatching(/^PATH=/), 'FOO=bar', 'A=b'], WorkingDir: '/work' })
    expect(shop.must(['history', '--format', '{{.Comment}}', 'tried']).split('\n')[0]).toBe('tried')
    expect(shop.must(['images', '-q', '--no-trunc', 'tried'])).toBe(id)
    expect(shop.stave(['commit', '-c', 'RUN true', 'worker']).stderr).toContain('only instructions that change the config')
    expect(shop.damage()).toEqual([])
  })
})
