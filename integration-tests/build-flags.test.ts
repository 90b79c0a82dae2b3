/** Flags of buildx and buildah, by what the result is then. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, embeddedRegistry, workshop } from './stave.ts'

const shop = workshop('build-flags')
let registry: Awaited<ReturnType<typeof embeddedRegistry>>
let count = 0

beforeAll(async () => {
  shop.must(['import', '-q', '--change', 'LABEL base=1', '--change', 'ENV GONE=1', busyboxTar(), 'base'])
  registry = await embeddedRegistry(shop)
})
afterAll(() => {
  registry.process.kill()
  shop[Symbol.dispose]()
})

function context(dockerfile: string, files: Readonly<Record<string, string>> = {}): string {
  const directory = shop.path(`context${count++}`)
  mkdirSync(directory)
  for (const [name, text] of Object.entries({ ...files, Dockerfile: dockerfile })) writeFileSync(join(directory, name), text)
  return directory
}

/** What the only RUN of a Dockerfile prints. */
function printed(command: string, flags: readonly string[], dockerfile = `FROM base\nRUN ${command}\n`): string {
  const { status, stderr } = shop.stave(
    ['build', '--no-cache', '--progress', 'plain', '-o', 'type=cacheonly', ...flags, context(dockerfile)],
    { env: { http_proxy: 'http://proxy.example' } },
  )
  expect([status, status === 0 ? '' : stderr]).toEqual([0, ''])
  return [...stderr.matchAll(/^#2 (?!\[|done)(.*)$/gm)].map(([, line]) => line).join('\n')
}

function inspect(name: string): { Config: { Env: string[]; Labels: Record<string, string> | null }; History: unknown[] } {
  return (JSON.parse(shop.must(['inspect', name])) as never[])[0] as never
}

describe('what RUN sees and may do', () => {
  test.each([
    ['grep gw /etc/hosts', ['--add-host', 'gw:host-gateway'], /^127\.0\.0\.1\s+gw$/],
    [
      'cat /etc/resolv.conf',
      ['--dns', '192.0.2.1', '--dns-search', 'a.example', '--dns-option', 'ndots:3'],
      /^nameserver 192\.0\.2\.1\nsearch a\.example\noptions ndots:3$/,
    ],
    ['ls /etc | grep -c hosts || true', ['--no-hosts'], /^0$/],
    ['grep CapEff /proc/self/status', ['--cap-drop', 'all'], /0{16}$/],
    ['grep CapEff /proc/self/status', ['--cap-drop', 'all', '--cap-add', 'chown'], /0{15}1$/],
    ['grep NoNewPrivs /proc/self/status', ['--security-opt', 'no-new-privileges'], /1$/],
    ['grep Seccomp: /proc/self/status', ['--security-opt', 'seccomp=unconfined'], /0$/],
    ['grep Cpus_allowed_list /proc/self/status', ['--cpuset-cpus', '0'], /\t0$/],
    ['echo "proxy: $http_proxy"', [], /^proxy: http:\/\/proxy\.example$/],
    ['echo "proxy: $http_proxy"', ['--http-proxy=false'], /^proxy: $/],
  ])('%s %j', (command, flags, expected) => {
    expect(printed(command, flags)).toMatch(expected)
  })

  test('--volume: paths of this machine, which leave no trace in the image', () => {
    mkdirSync(shop.path('host'))
    writeFileSync(shop.path('host/f'), 'from the host')
    const out = shop.path('volume.tar')
    const flags = ['-v', `${shop.path('host')}:/v`, '-v', `${shop.path('host/f')}:/one:ro`]
    shop.must([
      'build',
      '-q',
      ...flags,
      '-o',
      `type=tar,dest=${out}`,
      context('FROM base\nRUN cp /one /copied && ! echo x > /one && echo back > /v/g\n'),
    ])
    expect(readFileSync(shop.path('host/g'), 'utf8')).toBe('back\n')
    const names = spawnSync('tar', ['-tf', out], { encoding: 'utf8' }).stdout.split('\n')
    expect(names).toContain('copied')
    expect(names.filter((name) => /^(v|one)/.test(name))).toEqual([])
  })
})

test('of a Dockerfile and a Containerfile the first is built, and that is said; alone each is built in silence', () => {
  const [one, other] = ['FROM base\nLABEL of=Dockerfile\n', 'FROM base\nLABEL of=Containerfile\n']
  const both = context(one, { Containerfile: other })
  const { status, stderr } = shop.stave(['build', '-q', '-t', 'both', both])
  expect([status, stderr]).toEqual([0, expect.stringContaining('Dockerfile is built, and not the Containerfile beside it')])
  expect(inspect('both').Config.Labels).toMatchObject({ of: 'Dockerfile' })
  const tar = spawnSync('tar', ['-C', both, '-cf', '-', '.']).stdout
  expect(shop.stave(['build', '-q', '-'], { input: tar }).stderr).toContain('and not the Containerfile beside it')
  expect(shop.stave(['build', '-q', '-f', 'Containerfile', '-t', 'both', both])).toMatchObject({ status: 0, stderr: '' })
  expect(inspect('both').Config.Labels).toMatchObject({ of: 'Containerfile' })
  renameSync(join(both, 'Dockerfile'), join(both, 'other'))
  expect(shop.stave(['build', '-q', '-t', 'both', both])).toMatchObject({ status: 0, stderr: '' })
})

describe('what the rules find', () => {
  const dockerfile = 'FROM base\nENV a=$nobody\nCMD x\n'

  test('is told beside a build, but not by -q, and not where the file says so', () => {
    const told = (...flags: readonly string[]) =>
      [...shop.stave(['build', ...flags]).stderr.matchAll(/^warning: .*Dockerfile:(\d+): (\w+): /gm)].map(
        ([, line, rule]) => `${line} ${rule}`,
      )
    expect(told(context(dockerfile))).toEqual(['2 UndefinedVar', '3 JSONArgsRecommended'])
    expect(told('-q', context(dockerfile))).toEqual([])
    expect(told(context(`# check=skip=UndefinedVar\n${dockerfile}`))).toEqual(['4 JSONArgsRecommended'])
    expect(told('--build-arg', 'BUILDKIT_DOCKERFILE_CHECK=skip=all', context(dockerfile))).toEqual([])
    expect(told(context('FROM base\nCOPY left /\n', { left: '', '.dockerignore': 'le*\n' }))).toEqual(['2 CopyIgnoredFile'])
  })
  test('as JSON is what BuildKit prints, also where no build could be', () => {
    const json = (text: string) => {
      const { status, stdout } = shop.stave(['build', '--call=check,format=json', context(text)])
      return [status, JSON.parse(stdout) as object] as const
    }
    const at = (line: number) => ({ ranges: [{ start: { line } }] })
    expect(json('FROM base\nCMD x\n')).toMatchObject([
      1,
      {
        warnings: [{ ruleName: 'JSONArgsRecommended', url: expect.stringContaining('json-args-recommended'), location: at(2) }],
        sources: [{ filename: expect.stringMatching(/Dockerfile$/), data: Buffer.from('FROM base\nCMD x\n').toString('base64') }],
      },
    ])
    expect(json('FROM base\n')).toMatchObject([0, { warnings: [] }])
    expect(json('FROM base\nRUM x\n')).toMatchObject([
      1,
      { warnings: [], buildError: { message: 'unknown instruction RUM', location: at(2) } },
    ])
  })
})

test('--no-cache begins with empty cache mounts, which its steps share', () => {
  const mount = '--mount=type=cache,target=/c,id=fresh'
  const text = `FROM base\nRUN ${mount} echo "one: $(ls /c)" && touch /c/one\nRUN ${mount},sharing=locked echo "two: $(ls /c)" && touch /c/two\n`
  const said = (...flags: readonly string[]) => {
    const { status, stderr } = shop.stave(['build', '-o', 'type=cacheonly', ...flags, context(`${text}LABEL n=${count}\n`)])
    expect([status, stderr]).toEqual([0, expect.any(String)])
    return [...stderr.matchAll(/^#\d+ (?:one|two): ?(.*)$/gm)].map(([, names]) => names)
  }
  expect(said('--no-cache')).toEqual(['', 'one'])
  expect(said()).toEqual([])
  expect(said('--no-cache')).toEqual(['', 'one'])
  // What was there before is not left behind.
  expect(readdirSync(join(shop.store, 'cache/mounts')).filter((name) => /^[0-9a-f]{64}-\d+/.test(name))).toEqual([])
})

describe('--ssh', () => {
  const noAgent = spawnSync('sh', ['-c', 'command -v ssh-agent ssh-keygen']).status === 0 ? '' : ' (skipped, because there is no ssh-agent)'

  test.skipIf(noAgent !== '')(`a key file: an agent has it for the time of the build, and RUN never sees it${noAgent}`, () => {
    const key = shop.path('key')
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
    const dockerfile = 'FROM base\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && echo a socket\n'
    expect(printed('', ['--ssh', `default=${key}`], dockerfile)).toBe('a socket')
    // The agent itself answers its own user alone; so the step is given another socket that leads to it.
    const mount = '--mount=type=ssh,required,uid=1000,gid=1001,mode=640'
    const asks = `FROM base\nUSER 1000:1001\nRUN ${mount} stat -c %a:%u:%g $SSH_AUTH_SOCK && /usr/bin/ssh-add -l\n`
    const host = ['/usr', '/lib', '/lib64'].flatMap((path) => (existsSync(path) ? ['-v', `${path}:${path}:ro`] : []))
    expect(printed('', ['--ssh', `default=${key}`, ...host], asks)).toMatch(/^640:1000:1001\n256 SHA256:\S+ .*ED25519/)
    expect(printed('', ['--ssh', `default=${key}`], dockerfile.replace('test -S', 'stat -c %a:%u:%g'))).toMatch(/^600:0:0\n/)
  })

  test.each(['k=/nonexist', 'k=/etc', 'k=/etc/passwd'])('%s is refused', (text) => {
    const { status, stderr } = shop.stave(['build', '--ssh', text, context('FROM base\nRUN true\n')])
    expect(status).not.toBe(0)
    expect(stderr).toMatch(/^error: .*(--ssh k=|SSH key)/)
  })
})

describe('the image', () => {
  test('--env, --unsetenv, --unsetlabel, --omit-history, --from', () => {
    const flags = ['--env', 'MORE=1', '--unsetenv', 'GONE', '--unsetlabel', 'base', '--omit-history', '--from', 'base']
    shop.must(['build', '-q', '-t', 'made', ...flags, context('FROM not-there AS a\nRUN test "$MORE$GONE" = 11\nFROM a\nLABEL own=1\n')])
    const { Config, History } = inspect('made')
    expect(Config.Env).toContain('MORE=1')
    expect(Config.Env.join(' ')).not.toContain('GONE')
    expect(Config.Labels).toEqual({ own: '1' })
    expect(History ?? []).toEqual([])
  })

  test('--ignorefile, in place of the one of the context', () => {
    const directory = context('FROM scratch\nCOPY . /\n', {
      '.dockerignore': 'a',
      other: 'b\nDockerfile\n.dockerignore\nother\n',
      a: 'a',
      b: 'b',
    })
    shop.must(['build', '-q', '-o', 'ignored', '--ignorefile', join(directory, 'other'), directory])
    expect(readdirSync(shop.path('ignored'))).toEqual(['a'])
  })

  test('--layers=false: one layer for what the build adds', () => {
    shop.must(['build', '-q', '--layers=false', '-t', 'one', context('FROM base\nRUN echo 1 > /1\nRUN echo 2 > /2\n')])
    const [image] = JSON.parse(shop.must(['inspect', 'one'])) as [{ RootFS: { Layers: string[] } }]
    expect(image.RootFS.Layers).toHaveLength(2)
  })

  test('one platform that is named twice is one image', () => {
    shop.must([
      'build',
      '-q',
      '--platform',
      'local,linux/amd64,linux/amd64',
      '--metadata-file',
      'm.json',
      context('FROM scratch\nCOPY Dockerfile /\n'),
    ])
    expect(readFileSync(shop.path('m.json'), 'utf8')).toContain('oci.image.manifest')
  })
})

describe('where it goes', () => {
  test('a layout and archives without a name have the image nevertheless', () => {
    const directory = context('FROM base\nRUN echo 1 > /1\n')
    shop.must(['build', '-q', '-o', 'type=oci,tar=false,dest=layout', directory])
    const index = JSON.parse(readFileSync(shop.path('layout/index.json'), 'utf8')) as { manifests: { digest: string }[] }
    expect(index.manifests).toHaveLength(1)
    const use = context('FROM scratch\nCOPY --from=l /1 /\n')
    for (const where of [shop.path('layout'), `${shop.path('layout')}@${index.manifests[0]!.digest}`])
      shop.must(['build', '-q', '-o', 'type=cacheonly', '--build-context', `l=oci-layout://${where}`, use])
    shop.must(['build', '-q', '-o', 'type=docker,dest=docker.tar', directory])
    expect(shop.must(['load', '-i', 'docker.tar'])).toMatch(/sha256:/)
  })

  test('--push with an image output pushes that one; push-by-digest leaves no tag', () => {
    const directory = context('FROM base\nRUN echo pushed > /p\n')
    shop.must(['build', '-q', '--push', '-o', `type=image,name=${registry.host}/n/m:1`, directory])
    expect(shop.must(['list-tags', `docker://${registry.host}/n/m`])).toContain('1')
    shop.must([
      'build',
      '-q',
      '-o',
      `type=registry,name=${registry.host}/by/digest,push-by-digest=true`,
      '--metadata-file',
      'd.json',
      directory,
    ])
    const metadata = JSON.parse(readFileSync(shop.path('d.json'), 'utf8')) as Record<string, string>
    expect(metadata['image.name']).toBe(`${registry.host}/by/digest@${metadata['containerimage.digest']}`)
    shop.must(['pull', '-q', metadata['image.name']!])
    expect(shop.stave(['list-tags', `docker://${registry.host}/by/digest`]).stdout).not.toContain('latest')
  })

  test('metadata: provenance, annotations of the descriptor, and no name where there is none', () => {
    // An index has entries for its images, and they are annotated: so it is one image alone here.
    const flags = ['--provenance', '--attest-storage', 'referrers', '--annotation', 'manifest-descriptor:a=b', '--metadata-file', 'p.json']
    shop.must(['build', '-q', ...flags, context('FROM base\n')])
    const metadata = JSON.parse(readFileSync(shop.path('p.json'), 'utf8')) as Record<string, unknown>
    expect(metadata).toMatchObject({
      'buildx.build.provenance': { buildDefinition: { buildType: expect.any(String) } },
      'containerimage.descriptor': { annotations: { a: 'b' } },
    })
    expect(metadata).not.toHaveProperty('image.name')
  })

  test('files alone are no image: no ID is printed and no iidfile written', () => {
    expect(shop.must(['build', '-q', '-o', 'files', '--iidfile', 'iid', context('FROM scratch\nCOPY Dockerfile /\n')])).toBe('')
    expect(existsSync(shop.path('iid'))).toBe(false)
  })

  test('--logfile: progress goes there', () => {
    const { stderr } = shop.stave(['build', '--no-cache', '--logfile', 'log', context('FROM base\nRUN echo told\n')])
    expect(stderr).not.toContain('told')
    expect(readFileSync(shop.path('log'), 'utf8')).toContain('#2 told')
  })

  test.each([
    ['--iidfile', '/nonexist/x'],
    ['--metadata-file', '/nonexist/x'],
    ['--logfile', '/nonexist/x'],
  ])('%s that cannot be written is told as such', (flag, file) => {
    const { status, stderr } = shop.stave(['build', '-q', flag, file, context('FROM base\n')])
    expect([status, stderr.split('\n')[0]]).toEqual([1, `error: cannot write ${file}`])
  })
})

describe('--call and check', () => {
  test.each(['outline', 'targets', 'check'])('--call=%s,format=json', (what) => {
    expect(JSON.parse(shop.must(['build', `--call=${what},format=json`, context('FROM base AS a\nARG X=1\n')]))).toBeTypeOf('object')
  })

  test('what the rules find is status 1 of a check, in each form, and none of a build', () => {
    const directory = context('FROM base AS A\nARG X=1\n')
    const ways = [
      ['check'],
      ['check', '--format', 'json'],
      ['check', '--format', 'sarif'],
      ['build', '--check'],
      ['build', '--call=check,format=json'],
    ]
    for (const words of ways) expect([words, shop.stave([...words, directory]).status]).toEqual([words, 1])
    shop.must(['build', '-q', directory])
  })

  test('check=error=true: a build fails for what the rules find, with what is known of its base', () => {
    const { status, stderr } = shop.stave(['build', context('# check=error=true\nFROM base\nENV a=$GONE b=$NOPE\n')])
    expect(status).toBe(1)
    expect(stderr).toContain('UndefinedVar: $NOPE is not defined')
    expect(stderr).not.toContain('$GONE is not')
    shop.must(['build', '-q', context('# check=error=true;skip=UndefinedVar\nFROM base\nENV a=$GONE b=$NOPE\n')])
  })

  test('InvalidBaseImagePlatform, of a base that the store has', () => {
    const directory = context('FROM base\n')
    const found = shop.stave(['build', '--check', '--platform', 'linux/arm64', directory])
    expect([found.status, found.stdout]).toEqual([1, expect.stringContaining('InvalidBaseImagePlatform')])
    expect(shop.must(['check', directory])).toContain('no warnings')
  })
})

test.each([
  [['--until', '99'], /cannot stop at "99"/],
  [['--secret', 'id=s,src=/nonexist'], /cannot read the secret "s" from \/nonexist/],
  [['-v', '/nonexist:/x'], /cannot give RUN \/nonexist/],
  [['--no-cache-filter', 'nope'], /warning: --no-cache-filter names what is no stage: nope/],
])('%j says what is wrong', (flags, expected) => {
  expect(shop.stave(['build', '-q', ...flags, context('FROM base\nRUN --mount=type=secret,id=s true\n')]).stderr).toMatch(expected)
})

test('--cache-ttl: what is older is made again', () => {
  const directory = context('FROM base\nRUN echo once\n')
  shop.must(['build', '-q', directory])
  const state = (flags: readonly string[]) =>
    /#2 (cached|done)/.exec(shop.stave(['build', '--progress', 'plain', ...flags, directory]).stderr)?.[1]
  expect(state(['--cache-ttl', '1h'])).toBe('cached')
  expect(state(['--cache-ttl', '1ns'])).toBe('done')
})

test('a cache that cannot be written is an error, unless it is said that it is none', () => {
  const to = 'type=registry,ref=127.0.0.1:1/x'
  const directory = context('FROM base\nRUN echo for the cache\n')
  expect(shop.stave(['build', '-q', '--cache-to', to, directory]).status).toBe(1)
  expect(shop.stave(['build', '-q', '--cache-to', `${to},ignore-error=false`, directory]).status).toBe(1)
  expect(shop.stave(['build', '-q', '--cache-to', `${to},ignore-error=true`, directory]).status).toBe(0)
})

test('a secret whose file is missing is an error, also where the step that asks for it is cached', () => {
  const directory = context('FROM base\nRUN --mount=type=secret,id=t true\n')
  writeFileSync(shop.path('there'), 'x')
  shop.must(['build', '-q', '--secret', 'id=t,src=there', directory])
  const outcome = shop.stave(['build', '-q', '--secret', 'id=t,src=missing', directory])
  expect([outcome.status, outcome.stderr]).toEqual([1, expect.stringContaining('cannot read the secret "t"')])
})

test('--iidfile without an image says that it writes nothing', () => {
  const { status, stderr } = shop.stave(['build', '-o', 'files2', '--iidfile', 'iid2', context('FROM scratch\nCOPY Dockerfile /\n')])
  expect([status, stderr]).toEqual([0, expect.stringContaining('--iidfile: nothing is written')])
})
