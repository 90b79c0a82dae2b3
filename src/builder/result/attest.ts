import type { Context } from '#context.ts'
import type { Platform } from '#oci/descriptor.ts'
import type { BaseImage } from '../input/images.ts'
import type { Result } from './result.ts'
import type { Plan } from '../plan/plan.ts'
import type { Session } from '../session.ts'
import { basename } from 'node:path'
import { provenance, type BuildFacts, type Dependency } from '#attest/provenance.ts'
import { imageUrl } from '#attest/purl.ts'
import type { Statement, Subject } from '#attest/statement.ts'
import { digestAlgorithm, digestHex, digestOf } from '#oci/digest.ts'
import { formatPlatform } from '#oci/platform.ts'
import { isImageId } from '#oci/reference.ts'
import { isoTime } from './assemble.ts'
import { normalizeTags } from './result.ts'
import { isLocalPlace } from '#places/location.ts'

/** What a build says of one of its images. */
export interface Attested {
  readonly subject: Subject
  readonly statements: readonly Statement[]
}

/** Statements about each of the images, as far as they were asked for. */
export async function attest(
  cx: Context,
  session: Session,
  plans: readonly Plan[],
  bases: ReadonlyMap<string, BaseImage>,
  results: readonly Result[],
): Promise<readonly Attested[]> {
  const { options } = session
  const attested: Attested[] = []
  for (const [at, result] of results.entries()) {
    const names = normalizeTags(options.tags ?? []).map((tag) => imageUrl(tag, result.platform))
    const statements: Statement[] = []
    if (options.provenance)
      statements.push(provenance(await factsOf(cx, session, plans[at] as Plan, bases, result.platform), options.provenance))
    if (options.sbom === true) statements.push(await bill(cx, session, result))
    attested.push({ subject: { descriptor: result.image.descriptor, names }, statements })
  }
  return attested
}

async function bill(cx: Context, session: Session, { image, state, platform }: Result): Promise<Statement> {
  const { softwareBill } = await import('#attest/sbom.ts')
  const { document, count } = await softwareBill(cx, {
    runner: session.store.runner,
    trees: await state.trees(),
    name: session.options.tags?.[0] ?? 'image',
    digest: digestHex(image.descriptor.digest),
    created: now(session),
  })
  if (count === 0) {
    cx.report({
      type: 'warning',
      message: `the SBOM of ${formatPlatform(platform)} lists no package`,
      hint: 'Known are the databases of dpkg, apk and rpm, packages of npm and Python, modules in Go programs, and crates in Rust programs that cargo-auditable built.',
    })
  }
  return { predicateType: 'https://spdx.dev/Document', predicate: document }
}

function now({ output }: Session): string {
  return isoTime(output.epoch === undefined ? Date.now() : output.epoch * 1000)
}

async function factsOf(
  cx: Context,
  session: Session,
  plan: Plan,
  bases: ReadonlyMap<string, BaseImage>,
  platform: Platform,
): Promise<BuildFacts> {
  const { options, contexts, output } = session
  const { text, file } = await contexts.dockerfile(cx)
  const locals = plan.steps.flatMap(({ op }) => (op.kind === 'local' ? [op.context === '' ? 'context' : op.context] : []))
  const context = await contexts.source(cx)
  return {
    // Where it lies on this machine is nobody's business.
    dockerfile: { path: file.startsWith('/') || file.startsWith('..') ? basename(file) : file, text, sha256: digestHex(digestOf(text)) },
    context,
    target: options.target,
    platform: formatPlatform(platform),
    builderPlatform: `linux/${session.architecture}`,
    buildArgs: options.buildArgs ?? {},
    labels: options.labels ?? {},
    secrets: (options.secrets ?? []).map(({ id }) => id),
    ssh: (options.ssh ?? []).map(({ id }) => id),
    locals: context === undefined ? locals : locals.filter((name) => name !== 'context'),
    steps: plan.steps.map((step) => ({ title: step.title, key: session.keys.get(step.id)?.key })),
    dependencies: [
      ...imagesOf(plan, bases),
      ...(context === undefined ? [] : [{ uri: context.uri, digest: context.digest }]),
      ...plan.steps.flatMap(({ id }) => session.materials.get(id) ?? []),
    ],
    times: {
      ...(output.epoch === undefined ? { id: session.id, started: isoTime(session.startedAt) } : {}),
      finished: now(session),
    },
  }
}

function uriOf(reference: string, platform: Platform): string {
  if (isImageId(reference)) return reference
  return isLocalPlace(reference) ? `${reference.split(':', 1)[0]}:${basename(reference)}` : imageUrl(reference, platform)
}

function imagesOf(plan: Plan, bases: ReadonlyMap<string, BaseImage>): readonly Dependency[] {
  return plan.steps.flatMap(({ op }) => {
    const base = op.kind === 'image' ? bases.get(`${op.reference} ${formatPlatform(op.platform)}`) : undefined
    if (op.kind !== 'image' || base === undefined) return []
    const { digest } = base.image.descriptor
    return [{ uri: uriOf(base.reference, op.platform), digest: { [digestAlgorithm(digest)]: digestHex(digest) } }]
  })
}
