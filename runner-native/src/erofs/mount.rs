//! Mounting an image above its tar, attached to nothing: the caller's descriptor is all that holds it.

use super::{BLOCK, DEVICE_SLOT, FORM, MAGIC, SUPER_OFFSET, SUPER_SIZE};
use crate::error::{Error, Kind, Result};
use crate::sys::mount::{ATTR_NODEV, ATTR_NOSUID, ATTR_RDONLY};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

/// Mounts `index`, the files of which lie in `tar`. Gives the root directory.
///
/// # Errors
/// `Kind::Corrupt` if the two are not what was written together, as far as their lengths and the superblock tell; else
/// what the kernel says: file-backed mounts need root and Linux 6.12.
pub fn mount(index: impl AsFd, tar: impl AsFd) -> Result<OwnedFd> {
    check(&index, &tar)?;
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| Error::call("fsopen(\"erofs\")", errno))?;
    for (key, file) in [("source", index.as_fd()), ("device", tar.as_fd())] {
        fsconfig_set_string(&context, key, format!("/proc/self/fd/{}", file.as_raw_fd()))
            .map_err(|errno| Error::call(format!("fsconfig(\"erofs\", {key:?})"), errno))?;
    }
    fsconfig_create(&context).map_err(|errno| Error::call("fsconfig(\"erofs\", FSCONFIG_CMD_CREATE)", errno))?;
    let attributes = MountAttrFlags::from_bits_retain((ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV) as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(|errno| Error::call("fsmount(\"erofs\")", errno))
}

/// Whether an image is of this program's form and as long as it says, and its tar too.
///
/// # Errors
/// `Kind::Corrupt`, and which of the two is not as it was.
pub fn check(index: impl AsFd, tar: impl AsFd) -> Result<()> {
    let mut head = [0; (SUPER_SIZE + DEVICE_SLOT) as usize];
    let read = rustix::io::pread(&index, &mut head, SUPER_OFFSET).map_err(|errno| Error::call("pread64(index)", errno))?;
    if read < head.len() || head[..4] != MAGIC.to_le_bytes() || head[64..80] != *FORM {
        return Err(damaged("the index of a layer has another form than this version of stave writes"));
    }
    let number = |at: usize| u64::from(u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    for (what, file, blocks) in [("index", index.as_fd(), number(36)), ("tar", tar.as_fd(), number(SUPER_SIZE as usize + 64))] {
        let stat = rustix::fs::fstat(file).map_err(|errno| Error::call(format!("fstat({what})"), errno))?;
        if (stat.st_size as u64).div_ceil(BLOCK) != blocks {
            return Err(damaged(format!("the {what} of a layer has another length than was written")));
        }
    }
    Ok(())
}

fn damaged(what: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, what).hint("stave doctor --verify --repair has it made again of what was pulled or built.")
}
