//! Control groups: limits, devices, freezing. Of both versions, and of both at once.
//!
//! A container gets one only if it needs one: what it may use is limited, or its devices are. Ending it needs none,
//! since its processes end with their namespace.

pub(crate) mod devices;

use crate::cgroup::devices::Rule;
use crate::container::plan::Plan;
use crate::container::rootfs::{INERT, attach, file_system, protect, tmpfs};
use crate::container::signal::processes;
use crate::sys::task;
use crate::wire::error::{Error, Kind, Result};
use crate::wire::protocol::{ContainerState, Resources};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A mounted hierarchy.
#[derive(Clone, Debug)]
struct Hierarchy {
    /// Empty for version 2, whose controllers are in `cgroup.controllers`.
    controllers: Vec<String>,
    mount: PathBuf,
    /// Where this process is in it.
    own: PathBuf,
}

/// What there is on this machine.
pub struct Hierarchies {
    unified: Option<Hierarchy>,
    legacy: Vec<Hierarchy>,
}

/// The groups of one container: one, or in version 1 one for each controller.
#[derive(Debug)]
pub struct Cgroup {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    directory: PathBuf,
    /// Of version 1: which one. Empty: version 2.
    controller: String,
}

impl Group {
    fn is_visible(&self) -> bool {
        self.controller != "devices"
    }
}

impl Hierarchies {
    pub fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut found = Self { unified: None, legacy: Vec::new() };
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let (before, after): (Vec<&str>, Vec<&str>) = (before.split(' ').collect(), after.split(' ').collect());
            let (Some(root), Some(mount), Some(kind), Some(options)) = (before.get(3), before.get(4), after.first(), after.get(2)) else {
                continue;
            };
            let relative = |path: &str| -> PathBuf {
                // In a container only a part is mounted, and paths are shown from the real root.
                let inner = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path));
                Path::new(mount).join(inner.strip_prefix("/").unwrap_or(inner))
            };
            match *kind {
                "cgroup2" => {
                    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
                    found.unified = Some(Hierarchy { controllers: Vec::new(), mount: mount.into(), own: relative(path) });
                }
                "cgroup" => {
                    let known = ["memory", "cpu", "cpuacct", "cpuset", "pids", "devices", "freezer", "blkio"];
                    let controllers: Vec<String> = options.split(',').filter(|option| known.contains(option)).map(str::to_owned).collect();
                    let Some(first) = controllers.first() else { continue };
                    let path = own.lines().find_map(|line| {
                        let mut fields = line.splitn(3, ':').skip(1);
                        let (names, path) = (fields.next()?, fields.next()?);
                        names.split(',').any(|name| name == first).then_some(path)
                    });
                    let own = relative(path.unwrap_or("/"));
                    found.legacy.push(Hierarchy { controllers, mount: mount.into(), own });
                }
                _ => {}
            }
        }
        found
    }

    /// `v1`, `v2`, `hybrid` or `none`.
    pub fn version(&self) -> &'static str {
        match (&self.unified, self.legacy.is_empty()) {
            (Some(_), true) => "v2",
            (Some(_), false) => "hybrid",
            (None, false) => "v1",
            (None, true) => "none",
        }
    }

    /// The controllers that this user can set limits with.
    pub fn usable(&self) -> Vec<String> {
        let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        let mut found: Vec<String> = Vec::new();
        for hierarchy in self.legacy.iter().filter(|hierarchy| writable(&hierarchy.own)) {
            found.extend(hierarchy.controllers.iter().cloned());
        }
        if let Some(unified) = &self.unified {
            found.extend(parents(unified).iter().find(|parent| writable(parent)).map(|parent| controllers_of(parent)).unwrap_or_default());
        }
        found.sort();
        found.dedup();
        found
    }

    fn legacy_of(&self, controller: &str) -> Option<&Hierarchy> {
        self.legacy.iter().find(|hierarchy| hierarchy.controllers.iter().any(|known| known == controller))
    }
}

fn controllers_of(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Where a group of version 2 may be made: a group that has processes cannot have limited children, so not where we are,
/// unless that is the root. Root has a place of its own; else it is beside us, where that was delegated to this user.
fn parents(unified: &Hierarchy) -> Vec<PathBuf> {
    let mut parents = Vec::new();
    if rustix::process::geteuid().is_root() {
        parents.push(unified.mount.clone());
    }
    if unified.own != unified.mount {
        parents.extend(unified.own.parent().map(Path::to_owned));
    }
    parents.push(unified.own.clone());
    parents
}

/// What is to be written where: controller, file of version 1, its value; file of version 2, its value.
struct Setting {
    controller: &'static str,
    legacy: Vec<(&'static str, String)>,
    unified: Vec<(&'static str, String)>,
    /// The name that the user knows it by.
    what: &'static str,
}

const PERIOD_MICROSECONDS: f64 = 100_000.0;

fn settings(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    let or_max = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
    if let Some(bytes) = resources.memory_bytes {
        // The sum of memory and swap; as Docker, twice the memory if nothing is said.
        let sum = resources.memory_swap_bytes.filter(|sum| *sum != 0).unwrap_or(bytes.saturating_mul(2));
        let swap = if sum < 0 { -1 } else { (sum - bytes).max(0) };
        settings.push(Setting {
            controller: "memory",
            legacy: vec![("memory.limit_in_bytes", bytes.to_string()), ("memory.memsw.limit_in_bytes", sum.to_string())],
            unified: vec![("memory.max", or_max(bytes)), ("memory.swap.max", or_max(swap))],
            what: "memory",
        });
    }
    if let Some(cpus) = resources.cpus {
        let quota = (cpus * PERIOD_MICROSECONDS).max(1000.0) as u64;
        settings.push(Setting {
            controller: "cpu",
            legacy: vec![("cpu.cfs_period_us", (PERIOD_MICROSECONDS as u64).to_string()), ("cpu.cfs_quota_us", quota.to_string())],
            unified: vec![("cpu.max", format!("{quota} {}", PERIOD_MICROSECONDS as u64))],
            what: "processor",
        });
    }
    if let Some(shares) = resources.cpu_shares {
        settings.push(Setting {
            controller: "cpu",
            legacy: vec![("cpu.shares", shares.max(2).to_string())],
            unified: vec![("cpu.weight", weight_of(shares).to_string())],
            what: "processor",
        });
    }
    if let Some(pids) = resources.pids.filter(|pids| *pids != 0) {
        settings.push(Setting {
            controller: "pids",
            legacy: vec![("pids.max", or_max(pids))],
            unified: vec![("pids.max", or_max(pids))],
            what: "process",
        });
    }
    if let Some(cpus) = &resources.cpuset_cpus {
        settings.push(Setting {
            controller: "cpuset",
            legacy: vec![("cpuset.cpus", cpus.clone())],
            unified: vec![("cpuset.cpus", cpus.clone())],
            what: "processor set",
        });
    }
    settings
}

#[allow(clippy::cast_precision_loss)]
/// Shares (2 to 262144, 1024 by default) as a weight (1 to 10000, 100 by default): the curve through those three points
/// that runc and crun use.
fn weight_of(shares: u64) -> u64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

impl Cgroup {
    /// Makes the groups that these limits need; `None` if they need none.
    ///
    /// # Errors
    /// `Kind::Isolation` if a limit cannot be set here, with what is missing.
    pub fn create(name: &str, resources: &Resources, devices: Option<&[Rule]>) -> Result<(Option<Self>, Vec<String>)> {
        let settings = settings(resources);
        let mut warnings = Vec::new();
        if settings.is_empty() && devices.is_none() {
            return Ok((None, warnings));
        }
        let hierarchies = Hierarchies::find();
        let mut cgroup = Self { groups: Vec::new() };
        let made = cgroup.fill(&hierarchies, name, &settings, devices, &mut warnings);
        if let Err(error) = made {
            cgroup.remove();
            return Err(error);
        }
        Ok((Some(cgroup), warnings))
    }

    fn fill(
        &mut self,
        hierarchies: &Hierarchies,
        name: &str,
        settings: &[Setting],
        devices: Option<&[Rule]>,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let needed: Vec<&str> = settings.iter().map(|setting| setting.controller).collect();
        for setting in settings {
            let explain = |error: Error| cannot_limit(setting.what, error);
            if let Some(legacy) = hierarchies.legacy_of(setting.controller) {
                let directory = self.legacy_group(legacy, setting.controller, name).map_err(explain)?;
                for (file, value) in &setting.legacy {
                    match write(&directory, file, value) {
                        // The kernel does not account for swap.
                        Err(error) if file.contains("memsw") && matches!(error.kind, Kind::NotFound | Kind::Permission) => {
                            warnings.push("this kernel does not limit swap".to_owned());
                        }
                        other => other.map_err(explain)?,
                    }
                }
            } else {
                let directory = self.unified_group(hierarchies, &needed, name).map_err(explain)?;
                for (file, value) in &setting.unified {
                    match write(&directory, file, value) {
                        Err(error) if file.contains("swap") && error.kind == Kind::NotFound => {
                            warnings.push("this kernel does not limit swap".to_owned());
                        }
                        other => other.map_err(explain)?,
                    }
                }
            }
        }
        if let Some(rules) = devices {
            let explain = |error: Error| cannot_limit("device", error);
            if let Some(legacy) = hierarchies.legacy_of("devices") {
                let directory = self.legacy_group(legacy, "devices", name).map_err(explain)?;
                write(&directory, "devices.deny", "a").map_err(explain)?;
                for rule in rules {
                    write(&directory, "devices.allow", &rule.text()).map_err(explain)?;
                }
            } else {
                let directory = self.unified_group(hierarchies, &needed, name).map_err(explain)?;
                let open = openat(CWD, &directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|errno| explain(Error::call(format!("openat({:?})", directory.display()), errno)))?;
                crate::cgroup::devices::attach(&open, rules).map_err(explain)?;
            }
        }
        Ok(())
    }

    fn legacy_group(&mut self, hierarchy: &Hierarchy, controller: &str, name: &str) -> Result<PathBuf> {
        let directory = hierarchy.own.join(name);
        // Controllers that are mounted together share a group.
        if self.groups.iter().any(|group| group.directory == directory) {
            return Ok(directory);
        }
        make(&directory)?;
        self.groups.push(Group { directory: directory.clone(), controller: controller.to_owned() });
        if controller == "cpuset" {
            // Both start empty, and nothing can run on no memory.
            for file in ["cpuset.mems", "cpuset.cpus"] {
                let above = fs::read_to_string(hierarchy.own.join(file)).unwrap_or_default();
                write(&directory, file, above.trim())?;
            }
        }
        Ok(directory)
    }

    fn unified_group(&mut self, hierarchies: &Hierarchies, controllers: &[&str], name: &str) -> Result<PathBuf> {
        if let Some(group) = self.groups.iter().find(|group| group.controller.is_empty()) {
            return Ok(group.directory.clone());
        }
        let Some(unified) = &hierarchies.unified else {
            return Err(Error::new(Kind::Isolation, "no control groups are mounted here"));
        };
        let mut last = None;
        for parent in parents(unified) {
            let missing: Vec<String> = {
                let enabled = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
                let enabled: Vec<&str> = enabled.split_ascii_whitespace().collect();
                controllers
                    .iter()
                    .filter(|name| !enabled.contains(*name) && hierarchies.legacy_of(name).is_none())
                    .map(|name| format!("+{name}"))
                    .collect()
            };
            let made = (if missing.is_empty() { Ok(()) } else { write(&parent, "cgroup.subtree_control", &missing.join(" ")) })
                .and_then(|()| make(&parent.join(name)));
            match made {
                Ok(()) => {
                    let directory = parent.join(name);
                    self.groups.push(Group { directory: directory.clone(), controller: String::new() });
                    return Ok(directory);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Isolation, "no control group can be made")))
    }

    /// The groups of a container that runs, from its state.
    pub fn of_container(state: &ContainerState) -> Option<Self> {
        let text = state.cgroup.as_deref().filter(|text| !text.is_empty())?;
        let groups = text.split(':').filter_map(|entry| {
            let (controller, directory) = entry.split_once('=')?;
            Some(Group { directory: directory.into(), controller: controller.to_owned() })
        });
        Some(Self { groups: groups.collect() })
    }

    /// For the state: `controller=directory`, separated by colons; version 2 has no controller.
    pub fn to_text(&self) -> String {
        let entries: Vec<String> = self.groups.iter().map(|group| format!("{}={}", group.controller, group.directory.display())).collect();
        entries.join(":")
    }

    /// The group of version 2, for a process to be made right inside.
    pub fn clone_into(&self) -> Option<OwnedFd> {
        let group = self.groups.iter().find(|group| group.controller.is_empty())?;
        openat(CWD, &group.directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// Puts this process, which has one thread, into the groups of version 1; also into that of version 2 if `all`.
    pub fn join(&self, all: bool) -> Result<()> {
        for group in &self.groups {
            match group.controller.as_str() {
                "" if all => write(&group.directory, "cgroup.procs", "0")?,
                "" => {}
                // One thread alone moves without waiting for the whole machine, as `cgroup.procs` would.
                _ => write(&group.directory, "tasks", "0")?,
            }
        }
        Ok(())
    }

    /// Whether a container may see something of its groups. What says which devices open is not for it to look at.
    fn is_visible(&self) -> bool {
        self.groups.iter().any(Group::is_visible)
    }

    /// Mounts what the container may see of its groups, read-only, as /sys/fs/cgroup.
    fn show(&self, plan: &Plan, place: BorrowedFd<'_>) -> Result<()> {
        if self.groups.iter().all(|group| group.controller.is_empty()) {
            return show_unified(plan, &file_system("cgroup2", &[], INERT)?, place);
        }
        let directory = tmpfs(&[("mode", "755")], INERT)?;
        attach(&directory, place)?;
        for group in self.groups.iter().filter(|group| !group.controller.is_empty() && group.is_visible()) {
            // In our own cgroup namespace the root is the container's group.
            let Ok(mount) = file_system("cgroup", &[(&group.controller, "")], INERT) else { continue };
            protect(&mount, false)?;
            mkdirat(&directory, &*group.controller, Mode::from_raw_mode(0o755)).map_err(|errno| Error::call("mkdirat(cgroup)", errno))?;
            let place = crate::root::open_beneath(directory.as_fd(), &group.controller, OFlags::PATH, Mode::empty())?;
            attach(&mount, &place)?;
        }
        protect(&directory, false)
    }

    /// Whether the kernel killed something in it for want of memory.
    pub fn oom_killed(&self) -> bool {
        self.groups.iter().any(|group| {
            let file = if group.controller.is_empty() { "memory.events" } else { "memory.oom_control" };
            let text = fs::read_to_string(group.directory.join(file)).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    }

    /// Removes the groups; processes that are still ending are waited for.
    pub fn remove(&self) {
        let until = Instant::now() + Duration::from_secs(2);
        for group in &self.groups {
            while let Err(error) = fs::remove_dir(&group.directory) {
                if error.raw_os_error() != Some(libc::EBUSY) || Instant::now() > until {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn make(directory: &Path) -> Result<()> {
    // One that is left over from a crash has no processes, and its limits are set anew.
    let made =
        fs::create_dir(directory).or_else(|error| if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) });
    made.map_err(|error| Error::io(format!("mkdir({:?})", directory.display()), &error).path(directory.display().to_string()))
}

fn write(directory: &Path, file: &str, value: &str) -> Result<()> {
    use std::io::Write;
    let path = directory.join(file);
    let call =
        |error: std::io::Error| Error::io(format!("write({:?}, {value:?})", path.display()), &error).path(path.display().to_string());
    let mut file = fs::File::options().write(true).open(&path).map_err(call)?;
    file.write_all(value.as_bytes()).map_err(call)
}

fn cannot_limit(what: &str, error: Error) -> Error {
    let refused = matches!(error.kind, Kind::Permission | Kind::NotFound | Kind::Isolation) || error.errno == Some(rustix::io::Errno::BUSY);
    let error = error.context(format!("cannot set the {what} limit"));
    if !refused {
        return error;
    }
    Error { kind: Kind::Isolation, ..error }.hint(format!("Limits need {DELEGATION}"))
}

const DELEGATION: &str = "a control group that this user may change: run as root, or under systemd with `systemd-run --user --scope -p Delegate=yes stave …` (cgroup v2).";

/// Moves this process into a cgroup namespace of its own: paths of the host's groups do not show inside.
pub fn hide() -> Result<()> {
    match task::unshare(libc::CLONE_NEWCGROUP) {
        // Older than 4.6, or built without.
        Err(error) if error.errno == Some(rustix::io::Errno::INVAL) => Ok(()),
        other => other,
    }
}

/// Mounts /sys/fs/cgroup inside: the container's own groups, or where there are none what version 2 shows by itself.
pub fn show(plan: &Plan, place: BorrowedFd<'_>) -> Result<()> {
    const CGROUP2_MAGIC: i64 = 0x6367_7270;
    match &plan.cgroup {
        Some(cgroup) if cgroup.is_visible() => cgroup.show(plan, place),
        _ if rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type == CGROUP2_MAGIC) => {
            let Ok(mount) = file_system("cgroup2", &[], INERT) else { return Ok(()) };
            show_unified(plan, &mount, place)
        }
        _ => Ok(()),
    }
}

fn show_unified(plan: &Plan, mount: &OwnedFd, place: BorrowedFd<'_>) -> Result<()> {
    if !plan.privileged {
        protect(mount, false)?;
    }
    attach(mount, place)
}

/// The name of the group that a container's processes are in while they are paused. Only then: it costs time.
const PAUSED: &str = "stave-paused-";

/// Where processes are frozen, and the file and words for it.
fn freezer(state: &ContainerState, pid: i32) -> Result<(PathBuf, bool)> {
    let hierarchies = Hierarchies::find();
    let name = format!("{PAUSED}{pid}-{}", state.pid_start.unwrap_or(0));
    if let Some(legacy) = hierarchies.legacy_of("freezer") {
        return Ok((legacy.mount.join(name), false));
    }
    if let Some(own) = Cgroup::of_container(state).and_then(|cgroup| cgroup.groups.into_iter().find(|group| group.controller.is_empty())) {
        return Ok((own.directory, true));
    }
    match &hierarchies.unified {
        Some(unified) => Ok((parents(unified)[0].join(name), true)),
        None => Err(Error::new(Kind::Isolation, "cannot pause: no freezer control group is mounted here")),
    }
}

pub fn pause(state: &ContainerState, pid: i32) -> Result<()> {
    let explain = |error: Error| {
        let error = error.context("cannot pause the container");
        if error.kind == Kind::Permission {
            return Error { kind: Kind::Isolation, ..error }.hint(format!("Freezing needs {DELEGATION}"));
        }
        error
    };
    let (directory, unified) = freezer(state, pid)?;
    make(&directory).map_err(explain)?;
    // Processes that are made meanwhile are made outside, by ones that were not moved yet: until there are none.
    for _ in 0..100 {
        let inside = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        let inside: Vec<i32> = inside.lines().filter_map(|line| line.parse().ok()).collect();
        let outside: Vec<i32> = processes(pid).map_err(explain)?.into_iter().filter(|pid| !inside.contains(pid)).collect();
        if outside.is_empty() {
            break;
        }
        for pid in outside {
            match write(&directory, "cgroup.procs", &pid.to_string()) {
                // It has ended.
                Err(error) if error.errno == Some(rustix::io::Errno::SRCH) => {}
                other => other.map_err(explain)?,
            }
        }
    }
    if unified { write(&directory, "cgroup.freeze", "1") } else { write(&directory, "freezer.state", "FROZEN") }.map_err(explain)?;
    let until = Instant::now() + Duration::from_secs(5);
    let frozen = || {
        let (file, word) = if unified { ("cgroup.events", "frozen 1") } else { ("freezer.state", "FROZEN") };
        fs::read_to_string(directory.join(file)).is_ok_and(|text| text.contains(word))
    };
    while !frozen() {
        if Instant::now() > until {
            return Err(Error::new(Kind::State, "cannot pause the container: a process does not stop")
                .hint("One that waits for a device or the network cannot be frozen before that has answered."));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

pub fn resume(state: &ContainerState, pid: i32) -> Result<()> {
    let (directory, unified) = freezer(state, pid)?;
    if !directory.exists() {
        return Ok(());
    }
    if unified { write(&directory, "cgroup.freeze", "0") } else { write(&directory, "freezer.state", "THAWED") }?;
    if directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PAUSED)) {
        // Back to where they came from: the group of whoever watches them, which started them.
        let home = directory.parent().unwrap_or(Path::new("/"));
        for _ in 0..100 {
            let inside = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            for pid in inside.lines() {
                let _ = write(home, "cgroup.procs", pid);
            }
            if fs::remove_dir(&directory).is_ok() {
                break;
            }
        }
    }
    Ok(())
}

/// Whether a process is frozen: what joins it would be as well, and never answer.
pub fn is_paused(state: &ContainerState, pid: i32) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let own = Cgroup::of_container(state).and_then(|cgroup| cgroup.groups.into_iter().find(|group| group.controller.is_empty()));
    groups.contains(PAUSED)
        || own.is_some_and(|own| fs::read_to_string(own.directory.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        assert_eq!([2, 1024, 262_144].map(weight_of), [1, 100, 10_000]);
        assert!(weight_of(512) < 100 && weight_of(2048) > 100);
    }

    #[test]
    fn limits_are_written_in_both_languages() {
        let resources = Resources { memory_bytes: Some(100), cpus: Some(1.5), pids: Some(-1), ..Resources::default() };
        let settings = settings(&resources);
        let unified: Vec<(&str, &str)> =
            settings.iter().flat_map(|setting| &setting.unified).map(|(file, value)| (*file, value.as_str())).collect();
        assert_eq!(unified, [("memory.max", "100"), ("memory.swap.max", "100"), ("cpu.max", "150000 100000"), ("pids.max", "max")]);
        let legacy: Vec<(&str, &str)> =
            settings.iter().flat_map(|setting| &setting.legacy).map(|(file, value)| (*file, value.as_str())).collect();
        assert_eq!(
            legacy,
            [
                ("memory.limit_in_bytes", "100"),
                ("memory.memsw.limit_in_bytes", "200"),
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "150000"),
                ("pids.max", "max")
            ]
        );
    }
}
