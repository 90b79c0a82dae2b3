/** The command line of kaniko's executor, as CI templates write it. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, embeddedRegistry, workshop } from './stave.ts'

const shop = workshop('kaniko')
let registry: Awaited<ReturnType<typeof embeddedRegistry>>
let context: string

beforeAll(async () => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
  registry = await embeddedRegistry(shop)
  context = shop.path('context')
  mkdirSync(join(context, 'sub'), { recursive: true })
  writeFileSync(join(context, 'Dockerfile'), 'FROM base\nARG A=1\nRUN echo $A > /a\nCOPY . /src\n')
  writeFileSync(join(context, 'sub/Dockerfile'), 'FROM scratch\nCOPY . /\n')
  writeFileSync(join(context, 'sub/only'), 'only')
  spawnSync('tar', ['-czf', shop.path('context.tgz'), '-C', context, '.'])
})
afterAll(() => {
  registry.process.kill()
  shop[Symbol.dispose]()
})

test('pushes to every destination, and writes the digests down', () => {
  const [one, two] = [`${registry.host}/k/one:1`, `${registry.host}/k/two:2`]
  const files = ['--digest-file', 'd', '--image-name-with-digest-file', 'n', '--image-name-tag-with-digest-file', 't']
  shop.must(['kaniko', `--context=dir://${context}`, `--destination=${one}`, '-d', two, '--build-arg=A=2', ...files])
  const read = (name: string): string => readFileSync(shop.path(name), 'utf8')
  const digest = read('d')
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
  expect(read('n')).toBe([one, two].map((name) => `${name.replace(/:\d$/, '')}@${digest}\n`).join(''))
  expect(read('t')).toBe([one, two].map((name) => `${name}@${digest}\n`).join(''))
  shop.must(['pull', '-q', two])
})

describe('contexts', () => {
  const layout = ['--no-push', '--destination', 'x', '--oci-layout-path']
  const files = (directory: string): string => {
    shop.must(['copy', '-q', `oci:${shop.path(directory)}:x`, `store:${directory}`])
    const dockerfile = shop.path(`${directory}.Dockerfile`)
    writeFileSync(dockerfile, `FROM ${directory}\n`)
    shop.must(['build', '-q', '-f', dockerfile, '-o', `type=tar,dest=${directory}.tar`, '.'])
    return spawnSync('tar', ['-tf', shop.path(`${directory}.tar`)], { encoding: 'utf8' }).stdout
  }

  test.each([
    ['dir://', () => `dir://${context}`],
    ['a path', () => context],
    ['tar://', () => `tar://${shop.path('context.tgz')}`],
  ])('--context-sub-path of %s', (title, where) => {
    const name = `layout-${title.replace(/\W/g, '')}`
    shop.must(['kaniko', '-c', where(), '--context-sub-path', 'sub', ...layout, name])
    expect(files(name)).toMatch(/^only$/m)
  })

  test('tar://stdin, and a Dockerfile from standard input', () => {
    const tar = readFileSync(shop.path('context.tgz'))
    shop.must(['kaniko', '--context', 'tar://stdin', '--no-push', '--tar-path', 'k.tar', '-d', 'k:1'], { input: tar })
    expect(shop.must(['load', '-i', 'k.tar'])).toContain('k:1')
    shop.must(['kaniko', '--context', context, '--dockerfile', '-', '--no-push'], { input: 'FROM base\nCOPY sub/only /\n' })
  })

  test.each([
    [['--context', 's3://bucket/x', '--no-push'], 'there is no support for s3://'],
    [['--context', 'dir:///nonexist', '--no-push'], '/nonexist'],
    [['--context', '.', '--git', 'branch=x', '--no-push'], '--git needs a git:// context'],
    [['--context', '.'], '--destination is missing'],
    [['--context', '.', '--no-push', '--registry-certificate', 'h=/x'], 'cannot read /x'],
  ])('%j is refused', (flags, message) => {
    const { status, stderr } = shop.stave(['kaniko', ...flags])
    expect(status).not.toBe(0)
    expect(stderr).toContain(message)
  })
})

test('--cache with a repository, or a layout; --no-push is about the image alone', () => {
  const where = [`${registry.host}/k/cache`, `oci:${shop.path('cache')}`]
  for (const repo of where) {
    const flags = ['kaniko', '--context', context, '--no-push', '--cache', '--cache-repo', repo, '--build-arg', `A=${where.indexOf(repo)}`]
    shop.must(flags)
    const store = shop.path(`other${where.indexOf(repo)}`)
    shop.must(['import', '-q', busyboxTar(), 'base'], { store })
    const { stderr } = shop.stave(flags, { store })
    expect(stderr).toMatch(/RUN echo \$A > \/a\n#\d cached/)
    expect(stderr).not.toContain('cannot use the cache')
  }
})

test.each([
  [['--compression-level', '-1']],
  [['--compression-level=-1', '--compression=zstd']],
  [['--whitelist-var-run', '--ignore-var-run=false', '--initial-fs-unpacked']],
  [['--skip-tls-verify-registry', 'r.example', '--insecure-registry=r.example:5000', '--skip-default-registry-fallback']],
  [
    [
      '--cleanup',
      '--force',
      '--use-new-run',
      '--snapshot-mode=redo',
      '--cache-copy-layers',
      '--cache-run-layers=false',
      '--log-format=text',
    ],
  ],
  [
    [
      '--image-fs-extract-retry',
      '3',
      '--image-download-retry=2',
      '--push-retry=1',
      '--skip-unused-stages',
      '--log-timestamp',
      '-v',
      'info',
    ],
  ],
  [['--ignore-path=/x', '--kaniko-dir', '/kaniko', '--compressed-caching=false', '--cache-dir=/cache', '--skip-push-permission-check']],
])('what pipelines write is understood: %j', (flags) => {
  shop.must(['kaniko', '--context', context, '--no-push', ...flags])
})

test('mirrors are asked first', () => {
  const { host } = registry
  shop.must(['tag', 'base', `${host}/mirror/library/only-there:1`])
  shop.must(['push', '-q', `${host}/mirror/library/only-there:1`])
  const dockerfile = shop.path('mirrored')
  writeFileSync(dockerfile, 'FROM only-there:1 AS hub\nFROM quay.invalid/library/only-there:1\nCOPY --from=hub /bin/sh /sh\n')
  const flags = [
    '--registry-mirror',
    `${host}/mirror`,
    '--registry-map',
    `quay.invalid=${host}/mirror;gcr.io=x`,
    '--insecure-registry',
    host,
  ]
  shop.must(['kaniko', '--context', context, '--dockerfile', dockerfile, '--no-push', ...flags])
})
