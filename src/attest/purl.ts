import type { Platform } from '#oci/descriptor.ts'
import type { Release } from './packages/package.ts'
import { formatPlatform } from '#oci/platform.ts'
import { parseReference } from '#oci/reference.ts'

/** One part of a package URL. Half a character, as JSON can write it, becomes the sign for none. @see purl-spec, "Character encoding" */
export function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** An image by its name. @see purl-spec, type docker */
export function imageUrl(name: string, platform: Platform): string {
  const { registry, repository, tag } = parseReference(name)
  const path = registry === 'docker.io' ? repository.replace(/^library\//, '') : `${registry}/${repository}`
  const version = tag === undefined ? '' : `@${escaped(tag)}`
  return `pkg:docker/${path.split('/').map(escaped).join('/')}${version}?platform=${escaped(formatPlatform(platform))}`
}

/** `distro` tells which security database counts. @see purl-spec, types deb, apk, rpm */
export function systemUrl(
  type: 'deb' | 'apk' | 'rpm',
  release: Release,
  fallback: string,
  name: string,
  version: string,
  architecture: string | undefined,
): string {
  const query = new URLSearchParams()
  if (architecture !== undefined) query.set('arch', architecture)
  if (release.id !== '') query.set('distro', release.version === '' ? release.id : `${release.id}-${release.version}`)
  const tail = query.size === 0 ? '' : `?${query.toString()}`
  return `pkg:${type}/${escaped(release.id || fallback)}/${escaped(name)}@${escaped(version)}${tail}`
}
