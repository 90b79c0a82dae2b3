//! Mount points inside the root: found, or made and remembered so that a build step leaves no trace of them.

use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::root;
use crate::wire::channel::{Before, Created};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fstat, mkdirat, openat2, readlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

impl Before {
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self { mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid, modified: stat.st_mtime, modified_nanos: stat.st_mtime_nsec as i64 }
    }
}

/// Finds mount points in a root, and remembers those that it made.
pub struct Targets<'a> {
    root: BorrowedFd<'a>,
    device: u64,
    pub created: Vec<Created>,
}

impl<'a> Targets<'a> {
    pub fn new(root: BorrowedFd<'a>) -> Result<Self> {
        let stat = fstat(root).map_err(|errno| Error::call("fstat(root)", errno))?;
        Ok(Self { root, device: stat.st_dev, created: Vec::new() })
    }

    /// Opens `path` inside the root to mount on it, and makes it (and directories on the way) if it is not there.
    ///
    /// Links are followed inside the root, also one whose target is missing: the target is made, as Docker does.
    ///
    /// # Errors
    /// `Kind::NotDirectory` if a directory is to be mounted on a file, or the other way round.
    pub fn find(&mut self, path: &str, directory: bool) -> Result<OwnedFd> {
        let found = match root::open_in_root(self.root, path, OFlags::PATH, Mode::empty()) {
            Ok(found) => found,
            Err(error) if error.kind == Kind::NotFound => self.make(path, directory)?,
            Err(error) => return Err(error.context(format!("cannot mount on {path:?}"))),
        };
        let stat = fstat(&found).map_err(|errno| Error::call("fstat(…)", errno).path(path))?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_directory != directory {
            let (what, on) = if directory { ("a directory", "a file") } else { ("a file", "a directory") };
            return Err(Error::new(Kind::NotDirectory, format!("cannot mount {what} on {path:?}, which is {on} in the image")).path(path));
        }
        Ok(found)
    }

    /// Opens what is there to be mounted again, whatever it is.
    pub fn find_any(&self, path: &str) -> Result<OwnedFd> {
        root::open_in_root(self.root, path, OFlags::PATH, Mode::empty())
    }

    /// Opens or makes a directory that must not be a link: /proc, /sys, /dev (CVE-2019-19921, CVE-2026-41579).
    pub fn find_plain(&mut self, name: &str) -> Result<OwnedFd> {
        match openat2(
            self.root,
            name,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        ) {
            Ok(found) => Ok(found),
            Err(Errno::NOENT) => self.make(name, true),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                Err(Error::new(Kind::Escape, format!("/{name} of the image is not a directory, so nothing is mounted there")).path(name))
            }
            Err(errno) => Err(Error::call(format!("openat2(root, {name:?}, O_PATH|O_DIRECTORY)"), errno).path(name)),
        }
    }

    /// Walks a component at a time, so that each step stays below a directory that we hold.
    fn make(&mut self, path: &str, directory: bool) -> Result<OwnedFd> {
        // Directories from the root to where we are, with their names.
        let mut stack: Vec<(String, OwnedFd)> = Vec::new();
        let mut rest: Vec<String> = components(path);
        rest.reverse();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                stack.pop();
                continue;
            }
            let last = rest.is_empty();
            let here = stack.last().map_or(self.root, |(_, fd)| fd.as_fd());
            let next = match step(here, &name) {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    let parent = stack.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("/");
                    let next = create(here, &name, !last || directory, &parent, self.device, &mut self.created)?;
                    if last {
                        return Ok(next);
                    }
                    next
                }
                Err(errno) => return Err(Error::call(format!("openat2(…, {name:?}, O_PATH|O_NOFOLLOW)"), errno).path(path)),
            };
            let stat = fstat(&next).map_err(|errno| Error::call("fstat(…)", errno).path(path))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > limit::LINKS {
                        return Err(Error::call(format!("openat2(…, {path:?})"), Errno::LOOP).path(path));
                    }
                    let target = readlinkat(&next, "", Vec::new())
                        .map_err(|errno| Error::call(format!("readlinkat(…, {name:?})"), errno).path(path))?;
                    let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
                    if target.starts_with('/') {
                        stack.clear();
                    }
                    rest.extend(components(&target).into_iter().rev());
                }
                _ if last => return Ok(next),
                FileType::Directory => stack.push((name, next)),
                _ => {
                    return Err(Error::new(Kind::NotDirectory, format!("cannot mount on {path:?}: {name:?} is not a directory")).path(path));
                }
            }
        }
        // The path led back to a directory that is there.
        let here = stack.last().map_or(self.root, |(_, fd)| fd.as_fd());
        here.try_clone_to_owned().map_err(|error| Error::io("dup(…)", &error))
    }
}

/// Makes a directory and its parents, to stay (a working directory).
pub fn make_directory(root: BorrowedFd<'_>, path: &str) -> Result<()> {
    // A device number that nothing has: nothing is remembered, and times change as they do.
    Targets { root, device: u64::MAX, created: Vec::new() }.make(path, true).map(drop)
}

fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned).collect()
}

fn step(directory: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    // No RESOLVE_NO_XDEV: mounts made before are part of the root.
    openat2(
        directory,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
    )
}

fn create(
    parent: BorrowedFd<'_>,
    name: &str,
    directory: bool,
    parent_path: &str,
    device: u64,
    created: &mut Vec<Created>,
) -> Result<OwnedFd> {
    let before = fstat(parent).map_err(|errno| Error::call("fstat(…)", errno))?;
    if directory {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))
            .map_err(|errno| Error::call(format!("mkdirat(…, {name:?}, 0755)"), errno).path(name))?;
    } else {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))
            .map_err(|errno| Error::call(format!("openat(…, {name:?}, O_CREAT|O_EXCL)"), errno).path(name))?;
    }
    let made = step(parent, name).map_err(|errno| Error::call(format!("openat2(…, {name:?})"), errno).path(name))?;
    let stat = fstat(&made).map_err(|errno| Error::call("fstat(…)", errno).path(name))?;
    if before.st_dev == device {
        // A directory keeps its time: a mount point is not a change.
        restore_time(parent, &before);
        created.push(Created {
            parent: parent_path.to_owned(),
            name: name.to_owned(),
            directory,
            inode: stat.st_ino,
            parent_before: Before::of(&before),
        });
    }
    Ok(made)
}

fn restore_time(directory: BorrowedFd<'_>, before: &rustix::fs::Stat) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: before.st_mtime, tv_nsec: before.st_mtime_nsec as _ },
    };
    // An O_PATH descriptor takes no futimens; the name "." does.
    let _ = utimensat(directory, ".", &times, AtFlags::empty());
}

/// Removes what was made to mount on, as far as the process inside has not made it its own.
///
/// `root` is the root file system, still mounted; `upper` its upper directory, where directories that were copied up
/// only for this are taken out again.
pub fn clean(root: BorrowedFd<'_>, upper: Option<BorrowedFd<'_>>, created: &[Created]) {
    for entry in created.iter().rev() {
        let _ = remove(root, entry);
    }
    let Some(upper) = upper else { return };
    for entry in created.iter().rev().filter(|entry| !entry.parent.is_empty()) {
        let _ = uncopy(upper, &entry.parent, &entry.parent_before);
    }
}

fn remove(root: BorrowedFd<'_>, entry: &Created) -> Result<()> {
    let parent = if entry.parent.is_empty() { "." } else { entry.parent.as_str() };
    let parent = root::open_beneath(root, parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let now = fstat(&parent).map_err(|errno| Error::call("fstat(…)", errno))?;
    let stat =
        rustix::fs::statat(&parent, entry.name.as_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| Error::call("fstatat(…)", errno))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let ours = stat.st_ino == entry.inode
        && if entry.directory {
            kind == FileType::Directory
        } else {
            kind == FileType::RegularFile && stat.st_size == 0 && stat.st_nlink == 1
        };
    if ours {
        let flags = if entry.directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        unlinkat(&parent, entry.name.as_str(), flags).map_err(|errno| Error::call(format!("unlinkat(…, {:?})", entry.name), errno))?;
        restore_time(parent.as_fd(), &now);
    }
    Ok(())
}

/// Takes an empty directory that equals the lower's out of the upper.
fn uncopy(upper: BorrowedFd<'_>, path: &str, before: &Before) -> Result<()> {
    let directory = root::open_beneath(upper, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let stat = fstat(&directory).map_err(|errno| Error::call("fstat(…)", errno))?;
    let opaque = ["trusted.overlay.opaque", "user.overlay.opaque"]
        .into_iter()
        .any(|name| rustix::fs::fgetxattr(&directory, name, &mut [0u8; 4][..]).is_ok());
    if Before::of(&stat) == *before && !opaque {
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        let parent = root::open_beneath(upper, parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let above = fstat(&parent).map_err(|errno| Error::call("fstat(…)", errno))?;
        unlinkat(&parent, name, AtFlags::REMOVEDIR).map_err(|errno| Error::call(format!("unlinkat(…, {name:?}, AT_REMOVEDIR)"), errno))?;
        restore_time(parent.as_fd(), &above);
    }
    Ok(())
}
