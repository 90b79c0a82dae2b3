import { setImmediate } from 'node:timers/promises'
import { StaveError } from '#error.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import { decodeManifestOrIndex, type ManifestOrIndex } from '#oci/manifest.ts'
import { isManifestOrIndex } from '#oci/media-type.ts'
import type { Kept, Storage } from './storage.ts'
import type { Usage } from './usage.ts'

/** What is garbage. Times are in milliseconds since something was last asked for, or written. */
export interface CollectOptions {
  /** Blobs and content that nothing mentions, after this. Default: an hour. */
  readonly graceMs?: number
  /** Manifests without a tag that no other one mentions, after this. Default: they stay. */
  readonly untaggedMs?: number
  /** Uploads that nothing was added to, after this. Default: a week. */
  readonly uploadMs?: number
  /** Says what would be removed, and removes nothing. */
  readonly dryRun?: boolean
}

/** What was removed, or would be. */
export interface Collected {
  readonly manifests: number
  /** From repositories; another one may still have the same content. */
  readonly blobs: number
  readonly uploads: number
  /** Bytes that are free now. */
  readonly bytes: number
  /** What was left as it is because it could not be read: `repository: reason`. */
  readonly skipped: readonly string[]
}

const hour = 3_600_000
const uploadMs = 7 * 24 * hour
/** The clock of a file system lags behind, by less than this: what is younger counts as used just now. */
const clockMs = 1000

interface Count {
  manifests: number
  blobs: number
  uploads: number
  bytes: number
  readonly skipped: string[]
}

interface Plan {
  readonly storage: Storage
  readonly usage: Usage | undefined
  readonly isDry: boolean
  /** What was used at this time or later stays. */
  readonly blobsBefore: number
  readonly manifestsBefore: number
  readonly count: Count
}

/**
 * Removes what nothing needs: manifests without a tag when they are old enough, blobs that no manifest of their repository
 * mentions, content that no repository has, uploads that were given up. It works beside those who push: each thing is
 * looked at again, in its repository's turn, just before it goes. What mentions others goes before them, so it can be killed
 * at any time, and the next run goes on.
 *
 * @throws StaveError `io`
 */
export async function collect(storage: Storage, options: CollectOptions = {}, usage?: Usage): Promise<Collected> {
  const now = Date.now()
  const before = (ageMs: number) => now - Math.max(ageMs, clockMs)
  const plan: Plan = {
    storage,
    usage,
    isDry: options.dryRun ?? false,
    blobsBefore: before(options.graceMs ?? hour),
    manifestsBefore: options.untaggedMs === undefined ? -Infinity : before(options.untaggedMs),
    count: { manifests: 0, blobs: 0, uploads: 0, bytes: 0, skipped: [] },
  }
  const linked = new Set<Digest>()
  for await (const repository of storage.walkRepositories()) {
    await sweepUploads(plan, repository, before(options.uploadMs ?? uploadMs))
    const stays = await sweepRepository(plan, repository)
    for (const digest of stays) linked.add(digest)
  }
  for await (const { digest, size, usedMs } of storage.walkContent()) {
    if (linked.has(digest) || usedMs >= plan.blobsBefore) continue
    plan.count.bytes += plan.isDry ? size : await storage.removeContent(digest, plan.blobsBefore)
  }
  if (!plan.isDry) await storage.removeTemporary(before(uploadMs))
  return plan.count
}

/** Removes the uploads that were given up a week ago, and what a process that was killed left half written. */
export async function removeAbandoned(storage: Storage): Promise<void> {
  const beforeMs = Date.now() - uploadMs
  for await (const repository of storage.walkRepositories())
    for await (const { id, usedMs } of storage.walkUploads(repository)) if (usedMs < beforeMs) await storage.removeUpload(repository, id)
  await storage.removeTemporary(beforeMs)
}

async function sweepUploads({ storage, usage, isDry, count }: Plan, repository: string, beforeMs: number): Promise<void> {
  for await (const { id, size, usedMs } of storage.walkUploads(repository)) {
    if (usedMs >= beforeMs) continue
    count.uploads++
    count.bytes += size
    if (isDry) continue
    await storage.removeUpload(repository, id)
    usage?.give(repository, size)
  }
}

/** A manifest, and what it keeps. */
interface Node {
  readonly usedMs: number
  readonly children: readonly Digest[]
  readonly blobs: readonly Digest[]
  readonly subject: Digest | undefined
}

/** @returns what the repository has afterwards */
async function sweepRepository(plan: Plan, repository: string): Promise<Set<Digest>> {
  const { storage, count } = plan
  const stays = new Set<Digest>()
  let nodes: Map<Digest, Node>
  try {
    nodes = await readNodes(storage, repository)
  } catch (error) {
    if (!(error instanceof StaveError)) throw error
    // What cannot be read may mention anything.
    count.skipped.push(`${repository}: ${error.message}`)
    for (const kind of ['blobs', 'manifests'] as const)
      for await (const { digest } of storage.walkLinks(repository, kind)) stays.add(digest)
    return stays
  }
  const live = await sweepManifests(plan, repository, nodes)
  const used = new Set<Digest>()
  for (const digest of live) {
    stays.add(digest)
    for (const blob of nodes.get(digest)!.blobs) used.add(blob)
  }
  for await (const { digest, usedMs } of storage.walkLinks(repository, 'blobs')) {
    if (used.has(digest) || usedMs >= plan.blobsBefore || !(await removeIfOld(plan, repository, 'blobs', digest))) stays.add(digest)
    else count.blobs++
  }
  return stays
}

async function readNodes(storage: Storage, repository: string): Promise<Map<Digest, Node>> {
  const nodes = new Map<Digest, Node>()
  for await (const kept of storage.walkLinks(repository, 'manifests')) {
    const mediaType = await storage.manifestType(repository, kept.digest)
    // Deleted just now, or its content was lost: then it mentions nothing that anyone could read.
    if (mediaType === undefined || (await storage.contentSize(kept.digest)) === undefined) continue
    nodes.set(kept.digest, nodeOf(kept, decodeManifestOrIndex(await storage.readManifest(kept.digest), { mediaType, title: kept.digest })))
    // Decoding is work: whoever is served comes in between.
    await setImmediate()
  }
  return nodes
}

function nodeOf({ usedMs }: Kept, document: ManifestOrIndex): Node {
  if (document.kind === 'manifest') {
    const { config, layers, subject } = document.manifest
    return { usedMs, children: [], blobs: [config, ...layers].map(({ digest }) => digest), subject: subject?.digest }
  }
  const { manifests, subject } = document.index
  const digests = (isNested: boolean) =>
    manifests.filter(({ mediaType }) => isManifestOrIndex(mediaType) === isNested).map(({ digest }) => digest)
  return { usedMs, children: digests(true), blobs: digests(false), subject: subject?.digest }
}

/** Removes the manifests that nothing needs. @returns those that stay */
async function sweepManifests(plan: Plan, repository: string, nodes: ReadonlyMap<Digest, Node>): Promise<Set<Digest>> {
  const needs = edgesOf(nodes)
  const live = new Set<Digest>()
  const keep = (digest: Digest) => {
    const waiting = [digest]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (live.has(next) || !nodes.has(next)) continue
      live.add(next)
      waiting.push(...needs.get(next)!)
    }
  }
  for (const tag of (await plan.storage.listTags(repository)) ?? []) {
    const digest = await plan.storage.readTag(repository, tag)
    if (digest !== undefined && isDigest(digest)) keep(digest)
  }
  for (const [digest, { usedMs }] of nodes) if (usedMs >= plan.manifestsBefore) keep(digest)

  for (const digest of parentsFirst(nodes, needs, live)) {
    // Somebody pushed again what mentions it: it is live by now.
    if (live.has(digest)) continue
    if (!(await removeIfOld(plan, repository, 'manifests', digest, nodes.get(digest)!.subject))) keep(digest)
    else plan.count.manifests++
  }
  return live
}

/** What each manifest keeps: what it mentions, and what refers to it. */
function edgesOf(nodes: ReadonlyMap<Digest, Node>): Map<Digest, Digest[]> {
  const needs = new Map<Digest, Digest[]>()
  for (const [digest, { children }] of nodes) {
    needs.set(
      digest,
      children.filter((child) => nodes.has(child)),
    )
  }
  for (const [digest, { subject }] of nodes) if (subject !== undefined) needs.get(subject)?.push(digest)
  return needs
}

/** Those that are not live, each before what it keeps: what is half removed must not show an index without its images. */
function parentsFirst(nodes: ReadonlyMap<Digest, Node>, needs: ReadonlyMap<Digest, Digest[]>, live: ReadonlySet<Digest>): Digest[] {
  const dead = [...nodes.keys()].filter((digest) => !live.has(digest))
  const sorted = new Set(inOrder(dead, (digest) => needs.get(digest)!))
  // An index may be a referrer of what is in it: such a circle has no first, but what mentions what never is one.
  const rest = dead.filter((digest) => !sorted.has(digest))
  return [...sorted, ...inOrder(rest, (digest) => nodes.get(digest)!.children)]
}

/** Kahn's algorithm: what is in a circle, or below one, is left out. */
function inOrder(all: readonly Digest[], below: (digest: Digest) => readonly Digest[]): Digest[] {
  const above = new Map(all.map((digest) => [digest, 0]))
  for (const digest of all) for (const child of below(digest)) if (above.has(child)) above.set(child, above.get(child)! + 1)
  const order = all.filter((digest) => above.get(digest) === 0)
  for (const digest of order) {
    for (const child of below(digest)) {
      const left = (above.get(child) ?? 0) - 1
      above.set(child, left)
      if (left === 0) order.push(child)
    }
  }
  return order
}

/** Removes one thing, if nobody asked for it meanwhile. */
async function removeIfOld(
  { storage, isDry, blobsBefore, manifestsBefore }: Plan,
  repository: string,
  kind: 'blobs' | 'manifests',
  digest: Digest,
  subject?: Digest,
): Promise<boolean> {
  if (isDry) return true
  return storage.inTurn(repository, async () => {
    const usedMs = await storage.linkUsed(repository, kind, digest)
    if (usedMs === undefined || usedMs >= (kind === 'blobs' ? blobsBefore : manifestsBefore)) return usedMs === undefined
    await storage.unlink(repository, kind, digest)
    if (subject !== undefined) await storage.deleteReferrer(repository, subject, digest)
    return true
  })
}
