import type { Layer } from '#image/image.ts'
import type { Digest } from '#oci/digest.ts'
import type { IgnorePattern, Place, Tree } from '#runner/protocol.ts'
import type { BaseImage } from './input/images.ts'

/** A layer that a step made. */
export interface BuiltLayer extends Layer {
  readonly treeDigest: string
  readonly createdAt: Date
  /** A remote cache says that it is what the step makes. Its tree digest is a claim. */
  readonly foreign?: true
}

/** What the records of a remote cache say of a layer, whether the layer is there or not. */
export interface Promised {
  readonly digest: Digest
  readonly diffID: Digest
  readonly treeDigest: string
  /** ISO 8601. */
  readonly created: string
}

/**
 * A file tree that the build has come to. It can be used ({@link trees}) as soon as the step that makes it has
 * ended; its name and its layer may come later, when what the step left has been read and packed.
 */
export interface State {
  readonly kind: 'state'
  readonly parent: State | undefined
  /** At the root of a chain. */
  readonly base: BaseImage | undefined
  readonly id: Promise<Digest>
  /**
   * Its name if remote caches are believed in what their layers do. By this one, and by no other, steps are looked up in
   * them: a cache that lies can spoil what is its own, but not lead to other results of this store.
   */
  readonly claimed: Promise<Digest>
  /**
   * A step before it, or its own, is only promised by a remote cache: to know its `id`, its layers or its trees, steps
   * are executed.
   */
  readonly isPromised: boolean
  /** What a remote cache says of the step's layer without having it. */
  readonly promise?: Promised
  /** Undefined: it changed nothing. Of a base image: always. */
  readonly layer: Promise<BuiltLayer | undefined>
  /** Layer trees for the runner, top first; unpacked if they are not there. */
  trees(): Promise<readonly Place[]>
}

/** A directory to copy from. */
export interface Directory {
  readonly kind: 'directory'
  readonly root: Place
  readonly ignore: readonly IgnorePattern[]
  /** For messages: `the build context`. */
  readonly title: string
  /** The ignore file's name, for messages. */
  readonly ignoreFile: string | undefined
  /** What is copied from it gets no time after this one, in seconds since 1970. */
  readonly latest?: number
}

/** How the layer of a step is written that copies from these inputs: a checkout can bring its own last time along. */
export function withTimesOf<Format extends { readonly epoch?: number }>(format: Format, inputs: readonly Solved[]): Format {
  const times = inputs.flatMap((input) => (input.kind === 'directory' && input.latest !== undefined ? [input.latest] : []))
  return times.length === 0 ? format : { ...format, epoch: Math.min(format.epoch ?? Number.POSITIVE_INFINITY, ...times) }
}

/** A downloaded file. */
export interface Download {
  readonly kind: 'file'
  readonly file: Place
  readonly digest: Digest
  readonly mtime: number | undefined
}

export type Solved = State | Directory | Download

export async function treeOf(solved: State | Directory): Promise<Tree> {
  return solved.kind === 'directory' ? { kind: 'directory', root: solved.root } : { kind: 'lowers', lowers: await solved.trees() }
}
