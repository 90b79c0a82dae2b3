/** `stave cp` into containers, by docker's rules. What is copied out of them is in containers.test.ts. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('copy-in')
const copy = (...words: readonly string[]) => shop.stave(['cp', ...words])
const inside = (script: string) => shop.must(['exec', 'box', 'sh', '-c', script])

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
  mkdirSync(shop.path('site/pages'), { recursive: true })
  writeFileSync(shop.path('site/index'), 'index')
  writeFileSync(shop.path('site/pages/one'), 'one')
  chmodSync(shop.path('site/pages'), 0o750)
  symlinkSync('index', shop.path('site/link'))
  const prepare =
    'ln -s /tmp /short; ln -s ../../../../etc/passwd /out; mkdir -p /there/sub; echo old >/file; mkfifo /fifo; rm -r /root; touch /ready; sleep 1000'
  shop.must(['run', '-d', '--name', 'box', '--network', 'none', '-v', 'data:/data', '--tmpfs', '/mem', 'base', 'sh', '-c', prepare])
  inside('until [ -e /ready ]; do sleep 0.1; done')
})
afterAll(() => shop[Symbol.dispose]())

describe('into a container that runs', () => {
  test('a file: under a new name, over an old one, into a directory, through a link', () => {
    for (const target of ['/new', '/file', '/there', '/short/', '/data', '/mem'])
      expect(copy('site/index', `box:${target}`), target).toMatchObject({ status: 0, stderr: '' })
    expect(inside('cat /new /file /there/index /tmp/index /data/index /mem/index')).toBe('index'.repeat(6))
    expect(inside('stat -c %u:%g:%a /new')).toBe('0:0:644')
  })

  test('a directory: as the new one, into one that is there, or what is in it', () => {
    expect(copy('site', 'box:/made').status).toBe(0)
    expect(copy('site', 'box:/there').status).toBe(0)
    expect(copy('site/.', 'box:/there/sub').status).toBe(0)
    expect(inside('cat /made/index /there/site/pages/one /there/sub/pages/one')).toBe('indexoneone')
    expect(inside('stat -c %a /made/pages; readlink /made/link')).toBe('750\nindex')
  })

  test('a link is copied as it is; -L copies what it leads to', () => {
    expect(copy('site/link', 'box:/asis').status).toBe(0)
    expect(copy('-L', 'site/link', 'box:/followed').status).toBe(0)
    expect(inside('readlink /asis; readlink /followed || cat /followed')).toBe('index\nindex')
  })

  test('a link in the container leads nowhere outside', () => {
    expect(copy('site/index', 'box:/out').status).toBe(0)
    expect(inside('cat /etc/passwd')).toBe('index')
  })

  test('a FIFO is replaced and not written to', () => {
    expect(copy('site/index', 'box:/fifo').status).toBe(0)
    expect(inside('test -f /fifo && cat /fifo')).toBe('index')
  })

  test('a tar from standard input, with its owners', () => {
    const { stdout: tar } = spawnSync('tar', ['-c', '--owner=7:7', '--group=8:8', '-C', shop.path('site'), 'index'])
    expect(shop.stave(['cp', '-', 'box:/there/sub'], { input: tar })).toMatchObject({ status: 0, stderr: '' })
    expect(inside('stat -c %u:%g /there/sub/index')).toBe('7:8')
    expect(shop.stave(['cp', '-', 'box:/tmp'], { input: 'no tar' })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('not a tar') as string,
    })
  })

  test.each([
    ['site/index', '/no/such', 'there is no directory /no'],
    ['site/index', '/nosuch/', 'there is no directory /nosuch'],
    ['site', '/file', 'not a directory'],
    ['site/index/', '/x', 'not a directory'],
    ['nosuch', '/x', 'there is no such file'],
  ])('%s to %s is refused', (source, target, why) => {
    inside('echo old > /file')
    expect(copy(source, `box:${target}`)).toMatchObject({ status: 1, stderr: expect.stringContaining(why) as string })
    expect(inside('cat /file')).toBe('old')
  })

  test('one side names a container', () => {
    expect(copy('box:/a', 'box:/b')).toMatchObject({ status: 2, stderr: expect.stringContaining('both sides') as string })
    expect(copy('./a', './b').status).toBe(2)
  })
})

test('a volume is exported as a tar, and a tar imported into one', () => {
  for (const name of ['full', 'filled']) shop.must(['volume', 'create', name])
  const look = (script: string) =>
    shop.must(['run', '--rm', '--network', 'none', '-v', 'full:/full', '-v', 'filled:/filled', 'base', 'sh', '-c', script])
  look('mkdir /full/d; echo kept > /full/d/file; chown -R 5:6 /full/d; echo beside > /filled/other')
  shop.must(['volume', 'export', 'full', '-o', 'full.tar'])
  expect(spawnSync('tar', ['-tf', shop.path('full.tar')], { encoding: 'utf8' }).stdout).toContain('d/file')
  shop.must(['volume', 'import', 'filled', 'full.tar'])
  expect(look('cat /filled/d/file /filled/other; stat -c %u:%g /filled/d/file')).toBe('kept\nbeside\n5:6')
  expect(shop.stave(['volume', 'import', 'filled'], { input: 'no tar' })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('not a tar') as string,
  })
  expect(shop.stave(['volume', 'import', 'nosuch', 'full.tar']).status).toBe(1)
})

test('into one that does not run: its own tree and its volumes; where it has removed a directory, the old one stays hidden', () => {
  shop.must(['kill', 'box'])
  shop.must(['wait', 'box'])
  expect(copy('site/index', 'box:/stopped')).toMatchObject({ status: 0, stderr: '' })
  expect(copy('site', 'box:/bin')).toMatchObject({ status: 0, stderr: '' })
  expect(copy('site', 'box:/root')).toMatchObject({ status: 0, stderr: '' })
  expect(copy('site/index', 'box:/data/late')).toMatchObject({ status: 0, stderr: '' })
  expect(copy('site/index', 'box:/mem/late')).toMatchObject({ status: 1, stderr: expect.stringContaining('only while it runs') as string })
  shop.must(['commit', '-q', 'box', 'result'])
  const look = ['run', '--rm', '--network', 'none', '-v', 'data:/data', 'result', 'sh', '-c']
  expect(shop.must([...look, 'cat /stopped /bin/site/index /root/pages/one /data/late; ls /bin/sh; ls /root'])).toBe(
    'indexindexoneindex/bin/sh\nindex\nlink\npages',
  )
})
