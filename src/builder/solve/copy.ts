import type { Context } from '#context.ts'
import type { CopyItem, CopyRequest, MadeTree, Place } from '#runner/protocol.ts'
import type { Job } from '#runner/runner.ts'
import type { Session } from '../session.ts'
import type { Solved, State } from '../solved.ts'
import type { CopyOp, CopySource, Step } from '../plan/step.ts'
import { StaveError } from '#error.ts'
import { selectionOf } from '../input/digests.ts'
import { keepLayer, type MadeLayer } from './layer.ts'
import { withSource } from './missing-source.ts'
import { treeOf, withTimesOf } from '../solved.ts'

/** What a COPY, ADD or WORKDIR has made. */
export interface Copied {
  /** The tree, where one was asked for. */
  readonly fs: Place | undefined
  readonly snapshot: string | undefined
  /** What became of the tree. */
  readonly made?: MadeTree
  /** Undefined for a WORKDIR that was there already. */
  readonly layer: MadeLayer | undefined
}

/** Makes the layer, and in the same pass the tree if a later step needs it. */
export async function copyFiles(
  cx: Context,
  session: Session,
  step: Step,
  op: CopyOp,
  parent: State,
  inputs: readonly Solved[],
  needsTree: boolean,
): Promise<Copied> {
  const { store } = session
  // An independent layer does not look at what is below it.
  const base = op.link === true ? [] : await parent.trees()
  const items: CopyItem[] = []
  for (const item of op.items) items.push(await itemOf(item, inputs))
  const snapshot = needsTree ? await store.snapshots.create() : undefined
  const blob = await store.blobs.temporary()
  const output = withTimesOf(session.output, inputs)
  const { epoch } = output
  const job: Job<CopyRequest> = {
    base,
    items,
    to: op.to,
    ...(op.chown !== undefined && { chown: op.chown }),
    ...(op.user !== undefined && { user: op.user }),
    ...(op.chmod !== undefined && { chmod: op.chmod }),
    ...(op.link !== undefined && { link: op.link }),
    ...(op.parents !== undefined && { parents: op.parents }),
    ...(snapshot !== undefined && { tree: snapshot.place, form: snapshot.form }),
    layer: { ...output, blob },
    ...(epoch !== undefined && { epoch }),
  }
  try {
    const result = await store.runner.copy(cx, job)
    warnUnmatched(cx, step, result.unmatched)
    if (result.layer === undefined) throw new StaveError('runner', `cannot use the result of ${step.title}: the runner made no layer`)
    const isWorkdir = op.items.every(({ kind }) => kind === 'directory')
    if (isWorkdir && result.layer.entries === 0) {
      await store.blobs.discard(blob)
      if (snapshot !== undefined) await store.snapshots.discard(snapshot.id)
      return { fs: undefined, snapshot: undefined, layer: undefined }
    }
    const layer = await keepLayer(store, blob, result.layer, session.output)
    const made = result.tree
    if (made?.why !== undefined)
      cx.report({ type: 'debug', message: `layer ${layer.descriptor.digest} is unpacked and not mounted: ${made.why}` })
    return {
      fs: snapshot === undefined ? undefined : { ...snapshot.place, path: `${snapshot.place.path as string}/fs` },
      snapshot: snapshot?.id,
      ...(made !== undefined && { made }),
      layer,
    }
  } catch (error) {
    await store.blobs.discard(blob)
    if (snapshot !== undefined) await store.snapshots.discard(snapshot.id)
    throw withSource(error, step, inputs)
  }
}

async function itemOf(item: CopySource, inputs: readonly Solved[]): Promise<CopyItem> {
  switch (item.kind) {
    case 'select': {
      const input = inputs[item.input] as Exclude<Solved, { kind: 'file' }>
      const ignore = input.kind === 'directory' && input.ignore.length > 0 ? { ignore: input.ignore } : {}
      return { kind: 'select', selection: { ...selectionOf(item), from: await treeOf(input), ...ignore } }
    }
    case 'file': {
      const input = inputs[item.input] as Extract<Solved, { kind: 'file' }>
      const mtime = input.mtime === undefined ? {} : { mtime: input.mtime }
      return { kind: 'file', name: item.name, file: input.file, mode: 0o600, ...mtime, ...(item.unpack === true ? { unpack: true } : {}) }
    }
    case 'inline':
      return { kind: 'inline', name: item.name, content: item.content }
    case 'directory':
      return { kind: 'directory' }
  }
}

/** Optional files are copied with a wildcard that may match nothing: no error, but said. */
function warnUnmatched(cx: Context, step: Step, unmatched: readonly string[]): void {
  for (const pattern of unmatched) {
    cx.report({
      type: 'warning',
      id: step.id,
      message: `${JSON.stringify(pattern)} matches no file`,
      ...(step.span !== undefined && { file: step.span.file, line: step.span.line }),
    })
  }
}
