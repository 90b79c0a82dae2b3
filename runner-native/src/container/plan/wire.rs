//! The front of the wire: a request in the words of the runtime specification, with Docker's container around it.

use super::device::{self, Device};
use super::{Beside, EVERYTHING, Named, PASSED, Plan, Process};
use crate::cgroup::devices;
use crate::container::capabilities;
use crate::container::namespaces;
use crate::container::seccomp::Filter;
use crate::container::tty;
use crate::error::{Error, Kind, Result};
use crate::pattern::Glob;
use crate::wire::config::{self, Capabilities, Config, Linux, Mount, Root};
use crate::wire::container::{ExecSpec, Run, RunSpec, Seccomp};
use crate::wire::resources::{DeviceNumber, Resources};

/// Hidden under /proc and /sys: hardware and kernel state that is nobody's business inside.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];
const READONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The group of terminals, where it exists.
const TTY_GROUP: u32 = 5;

const PERIOD_MICROSECONDS: f64 = 100_000.0;

/// The plan of a container, and the mounts of its request that [`crate::container::mounts::prepare`] makes are in it by number.
pub fn of_run(request: &Run) -> Result<Plan> {
    let spec = &request.spec;
    let namespaces = namespaces_of(spec)?;
    let has = |name: &str| namespaces.iter().any(|namespace| namespace.kind == name);
    let nested = namespaces::nested();
    let mut devices = Vec::new();
    let mut given = Vec::new();
    for device in &spec.devices {
        if device.access.is_empty() || !device.access.chars().all(|letter| "rwm".contains(letter)) {
            return Err(Error::new(
                Kind::Request,
                format!("the access to {:?} must be of r, w and m, not {:?}", device.path, device.access),
            ));
        }
        let device = Device { path: device.path.clone(), target: device.target.clone(), access: device.access.clone() };
        let nodes = device.expand()?;
        given.extend(nodes.iter().map(|node| (node.clone(), device.access.clone())));
        devices.extend(nodes);
    }
    if spec.privileged {
        devices.splice(0..0, device::all_of_host());
    }
    let capabilities = capabilities_of(&spec.capabilities, spec.privileged)?;
    let unlimited = spec.privileged || nested;
    let rules = if unlimited { Vec::new() } else { rules_of(spec, &given) };
    let rules_are_necessary =
        !unlimited && devices::are_necessary(&given, capabilities::sets(&capabilities)?.bounding.has(capabilities::SYS_ADMIN));
    let config = Config {
        oci_version: "1.3.0".to_owned(),
        process: Some(process_of(&exec_of(spec), capabilities, spec)),
        root: Some(Root { path: "rootfs".to_owned(), readonly: request.root.readonly }),
        hostname: spec.hostname.clone().filter(|_| has("uts")).unwrap_or_default(),
        mounts: mounts_of(request, has("ipc"), nested),
        linux: Linux {
            sysctl: spec.sysctl.clone(),
            resources: Some(config::Resources { devices: rules, ..resources_of(&spec.resources) }),
            namespaces,
            devices,
            masked_paths: hidden_paths(spec),
            readonly_paths: covered(spec, READONLY.iter().map(|path| (*path).to_owned())),
            ..Linux::default()
        },
        ..Config::default()
    };
    if spec.hostname.as_ref().is_some_and(|name| name.is_empty() || name.len() > 64 || name.contains('\0')) {
        return Err(Error::new(Kind::Request, format!("{:?} is not a host name", spec.hostname.as_deref().unwrap_or_default())));
    }
    let mut beside = beside_of(&exec_of(spec))?;
    beside.make_cwd = spec.make_cwd;
    beside.init = spec.init;
    beside.joined_network = spec.namespaces.network_path.as_ref().map(|place| crate::sys::borrow(place.fd)).transpose()?;
    beside.network = request.network.as_ref().map(|network| network.resolver.is_some());
    beside.rules_are_necessary = rules_are_necessary;
    let mut plan = Plan::new(config, &beside)?;
    plan.process.terminal_size = if spec.terminal { tty::user_size() } else { None };
    Ok(plan)
}

/// One more process of a container.
pub fn of_exec(spec: &ExecSpec) -> Result<Process> {
    let mut process = Process::new(&written_of(spec)?, &Config::default(), &beside_of(spec)?)?;
    process.terminal_size = if spec.terminal { tty::user_size() } else { None };
    Ok(process)
}

/// One more process of a container, as the specification has it.
pub fn written_of(spec: &ExecSpec) -> Result<config::Process> {
    Ok(config::Process {
        terminal: spec.terminal,
        args: spec.args.clone(),
        env: spec.env.clone(),
        cwd: spec.cwd.clone(),
        capabilities: Some(capabilities_of(&spec.capabilities, spec.privileged)?),
        no_new_privileges: spec.no_new_privileges,
        user: config::User { umask: spec.umask, ..config::User::default() },
        ..config::Process::default()
    })
}

fn exec_of(spec: &RunSpec) -> ExecSpec {
    ExecSpec {
        args: spec.args.clone(),
        env: spec.env.clone(),
        cwd: spec.cwd.clone(),
        user: spec.user.clone(),
        additional_groups: spec.additional_groups.clone(),
        terminal: spec.terminal,
        interactive: spec.interactive,
        capabilities: spec.capabilities.clone(),
        no_new_privileges: spec.no_new_privileges,
        seccomp: spec.seccomp.clone(),
        privileged: spec.privileged,
        umask: spec.umask,
    }
}

fn beside_of(spec: &ExecSpec) -> Result<Beside> {
    let filter = match &spec.seccomp {
        _ if spec.privileged => Filter::None,
        Seccomp::Profile(profile) => Filter::of_profile(profile.clone()),
        Seccomp::Named(name) if name == "default" => Filter::Default,
        Seccomp::Named(name) if name == "unconfined" => Filter::None,
        Seccomp::Named(other) => return Err(Error::new(Kind::Request, format!("unknown seccomp profile {other:?}"))),
    };
    Ok(Beside {
        user: Some(Named { user: spec.user.clone(), additional_groups: spec.additional_groups.clone() }),
        interactive: spec.interactive,
        filter: Some(filter),
        lenient: true,
        ..Beside::default()
    })
}

fn process_of(spec: &ExecSpec, capabilities: Capabilities, run: &RunSpec) -> config::Process {
    let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    config::Process {
        terminal: spec.terminal,
        args: spec.args.clone(),
        env: spec.env.clone(),
        cwd: spec.cwd.clone(),
        capabilities: Some(capabilities),
        no_new_privileges: spec.no_new_privileges,
        user: config::User { umask: spec.umask, ..config::User::default() },
        apparmor_profile: run.apparmor.clone().unwrap_or_default(),
        oom_score_adj: run.oom_score_adj,
        rlimits: run
            .ulimits
            .iter()
            .map(|limit| config::Rlimit {
                kind: format!("RLIMIT_{}", limit.name.to_uppercase()),
                soft: value(limit.soft),
                hard: value(limit.hard),
            })
            .collect(),
        ..config::Process::default()
    }
}

/// Whether the user is root, who alone holds them from the start, is known inside only.
fn capabilities_of(names: &[String], privileged: bool) -> Result<Capabilities> {
    let set = if privileged { EVERYTHING } else { capabilities::parse(names)? };
    let names = capabilities::names_of(set);
    Ok(Capabilities { bounding: names.clone(), effective: names.clone(), permitted: names, ..Capabilities::default() })
}

fn namespaces_of(spec: &RunSpec) -> Result<Vec<config::Namespace>> {
    let asked = &spec.namespaces;
    let mut kinds = vec!["mount"];
    match asked.cgroup.as_deref() {
        None | Some("private") => kinds.push("cgroup"),
        Some("host") => {}
        Some(other) => return Err(Error::new(Kind::Request, format!("unknown cgroup namespace {other:?}"))),
    }
    let mut joined = Vec::new();
    match asked.network.as_str() {
        "host" => {}
        "join" if asked.network_path.is_some() => {}
        "none" | "private" => kinds.push("network"),
        other => return Err(Error::new(Kind::Request, format!("unknown network {other:?}"))),
    }
    for (name, choice) in [("pid", &asked.pid), ("ipc", &asked.ipc), ("uts", &asked.uts)] {
        match choice.as_deref() {
            None | Some("private") => kinds.push(name),
            Some("host") => {}
            Some(path) if path.starts_with('/') => joined.push((name, path)),
            Some(other) => return Err(Error::new(Kind::Request, format!("unknown {name} namespace {other:?}"))),
        }
    }
    let new = kinds.into_iter().map(|kind| (kind, ""));
    Ok(new.chain(joined).map(|(kind, path)| config::Namespace { kind: kind.to_owned(), path: path.to_owned() }).collect())
}

fn mounts_of(request: &Run, has_ipc: bool, nested: bool) -> Vec<Mount> {
    const INERT: &str = "nosuid,noexec,nodev";
    let spec = &request.spec;
    let mount = |destination: &str, kind: &str, options: &str| Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: kind.to_owned(),
        options: options.split(',').map(str::to_owned).collect(),
        ..Mount::default()
    };
    let readonly = if spec.privileged { "rw" } else { "ro" };
    // In a user namespace no node works but those that are mounts of the host's.
    let nodev = if nested && !spec.privileged { "nodev" } else { "dev" };
    let group = if namespaces::maps_group(TTY_GROUP) { format!(",gid={TTY_GROUP}") } else { String::new() };
    let mut mounts = vec![
        mount("/proc", "proc", INERT),
        mount("/dev", "tmpfs", &format!("nosuid,{nodev},mode=755,size=65536k")),
        mount("/dev/pts", "devpts", &format!("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620{group}")),
        mount("/dev/shm", "tmpfs", &format!("{INERT},mode=1777,size={}", spec.shm_bytes.unwrap_or(64 << 20))),
    ];
    // Those of the host are not to be mounted from inside a user namespace.
    if has_ipc || !nested {
        mounts.push(mount("/dev/mqueue", "mqueue", INERT));
    }
    mounts.push(mount("/sys", "sysfs", &format!("{INERT},{readonly}")));
    mounts.push(mount("/sys/fs/cgroup", "cgroup", &format!("{INERT},{readonly}")));
    mounts.extend(spec.mounts.iter().map(|passed| mount(passed.target(), PASSED, "")));
    mounts
}

/// What may be opened: nodes that are given, and numbers that are named.
fn rules_of(spec: &RunSpec, given: &[(config::Device, String)]) -> Vec<config::DeviceRule> {
    let named = spec.device_rules.iter().map(|rule| config::DeviceRule {
        allow: true,
        kind: rule.kind.clone(),
        major: rule.major,
        minor: rule.minor,
        access: rule.access.clone(),
    });
    devices::rules(given).into_iter().chain(named).collect()
}

fn hidden_paths(spec: &RunSpec) -> Vec<String> {
    let usual = MASKED.iter().map(|path| (*path).to_owned()).chain(throttles());
    covered(spec, usual).into_iter().chain(spec.mask.iter().cloned()).collect()
}

/// Those that are not to be seen, or written to, as they are.
fn covered(spec: &RunSpec, usual: impl Iterator<Item = String>) -> Vec<String> {
    let is_open =
        |path: &str| spec.unmask.iter().any(|open| open == "ALL" || Glob::new(open).is_ok_and(|open| open.matches(path.as_bytes())));
    if spec.privileged { Vec::new() } else { usual.filter(|path| !is_open(path)).collect() }
}

/// In the words of the runtime specification.
pub fn resources_of(resources: &Resources) -> config::Resources {
    let mut found = config::Resources::default();
    if let Some(bytes) = resources.memory_bytes {
        found.memory.limit = Some(bytes);
        // The sum of memory and swap; as Docker, twice the memory if nothing is said.
        found.memory.swap = Some(resources.memory_swap_bytes.filter(|sum| *sum != 0).unwrap_or(bytes.saturating_mul(2)));
    }
    if let Some(cpus) = resources.cpus {
        found.cpu.quota = Some((cpus * PERIOD_MICROSECONDS).max(1000.0) as i64);
        found.cpu.period = Some(PERIOD_MICROSECONDS as u64);
    }
    found.cpu.shares = resources.cpu_shares.map(|shares| shares.max(2));
    found.cpu.cpus = resources.cpuset_cpus.clone().unwrap_or_default();
    found.cpu.mems = resources.cpuset_mems.clone().unwrap_or_default();
    found.memory.reservation = resources.memory_reservation_bytes;
    found.memory.swappiness = resources.memory_swappiness;
    found.pids = resources.pids.filter(|pids| *pids != 0).map(|pids| config::Pids { limit: Some(pids) });
    if let Some(disks) = &resources.block_io {
        let rates = |numbers: &[DeviceNumber]| {
            numbers.iter().map(|one| config::Throttle { major: one.major, minor: one.minor, rate: one.value }).collect()
        };
        let weight = |one: &DeviceNumber| config::WeightDevice {
            major: one.major,
            minor: one.minor,
            weight: u16::try_from(one.value).ok(),
            ..config::WeightDevice::default()
        };
        found.block_io = config::BlockIo {
            weight: disks.weight,
            weight_device: disks.weight_devices.iter().map(weight).collect(),
            throttle_read_bps_device: rates(&disks.read_bps),
            throttle_write_bps_device: rates(&disks.write_bps),
            throttle_read_iops_device: rates(&disks.read_iops),
            throttle_write_iops_device: rates(&disks.write_iops),
            ..config::BlockIo::default()
        };
    }
    found.unified.clone_from(&resources.unified);
    found
}

/// Counters of each processor's throttling tell of others' work.
fn throttles() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/cpu") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            name.strip_prefix("cpu").is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .map(|name| format!("/sys/devices/system/cpu/{name}/thermal_throttle"))
        .filter(|path| std::path::Path::new(path).exists())
        .collect()
}
