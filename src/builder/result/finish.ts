import type { Context } from '#context.ts'
import type { Artifact } from '#attest/statement.ts'
import type { IndexEntry } from '#image/index.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Attested } from './attest.ts'
import type { BuildResult, Output } from '../options.ts'
import type { BaseImage } from '../input/images.ts'
import type { Plan } from '../plan/plan.ts'
import type { Session } from '../session.ts'
import type { Solution } from '../solve/solve.ts'
import { formatPlatform } from '#oci/platform.ts'
import { annotationsOf } from './annotations.ts'
import { assemble, isoTime } from './assemble.ts'
import { deliver, type Delivery } from './output.ts'
import { type Result } from './result.ts'

/** Makes images, or an index of them, of what was solved, and delivers that. */
export async function finish(
  cx: Context,
  session: Session,
  plans: readonly Plan[],
  bases: ReadonlyMap<string, BaseImage>,
  solution: Solution,
  outputs: readonly Output[],
): Promise<Omit<BuildResult, 'id' | 'steps' | 'logs'>> {
  const { options } = session
  const results: Result[] = []
  for (const plan of plans) {
    const state = await solution.state(plan.stage.top)
    const image = await assemble(cx, session, plan, solution, await inlineCache(session, plan, solution))
    results.push({ image, state, platform: image.descriptor.platform ?? plan.stage.platform })
  }
  const attested =
    options.provenance || options.sbom === true ? await (await import('./attest.ts')).attest(cx, session, plans, bases, results) : []
  const delivery = await combine(session, results, attested)
  const delivered = await deliver(cx, session, delivery, outputs, options.tags ?? [])
  if (options.cacheTo !== undefined && options.cacheTo.length > 0) {
    const { exportCaches } = await import('../cache/remote-cache.ts')
    await exportCaches(cx, session, plans, solution)
  }
  const images = results.map(({ image, platform }) => ({
    descriptor: image.descriptor,
    platform,
    configDigest: image.manifest.config.digest,
  }))
  const { descriptor } = delivery
  // What has no name is kept under its digest, which is none.
  const names = [...new Set([...delivered.names, ...delivered.pushed])].filter((name) => name !== descriptor.digest)
  return {
    images,
    descriptor: delivered.image ? descriptor : undefined,
    names: delivered.names,
    pushed: delivered.pushed,
    metadata: delivered.image
      ? {
          'buildx.build.ref': session.id,
          'containerimage.digest': descriptor.digest,
          ...(images.length === 1 ? { 'containerimage.config.digest': images[0]?.configDigest } : {}),
          'containerimage.descriptor': descriptor,
          ...(names.length === 0 ? {} : { 'image.name': names.join(',') }),
          ...Object.fromEntries(
            predicatesOf(attested).map((predicate, at) => {
              const platform = images[at] === undefined || images.length === 1 ? '' : `/${formatPlatform(images[at].platform)}`
              return [`buildx.build.provenance${platform}`, predicate]
            }),
          ),
        }
      : { 'buildx.build.ref': session.id },
  }
}

/** The cache records that go into the config of the image itself. */
async function inlineCache(session: Session, plan: Plan, solution: Solution): Promise<Readonly<Record<string, unknown>>> {
  const { options } = session
  if (options.cacheTo?.some(({ type }) => type === 'inline') !== true && options.buildArgs?.['BUILDKIT_INLINE_CACHE'] !== '1') return {}
  const { cacheDocument, cacheField } = await import('../cache/remote-cache.ts')
  const { document } = await cacheDocument(session, plan, solution, 'min')
  return { [cacheField]: document }
}

/** One image as it is; several as an index, in the order asked for. */
async function combine(session: Session, results: readonly Result[], attested: readonly Attested[]): Promise<Delivery> {
  const plain = await gather(session, results, [])
  const whole = { ...plain, plain, results, attested, referrers: [] }
  if (attested.length === 0) return whole
  const { asIndexEntry, asReferrer } = await import('#attest/statement.ts')
  if (session.options.attestStorage === 'referrers') {
    return {
      ...whole,
      referrers: attested.flatMap(({ subject, statements }) => statements.map((statement) => asReferrer(subject, statement))),
    }
  }
  const entries = attested.map(({ subject, statements }) => asIndexEntry(subject, statements))
  return { ...whole, ...(await gather(session, results, entries)) }
}

function predicatesOf(attested: readonly Attested[]): readonly unknown[] {
  return attested.flatMap(({ statements }) =>
    statements.filter(({ predicateType }) => predicateType.includes('/provenance/')).map(({ predicate }) => predicate),
  )
}

async function gather(session: Session, results: readonly Result[], attestations: readonly IndexEntry[]): Promise<Artifact> {
  const { options } = session
  const annotations = options.annotations ?? []
  const [only] = results
  if (results.length === 1 && attestations.length === 0 && only !== undefined && options.buildArgs?.['BUILDKIT_MULTI_PLATFORM'] !== '1') {
    const own = annotationsOf(annotations, 'manifest-descriptor', formatPlatform(only.platform))
    return { source: only.image.source, descriptor: annotated(only.image.descriptor, own) }
  }
  const { makeIndex } = await import('#image/index.ts')
  const entries = results.map(({ image, platform }) => ({
    descriptor: image.descriptor,
    source: image.source,
    manifest: image.manifest,
    platform,
    annotations: annotationsOf(annotations, 'manifest-descriptor', formatPlatform(platform)),
  }))
  const epoch = session.output.epoch
  const own = {
    ...(epoch !== undefined && { 'org.opencontainers.image.created': isoTime(epoch * 1000) }),
    ...annotationsOf(annotations, 'index'),
  }
  const index = makeIndex([...entries, ...attestations], Object.keys(own).length === 0 ? {} : { annotations: own })
  return { source: index.source, descriptor: annotated(index.descriptor, annotationsOf(annotations, 'index-descriptor')) }
}

/** What mentions the result, in the index of a layout and in the metadata, says more of it. */
function annotated(descriptor: Descriptor, annotations: Readonly<Record<string, string>>): Descriptor {
  return Object.keys(annotations).length === 0 ? descriptor : { ...descriptor, annotations: { ...descriptor.annotations, ...annotations } }
}
