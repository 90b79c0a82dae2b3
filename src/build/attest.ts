import type { Context } from '#context.ts'
import type { Image } from '#image/image.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { BaseImage } from './images.ts'
import type { Referrer, Result } from './output.ts'
import type { Plan } from './plan.ts'
import type { Session } from './session.ts'
import { memory } from '#image/memory.ts'
import { digestAlgorithm, digestHex, digestOf } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'
import { formatPlatform } from '#oci/platform.ts'
import { parseReference } from '#oci/reference.ts'
import { redactUrl } from '#text/url.ts'
import { isoTime } from './assemble.ts'
import { normalizeTags } from './output.ts'

const inToto = 'application/vnd.in-toto+json'

export interface Attestations {
  readonly referrers: readonly Referrer[]
  /** The predicates, one for each image, if it was asked for. */
  readonly provenance: readonly unknown[]
}

/** Statements about the images, each an artifact that refers to its image: pushed after it, listed by its registry. */
export async function attest(
  cx: Context,
  session: Session,
  plans: readonly Plan[],
  bases: ReadonlyMap<string, BaseImage>,
  results: readonly Result[],
): Promise<Attestations> {
  const { options } = session
  const referrers: Referrer[] = []
  const predicates: unknown[] = []
  for (const [at, result] of results.entries()) {
    const plan = plans[at] as Plan
    if (options.provenance) {
      const predicate = await provenance(cx, session, plan, bases, result.platform)
      predicates.push(predicate)
      referrers.push(statement(session, result, 'https://slsa.dev/provenance/v1', predicate))
    }
    if (options.sbom === true) {
      const { softwareBill } = await import('./sbom.ts')
      referrers.push(statement(session, result, 'https://spdx.dev/Document', await softwareBill(cx, session, result)))
    }
  }
  return { referrers, provenance: predicates }
}

/** @see in-toto attestation, "Statement" v1; image-spec, "Guidelines for Artifact Usage" */
function statement(session: Session, { image, platform }: Result, predicateType: string, predicate: unknown): Referrer {
  const place = memory('attestation')
  const document = { _type: 'https://in-toto.io/Statement/v1', subject: subjects(session, image, platform), predicateType, predicate }
  const layer: Descriptor = { ...place.put(encode(document), inToto), annotations: { 'in-toto.io/predicate-type': predicateType } }
  const config = place.put(encode({}), mediaTypes.ociEmpty)
  const { mediaType, digest, size } = image.descriptor
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: inToto,
    config,
    layers: [layer],
    subject: { mediaType, digest, size },
    annotations: { 'in-toto.io/predicate-type': predicateType },
  }
  return { source: place, descriptor: { ...place.put(encode(manifest), mediaTypes.ociManifest), artifactType: inToto } }
}

function subjects(session: Session, image: Image, platform: Platform): readonly unknown[] {
  const digest = { [digestAlgorithm(image.descriptor.digest)]: digestHex(image.descriptor.digest) }
  const names = normalizeTags(session.options.tags ?? []).map((tag) => packageUrl(tag, platform))
  return (names.length === 0 ? ['_'] : names).map((name) => ({ name, digest }))
}

/** @see purl-spec, type docker */
export function packageUrl(name: string, platform: Platform): string {
  const { registry, repository, tag } = parseReference(name)
  const path = registry === 'docker.io' ? repository.replace(/^library\//, '') : `${registry}/${repository}`
  const version = tag === undefined ? '' : `@${encodeURIComponent(tag)}`
  return `pkg:docker/${path.split('/').map(encodeURIComponent).join('/')}${version}?platform=${encodeURIComponent(formatPlatform(platform))}`
}

/** @see SLSA v1.0, "Provenance". `max` also tells build arguments and steps. */
async function provenance(
  cx: Context,
  session: Session,
  plan: Plan,
  bases: ReadonlyMap<string, BaseImage>,
  platform: Platform,
): Promise<unknown> {
  const { options, contexts } = session
  const max = options.provenance === 'max'
  const { text, file } = await contexts.dockerfile(cx)
  const materials = plan.steps.flatMap(({ op }) => {
    if (op.kind === 'image' && op.reference !== 'scratch') {
      const base = bases.get(`${op.reference} ${formatPlatform(op.platform)}`)
      if (base === undefined) {
        return []
      }
      const { digest } = base.image.descriptor
      return [
        {
          uri: /^(?:oci|dir)[:-]/.test(base.reference) ? base.reference : packageUrl(base.reference, op.platform),
          digest: { [digestAlgorithm(digest)]: digestHex(digest) },
        },
      ]
    }
    return op.kind === 'fetch' || op.kind === 'git' ? [{ uri: redactUrl(op.url) }] : []
  })
  const epoch = session.output.epoch
  const finished = epoch === undefined ? isoTime(Date.now()) : isoTime(epoch * 1000)
  return {
    buildDefinition: {
      buildType: 'urn:stave:dockerfile:v1',
      externalParameters: {
        configSource: { path: file, digest: { sha256: digestHex(digestOf(text)) } },
        request: {
          ...(options.target === undefined ? {} : { target: options.target }),
          platform: formatPlatform(platform),
          ...(max ? { args: options.buildArgs ?? {} } : {}),
          ...(options.secrets === undefined ? {} : { secrets: options.secrets.map(({ id }) => ({ id })) }),
          ...(options.ssh === undefined ? {} : { ssh: options.ssh.map(({ id }) => ({ id })) }),
        },
      },
      internalParameters: {
        builderPlatform: `linux/${session.architecture}`,
        ...(max ? { dockerfile: text, steps: plan.steps.map((step) => ({ title: step.title, key: session.keys.get(step.id)?.key })) } : {}),
      },
      resolvedDependencies: materials,
    },
    runDetails: {
      builder: { id: 'urn:stave:local' },
      metadata: {
        // A reproducible build has the same attestation each time.
        ...(epoch === undefined ? { invocationId: session.id, startedOn: isoTime(session.startedAt) } : {}),
        finishedOn: finished,
      },
    },
  }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
