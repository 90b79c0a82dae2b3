import type { Context } from '#context.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'

/**
 * A stream of bytes. It is read once. With `verifies`, it fails at its end unless it was exactly what that digest
 * names: a target that acts only on a complete stream need not hash the bytes a second time.
 *
 * Whoever reads a stream owns what comes. It may give bytes back (`release` in `buffers.ts`) once nobody looks at them any
 * more, and copies what it keeps for long: a few bytes hold the whole buffer that they came in.
 */
export type Bytes = AsyncIterable<Uint8Array> & { readonly verifies?: Digest }

/** Content that is an entry of a place by itself, not only mentioned by other content there. */
export interface Listed {
  readonly descriptor: Descriptor
  /** As {@link Source.resolve} takes them; content without a name is asked for by digest. */
  readonly names: readonly string[]
}

/** A place that can be read, in descriptors: a registry repository, an OCI layout, an archive, the store, memory. */
export interface Source extends AsyncDisposable {
  /** What a person would call this place: `docker.io/library/debian`, `oci:/tmp/out`. For messages. */
  readonly title: string
  /** Looks a name up: a tag, a digest, a reference annotation. @throws StaveError `not-found` */
  resolve(cx: Context, name: string): Promise<Descriptor>
  /**
   * Streams content, from byte `from` on. The stream fails at its end unless size and digest match;
   * nothing may act on the bytes before that. With `from > 0` the digest of the whole is not checked.
   *
   * @throws StaveError `blob-unknown`, `digest-mismatch`, `size-mismatch`
   */
  open(cx: Context, what: Descriptor, from?: number): Promise<Bytes>
  /** What a name stands for, without its content being sent: what costs less than {@link resolve}. Undefined: it cannot be said. */
  describe?(cx: Context, name: string): Promise<Descriptor | undefined>
  /** Descriptors of the manifests whose `subject` is this digest. */
  referrers?(cx: Context, subject: Digest): Promise<readonly Descriptor[]>
  /** The absolute path of the file that holds exactly this content, if there is one. */
  file?(what: Descriptor): string | undefined
  /** All entries of a place that has few: a layout, an archive. Each content once. */
  list?(cx: Context): Promise<readonly Listed[]>
  /** Where this place only lays others on top of each other (a base image and the layers above it): the one that has it. */
  origin?(what: Descriptor): Source | undefined
}

/** A place that can also be written. */
export interface Target extends Source {
  has(cx: Context, what: Descriptor): Promise<boolean>
  /** What a name stands for in the place that is written to. Undefined: nothing, or it cannot be said. */
  look?(cx: Context, name: string): Promise<Descriptor | undefined>
  /** Writes content, all or nothing, and verifies it. Writing what is there already is no error. */
  write(cx: Context, what: Descriptor, bytes: Bytes): Promise<void>
  /** Gives content a name. Comes last: it makes it visible. */
  name(cx: Context, root: Descriptor, name: string): Promise<void>
  /**
   * Like `write`, of content that can be opened more than once, from any byte on: lets a place restart or resume what
   * broke off midway, and not open what it has by now. Where it exists, it is to be preferred.
   */
  transfer?(cx: Context, what: Descriptor, open: (from: number) => Promise<Bytes>): Promise<void>
  /** Takes content over without moving its bytes (cross-repository mount, reflink, hard link). False: do it by hand. */
  adopt?(cx: Context, what: Descriptor, from: Source): Promise<boolean>
  /**
   * Where a name alone does not make it visible (an archive is one file): writes the end and puts it in its place.
   * Disposing does it too, if something was named and nothing failed or was left unfinished; else the place stays as it was.
   */
  finish?(cx: Context): Promise<void>
}
