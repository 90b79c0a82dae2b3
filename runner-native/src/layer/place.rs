//! Writing items into a tree: an overlay upper of our own, or a plain directory of the host.

use crate::error::{Error, Result};
use crate::layer::item::{Body, Item};
use crate::layer::ownership::Ownership;
use crate::layer::source::{Xattrs, open_directory_at, shown, split};
use crate::overlay;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, linkat, mkdirat, mknodat, openat, statat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The root of the tree that is written.
pub struct TreeWriter {
    root: OwnedFd,
    /// Things may be there already, and whoever we are owns what we make.
    plain: bool,
    /// Absent: everything stays ours.
    ownership: Option<Ownership>,
}

impl TreeWriter {
    /// An overlay upper: a new and empty directory.
    pub fn upper(root: OwnedFd) -> Result<Self> {
        let made = rustix::fs::fstat(&root).map_err(|errno| Error::call("fstat(fs)", errno))?;
        Ok(Self { root, plain: false, ownership: Some(Ownership::here(&made)?) })
    }

    /// A directory of the host, into which files are placed beside what is there.
    pub fn plain(root: OwnedFd) -> Result<Self> {
        let mut made = rustix::fs::fstat(&root).map_err(|errno| Error::call("fstat(root)", errno))?;
        (made.st_uid, made.st_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let ownership = if rustix::process::geteuid().is_root() { Some(Ownership::here(&made)?) } else { None };
        Ok(Self { root, plain: true, ownership })
    }

    pub fn open_directory(&self, path: &[u8]) -> Result<OwnedFd> {
        // A plain directory may hold links of the user's: none is followed.
        open_directory_at(self.root.as_fd(), path, OFlags::PATH)
    }

    /// Makes all directories, for now closed to others: their final modes and times come last.
    pub fn directories(&self, items: &[Item]) -> Result<()> {
        let mut open: Option<(&[u8], OwnedFd)> = None;
        for item in items.iter().filter(|item| matches!(item.body, Body::Directory { .. }) && !item.path.is_empty()) {
            let (parent, name) = split(&item.path);
            if open.as_ref().is_none_or(|(of, _)| *of != parent) {
                open = Some((parent, self.open_directory(parent)?));
            }
            let Some((_, directory)) = &open else { continue };
            match mkdirat(directory, OsStr::from_bytes(name), Mode::from_raw_mode(0o700)) {
                Ok(()) => {}
                Err(Errno::EXIST) if self.plain => {
                    // What is there must be a directory: the opening of its first child or its finish tells. Or nothing is
                    // there, and what is below it in an overlay is hidden.
                    replace_whiteout(directory, item)?;
                }
                Err(errno) => return Err(failed("mkdirat", item, errno)),
            }
        }
        Ok(())
    }

    /// Hard links, which need their targets, and then what the writing of children changes in directories.
    pub fn finish(&self, items: &[Item]) -> Result<()> {
        for item in items {
            let Body::HardLink(first) = item.body else { continue };
            let ((from, old), (to, new)) = (split(&items[first].path), split(&item.path));
            let (from, to) = (self.open_directory(from)?, self.open_directory(to)?);
            self.clear(to.as_fd(), item)?;
            linkat(&from, OsStr::from_bytes(old), &to, OsStr::from_bytes(new), AtFlags::empty())
                .map_err(|errno| failed("linkat", item, errno))?;
        }
        for item in items.iter().rev() {
            // The root of a plain directory is the user's own.
            if self.plain && item.path.is_empty() {
                continue;
            }
            if let Body::Directory { opaque } = item.body {
                let directory = open_directory_at(self.root.as_fd(), &item.path, OFlags::RDONLY)?;
                if opaque && !self.plain {
                    overlay::make_opaque(&directory)?;
                }
                self.finish_file(directory.as_fd(), item, &*item.xattrs.read(None)?)?;
            }
        }
        Ok(())
    }

    /// Creates a file; [`TreeWriter::finish_file`] completes it.
    pub fn file(&self, parent: BorrowedFd<'_>, item: &Item) -> Result<OwnedFd> {
        self.clear(parent, item)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(parent, name(item), flags, Mode::from_raw_mode(item.mode & 0o777)).map_err(|errno| failed("openat", item, errno))
    }

    /// Owner, mode, attributes and times of an open file or directory.
    pub fn finish_file(&self, file: BorrowedFd<'_>, item: &Item, xattrs: &Xattrs) -> Result<()> {
        let is_directory = matches!(item.body, Body::Directory { .. });
        if let Some((uid, gid)) = self.owner(item)? {
            rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(|errno| failed("fchown", item, errno))?;
        }
        // A change of owner clears set-id bits, and creation never sets them.
        if is_directory || item.mode & 0o7000 != 0 {
            rustix::fs::fchmod(file, Mode::from_raw_mode(item.mode)).map_err(|errno| failed("fchmod", item, errno))?;
        }
        for (name, value) in xattrs {
            // As BuildKit and cp(1): what this file system or user cannot set is left out.
            match rustix::fs::fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::INVAL) => {}
                Err(errno) => return Err(failed("fsetxattr", item, errno)),
            }
        }
        rustix::fs::futimens(file, &times(item)).map_err(|errno| failed("futimens", item, errno))
    }

    pub fn symlink(&self, parent: BorrowedFd<'_>, item: &Item, target: &[u8]) -> Result<()> {
        self.clear(parent, item)?;
        symlinkat(OsStr::from_bytes(target), parent, name(item)).map_err(|errno| failed("symlinkat", item, errno))?;
        self.finish_name(parent, item)
    }

    pub fn special(&self, parent: BorrowedFd<'_>, item: &Item, kind: FileType, rdev: u64) -> Result<()> {
        self.clear(parent, item)?;
        mknodat(parent, name(item), kind, Mode::from_raw_mode(item.mode & 0o777), rdev).map_err(|errno| {
            let error = failed("mknodat", item, errno);
            if errno == Errno::PERM {
                error.hint(
                    "Device nodes can only be made by root outside a user namespace: leave them out with --exclude or an ignore file.",
                )
            } else {
                error
            }
        })?;
        self.finish_name(parent, item)
    }

    pub fn whiteout(&self, parent: BorrowedFd<'_>, item: &Item) -> Result<()> {
        overlay::make_whiteout(parent, name(item))
    }

    /// Owner and times of what cannot be opened.
    fn finish_name(&self, parent: BorrowedFd<'_>, item: &Item) -> Result<()> {
        if let Some((uid, gid)) = self.owner(item)? {
            rustix::fs::chownat(parent, name(item), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| failed("fchownat", item, errno))?;
        }
        if item.mode & 0o7000 != 0 && !matches!(item.body, Body::Symlink(_)) {
            rustix::fs::chmodat(parent, name(item), Mode::from_raw_mode(item.mode), AtFlags::empty())
                .map_err(|errno| failed("fchmodat", item, errno))?;
        }
        utimensat(parent, name(item), &times(item), AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failed("utimensat", item, errno))
    }

    /// What an item must be given to; `None` if it is ours already by being made.
    fn owner(&self, item: &Item) -> Result<Option<(Uid, Gid)>> {
        match &self.ownership {
            Some(ownership) => ownership.of(item.uid.into(), item.gid.into()).map_err(|error| error.path(shown(&item.path))),
            None => Ok(None),
        }
    }

    /// In a plain directory a new file replaces an old one.
    fn clear(&self, parent: BorrowedFd<'_>, item: &Item) -> Result<()> {
        if !self.plain {
            return Ok(());
        }
        match unlinkat(parent, name(item), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("unlinkat", item, errno).hint("A directory is never replaced by a file: remove it first.")),
        }
    }
}

/// Makes a directory where an overlay has a whiteout. What it hides stays hidden.
fn replace_whiteout(parent: &OwnedFd, item: &Item) -> Result<()> {
    let name = name(item);
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failed("fstatat", item, errno))?;
    if !overlay::is_whiteout(&stat) {
        return Ok(());
    }
    unlinkat(parent, name, AtFlags::empty()).map_err(|errno| failed("unlinkat", item, errno))?;
    mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(|errno| failed("mkdirat", item, errno))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(parent, name, flags, Mode::empty()).map_err(|errno| failed("openat", item, errno))?;
    overlay::make_opaque(&made)
}

fn name(item: &Item) -> &OsStr {
    OsStr::from_bytes(split(&item.path).1)
}

fn times(item: &Item) -> Timestamps {
    let time = Timespec { tv_sec: item.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(call: &str, item: &Item, errno: Errno) -> Error {
    Error::call(format!("{call}({:?})", name(item)), errno).path(shown(&item.path))
}
