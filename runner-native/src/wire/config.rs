//! `config.json` of the OCI runtime specification 1.3 for Linux, word for word. Unknown properties are ignored, as the
//! specification asks; what a field means is said there.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// `null` stands for nothing: Go writes empty lists so.
fn nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

macro_rules! object {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($(#[$field_meta])* #[serde(deserialize_with = "nothing", skip_serializing_if = "is_default")] pub $field: $type,)*
        }
    };
}

object!(Config {
    oci_version: String,
    process: Option<Process>,
    root: Option<Root>,
    hostname: String,
    domainname: String,
    mounts: Vec<Mount>,
    hooks: Hooks,
    annotations: BTreeMap<String, String>,
    linux: Linux,
});

object!(Root { path: String, readonly: bool });

object!(Process {
    terminal: bool,
    console_size: Option<Box2>,
    user: User,
    args: Vec<String>,
    env: Vec<String>,
    cwd: String,
    capabilities: Option<Capabilities>,
    rlimits: Vec<Rlimit>,
    no_new_privileges: bool,
    apparmor_profile: String,
    oom_score_adj: Option<i32>,
    scheduler: Option<Scheduler>,
    selinux_label: String,
    io_priority: Option<IoPriority>,
    #[serde(rename = "execCPUAffinity")]
    exec_cpu_affinity: Option<CpuAffinity>,
});

object!(Box2 { height: u16, width: u16 });
object!(User { uid: u32, gid: u32, umask: Option<u32>, additional_gids: Vec<u32>, username: String });
object!(Capabilities {
    bounding: Vec<String>,
    effective: Vec<String>,
    inheritable: Vec<String>,
    permitted: Vec<String>,
    ambient: Vec<String>,
});
object!(Rlimit {
    #[serde(rename = "type")]
    kind: String,
    hard: u64,
    soft: u64
});
object!(Scheduler { policy: String, nice: i32, priority: i32, flags: Vec<String>, runtime: u64, deadline: u64, period: u64 });
object!(IoPriority { class: String, priority: u32 });
object!(CpuAffinity {
    initial: String,
    #[serde(rename = "final")]
    last: String
});

object!(Mount {
    destination: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    options: Vec<String>,
    uid_mappings: Vec<IdMapping>,
    gid_mappings: Vec<IdMapping>,
});

object!(
    #[derive(Copy, Eq)]
    IdMapping {
        #[serde(rename = "containerID")]
        container: u32,
        #[serde(rename = "hostID")]
        host: u32,
        size: u32
    }
);

object!(Hooks {
    prestart: Vec<Hook>,
    create_runtime: Vec<Hook>,
    create_container: Vec<Hook>,
    start_container: Vec<Hook>,
    poststart: Vec<Hook>,
    poststop: Vec<Hook>,
});
object!(Hook { path: String, args: Vec<String>, env: Vec<String>, timeout: Option<i64> });

object!(Linux {
    uid_mappings: Vec<IdMapping>,
    gid_mappings: Vec<IdMapping>,
    sysctl: BTreeMap<String, String>,
    resources: Option<Resources>,
    cgroups_path: String,
    namespaces: Vec<Namespace>,
    devices: Vec<Device>,
    net_devices: BTreeMap<String, NetDevice>,
    seccomp: Option<Seccomp>,
    rootfs_propagation: String,
    masked_paths: Vec<String>,
    readonly_paths: Vec<String>,
    mount_label: String,
    intel_rdt: Option<serde_json::Value>,
    memory_policy: Option<MemoryPolicy>,
    personality: Option<Personality>,
    time_offsets: BTreeMap<String, TimeOffset>,
});

object!(Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: String
});
object!(NetDevice { name: String });
object!(MemoryPolicy { mode: String, nodes: String, flags: Vec<String> });
object!(Personality { domain: String, flags: Vec<String> });
object!(TimeOffset { secs: i64, nanosecs: u32 });
object!(Device {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    major: i64,
    minor: i64,
    file_mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
});

object!(Resources {
    devices: Vec<DeviceRule>,
    memory: Memory,
    cpu: Cpu,
    pids: Option<Pids>,
    #[serde(rename = "blockIO")]
    block_io: BlockIo,
    hugepage_limits: Vec<HugepageLimit>,
    network: Network,
    rdma: BTreeMap<String, Rdma>,
    unified: BTreeMap<String, String>,
});
object!(DeviceRule {
    allow: bool,
    #[serde(rename = "type")]
    kind: String,
    major: Option<i64>,
    minor: Option<i64>,
    access: String,
});
object!(Memory {
    limit: Option<i64>,
    reservation: Option<i64>,
    swap: Option<i64>,
    kernel: Option<i64>,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: Option<i64>,
    swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    disable_oom_killer: Option<bool>,
    use_hierarchy: Option<bool>,
    check_before_update: Option<bool>,
});
object!(Cpu {
    shares: Option<u64>,
    quota: Option<i64>,
    burst: Option<u64>,
    period: Option<u64>,
    realtime_runtime: Option<i64>,
    realtime_period: Option<u64>,
    cpus: String,
    mems: String,
    idle: Option<i64>,
});
object!(Pids { limit: Option<i64> });
object!(BlockIo {
    weight: Option<u16>,
    leaf_weight: Option<u16>,
    weight_device: Vec<WeightDevice>,
    throttle_read_bps_device: Vec<Throttle>,
    throttle_write_bps_device: Vec<Throttle>,
    #[serde(rename = "throttleReadIOPSDevice")]
    throttle_read_iops_device: Vec<Throttle>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    throttle_write_iops_device: Vec<Throttle>,
});
object!(WeightDevice { major: i64, minor: i64, weight: Option<u16>, leaf_weight: Option<u16> });
object!(Throttle { major: i64, minor: i64, rate: u64 });
object!(HugepageLimit { page_size: String, limit: u64 });
object!(Network { #[serde(rename = "classID")] class_id: Option<u32>, priorities: Vec<Priority> });
object!(Priority { name: String, priority: u32 });
object!(Rdma { hca_handles: Option<u32>, hca_objects: Option<u32> });

object!(Seccomp {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Vec<String>,
    flags: Option<Vec<String>>,
    listener_path: String,
    listener_metadata: String,
    syscalls: Vec<Syscall>,
});
object!(Syscall { names: Vec<String>, action: String, errno_ret: Option<u32>, args: Vec<SyscallArg> });
object!(SyscallArg { index: u32, value: u64, value_two: u64, op: String });
