import type { Context } from '#context.ts'
import type { Source } from '#image/content.ts'
import type { Digest } from '#oci/digest.ts'
import { StaveError } from '#error.ts'
import { readAll } from '#image/read.ts'
import * as limit from '#limit.ts'
import { decodeManifestOrIndex } from '#oci/manifest.ts'
import { isIndex, isManifestOrIndex } from '#oci/media-type.ts'
import { acceptsAll, refusal, type Means } from './check.ts'
import type { Policy } from './policy.ts'
import type { Origin } from './scope.ts'

/**
 * A place out of which comes only what a policy lets through. A name is looked up once, and the digest that was found is what
 * is verified and used. Of an index, either it is verified itself, and with it all that it holds, or each image when it is opened.
 *
 * @throws StaveError `denied` by `resolve` and `open`, with the rule
 */
export function trusted<S extends Source>(source: S, policy: Policy, origin: Origin, means: Means): S {
  if (acceptsAll(policy, origin)) return source
  const verified = new Map<Digest, Promise<string | undefined>>()
  const check = (cx: Context, digest: Digest): Promise<string | undefined> => {
    let checked = verified.get(digest)
    if (checked === undefined) {
      checked = refusal(cx, policy, means, { origin, source, digest })
      verified.set(digest, checked)
    }
    return checked
  }
  const refuse = (digest: Digest, why: string): never => {
    throw new StaveError('denied', `cannot use ${digest} of ${source.title}: ${why}`, {
      hint: 'stave config explain NAME tells which rule counts; --policy FILE takes another policy, --insecure-policy none.',
    })
  }
  return {
    ...source,
    async resolve(cx, name) {
      const descriptor = await source.resolve(cx, name)
      const why = await check(cx, descriptor.digest)
      if (why === undefined && isIndex(descriptor.mediaType)) {
        const raw = await readAll(cx, source, descriptor, limit.manifestBytes)
        const document = decodeManifestOrIndex(raw, { mediaType: descriptor.mediaType, title: name })
        // What a verified index holds is verified by it.
        for (const { digest } of document.kind === 'index' ? document.index.manifests : []) verified.set(digest, Promise.resolve(undefined))
      }
      if (why !== undefined && !isIndex(descriptor.mediaType)) refuse(descriptor.digest, why)
      return descriptor
    },
    async open(cx, what, from) {
      if (isManifestOrIndex(what.mediaType) && !isIndex(what.mediaType)) {
        const why = await check(cx, what.digest)
        if (why !== undefined) refuse(what.digest, why)
      }
      return source.open(cx, what, from)
    },
  }
}
