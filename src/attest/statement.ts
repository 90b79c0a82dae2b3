import type { Source } from '#image/content.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { memory } from '#image/memory.ts'
import { digestAlgorithm, digestHex } from '#oci/digest.ts'
import { mediaTypes } from '#oci/media-type.ts'

export const inTotoType = 'application/vnd.in-toto+json'
/** What BuildKit calls the artifact that holds all statements about one image. */
export const attestationType = 'application/vnd.docker.attestation.manifest.v1+json'

const predicateKey = 'in-toto.io/predicate-type'

/** What is said of an image. @see in-toto attestation, "Statement" v1 */
export interface Statement {
  readonly predicateType: string
  readonly predicate: unknown
}

/** Whom it is said of. */
export interface Subject {
  readonly descriptor: Descriptor
  /** The image's names, as package URLs; none for an image without a name. */
  readonly names: readonly string[]
}

/** An artifact, with a place that has all of it. */
export interface Artifact {
  readonly source: Source
  readonly descriptor: Descriptor
}

/** The document, in the form in which it is signed and kept. */
export function inToto({ descriptor, names }: Subject, { predicateType, predicate }: Statement): unknown {
  const digest = { [digestAlgorithm(descriptor.digest)]: digestHex(descriptor.digest) }
  const subject = (names.length === 0 ? ['_'] : names).map((name) => ({ name, digest }))
  return { _type: 'https://in-toto.io/Statement/v1', subject, predicateType, predicate }
}

/** One statement as a referrer of its subject. @see image-spec, "Guidelines for Artifact Usage" */
export function asReferrer(subject: Subject, statement: Statement): Artifact {
  return artifact(subject, [statement], inTotoType, { [predicateKey]: statement.predicateType })
}

/** All statements about an image as one entry of its index. @see BuildKit, "Image Attestation Storage" */
export function asIndexEntry(subject: Subject, statements: readonly Statement[]): Artifact {
  const { source, descriptor } = artifact(subject, statements, attestationType)
  const annotations = { 'vnd.docker.reference.digest': subject.descriptor.digest, 'vnd.docker.reference.type': 'attestation-manifest' }
  return { source, descriptor: { ...descriptor, platform: { architecture: 'unknown', os: 'unknown' }, annotations } }
}

function artifact(
  subject: Subject,
  statements: readonly Statement[],
  artifactType: string,
  annotations?: Readonly<Record<string, string>>,
): Artifact {
  const source = memory('attestation')
  const layers = statements.map((statement) => ({
    ...source.put(encode(inToto(subject, statement)), inTotoType),
    annotations: { [predicateKey]: statement.predicateType },
  }))
  const { mediaType, digest, size } = subject.descriptor
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: source.put(encode({}), mediaTypes.ociEmpty),
    layers,
    subject: { mediaType, digest, size },
    ...(annotations !== undefined && { annotations }),
  }
  return { source, descriptor: { ...source.put(encode(manifest), mediaTypes.ociManifest), artifactType } }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
