import type { Context } from '#context.ts'
import { openNearest } from '#image/image.ts'
import type { Platform } from '#oci/descriptor.ts'
import { familiarName, parseReference } from '#oci/reference.ts'
import type { LocalStore } from '#store/open.ts'
import { shortRepository } from './listing.ts'

/** What `docker inspect` and `docker image inspect` print of an image. */
export async function inspectImage(cx: Context, store: LocalStore, text: string, platform: Platform): Promise<object> {
  const root = await store.resolve(cx, text)
  const image = await openNearest(cx, store, root, platform)
  const config = await image.config(cx)
  const names = store.names.list().filter(({ name, descriptor }) => descriptor.digest === root.digest && !/^sha(256|512):/.test(name))
  const size = image.manifest.config.size + image.manifest.layers.reduce((sum, layer) => sum + layer.size, 0)
  const last = config.history?.at(-1)
  return {
    Id: image.manifest.config.digest,
    RepoTags: names.filter(({ name }) => parseReference(name).tag !== undefined).map(({ name }) => familiarName(parseReference(name))),
    RepoDigests: [...new Set(names.map(({ name }) => `${shortRepository(name)}@${root.digest}`))],
    Digest: root.digest,
    Descriptor: root,
    Parent: '',
    DockerVersion: '',
    Comment: last?.comment ?? '',
    Created: config.created ?? '',
    Author: config.author ?? '',
    Config: {
      Hostname: '',
      Domainname: '',
      User: '',
      AttachStdin: false,
      AttachStdout: false,
      AttachStderr: false,
      Tty: false,
      OpenStdin: false,
      StdinOnce: false,
      Image: '',
      ...config.config,
      Env: config.config?.Env ?? [],
      Cmd: config.config?.Cmd ?? null,
      Entrypoint: config.config?.Entrypoint ?? null,
      Volumes: config.config?.Volumes ?? null,
      WorkingDir: config.config?.WorkingDir ?? '',
      OnBuild: config.config?.OnBuild ?? null,
      Labels: config.config?.Labels ?? null,
    },
    Architecture: config.architecture,
    ...(config.variant !== undefined && { Variant: config.variant }),
    Os: config.os,
    Size: size,
    VirtualSize: size,
    GraphDriver: { Data: null, Name: 'overlayfs' },
    Metadata: { LastTagTime: names[0]?.createdAt.toISOString() ?? '0001-01-01T00:00:00Z' },
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Annotations: image.manifest.annotations ?? {},
    History: config.history ?? [],
  }
}
