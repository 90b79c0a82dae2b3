//! Hiding what a .dockerignore excludes from a build context that is mounted.

use crate::error::{Error, Result};
use crate::pattern::{PatternList, Verdict};
use crate::root;
use crate::wire::place::Place;
use crate::wire::tree::IgnorePattern;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Dir, FileType, Mode, OFlags, mkdirat, mknodat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Paths to hide, relative to the context: the topmost ones of what is ignored.
pub fn hidden(context: &Place, ignore: &[IgnorePattern]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    if !ignore.is_empty() {
        let patterns = PatternList::of_ignore_file(ignore)?;
        walk(&root::open_directory(context)?, &[], Verdict::default(), &patterns, &mut found)?;
    }
    Ok(found)
}

fn walk(directory: &OwnedFd, path: &[u8], above: Verdict, patterns: &PatternList, found: &mut Vec<Vec<u8>>) -> Result<()> {
    let shown = || String::from_utf8_lossy(path).into_owned();
    let entries = Dir::read_from(directory).map_err(|errno| Error::call("getdents64(…)", errno).path(shown()))?;
    for entry in entries {
        let entry = entry.map_err(|errno| Error::call("getdents64(…)", errno).path(shown()))?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let mut inner = path.to_vec();
        if !inner.is_empty() {
            inner.push(b'/');
        }
        inner.extend_from_slice(name);
        let verdict = patterns.judge(&inner, above);
        let excluded = patterns.is_excluded(verdict);
        let is_directory = entry.file_type() == FileType::Directory;
        // What a later `!` takes back shows, with the directories above it.
        if excluded && !(is_directory && patterns.may_include_below(&inner, verdict)) {
            found.push(inner);
        } else if is_directory && (excluded || !patterns.is_empty()) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(directory, entry.file_name(), flags, Mode::empty()) {
                Ok(below) => walk(&below, &inner, verdict, patterns, found)?,
                // What we cannot look into the build cannot either.
                Err(Errno::ACCESS | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(Error::call("openat(…)", errno).path(String::from_utf8_lossy(&inner))),
            }
        }
    }
    Ok(())
}

/// Puts whiteouts for these paths into an overlay's upper directory, before it is mounted.
pub fn hide(upper: &OwnedFd, context: &OwnedFd, hidden: &[Vec<u8>]) -> Result<()> {
    for path in hidden {
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (parents, name) = at.map_or((&[][..], &path[..]), |at| (&path[..at], &path[at + 1..]));
        let shown = || String::from_utf8_lossy(path).into_owned();
        let directory = mirror(upper, context, parents).map_err(|error| error.path(shown()))?;
        // A whiteout is a character device 0/0, which the kernel lets anyone make.
        match mknodat(&directory, OsStr::from_bytes(name), FileType::CharacterDevice, Mode::from_raw_mode(0), 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::call("mknodat(…, S_IFCHR, 0:0)", errno).path(shown())),
        }
    }
    Ok(())
}

/// Makes a directory of the upper, and those above it, with the owner and mode that they have in the context.
fn mirror(upper: &OwnedFd, context: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
    let duplicate = |fd: &OwnedFd| fd.try_clone().map_err(|error| Error::io("dup(…)", &error));
    let (mut made, mut original) = (duplicate(upper)?, duplicate(context)?);
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |directory: &OwnedFd| {
            rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(|errno| Error::call("openat(…)", errno))
        };
        original = open(&original)?;
        let is_new = match mkdirat(&made, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(Error::call("mkdirat(…)", errno)),
        };
        let parent = made;
        made = open(&parent)?;
        if is_new {
            let stat = rustix::fs::fstat(original.as_fd()).map_err(|errno| Error::call("fstat(…)", errno))?;
            // An owner that does not exist in this user namespace stays root's.
            let _ = crate::sys::change_owner(&made, stat.st_uid, stat.st_gid);
            let _ = rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(stat.st_mode & 0o7777), rustix::fs::AtFlags::empty());
        }
    }
    Ok(made)
}
