import type { Package } from './package.ts'
import { escaped } from '../purl.ts'

/** The section in which Go writes down what a program was made of. */
export const goSection = '.go.buildinfo'

const magic = Buffer.from('\xff Go buildinf:', 'latin1')
const headerBytes = 32
const isInline = 2

/**
 * The modules of a Go program. Programs of Go before 1.18 have them elsewhere, and none is found.
 *
 * @see Go, debug/buildinfo
 */
export function go(from: string, section: Buffer): readonly Package[] {
  if (!section.subarray(0, magic.length).equals(magic) || ((section[15] ?? 0) & isInline) === 0) return []
  const [version, next] = text(section, headerBytes)
  const [info] = text(section, next)
  // It lies between two marks of sixteen bytes each.
  const lines =
    info.length < 33
      ? []
      : info
          .subarray(16, info.length - 16)
          .toString()
          .split('\n')
  const modules = lines.map((line) => line.split('\t')).flatMap((fields, at, all) => moduleOf(fields, all[at + 1]))
  const standard = /^go(\d[^ ]*)/.exec(version.toString())?.[1]
  return [
    ...(standard === undefined ? [] : [named('stdlib', standard)]),
    ...modules.map(([name, moduleVersion]) => named(name, moduleVersion)),
  ].map((found) => ({ ...found, from }))
}

/** `mod` and `dep` name a module; a line `=>` below says what took its place. */
function moduleOf([kind, name, version]: readonly string[], next: readonly string[] | undefined): readonly [string, string][] {
  if ((kind !== 'mod' && kind !== 'dep') || !name || !version) return []
  const [mark, otherName, otherVersion] = next ?? []
  return mark === '=>' && otherName && otherVersion ? [[otherName, otherVersion]] : [[name, version]]
}

/** @see purl-spec, type golang */
function named(name: string, version: string): Omit<Package, 'from'> {
  const path = name.toLowerCase().split('/').map(escaped).join('/')
  return { name, version, url: `pkg:golang/${path}@${escaped(version)}` }
}

/** A text with its length before it, as a variable number of seven bits a byte. */
function text(bytes: Buffer, start: number): [Buffer, number] {
  let length = 0
  let at = start
  for (let shift = 0; shift < 35; shift += 7, at++) {
    const byte = bytes[at]
    if (byte === undefined) return [Buffer.alloc(0), at]
    length += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) return [bytes.subarray(at + 1, at + 1 + length), at + 1 + length]
  }
  return [Buffer.alloc(0), at]
}
