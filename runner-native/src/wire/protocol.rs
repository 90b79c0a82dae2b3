//! The messages of `src/runner/protocol.ts`, word for word; `fixtures/protocol/*.json` keeps the two equal.
//! What a field means is documented there.

use crate::wire::guard::Guard;
use crate::wire::network::{Network, PublishedPort, RunNetwork};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: u32 = 1;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub fd: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum UserNamespace {
    Create,
    Join { fd: i32 },
    Single,
}

/// The request line: what every verb shares, and the verb's own part.
#[derive(Debug, Deserialize, Serialize)]
pub struct Request {
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userns: Option<UserNamespace>,
    #[serde(flatten)]
    pub job: Job,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum Job {
    Probe(Probe),
    Hold {},
    Unpack(Unpack),
    Remove(Remove),
    Diff(Diff),
    Digest(Digest),
    Copy(Copy),
    Read(Read),
    Run(Box<Run>),
    Exec(Box<Exec>),
    Signal(Signal),
    Network(Box<Network>),
    Attach(Attach),
    Guard(Box<Guard>),
    Unshare(Unshare),
    Bundle(Box<Bundle>),
}

impl Job {
    pub fn verb(&self) -> &'static str {
        match self {
            Job::Probe(_) => "probe",
            Job::Hold {} => "hold",
            Job::Unpack(_) => "unpack",
            Job::Remove(_) => "remove",
            Job::Diff(_) => "diff",
            Job::Digest(_) => "digest",
            Job::Copy(_) => "copy",
            Job::Read(_) => "read",
            Job::Run(_) => "run",
            Job::Exec(_) => "exec",
            Job::Signal(_) => "signal",
            Job::Network(_) => "network",
            Job::Attach(_) => "attach",
            Job::Guard(_) => "guard",
            Job::Unshare(_) => "unshare",
            Job::Bundle(_) => "bundle",
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Probe {
    pub store: Place,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct ProbeResult {
    pub isolation: &'static str,
    pub kernel: String,
    pub architecture: String,
    pub overlay: bool,
    pub erofs: bool,
    #[serde(default, rename = "whyNoErofs", skip_serializing_if = "Option::is_none")]
    pub why_no_erofs: Option<String>,
    pub reflink: bool,
    pub seccomp: bool,
    pub landlock: u32,
    pub cgroup: &'static str,
    pub controllers: Vec<String>,
    pub missing: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnpackLayer {
    pub blob: Place,
    pub compression: Compression,
    pub digest: String,
    pub size: u64,
    #[serde(default, rename = "diffID", skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
    pub into: Place,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unpack {
    pub lowers: Vec<Place>,
    pub layers: Vec<UnpackLayer>,
    #[serde(default, skip_serializing_if = "LayerForm::is_tree")]
    pub form: LayerForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u64>,
}

/// What a layer is made into.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerForm {
    #[default]
    Tree,
    Index,
    Either,
}

impl LayerForm {
    // Its form is what serde asks for.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn is_tree(&self) -> bool {
        *self == Self::Tree
    }
}

/// What a layer was made into.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TreeForm {
    Tree,
    Index,
}

/// The tree of a layer that was made in the same pass.
#[derive(Debug, Deserialize, Serialize)]
pub struct MadeTree {
    pub form: TreeForm,
    /// Beside what the layer's blob takes.
    pub bytes: u64,
    /// Why it is none of the form that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub enum UnpackedLayer {
    Tree(UnpackedContent),
    Index(UnpackedContent),
    None { why: String },
}

#[derive(Debug, Deserialize, Serialize)]
pub struct UnpackedContent {
    #[serde(rename = "diffID")]
    pub diff_id: String,
    pub entries: u64,
    pub bytes: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct UnpackResult {
    pub layers: Vec<UnpackedLayer>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Remove {
    pub trees: Vec<Place>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LayerOutput {
    pub blob: Place,
    pub compression: Compression,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerResult {
    pub digest: String,
    pub size: u64,
    #[serde(rename = "diffID")]
    pub diff_id: String,
    pub uncompressed_size: u64,
    pub entries: u64,
    pub tree_digest: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Diff {
    pub upper: Place,
    /// Uppers below it, top first: the layer is what all of them change together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under: Vec<Place>,
    pub lowers: Vec<Place>,
    pub layer: LayerOutput,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct IgnorePattern {
    pub pattern: String,
    pub negated: bool,
    pub line: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Tree {
    Directory { root: Place },
    Lowers { lowers: Vec<Place> },
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    pub from: Tree,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Vec<IgnorePattern>>,
    pub sources: Vec<String>,
    #[serde(default)]
    pub literal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<String>>,
    #[serde(default)]
    pub parents: bool,
    #[serde(default)]
    pub reset_owner: bool,
    #[serde(default, skip_serializing_if = "Modes::are_kept")]
    pub modes: Modes,
    #[serde(default)]
    pub unpack: bool,
}

/// Which modes files of a context count and are copied with.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Modes {
    #[default]
    Kept,
    /// As git records them.
    Git,
}

impl Modes {
    // Its form is what serde asks for.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn are_kept(&self) -> bool {
        *self == Self::Kept
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    Mode,
    Owner,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct DigestSelection {
    pub selection: Selection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<Vec<Field>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sizes: bool,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    pub selections: Vec<DigestSelection>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat_cache: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listings: Option<Place>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct DigestedSelection {
    pub digest: String,
    pub entries: u64,
    pub bytes: u64,
    pub unmatched: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct DigestResult {
    pub selections: Vec<DigestedSelection>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum CopyItem {
    Select {
        selection: Selection,
    },
    Inline {
        name: String,
        content: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
    },
    File {
        name: String,
        file: Place,
        mode: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtime: Option<i64>,
        #[serde(default)]
        unpack: bool,
    },
    Directory {},
}

/// In place of COPY's rules those of cp(1): nothing above the destination is made.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyRule {
    /// A directory goes into one that is there, under its own name.
    Cp,
    /// What is in the directory goes there.
    CpContents,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Copy {
    pub base: Vec<Place>,
    pub items: Vec<CopyItem>,
    pub to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chown: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chmod: Option<String>,
    #[serde(default)]
    pub link: bool,
    #[serde(default)]
    pub parents: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<CopyRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Place>,
    #[serde(default, skip_serializing_if = "LayerForm::is_tree")]
    pub form: LayerForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerOutput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct CopyResult {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<MadeTree>,
    pub entries: u64,
    pub unmatched: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Read {
    pub from: Tree,
    pub paths: Vec<String>,
    pub max_bytes: u64,
    /// Of programs alone, and of each only the first of these sections that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct ReadFile {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    pub base64: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct ReadResult {
    pub files: Vec<ReadFile>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Bundle {
    pub root: Place,
    pub spec: RunSpec,
    #[serde(default)]
    pub readonly: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Serialize)]
pub struct BundleResult {
    pub config: crate::wire::config::Config,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RootFilesystem {
    pub lowers: Vec<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Place>,
    #[serde(default)]
    pub readonly: bool,
    #[serde(default)]
    pub volatile: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum RunMount {
    Bind {
        source: Place,
        target: String,
        #[serde(default)]
        readonly: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        propagation: Option<String>,
        #[serde(default)]
        file: bool,
        #[serde(default)]
        recursive: bool,
        /// `uid` and `gid` that the source gets before: it was made for this mount.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<(u32, u32)>,
    },
    Tree {
        from: Tree,
        path: String,
        target: String,
        #[serde(default)]
        readonly: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ignore: Option<Vec<IgnorePattern>>,
    },
    Tmpfs {
        target: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_bytes: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        options: Option<Vec<String>>,
    },
    Content {
        target: String,
        base64: String,
        mode: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    },
}

impl RunMount {
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Tree { target, .. } | Self::Tmpfs { target, .. } | Self::Content { target, .. } => target,
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    /// `host`, `none`, `private`, or `join` the one that `network_path` is.
    pub network: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_path: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uts: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Device {
    pub path: String,
    pub target: String,
    pub access: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_cpus: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// Which system calls are allowed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Seccomp {
    /// `default` or `unconfined`.
    Named(String),
    Profile(SeccompProfile),
}

/// A user's own profile; what depends on capabilities, architecture and kernel is decided already.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompProfile {
    pub default_action: SeccompAction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_errno: Option<u16>,
    pub rules: Vec<SeccompRule>,
    /// `SECCOMP_FILTER_FLAG_*`, of a `config.json` alone.
    #[serde(skip)]
    pub flags: u32,
    /// Of a `config.json` alone: calls of 32-bit programs are decided as well.
    #[serde(skip)]
    pub without_compat: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompAction {
    Allow,
    Log,
    Trace,
    Errno,
    Trap,
    KillThread,
    KillProcess,
    /// Of a `config.json` alone: whoever listens decides.
    #[serde(skip)]
    Notify,
}

/// Of the rules that name a call, the first whose conditions all hold decides.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SeccompRule {
    pub names: Vec<String>,
    pub action: SeccompAction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<SeccompCondition>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SeccompCondition {
    /// Of the argument, from 0 on.
    pub index: u32,
    /// `ne`, `lt`, `le`, `eq`, `ge`, `gt`, or `masked-eq`: its bits in `mask` are those of `value`.
    pub operator: String,
    pub value: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSpec {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    #[serde(default)]
    pub make_cwd: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default)]
    pub additional_groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(default)]
    pub terminal: bool,
    #[serde(default)]
    pub interactive: bool,
    pub namespaces: Namespaces,
    pub capabilities: Vec<String>,
    #[serde(default)]
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    #[serde(default)]
    pub privileged: bool,
    pub mounts: Vec<RunMount>,
    #[serde(default)]
    pub devices: Vec<Device>,
    #[serde(default)]
    pub resources: Resources,
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_bytes: Option<u64>,
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
    #[serde(default)]
    pub init: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunContainer {
    pub directory: Place,
    pub log: bool,
    pub detach: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detach_keys: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_name: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub id: String,
    pub root: RootFilesystem,
    pub spec: RunSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerOutput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<RunContainer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<RunNetwork>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

/// The runtime that makes a container, in place of this program.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Runtime {
    pub program: String,
    pub directory: Place,
}

/// How to find a container of another runtime again.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct RuntimeState {
    pub program: String,
    pub directory: String,
    pub id: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_killed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeState>,
    /// Published ports, with the numbers that they got.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_killed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerResult>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ContainerPlace {
    pub directory: Place,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecSpec {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default)]
    pub additional_groups: Vec<String>,
    #[serde(default)]
    pub terminal: bool,
    #[serde(default)]
    pub interactive: bool,
    pub capabilities: Vec<String>,
    #[serde(default)]
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    #[serde(default)]
    pub privileged: bool,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Exec {
    pub container: ContainerPlace,
    pub spec: ExecSpec,
    #[serde(default)]
    pub detach: bool,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Unshare {
    pub args: Vec<String>,
    pub env: Vec<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Signal {
    pub container: ContainerPlace,
    pub signal: i32,
    #[serde(default)]
    pub all: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attach {
    pub container: ContainerPlace,
    pub interactive: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detach_keys: Option<String>,
}
