import type { Context } from '#context.ts'
import type { Bytes } from '#image/content.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { Span } from '#error.ts'
import type { NamedPlaces } from '#places/places.ts'
import type { Stdio } from '#runner/stdio.ts'
import type { RunSpec } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'

/** All that a build is told. Nothing is read from the environment, the arguments or the terminal: the caller does that. */
export interface BuildOptions {
  readonly store: Store
  /** How names become places: the caller knows credentials, mirrors and TLS settings. */
  readonly places: Places

  /** A directory, a tar file, `-` (then {@link stdin}), a git URL (`https://….git#ref:subdir`), or an http(s) URL. */
  readonly context: string
  /** The directory of a context that is an archive that counts as all of it. */
  readonly contextSubPath?: string
  /** Relative to the caller's working directory, as given; `-` is {@link stdin}. Default: `Dockerfile` (`Containerfile`) of the context. */
  readonly file?: string
  /** What `-` reads. */
  readonly stdin?: Bytes
  /** The working directory, absolute: relative paths of the options start here. */
  readonly cwd: string

  /** Names for the result: references (normalised by the build). */
  readonly tags?: readonly string[]
  readonly target?: string
  /** Modes of the context's files: those that they have (default), or as git records them, 0644 and 0755. */
  readonly modePolicy?: 'keep' | 'git'
  /** In place of those of the context and of the Dockerfile: relative to {@link cwd}. */
  readonly ignoreFile?: string
  /** In place of the image that the first FROM names. */
  readonly from?: string
  /** Variables of every stage, as if ENV stood after each FROM of an image. */
  readonly env?: readonly (readonly [name: string, value: string])[]
  /** A value is given, or taken from the caller's environment already. What is unset there is left out. */
  readonly buildArgs?: Readonly<Record<string, string>>
  /** Proxy variables of the caller's environment, for RUN: not in the key, not in the history. */
  readonly proxy?: Readonly<Record<string, string>>
  /** A file of authorities, in PEM, that git trusts in place of the system's. Absolute. */
  readonly authorities?: string
  /** `os/arch[/variant]`. Default: this machine. More than one makes an index. */
  readonly platforms?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: readonly Annotation[]
  /** What the result does not have in the end. */
  readonly without?: { readonly env?: readonly string[]; readonly labels?: readonly string[]; readonly history?: boolean }
  /** `name=value` (B 1.9): a directory, `docker-image://`, `oci-layout://`, git or http URL. */
  readonly buildContexts?: Readonly<Record<string, string>>

  /** Nothing is taken from the cache (but all is put there). */
  readonly noCache?: boolean
  /** The same for these stages. */
  readonly noCacheFilter?: readonly string[]
  /** Results that were made earlier than this (milliseconds since 1970) are not taken from the cache. */
  readonly cacheSince?: number
  /** `missing`: a base image that the store has is not looked up again. Default. */
  readonly pull?: 'always' | 'missing' | 'newer' | 'never'
  readonly cacheFrom?: readonly CacheBackend[]
  readonly cacheTo?: readonly CacheBackend[]
  /** The most milliseconds that looking things up in remote caches may take. Default 10000. */
  readonly cacheTimeoutMs?: number

  readonly secrets?: readonly SecretSource[]
  readonly ssh?: readonly SshSource[]
  /** `host` to address, for RUN. */
  readonly addHosts?: readonly { readonly host: string; readonly address: string }[]
  /** Of RUN steps without `--network`. Default `host`. */
  readonly network?: 'host' | 'none'
  /** `RUN --security=insecure` is an error without it. */
  readonly allow?: readonly ('security.insecure' | 'network.host' | 'device')[]
  readonly shmBytes?: number
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[]
  /** What RUN may use and do, where it is not the usual. */
  readonly sandbox?: Sandbox
  /** The program of the OCI runtime that RUN is executed with. Default: Stave's own. */
  readonly runtime?: string

  readonly outputs?: readonly Output[]
  /** `oci` (default) or Docker's media types. */
  readonly format?: 'oci' | 'docker'
  readonly compression?: 'gzip' | 'zstd' | 'none'
  readonly compressionLevel?: number
  /** Layers of the base that are compressed in another way are an error: they would stay so. */
  readonly forceCompression?: boolean
  /** `new`: the build's own layers become one. `all`: those of the base too. */
  readonly squash?: 'new' | 'all'
  /** SOURCE_DATE_EPOCH: seconds since 1970, or what has the time: `context`, a named context, a stage. */
  readonly epoch?: number | string
  readonly provenance?: 'min' | 'max' | false
  readonly sbom?: boolean
  /** Where attestations go: beside the images in their index (default, as BuildKit), or as artifacts that refer to them. */
  readonly attestStorage?: 'index' | 'referrers'

  /** Most steps at a time. Default: the number of CPUs. */
  readonly jobs?: number
  /** Report for each step why it was not cached, and keep it in the result. */
  readonly explain?: boolean
  /** Report what the rules find in the Dockerfile, as warnings. */
  readonly findings?: boolean
  /** Plan only: nothing is executed, {@link BuildResult.printed} has the document. */
  readonly print?: 'instructions' | 'plan' | 'keys'
  /** Build only up to here: a stage's name, or a line of the Dockerfile. Together with {@link onStop}. */
  readonly until?: string
  /** Called with the state of a RUN that failed, and at {@link until}. */
  readonly onStop?: (stop: BuildStop) => Promise<void>
  /** Default: random. Names the log directory. */
  readonly id?: string
}

/**
 * How a build finds what is not in the store. What is opened belongs to the caller, who closes it after the build. Base
 * images that the store has are not asked for here.
 */
export interface Places extends NamedPlaces {
  /**
   * Told before they are opened: the images that the Dockerfile names, and whether it is the caller's own.
   *
   * @throws StaveError where they may not be used
   */
  expect?(references: readonly string[], isLocal: boolean): void
  /** The caller's standard output, for `dest=-`. */
  stdout?(): NodeJS.WritableStream
}

export type Output =
  /** Into the store under the tags (also what happens without any output), and pushed where `push`. */
  | { readonly type: 'image'; readonly names?: readonly string[]; readonly push?: boolean; readonly byDigest?: boolean }
  /** Pushed under the tags (or these names), not named in the store. `byDigest`: to the repositories, without a tag. */
  | { readonly type: 'registry'; readonly names?: readonly string[]; readonly byDigest?: boolean }
  /** An OCI layout, as archive or (`tar: false`) directory; `dest` may be `-`. */
  | { readonly type: 'oci'; readonly dest: string; readonly tar?: boolean; readonly names?: readonly string[] }
  /** A `docker load` archive. */
  | { readonly type: 'docker'; readonly dest: string; readonly names?: readonly string[] }
  /** The files of the result, into a directory. */
  | { readonly type: 'local'; readonly dest: string; readonly platformSplit?: boolean }
  /** The files of the result, as one tar; `dest` may be `-`. */
  | { readonly type: 'tar'; readonly dest: string; readonly platformSplit?: boolean }
  | { readonly type: 'cacheonly' }

/** B 3.6: where an annotation goes; without `platform` to all platforms. */
export interface Annotation {
  readonly level: 'manifest' | 'index' | 'manifest-descriptor' | 'index-descriptor'
  readonly platform?: string
  readonly key: string
  readonly value: string
}

export type SecretSource = { readonly id: string; readonly file: string } | { readonly id: string; readonly value: Uint8Array }

/** The socket of an agent. */
export interface SshSource {
  readonly id: string
  readonly socket: string
}

export type CacheBackend =
  | ({ readonly type: 'registry'; readonly ref: string } & CacheContent)
  /** `tag`: of the layout; a digest to read an earlier one. */
  | ({ readonly type: 'local'; readonly path: string; readonly tag?: string } & CacheContent)
  /** In the config of the image itself. */
  | { readonly type: 'inline' }

export interface CacheContent {
  readonly mode?: 'min' | 'max'
  /** The directories of `RUN --mount=type=cache` are put there too. */
  readonly mounts?: boolean
  /** That it cannot be written is a warning, not an error. */
  readonly optional?: boolean
}

/** What RUN may use and do. */
export interface Sandbox {
  readonly resources?: RunSpec['resources']
  /** All that root has, by name. Default: Docker's set. */
  readonly capabilities?: readonly string[]
  readonly noNewPrivileges?: boolean
  readonly seccomp?: RunSpec['seccomp']
  readonly devices?: NonNullable<RunSpec['devices']>
  /** Files and directories of this machine. `source` is absolute. */
  readonly binds?: readonly { readonly source: string; readonly target: string; readonly readonly: boolean }[]
  /** Lines of resolv.conf in place of those of the machine that begin with the same word. */
  readonly resolver?: Readonly<Partial<Record<'nameserver' | 'search' | 'options', readonly string[]>>>
  /** /etc/hosts and /etc/hostname of the image are used. */
  readonly ownHosts?: boolean
}

/** A step in which the build stands still, with its state. */
export interface BuildStop {
  readonly reason: 'failed' | 'until'
  readonly title: string
  readonly span: Span | undefined
  readonly exitCode?: number
  /** Runs a command (default: the stage's shell) in that very state: same mounts, environment and user. Changes are thrown away. */
  shell(
    cx: Context,
    stdio: Stdio,
    options: { readonly args?: readonly string[]; readonly terminal: boolean },
  ): Promise<{ readonly exitCode: number }>
}

export interface BuildResult {
  readonly id: string
  /** One for each platform, in the order asked for. Empty with `print`. */
  readonly images: readonly BuiltImage[]
  /** What was named: the manifest, or the index. Absent with `print`, or where only files or the cache were asked for. */
  readonly descriptor: Descriptor | undefined
  /** Normalised references that it has in the store. */
  readonly names: readonly string[]
  /** Names under which it was pushed. */
  readonly pushed: readonly string[]
  /** For `--metadata-file`: Docker's keys (`containerimage.digest`, …). */
  readonly metadata: Readonly<Record<string, unknown>>
  readonly steps: readonly StepRecord[]
  /** What `print` asked for, to be written as JSON. */
  readonly printed?: unknown
  /** The directory with a file of output for each step that had any; inside the store. */
  readonly logs: string
}

export interface BuiltImage {
  readonly descriptor: Descriptor
  readonly platform: Platform
  readonly configDigest: Digest
}

/** What became of a step. Kept as `build.json` beside the logs, for `stave explain` and `stave logs`. */
export interface StepRecord {
  readonly id: string
  readonly title: string
  readonly stage: string
  readonly line: number | undefined
  readonly state: 'cached' | 'done' | 'failed' | 'cancelled'
  readonly key: string | undefined
  /** When it was begun, in ISO 8601; of what was found, when that was. */
  readonly startedAt: string
  readonly durationMs: number
  /** The ids of the steps whose results it was made of. */
  readonly parents: readonly string[]
  /** File name in {@link BuildResult.logs}. */
  readonly log?: string
  /** For a miss, with `explain`: why, in sentences. */
  readonly because?: readonly string[]
}
