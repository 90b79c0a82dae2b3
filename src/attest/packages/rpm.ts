import type { Package, Release } from './package.ts'
import { systemUrl } from '../purl.ts'

/** Tags of an RPM header that are wanted. @see rpm, "Header tags" */
const tags: Readonly<Record<number, 'name' | 'version' | 'release' | 'epoch' | 'license' | 'vendor' | 'arch'>> = {
  1000: 'name',
  1001: 'version',
  1002: 'release',
  1003: 'epoch',
  1011: 'vendor',
  1014: 'license',
  1022: 'arch',
}

/** The packages of an RPM database (its sqlite form): each row of `Packages` is a header. */
export async function rpm(from: string, bytes: Buffer, release: Release): Promise<readonly Package[]> {
  const { DatabaseSync } = await import('node:sqlite')
  // Deserialised in memory: the file of the image is not opened, and nothing of it is executed.
  const database = new DatabaseSync(':memory:')
  try {
    if (!('deserialize' in database)) return []
    ;(database as unknown as { deserialize(bytes: Uint8Array): void }).deserialize(bytes)
    const rows = database.prepare('SELECT blob FROM Packages').all() as { blob: Uint8Array }[]
    return rows.flatMap(({ blob }) => {
      const header = parseHeader(Buffer.from(blob))
      const { name, version } = header
      if (!name || !version || name === 'gpg-pubkey') return []
      const full = header.release === undefined ? version : `${version}-${header.release}`
      return [
        {
          name,
          version: full,
          url: systemUrl('rpm', release, 'rpm', name, full, header.arch),
          from,
          ...(header.license !== undefined && { license: header.license }),
          ...(header.vendor !== undefined && { supplier: header.vendor }),
        },
      ]
    })
  } finally {
    database.close()
  }
}

/** Two counts, then entries of tag, type, offset and count, then the data. Big-endian. Every number is checked. */
export function parseHeader(blob: Buffer): Partial<Record<(typeof tags)[number], string>> {
  const result: Partial<Record<(typeof tags)[number], string>> = {}
  if (blob.length < 8) return result
  const entries = blob.readUInt32BE(0)
  const data = 8 + entries * 16
  if (data > blob.length) return result
  for (let at = 8; at < data; at += 16) {
    const field = tags[blob.readUInt32BE(at)]
    const type = blob.readUInt32BE(at + 4)
    const offset = data + blob.readUInt32BE(at + 8)
    // 6 is a string, 9 one for each language: the first.
    if (field !== undefined && (type === 6 || type === 9) && offset < blob.length) {
      const end = blob.indexOf(0, offset)
      result[field] = blob.toString('utf8', offset, end < 0 ? blob.length : end)
    }
  }
  return result
}
