import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { decodeConfig, type ImageConfig } from '#oci/config.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { createHasher, digestAlgorithm, digestOf, type Digest } from '#oci/digest.ts'
import { decodeManifest } from '#oci/manifest.ts'
import { compressionOf, isConfig, isForeignLayer, isLayer } from '#oci/media-type.ts'
import { formatPlatform, matchPlatform } from '#oci/platform.ts'
import type { Bytes } from './content.ts'
import { decompress } from './decompress.ts'
import type { Image } from './image.ts'
import { observed } from './read.ts'

/** Something that is wrong with an image. */
export interface Problem {
  /** What it is about: `manifest`, `config`, `layer 3`, `history`, `platform`. */
  readonly subject: string
  readonly message: string
}

/**
 * Reads all of an image and hashes it again: manifest, config, each layer as it is and decompressed; and compares what
 * these say about each other. An empty list is a sound image. It trusts no place: what is verified there is verified here.
 */
export async function validate(cx: Context, image: Image): Promise<readonly Problem[]> {
  const problems: Problem[] = []
  const report = (subject: string, message: string): void => {
    problems.push({ subject, message })
  }
  checkManifest(image, report)
  const config = await checkConfig(cx, image, report)
  const { layers } = image.manifest
  const diffIds = config?.rootfs.diff_ids ?? []
  if (config !== undefined) {
    if (diffIds.length !== layers.length) report('config', `has ${diffIds.length} diff ids for ${layers.length} layers`)
    checkHistory(config, layers.length, report)
    checkPlatform(image.descriptor, config, report)
  }
  for (const [position, layer] of layers.entries()) {
    cx.signal.throwIfAborted()
    await checkLayer(cx, image, layer, diffIds[position], (message) => report(`layer ${position + 1}`, message))
  }
  return problems
}

type Report = (subject: string, message: string) => void

function checkManifest(image: Image, report: Report): void {
  const { descriptor, raw } = image
  if (raw.length !== descriptor.size) report('manifest', `has ${raw.length} bytes instead of ${descriptor.size}`)
  const digest = digestOf(raw, digestAlgorithm(descriptor.digest))
  if (digest !== descriptor.digest) report('manifest', `has the digest ${digest} instead of ${descriptor.digest}`)
  try {
    const decoded = decodeManifest(raw, { mediaType: descriptor.mediaType })
    if (JSON.stringify(decoded) !== JSON.stringify(image.manifest)) report('manifest', 'is not what its bytes say')
  } catch (error) {
    report('manifest', messageOf(error))
  }
}

async function checkConfig(cx: Context, image: Image, report: Report): Promise<ImageConfig | undefined> {
  const { config } = image.manifest
  if (!isConfig(config.mediaType)) {
    report('config', `has the media type ${config.mediaType}, which is not that of an image`)
    return undefined
  }
  try {
    const hashed = await hash(await image.source.open(cx, config), config)
    compareHashes(hashed, config, (message) => report('config', message))
    return decodeConfig(await image.rawConfig(cx), config.digest)
  } catch (error) {
    cx.signal.throwIfAborted()
    report('config', messageOf(error))
    return undefined
  }
}

function checkHistory(config: ImageConfig, layers: number, report: Report): void {
  // The specification leaves history optional; if it is there, it must tell about each layer.
  if (config.history === undefined) return
  const made = config.history.filter((line) => line.empty_layer !== true).length
  if (made !== layers) report('history', `tells of ${made} layers, but there are ${layers}`)
}

function checkPlatform(descriptor: Descriptor, config: ImageConfig, report: Report): void {
  const { platform } = descriptor
  if (platform === undefined || (matchPlatform(platform, config) && matchPlatform(config, platform))) return
  report('platform', `is ${formatPlatform(platform)} in the descriptor, but ${formatPlatform(config)} in the config`)
}

async function checkLayer(
  cx: Context,
  image: Image,
  layer: Descriptor,
  diffId: Digest | undefined,
  report: (message: string) => void,
): Promise<void> {
  if (isForeignLayer(layer.mediaType) && (layer.urls?.length ?? 0) > 0) return
  if (!isLayer(layer.mediaType)) report(`has the media type ${layer.mediaType}, which is not that of a layer`)
  try {
    const compressed = createHasher(digestAlgorithm(layer.digest))
    const plain = createHasher(diffId === undefined ? 'sha256' : digestAlgorithm(diffId))
    const bytes = observed(await image.source.open(cx, layer), (chunk) => compressed.update(chunk))
    for await (const chunk of decompress(cx, bytes, compressionOf(layer.mediaType))) plain.update(chunk)
    compareHashes({ size: compressed.size, digest: compressed.digest() }, layer, report)
    const digest = plain.digest()
    if (diffId !== undefined && digest !== diffId) report(`is ${digest} when decompressed, but its diff id is ${diffId}`)
    // A tar file is whole blocks of 512 bytes and at least the two that end it; an empty layer was seen, too.
    if (plain.size % 512 !== 0) report(`has ${plain.size} bytes when decompressed, which is no tar file`)
  } catch (error) {
    cx.signal.throwIfAborted()
    report(messageOf(error))
  }
}

interface Hashed {
  readonly size: number
  readonly digest: Digest
}

async function hash(bytes: Bytes, what: Descriptor): Promise<Hashed> {
  const hasher = createHasher(digestAlgorithm(what.digest))
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > limit.configBytes) throw new StaveError('too-large', `has more than ${limit.configBytes} bytes`)
    hasher.update(chunk)
  }
  return { size, digest: hasher.digest() }
}

function compareHashes(hashed: Hashed, what: Descriptor, report: (message: string) => void): void {
  if (hashed.size !== what.size) report(`has ${hashed.size} bytes instead of ${what.size}`)
  if (hashed.digest !== what.digest) report(`has the digest ${hashed.digest} instead of ${what.digest}`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
