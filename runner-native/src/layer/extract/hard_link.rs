//! Hard links, whose targets may lie in the layers below.

use super::name::{inside, split};
use super::{Extraction, ROOT, failed, owner_refused, times};
use crate::error::{Error, Kind, Result};
use crate::layer::xattr;
use crate::overlay::{self, Entry};
use crate::tar::{Member, Time};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

impl Extraction<'_> {
    pub(super) fn hard_link(&mut self, parent: usize, name: &OsStr, member: &Member) -> Result<()> {
        let in_target = |error: Error| error.context("a hard link's target");
        let link = inside(&member.link).map_err(in_target)?;
        let (target_directory, target) = split(&link).map_err(in_target)?;
        let Some(target) = target else { return Err(Error::new(Kind::Corrupt, "a hard link points to the root")) };
        let target = OsStr::from_bytes(target);
        let directory = self.fd(parent)?;
        let found = match self.walk(target_directory, false)? {
            Some(node) => {
                if self.nodes[node].children.contains_key(target.as_bytes()) {
                    return Err(Error::new(Kind::Corrupt, "a hard link points to a directory"));
                }
                if node == parent && target == name {
                    return Err(Error::new(Kind::Corrupt, "a hard link points to itself"));
                }
                let fd = self.fd(node)?;
                let exists = rustix::fs::statat(&fd, target, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| !overlay::is_whiteout(&stat));
                exists.then_some(fd)
            }
            None => None,
        };
        let from = match found {
            Some(fd) => fd,
            None => self.copy_up(target_directory, target)?,
        };
        self.make(parent, &directory, name, "linkat", || rustix::fs::linkat(&from, target, &directory, name, AtFlags::empty()))
    }

    /// Brings the target of a hard link up from the layers below, as overlay does when one is made; gives the directory
    /// that then holds it.
    pub(super) fn copy_up(&mut self, directory: &[u8], name: &OsStr) -> Result<Arc<OwnedFd>> {
        let missing = || Error::new(Kind::Corrupt, "a hard link points to a file that does not exist");
        if !self.options.below.any() {
            return Err(missing());
        }
        let path = [directory, b"/", name.as_bytes()].concat();
        let stack = self.options.below.view()?;
        let Some(entry) = stack.lookup(OsStr::from_bytes(&path), false)? else { return Err(missing()) };
        if entry.is_directory() {
            return Err(Error::new(Kind::Corrupt, "a hard link points to a directory"));
        }
        // A directory that this layer replaced or emptied no longer shows what lies below.
        let parent = self.directory_of(directory)?;
        let mut at = parent;
        loop {
            if self.nodes[at].opaque || self.nodes[at].fresh {
                return Err(missing());
            }
            if at == ROOT {
                break;
            }
            at = self.nodes[at].parent;
        }
        let fd = self.fd(parent)?;
        if rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(missing());
        }
        self.account.entry()?;
        self.copy_entry(&entry, parent, &fd, name)?;
        Ok(fd)
    }

    pub(super) fn copy_entry(&mut self, entry: &Entry, parent: usize, directory: &OwnedFd, name: &OsStr) -> Result<()> {
        let stat = &entry.stat;
        let mode = Mode::from_raw_mode(entry.mode());
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let time = Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
        match entry.kind() {
            FileType::RegularFile => {
                let source = entry.open(OFlags::RDONLY)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(directory, name, flags, mode).map_err(|errno| failed("openat", name, errno))?;
                let (mut from, mut to) = (std::fs::File::from(source), std::fs::File::from(file));
                std::io::copy(&mut from, &mut to).map_err(|error| Error::io(format!("copy_file_range({name:?})"), &error))?;
                rustix::fs::fchown(&to, Some(owner.0), Some(owner.1)).map_err(|errno| owner_refused("fchown", name, errno))?;
                rustix::fs::fchmod(&to, mode).map_err(|errno| failed("fchmod", name, errno))?;
                for (attribute, value) in xattr::list(from.as_fd())? {
                    self.xattrs(&[(attribute, value)], |name, value| rustix::fs::fsetxattr(&to, name, value, XattrFlags::empty()))?;
                }
                rustix::fs::futimens(&to, &times(time)).map_err(|errno| failed("futimens", name, errno))
            }
            FileType::Symlink => {
                let target = entry.read_link()?;
                self.make(parent, directory, name, "symlinkat", || rustix::fs::symlinkat(&target, directory, name))?;
                rustix::fs::chownat(directory, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| owner_refused("fchownat", name, errno))?;
                rustix::fs::utimensat(directory, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| failed("utimensat", name, errno))
            }
            kind => {
                self.make(parent, directory, name, "mknodat", || rustix::fs::mknodat(directory, name, kind, mode, stat.st_rdev))?;
                rustix::fs::chownat(directory, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| owner_refused("fchownat", name, errno))?;
                rustix::fs::utimensat(directory, name, &times(time), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| failed("utimensat", name, errno))
            }
        }
    }
}
