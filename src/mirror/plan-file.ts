import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import { formatReference, parseReference, type Reference } from '#oci/reference.ts'
import { formatPlace, type ImagePlace, type Pair } from './plan.ts'
import type { Mount, Survey, Upload } from './survey.ts'

/** What of the flags of the plan decides what is copied: applying it does the same. */
export interface PlanOptionsKept {
  /** Every platform of an index, and not that of this machine alone. */
  readonly all: boolean
  readonly format?: 'oci' | 'docker'
  readonly referrers: boolean
}

/** A plan as it lies in a file. */
export interface PlanFile {
  readonly options: PlanOptionsKept
  /** The YAML that it was made of: accounts are read from it again. Absolute. */
  readonly list?: string
  /** What is to be copied, and the digest that the source had. */
  readonly copies: readonly { readonly pair: Pair; readonly digest: Digest }[]
  /** Tags of the target that are to be deleted. */
  readonly deletions: readonly Reference[]
}

export interface Totals {
  readonly images: number
  readonly copies: number
  readonly manifests: number
  readonly blobs: number
  /** What crosses the network, in bytes, without manifests. */
  readonly bytes: number
  readonly mounts: number
  readonly deletions: number
}

const version = 1

export function totalsOf(survey: Survey, deletions: readonly Reference[]): Totals {
  return {
    images: survey.images.length,
    copies: survey.images.filter(({ state }) => state === 'copy').length,
    manifests: survey.manifests,
    blobs: survey.uploads.length,
    bytes: survey.uploads.reduce((sum, { size }) => sum + size, 0),
    mounts: survey.mounts.length,
    deletions: deletions.length,
  }
}

/** The plan as a document: what is to be done, for people and programs, with nothing secret in it. */
export function formatPlan(
  survey: Survey,
  deletions: readonly Reference[],
  kept: { readonly options: PlanOptionsKept; readonly list?: string | undefined },
): object {
  const blob = ({ digest, size, to }: Upload) => ({ digest, size, to })
  const mount = ({ digest, size, from, to }: Mount) => ({ digest, size, from, to })
  return {
    'stave-sync-plan': version,
    options: kept.options,
    ...(kept.list !== undefined && { list: kept.list }),
    totals: totalsOf(survey, deletions),
    images: survey.images.map(({ pair: { from, to }, state, root }) => ({
      from: formatPlace(from.place),
      to: formatPlace(to),
      ...(from.account !== undefined && { account: from.account }),
      digest: root.digest,
      state,
    })),
    uploads: survey.uploads.map(blob),
    mounts: survey.mounts.map(mount),
    deletions: deletions.map((reference) => formatPlace({ transport: 'docker', reference })),
  }
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Reads a plan that {@link formatPlan} made. It may have been edited: an image or a deletion that was taken out is not done.
 *
 * @param path For messages, and where a relative list would lie
 * @throws StaveError `invalid-document`, `unsupported` for another version, `invalid-reference`
 */
export function parsePlan(text: string, path: string): PlanFile {
  const wrong = (why: string): StaveError => new StaveError('invalid-document', `cannot apply ${path}: ${why}`)
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (cause) {
    throw new StaveError('invalid-document', `cannot apply ${path}: it is no JSON`, { cause })
  }
  const plan = fieldsOf(document)
  if (plan?.['stave-sync-plan'] === undefined) throw wrong('it is no plan of a sync')
  if (plan['stave-sync-plan'] !== version) {
    throw new StaveError(
      'unsupported',
      `cannot apply ${path}: it is a plan of another version (${JSON.stringify(plan['stave-sync-plan'])}, not ${version})`,
      {
        hint: 'Make a new plan: stave sync --plan FILE.',
      },
    )
  }
  const options = fieldsOf(plan['options']) ?? {}
  const { format } = options
  if (format !== undefined && format !== 'oci' && format !== 'docker') throw wrong(`options: format is ${JSON.stringify(format)}`)
  const images = listOf(plan['images'], 'images', wrong).filter(({ state }) => state !== 'present')
  const copies = images.map(({ from, to, account, digest }, index) => {
    if (typeof digest !== 'string' || !isDigest(digest)) throw wrong(`image ${index} has no digest`)
    const place = placeOf(from, wrong)
    return {
      pair: { from: { place, scope: '', ...(typeof account === 'string' && { account }) }, to: placeOf(to, wrong) },
      digest,
    }
  })
  const deletions = (Array.isArray(plan['deletions']) ? (plan['deletions'] as readonly unknown[]) : []).map((text) => {
    const place = placeOf(text, wrong)
    if (place.transport !== 'docker' || place.reference.tag === undefined)
      throw wrong(`${formatPlace(place)} is no tag that could be deleted`)
    return place.reference
  })
  const { list } = plan
  return {
    options: { all: options['all'] !== false, referrers: options['referrers'] === true, ...(format !== undefined && { format }) },
    ...(typeof list === 'string' && { list: resolve(list) }),
    copies,
    deletions,
  }
}

function placeOf(text: unknown, wrong: (why: string) => StaveError): ImagePlace {
  if (typeof text === 'string' && text.startsWith('docker://')) {
    const reference = parseReference(text.slice('docker://'.length))
    if (formatReference(reference) !== text.slice('docker://'.length)) throw wrong(`${JSON.stringify(text)} is not written in full`)
    return { transport: 'docker', reference }
  }
  if (typeof text === 'string' && text.startsWith('dir:/') && !text.split('/').includes('..') && !text.includes('\0'))
    return { transport: 'dir', path: text.slice('dir:'.length) }

  throw wrong(`${JSON.stringify(text)} is no place of an image`)
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}

function listOf(value: unknown, name: string, wrong: (why: string) => StaveError): readonly Fields[] {
  if (!Array.isArray(value)) throw wrong(`${name} is no list`)
  return (value as readonly unknown[]).map((item) => {
    const fields = fieldsOf(item)
    if (fields === undefined) throw wrong(`${name} has something that is no object`)
    return fields
  })
}
