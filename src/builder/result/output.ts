import { layout, pathOf, placeOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Artifact } from '#attest/statement.ts'
import type { Source, Target } from '#image/content.ts'
import { normalizeTags, type Result } from './result.ts'
import type { Attested } from './attest.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { CopyItem, Place } from '#runner/protocol.ts'
import type { Output } from '../options.ts'
import type { Session } from '../session.ts'
import type { State } from '../solved.ts'
import { closeSync, constants, createReadStream, mkdirSync, openSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import { copy } from '#image/copy.ts'
import { deliverFile, withFileErrors } from '#image/file.ts'
import { withStep } from '#image/step.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { createFiles } from '#places/files.ts'

/** What is to be delivered: one image, or an index of several. */
export interface Delivery {
  readonly source: Source
  readonly descriptor: Descriptor
  /** The same without attestations, for what cannot hold them. */
  readonly plain: Artifact
  readonly results: readonly Result[]
  /** What is said of each of them. */
  readonly attested: readonly Attested[]
  /** What refers to the images: goes after them. */
  readonly referrers: readonly Artifact[]
}

export interface Delivered {
  readonly names: readonly string[]
  readonly pushed: readonly string[]
  /** Whether an image went anywhere at all. */
  readonly image: boolean
}

/** Brings the result to where it was asked for. */
export async function deliver(
  cx: Context,
  session: Session,
  delivery: Delivery,
  outputs: readonly Output[],
  tags: readonly string[],
): Promise<Delivered> {
  const names: string[] = []
  const pushed: string[] = []
  let image = false
  for (const output of outputs) {
    switch (output.type) {
      case 'image': {
        const wanted = output.names ?? tags
        names.push(...(await intoStore(cx, session, delivery, wanted)))
        if (output.push === true) pushed.push(...(await push(cx, session, delivery, wanted, output.byDigest === true)))
        image = true
        break
      }
      case 'registry':
        pushed.push(...(await push(cx, session, delivery, output.names ?? tags, output.byDigest === true)))
        image = true
        break
      case 'oci':
        await toFiles(cx, session, delivery, output.tar === false ? 'oci' : 'oci-archive', {
          dest: output.dest,
          names: output.names ?? tags,
        })
        image = true
        break
      case 'docker':
        await toFiles(cx, session, withoutAttestations(cx, delivery), 'docker-archive', { dest: output.dest, names: output.names ?? tags })
        image = true
        break
      case 'local':
        await toDirectory(cx, session, delivery, output.dest, output.platformSplit ?? delivery.results.length > 1)
        break
      case 'tar':
        await toTar(cx, session, delivery, output.dest, output.platformSplit ?? delivery.results.length > 1)
        break
      case 'cacheonly':
        break
      default:
        output satisfies never
    }
  }
  return { names, pushed, image }
}

function absolute(session: Session, path: string): string {
  return path === '-' ? path : resolve(session.options.cwd, path)
}

async function intoStore(cx: Context, session: Session, delivery: Delivery, tags: readonly string[]): Promise<readonly string[]> {
  // Without a name it is kept under its digest.
  const { source, descriptor } = delivery
  const names = tags.length === 0 ? [descriptor.digest] : normalizeTags(tags)
  // What the store has already is nothing to tell of.
  const isThere = delivery.results.every(({ image }) => image.manifest.layers.every((layer) => session.store.file?.(layer) !== undefined))
  const quiet: Context = isThere ? { signal: cx.signal, report() {} } : cx
  await copy(quiet, source, descriptor, session.store, { stepPrefix: 'store' })
  await copyReferrers(quiet, delivery, session.store, 'store')
  for (const name of names) await session.store.name(cx, descriptor, name)
  return names
}

async function push(
  cx: Context,
  session: Session,
  delivery: Delivery,
  tags: readonly string[],
  byDigest: boolean,
): Promise<readonly string[]> {
  if (tags.length === 0) {
    throw new StaveError('usage', 'cannot push the result: it has no name', {
      hint: 'Give it one with --tag registry.example.com/name:tag.',
    })
  }
  const { source, descriptor, results } = delivery
  const names = byDigest ? repositories(tags).map((name) => `${name}@${descriptor.digest}`) : normalizeTags(tags)
  for (const name of names) {
    const id = `push ${name}`
    await withStep(cx, { id, title: `pushing ${name}` }, async () => {
      await openOrigins(session, results)
      const { target, name: tag } = await session.options.places.target(cx, `docker://${name}`)
      // A manifest that has come is there by its digest.
      await copy(cx, source, descriptor, target, { ...(tag !== undefined && !byDigest && { name: tag }), parent: id, stepPrefix: id })
      await copyReferrers(cx, delivery, target, id, id)
    })
  }
  return names
}

function repositories(tags: readonly string[]): readonly string[] {
  return [...new Set(tags.map((tag) => parseReference(tag)).map(({ registry, repository }) => formatReference({ registry, repository })))]
}

/** A registry can take layers over from another repository of its own, if it is known that they come from there. */
async function openOrigins(session: Session, results: readonly Result[]): Promise<void> {
  for (const { state } of results) {
    let root = state
    while (root.parent !== undefined) root = root.parent
    const { base } = root
    if (base?.origin !== undefined && base.image.manifest.layers.some((layer) => session.store.file?.(layer) === undefined))
      await base.origin()
  }
}

/** Writes an OCI layout, or an archive, which may go to the standard output. */
async function toFiles(
  cx: Context,
  session: Session,
  delivery: Delivery,
  transport: 'oci' | 'oci-archive' | 'docker-archive',
  { dest, names }: { readonly dest: string; readonly names: readonly string[] },
): Promise<void> {
  const stream = transport !== 'oci' && dest === '-' ? stdoutOf(session) : undefined
  const created = await createFiles({ transport, path: dest, name: undefined, stream }, session.options)
  await using target = created.target
  await put(cx, delivery, target, normalizeTags(names))
  await target.finish?.(cx)
}

async function put(cx: Context, delivery: Delivery, target: Target, names: readonly string[]): Promise<void> {
  const { source, descriptor } = delivery
  // Without a name it is an entry of the layout nevertheless: else nobody would find it there.
  await copy(cx, source, descriptor, target, { stepPrefix: target.title, name: names[0] ?? '' })
  for (const other of names.slice(1)) await target.name(cx, descriptor, other)
  await copyReferrers(cx, delivery, target, target.title)
}

function stdoutOf(session: Session): NodeJS.WritableStream {
  const stdout = session.options.places.stdout?.()
  if (stdout === undefined) throw new StaveError('usage', 'cannot write the result to standard output: there is none')
  return stdout
}

function withoutAttestations(cx: Context, delivery: Delivery): Delivery {
  if (delivery.attested.length === 0) return delivery
  const message = 'the attestations are left out: an archive for docker load cannot hold them'
  cx.report({ type: 'warning', message, hint: 'Use --output type=oci.' })
  return { ...delivery, ...delivery.plain, referrers: [] }
}

async function copyReferrers(cx: Context, { referrers }: Delivery, target: Target, stepPrefix: string, parent?: string): Promise<void> {
  for (const { source, descriptor } of referrers)
    await copy(cx, source, descriptor, target, { stepPrefix: `${stepPrefix} attestation`, ...(parent !== undefined && { parent }) })
}

function platformDirectory({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('_')
}

async function toDirectory(cx: Context, session: Session, delivery: Delivery, dest: string, split: boolean): Promise<void> {
  for (const [at, { state, platform }] of delivery.results.entries()) {
    const path = split ? join(absolute(session, dest), platformDirectory(platform)) : absolute(session, dest)
    await withFileErrors(`write the files to ${dest}`, async () => makeDirectories(path))
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await placePlainly(cx, session, state, { fd }, await documentsOf(delivery, at, split))
    } finally {
      closeSync(fd)
    }
  }
}

/** What is said of an image, as files beside its own. @see BuildKit, local exporter */
async function documentsOf({ attested, results }: Delivery, at: number, split: boolean): Promise<readonly CopyItem[]> {
  const found = attested[at]
  if (found === undefined) return []
  const { inToto } = await import('#attest/statement.ts')
  const infix = split || results.length === 1 ? '' : `.${platformDirectory((results[at] as Result).platform)}`
  return found.statements.map((statement) => ({
    kind: 'inline',
    name: statement.predicateType.includes('spdx') ? `sbom${infix}.spdx.json` : `provenance${infix}.json`,
    content: `${JSON.stringify(inToto(found.subject, statement), undefined, 2)}\n`,
  }))
}

async function placePlainly(cx: Context, session: Session, state: State, plain: Place, documents: readonly CopyItem[]): Promise<void> {
  const { epoch } = session.output
  const selection = { from: { kind: 'lowers' as const, lowers: await state.trees() }, sources: ['.'] }
  await session.store.runner.copy(cx, {
    base: [],
    items: [{ kind: 'select', selection }, ...documents],
    to: '/',
    plain,
    ...(epoch !== undefined && { epoch }),
  })
}

async function toTar(cx: Context, session: Session, delivery: Delivery, dest: string, split: boolean): Promise<void> {
  const { results } = delivery
  const { store, output } = session
  const epoch = output.epoch === undefined ? {} : { epoch: output.epoch }
  const blob = await store.blobs.temporary()
  const path = pathOf(store, blob.path)
  const scratch = split ? await store.snapshots.create() : undefined
  try {
    let from
    if (scratch === undefined) from = { kind: 'lowers' as const, lowers: (await results[0]?.state.trees()) ?? [] }
    else {
      for (const [at, { state, platform }] of results.entries()) {
        const directory = placeOf(store, `${layout.snapshotTree(scratch.id)}/${platformDirectory(platform)}`)
        mkdirSync(pathOf(store, directory.path), { recursive: true })
        await placePlainly(cx, session, state, directory, await documentsOf(delivery, at, split))
      }
      from = { kind: 'directory' as const, root: placeOf(store, layout.snapshotTree(scratch.id)) }
    }
    await store.runner.copy(cx, {
      base: [],
      items: [{ kind: 'select', selection: { from, sources: ['.'] } }, ...(split ? [] : await documentsOf(delivery, 0, split))],
      to: '/',
      layer: { blob, compression: 'none', ...epoch },
      ...epoch,
    })
    if (dest === '-') await pipeline(createReadStream(path), stdoutOf(session), { end: false, signal: cx.signal })
    else {
      const target = absolute(session, dest)
      await withFileErrors(`write ${target}`, async () => makeDirectories(dirname(target)))
      await deliverFile(cx, path, target)
    }
  } finally {
    await store.blobs.discard(blob)
    if (scratch !== undefined) await store.snapshots.discard(scratch.id)
  }
}
