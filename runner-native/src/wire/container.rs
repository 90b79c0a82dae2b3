//! What a container is, and the verbs that run it, go into it and talk to it.

use crate::wire::layer::{LayerOutput, LayerResult};
use crate::wire::log::LogOptions;
use crate::wire::network::{PublishedPort, RunNetwork};
use crate::wire::place::Place;
use crate::wire::resources::{DeviceRule, Resources};
use crate::wire::tree::{IgnorePattern, Owner, Tree};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
        /// The source and all in it get the owner that the process is.
        #[serde(default)]
        own: bool,
        /// `noexec`, `nosuid`, `nodev`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attributes: Vec<String>,
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
    /// The directory that a mount namespace (`/proc/PID/ns/mnt`) has at `path`.
    Shared { namespace: String, path: String, target: String },
}

impl RunMount {
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. }
            | Self::Tree { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Content { target, .. }
            | Self::Shared { target, .. } => target,
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
    /// `private` or `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Device {
    pub path: String,
    pub target: String,
    pub access: String,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    #[serde(default)]
    pub device_rules: Vec<DeviceRule>,
    /// Paths that are hidden besides the usual ones.
    #[serde(default)]
    pub mask: Vec<String>,
    /// Of those that are usually hidden or read-only, patterns of what is not; `ALL`.
    #[serde(default)]
    pub unmask: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunContainer {
    pub directory: Place,
    pub log: bool,
    #[serde(default)]
    pub log_options: LogOptions,
    pub detach: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detach_keys: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_name: Option<String>,
    /// The control group that its own one is made in: a path from the root of every hierarchy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    pub container: ContainerPlace,
    pub spec: ExecSpec,
    #[serde(default)]
    pub detach: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detach_keys: Option<String>,
}

/// Gives a container that runs other limits.
#[derive(Debug, Deserialize, Serialize)]
pub struct Limit {
    pub container: ContainerPlace,
    pub resources: Resources,
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

#[derive(Debug, Deserialize, Serialize)]
pub struct Bundle {
    pub root: Place,
    pub spec: RunSpec,
    #[serde(default)]
    pub readonly: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

#[derive(Debug, Serialize)]
pub struct BundleResult {
    pub config: crate::wire::config::Config,
}
