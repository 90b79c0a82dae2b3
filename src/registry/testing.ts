import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { randomBytes } from 'node:crypto'
import type { Context } from '#context.ts'
import type { Event } from '#event.ts'
import type { Bytes } from '#image/content.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { parseReference } from '#oci/reference.ts'
import { createRegistryClient, type Registry, type RegistryClient, type RegistryOptions } from './client/registry.ts'
import { type RegistryServer, serve, type ServedRequest, type ServeOptions } from './server/server.ts'

/** Content and its descriptor. */
export interface Sample {
  readonly what: Descriptor
  readonly raw: Uint8Array
}

export function sample(mediaType: string, raw: Uint8Array): Sample {
  return { what: { mediaType, digest: digestOf(raw), size: raw.length }, raw }
}

export function layerOf(size: number): Sample {
  return sample(mediaTypes.ociLayer, randomBytes(size))
}

export function configOf(text = ''): Sample {
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] }, history: [{ comment: text }] }
  return sample(mediaTypes.ociConfig, Buffer.from(JSON.stringify(config)))
}

export function manifestOf(config: Sample, layers: readonly Sample[], more: object = {}): Sample {
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: config.what,
    layers: layers.map((layer) => layer.what),
    ...more,
  }
  return sample(mediaTypes.ociManifest, Buffer.from(JSON.stringify(manifest)))
}

export function indexOf(manifests: readonly Sample[]): Sample {
  return sample(
    mediaTypes.ociIndex,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: manifests.map(({ what }) => what) })),
  )
}

/** A stream in pieces, so that something can happen in between. */
export async function* bytesOf(raw: Uint8Array, from = 0, piece = 64 * 1024): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = from; at < raw.length; at += piece) yield raw.subarray(at, at + piece)
}

export async function collect(bytes: Bytes): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Puts an image with one layer under a name. */
export async function pushImage(
  cx: Context,
  to: Registry,
  name: string,
  layer = layerOf(1000),
): Promise<{ config: Sample; layer: Sample; manifest: Sample }> {
  const config = configOf(name)
  const manifest = manifestOf(config, [layer])
  for (const { what, raw } of [layer, config, manifest]) await to.write(cx, what, bytesOf(raw))
  await to.name(cx, manifest.what, name)
  return { config, layer, manifest }
}

/** A server on a free port with a temporary directory, and what was asked of it. */
export interface Rig extends AsyncDisposable {
  readonly server: RegistryServer
  readonly requests: readonly ServedRequest[]
  readonly events: readonly Event[]
  readonly cx: Context
  client(options?: RegistryOptions): RegistryClient
  open(repository: string, options?: RegistryOptions): Registry
  /** `METHOD path` of the requests since the last call, digests and ids shortened. */
  log(): string[]
}

/** Retries without long waits. */
export const quickRetry = { firstDelayMs: 5, maxDelayMs: 20 }

export async function startRig(options: Partial<ServeOptions> = {}): Promise<Rig> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'stave-registry-'))
  const requests: ServedRequest[] = []
  const events: Event[] = []
  const server = await serve({ directory, onRequest: (request) => void requests.push(request), ...options })
  const clients: RegistryClient[] = []
  let seen = 0
  const client = (choices: RegistryOptions = {}) => {
    const made = createRegistryClient({ retry: quickRetry, ...choices })
    clients.push(made)
    return made
  }
  return {
    server,
    requests,
    events,
    cx: { signal: new AbortController().signal, report: (event) => void events.push(event) },
    client,
    open: (repository, choices) => client(choices).open(parseReference(`${server.host}/${repository}`)),
    log() {
      const fresh = requests.slice(seen).map(({ method, path: asked, status }) => `${method} ${shorten(asked)} ${status}`)
      seen = requests.length
      return fresh
    },
    async [Symbol.asyncDispose]() {
      for (const made of clients) await made[Symbol.asyncDispose]()
      await server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function shorten(asked: string): string {
  return decodeURIComponent(asked)
    .replace(/sha256:[0-9a-f]{64}/g, '<digest>')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<id>')
}
