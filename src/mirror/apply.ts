import { withSignal, type Context } from '#context.ts'
import { StaveError, type ErrorCode } from '#error.ts'
import type { Source, Target } from '#image/content.ts'
import { convert } from '#image/convert.ts'
import { copy } from '#image/copy.ts'
import { openImage } from '#image/image.ts'
import { forEachBounded } from '#image/pool.ts'
import { withStep } from '#image/step.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { Format } from '#oci/media-type.ts'
import type { Reference } from '#oci/reference.ts'
import { createFiles, openFiles } from '#places/files.ts'
import type { Registry, RegistryClient } from '#registry/client/registry.ts'
import { formatPlace, type ImagePlace, type Pair } from './plan.ts'
import type { MirrorState } from './state.ts'

export interface MirrorOptions {
  /** The client that reads registries for an account of a list, or for none. */
  readonly sources: (account: string | undefined) => Promise<RegistryClient>
  readonly targets: () => Promise<RegistryClient>
  /** Of an index only the image for this platform, and not the index. */
  readonly platform?: Platform
  /** Convert manifests first. */
  readonly format?: Format
  /** Also what refers to the images. Then an image that is there is looked through nevertheless. */
  readonly referrers?: boolean
  /** Go on with the others when one fails. */
  readonly keepGoing?: boolean
  /** What earlier runs have put there; the target is not asked for it. */
  readonly state?: MirrorState
  /** Most images at a time. */
  readonly concurrency?: number
}

export interface Outcome {
  readonly pair: Pair
  /** `skipped`: another one failed before. */
  readonly state: 'copied' | 'present' | 'failed' | 'skipped'
  readonly root?: Descriptor
  readonly error?: StaveError
}

/**
 * Copies each image to its place, several at a time. What the target has under its name already costs a request at
 * each end. All images share the connections, tokens and what is known of the repositories.
 *
 * @returns what became of each, in the order of the pairs; nothing is running any more
 */
export async function applyPlan(cx: Context, pairs: readonly Pair[], options: MirrorOptions): Promise<readonly Outcome[]> {
  const abort = new AbortController()
  const inner = withSignal(cx, abort.signal)
  const ends = openEnds(options)
  const outcomes: Outcome[] = pairs.map((pair) => ({ pair, state: 'skipped' }))
  const keepGoing = options.keepGoing ?? false
  const work = async (index: number): Promise<void> => {
    try {
      const outcome = await applyOne(inner, pairs[index]!, ends, options)
      if (outcome.root !== undefined) await options.state?.note(outcome.pair, outcome.root.digest)
      outcomes[index] = outcome
    } catch (error) {
      cx.signal.throwIfAborted()
      // What was cancelled because of another failure did not fail.
      if (!abort.signal.aborted) outcomes[index] = { pair: pairs[index]!, state: 'failed', error: named(pairs[index]!, error) }
      if (!keepGoing) throw error
    }
  }
  try {
    await forEachBounded([...pairs.keys()], options.concurrency ?? 6, work, (reason) => abort.abort(reason))
  } catch (error) {
    cx.signal.throwIfAborted()
    if (!outcomes.some(({ state }) => state === 'failed')) throw error
  }
  return outcomes
}

function applyOne(cx: Context, pair: Pair, ends: Ends, options: MirrorOptions): Promise<Outcome> {
  const title = `syncing ${formatPlace(pair.from.place)} to ${formatPlace(pair.to)}`
  const work = async (): Promise<Outcome> => {
    const there = options.state?.digestOf(pair) ?? (await look(cx, pair.to, ends))
    const same = there === undefined ? undefined : await unchanged(cx, pair, there, ends, options)
    if (same !== undefined) return { pair, state: 'present', root: same }
    const { source, root } = await openSource(cx, pair, ends, options)
    if (there === root.digest && options.referrers !== true) return { pair, state: 'present', root }
    const { target, name } = await ends.target(pair.to)
    const copied = await copy(cx, source, root, target, { name, parent: title, stepPrefix: title, referrers: options.referrers ?? false })
    await target.finish?.(cx)
    return { pair, state: there === root.digest ? 'present' : 'copied', root: copied }
  }
  return withStep(cx, { id: title, title }, work, ({ state }) => ({ state: state === 'present' ? 'cached' : 'done' }))
}

/** What the source has, if that is the same. One HEAD tells, where a GET would count as a pull. */
async function unchanged(
  cx: Context,
  { from }: Pair,
  there: Digest,
  ends: Ends,
  { platform, format, referrers }: MirrorOptions,
): Promise<Descriptor | undefined> {
  if (platform !== undefined || format !== undefined || referrers === true) return undefined
  const { source, name } = await ends.source(cx, from.place, from.account)
  const here = await source.describe?.(cx, name)
  return here?.digest === there ? here : undefined
}

async function openSource(
  cx: Context,
  { from }: Pair,
  ends: Ends,
  { platform, format }: MirrorOptions,
): Promise<{ readonly source: Source; readonly root: Descriptor }> {
  const { source, name } = await ends.source(cx, from.place, from.account)
  let root = await source.resolve(cx, name)
  if (platform !== undefined) root = (await openImage(cx, source, root, platform)).descriptor
  if (format === undefined) return { source, root }
  const converted = await convert(cx, source, root, format)
  return { source: converted.source, root: converted.descriptor }
}

/** What the name stands for in the target now. */
async function look(cx: Context, to: ImagePlace, ends: Ends): Promise<Digest | undefined> {
  if (to.transport === 'docker') return (await (await ends.registry(to.reference)).look(cx, targetNameOf(to.reference)))?.digest
  try {
    // The manifest is the last thing that is written there.
    return (await (await openFiles(cx, to, around)).source.resolve(cx, '')).digest
  } catch {
    // No image, or a damaged one: it is written, and if that cannot be done, that says why.
    return undefined
  }
}

function nameOf({ tag, digest }: Reference): string {
  return digest ?? tag ?? 'latest'
}

/** Of `web:1@sha256:…`, the digest says what to read, and the tag how it is called. */
function targetNameOf({ tag, digest }: Reference): string {
  return tag ?? digest ?? 'latest'
}

/** A failure that names the image. */
function named({ from, to }: Pair, error: unknown): StaveError {
  const code: ErrorCode = error instanceof StaveError ? error.code : 'io'
  const hint = error instanceof StaveError ? error.hint : undefined
  return new StaveError(code, `cannot sync ${formatPlace(from.place)} to ${formatPlace(to)}`, {
    cause: error,
    ...(hint !== undefined && { hint }),
  })
}

/** Directories of a plan have absolute paths. */
const around = { cwd: '/' }

interface Ends {
  source(cx: Context, place: ImagePlace, account: string | undefined): Promise<{ readonly source: Source; readonly name: string }>
  target(place: ImagePlace): Promise<{ readonly target: Target; readonly name: string }>
  registry(reference: Reference): Promise<Registry>
}

/** Opens each repository once, so that its images share what is known of it. */
function openEnds({ sources, targets }: MirrorOptions): Ends {
  const opened = new Map<string, Promise<Registry>>()
  const written = new Map<string, Target>()
  const holders = new Map<string, Map<Digest, Registry>>()
  const once = (key: string, open: () => Promise<Registry>): Promise<Registry> => {
    if (!opened.has(key)) opened.set(key, open())
    return opened.get(key)!
  }
  const ends: Ends = {
    registry: (reference) => once(`to ${reference.registry}/${reference.repository}`, async () => (await targets()).open(reference)),
    async source(cx, place, account) {
      if (place.transport === 'dir') return openFiles(cx, place, around)
      const { registry, repository } = place.reference
      const source = await once(`from ${account ?? ''} ${registry}/${repository}`, async () =>
        (await sources(account)).open(place.reference),
      )
      return { source, name: nameOf(place.reference) }
    },
    async target(place) {
      if (place.transport === 'dir') return { target: (await createFiles(place, around)).target, name: '' }
      const { reference } = place
      const registry = await ends.registry(reference)
      if (!holders.has(reference.registry)) holders.set(reference.registry, new Map())
      if (!written.has(registry.title)) written.set(registry.title, sharing(registry, holders.get(reference.registry)!))
      return { target: written.get(registry.title)!, name: targetNameOf(reference) }
    },
  }
  return ends
}

/**
 * A repository that several copies write at the same time: what one of them uploads, the others wait for. What another
 * repository of the registry got meanwhile is taken over from there.
 *
 * @param holders In which repository of this registry content is by now
 */
function sharing(registry: Registry, holders: Map<Digest, Registry>): Target {
  const underway = new Map<Digest, Promise<void>>()
  return {
    ...registry,
    async has(cx, what) {
      // A failure is its own copy's; this one tries again.
      await underway.get(what.digest)?.catch(() => {})
      const found = await registry.has(cx, what)
      if (found && !holders.has(what.digest)) holders.set(what.digest, registry)
      return found
    },
    async adopt(cx, what, from) {
      if (underway.has(what.digest)) return false
      if (await registry.adopt(cx, what, from)) return true
      const holder = holders.get(what.digest)
      return holder !== undefined && holder !== registry && registry.adopt(cx, what, holder)
    },
    async transfer(cx, what, open) {
      for (let other = underway.get(what.digest); other !== undefined; other = underway.get(what.digest)) {
        if (
          await other.then(
            () => true,
            () => false,
          )
        )
          return
      }
      const upload = registry.transfer(cx, what, open)
      underway.set(what.digest, upload)
      try {
        await upload
        if (!holders.has(what.digest)) holders.set(what.digest, registry)
      } finally {
        underway.delete(what.digest)
      }
    },
  }
}
