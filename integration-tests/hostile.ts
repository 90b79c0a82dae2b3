import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pack, type Header } from 'tar-stream'

/** A member of a tar: its header, and what is in it. */
export type Member = Partial<Header> & { readonly name: string } & { readonly data?: string | Buffer }

/** A tar of exactly these members, in this order, whatever they are. */
export async function tarOf(members: readonly Member[]): Promise<Buffer> {
  const tar = pack()
  for (const { data, ...header } of members) tar.entry(header, data ?? '')
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Writes an OCI layout with one image of these layers, tagged `latest`. All digests are right: only the layers are odd. */
export function writeLayout(directory: string, layers: readonly Buffer[]): void {
  mkdirSync(join(directory, 'blobs/sha256'), { recursive: true })
  const put = (mediaType: string, bytes: Buffer) => {
    const hex = createHash('sha256').update(bytes).digest('hex')
    writeFileSync(join(directory, 'blobs/sha256', hex), bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
  }
  const json = (mediaType: string, value: unknown) => put(mediaType, Buffer.from(JSON.stringify(value)))
  const blobs = layers.map((layer) => put('application/vnd.oci.image.layer.v1.tar', layer))
  const config = json('application/vnd.oci.image.config.v1+json', {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: ['/bin/true'] },
    rootfs: { type: 'layers', diff_ids: blobs.map(({ digest }) => digest) },
  })
  const manifest = json('application/vnd.oci.image.manifest.v1+json', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers: blobs,
  })
  writeFileSync(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }
  writeFileSync(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }))
}
