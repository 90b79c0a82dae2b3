//! The only module that turns a string into a file.
//!
//! Two kinds of names exist: a *place* of the host (a store file: plain components, no link is followed) and a
//! path inside a *tree*, which an image chose and which may be anything. Resolution is the kernel's
//! (`openat2`); nothing here concatenates paths.

use crate::error::{Error, Kind, Result};
use crate::wire::place::Place;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// Opens a place that the host named. No component may be a link or lead out of the descriptor's directory.
///
/// # Errors
/// `Kind::Escape` if a component is a link or `..`; else what the kernel says.
pub fn open_place(place: &Place, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let base = crate::sys::borrow(place.fd)?;
    let Some(path) = place.path.as_deref() else { return open_itself(base, flags, mode) };
    open_beneath(base, path, flags, mode)
}

/// Opens something of the host by its name, for the kernel to resolve: never anything of an image.
pub fn host(path: &str) -> Result<OwnedFd> {
    rustix::fs::openat(rustix::fs::CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call(format!("openat({path:?}, O_PATH)"), errno).path(path))
}

/// What a descriptor without a path names: the directory, opened once more, or the file as it is.
fn open_itself(fd: BorrowedFd<'_>, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| Error::call(format!("fstat({})", raw(fd)), errno))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory || flags.contains(OFlags::DIRECTORY) {
        return open_beneath(fd, ".", flags, mode);
    }
    rustix::io::fcntl_dupfd_cloexec(fd, 0).map_err(|errno| Error::call(format!("fcntl({}, F_DUPFD_CLOEXEC)", raw(fd)), errno))
}

/// Opens `path` below `base`, following no link at all.
pub fn open_beneath(base: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    retry(|| openat2(base, path, flags | OFlags::CLOEXEC, mode, resolve)).map_err(|errno| {
        let error =
            Error::call(format!("openat2({}, {path:?}, {flags:?}, RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS)", raw(base)), errno).path(path);
        if errno == Errno::LOOP { Error { kind: Kind::Escape, ..error } } else { error }
    })
}

/// Opens `path` inside the tree at `root`, never outside it, whatever symbolic links say.
///
/// # Errors
/// `Kind::Escape` if the tree changes under us and the kernel gives up (`EAGAIN`) eight times.
pub fn open_in_root(root: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    retry(|| openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve))
        .map_err(|errno| Error::call(format!("openat2({}, {path:?}, {flags:?}, RESOLVE_IN_ROOT)", raw(root)), errno).path(path))
}

/// Opens a directory that the host named, for reading.
pub fn open_directory(place: &Place) -> Result<OwnedFd> {
    open_place(place, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
}

fn retry(mut open: impl FnMut() -> rustix::io::Result<OwnedFd>) -> rustix::io::Result<OwnedFd> {
    // EAGAIN: something was renamed or mounted meanwhile, and `..` could not be proved safe.
    let mut last = Errno::AGAIN;
    for _ in 0..8 {
        match open() {
            Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
            other => return other,
        }
    }
    Err(last)
}

fn raw(fd: impl AsFd) -> i32 {
    use std::os::fd::AsRawFd;
    fd.as_fd().as_raw_fd()
}
