import { layout, pathOf, placeOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Digest } from '#oci/digest.ts'
import type { DigestRequest, Selection } from '#runner/protocol.ts'
import type { Job } from '#runner/runner.ts'
import type { Store } from '#store/store.ts'
import type { RemoteCache } from '../remote.ts'
import type { CopyOp, CopySource, ExecOp, Step } from '../plan/step.ts'
import { mkdirSync } from 'node:fs'
import { parseDigest } from '#oci/digest.ts'
import { selectionKey } from '../plan/key.ts'
import { treeOf, type Directory, type Download, type Solved, type State } from '../solved.ts'

type Wanted = Job<DigestRequest>['selections'][number]

/** A part of an input whose content counts for a step's key. */
export interface Chosen {
  readonly input: number
  /** Without `from`: what is chosen, whatever tree it is chosen from. */
  readonly selection: Omit<Selection, 'from' | 'ignore'>
  readonly without: readonly ('mode' | 'owner')[]
}

/** What of its inputs a step uses, in the order of its items or mounts. */
export function chosenBy(op: CopyOp | ExecOp): readonly Chosen[] {
  if (op.kind === 'copy') {
    // Symbolic modes start from the file's own; an octal one, and any owner, replace it.
    const without = [
      ...(op.chmod !== undefined && /^[0-7]+$/.test(op.chmod) ? ['mode' as const] : []),
      ...(op.chown === undefined ? [] : ['owner' as const]),
    ]
    return op.items.flatMap((item) => (item.kind === 'select' ? [{ input: item.input, selection: selectionOf(item), without }] : []))
  }
  return op.mounts.flatMap((mount) =>
    (mount.type === 'bind' || mount.type === 'cache') && mount.input !== undefined
      ? [{ input: mount.input, selection: { sources: [mount.source === '/' ? '.' : mount.source], literal: true }, without: [] }]
      : [],
  )
}

export function selectionOf(item: CopySource & { kind: 'select' }): Omit<Selection, 'from' | 'ignore'> {
  const { sources, exclude, parents, resetOwner, modes, unpack } = item
  return {
    sources,
    ...(exclude !== undefined && { exclude }),
    ...(parents !== undefined && { parents }),
    ...(resetOwner !== undefined && { resetOwner }),
    ...(modes !== undefined && { modes }),
    ...(unpack !== undefined && { unpack }),
  }
}

/** Digests of what steps choose from their inputs. */
export interface Digests {
  /** Starts one job for all that the steps choose from this directory. */
  prepare(cx: Context, steps: readonly Step[], directories: ReadonlyMap<Step, Directory>): void
  of(cx: Context, step: Step, solved: readonly Solved[]): Promise<readonly Digest[]>
  /** The same if remote caches are believed, from what they say and without looking at trees. Undefined: they do not say it. */
  claimed(cx: Context, step: Step, solved: readonly Solved[]): Promise<readonly Digest[] | undefined>
  /** What {@link of} has given, as other machines would have it. */
  renamed(step: Step, solved: readonly Solved[], digests: readonly Digest[]): Promise<readonly Digest[]>
  /** What was chosen from the trees of other steps and images, by {@link selectionKey}. */
  readonly selections: ReadonlyMap<Digest, Digest>
}

export function createDigests(store: Store, remote: RemoteCache | undefined): Digests {
  const digesting: Digesting = { store, remote, selections: new Map(), prepared: new Map(), hasDirectories: false }
  return {
    selections: digesting.selections,
    prepare: (cx, steps, directories) => prepare(cx, digesting, steps, directories),
    of: (cx, step, solved) =>
      Promise.all(
        digestSources(step, solved).map(async ({ chosen, input, source }) =>
          chosen === undefined ? (input as Download).digest : ofDirectory(cx, digesting, { chosen, input, source }),
        ),
      ),
    async claimed(cx, step, solved) {
      const digests = await Promise.all(
        digestSources(step, solved).map(async ({ chosen, input, source }) => {
          if (chosen === undefined) return (input as Download).digest
          return input.kind === 'state' ? claimed(cx, digesting, chosen, input) : ofDirectory(cx, digesting, { chosen, input, source })
        }),
      )
      return digests.every((digest) => digest !== undefined) ? digests : undefined
    },
    renamed: (step, solved, digests) =>
      Promise.all(
        digestSources(step, solved).map(async ({ chosen, input }, at) =>
          chosen !== undefined && input.kind === 'state' && isWhole(chosen) ? input.claimed : (digests[at] as Digest),
        ),
      ),
  }
}

interface Digesting {
  readonly store: Store
  readonly remote: RemoteCache | undefined
  /** @see Digests.selections */
  readonly selections: Map<Digest, Digest>
  /** What a job for all of a directory finds, by {@link preparedKey}. */
  readonly prepared: Map<string, Promise<Digest>>
  /** Whether the directories of {@link places} are there. */
  hasDirectories: boolean
}

/** Where the runner keeps what it knows of files that did not change. */
function places(digesting: Digesting): Pick<Job<DigestRequest>, 'statCache' | 'listings'> {
  const { store } = digesting
  if (!digesting.hasDirectories) {
    mkdirSync(pathOf(store, layout.statCache), { recursive: true })
    mkdirSync(pathOf(store, layout.listingsOf('sha256')), { recursive: true })
    digesting.hasDirectories = true
  }
  return { statCache: placeOf(store, layout.statCache), listings: placeOf(store, layout.listings) }
}

async function run(cx: Context, digesting: Digesting, selections: readonly Wanted[]): Promise<readonly Digest[]> {
  const result = await digesting.store.runner.digest(cx, { selections, ...places(digesting) })
  return result.selections.map(({ digest }) => parseDigest(digest))
}

async function one(cx: Context, digesting: Digesting, chosen: Chosen, from: Solved): Promise<Digest> {
  const { store, selections } = digesting
  if (from.kind === 'file') return from.digest
  if (from.kind === 'directory') return run(cx, digesting, [wanted(chosen, from)]).then(([digest]) => digest as Digest)
  const state = await from.id
  if (isWhole(chosen)) return state
  const key = keyOf(state, chosen)
  const known = store.cache.get(key)?.explanation
  let digest = known === undefined ? undefined : parseDigest(known)
  if (digest === undefined) {
    const { selection, without } = chosen
    digest = (await run(cx, digesting, [{ selection: { ...selection, from: await treeOf(from) }, without }]))[0] as Digest
    store.cache.put({ key, opKey: key, layer: undefined, explanation: digest })
  }
  // Other machines know the tree by this name.
  selections.set(keyOf(await from.claimed, chosen), digest)
  return digest
}

async function claimed(cx: Context, digesting: Digesting, chosen: Chosen, from: State): Promise<Digest | undefined> {
  const state = await from.claimed
  if (isWhole(chosen)) return state
  const key = keyOf(state, chosen)
  const said = digesting.remote?.selection(key)
  if (said !== undefined) {
    digesting.selections.set(key, said)
    return said
  }
  return state === (await from.id) ? one(cx, digesting, chosen, from) : undefined
}

/** One job was for all: of its failure only the step is to blame that fails by itself. */
function ofDirectory(cx: Context, digesting: Digesting, { chosen, input, source }: DigestSource & { chosen: Chosen }): Promise<Digest> {
  const alone = () => one(cx, digesting, chosen, input)
  return digesting.prepared.get(preparedKey(source, chosen))?.catch(alone) ?? alone()
}

function prepare(cx: Context, digesting: Digesting, steps: readonly Step[], directories: ReadonlyMap<Step, Directory>): void {
  const all = new Map<string, Wanted>()
  for (const step of steps) {
    if (step.op.kind !== 'copy' && step.op.kind !== 'exec') continue
    for (const chosen of chosenBy(step.op)) {
      const source = step.inputs[chosen.input] as Step
      const directory = directories.get(source)
      const key = preparedKey(source, chosen)
      if (directory !== undefined && !all.has(key)) all.set(key, wanted(chosen, directory))
    }
  }
  if (all.size === 0) return
  const done = run(cx, digesting, [...all.values()])
  for (const [at, key] of [...all.keys()].entries()) {
    const digest = done.then((digests) => digests[at] as Digest)
    // Who asks for it gets the error; nobody may ask.
    digest.catch(() => {})
    digesting.prepared.set(key, digest)
  }
}

/** The whole of a state is named by its id already. */
function isWhole({ selection }: Chosen): boolean {
  return selection.literal === true && selection.sources[0] === '.'
}

function keyOf(state: Digest, { selection, without }: Chosen): Digest {
  return selectionKey(state, { ...selection, without })
}

function wanted(chosen: Chosen, directory: Directory): Wanted {
  return {
    selection: { ...chosen.selection, resetOwner: true, from: { kind: 'directory', root: directory.root }, ignore: directory.ignore },
    without: chosen.without,
  }
}

function preparedKey(source: Step, chosen: Chosen): string {
  return `${source.id} ${JSON.stringify(chosen.selection)} ${chosen.without.join(',')}`
}

interface DigestSource {
  readonly chosen: Chosen | undefined
  readonly input: Solved
  readonly source: Step
}

/** Selections first, then downloads: both in the order of the items. */
function digestSources(step: Step, solved: readonly Solved[]): readonly DigestSource[] {
  const op = step.op as CopyOp | ExecOp
  const chosen = chosenBy(op).map((part): DigestSource => ({
    chosen: part,
    input: solved[part.input] as Solved,
    source: step.inputs[part.input] as Step,
  }))
  const files = op.kind === 'copy' ? op.items.flatMap((item) => (item.kind === 'file' ? [item.input] : [])) : []
  return [
    ...chosen,
    ...files.map((input): DigestSource => ({ chosen: undefined, input: solved[input] as Solved, source: step.inputs[input] as Step })),
  ]
}
