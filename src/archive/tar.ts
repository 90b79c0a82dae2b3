import { StaveError } from '#error.ts'

/**
 * Headers of tar, as POSIX (pax) and GNU have them, on blocks of bytes. Archives of images are read and written in
 * place, at offsets, many entries at a time; tar-stream can only go from front to back.
 */

export const blockBytes = 512

export interface Header {
  readonly name: string
  readonly size: number
  /** The type flag: `0` a file, `1` hard link, `2` symbolic link, `5` directory, `x` `g` pax, `L` `K` GNU. */
  readonly type: string
  readonly linkName: string
}

/**
 * Reads one block. `undefined` is a block of zeros, the end.
 *
 * @throws StaveError `invalid-document`
 * @see POSIX.1-2024, pax, "ustar Interchange Format"; GNU tar, "Basic Tar Format"
 */
export function parseHeader(block: Buffer, title: string): Header | undefined {
  if (block.every((byte) => byte === 0)) return undefined
  const expected = parseNumber(block.subarray(148, 156), title)
  let sum = 8 * 0x20
  for (let position = 0; position < blockBytes; position++) if (position < 148 || position >= 156) sum += block[position]!
  if (sum !== expected)
    throw new StaveError('invalid-document', `cannot read ${title}: it is not a tar archive, or damaged (checksum of a header)`)
  const name = text(block.subarray(0, 100))
  // GNU's own magic is `ustar` and two blanks; it uses the place of the prefix for other things.
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? text(block.subarray(345, 500)) : ''
  const flag = block[156] === 0 ? '0' : String.fromCharCode(block[156]!)
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size: parseNumber(block.subarray(124, 136), title),
    type: flag === '7' ? '0' : flag,
    linkName: text(block.subarray(157, 257)),
  }
}

/** The header of a file, with its pax header before it where the name is too long. */
export function encodeHeader(name: string, size: number): Buffer {
  if (Buffer.byteLength(name) <= 100) return encodeBlock(name, size, '0')
  const record = encodePaxRecord('path', name)
  const body = Buffer.alloc(paddedSize(record.length))
  record.copy(body)
  return Buffer.concat([encodeBlock('pax', record.length, 'x'), body, encodeBlock(name.slice(0, 100), size, '0')])
}

function encodeBlock(name: string, size: number, type: string): Buffer {
  const block = Buffer.alloc(blockBytes)
  block.write(name, 0, 100, 'utf8')
  block.write('0000644\0', 100, 'latin1')
  block.write('0000000\0', 108, 'latin1')
  block.write('0000000\0', 116, 'latin1')
  writeSize(block, size)
  // No time: an archive of the same images is the same bytes.
  block.write('00000000000\0', 136, 'latin1')
  block.write('        ', 148, 'latin1')
  block.write(type, 156, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function writeSize(block: Buffer, size: number): void {
  if (size < 8 ** 11) {
    block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
    return
  }
  // From 8 GiB on, GNU's binary form, which all readers know.
  block.fill(0, 124, 136)
  block.writeBigUInt64BE(BigInt(size), 128)
  block[124] = 0x80
}

/** The size that content takes in the archive: whole blocks. */
export function paddedSize(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes
}

/** Reads the records of a pax header: `17 path=some/name\n`. Unknown ones are kept, as all are only looked up. */
export function parsePax(bytes: Buffer, title: string): ReadonlyMap<string, string> {
  const records = new Map<string, string>()
  for (let position = 0; position < bytes.length;) {
    const space = bytes.indexOf(0x20, position)
    const length = space < 0 ? Number.NaN : Number(bytes.toString('latin1', position, space))
    const end = position + length
    const equals = bytes.indexOf(0x3d, space)
    if (!Number.isSafeInteger(length) || end > bytes.length || end <= space || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a)
      throw new StaveError('invalid-document', `cannot read ${title}: a pax header is damaged`)
    records.set(bytes.toString('utf8', space + 1, equals), bytes.toString('utf8', equals + 1, end - 1))
    position = end
  }
  return records
}

function encodePaxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest + String(rest).length
  // Its own digits count, too, and may make it longer by one.
  if (String(length).length + rest !== length) length = rest + String(length).length
  return Buffer.from(`${length} ${key}=${value}\n`)
}

function parseNumber(field: Buffer, title: string): number {
  if (field[0]! & 0x80) {
    let value = BigInt(field[0]! & 0x7f)
    for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte)
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new StaveError('invalid-document', `cannot read ${title}: a size in a header is impossible`)
    return Number(value)
  }
  const digits = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (!/^[0-7]*$/.test(digits))
    throw new StaveError('invalid-document', `cannot read ${title}: it is not a tar archive, or damaged (a number in a header)`)
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

/** Text up to the first NUL. */
export function text(field: Buffer): string {
  const end = field.indexOf(0)
  return field.toString('utf8', 0, end < 0 ? field.length : end)
}
