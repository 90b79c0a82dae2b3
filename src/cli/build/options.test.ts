import { describe, expect, test } from 'vitest'
import type { BuildOptions } from '#builder/options.ts'
import type { Values } from '../command.ts'
import { buildOptions } from './options.ts'
import { parseFlags } from '../parse.ts'
import type { Settings } from '../settings.ts'
import { commandNamed } from '../commands.ts'
import type { buildFlags } from './flags.ts'

const settings = { cwd: '/work', home: '/home/me', env: { TOKEN: 'from the environment' } } as unknown as Settings

function read(...words: readonly string[]): Partial<BuildOptions> {
  const { values } = parseFlags(commandNamed('build')!, {}, words)
  return buildOptions(values as unknown as Values<typeof buildFlags>, '.', settings)
}

describe('--output, --push, --load', () => {
  test.each<readonly [string[], Partial<BuildOptions>]>([
    [['-o', 'out'], { outputs: [{ type: 'local', dest: '/work/out' }] }],
    [['-o', '-'], { outputs: [{ type: 'tar', dest: '-' }] }],
    [['-o', 'type=tar'], { outputs: [{ type: 'tar', dest: '-' }] }],
    [['-o', 'type=oci'], { outputs: [{ type: 'oci', dest: '-' }] }],
    [['-o', 'type=oci,tar=false,dest=l'], { outputs: [{ type: 'oci', dest: '/work/l', tar: false }] }],
    [['-o', 'type=docker'], { outputs: [{ type: 'image' }] }],
    [['-o', 'type=docker,dest=a.tar,"name=a,b"'], { outputs: [{ type: 'docker', dest: '/work/a.tar', names: ['a', 'b'] }] }],
    [['-o', 'type=local,dest=o,platform-split=false'], { outputs: [{ type: 'local', dest: '/work/o', platformSplit: false }] }],
    [['--push'], { outputs: [{ type: 'image', push: true }] }],
    [['--push', '-o', 'type=image,name=a'], { outputs: [{ type: 'image', names: ['a'], push: true }] }],
    [['--push', '-o', 'type=registry,name=a'], { outputs: [{ type: 'registry', names: ['a'] }] }],
    [
      ['--push', '-o', 'o'],
      {
        outputs: [
          { type: 'local', dest: '/work/o' },
          { type: 'image', push: true },
        ],
      },
    ],
    [['--load', '-o', 'o'], { outputs: [{ type: 'local', dest: '/work/o' }, { type: 'image' }] }],
    [['-o', 'type=registry,name=a,push-by-digest=true'], { outputs: [{ type: 'registry', names: ['a'], byDigest: true }] }],
    [['-o', 'type=image,compression=zstd,compression-level=3'], { compression: 'zstd', compressionLevel: 3 }],
    [['-o', 'type=image,oci-mediatypes=false'], { format: 'docker' }],
    [['-o', 'type=image,force-compression=true'], { forceCompression: true }],
    [
      ['-o', 'type=image,annotation.a=b,annotation-index[linux/arm64].c=d'],
      {
        annotations: [
          { level: 'manifest', key: 'a', value: 'b' },
          { level: 'index', key: 'c', value: 'd', platform: 'linux/arm64' },
        ],
      },
    ],
  ])('%j', (words, expected) => {
    expect(read(...words)).toMatchObject(expected)
  })

  test.each([
    ['type=local', 'dest= is missing'],
    ['type=what', 'not understood'],
    ['type=image,compresion=zstd', 'there is no compresion'],
    ['type=image,compression=brotli', 'there is no compression brotli'],
    ['type=image,compression=gzip,compression-level=13', 'there is no compression level 13'],
    ['type=image,push=yes', 'push is true or false'],
    ['type=image,rewrite-timestamp=false', 'not possible'],
    ['type=local,dest=-', 'does not go to standard output'],
  ])('%s is refused', (text, message) => {
    expect(() => read('-o', text)).toThrow(message)
  })

  test('two outputs that want the image written in two ways', () => {
    expect(() => read('-o', 'type=image,compression=zstd', '-o', 'type=oci,compression=gzip,dest=x')).toThrow('another compression')
  })
})

describe('--secret', () => {
  test.each([
    ['id=a,src=f', { id: 'a', file: '/work/f' }],
    ['id=a,source=~/f', { id: 'a', file: '/home/me/f' }],
    ['type=file,id=TOKEN', { id: 'TOKEN', file: '/work/TOKEN' }],
    ['id=TOKEN', { id: 'TOKEN', value: Buffer.from('from the environment') }],
    ['id=a,env=TOKEN', { id: 'a', value: Buffer.from('from the environment') }],
    ['type=env,id=a,src=TOKEN', { id: 'a', value: Buffer.from('from the environment') }],
  ])('%s', (text, expected) => {
    expect(read('--secret', text).secrets).toEqual([expected])
  })

  test.each(['tok', 'src=f', 'id=a,type=blah', 'id=a,sorce=f', 'id=a,env=NOPE', 'id=a,src=f,env=TOKEN', ''])('%j is refused', (text) => {
    expect(() => read('--secret', text)).toThrow()
  })
})

describe('--cache-from, --cache-to', () => {
  test.each([
    ['from', 'a/b', { type: 'registry', ref: 'a/b', mode: 'max' }],
    ['from', 'type=local,src=d,digest=sha256:00', { type: 'local', path: '/work/d', tag: 'sha256:00' }],
    ['to', 'type=local,dest=d,tag=t', { type: 'local', path: '/work/d', tag: 't' }],
    [
      'to',
      'type=registry,ref=a,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true',
      { type: 'registry', ref: 'a', mode: 'max', optional: true },
    ],
    ['to', 'type=inline', { type: 'inline' }],
  ])('%s %s', (side, text, expected) => {
    const { cacheFrom, cacheTo } = read(`--cache-${side}`, text)
    expect(side === 'from' ? cacheFrom : cacheTo).toEqual([expected])
  })

  test.each([
    ['to', '', 'empty'],
    ['to', 'type=registry', 'not understood'],
    ['to', 'type=registry,ref=a,mode=some', 'there is no mode some'],
    ['to', 'type=registry,ref=a,compression=zstd', 'there is no compression'],
    ['to', 'type=gha,mode=max', 'there is no cache of type gha'],
    ['from', 'type=inline', 'there is no'],
  ])('%s %j is refused', (side, text, message) => {
    expect(() => read(`--cache-${side}`, text)).toThrow(message)
  })
})

test.each<readonly [string[], Partial<BuildOptions>]>([
  [['--arch', 'arm', '--variant', 'v7'], { platforms: ['linux/arm/v7'] }],
  [['--os', 'windows', '--arch', 'amd64'], { platforms: ['windows/amd64'] }],
  [['--platform', 'linux/amd64,local'], { platforms: ['linux/amd64', 'local'] }],
  [['--layers=false'], { noCache: true, squash: 'new' }],
  [['--squash=all', '--layers=false'], { squash: 'all' }],
  [
    ['--env', 'A=b', '--env', 'TOKEN', '--unsetenv', 'C', '--unsetlabel', 'l'],
    {
      env: [
        ['A', 'b'],
        ['TOKEN', 'from the environment'],
      ],
      without: { env: ['C'], labels: ['l'] },
    },
  ],
  [['--pull'], { pull: 'always' }],
  [['--pull=false'], { pull: 'missing' }],
  [['--pull-never'], { pull: 'never' }],
  [['--provenance=mode=max,version=v1'], { provenance: 'max' }],
  [['--attest', 'type=provenance,disabled=true'], { provenance: false }],
  [['--memory', '1g', '--cpu-quota', '50000'], { sandbox: { resources: { memoryBytes: 2 ** 30, cpus: 0.5 } } }],
  [['--resource', 'memory=64m,cpuset-cpus=0-1'], { sandbox: { resources: { memoryBytes: 2 ** 26, cpusetCpus: '0-1' } } }],
  [
    ['--dns', '1.1.1.1', '--dns-search', 'x', '--no-hosts'],
    { sandbox: { resolver: { nameserver: ['1.1.1.1'], search: ['x'] }, ownHosts: true } },
  ],
  [['-v', './d:/x:ro'], { sandbox: { binds: [{ source: '/work/d', target: '/x', readonly: true }] } }],
  [['--security-opt', 'seccomp=unconfined'], { sandbox: { seccomp: 'unconfined' } }],
])('%j', (words, expected) => {
  expect(read(...words)).toMatchObject(expected)
})

test('what stands for nothing is not said', () => {
  expect(read()).not.toHaveProperty('sandbox')
  expect(read()).not.toHaveProperty('outputs')
})

test.each([
  ['--jobs=-1', '--jobs'],
  ['--jobs=1.5', '--jobs'],
  ['--cpus=-1', '--cpus'],
  ['--compression-level=99', 'compression level 99'],
  ['--build-context=c', '--build-context'],
  ['--annotation=bogus:a=b', 'there is no level "bogus"'],
  ['--variant=v7', '--arch'],
  ['--volume=name:/x', 'no volumes'],
  ['--cpuset-cpus=all', '--cpuset-cpus'],
  ['--sbom=generator=x', '--sbom'],
  ['--provenance=mode=most', 'there is no mode most'],
  ['--isolation=magic', '--isolation'],
])('%s is refused', (word, message) => {
  expect(() => read(word)).toThrow(message)
})
