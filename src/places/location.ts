import { StaveError } from '#error.ts'

/** Where something is, as people write it: a transport and what stands after its colon. */
export type Location =
  | { readonly transport: 'docker'; readonly name: string }
  /** `isDaemon`: written as `docker-daemon:`, which a Docker daemon goes before. */
  | { readonly transport: 'store'; readonly name: string; readonly isDaemon?: true }
  | FileLocation

/** What is on this machine, outside the store. */
export type FileLocation =
  | { readonly transport: 'oci' | 'oci-archive' | 'docker-archive'; readonly path: string; readonly name: string | undefined }
  | { readonly transport: 'dir'; readonly path: string }
  /** An image that is made of tars of layers, lowest first. */
  | { readonly transport: 'tarball'; readonly path: string; readonly paths: readonly string[] }

const transports = ['docker', 'oci', 'oci-archive', 'docker-archive', 'dir', 'containers-storage', 'docker-daemon', 'store', 'tarball']

/**
 * Reads `docker://NAME`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`, `dir:DIR`,
 * `store:NAME` (also `containers-storage:`, and `docker-daemon:` where there is no Docker daemon), or a bare name in the store.
 *
 * @throws StaveError `usage`
 */
export function parseLocation(text: string): Location {
  const match = /^([a-z][a-z-]*):(?!\d+\/)(.*)$/s.exec(text)
  if (!match || !transports.includes(match[1]!)) {
    if (match !== null && (match[2]!.startsWith('//') || Object.hasOwn(refused, match[1]!))) throw unknown(text, match[1]!)
    return { transport: 'store', name: text }
  }
  const [, transport, rest = ''] = match
  if (rest === '') throw new StaveError('usage', `cannot use ${JSON.stringify(text)}: nothing stands after ${transport}:`)
  switch (transport) {
    case 'docker':
      if (!rest.startsWith('//'))
        throw new StaveError('usage', `cannot use ${JSON.stringify(text)}: two slashes are missing`, { hint: `Write docker://${rest}.` })
      return { transport: 'docker', name: rest.slice(2) }
    case 'oci':
    case 'oci-archive':
    case 'docker-archive': {
      // The first colon ends the path: paths with a colon cannot be written, as in skopeo.
      const colon = rest.indexOf(':')
      if (colon === 0) throw new StaveError('usage', `cannot use ${JSON.stringify(text)}: the path is missing`)
      return { transport, path: colon < 0 ? rest : rest.slice(0, colon), name: colon < 0 ? undefined : rest.slice(colon + 1) }
    }
    case 'tarball': {
      const paths = rest.split(':')
      return { transport: 'tarball', path: paths[0]!, paths }
    }
    case 'dir':
      return { transport: 'dir', path: rest }
    case 'docker-daemon':
      return { transport: 'store', name: rest, isDaemon: true }
    default:
      return { transport: 'store', name: rest }
  }
}

/** Reads a location in which a bare name is an image in a registry; one with a transport is what it says. @throws StaveError `usage` */
export function parseRegistryFirst(text: string): Location {
  const location = parseLocation(text)
  return location.transport === 'store' && location.name === text ? { transport: 'docker', name: text } : location
}

/**
 * Tells whether the name of a base image means something on this machine, `oci:DIR` or its like. `docker:dind` and
 * `store:1.0` are images with a tag.
 */
export function isLocalPlace(reference: string): boolean {
  const transport = /^([a-z-]+):/.exec(reference)?.[1]
  return transport !== undefined && transport !== 'docker' && transport !== 'store' && transports.includes(transport)
}

const refused: Readonly<Record<string, string>> = {
  sif: 'Build one with apptainer, and export it there as an OCI archive: apptainer pull makes SIF files of images, nothing here reads them.',
  ostree: 'skopeo gave it up as well: copy the image to oci: before.',
  atomic: 'Use docker:// with the registry of the cluster.',
}

function unknown(text: string, transport: string): StaveError {
  if (Object.hasOwn(refused, transport)) {
    return new StaveError('unsupported', `cannot use ${JSON.stringify(text)}: the transport ${transport} is not offered`, {
      hint: refused[transport]!,
    })
  }
  return new StaveError('usage', `cannot use ${JSON.stringify(text)}: there is no transport ${transport}`, {
    hint: `There are ${transports.join(', ')}.`,
  })
}
