/**
 * The messages between the host and `stave-runner`, one process per job. File descriptors:
 *
 * | fd | content |
 * |---|---|
 * | 0, 1, 2 | data and the user's process, never control |
 * | 3 | in: the request, one line of JSON; then the lifeline: a byte is a signal for the container; its end means that the parent is gone or has cancelled |
 * | 4 | out: events, one JSON object a line: `hello` first, exactly one `result` or `failure` last |
 * | 5… | in: open files and directories, named in the request by number |
 *
 * The same messages are in `runner-native/src/wire/`; `fixtures/protocol/*.json` keeps the two equal.
 */

export const protocolVersion = 1

/**
 * A file or directory: an open descriptor, and below it a relative path of plain names (no `..`, no symbolic
 * link is followed: `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`). The host names its own store this way, never
 * anything inside a root file system.
 */
export interface Place {
  /** On the wire: a number from 5 on. In a job, as callers write it: any descriptor open in this process. */
  readonly fd: number
  readonly path?: string
}

/** Which user namespace the job works in. Absent: the one that it was started in (root). */
export type UserNamespace =
  | { readonly mode: 'create' } // map this user and its subordinate ids with newuidmap and newgidmap
  | { readonly mode: 'join'; readonly fd: number } // an open /proc/<pid>/ns/user that a `hold` job keeps
  | { readonly mode: 'single' } // map this user alone, to root

interface RequestBase {
  readonly version: typeof protocolVersion
  readonly userns?: UserNamespace
}

// probe, hold

export interface ProbeRequest extends RequestBase {
  readonly verb: 'probe'
  /** A directory on the file system of the store: overlay, xattrs and reflinks are tried there. */
  readonly store: Place
}

export interface ProbeResult {
  /** The strongest isolation possible here (DESIGN, "The ladder"). */
  readonly isolation: 'root' | 'subid' | 'single' | 'chroot' | 'none'
  readonly kernel: string
  readonly architecture: string
  readonly overlay: boolean
  /** Layers can be mounted instead of unpacked. */
  readonly erofs: boolean
  /** Why they cannot. */
  readonly whyNoErofs?: string
  readonly reflink: boolean
  readonly seccomp: boolean
  /** Landlock ABI, 0 where there is none. */
  readonly landlock: number
  readonly cgroup: 'v1' | 'v2' | 'hybrid' | 'none'
  /** The controllers that this user may set limits with. */
  readonly controllers: readonly string[]
  /** What is missing for the next stronger level, each as a sentence that says what to do. */
  readonly missing: readonly string[]
}

/** Makes and maps the user namespace, answers with a `ready` event, and holds it until the lifeline ends. */
export interface HoldRequest extends RequestBase {
  readonly verb: 'hold'
}

// unpack, remove

export interface UnpackLayer {
  readonly blob: Place
  readonly compression: Compression
  /** What the blob must be. Verified while reading. */
  readonly digest: string
  readonly size: number
  /** What its uncompressed tar must be, if known. Verified. */
  readonly diffID?: string
  /** An existing empty directory of the store. The runner makes the layer inside it: see {@link LayerForm}. */
  readonly into: Place
}

/**
 * What a layer is made into: `fs`, a tree; or a file `fs`, an EROFS index of the layer's tar, which lies beside it as
 * `tar` and is mounted wherever the tree is asked for. `either` is an index where this machine can mount it.
 */
export type LayerForm = 'tree' | 'index' | 'either'

/**
 * Unpacks layers into trees, or makes indexes of them, in parallel. `lowers` (layers that are there, top first) lie below
 * `layers[0]`; every layer lies below the next. They supply what a layer takes for granted: the metadata of
 * parent directories that it does not list, and targets of hard links.
 */
export interface UnpackRequest extends RequestBase {
  readonly verb: 'unpack'
  readonly lowers: readonly Place[]
  readonly layers: readonly UnpackLayer[]
  /** Default: `tree`. */
  readonly form?: LayerForm
  /** Most bytes and entries that one layer may unpack to. */
  readonly maxBytes?: number
  readonly maxEntries?: number
}

/** `none`: an index cannot say what this layer holds, and nothing was made. Once all below it is there, it can be unpacked. */
export type UnpackedLayer =
  | {
      readonly form: 'tree' | 'index'
      readonly diffID: string
      readonly entries: number
      /** Of all files; of an index, those of index and tar. */
      readonly bytes: number
    }
  | { readonly form: 'none'; readonly why: string }

export interface UnpackResult {
  readonly layers: readonly UnpackedLayer[]
}

/** Removes trees, also those owned by subordinate ids. What is not there is no error. */
export interface RemoveRequest extends RequestBase {
  readonly verb: 'remove'
  readonly trees: readonly Place[]
}

// layers

export type Compression = 'none' | 'gzip' | 'zstd'

export interface LayerOutput {
  /** The file to create (it must not exist). */
  readonly blob: Place
  readonly compression: Compression
  readonly level?: number
  /** Clamp times later than this (seconds since 1970) to it. */
  readonly epoch?: number
}

export interface LayerResult {
  /** Of the compressed blob. */
  readonly digest: string
  readonly size: number
  /** Of the uncompressed tar. */
  readonly diffID: string
  readonly uncompressedSize: number
  readonly entries: number
  /** Digest of what the layer does to a tree, times apart: equal for equal changes. */
  readonly treeDigest: string
}

/** Makes a layer of an overlay upper directory (`fs` of a snapshot, or what a `run` left). */
export interface DiffRequest extends RequestBase {
  readonly verb: 'diff'
  readonly upper: Place
  /** Uppers below it, top first: the layer is what all of them change together. */
  readonly under?: readonly Place[]
  /** Top first. For hard links, and to leave out what did not change. */
  readonly lowers: readonly Place[]
  readonly layer: LayerOutput
}
export type DiffResult = LayerResult

// digest and copy

/** One line of a `.dockerignore`: order matters, the last match decides. Already trimmed and cleaned. */
export interface IgnorePattern {
  readonly pattern: string
  readonly negated: boolean
  /** Line in the ignore file, for messages. */
  readonly line: number
}

/** A tree to read from. */
export type Tree =
  | { readonly kind: 'directory'; readonly root: Place } // a plain directory: a build context
  | { readonly kind: 'lowers'; readonly lowers: readonly Place[] } // overlay layers (their `fs`), top first; [] is the empty tree

/**
 * What is chosen from a tree, with the rules of COPY (reference: builder.md 1.6, 1.8). Paths are relative to
 * the tree's root; a leading `/` and any `..` are clamped to it.
 */
export interface Selection {
  readonly from: Tree
  readonly ignore?: readonly IgnorePattern[]
  /** Go `filepath.Match` patterns, or with `parents` also `**`; plain paths where `literal`. */
  readonly sources: readonly string[]
  readonly literal?: boolean
  readonly exclude?: readonly string[]
  readonly parents?: boolean
  /** Context files count as owned by 0:0, whoever owns them. */
  readonly resetOwner?: boolean
  /** Of context files: as git records them, 0644 and 0755. Default: those that they have. */
  readonly modes?: 'git'
  /** Detect and unpack tar archives among the sources (ADD). */
  readonly unpack?: boolean
}

export interface DigestRequest extends RequestBase {
  readonly verb: 'digest'
  readonly selections: readonly {
    readonly selection: Selection
    /** Fields that the copy overrides, and so do not count. */
    readonly without?: readonly ('mode' | 'owner')[]
    /** Only how much there is: no file is read, and the digest is empty. */
    readonly sizes?: boolean
  }[]
  /** A directory in which file digests are kept by (device, inode, ctime, mtime, size). */
  readonly statCache?: Place
  /** A directory in which each selection's listing is kept as `sha256/<hex of the digest>`. */
  readonly listings?: Place
}

export interface DigestResult {
  readonly selections: readonly {
    /**
     * sha256 of the listing: one line an entry, sorted by path, of path, type, mode, owner, link target,
     * content digest and xattrs. Times and the checkout's owner do not count.
     */
    readonly digest: string
    readonly entries: number
    readonly bytes: number
    /** Sources with a wildcard that matched nothing. */
    readonly unmatched: readonly string[]
  }[]
}

export type CopyItem =
  | { readonly kind: 'select'; readonly selection: Selection }
  /** A file with this content: a heredoc. */
  | { readonly kind: 'inline'; readonly name: string; readonly content: string; readonly mode?: number }
  /** A file of the host: a download. With `unpack` it is extracted if it is an archive. */
  | {
      readonly kind: 'file'
      readonly name: string
      readonly file: Place
      readonly mode: number
      readonly mtime?: number
      readonly unpack?: boolean
    }
  /** Make the directory `to` and its parents where missing (WORKDIR). */
  | { readonly kind: 'directory' }

/**
 * COPY, ADD, WORKDIR, import and export: places items in a tree, and in the same pass makes a layer of it.
 * `to` and `chown` are resolved inside the destination: `base` (lowers, top first) under what is written.
 */
export interface CopyRequest extends RequestBase {
  readonly verb: 'copy'
  readonly base: readonly Place[]
  readonly items: readonly CopyItem[]
  /** Absolute. A trailing slash means: a directory. */
  readonly to: string
  /** `user`, `user:group`, names or numbers, resolved in the destination's passwd and group. */
  readonly chown?: string
  /** For `directory` items: owner as for a process with this `User`. */
  readonly user?: string
  /** Octal, or symbolic as in chmod(1). */
  readonly chmod?: string
  /** An independent layer: `to` is not resolved through the base. */
  readonly link?: boolean
  readonly parents?: boolean
  /**
   * In place of COPY's rules those of cp(1): nothing above `to` is made, and a directory goes into one that is there under
   * its own name (`cp`), or what is in it does (`cp-contents`).
   */
  readonly rule?: 'cp' | 'cp-contents'
  /** An existing directory of the store: the runner makes `fs` inside it, an overlay upper holding the changes. */
  readonly tree?: Place
  /** What `tree` is made into, where a layer is made as well. Default: `tree`. */
  readonly form?: LayerForm
  /** Instead of `tree`: an existing host directory into which files are placed plainly (`--output type=local`). */
  readonly plain?: Place
  readonly layer?: LayerOutput
  /** Times of made directories and inline files, and clamp (seconds since 1970). Absent: now. */
  readonly epoch?: number
}

/** What the tree of a layer was made into. */
export interface MadeTree {
  readonly form: 'tree' | 'index'
  /** What it takes beside the layer's blob. */
  readonly bytes: number
  /** Why it is not of the form that was asked for: an index cannot say what the layer holds. */
  readonly why?: string
}

export interface CopyResult {
  readonly layer?: LayerResult
  readonly tree?: MadeTree
  readonly entries: number
  readonly unmatched: readonly string[]
}

/** Reads small regular files inside a tree: bounded, links resolved inside it. Missing files are left out. */
export interface ReadRequest extends RequestBase {
  readonly verb: 'read'
  readonly from: Tree
  /** Paths or Go patterns (`**` allowed). */
  readonly paths: readonly string[]
  readonly maxBytes: number
  /** Of ELF programs alone, and of each only the first of these sections that it has. */
  readonly sections?: readonly string[]
}
export interface ReadResult {
  /** `section`: which of the sections that were asked for. */
  readonly files: readonly { readonly path: string; readonly section?: string; readonly base64: string }[]
}

// run

export interface RootFilesystem {
  /** Layer trees (`fs`), top first. */
  readonly lowers: readonly Place[]
  /** Existing directory that collects the changes; with `work` beside it on the same file system. */
  readonly upper?: Place
  readonly work?: Place
  readonly readonly?: boolean
  /** Nobody needs `upper` after a crash of the machine: its file system is not flushed at the end. */
  readonly volatile?: boolean
}

export type RunMount =
  | {
      readonly type: 'bind'
      readonly source: Place
      readonly target: string
      readonly readonly?: boolean
      readonly propagation?: string
      readonly file?: boolean
      readonly recursive?: boolean
      /** `uid` and `gid` that the source gets before: it was made for this mount. */
      readonly owner?: readonly [uid: number, gid: number]
      /** The source and all in it get the owner that the process is. */
      readonly own?: boolean
      readonly attributes?: readonly MountAttribute[]
    }
  /** A part of a tree: mounted as overlay of `lowers`, then `path` in it bound. Writes are thrown away. */
  | {
      readonly type: 'tree'
      readonly from: Tree
      readonly path: string
      readonly target: string
      readonly readonly?: boolean
      readonly ignore?: readonly IgnorePattern[]
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly sizeBytes?: number
      readonly mode?: number
      readonly options?: readonly string[]
    }
  /** A file with this content on a tmpfs: a secret, or a made /etc/hosts. Base64. */
  | {
      readonly type: 'content'
      readonly target: string
      readonly base64: string
      readonly mode: number
      readonly uid?: number
      readonly gid?: number
    }
  /** The directory that another container has at `path`, by its mount namespace (`/proc/PID/ns/mnt`). */
  | { readonly type: 'shared'; readonly namespace: string; readonly path: string; readonly target: string }

export type MountAttribute = 'noexec' | 'nosuid' | 'nodev'

export type SeccompAction = 'allow' | 'log' | 'trace' | 'errno' | 'trap' | 'kill-thread' | 'kill-process'

/** A user's own profile; what depends on capabilities, architecture and kernel is decided already. */
export interface SeccompProfile {
  readonly defaultAction: SeccompAction
  readonly defaultErrno?: number
  /** Of the rules that name a call, the first whose conditions all hold decides. */
  readonly rules: readonly SeccompRule[]
}

export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: SeccompAction
  readonly errno?: number
  readonly conditions?: readonly SeccompCondition[]
}

export interface SeccompCondition {
  /** Of the argument, from 0 on. */
  readonly index: number
  /** `masked-eq`: its bits in `mask` are those of `value`. */
  readonly operator: 'ne' | 'lt' | 'le' | 'eq' | 'ge' | 'gt' | 'masked-eq'
  readonly value: number
  readonly mask?: number
}

export interface RunSpec {
  /** argv. argv[0] is looked up in PATH of `env` inside the root. */
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  /** Make `cwd` if it is missing. */
  readonly makeCwd?: boolean
  /** `uid[:gid]` or names, resolved in the root's passwd and group. HOME is set from there if unset. Default root. */
  readonly user?: string
  readonly additionalGroups?: readonly string[]
  readonly hostname?: string
  readonly terminal?: boolean
  /** Keep stdin open (fd 0 is the user's). Else it is /dev/null. */
  readonly interactive?: boolean
  readonly namespaces: {
    /** `private` has a `network` in the request; `join` is the namespace that is open as `networkPath`. */
    readonly network: 'host' | 'none' | 'private' | 'join'
    readonly networkPath?: Place
    readonly pid?: NamespaceChoice
    readonly ipc?: NamespaceChoice
    readonly uts?: NamespaceChoice
    readonly cgroup?: 'private' | 'host'
  }
  readonly capabilities: readonly string[]
  readonly noNewPrivileges?: boolean
  readonly seccomp: 'default' | 'unconfined' | SeccompProfile
  /** All devices, no masks, all capabilities. */
  readonly privileged?: boolean
  readonly mounts: readonly RunMount[]
  readonly devices?: readonly { readonly path: string; readonly target: string; readonly access: string }[]
  readonly resources?: Resources
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[]
  readonly shmBytes?: number
  readonly sysctl?: Readonly<Record<string, string>>
  readonly init?: boolean
  readonly stopSignal?: string
  readonly oomScoreAdj?: number
  readonly umask?: number
  readonly deviceRules?: readonly DeviceRule[]
  /** Paths that are hidden besides the usual ones. */
  readonly mask?: readonly string[]
  /** Of those that are usually hidden or read-only, patterns of what is not; `ALL`. */
  readonly unmask?: readonly string[]
  readonly apparmor?: string
}

/** The path of a namespace is one to join. */
export type NamespaceChoice = 'private' | 'host' | `/${string}`

export interface Resources {
  readonly memoryBytes?: number
  readonly memorySwapBytes?: number
  readonly memoryReservationBytes?: number
  readonly memorySwappiness?: number
  readonly cpus?: number
  readonly cpuShares?: number
  readonly pids?: number
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  readonly blockIo?: BlockIo
  /** Files of cgroup version 2 with their values. */
  readonly unified?: Readonly<Record<string, string>>
}

/** What a container may use of disks. */
export interface BlockIo {
  /** 10 to 1000. */
  readonly weight?: number
  readonly weightDevices?: readonly DeviceNumber[]
  /** Bytes, and operations, in a second. */
  readonly readBps?: readonly DeviceNumber[]
  readonly writeBps?: readonly DeviceNumber[]
  readonly readIops?: readonly DeviceNumber[]
  readonly writeIops?: readonly DeviceNumber[]
}

export interface DeviceNumber {
  readonly major: number
  readonly minor: number
  readonly value: number
}

/** Devices that may be opened, whether or not there are nodes of them. */
export interface DeviceRule {
  readonly kind: 'a' | 'b' | 'c'
  /** Absent: any. */
  readonly major?: number
  readonly minor?: number
  /** Of `r`, `w` and `m`. */
  readonly access: string
}

/** How a log is kept. */
export interface LogOptions {
  /** Docker's, or that of Kubernetes. Default: Docker's. */
  readonly format?: 'json-file' | 'k8s-file'
  /** A file that has so much is put aside as `NAME.1`, and another one begun. */
  readonly maxBytes?: number
  /** So many files at most. Default: 1. */
  readonly maxFiles?: number
  /** Where it is kept, in place of `log` in the container's directory. */
  readonly place?: { readonly directory: Place; readonly name: string }
}

export interface RunRequest extends RequestBase {
  readonly verb: 'run'
  readonly id: string
  readonly root: RootFilesystem
  readonly spec: RunSpec
  /** After the process has ended: make a layer of the upper directory. An `exit` event comes before. */
  readonly layer?: LayerOutput
  /**
   * A container's directory: the runner keeps `state.json` there (see {@link ContainerState}), and `log` in
   * Docker's json-file format if `log`. Without it (a build step) nothing is kept.
   */
  readonly container?: {
    readonly directory: Place
    readonly log: boolean
    readonly logOptions?: LogOptions
    readonly detach: boolean
    readonly detachKeys?: string
    readonly cgroupName?: string
    /** The control group that its own one is made in: a path from the root of every hierarchy. */
    readonly cgroupParent?: string
  }
  /** What a private network is connected to. */
  readonly network?: RunNetwork
  /** Seconds between SIGTERM and SIGKILL when the lifeline ends. */
  readonly stopTimeout?: number
  /** Seconds that it may run: it is killed then. */
  readonly timeout?: number
  /** Another OCI runtime makes it: a program, and a directory in which the runner makes `runtime` for its bundle and its state. */
  readonly runtime?: { readonly program: string; readonly directory: Place }
}

/** How a container with a network namespace of its own is connected. */
export interface RunNetwork {
  /** The directory of the store that says which containers are on which networks. */
  readonly state: Place
  readonly links: readonly NetworkLink[]
  readonly ports: readonly PublishedPort[]
  /** The container gets a name server at 127.0.0.11, which knows its neighbours and asks these for all other names. */
  readonly resolver?: { readonly nameservers: readonly string[] }
  /** A program that carries the packets of an ordinary user. */
  readonly userMode?: UserMode
  /** The network namespace that has the bridges. Absent: this machine's. */
  readonly outside?: Place
}

export interface UserMode {
  readonly kind: 'pasta' | 'slirp4netns'
  readonly program: string
}

/** A container's place on a named network. Addresses are written `ADDRESS/BITS`. */
export interface NetworkLink {
  /** Its name inside. */
  readonly interface: string
  readonly mac?: string
  readonly addresses: readonly string[]
  /** What leads outside goes there. */
  readonly gateways: readonly string[]
  /** What the others on the network can call the container. */
  readonly names: readonly string[]
  readonly bridge: {
    /** The id of the network. */
    readonly network: string
    readonly name: string
    readonly addresses: readonly string[]
    readonly internal?: boolean
    /** Those on it do not reach each other. */
    readonly isolated?: boolean
    readonly mtu?: number
  }
}

/** Changes the networks of a container that runs, or takes away what dead ones have left. */
export interface NetworkRequest extends RequestBase {
  readonly verb: 'network'
  /** `keep` makes the namespace that an ordinary user's containers share, and leaves its process in `keeper.json`. */
  readonly action: 'connect' | 'disconnect' | 'sweep' | 'keep'
  readonly state: Place
  /** The network namespace that has the bridges. Absent: this machine's. */
  readonly outside?: Place
  /** Of `keep`. */
  readonly userMode?: UserMode
  readonly container?: { readonly id: string; readonly directory: Place }
  /** Of `connect`. */
  readonly link?: NetworkLink
  /** Of `disconnect`: the id of the network. */
  readonly network?: string
}

export interface PublishedPort {
  /** Absent: all of this machine. */
  readonly hostAddress?: string
  /** 0: one that is free. */
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp'
}

/** `state.json` of a container, replaced atomically. */
export interface ContainerState {
  readonly status: 'created' | 'running' | 'exited'
  /** First process, in the host's numbering, and its start time (field 22 of /proc/pid/stat). */
  readonly pid?: number
  readonly pidStart?: number
  /** The process that watches it. */
  readonly monitorPid?: number
  readonly monitorStart?: number
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly exitCode?: number
  readonly oomKilled?: boolean
  readonly error?: string
  readonly cgroup?: string
  /** Another OCI runtime made it: its program, the directory with its bundle and state, and what it is called there. */
  readonly runtime?: { readonly program: string; readonly directory: string; readonly id: string }
  /** Published ports, with the numbers that they got. */
  readonly ports?: readonly PublishedPort[]
}

export interface RunResult {
  /** The command's own exit status, 128 + n if signal n killed it. Absent if detached. */
  readonly exitCode?: number
  readonly signal?: number
  readonly oomKilled?: boolean
  readonly detached?: boolean
  readonly pid?: number
  readonly layer?: LayerResult
}

/** Runs one more process in a running container: joins its namespaces and cgroup. */
export interface ExecRequest extends RequestBase {
  readonly verb: 'exec'
  readonly container: { readonly directory: Place }
  readonly spec: Pick<
    RunSpec,
    | 'args'
    | 'env'
    | 'cwd'
    | 'user'
    | 'additionalGroups'
    | 'terminal'
    | 'interactive'
    | 'capabilities'
    | 'noNewPrivileges'
    | 'seccomp'
    | 'privileged'
    | 'umask'
  >
  readonly detach?: boolean
  readonly detachKeys?: string
}

/** Gives a container that runs other limits. */
export interface LimitRequest extends RequestBase {
  readonly verb: 'limit'
  readonly container: { readonly directory: Place }
  readonly resources: Resources
}

/**
 * Runs a command in the user namespace of the job, in a mount namespace of its own, with the streams and the terminal of
 * the caller. A byte on the lifeline is a signal for it; at its end it gets SIGHUP, and SIGKILL two seconds later.
 */
export interface UnshareRequest extends RequestBase {
  readonly verb: 'unshare'
  /** The first is found in the PATH of `env`. */
  readonly args: readonly string[]
  readonly env: readonly string[]
}

export interface ExecResult {
  readonly exitCode?: number
}

/** Sends a signal to a container's first process (or all of them), found by pid and start time. */
export interface SignalRequest extends RequestBase {
  readonly verb: 'signal'
  readonly container: { readonly directory: Place }
  readonly signal: number
  readonly all?: boolean
  readonly action?: 'pause' | 'resume'
}

/**
 * Starts a process that checks a running container's health and, when it has ended, starts it again: the guard. The
 * result comes as soon as it is there, and its id in `guard.json` of the container.
 */
export interface GuardRequest extends RequestBase {
  readonly verb: 'guard'
  readonly container: { readonly directory: Place }
  readonly health?: {
    readonly spec: ExecRequest['spec']
    readonly intervalMs: number
    readonly timeoutMs: number
    readonly startPeriodMs: number
    readonly startIntervalMs: number
    readonly retries: number
  }
  readonly restart?: {
    /** An absolute path and arguments: what the guard becomes. */
    readonly command: readonly string[]
    readonly env: readonly string[]
    /** Only if it did not end with 0. */
    readonly onFailure?: boolean
    /** How long it waits before, unless the container ran for a while. */
    readonly delayMs: number
  }
}

/** `health.json` of a container, in the words of Docker's `inspect`. */
export interface HealthState {
  readonly Status: 'starting' | 'healthy' | 'unhealthy'
  /** Failures since the last success. */
  readonly FailingStreak: number
  /** The last results, oldest first. */
  readonly Log: readonly {
    /** RFC 3339. */
    readonly Start: string
    readonly End: string
    /** -1: the check could not be made, or took too long. */
    readonly ExitCode: number
    readonly Output: string
  }[]
}

/** Connects the caller's stdio to a detached container. */
export interface AttachRequest extends RequestBase {
  readonly verb: 'attach'
  readonly container: { readonly directory: Place }
  readonly interactive: boolean
  readonly detachKeys?: string
}

/** Writes out a container that is asked for as the `config.json` of the runtime specification. */
export interface BundleRequest extends RequestBase {
  readonly verb: 'bundle'
  /** The root file system: users are looked up there. */
  readonly root: Place
  readonly spec: RunSpec
  readonly readonly?: boolean
  /** An ordinary user, who will be root in a user namespace of one id. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}
export interface BundleResult {
  readonly config: Readonly<Record<string, unknown>>
}

export type Request =
  | ProbeRequest
  | HoldRequest
  | UnpackRequest
  | RemoveRequest
  | DiffRequest
  | DigestRequest
  | CopyRequest
  | ReadRequest
  | RunRequest
  | ExecRequest
  | SignalRequest
  | LimitRequest
  | NetworkRequest
  | AttachRequest
  | GuardRequest
  | UnshareRequest
  | BundleRequest

export type Verb = Request['verb']

export interface Results {
  probe: ProbeResult
  hold: Record<string, never>
  unpack: UnpackResult
  remove: Record<string, never>
  diff: DiffResult
  digest: DigestResult
  copy: CopyResult
  read: ReadResult
  run: RunResult
  exec: ExecResult
  signal: Record<string, never>
  limit: Record<string, never>
  network: Record<string, never>
  attach: ExecResult
  guard: Record<string, never>
  unshare: ExecResult
  bundle: BundleResult
}

export type FailureKind =
  | 'request' // a request that makes no sense: exit status 2
  | 'escape'
  | 'corrupt'
  | 'digest-mismatch'
  | 'size-mismatch'
  | 'too-large'
  | 'not-found'
  | 'exists'
  | 'not-directory'
  | 'no-user'
  | 'permission'
  | 'no-space'
  | 'unsupported'
  | 'isolation'
  | 'command-not-found'
  | 'command-not-executable'
  | 'state'
  | 'cancelled'
  | 'io'

export interface Failure {
  readonly event: 'failure'
  readonly kind: FailureKind
  readonly message: string
  /** The call as strace would print it. */
  readonly operation?: string
  readonly path?: string
  readonly errno?: string
  readonly hint?: string
  /** For `not-found` of a source: the line of the ignore file that excludes it. */
  readonly ignoredBy?: number
}

export type RunnerEvent<V extends Verb = Verb> =
  | { readonly event: 'hello'; readonly version: number; readonly runner: string }
  | { readonly event: 'progress'; readonly current: number; readonly total?: number }
  | { readonly event: 'warning'; readonly message: string }
  | { readonly event: 'ready' } // hold: mapped; attach: connected
  | { readonly event: 'started'; readonly pid: number } // run
  | { readonly event: 'exit'; readonly exitCode: number; readonly signal?: number; readonly oomKilled?: boolean } // run with a layer to come
  | ({ readonly event: 'result' } & Results[V])
  | Failure
