//! Giving what is mounted to who uses it.

use crate::error::{Error, Result};
use crate::root;
use crate::wire::place::Place;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, openat};
use rustix::io::Errno;

/// Gives a file, or a directory with all in it, to somebody. Links are not followed, and other file systems not entered.
pub fn give_all(place: &Place, (uid, gid): (u32, u32)) -> Result<()> {
    let top = root::open_place(place, OFlags::PATH, Mode::empty())?;
    let device = fstat(&top).map_err(stat_failed)?.st_dev;
    give_below(&top, (uid, gid), device)
}

fn give_below(open: &OwnedFd, (uid, gid): (u32, u32), device: u64) -> Result<()> {
    let stat = fstat(open).map_err(stat_failed)?;
    if stat.st_dev != device {
        return Ok(());
    }
    if (stat.st_uid, stat.st_gid) != (uid, gid) {
        chownat(open, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)
            .map_err(|errno| Error::call("fchownat(\"\")", errno))?;
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let opened = |errno: Errno| Error::call("openat(…)", errno);
    let listed = openat(open, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(opened)?;
    for entry in Dir::new(listed).map_err(|errno| Error::call("getdents64(…)", errno))? {
        let entry = entry.map_err(|errno| Error::call("getdents64(…)", errno))?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            give_below(&openat(open, entry.file_name(), flags, Mode::empty()).map_err(opened)?, (uid, gid), device)?;
        }
    }
    Ok(())
}

fn stat_failed(errno: Errno) -> Error {
    Error::call("fstat(…)", errno)
}
