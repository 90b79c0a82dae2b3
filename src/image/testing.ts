import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Context } from '#context.ts'
import type { Event } from '#event.ts'
import { digestOf } from '#oci/digest.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import { layerMediaType, type Compression, type Format } from '#oci/media-type.ts'
import { edit, makeIndex, type Addition } from './edit.ts'
import type { Image } from './image.ts'
import type { ImageIndex } from './index.ts'
import { memory, type Memory } from './memory.ts'

/** Small real images for the tests of everything that moves them. */

/** A context that keeps what is reported. */
export function recording(signal: AbortSignal = new AbortController().signal): Context & { readonly events: Event[] } {
  const events: Event[] = []
  return { signal, events, report: (event) => void events.push(event) }
}

/** A tar file with these files in it, by tar-stream, which knows nothing of Stave. */
export async function tarOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<Buffer> {
  const { pack } = await import('tar-stream')
  const tar = pack()
  for (const [name, content] of Object.entries(files)) tar.entry({ name, mtime: new Date(0) }, Buffer.from(content))
  tar.finalize()
  return Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Buffer>))
}

export async function sampleLayer(
  place: Memory,
  files: Readonly<Record<string, string | Uint8Array>>,
  compression: Compression = 'gzip',
  format: Format = 'oci',
): Promise<Addition & { readonly layer: { readonly descriptor: Descriptor } }> {
  const tar = await tarOf(files)
  const bytes = compression === 'gzip' ? gzipSync(tar) : compression === 'zstd' ? zstdCompressSync(tar) : tar
  const descriptor = place.put(bytes, layerMediaType(compression, format) ?? layerMediaType(compression)!)
  return { layer: { descriptor, diffId: digestOf(tar), source: place }, history: { created_by: `ADD ${Object.keys(files).join(' ')}` } }
}

export interface SampleOptions {
  readonly platform?: Platform
  readonly compression?: Compression
  readonly format?: Format
  /** Makes this image another one than others. */
  readonly seed?: string
}

/** An image of two layers that nothing else has and one that all samples share. */
export async function sampleImage(cx: Context, options: SampleOptions = {}): Promise<Image> {
  const place = memory('samples')
  const { seed = 'seed', compression = 'gzip', format = 'oci', platform = { os: 'linux', architecture: 'amd64' } } = options
  return edit(cx, undefined, {
    platform,
    format,
    created: '2024-05-06T07:08:09Z',
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'], ExposedPorts: { '80/tcp': {} } },
    labels: { seed },
    add: [
      await sampleLayer(place, { 'etc/shared': 'shared' }, compression, format),
      { history: { created_by: 'ENV PATH=/bin' } },
      await sampleLayer(place, { [`bin/${seed}`]: Buffer.alloc(100_000, seed) }, compression, format),
      await sampleLayer(place, { [`etc/${seed}`]: platform.architecture }, compression, format),
    ],
  })
}

/** An index of two platforms, with an attestation of the first. */
export async function sampleIndex(cx: Context, options: SampleOptions = {}): Promise<ImageIndex & { readonly images: readonly Image[] }> {
  const images = [
    await sampleImage(cx, { ...options, platform: { os: 'linux', architecture: 'amd64' } }),
    await sampleImage(cx, { ...options, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }),
  ]
  const place = memory('attestations')
  const config = place.put(
    Buffer.from('{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}'),
    'application/vnd.oci.image.config.v1+json',
  )
  const layer = place.put(Buffer.from('{"_type":"https://in-toto.io/Statement/v1"}'), 'application/vnd.in-toto+json')
  const attestation = place.put(
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers: [layer] })),
    'application/vnd.oci.image.manifest.v1+json',
  )
  const index = makeIndex([
    ...images,
    {
      descriptor: attestation,
      source: place,
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': images[0]!.descriptor.digest },
    },
  ])
  return { ...index, images }
}

/** Puts a manifest into a place that refers to another: a signature, say. */
export function putReferrer(place: Memory, subject: Descriptor, type: string): Descriptor {
  const config = place.put(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json')
  const layer = place.put(Buffer.from(`${type} of ${subject.digest}`), type)
  const { mediaType, digest, size } = subject
  return place.put(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        artifactType: type,
        config,
        layers: [layer],
        subject: { mediaType, digest, size },
      }),
    ),
    'application/vnd.oci.image.manifest.v1+json',
  )
}
