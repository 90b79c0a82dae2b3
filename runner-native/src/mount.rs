//! Mounts by descriptor: made or copied attached to nothing, then attached at an open place.

use crate::error::{Error, Result};
use crate::sys::mount::{ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY};
use rustix::fd::{AsFd, OwnedFd};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    open_tree,
};

/// A copy of the mount at `source` (and, if `recursive`, of those below), attached to nothing.
pub fn clone_tree(source: impl AsFd, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(source.as_fd(), "", flags).map_err(|errno| Error::call(format!("open_tree(…, {flags:?})"), errno))
}

/// A new file system, attached to nothing.
pub fn file_system(kind: &str, options: &[(&str, &str)], attributes: u64) -> Result<OwnedFd> {
    make(kind, kind, options, attributes)
}

/// The same, of a source that shows in the table of mounts.
pub fn make(kind: &str, source: &str, options: &[(&str, &str)], attributes: u64) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| Error::call(format!("fsopen({kind:?})"), errno))?;
    for (key, value) in [("source", source)].iter().chain(options) {
        if value.is_empty() { fsconfig_set_flag(&context, *key) } else { fsconfig_set_string(&context, *key, *value) }
            .map_err(|errno| Error::call(format!("fsconfig({kind:?}, {key:?}, {value:?})"), errno))?;
    }
    fsconfig_create(&context).map_err(|errno| Error::call(format!("fsconfig({kind:?}, FSCONFIG_CMD_CREATE)"), errno))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attributes as u32))
        .map_err(|errno| Error::call(format!("fsmount({kind:?})"), errno))
}

pub fn tmpfs(options: &[(&str, &str)], attributes: u64) -> Result<OwnedFd> {
    file_system("tmpfs", options, ATTR_NOSUID | attributes)
}

/// Attaches a mount at an open place.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    use rustix::mount::{MoveMountFlags, move_mount};
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount.as_fd(), "", target.as_fd(), "", flags).map_err(|errno| Error::call("move_mount(…)", errno))
}

/// Makes a mount read-only.
pub fn protect(mount: impl AsFd, recursive: bool) -> Result<()> {
    crate::sys::mount::set_attributes(mount, ATTR_RDONLY, 0, 0, recursive)
}

/// The attributes of the kernel's own file systems: nothing to execute, no devices, no setuid.
pub const INERT: u64 = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
