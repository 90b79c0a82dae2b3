//! The mounts of a plan, made in their order inside its root, and what covers parts of them.

use crate::cgroup;
use crate::container::copy_up;
use crate::container::dev;
use crate::container::mounts::Mounts;
use crate::container::plan::{Mount, Plan, Source};
use crate::container::targets::Targets;
use crate::error::{Error, Kind, Result};
use crate::mount::{INERT, attach, clone_tree, file_system, make, protect, tmpfs};
use crate::root;
use crate::sys::mount::{ATTR_RDONLY, set_attributes};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// The parts of a container's system that later steps need.
#[derive(Default)]
pub struct System {
    proc: Option<OwnedFd>,
    pub dev: Option<OwnedFd>,
    pub pts: Option<OwnedFd>,
}

/// Places below /proc that may be covered: programs read them to learn what they may use.
const MAY_COVER: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

const PROC_MAGIC: i64 = 0x9fa0;

/// Mounts everything. Runs inside the new namespaces, before the root is entered.
pub fn mount(plan: &Plan, nodes: &dev::Nodes, mut mounts: Mounts, targets: &mut Targets<'_>) -> Result<System> {
    let mut system = System::default();
    for (index, mount) in plan.mounts.iter().enumerate() {
        system.add(plan, mount, index, &mut mounts, targets).map_err(|error| error.context(mount.source.doing(&mount.destination)))?;
    }
    // Where something of the host's is mounted at /dev, the devices in it are the host's.
    if !plan.mounts.iter().any(|mount| mount.destination == "/dev" && matches!(mount.source, Source::Bind(_) | Source::Passed(_))) {
        if system.dev.is_none() {
            system.dev = Some(targets.find_plain("dev")?);
        }
        if let Some(dev) = &system.dev {
            dev::fill(plan, nodes, dev, targets)?;
        }
    }
    Ok(system)
}

impl Source {
    /// What was being done, for errors: in runc's words where a `config.json` names the source.
    fn doing(&self, destination: &str) -> String {
        let source = match self {
            Self::Bind(path) => path,
            Self::FileSystem { source, kind } if source.is_empty() => kind,
            Self::FileSystem { source, .. } => source,
            Self::Cgroup => "cgroup",
            Self::Passed(_) => return format!("cannot mount on {destination:?}"),
        };
        format!("error mounting {source:?} to rootfs at {destination:?}")
    }
}

impl System {
    fn add(&mut self, plan: &Plan, mount: &Mount, index: usize, mounts: &mut Mounts, targets: &mut Targets<'_>) -> Result<()> {
        let options = &mount.options;
        if options.remount {
            let target = targets.find_any(&mount.destination)?;
            return set_attributes(&target, options.set, options.clear, 0, false);
        }
        check_proc(mount)?;
        match &mount.source {
            Source::Passed(number) => mounts.attach(*number, targets),
            Source::Bind(path) => {
                let tree = match mounts.take_bound(index) {
                    Some(tree) => tree,
                    None => clone_tree(&root::host(path).map_err(|error| error.context("bind source"))?, options.recursive)?,
                };
                let target = targets.find(&mount.destination, is_directory(&tree)?)?;
                set_up_tree(&tree, mount, plan)?;
                attach(&tree, &target)
            }
            Source::Cgroup => {
                let target = match targets.find(&mount.destination, true) {
                    Err(_) if mount.lenient => return Ok(()),
                    other => other?,
                };
                let readonly = options.set & ATTR_RDONLY != 0;
                match &plan.cgroup {
                    Some(cgroup) => cgroup.show(target.as_fd(), readonly, plan.namespaces.has(libc::CLONE_NEWCGROUP)),
                    None => cgroup::show_none(target.as_fd(), readonly),
                }
            }
            Source::FileSystem { kind, source } => self.add_file_system(plan, mount, kind, source, targets),
        }
    }

    fn add_file_system(&mut self, plan: &Plan, mount: &Mount, kind: &str, source: &str, targets: &mut Targets<'_>) -> Result<()> {
        let plain = mount.destination.trim_start_matches('/');
        // Where an image has a link in place of one of these, the link would say where the kernel's go.
        let target = if matches!(plain, "proc" | "sys" | "dev") || matches!(kind, "proc" | "sysfs") {
            targets.find_plain(plain)?
        } else {
            targets.find(&mount.destination, true)?
        };
        let made = match kind {
            "proc" => mount_proc(plan, mount),
            "sysfs" => mount_sys(mount),
            "tmpfs" => mount_memory(mount, source, &target),
            _ => new_file_system(mount, kind, source, &[]),
        };
        let tree = match made {
            // The ipc namespace is the host's, or the kernel has no message queues.
            Err(error) if kind == "mqueue" && mount.lenient && matches!(error.errno, Some(Errno::PERM | Errno::NODEV)) => return Ok(()),
            other => other?,
        };
        set_propagation(&tree, mount, Some(libc::MS_PRIVATE))?;
        attach(&tree, &target)?;
        if kind == "sysfs" {
            hide_cgroups(&tree)?;
        }
        match (kind, mount.destination.as_str()) {
            ("proc", "/proc") => self.proc = Some(tree),
            ("devpts", "/dev/pts") => self.pts = Some(tree),
            (_, "/dev") => self.dev = Some(tree),
            _ => {}
        }
        Ok(())
    }

    /// Sets sysctls, by a /proc that nothing of an image lies on.
    pub fn set_sysctls(&self, sysctls: &BTreeMap<String, String>) -> Result<()> {
        if sysctls.is_empty() {
            return Ok(());
        }
        let own;
        let proc = if let Some(proc) = &self.proc {
            proc
        } else {
            own = file_system("proc", &[], INERT)?;
            &own
        };
        for (name, value) in sysctls {
            // Dots separate, as in sysctl(8); a slash may be written for a dot within a name.
            let path = if name.find('/').is_some_and(|slash| name.find('.').is_none_or(|dot| slash < dot)) {
                format!("sys/{name}")
            } else {
                format!("sys/{}", name.split('.').map(|part| part.replace('/', ".")).collect::<Vec<_>>().join("/"))
            };
            let file = openat2(proc, &*path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), PROC_ONLY).map_err(|errno| {
                Error::call(format!("openat2(proc, {path:?}, O_WRONLY)"), errno).context(format!("cannot set sysctl {name:?}"))
            })?;
            rustix::io::write(&file, value.as_bytes()).map_err(|errno| {
                Error::call(format!("write({path:?}, {value:?})"), errno).context(format!("cannot set sysctl {name:?}"))
            })?;
        }
        Ok(())
    }
}

/// The kernel's file systems have no links that lead out, and nothing of an image is mounted in them.
const PROC_ONLY: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// What lies on /proc could tell programs, and whoever confines them, other things than the kernel does (CVE-2019-16884).
fn check_proc(mount: &Mount) -> Result<()> {
    let path = mount.destination.as_str();
    let is_proc = matches!(&mount.source, Source::FileSystem { kind, .. } if kind == "proc");
    if mount.lenient || is_proc || path != "/proc" && !path.starts_with("/proc/") {
        return Ok(());
    }
    if path == "/proc" {
        let Source::Bind(source) = &mount.source else {
            return Err(Error::new(Kind::Request, format!("{path:?} cannot be mounted because it is not of type proc")));
        };
        return match rustix::fs::statfs(source.as_str()) {
            Ok(stat) if stat.f_type == PROC_MAGIC => Ok(()),
            _ => Err(Error::new(Kind::Request, format!("{path:?} cannot be mounted because it is not of type proc"))),
        };
    }
    let inner = std::path::Path::new(path);
    if MAY_COVER.iter().any(|allowed| inner.starts_with(allowed)) {
        return Ok(());
    }
    Err(Error::new(Kind::Request, format!("{path:?} cannot be mounted because it is inside /proc")))
}

fn set_up_tree(tree: &OwnedFd, mount: &Mount, plan: &Plan) -> Result<()> {
    let options = &mount.options;
    // As the tree of the host is to the container, unless it is said: changes there show inside, and not the other way.
    let (flag, _) = plan.propagation.unwrap_or((libc::MS_SLAVE, true));
    let is_shared = options.propagation.iter().any(|(flag, _)| *flag == libc::MS_SHARED);
    // What is to be shared with the host stays so: once it had been a slave, it would be shared with nobody outside.
    set_propagation(tree, mount, Some(flag).filter(|_| !is_shared))?;
    if options.set != 0 || options.clear != 0 {
        set_attributes(tree, options.set, options.clear, 0, false)?;
    }
    if options.set_below != 0 || options.clear_below != 0 {
        set_attributes(tree, options.set_below, options.clear_below, 0, true)?;
    }
    Ok(())
}

fn set_propagation(tree: &OwnedFd, mount: &Mount, default: Option<u64>) -> Result<()> {
    if let Some(flag) = default.filter(|flag| *flag != libc::MS_SHARED) {
        set_attributes(tree, 0, 0, flag, true)?;
    }
    for (flag, below) in &mount.options.propagation {
        set_attributes(tree, 0, 0, *flag, *below)?;
    }
    Ok(())
}

fn new_file_system(mount: &Mount, kind: &str, source: &str, more: &[(&str, &str)]) -> Result<OwnedFd> {
    let options = &mount.options;
    let mut data: Vec<(&str, &str)> = options.flags.iter().map(|flag| (*flag, "")).collect();
    data.extend(options.data.iter().map(|option| option.split_once('=').unwrap_or((option, ""))));
    data.extend(more);
    make(kind, if source.is_empty() { kind } else { source }, &data, options.set)
}

/// Memory, with the mode of what it lies on unless another is asked for.
fn mount_memory(mount: &Mount, source: &str, target: &OwnedFd) -> Result<OwnedFd> {
    let stat = fstat(target).map_err(|errno| Error::call("fstat(…)", errno))?;
    let mode = format!("{:o}", stat.st_mode & 0o7777);
    let has_mode = mount.options.data.iter().any(|option| option.starts_with("mode="));
    let more: &[(&str, &str)] = if has_mode { &[] } else { &[("mode", &mode)] };
    if !mount.options.copy_up {
        return new_file_system(mount, "tmpfs", source, more);
    }
    let mut writable = mount.clone();
    writable.options.set &= !ATTR_RDONLY;
    writable.options.flags.retain(|flag| *flag != "ro");
    let tree = new_file_system(&writable, "tmpfs", source, more)?;
    copy_up::copy_up(target, &tree)?;
    if mount.options.set & ATTR_RDONLY != 0 {
        protect(&tree, false)?;
    }
    Ok(tree)
}

fn mount_proc(plan: &Plan, mount: &Mount) -> Result<OwnedFd> {
    match new_file_system(mount, "proc", "proc", &[]) {
        Err(error) if error.errno == Some(Errno::PERM) && !plan.namespaces.has(libc::CLONE_NEWPID) => {
            // In a user namespace, and the process ids are the host's: its /proc is the right one.
            let tree = clone_tree(root::host("/proc")?, true)?;
            set_attributes(&tree, mount.options.set, 0, libc::MS_PRIVATE, true)?;
            Ok(tree)
        }
        Err(error) if error.errno == Some(Errno::PERM) => Err(Error { kind: Kind::Isolation, ..error }
            .context("cannot mount /proc")
            .hint("This runs inside a container that hides parts of /proc; start that one with --security-opt systempaths=unconfined (podman: unmask=ALL).")),
        other => other,
    }
}

fn mount_sys(mount: &Mount) -> Result<OwnedFd> {
    match new_file_system(mount, "sysfs", "sysfs", &[]) {
        // Not ours to mount: the network namespace is the host's, or parts of /sys are hidden from us.
        Err(error) if matches!(error.errno, Some(Errno::PERM | Errno::ACCESS)) => {
            let tree = clone_tree(root::host("/sys")?, true)?;
            set_attributes(&tree, INERT | ATTR_RDONLY, 0, libc::MS_PRIVATE, true)?;
            Ok(tree)
        }
        other => other,
    }
}

/// The host's control groups are nothing to see for a container; a /sys of its own has none.
fn hide_cgroups(sys: &OwnedFd) -> Result<()> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let Ok(place) = openat2(sys, "fs/cgroup", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), resolve) else {
        return Ok(());
    };
    let inner = fstat(&place).map_err(|errno| Error::call("fstat(…)", errno))?;
    let outer = fstat(sys).map_err(|errno| Error::call("fstat(…)", errno))?;
    if inner.st_dev == outer.st_dev {
        return Ok(());
    }
    attach(tmpfs(&[("mode", "755"), ("nr_inodes", "1")], INERT | ATTR_RDONLY)?, &place)
}

fn is_directory(fd: impl AsFd) -> Result<bool> {
    let stat = fstat(fd).map_err(|errno| Error::call("fstat(…)", errno))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Hides and protects what is asked for, as far as it is there.
pub fn cover(root: BorrowedFd<'_>, masked: &[String], readonly: &[String]) -> Result<()> {
    for path in readonly {
        let Some(open) = part(root, path)? else { continue };
        let tree = clone_tree(&open, true)?;
        set_attributes(&tree, 0, 0, libc::MS_PRIVATE, true)?;
        protect(&tree, true)?;
        attach(&tree, &open)?;
    }
    let mut empty = None;
    for path in masked {
        let Some(open) = part(root, path)? else { continue };
        mask(&open, &mut empty)?;
    }
    Ok(())
}

/// A file gets the null device over it, a directory an empty one.
fn mask(open: &OwnedFd, empty: &mut Option<OwnedFd>) -> Result<()> {
    if !is_directory(open)? {
        return attach(dev::null()?, open);
    }
    // The first is attached as it is, and copied from there.
    if let Some(empty) = empty {
        return attach(clone_tree(&*empty, false)?, open);
    }
    let mount = tmpfs(&[("mode", "755"), ("nr_blocks", "1"), ("nr_inodes", "1")], INERT | ATTR_RDONLY)?;
    attach(&mount, open)?;
    *empty = Some(mount);
    Ok(())
}

fn part(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>> {
    match root::open_in_root(root, path, OFlags::PATH, Mode::empty()) {
        Ok(open) => Ok(Some(open)),
        Err(error) if matches!(error.errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS)) => Ok(None),
        Err(error) => Err(error),
    }
}
