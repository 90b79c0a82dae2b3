//! `tmpcopyup`: a tmpfs that begins with what lay where it is mounted.

use crate::error::{Error, Result};
use crate::limit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat, openat2, readlinkat, statat, symlinkat};
use std::ffi::CStr;
use std::fs::File;

/// Copies a directory of the root into a new file system: files, directories, links, modes and owners. No link is followed.
///
/// # Errors
/// What the kernel says, with the name.
pub fn copy_up(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let from = openat(from, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\".\")", errno))?;
    copy(from.as_fd(), to.as_fd(), 0)
}

fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, level: u32) -> Result<()> {
    let entries = Dir::read_from(from).map_err(|errno| Error::call("getdents64(…)", errno))?;
    for entry in entries {
        let entry = entry.map_err(|errno| Error::call("getdents64(…)", errno))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        one(from, to, name, level)
            .map_err(|error| error.path(name.to_string_lossy()).context("cannot copy what a tmpfs is to begin with"))?;
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, level: u32) -> Result<()> {
    let call = |what: &str, errno: rustix::io::Errno| Error::call(what, errno);
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| call("fstatat(…)", errno))?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let inner = |flags: OFlags| {
        openat2(from, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
            .map_err(|errno| call("openat2(…)", errno))
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if level >= limit::COPY_UP_LEVELS => return Err(call("mkdirat(…)", rustix::io::Errno::NAMETOOLONG)),
        FileType::Directory => {
            mkdirat(to, name, Mode::from_raw_mode(0o700)).map_err(|errno| call("mkdirat(…)", errno))?;
            let made = openat(to, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| call("openat(…)", errno))?;
            copy(inner(OFlags::RDONLY | OFlags::DIRECTORY)?.as_fd(), made.as_fd(), level + 1)?;
        }
        FileType::Symlink => {
            let target = readlinkat(from, name, Vec::new()).map_err(|errno| call("readlinkat(…)", errno))?;
            symlinkat(&target, to, name).map_err(|errno| call("symlinkat(…)", errno))?;
        }
        FileType::RegularFile => {
            let mut source = File::from(inner(OFlags::RDONLY | OFlags::NONBLOCK)?);
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let mut made = File::from(openat(to, name, flags, Mode::from_raw_mode(0o600)).map_err(|errno| call("openat(O_CREAT)", errno))?);
            std::io::copy(&mut source, &mut made).map_err(|error| Error::io("copy_file_range(…)", &error))?;
        }
        kind => mknodat(to, name, kind, Mode::from_raw_mode(0o600), stat.st_rdev).map_err(|errno| call("mknodat(…)", errno))?,
    }
    let made =
        openat(to, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| call("openat(…)", errno))?;
    crate::sys::change_owner(&made, stat.st_uid, stat.st_gid)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        rustix::fs::chmodat(to, name, mode, AtFlags::empty()).map_err(|errno| call("fchmodat(…)", errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_tree_is_copied_up_to_a_depth() {
        let copied = |levels: u32| {
            let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let deep: PathBuf = std::iter::repeat_n("d", levels as usize).collect();
            std::fs::create_dir_all(from.path().join(&deep)).unwrap();
            let open = |path: &std::path::Path| OwnedFd::from(std::fs::File::open(path).unwrap());
            copy_up(&open(from.path()), &open(to.path())).map(|()| to.path().join(deep).is_dir())
        };
        assert!(copied(limit::COPY_UP_LEVELS).unwrap());
        assert!(copied(limit::COPY_UP_LEVELS + 1).is_err());
    }
}
