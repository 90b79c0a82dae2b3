import { deflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { go } from './go.ts'
import { rust } from './rust.ts'

/** As Go's linker writes it since 1.18. */
function buildInfo(version: string, modules: string): Buffer {
  const text = (content: Buffer): Buffer => {
    const length: number[] = []
    let rest = content.length
    for (; rest >= 0x80; rest >>= 7) length.push((rest & 0x7f) | 0x80)
    return Buffer.concat([Buffer.from([...length, rest]), content])
  }
  const mark = Buffer.alloc(16, 0x30)
  const head = Buffer.alloc(32)
  head.write('\xff Go buildinf:', 'latin1')
  head[14] = 8
  head[15] = 2
  return Buffer.concat([head, text(Buffer.from(version)), text(Buffer.concat([mark, Buffer.from(modules), mark]))])
}

const modules = `path\texample.com/cmd
mod\texample.com/cmd\t(devel)\t
dep\tgithub.com/Azure/x\tv1.2.3\th1:abc=
dep\tgolang.org/x/old\tv0.1.0
=>\tgolang.org/x/new\tv0.2.0\th1:def=
build\t-compiler=gc
`

test('the modules of a Go program, replaced ones by what replaced them', () => {
  expect(go('/bin/p', buildInfo('go1.26.0', modules)).map(({ url, from }) => [url, from])).toEqual([
    ['pkg:golang/stdlib@1.26.0', '/bin/p'],
    ['pkg:golang/example.com/cmd@(devel)', '/bin/p'],
    ['pkg:golang/github.com/azure/x@v1.2.3', '/bin/p'],
    ['pkg:golang/golang.org/x/new@v0.2.0', '/bin/p'],
  ])
})

test('of every part of one, and of noise, something or nothing, and no fault', () => {
  const whole = buildInfo('go1.26.0', modules)
  for (let length = 0; length < whole.length; length++) expect(() => go('/p', whole.subarray(0, length))).not.toThrow()
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole)
    bytes[at] = 0xff
    expect(() => go('/p', bytes)).not.toThrow()
  }
})

test('the crates of a Rust program, without those that only build it', () => {
  const document = {
    packages: [
      { name: 'adler', version: '1.0.2', source: 'crates.io' },
      { name: 'cc', version: '1.0.0', source: 'crates.io', kind: 'build' },
      { name: 'main', version: '0.1.0', source: 'local', root: true },
      { name: 7 },
      undefined,
    ],
  }
  expect(rust('/bin/p', deflateSync(JSON.stringify(document))).map(({ url }) => url)).toEqual([
    'pkg:cargo/adler@1.0.2',
    'pkg:cargo/main@0.1.0',
  ])
})

test.each([
  ['no zlib', Buffer.from('x')],
  ['no JSON', deflateSync('x')],
  ['no object', deflateSync('null')],
  ['no list', deflateSync('{"packages":{}}')],
  ['what grows without end', deflateSync(Buffer.alloc(32 * 1024 * 1024))],
])('%s in the place of crates is none', (_name, section) => {
  expect(rust('/p', section)).toEqual([])
})
