import type { Context } from '#context.ts'
import { hasCode, StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestOf, type Digest } from '#oci/digest.ts'
import { decodeIndex } from '#oci/manifest.ts'
import { isIndex, mediaTypes, normalizeMediaType } from '#oci/media-type.ts'
import { readAll } from './message.ts'
import type { Endpoint } from './hosts.ts'
import { nextPage } from './listing.ts'
import { getManifest, putManifest } from './manifests.ts'
import { pathOf, pullScope, type Remote } from './remote.ts'
import { createTurns } from './turns.ts'

/** The tag under which registries without the referrers API keep the list. @see distribution-spec, "Referrers Tag Schema" */
export function referrersTag(subject: Digest): string {
  const [algorithm = '', encoded = ''] = subject.split(':')
  return `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}`.replace(/[^\w.-]/g, '-')
}

/**
 * Lists what refers to a manifest: by the API, or by the tag where the registry has none.
 *
 * @see distribution-spec, "Listing Referrers"
 */
export async function listReferrers(cx: Context, remote: Remote, endpoint: Endpoint, subject: Digest): Promise<readonly Descriptor[]> {
  const found: Descriptor[] = []
  const seen = new Set<string>()
  let to: string | undefined = pathOf(endpoint, `referrers/${subject}`)
  for (let page = 0; to !== undefined && !seen.has(to); page++) {
    if (page === limit.referrerPages)
      throw new StaveError('too-large', `cannot list referrers of ${remote.title}@${subject}: more than ${limit.referrerPages} pages`)
    seen.add(to)
    const doing = `cannot list referrers of ${remote.title}@${subject}`
    const response = await remote.transport.send(cx, endpoint, {
      method: 'GET',
      to,
      headers: { accept: mediaTypes.ociIndex },
      scopes: pullScope(endpoint),
      // Registries that do not know the path answer in various ways.
      expect: [200, 400, 404, 405, 501],
      doing,
    })
    if (response.status !== 200 || normalizeMediaType(response.headers['content-type'] ?? '') !== mediaTypes.ociIndex) {
      await response.body.discard()
      return (await readFallback(cx, remote, endpoint, subject)).manifests
    }
    const raw = await readAll(response.body, limit.manifestBytes)
    if (raw === undefined) throw new StaveError('too-large', `${doing}: the list has more than ${limit.manifestBytes} bytes`)
    found.push(...decodeIndex(raw, { mediaType: mediaTypes.ociIndex, title: `referrers of ${subject}` }).manifests)
    to = nextPage(response)
  }
  return found
}

const inTurn = createTurns()

/**
 * Adds a manifest to the list that is kept under a tag. For registries whose answer to its push had no OCI-Subject.
 * The specification has no way to guard this against another process that does the same; within this one it is.
 *
 * @see distribution-spec, "Pushing Manifests with Subject"
 */
export function addReferrer(cx: Context, remote: Remote, subject: Digest, referrer: Descriptor): Promise<void> {
  return inTurn(`${remote.title}@${subject}`, () => update(cx, remote, subject, referrer))
}

async function update(cx: Context, remote: Remote, subject: Digest, referrer: Descriptor): Promise<void> {
  const { document, manifests } = await readFallback(cx, remote, remote.endpoint, subject)
  if (manifests.some((entry) => entry.digest === referrer.digest)) return
  const entries = Array.isArray(document.manifests) ? (document.manifests as unknown[]) : []
  const changed = { ...document, schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...entries, referrer] }
  const raw = Buffer.from(JSON.stringify(changed))
  if (raw.length > limit.manifestBytes) {
    throw new StaveError(
      'too-large',
      `cannot add to the referrers of ${remote.title}@${subject}: the list would have more than ${limit.manifestBytes} bytes`,
    )
  }
  await putManifest(cx, remote, { mediaType: mediaTypes.ociIndex, digest: digestOf(raw), size: raw.length }, raw, referrersTag(subject))
}

interface Fallback {
  /** As it is, so that fields of others survive. */
  readonly document: Record<string, unknown>
  readonly manifests: readonly Descriptor[]
}

async function readFallback(cx: Context, remote: Remote, endpoint: Endpoint, subject: Digest): Promise<Fallback> {
  try {
    const { descriptor, raw } = await getManifest(cx, remote, endpoint, referrersTag(subject))
    if (!isIndex(descriptor.mediaType)) return { document: {}, manifests: [] }
    const { manifests } = decodeIndex(raw, { mediaType: descriptor.mediaType, title: `referrers of ${subject}` })
    return { document: JSON.parse(new TextDecoder().decode(raw)) as Record<string, unknown>, manifests }
  } catch (error) {
    if (hasCode(error, 'not-found')) return { document: {}, manifests: [] }
    throw error
  }
}
