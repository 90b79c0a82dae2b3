//! Removes trees, whatever their modes, owners and depth.

use crate::error::{Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, openat2, renameat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Directories deeper than this are moved up to the top of the tree first, so that few are open at any time.
const DEPTH: usize = 100;

struct Frame {
    fd: OwnedFd,
    name: OsString,
    directories: Vec<OsString>,
}

/// Removes `name` in `parent` and all below it. No link is followed and no mount point is crossed.
///
/// # Errors
/// What the kernel says, of the first thing that cannot be removed. That `name` does not exist is no error.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux says EISDIR of a directory, POSIX EPERM; EPERM may also be an immutable file.
        Err(Errno::ISDIR | Errno::PERM) if is_directory(parent, name) => {}
        Err(errno) => return Err(refused("unlinkat", name, errno)),
    }
    let mut frames = vec![enter(parent, name)?];
    let mut moved = 0u64;
    while let Some(depth) = frames.len().checked_sub(1) {
        let Some(directory) = frames[depth].directories.pop() else {
            let done = frames.swap_remove(depth);
            let above = frames.last().map_or(parent, |frame| frame.fd.as_fd());
            leave(above, &done)?;
            continue;
        };
        if depth < DEPTH {
            let frame = enter(frames[depth].fd.as_fd(), &directory)?;
            frames.push(frame);
            continue;
        }
        loop {
            moved += 1;
            let up = OsString::from(format!(".removing-{moved}"));
            if statat(&frames[0].fd, &up, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            renameat(&frames[depth].fd, &directory, &frames[0].fd, &up).map_err(|errno| refused("renameat", &directory, errno))?;
            frames[0].directories.push(up);
            break;
        }
    }
    Ok(())
}

/// Removes everything in an open directory, and leaves the directory.
pub fn clear(directory: BorrowedFd<'_>) -> Result<()> {
    let fd = open(directory, OsStr::new("."))?;
    let (files, directories) = scan(&fd)?;
    for name in files.iter().chain(&directories) {
        remove_tree(directory, name)?;
    }
    Ok(())
}

fn enter(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Frame> {
    let fd = open(parent, name)?;
    let directories = unlink_files(&fd)?;
    Ok(Frame { fd, name: name.to_owned(), directories })
}

fn leave(parent: BorrowedFd<'_>, frame: &Frame) -> Result<()> {
    // Something may have been added meanwhile.
    for _ in 0..3 {
        match unlinkat(parent, &frame.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY) => {
                for name in unlink_files(&frame.fd)? {
                    remove_tree(frame.fd.as_fd(), &name)?;
                }
            }
            Err(errno) => return Err(refused("unlinkat", &frame.name, errno)),
        }
    }
    Err(refused("unlinkat", &frame.name, Errno::NOTEMPTY))
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let attempt = || openat2(parent, name, flags, Mode::empty(), ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS);
    let opened = match attempt() {
        // A directory without permissions, and we are not root.
        Err(Errno::ACCESS) if is_directory(parent, name) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty()).map_err(|errno| refused("fchmodat", name, errno))?;
            attempt()
        }
        other => other,
    };
    opened.map_err(|errno| refused("openat2", name, errno))
}

/// Unlinks all that is no directory; gives the directories. Where a directory cannot be written, makes it so.
fn unlink_files(fd: &OwnedFd) -> Result<Vec<OsString>> {
    let (files, directories) = scan(fd)?;
    for name in &files {
        match unlinkat(fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ACCESS) => {
                rustix::fs::fchmod(fd, Mode::RWXU).map_err(|errno| refused("fchmod", name, errno))?;
                unlinkat(fd, name, AtFlags::empty()).map_err(|errno| refused("unlinkat", name, errno))?;
            }
            Err(errno) => return Err(refused("unlinkat", name, errno)),
        }
    }
    if !directories.is_empty() && files.is_empty() {
        // Its mode matters only to those who are not root, and then only without the owner's write bit.
        let _ = rustix::fs::fstat(fd).map(|stat| if stat.st_mode & 0o700 == 0o700 { Ok(()) } else { rustix::fs::fchmod(fd, Mode::RWXU) });
    }
    Ok(directories)
}

fn scan(fd: &OwnedFd) -> Result<(Vec<OsString>, Vec<OsString>)> {
    let mut buffer = Vec::with_capacity(32 << 10);
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    rustix::fs::seek(fd, rustix::fs::SeekFrom::Start(0)).map_err(|errno| Error::call("lseek(0)", errno))?;
    let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|errno| Error::call("getdents64()", errno))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let directory = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => is_directory(fd.as_fd(), name),
            _ => false,
        };
        if directory { directories.push(name.to_owned()) } else { files.push(name.to_owned()) }
    }
    Ok((files, directories))
}

fn is_directory(parent: BorrowedFd<'_>, name: &OsStr) -> bool {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn refused(call: &str, name: &OsStr, errno: Errno) -> Error {
    let error = Error::call(format!("{call}({name:?})"), errno).path(name.to_string_lossy());
    match errno {
        Errno::XDEV | Errno::BUSY => Error { kind: crate::error::Kind::State, ..error }
            .context(format!("{name:?} is a mount point"))
            .hint("Unmount it first; nothing beneath it was touched."),
        Errno::PERM => error.hint("It may be immutable (lsattr shows it, chattr -i undoes it), or owned by an id that is not mapped here."),
        _ => error,
    }
}
