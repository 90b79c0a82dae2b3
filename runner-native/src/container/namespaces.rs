//! Which namespaces a process gets, and the mount namespace that this program itself works in.

use crate::error::{Error, Kind, Result};
use crate::sys::task;
use crate::wire::config;
use rustix::fs::{CWD, Mode, OFlags};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// libc has it for no type that is used here.
pub const NEWTIME: i32 = 0x80;

/// Name in the specification, name under /proc/PID/ns, flag. In the order in which they are entered: the user namespace
/// first, which decides what may be entered, and the mount namespace last, which takes all paths away.
pub const KINDS: [(&str, &str, i32); 8] = [
    ("user", "user", libc::CLONE_NEWUSER),
    ("pid", "pid", libc::CLONE_NEWPID),
    ("network", "net", libc::CLONE_NEWNET),
    ("ipc", "ipc", libc::CLONE_NEWIPC),
    ("uts", "uts", libc::CLONE_NEWUTS),
    ("cgroup", "cgroup", libc::CLONE_NEWCGROUP),
    ("time", "time", NEWTIME),
    ("mount", "mnt", libc::CLONE_NEWNS),
];

/// The namespaces of a container.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    /// `CLONE_NEW*` of those that are made for it.
    pub new: i32,
    /// Those that it joins, by flag and path.
    pub joined: Vec<(i32, String)>,
}

impl Namespaces {
    /// # Errors
    /// `Kind::Request` for one that is unknown or named twice.
    pub fn new(asked: &[config::Namespace]) -> Result<Self> {
        let mut found = Self::default();
        for namespace in asked {
            let Some((_, _, flag)) = KINDS.iter().find(|(name, _, _)| *name == namespace.kind) else {
                return Err(Error::new(Kind::Request, format!("invalid namespace type {:?}", namespace.kind)));
            };
            if found.has(*flag) {
                return Err(Error::new(Kind::Request, format!("malformed spec file: duplicated ns {:?}", namespace.kind)));
            }
            if namespace.path.is_empty() {
                found.new |= flag;
            } else {
                found.joined.push((*flag, namespace.path.clone()));
            }
        }
        let place = |flag: i32| KINDS.iter().position(|(_, _, known)| *known == flag);
        found.joined.sort_by_key(|(flag, _)| place(*flag));
        Ok(found)
    }

    /// Whether it has this one apart from the host's.
    pub fn has(&self, flag: i32) -> bool {
        self.new & flag != 0 || self.joined.iter().any(|(joined, _)| *joined == flag)
    }
}

/// Moves this program into a mount namespace of its own, once, and renews the descriptors that the host passed.
///
/// Mounts can be copied only within one's own namespace, and an open directory stays in the one that it was opened
/// in. So each is opened again by its name and must turn out to be the very same directory.
pub fn own_mounts() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let passed = passed_descriptors()?;
    task::unshare(libc::CLONE_NEWNS)?;
    for (fd, name) in passed {
        // The descriptors that listed the directory are closed by now.
        let Ok(old) = crate::sys::borrow(fd) else { continue };
        // What has no name any more (deleted, a pipe) is not something that is mounted.
        let Ok(new) = rustix::fs::openat(CWD, &name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) else { continue };
        let (Ok(before), Ok(after)) = (rustix::fs::fstat(old), rustix::fs::fstat(&new)) else { continue };
        if (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino) && before.st_mode & libc::S_IFMT == libc::S_IFDIR {
            crate::sys::replace_passed(fd, &new)?;
        }
    }
    // Nothing that is mounted here may show outside.
    rustix::mount::mount_change("/", rustix::mount::MountPropagationFlags::DOWNSTREAM | rustix::mount::MountPropagationFlags::REC)
        .map_err(|errno| Error::call("mount(\"/\", MS_SLAVE|MS_REC)", errno))
}

fn passed_descriptors() -> Result<Vec<(i32, Vec<u8>)>> {
    let directory = rustix::fs::openat(CWD, "/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\"/proc/self/fd\")", errno))?;
    let entries = rustix::fs::Dir::read_from(&directory).map_err(|errno| Error::call("getdents64(\"/proc/self/fd\")", errno))?;
    let mut passed = Vec::new();
    for entry in entries.flatten() {
        let Some(fd) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if fd < 5 || fd == directory.as_raw_fd() {
            continue;
        }
        if let Ok(name) = rustix::fs::readlinkat(&directory, entry.file_name(), Vec::new()) {
            if name.as_bytes().starts_with(b"/") {
                passed.push((fd, name.into_bytes()));
            }
        }
    }
    Ok(passed)
}

/// Whether this process is in a user namespace other than the first.
pub fn nested() -> bool {
    // The number of the first one is part of the kernel's interface (PROC_USER_INIT_INO). Its map is no sign: another
    // may map all ids to themselves as well.
    const FIRST: &str = "user:[4026531837]";
    std::fs::read_link("/proc/self/ns/user").is_ok_and(|link| link.as_os_str() != FIRST)
}

/// Whether a group id exists in this user namespace.
pub fn maps_group(gid: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(gid)))
    })
}
