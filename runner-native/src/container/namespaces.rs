//! Which namespaces a process gets, and the mount namespace that this program itself works in.

use crate::sys::task;
use crate::wire::error::{Error, Kind, Result};
use crate::wire::protocol::Namespaces;
use rustix::fs::{CWD, Mode, OFlags};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// `CLONE_NEW*` of a new container.
pub fn flags(namespaces: &Namespaces) -> Result<i32> {
    let mut flags = libc::CLONE_NEWNS;
    match namespaces.network.as_str() {
        "host" => {}
        "join" if namespaces.network_path.is_some() => {}
        "none" | "private" => flags |= libc::CLONE_NEWNET,
        other => return Err(Error::new(Kind::Request, format!("unknown network {other:?}"))),
    }
    for (name, flag, choice) in [
        ("pid", libc::CLONE_NEWPID, &namespaces.pid),
        ("ipc", libc::CLONE_NEWIPC, &namespaces.ipc),
        ("uts", libc::CLONE_NEWUTS, &namespaces.uts),
    ] {
        match choice.as_deref() {
            None | Some("private") => flags |= flag,
            Some("host") => {}
            Some(other) => return Err(Error::new(Kind::Request, format!("unknown {name} namespace {other:?}"))),
        }
    }
    Ok(flags)
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
