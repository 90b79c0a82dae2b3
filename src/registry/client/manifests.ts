import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestAlgorithm, digestOf, isDigest, type Digest } from '#oci/digest.ts'
import { acceptedManifests, isManifestOrIndex, isSchema1, mediaTypes, normalizeMediaType } from '#oci/media-type.ts'
import { isEncoded } from './encoding.ts'
import type { Headers } from './message.ts'
import type { Endpoint } from './hosts.ts'
import { deleteScope, pathOf, pullScope, pushScope, readWhole, type Remote } from './remote.ts'
import { createTurns } from './turns.ts'

/** A manifest or index, with the exact bytes that its digest names. */
export interface Fetched {
  readonly descriptor: Descriptor
  readonly raw: Uint8Array
}

/**
 * All that is understood, in one field: some registries read only the first of several. Schema 1 is named last, in order to
 * be told that an image is of that kind, and not that there is none.
 */
export const accept = [...acceptedManifests, mediaTypes.dockerSchema1Signed].join(', ')

/** Is content of this media type kept under `manifests/`? */
export function isManifestLike(mediaType: string): boolean {
  return isManifestOrIndex(mediaType) || isSchema1(mediaType)
}

/**
 * Gets a manifest by tag or digest. Its digest is computed from the bytes; what the registry says of it must agree.
 *
 * @throws StaveError `not-found`, `digest-mismatch`, `too-large`, `registry-problem` for what is no manifest
 * @see distribution-spec, "Pulling manifests"
 */
export async function getManifest(cx: Context, remote: Remote, endpoint: Endpoint, name: string): Promise<Fetched> {
  const doing = reading(remote, name)
  const { response, raw } = await readWhole(cx, remote, endpoint, limit.manifestBytes, {
    method: 'GET',
    to: pathOf(endpoint, `manifests/${name}`),
    headers: { accept },
    scopes: pullScope(endpoint),
    expect: [200],
    doing,
  })
  if (raw === undefined) throw new StaveError('too-large', `${doing}: it has more than ${limit.manifestBytes} bytes`)
  const said = response.headers['docker-content-digest']
  const expected = isDigest(name) ? name : undefined
  const digest = digestOf(raw, digestAlgorithm(expected ?? (said !== undefined && isDigest(said) ? said : ('sha256:' as Digest))))
  const mediaType = mediaTypeOf(response.headers, raw)
  if (!isManifestLike(mediaType)) {
    throw new StaveError('registry-problem', `${doing}: what came is ${mediaType === '' ? 'of no type' : mediaType}, not a manifest`, {
      hint: 'A proxy or a page to log in may have answered in place of the registry.',
    })
  }
  // The digest of a signed schema 1 manifest leaves out its signatures.
  const isComparable = !isSchema1(mediaType)
  if (isComparable && expected !== undefined && digest !== expected) throw mismatch(doing, expected, digest)
  if (isComparable && said !== undefined && isDigest(said) && digestAlgorithm(said) === digestAlgorithm(digest) && said !== digest)
    throw mismatch(doing, said, digest)
  return { descriptor: { mediaType, digest: isComparable ? digest : (expected ?? digest), size: raw.length }, raw }
}

/** Asks for a manifest's descriptor only. Undefined when the registry does not say its digest. @throws StaveError `not-found` */
export async function headManifest(cx: Context, remote: Remote, endpoint: Endpoint, name: string): Promise<Descriptor | undefined> {
  const response = await remote.transport.send(cx, endpoint, {
    method: 'HEAD',
    to: pathOf(endpoint, `manifests/${name}`),
    headers: { accept },
    scopes: pullScope(endpoint),
    expect: [200],
    doing: reading(remote, name),
  })
  await response.body.discard()
  return describedBy(response.headers)
}

/**
 * The same of the repository that is written to, with the token that writing needs anyway. Undefined also when there is
 * nothing.
 */
export async function lookAtManifest(cx: Context, remote: Remote, name: string): Promise<Descriptor | undefined> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'HEAD',
    to: pathOf(endpoint, `manifests/${name}`),
    headers: { accept },
    scopes: pushScope(endpoint),
    expect: [200, 404],
    doing: reading(remote, name),
  })
  await response.body.discard()
  return response.status === 200 ? describedBy(response.headers) : undefined
}

function describedBy(headers: Headers): Descriptor | undefined {
  const digest = headers['docker-content-digest']
  const size = isEncoded({ headers }) ? Number.NaN : Number(headers['content-length'])
  const mediaType = normalizeMediaType(headers['content-type'] ?? '')
  if (digest === undefined || !isDigest(digest) || !Number.isSafeInteger(size) || !isManifestLike(mediaType)) return undefined
  return { mediaType, digest, size }
}

/** Is a manifest in the repository itself? One HEAD. */
export async function hasManifest(cx: Context, remote: Remote, digest: Digest): Promise<boolean> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'HEAD',
    to: pathOf(endpoint, `manifests/${digest}`),
    headers: { accept },
    scopes: pushScope(endpoint),
    expect: [200, 404],
    doing: `cannot see whether ${remote.title} has ${digest}`,
  })
  await response.body.discard()
  return response.status === 200
}

// distribution 2.8 answers DIGEST_INVALID to one of two that come at once.
const inTurn = createTurns()

/**
 * Puts a manifest, exactly these bytes, under a tag or its digest; one at a time of each digest.
 *
 * @returns the subject that the registry lists it under; undefined when it does not keep such lists
 * @see distribution-spec, "Pushing Manifests"
 */
export async function putManifest(
  cx: Context,
  remote: Remote,
  what: Descriptor,
  raw: Uint8Array,
  name: string,
): Promise<string | undefined> {
  const { endpoint } = remote
  const doing = `cannot push ${remote.title}${isDigest(name) ? '@' : ':'}${name}`
  const put = () =>
    remote.transport.send(cx, endpoint, {
      method: 'PUT',
      to: pathOf(endpoint, `manifests/${name}`),
      headers: { 'content-type': what.mediaType },
      body: raw,
      scopes: pushScope(endpoint),
      expect: [201, 202],
      doing,
    })
  const response = await inTurn(`${endpoint.host}/${endpoint.repository}@${what.digest}`, put)
  await response.body.discard()
  const stored = response.headers['docker-content-digest']
  if (stored !== undefined && isDigest(stored) && digestAlgorithm(stored) === digestAlgorithm(what.digest) && stored !== what.digest)
    throw mismatch(doing, what.digest, stored)
  return response.headers['oci-subject']
}

/** Deletes a manifest by digest, or a tag. @throws StaveError `not-found`, `unsupported` */
export async function deleteManifest(cx: Context, remote: Remote, name: string): Promise<void> {
  const { endpoint } = remote
  const response = await remote.transport.send(cx, endpoint, {
    method: 'DELETE',
    to: pathOf(endpoint, `manifests/${name}`),
    scopes: deleteScope(endpoint),
    expect: [202, 200, 204],
    doing: `cannot delete ${remote.title}${isDigest(name) ? '@' : ':'}${name}`,
  })
  await response.body.discard()
}

// The field is authoritative, as it is what the registry checked the document against; where it says nothing of use,
// the document does.
function mediaTypeOf(headers: Headers, raw: Uint8Array): string {
  const said = normalizeMediaType(headers['content-type'] ?? '')
  if (said !== '' && said !== 'application/json' && !said.startsWith('text/') && said !== 'application/octet-stream') return said
  try {
    const document = JSON.parse(new TextDecoder().decode(raw)) as { mediaType?: unknown; manifests?: unknown; schemaVersion?: unknown }
    if (typeof document.mediaType === 'string') return normalizeMediaType(document.mediaType)
    if (document.schemaVersion === 1) return mediaTypes.dockerSchema1
    return Array.isArray(document.manifests) ? mediaTypes.ociIndex : mediaTypes.ociManifest
  } catch {
    return said
  }
}

function reading(remote: Remote, name: string): string {
  return `cannot read ${remote.title}${isDigest(name) ? '@' : ':'}${name}`
}

function mismatch(doing: string, expected: string, actual: string): StaveError {
  return new StaveError('digest-mismatch', `${doing}: expected ${expected}, got ${actual}`, {
    hint: 'It was damaged or exchanged on the way, or the registry is broken.',
  })
}
