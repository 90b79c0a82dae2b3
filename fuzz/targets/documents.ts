import { decodeConfig } from '#oci/config.ts'
import { decodeManifestOrIndex, sniffMediaType, type ManifestOrIndex } from '#oci/manifest.ts'
import { parseKeeping } from '#image/json.ts'
import { mutated } from '../random.ts'
import { documentWords, ours, type Target } from '../target.ts'

const digest = (digit: string): string => `sha256:${digit.repeat(64)}`
const descriptor = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: digest('a'), size: 10, annotations: { 'a.b': 'c' } }
const config = { ...descriptor, mediaType: 'application/vnd.oci.image.config.v1+json' }
const manifest = {
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config,
  layers: [descriptor],
  subject: descriptor,
}
const index = {
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: [
    { ...descriptor, mediaType: manifest.mediaType, platform: { os: 'linux', architecture: 'arm', variant: 'v7' }, data: 'eA==' },
  ],
}
const docker = { schemaVersion: 2, mediaType: 'application/vnd.docker.distribution.manifest.v2+json', config, layers: [descriptor] }
const manifestSeeds = [manifest, index, docker, { schemaVersion: 1, name: 'x', fsLayers: [] }].map((value) => JSON.stringify(value))

/** What is decoded has digests that are digests and sizes that are sizes. */
export const manifests: Target = {
  name: 'manifest',
  next(random) {
    const input = mutated(random, manifestSeeds, documentWords)
    const bytes = Buffer.from(input)
    return {
      input,
      work() {
        ours(() => void sniffMediaType(bytes))
        ours(() => checkDecoded(decodeManifestOrIndex(bytes)))
      },
    }
  },
}

function checkDecoded(decoded: ManifestOrIndex): void {
  const all = decoded.kind === 'index' ? decoded.index.manifests : [decoded.manifest.config, ...decoded.manifest.layers]
  for (const { digest: name, size } of all) {
    if (!/^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/.test(name)) throw new Error(`it decodes to the digest ${JSON.stringify(name)}`)
    if (!Number.isSafeInteger(size) || size < 0) throw new Error(`it decodes to the size ${size}`)
  }
}

const configSeeds = [
  JSON.stringify({
    created: '2026-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: {
      Env: ['A=1'],
      Cmd: ['sh'],
      Volumes: { '/v': {} },
      ExposedPorts: { '80/tcp': {} },
      Labels: { a: 'b' },
      Healthcheck: { Test: ['CMD', 'x'], Interval: 1 },
    },
    rootfs: { type: 'layers', diff_ids: [digest('b')] },
    history: [{ created_by: 'x', empty_layer: true }],
  }),
]

/** A config that is decoded can be kept, with all that it does not know. */
export const configs: Target = {
  name: 'config',
  next(random) {
    const input = mutated(random, configSeeds, documentWords)
    const bytes = Buffer.from(input)
    return {
      input,
      work: () =>
        ours(() => {
          decodeConfig(bytes)
          parseKeeping(bytes)
        }),
    }
  },
}
