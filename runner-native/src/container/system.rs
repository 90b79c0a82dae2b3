//! The kernel's own file systems inside a root: /proc, /sys, /dev and what lies in them, as Docker has them.

use crate::cgroup;
use crate::container::namespaces;
use crate::container::plan::Plan;
use crate::container::rootfs::{INERT, attach, clone_tree, file_system, protect, tmpfs};
use crate::container::targets::Targets;
use crate::root;
use crate::sys::mount::{ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, set_attributes};
use crate::wire::error::{Error, Kind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, major, makedev, minor, mkdirat, mknodat, openat, openat2, symlinkat,
};
use rustix::io::Errno;

/// Hidden under /proc and /sys: hardware and kernel state that is nobody's business inside.
const MASKED_PROC: &[&str] =
    &["acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"];
const MASKED_SYS: &[&str] = &["devices/virtual/powercap", "firmware", "fs/selinux"];
const READONLY_PROC: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// The devices that every container has: name, major, minor.
pub const DEVICES: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The group of terminals, where it exists.
const TTY_GROUP: &str = "5";

/// The parts of a container's system that later steps need.
pub struct System {
    proc: OwnedFd,
    sys: Option<OwnedFd>,
    pub dev: OwnedFd,
    pub pts: OwnedFd,
    /// A null device that no image can have tampered with (CVE-2025-31133).
    null: OwnedFd,
}

/// Mounts /proc, /dev and /sys. Runs inside the new namespaces, before the root is entered.
pub fn mount(plan: &Plan, nodes: Nodes<'_>, targets: &mut Targets<'_>) -> Result<System> {
    let target = targets.find_plain("proc")?;
    let proc = mount_proc(plan)?;
    attach(&proc, &target)?;

    let target = targets.find_plain("dev")?;
    let dev = tmpfs(&[("mode", "755"), ("size", "65536k")], if plan.domain.nodev { ATTR_NODEV } else { 0 })?;
    attach(&dev, &target)?;
    let (null, pts) = fill_dev(plan, &dev, nodes)?;

    let target = targets.find_plain("sys")?;
    let (sys, is_hosts) = mount_sys(plan)?;
    attach(&sys, &target)?;
    if is_hosts {
        hide_cgroups(&sys)?;
    }
    if let Ok(place) = openat2(
        &sys,
        "fs/cgroup",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    ) {
        cgroup::show(plan, place.as_fd())?;
    }
    Ok(System { proc, sys: Some(sys), dev, pts, null })
}

fn mount_proc(plan: &Plan) -> Result<OwnedFd> {
    match file_system("proc", &[], INERT) {
        Err(error) if error.errno == Some(Errno::PERM) && plan.namespaces & libc::CLONE_NEWPID == 0 => {
            // In a user namespace, and the process ids are the host's: its /proc is the right one.
            let mount = clone_tree(host("/proc")?, true)?;
            set_attributes(&mount, INERT, 0, libc::MS_PRIVATE, true)?;
            Ok(mount)
        }
        Err(error) if error.errno == Some(Errno::PERM) => Err(Error { kind: Kind::Isolation, ..error }
            .context("cannot mount /proc")
            .hint("This runs inside a container that hides parts of /proc; start that one with --security-opt systempaths=unconfined (podman: unmask=ALL).")),
        other => other,
    }
}

/// Also says whether it is the host's, with all that is mounted there.
fn mount_sys(plan: &Plan) -> Result<(OwnedFd, bool)> {
    match file_system("sysfs", &[], INERT) {
        Ok(mount) => {
            if !plan.privileged {
                protect(&mount, false)?;
            }
            Ok((mount, false))
        }
        // Not ours to mount: the network namespace is the host's, or parts of /sys are hidden from us.
        Err(error) if matches!(error.errno, Some(Errno::PERM | Errno::ACCESS)) => {
            let mount = clone_tree(host("/sys")?, true)?;
            set_attributes(&mount, INERT | crate::sys::mount::ATTR_RDONLY, 0, libc::MS_PRIVATE, true)?;
            Ok((mount, true))
        }
        Err(error) => Err(error),
    }
}

/// The host's control groups are nothing to see for a container.
fn hide_cgroups(sys: &OwnedFd) -> Result<()> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(sys, "fs/cgroup", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Ok(place) => attach(tmpfs(&[("mode", "755"), ("nr_inodes", "1")], INERT | crate::sys::mount::ATTR_RDONLY)?, &place),
        Err(_) => Ok(()),
    }
}

/// Opens something of the host by its name: kernel file systems and devices, never anything of an image.
pub fn host(path: &str) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call(format!("openat({path:?}, O_PATH)"), errno).path(path))
}

fn fill_dev(plan: &Plan, dev: &OwnedFd, mut nodes: Nodes<'_>) -> Result<(OwnedFd, OwnedFd)> {
    let call = |what: &str, name: &str, errno: Errno| Error::call(format!("{what}(dev, {name:?})"), errno).path(format!("/dev/{name}"));
    for (name, target) in LINKS {
        symlinkat(*target, dev, *name).map_err(|errno| call("symlinkat", name, errno))?;
    }
    for (name, major, minor) in DEVICES {
        let node = nodes.get(&format!("/dev/{name}"), Some((*major, *minor)), 0o666)?;
        let place = make_file(dev, name)?;
        attach(&node, &place)?;
    }
    // The one that was just mounted: what is attached nowhere, older kernels do not copy.
    let null = open_in(dev, "null")?;
    if plan.privileged {
        nodes.all(dev)?;
    }

    mkdir(dev, "pts", 0o755)?;
    let mut options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    if group_exists_here() {
        options.push(("gid", TTY_GROUP));
    }
    let pts = file_system("devpts", &options, ATTR_NOSUID | ATTR_NOEXEC)?;
    attach(&pts, open_in(dev, "pts")?)?;

    mkdir(dev, "shm", 0o1777)?;
    let size = plan.shm_bytes.to_string();
    attach(tmpfs(&[("mode", "1777"), ("size", &size)], ATTR_NODEV | ATTR_NOEXEC)?, open_in(dev, "shm")?)?;

    mkdir(dev, "mqueue", 0o755)?;
    match file_system("mqueue", &[], INERT) {
        Ok(mqueue) => attach(mqueue, open_in(dev, "mqueue")?)?,
        // The ipc namespace is the host's, or the kernel has no message queues.
        Err(error) if matches!(error.errno, Some(Errno::PERM | Errno::NODEV)) => {}
        Err(error) => return Err(error),
    }

    for device in &plan.devices {
        for (source, target) in device.expand()? {
            let node = nodes.get(&source, None, 0o666)?;
            let name = target.strip_prefix("/dev/").filter(|name| !name.is_empty());
            let Some(name) = name else {
                return Err(Error::new(Kind::Request, format!("a device cannot be put at {target:?}, only below /dev")));
            };
            let place = make_path(dev, name)?;
            attach(&node, &place)?;
        }
    }
    Ok((null, pts))
}

/// Device nodes as mounts: of a tmpfs of our own where we may make nodes, else of the host's.
///
/// As mounts, so that /dev itself and all else can be `nodev`: a node that the container makes does not open
/// anything. Docker needs the device cgroup for that.
pub struct Nodes<'a> {
    own: Option<OwnedFd>,
    plan: &'a Plan,
}

impl<'a> Nodes<'a> {
    /// Puts the nodes at `scratch`, out of sight.
    pub fn new(plan: &'a Plan, scratch: BorrowedFd<'_>) -> Result<Self> {
        let own = if plan.domain.nested { None } else { Some(tmpfs(&[("mode", "700")], ATTR_NOEXEC)?) };
        if let Some(own) = &own {
            attach(own, scratch)?;
        }
        Ok(Self { own, plan })
    }

    /// A mount of the device at `path` on the host, which must have this number if one is given.
    fn get(&mut self, path: &str, number: Option<(u32, u32)>, mode: u32) -> Result<OwnedFd> {
        let Some(own) = &self.own else {
            let node = host(path)?;
            let found = device_number(&node, path)?;
            if number.is_some_and(|number| (FileType::CharacterDevice, number) != found) {
                return Err(Error::new(Kind::Isolation, format!("{path} of the host is not the device that it should be")).path(path));
            }
            let mount = clone_tree(&node, false)?;
            set_attributes(&mount, 0, 0, libc::MS_PRIVATE, false)?;
            return Ok(mount);
        };
        let (kind, (major, minor)) = match number {
            Some(number) => (FileType::CharacterDevice, number),
            None => device_number(&host(path)?, path)?,
        };
        let name = path.replace('/', "_");
        match mknodat(own, &*name, kind, Mode::from_raw_mode(0), makedev(major, minor)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::call(format!("mknodat({path:?}, {major}:{minor})"), errno).path(path)),
        }
        let mode = if number.is_some() { mode } else { fstat(host(path)?).map_or(mode, |stat| stat.st_mode & 0o777) };
        rustix::fs::chmodat(own, &*name, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())
            .map_err(|errno| Error::call("fchmodat(…)", errno))?;
        clone_tree(open_in(own, &name)?, false)
    }

    /// Every device of the host, for a privileged container.
    fn all(&mut self, dev: &OwnedFd) -> Result<()> {
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            let path = format!("/dev/{directory}");
            let Ok(open) = openat(CWD, &*path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            else {
                continue;
            };
            let Ok(entries) = Dir::read_from(&open) else { continue };
            for entry in entries.flatten() {
                let Ok(name) = entry.file_name().to_str() else { continue };
                let inner = format!("{directory}{name}");
                match entry.file_type() {
                    FileType::Directory
                        if !matches!(inner.as_str(), "." | ".." | "pts" | "shm" | "mqueue" | "hugepages")
                            && name != "."
                            && name != ".." =>
                    {
                        directories.push(format!("{inner}/"));
                    }
                    FileType::CharacterDevice | FileType::BlockDevice
                        if !DEVICES.iter().any(|(known, _, _)| *known == inner) && inner != "console" && inner != "ptmx" =>
                    {
                        let Ok(stat) = rustix::fs::statat(&open, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else { continue };
                        if self.plan.domain.nested {
                            let Ok(node) = self.get(&format!("/dev/{inner}"), None, 0) else { continue };
                            attach(&node, make_path(dev, &inner)?)?;
                        } else {
                            make_node(dev, &inner, entry.file_type(), stat.st_mode, stat.st_rdev)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn make_node(dev: &OwnedFd, name: &str, kind: FileType, mode: u32, number: u64) -> Result<()> {
    let (parent, last) = make_parents(dev, name)?;
    match mknodat(&parent, last, kind, Mode::from_raw_mode(mode & 0o777), number) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::call(format!("mknodat(dev, {name:?}, {}:{})", major(number), minor(number)), errno)),
    }
}

/// Kind (`b` or `c`), major and minor number of a device of the host.
pub fn number_of(path: &str) -> Result<(char, u32, u32)> {
    let (kind, (major, minor)) = device_number(&host(path)?, path)?;
    Ok((if kind == FileType::BlockDevice { 'b' } else { 'c' }, major, minor))
}

fn device_number(node: &OwnedFd, path: &str) -> Result<(FileType, (u32, u32))> {
    let stat = fstat(node).map_err(|errno| Error::call("fstat(…)", errno).path(path))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Error::new(Kind::Request, format!("{path} is not a device")).path(path));
    }
    Ok((kind, (major(stat.st_rdev), minor(stat.st_rdev))))
}

fn make_file(dev: &OwnedFd, name: &str) -> Result<OwnedFd> {
    openat(dev, name, OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
        .map_err(|errno| Error::call(format!("openat(dev, {name:?}, O_CREAT)"), errno))
}

/// A file to mount on, below /dev, with its directories.
fn make_path(dev: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let (parent, last) = make_parents(dev, name)?;
    make_file(&parent, last)
}

fn make_parents<'n>(dev: &OwnedFd, name: &'n str) -> Result<(OwnedFd, &'n str)> {
    let (parents, last) = name.rsplit_once('/').unwrap_or(("", name));
    let mut directory = dev.try_clone().map_err(|error| Error::io("dup(…)", &error))?;
    for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
        match mkdirat(&directory, parent, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::call(format!("mkdirat(dev, {parent:?})"), errno)),
        }
        directory = open_in(&directory, parent)?;
    }
    Ok((directory, last))
}

fn mkdir(dev: &OwnedFd, name: &str, mode: u32) -> Result<()> {
    mkdirat(dev, name, Mode::from_raw_mode(mode)).map_err(|errno| Error::call(format!("mkdirat(dev, {name:?})"), errno))
}

fn open_in(directory: &OwnedFd, name: &str) -> Result<OwnedFd> {
    root::open_beneath(directory.as_fd(), name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
}

/// Whether the group of terminals is mapped into this user namespace; devpts refuses one that is not.
fn group_exists_here() -> bool {
    namespaces::maps_group(5)
}

impl System {
    /// Sets the sysctls; before [`System::cover`] makes them read-only.
    pub fn set_sysctls<'a>(&self, sysctls: impl Iterator<Item = (&'a String, &'a String)>) -> Result<()> {
        for (name, value) in sysctls {
            // Dots separate, as in sysctl(8); a slash may be written for a dot within a name.
            let path = format!("sys/{}", name.replace('.', "/"));
            let file = openat2(&self.proc, &*path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), PROC_ONLY).map_err(|errno| {
                Error::call(format!("openat2(proc, {path:?}, O_WRONLY)"), errno).context(format!("cannot set sysctl {name:?}"))
            })?;
            rustix::io::write(&file, value.as_bytes()).map_err(|errno| {
                Error::call(format!("write({path:?}, {value:?})"), errno).context(format!("cannot set sysctl {name:?}"))
            })?;
        }
        Ok(())
    }

    /// Hides and protects parts of /proc and /sys.
    pub fn cover(&self) -> Result<()> {
        let mut empty = None;
        for name in MASKED_PROC {
            self.mask(&self.proc, name, &mut empty)?;
        }
        if let Some(sys) = &self.sys {
            for name in MASKED_SYS {
                self.mask(sys, name, &mut empty)?;
            }
            self.mask_throttles(sys, &mut empty)?;
        }
        for name in READONLY_PROC {
            let Some(open) = part(&self.proc, name)? else { continue };
            let mount = clone_tree(&open, true)?;
            protect(&mount, true)?;
            attach(&mount, &open)?;
        }
        Ok(())
    }

    /// A file gets the null device over it, a directory an empty one.
    fn mask(&self, system: &OwnedFd, name: &str, empty: &mut Option<OwnedFd>) -> Result<()> {
        let Some(open) = part(system, name)? else { return Ok(()) };
        let stat = fstat(&open).map_err(|errno| Error::call("fstat(…)", errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return attach(clone_tree(&self.null, false)?, &open);
        }
        // The first is attached as it is, and copied from there.
        if let Some(empty) = empty {
            return attach(clone_tree(&*empty, false)?, &open);
        }
        let mount = tmpfs(&[("mode", "755"), ("nr_blocks", "1"), ("nr_inodes", "1")], INERT | crate::sys::mount::ATTR_RDONLY)?;
        attach(&mount, &open)?;
        *empty = Some(mount);
        Ok(())
    }

    /// Counters of each processor's throttling tell of others' work.
    fn mask_throttles(&self, sys: &OwnedFd, empty: &mut Option<OwnedFd>) -> Result<()> {
        let Ok(directory) =
            openat2(sys, "devices/system/cpu", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), PROC_ONLY)
        else {
            return Ok(());
        };
        let Ok(entries) = Dir::read_from(&directory) else { return Ok(()) };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name.strip_prefix("cpu").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) && name.len() > 3 {
                self.mask(sys, &format!("devices/system/cpu/{name}/thermal_throttle"), empty)?;
            }
        }
        Ok(())
    }
}

/// The kernel's file systems have no links that lead out, and nothing of an image is mounted in them.
const PROC_ONLY: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

fn part(system: &OwnedFd, name: &str) -> Result<Option<OwnedFd>> {
    match openat2(system, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), PROC_ONLY) {
        Ok(open) => Ok(Some(open)),
        // A place that the user mounted over is the user's.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(Error::call(format!("openat2(…, {name:?}, O_PATH)"), errno).path(name)),
    }
}
