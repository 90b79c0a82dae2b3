//! Calls of the mount interface that rustix lacks.

use crate::error::{Error, Result};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd};

pub const ATTR_RDONLY: u64 = 0x1;
pub const ATTR_NOSUID: u64 = 0x2;
pub const ATTR_NODEV: u64 = 0x4;
pub const ATTR_NOEXEC: u64 = 0x8;

const ATTR_IDMAP: u64 = 0x10_0000;

/// Sets and clears attributes (`MOUNT_ATTR_*`) of a mount, of those below it too if `recursive`, and its propagation (`MS_PRIVATE`…; 0: as it is).
pub fn set_attributes(mount: impl AsFd, set: u64, clear: u64, propagation: u64, recursive: bool) -> Result<()> {
    change(mount, libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 }, recursive)
}

/// Shows the owners of a mount that is attached nowhere as a user namespace maps them.
pub fn set_id_map(mount: impl AsFd, namespace: impl AsFd, recursive: bool) -> Result<()> {
    let userns_fd = namespace.as_fd().as_raw_fd() as u64;
    change(mount, libc::mount_attr { attr_set: ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd }, recursive)
}

fn change(mount: impl AsFd, attributes: libc::mount_attr, recursive: bool) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string; the kernel reads one mount_attr of the size that is passed.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if outcome == -1 {
        let errno = std::io::Error::last_os_error();
        let errno = Errno::from_io_error(&errno).unwrap_or(Errno::IO);
        let libc::mount_attr { attr_set, attr_clr, propagation, .. } = attributes;
        return Err(Error::call(
            format!("mount_setattr(…, {flags:#x}, set {attr_set:#x}, clear {attr_clr:#x}, propagation {propagation:#x})"),
            errno,
        ));
    }
    Ok(())
}
