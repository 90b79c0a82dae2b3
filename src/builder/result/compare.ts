import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { extract } from 'tar-stream'
import type { Context } from '#context.ts'
import type { Bytes, Source } from '#image/content.ts'
import type { Image } from '#image/image.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { compressionOf } from '#oci/media-type.ts'

/** What an entry of a layer is, field by field. */
type Entry = Readonly<Record<string, string>>

/** The first difference between two images, as sentences that name the file and the field. Empty: they are the same. */
export async function compareImages(cx: Context, source: Source, a: Image, b: Image): Promise<string[]> {
  const [first, second] = [await a.config(cx), await b.config(cx)]
  const count = Math.min(a.manifest.layers.length, b.manifest.layers.length)
  for (let index = 0; index < count; index++) {
    const [layerA, layerB] = [a.manifest.layers[index]!, b.manifest.layers[index]!]
    if (layerA.digest === layerB.digest) continue
    const made = (first.history ?? []).filter(({ empty_layer: isEmpty }) => isEmpty !== true)[index]?.created_by
    const found = await compareLayers(cx, source, layerA, layerB)
    return [`layer ${index + 1}${made === undefined ? '' : ` (${made})`}: ${found ?? 'the same files, compressed or ordered differently'}`]
  }
  if (a.manifest.layers.length !== b.manifest.layers.length)
    return [`one has ${a.manifest.layers.length} layers, the other ${b.manifest.layers.length}`]
  return compareValues('config', first, second).slice(0, 1)
}

/** The first entry that differs. Both layers are read side by side, one entry at a time. */
async function compareLayers(cx: Context, source: Source, a: Descriptor, b: Descriptor): Promise<string | undefined> {
  const [left, right] = [entries(cx, source, a), entries(cx, source, b)]
  try {
    for (;;) {
      const [one, other] = [await left.next(), await right.next()]
      if (one.done === true && other.done === true) return undefined
      if (one.done === true || other.done === true) return `only one of them has ${String((one.value ?? other.value)?.['name'])}`
      const [entry] = compareEntries(one.value, other.value)
      if (entry !== undefined) return entry
    }
  } finally {
    await Promise.all([left.return(undefined), right.return(undefined)])
  }
}

function compareEntries(a: Entry, b: Entry): string[] {
  if (a['name'] !== b['name']) return [`${a['name']} in one where the other has ${b['name']}`]
  const fields = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...fields]
    .filter((field) => a[field] !== b[field])
    .map((field) => `/${a['name']}: ${field} is ${a[field] ?? 'absent'} and ${b[field] ?? 'absent'}`)
}

async function* entries(cx: Context, source: Source, layer: Descriptor): AsyncGenerator<Entry, void, undefined> {
  const archive = extract()
  const compression = compressionOf(layer.mediaType)
  const input = await source.open(cx, layer)
  const unpack = compression === 'gzip' ? [createGunzip()] : compression === 'zstd' ? [createZstdDecompress()] : []
  // Its failure is thrown by the iteration below.
  pipeline([input, ...unpack, archive] as unknown as [Bytes, NodeJS.WritableStream], () => {})
  for await (const entry of archive) {
    const { header } = entry
    const hash = createHash('sha256')
    for await (const chunk of entry) hash.update(chunk as Uint8Array)
    const extended = Object.entries(header.pax ?? {}).map(([key, value]) => [key, String(value)])
    yield {
      name: header.name,
      type: header.type ?? 'file',
      mode: (header.mode ?? 0).toString(8),
      uid: String(header.uid ?? 0),
      gid: String(header.gid ?? 0),
      mtime: header.mtime?.toISOString() ?? '',
      size: String(header.size ?? 0),
      target: header.linkname ?? '',
      content: hash.digest('hex').slice(0, 16),
      ...Object.fromEntries(extended),
    }
  }
}

function compareValues(path: string, a: unknown, b: unknown): string[] {
  if (JSON.stringify(a) === JSON.stringify(b)) return []
  const isTree = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
  if (!isTree(a) || !isTree(b)) return [`${path} is ${JSON.stringify(a)} and ${JSON.stringify(b)}`]
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...keys].flatMap((key) => compareValues(`${path}.${key}`, a[key], b[key]))
}
