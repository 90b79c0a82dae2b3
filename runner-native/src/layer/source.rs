//! What the content of a chosen file is: bytes and extended attributes.

use crate::error::{Error, Result};
use crate::layer::xattr::{is_allowed, portable};
use crate::overlay::Stack;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, fgetxattr, flistxattr, openat, openat2};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Names and values, sorted by name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Splits a path into its directory and its last component.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// A path for a message.
pub fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Opens a directory below `root` by a path that was found there, following no link.
pub fn open_directory_at(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
    let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        match openat2(root, name, flags, Mode::empty(), resolve) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return other.map_err(|errno| Error::call(format!("openat2({name:?}, {flags:?})"), errno).path(shown(path))),
        }
    }
}

/// Opens files of a stack one after another; keeps the directory of the last one open.
pub struct Opener<'a> {
    stack: &'a Stack,
    directory: Option<(u32, Vec<u8>, OwnedFd)>,
}

impl<'a> Opener<'a> {
    pub fn new(stack: &'a Stack) -> Self {
        Self { stack, directory: None }
    }

    /// Opens what a walk found, itself: no link is followed, and a device is not waited for.
    pub fn open(&mut self, layer: u32, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let (directory, name) = split(path);
        let root = self.stack.layers()[layer as usize].as_fd();
        if name.is_empty() {
            return open_directory_at(root, path, flags);
        }
        if !matches!(&self.directory, Some((of, path, _)) if *of == layer && path == directory) {
            self.directory = Some((layer, directory.to_vec(), open_directory_at(root, directory, OFlags::PATH)?));
        }
        let Some((_, _, parent)) = &self.directory else { return open_directory_at(root, path, flags) };
        let name = OsStr::from_bytes(name);
        openat(parent, name, flags, Mode::empty())
            .map_err(|errno| Error::call(format!("openat({name:?}, {flags:?})"), errno).path(shown(path)))
    }

    /// Where a chosen link points.
    pub fn read_link(&mut self, layer: u32, path: &[u8]) -> Result<Vec<u8>> {
        let link = self.open(layer, path, OFlags::PATH)?;
        rustix::fs::readlinkat(link, "", Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(|errno| Error::call("readlinkat()", errno).path(shown(path)))
    }
}

/// Reads what can be read until `buffer` is full or the file ends.
pub fn read_full(file: impl AsFd, buffer: &mut [u8], path: &[u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::read(&file, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::call("read()", errno).path(shown(path))),
        }
    }
    Ok(filled)
}

/// The extended attributes that belong to a file's content, as they are put into a layer: file capabilities and
/// what users set. Labels of the host's security modules, ACLs of its users and overlay's own marks do not travel.
pub fn xattrs(file: impl AsFd) -> Result<Xattrs> {
    let file = file.as_fd();
    let mut names = [0; 1024];
    let length = match flistxattr(file, &mut names) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => names[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut names = vec![0; 64 << 10];
            let length = flistxattr(file, &mut names).map_err(|errno| Error::call("flistxattr()", errno))?;
            names.truncate(length);
            names
        }
        Err(errno) => return Err(Error::call("flistxattr()", errno)),
    };
    let mut found = Vec::new();
    for name in length.split(|byte| *byte == 0).filter(|name| is_portable_xattr(name)) {
        let mut value = vec![0; 64 << 10];
        match fgetxattr(file, OsStr::from_bytes(name), &mut value) {
            Ok(length) => value.truncate(length),
            // Gone meanwhile, or not ours to read.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => continue,
            Err(errno) => return Err(Error::call(format!("fgetxattr({:?})", OsStr::from_bytes(name)), errno)),
        }
        found.push((name.to_vec(), portable(name, &value).into_owned()));
    }
    found.sort();
    Ok(found)
}

fn is_portable_xattr(name: &[u8]) -> bool {
    !name.is_empty()
        && is_allowed(name)
        && (name == b"security.capability" || !(name.starts_with(b"security.") || name.starts_with(b"system.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_portable_attributes_travel() {
        for (name, portable) in [
            ("user.note", true),
            ("security.capability", true),
            ("security.selinux", false),
            ("system.posix_acl_access", false),
            ("trusted.overlay.opaque", false),
            ("user.overlay.origin", false),
            ("trusted.other", true),
        ] {
            assert_eq!(is_portable_xattr(name.as_bytes()), portable, "{name}");
        }
    }
}
