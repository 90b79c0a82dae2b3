import { createReadStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { applyLayer, contentAt, delta, type Delta, type Tree } from './tree.ts'

/** An image that a builder has made, as its config's bytes and its layers. */
export interface Built {
  readonly config: Config
  /** Bottom first. */
  readonly layers: readonly { readonly mediaType: string; open(): Readable | Promise<Readable> }[]
}

export interface Config {
  readonly config?: Readonly<Record<string, unknown>>
  /** Docker leaves the list out if it is empty. */
  readonly rootfs: { readonly diff_ids?: readonly string[] | null }
  readonly history?: readonly { readonly empty_layer?: boolean }[]
}

/** What two builders are compared by. */
export interface Outcome {
  /** The last line of what was said, if it was not built. */
  readonly failed?: string
  readonly config?: Readonly<Record<string, unknown>>
  readonly tree?: Delta
}

/** Trees of base images, by the diff ids of their layers. */
export type Bases = Map<string, Tree>

/** The fields of the config that a Dockerfile has a say in. The rest is the builder's own. */
const fields = [
  'Env',
  'Cmd',
  'Entrypoint',
  'WorkingDir',
  'User',
  'Labels',
  'ExposedPorts',
  'Volumes',
  'StopSignal',
  'Shell',
  'Healthcheck',
  'OnBuild',
]

export interface Inspected {
  readonly outcome: Outcome
  readonly whole: Tree
  /** Of small files. */
  content(path: string): string | undefined
}

/** Reads all layers of an image, and checks their diff ids. Those of a base are read once. */
export async function inspect(built: Built, bases: Bases): Promise<Inspected> {
  const ids = built.config.rootfs.diff_ids ?? []
  if (ids.length !== built.layers.length)
    throw new Error(`the config has ${ids.length} diff ids, and there are ${built.layers.length} layers`)
  let from = 0
  for (let count = 1; count <= ids.length; count++) if (bases.has(ids.slice(0, count).join())) from = count
  const base: Tree = bases.get(ids.slice(0, from).join()) ?? new Map()
  let tree = base
  for (const [position, layer] of built.layers.entries()) {
    if (position < from) continue
    const applied = await applyLayer(tree, await layer.open(), layer.mediaType)
    if (applied.diffId !== ids[position])
      throw new Error(`layer ${position + 1} is ${applied.diffId}, and its diff id says ${ids[position]}`)
    ;({ tree } = applied)
  }
  return {
    outcome: { config: comparable(built.config.config ?? {}), tree: delta(tree, base) },
    whole: tree,
    content: (path) => contentAt(tree, path),
  }
}

/** What is absent, null, empty or zero says the same in a config. */
function comparable(config: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    fields.flatMap((field) => {
      const value = field === 'Healthcheck' ? withoutZeros(config[field]) : config[field]
      const isEmpty =
        value === undefined || value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)
      return isEmpty ? [] : [[field, value]]
    }),
  )
}

function withoutZeros(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).filter(([, part]) => part !== 0)) : value
}

/** Layers in the history are as many as there are layers (image-spec, "Image Configuration", `history`). */
export function historyFault({ history = [], rootfs }: Config): string | undefined {
  const told = history.filter((entry) => entry.empty_layer !== true).length
  const there = rootfs.diff_ids?.length ?? 0
  return told === there ? undefined : `its history tells of ${told} layers, and it has ${there}`
}

/** A `dir:` of skopeo and buildah. */
export function openDirectory(directory: string): Built {
  const hex = (digest: string): string => join(directory, digest.replace('sha256:', ''))
  const manifest = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as {
    config: { digest: string }
    layers: { mediaType: string; digest: string }[]
  }
  return {
    config: JSON.parse(readFileSync(hex(manifest.config.digest), 'utf8')) as Config,
    layers: manifest.layers.map(({ mediaType, digest }) => ({
      mediaType: sniff(hex(digest), mediaType),
      open: () => createReadStream(hex(digest)),
    })),
  }
}

/** What `docker save` writes, unpacked. */
export function openSaved(directory: string): Built {
  const [manifest] = JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')) as { Config: string; Layers: string[] }[]
  if (manifest === undefined) throw new Error(`there is no image in ${directory}`)
  return {
    config: JSON.parse(readFileSync(join(directory, manifest.Config), 'utf8')) as Config,
    layers: manifest.Layers.map((name) => ({ mediaType: 'tar', open: () => createReadStream(join(directory, name)) })),
  }
}

/** A `dir:` may call a layer gzip that is not compressed, when its builder keeps it so. */
function sniff(file: string, mediaType: string): string {
  const head = readFileSync(file).subarray(0, 2)
  return head[0] === 0x1f && head[1] === 0x8b ? 'tar+gzip' : mediaType.endsWith('zstd') ? mediaType : 'tar'
}
