import path from 'node:path'
import { digestAlgorithm, digestHex, type Digest } from '#oci/digest.ts'

/** The directories of a registry on disk. What is where in them: see `Storage`. */
export interface Places {
  readonly root: string
  readonly blobs: string
  readonly repositories: string
}

export type LinkKind = 'blobs' | 'manifests'

export function below({ repositories }: Places, repository: string, ...parts: string[]): string {
  return path.join(repositories, ...repository.split('/'), ...parts)
}

function byDigest(digest: Digest): readonly [string, string] {
  return [digestAlgorithm(digest), digestHex(digest)]
}

export function blobFile({ blobs }: Places, digest: Digest): string {
  return path.join(blobs, ...byDigest(digest))
}

export function linkFile(places: Places, repository: string, kind: LinkKind, digest: Digest): string {
  return below(places, repository, `_${kind}`, ...byDigest(digest))
}

export function tagFile(places: Places, repository: string, tag: string): string {
  return below(places, repository, '_tags', tag)
}

export function referrersDirectory(places: Places, repository: string, subject: Digest): string {
  return below(places, repository, '_referrers', flat(subject))
}

export function referrerFile(places: Places, repository: string, subject: Digest, referrer: Digest): string {
  return path.join(referrersDirectory(places, repository, subject), flat(referrer))
}

function flat(digest: Digest): string {
  return digest.replace(':', '-')
}

export function uploadFile(places: Places, repository: string, id: string): string {
  return below(places, repository, '_uploads', id)
}
