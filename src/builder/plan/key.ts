import type { CopyOp, ExecOp } from './step.ts'
import { digestOf, type Digest } from '#oci/digest.ts'

/**
 * A cache key is the digest of a JSON text, its *pre-image*, that holds all that decides a step's result and nothing
 * else: no path or time of this machine, no owner of a checkout, no secret. It is kept with the record, so that a
 * miss can be explained by comparing two of them.
 *
 * A *state id* names a file tree by its content: that of an image is the digest of its diffIDs, that of a
 * step's result is made of its parent's and of the digest of what the step changed. Steps that come after another
 * therefore do not see that it was executed again, if what it left is the same (early cut-off).
 */
export interface PreImage {
  /** Counts up whenever equal pre-images would mean different results. */
  readonly version: typeof keyVersion
  readonly op: Readonly<Record<string, unknown>>
  /** The state that it works on; absent for what does not look at it (COPY --link). */
  readonly state?: Digest
  /** Digests of what is copied or mounted, by position. */
  readonly inputs: readonly Digest[]
  /** How the layer is written, where that is not the default. */
  readonly layer?: LayerFormat
}

export interface LayerFormat {
  readonly compression?: 'zstd' | 'none'
  readonly level?: number
  readonly epoch?: number
}

export const keyVersion = 1

export interface StepKey {
  readonly key: Digest
  /** Of the operation without its inputs: the same for every earlier try of the same instruction. */
  readonly opKey: Digest
  readonly preImage: string
}

export function stepKey(op: CopyOp | ExecOp, state: Digest, inputs: readonly Digest[], layer: LayerFormat): StepKey {
  const preImage = canonical({
    version: keyVersion,
    op: keyPart(op),
    ...(op.kind === 'copy' && op.link === true ? {} : { state }),
    inputs,
    ...(Object.keys(layer).length === 0 ? {} : { layer }),
  } satisfies PreImage)
  return { key: digestOf(preImage), opKey: operationKey(op), preImage }
}

export function operationKey(op: CopyOp | ExecOp): Digest {
  return digestOf(canonical(keyPart(op)))
}

/** Key of a selection's digest, by the content of the tree it is chosen from: spares looking at the tree again. */
export function selectionKey(state: Digest, selection: Readonly<Record<string, unknown>>): Digest {
  return digestOf(canonical({ version: keyVersion, selection, state }))
}

export const emptyState: Digest = digestOf('stave: the empty tree')

export function imageState(diffIDs: readonly Digest[]): Digest {
  return diffIDs.reduce((state, diffID) => digestOf(`${state} + layer ${diffID}`), emptyState)
}

export function nextState(state: Digest, treeDigest: string): Digest {
  return digestOf(`${state} + change ${treeDigest}`)
}

/** The layer that a remote cache says is a step's: what it did to the tree is known only from there, so its own bytes name it. */
export function foreignState(state: Digest, diffID: Digest): Digest {
  return digestOf(`${state} + foreign layer ${diffID}`)
}

/** What of an operation decides its result. Content of secrets, agents and cache mounts never does; nor do proxies and addresses of hosts. */
function keyPart(op: CopyOp | ExecOp): Record<string, unknown> {
  if (op.kind === 'copy') return { ...op }
  const { proxyEnv: _proxy, shell: _shell, mounts, ...rest } = op
  return {
    ...rest,
    mounts: mounts.map((mount) => {
      if (mount.type !== 'cache') return mount
      // Which directory it is, and who else may use it, does not change what the command is to do.
      const { id: _id, sharing: _sharing, mode: _mode, uid: _uid, gid: _gid, ...cache } = mount
      return cache
    }),
  }
}

/** JSON with sorted keys and without what is undefined: equal values are equal texts. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part
    const record = part as Record<string, unknown>
    const sorted: Record<string, unknown> = {}
    for (const key of Object.keys(record).sort()) sorted[key] = record[key]
    return sorted
  })
}
