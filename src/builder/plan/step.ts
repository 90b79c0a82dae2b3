import type { Span } from '#error.ts'
import type { Platform } from '#oci/descriptor.ts'

/**
 * A node of the build graph. Immutable. It makes a *state* (a file tree): an image, or the state of `parent` with one
 * more layer; or it is something to copy from (a local directory, a download, a git checkout).
 */
export interface Step {
  /** Unique within a plan. */
  readonly id: string
  readonly op: Op
  /** The state that this one is built on. Absent: the empty tree. */
  readonly parent?: Step
  /** What the operation reads besides, named in it by position. */
  readonly inputs: readonly Step[]
  readonly span: Span | undefined
  /** What a person reads: `[build 2/5] RUN make`. */
  readonly title: string
  /** Name of the stage, or its number. */
  readonly stage: string
  /** False with `--no-cache`. */
  readonly useCache: boolean
}

export type Op = ImageOp | LocalOp | FetchOp | GitOp | CopyOp | ExecOp

/** A base image, or one to copy from. */
export interface ImageOp {
  readonly kind: 'image'
  readonly reference: string
  readonly platform: Platform
}

/** A build context: `''` is the main one, else a named one. */
export interface LocalOp {
  readonly kind: 'local'
  readonly context: string
}

/** ADD of a URL. */
export interface FetchOp {
  readonly kind: 'fetch'
  readonly url: string
  readonly checksum?: string
  /** A base image asks for it, by its ONBUILD. */
  readonly isForeign?: true
}

/** ADD of a git repository, or a named context that is one. */
export interface GitOp {
  readonly kind: 'git'
  readonly url: string
  readonly keepGitDir?: boolean
  readonly checksum?: string
  /** A base image asks for it, by its ONBUILD. */
  readonly isForeign?: true
}

/** COPY, ADD, WORKDIR. */
export interface CopyOp {
  readonly kind: 'copy'
  readonly items: readonly CopySource[]
  /** Absolute. A trailing slash means: a directory. */
  readonly to: string
  readonly chown?: string
  readonly chmod?: string
  readonly link?: boolean
  readonly parents?: boolean
  /** The owner of directories that WORKDIR makes. */
  readonly user?: string
}

export type CopySource =
  | {
      readonly kind: 'select'
      readonly input: number
      readonly sources: readonly string[]
      readonly exclude?: readonly string[]
      readonly parents?: boolean
      readonly resetOwner?: boolean
      /** Modes of a context's files as git records them. */
      readonly modes?: 'git'
      readonly unpack?: boolean
    }
  | { readonly kind: 'file'; readonly input: number; readonly name: string; readonly unpack?: boolean }
  | { readonly kind: 'inline'; readonly name: string; readonly content: string }
  | { readonly kind: 'directory' }

export interface ExecOp {
  readonly kind: 'exec'
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly user?: string
  /** BUILDKIT_SANDBOX_HOSTNAME, if it is given. */
  readonly hostname?: string
  readonly network: 'host' | 'none'
  readonly insecure?: boolean
  readonly mounts: readonly ExecMount[]
  readonly devices?: readonly { readonly name: string; readonly required: boolean }[]
  /** A heredoc that is a program of its own: `/dev/pipes/<name>`. */
  readonly script?: { readonly name: string; readonly content: string }
  readonly hosts?: readonly string[]
  readonly platform: Platform
  /** What the sandbox allows or shows besides the usual, as far as it is the same on every machine. */
  readonly sandbox?: Readonly<Record<string, unknown>>
  /** Proxy variables: not part of the key. */
  readonly proxyEnv: readonly string[]
  /** The shell of the stage, for `--debug`. Not part of the key. */
  readonly shell: readonly string[]
}

/** Targets are absolute. `input` undefined in a bind mount: an empty tree (`from=scratch`). */
export type ExecMount =
  | { readonly type: 'bind'; readonly target: string; readonly input?: number; readonly source: string; readonly readonly: boolean }
  | {
      readonly type: 'cache'
      readonly target: string
      readonly id: string
      readonly sharing: 'shared' | 'private' | 'locked'
      readonly readonly: boolean
      readonly input?: number
      readonly source: string
      readonly mode?: number
      readonly uid?: number
      readonly gid?: number
    }
  | { readonly type: 'tmpfs'; readonly target: string; readonly sizeBytes?: number }
  | {
      readonly type: 'secret'
      readonly id: string
      readonly target?: string
      readonly env?: string
      readonly required: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }
  | {
      readonly type: 'ssh'
      readonly id: string
      readonly target: string
      readonly required: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }

/** Does this step make a layer? */
export function makesLayer(step: Step): step is Step & { readonly op: CopyOp | ExecOp } {
  return step.op.kind === 'copy' || step.op.kind === 'exec'
}
