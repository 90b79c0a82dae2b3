//! What is not a directory: files, links, device nodes, and their attributes.

use super::{Extraction, failed, owner_refused, times};
use crate::error::{Error, Kind, Result};
use crate::layer::xattr;
use crate::tar::reader::{Reader, Stream};
use crate::tar::{Member, Xattr};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

impl Extraction<'_> {
    pub(super) fn file<S: Stream>(&mut self, parent: usize, name: &OsStr, member: &Member, reader: &mut Reader<S>) -> Result<()> {
        self.account.file(member.size)?;
        let owner = self.options.ownership.of(member.uid, member.gid)?;
        let directory = self.fd(parent)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(member.mode & 0o777);
        let file = match rustix::fs::openat(&directory, name, flags, mode) {
            Err(Errno::EXIST) => {
                self.replace(parent, &directory, name)?;
                rustix::fs::openat(&directory, name, flags, mode)
            }
            other => other,
        }
        .map_err(|errno| failed("openat", name, errno))?;
        if member.sparse.is_some() {
            rustix::fs::ftruncate(&file, member.size).map_err(|errno| failed("ftruncate", name, errno))?;
            reader.data(|offset, bytes| write_at(&file, name, offset, bytes))?;
        } else if member.size > 0 {
            reader.data(|_, bytes| write_all(&file, name, bytes))?;
        }
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(|errno| owner_refused("fchown", name, errno))?;
        }
        // Giving a file away clears the set-id bits, and they are not set on opening.
        if member.mode & 0o7000 != 0 {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(member.mode)).map_err(|errno| failed("fchmod", name, errno))?;
        }
        if !member.xattrs.is_empty() {
            self.xattrs(&member.xattrs, |name, value| rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()))?;
        }
        rustix::fs::futimens(&file, &times(member.mtime)).map_err(|errno| failed("futimens", name, errno))
    }

    pub(super) fn symlink(&mut self, parent: usize, name: &OsStr, member: &Member) -> Result<()> {
        let owner = self.options.ownership.of(member.uid, member.gid)?;
        let directory = self.fd(parent)?;
        if member.link.contains(&0) {
            return Err(Error::new(Kind::Corrupt, "a link has a NUL in its target"));
        }
        let target = OsStr::from_bytes(&member.link);
        self.make(parent, &directory, name, "symlinkat", || rustix::fs::symlinkat(target, &directory, name))?;
        self.finish_special(&directory, name, member, owner)
    }

    pub(super) fn special(&mut self, parent: usize, name: &OsStr, member: &Member, kind: FileType) -> Result<()> {
        let device = if kind == FileType::Fifo { 0 } else { rustix::fs::makedev(member.device.0, member.device.1) };
        if kind == FileType::CharacterDevice && device == 0 {
            // In an overlay tree it would be a whiteout.
            self.account.warn("left out a character device 0:0, which means a deleted file in overlay trees");
            return Ok(());
        }
        let owner = self.options.ownership.of(member.uid, member.gid)?;
        let directory = self.fd(parent)?;
        let mode = Mode::from_raw_mode(member.mode & 0o777);
        let made = self.make(parent, &directory, name, "mknodat", || rustix::fs::mknodat(&directory, name, kind, mode, device));
        match made {
            Err(error) if kind != FileType::Fifo && error.errno == Some(Errno::PERM) => {
                self.account.warn("left out a device node: only root can make them");
                return Ok(());
            }
            other => other?,
        }
        self.finish_special(&directory, name, member, owner)?;
        if member.mode & 0o7000 != 0 {
            rustix::fs::chmodat(&directory, name, Mode::from_raw_mode(member.mode), AtFlags::empty())
                .map_err(|errno| failed("fchmodat", name, errno))?;
            // That was a change of the inode only: the time of modification stays.
        }
        Ok(())
    }

    /// Makes something that cannot be opened, in place of what is there.
    pub(super) fn make(
        &mut self,
        parent: usize,
        directory: &OwnedFd,
        name: &OsStr,
        call: &str,
        make: impl Fn() -> rustix::io::Result<()>,
    ) -> Result<()> {
        match make() {
            Err(Errno::EXIST) => {
                self.replace(parent, directory, name)?;
                make().map_err(|errno| failed(call, name, errno))
            }
            other => other.map_err(|errno| failed(call, name, errno)),
        }
    }

    pub(super) fn finish_special(&mut self, directory: &OwnedFd, name: &OsStr, member: &Member, owner: Option<(Uid, Gid)>) -> Result<()> {
        if let Some((uid, gid)) = owner {
            rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| owner_refused("fchownat", name, errno))?;
        }
        if !member.xattrs.is_empty() {
            let path = crate::sys::path_at(directory.as_fd(), name);
            self.xattrs(&member.xattrs, |name, value| rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty()))?;
        }
        rustix::fs::utimensat(directory, name, &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| failed("utimensat", name, errno))
    }

    /// Sets xattrs; where that is not allowed or not possible, it is said and the file stays without, as with every other tool.
    pub(super) fn xattrs(&mut self, xattrs: &[Xattr], set: impl Fn(&OsStr, &[u8]) -> rustix::io::Result<()>) -> Result<()> {
        for (name, value) in xattrs {
            let shown = String::from_utf8_lossy(name);
            if !xattr::is_allowed(name) {
                self.account.warn(format!("left out the xattr {shown}, which belongs to the overlay file system"));
                continue;
            }
            let name = OsStr::from_bytes(name);
            match set(name, &xattr::portable(name.as_bytes(), value)) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::OPNOTSUPP) => self.account.warn(format!("left out the xattr {shown}, which cannot be set here")),
                Err(errno) => return Err(Error::call(format!("fsetxattr({shown:?}, {} bytes)", value.len()), errno)),
            }
        }
        Ok(())
    }
}

fn write_all(file: &OwnedFd, name: &OsStr, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("write", name, errno)),
        }
    }
    Ok(())
}

fn write_at(file: &OwnedFd, name: &OsStr, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("pwrite64", name, errno)),
        }
    }
    Ok(())
}
