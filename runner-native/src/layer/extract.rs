//! Applies the members of a layer to an empty directory, which becomes an overlay tree.
//!
//! The directory is private to this process until the layer is whole. Still no name of the layer ever reaches the
//! kernel as a path: every call has an open directory and one component, links on the way are resolved here, inside
//! the tree, and nothing that exists is ever opened for writing.

use super::ownership::Ownership;
use super::remove::remove_tree;
use super::whiteout::{self, Marker};
use super::xattr;
use crate::error::{Error, Kind, Result};
use crate::overlay::{self, Entry, Stack};
use crate::tar::reader::{Reader, Stream};
use crate::tar::{Member, Time, Type, Xattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Longer names cannot be used by any program (PATH_MAX).
const MAX_PATH: usize = 4096;
/// Links followed on the way to one member.
const MAX_LINKS: usize = 40;

/// What a layer takes for granted of the layers below it.
pub trait Below {
    /// Whether there is anything below: else whiteouts say nothing.
    fn any(&self) -> bool;
    /// The merged layers below. Waits until they are whole.
    fn stack(&self) -> Result<&Stack>;
}

/// Bounds and surroundings of an extraction.
pub struct Options<'a> {
    pub below: &'a dyn Below,
    pub ownership: &'a Ownership,
    pub max_entries: u64,
    /// Of all files, holes included.
    pub max_bytes: u64,
    /// Directories that may be open at a time.
    pub max_open: usize,
}

/// What was made.
#[derive(Debug, Default)]
pub struct Outcome {
    pub entries: u64,
    pub bytes: u64,
    /// What could not be done here, one line each kind.
    pub warnings: Vec<String>,
}

/// Extracts every member of `reader` into the empty directory `root`.
///
/// # Errors
/// `Kind::Escape` for names that lead out, `Kind::Corrupt` for what makes no sense, `Kind::TooLarge` beyond the
/// bounds, `Kind::Permission` for owners that do not exist here. The directory then holds a part of the layer.
pub fn extract<S: Stream>(reader: &mut Reader<S>, root: OwnedFd, options: &Options<'_>) -> Result<Outcome> {
    let mut tree = Extraction::new(root, options);
    while let Some(member) = reader.next()? {
        tree.apply(&member, reader).map_err(|error| if error.path.is_some() { error } else { error.path(member.display()) })?;
    }
    tree.finish()
}

/// A directory that this layer has.
struct Node {
    parent: usize,
    name: OsString,
    children: HashMap<Box<[u8]>, usize>,
    fd: Option<Arc<OwnedFd>>,
    /// As a member described it. `None`: only implied by members beneath it.
    listed: Option<Box<Metadata>>,
    /// The permission bits that it was made with.
    made: u32,
    /// Hides what the layers below have here.
    opaque: bool,
    /// Took the place of something that a whiteout removed: has nothing to do with what lies below.
    fresh: bool,
    /// Was replaced meanwhile.
    gone: bool,
}

struct Metadata {
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: Time,
    xattrs: Vec<Xattr>,
}

struct Extraction<'a> {
    options: &'a Options<'a>,
    nodes: Vec<Node>,
    /// Nodes whose descriptor is open, oldest first.
    open: VecDeque<usize>,
    /// The directory of the last member, as its name was written.
    last: Option<(Vec<u8>, usize)>,
    outcome: Outcome,
    warnings: BTreeMap<String, u64>,
}

const ROOT: usize = 0;
/// Mode of a directory that nothing describes.
const IMPLIED: u32 = 0o755;

impl<'a> Extraction<'a> {
    fn new(root: OwnedFd, options: &'a Options<'a>) -> Self {
        let root = Node {
            parent: ROOT,
            name: OsString::new(),
            children: HashMap::new(),
            fd: Some(Arc::new(root)),
            listed: None,
            made: IMPLIED,
            opaque: false,
            fresh: false,
            gone: false,
        };
        Self { options, nodes: vec![root], open: VecDeque::new(), last: None, outcome: Outcome::default(), warnings: BTreeMap::new() }
    }

    fn apply<S: Stream>(&mut self, member: &Member, reader: &mut Reader<S>) -> Result<()> {
        self.count_entry()?;
        let (directory, name) = split(&member.path)?;
        let Some(name) = name else {
            // The root itself.
            if member.kind != Type::Directory {
                return Err(Error::new(Kind::Corrupt, "a member that is no directory has the name of the root"));
            }
            self.nodes[ROOT].listed = Some(self.metadata(member)?);
            return Ok(());
        };
        if let Some(component) = components(directory).find(|component| component.starts_with(b".wh.")) {
            if whiteout::is_aufs_directory(component)? {
                return Ok(());
            }
        }
        let marker = whiteout::marker(name)?;
        if marker != Marker::None {
            if matches!(marker, Marker::Whiteout(_) | Marker::Opaque) && !matches!(member.kind, Type::File | Type::HardLink) {
                return Err(Error::new(Kind::Corrupt, "a whiteout is not a file"));
            }
            return self.hide(directory, &marker);
        }
        let parent = self.directory_of(directory)?;
        let name = OsStr::from_bytes(name);
        match member.kind {
            Type::Directory => self.directory(parent, name, member),
            Type::File => self.file(parent, name, member, reader),
            Type::HardLink => self.hard_link(parent, name, member),
            Type::Symlink => self.symlink(parent, name, member),
            Type::Fifo => self.special(parent, name, member, FileType::Fifo),
            Type::CharDevice => self.special(parent, name, member, FileType::CharacterDevice),
            Type::BlockDevice => self.special(parent, name, member, FileType::BlockDevice),
        }
    }

    fn count_entry(&mut self) -> Result<()> {
        self.outcome.entries += 1;
        if self.outcome.entries > self.options.max_entries {
            return Err(Error::new(Kind::TooLarge, format!("the layer has more than {} entries", self.options.max_entries)));
        }
        Ok(())
    }

    fn warn(&mut self, what: impl Into<String>) {
        *self.warnings.entry(what.into()).or_default() += 1;
    }

    // Directories

    /// The directory that `path` names, made with its parents where missing.
    fn directory_of(&mut self, path: &[u8]) -> Result<usize> {
        if let Some((last, node)) = &self.last {
            if last == path {
                return Ok(*node);
            }
        }
        let node = self.walk(path, true)?.ok_or_else(|| Error::new(Kind::Corrupt, "a directory vanished"))?;
        self.last = Some((path.to_vec(), node));
        Ok(node)
    }

    /// Walks to a directory of this layer. Links are followed inside the tree.
    fn walk(&mut self, path: &[u8], create: bool) -> Result<Option<usize>> {
        let mut todo: Vec<OsString> = components(path).map(|component| OsStr::from_bytes(component).to_owned()).collect();
        todo.reverse();
        let mut here = ROOT;
        let mut links = 0;
        while let Some(name) = todo.pop() {
            // Only in targets of links: names of members have been checked.
            if name == ".." {
                here = self.nodes[here].parent;
                continue;
            }
            if let Some(&child) = self.nodes[here].children.get(name.as_bytes()) {
                here = child;
                continue;
            }
            let fd = self.fd(here)?;
            if create {
                match rustix::fs::mkdirat(&fd, &name, Mode::from_raw_mode(IMPLIED)) {
                    Ok(()) => {
                        self.count_entry()?;
                        here = self.add(here, name, IMPLIED);
                        continue;
                    }
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed("mkdirat", &name, errno)),
                }
            }
            let stat = match rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(failed("fstatat", &name, errno)),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Error::new(Kind::Corrupt, "too many symbolic links on the way to a member"));
                    }
                    let target =
                        rustix::fs::readlinkat(&fd, &name, Vec::new()).map_err(|errno| failed("readlinkat", &name, errno))?.into_bytes();
                    if target.starts_with(b"/") {
                        here = ROOT;
                    }
                    let before = todo.len();
                    todo.extend(components(&target).map(|component| OsStr::from_bytes(component).to_owned()));
                    todo[before..].reverse();
                }
                _ if overlay::is_whiteout(&stat) && create => {
                    self.replace(here, &fd, &name)?;
                    rustix::fs::mkdirat(&fd, &name, Mode::from_raw_mode(IMPLIED)).map_err(|errno| failed("mkdirat", &name, errno))?;
                    here = self.add(here, name, IMPLIED);
                    (self.nodes[here].opaque, self.nodes[here].fresh) = (true, true);
                }
                _ if overlay::is_whiteout(&stat) => return Ok(None),
                _ => {
                    return Err(Error::new(
                        Kind::Corrupt,
                        format!("{:?} on the way to a member is not a directory", name.to_string_lossy()),
                    ));
                }
            }
        }
        Ok(Some(here))
    }

    fn add(&mut self, parent: usize, name: OsString, made: u32) -> usize {
        let index = self.nodes.len();
        self.nodes[parent].children.insert(name.as_bytes().into(), index);
        let children = HashMap::new();
        self.nodes.push(Node { parent, name, children, fd: None, listed: None, made, opaque: false, fresh: false, gone: false });
        index
    }

    /// The open descriptor of a directory.
    fn fd(&mut self, node: usize) -> Result<Arc<OwnedFd>> {
        if let Some(fd) = &self.nodes[node].fd {
            return Ok(Arc::clone(fd));
        }
        // From the deepest open ancestor down.
        let mut way = vec![node];
        let mut at = self.nodes[node].parent;
        while self.nodes[at].fd.is_none() {
            way.push(at);
            at = self.nodes[at].parent;
        }
        let mut fd = self.nodes[at].fd.clone().ok_or_else(|| Error::new(Kind::Io, "the root is not open"))?;
        while let Some(next) = way.pop() {
            let name = &self.nodes[next].name;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&fd, name, flags, Mode::empty()).map_err(|errno| failed("openat", name, errno))?;
            fd = Arc::new(opened);
            self.nodes[next].fd = Some(Arc::clone(&fd));
            self.open.push_back(next);
            if self.open.len() > self.options.max_open {
                if let Some(oldest) = self.open.pop_front() {
                    self.nodes[oldest].fd = None;
                }
            }
        }
        Ok(fd)
    }

    /// Takes away what an earlier member of this layer, or a whiteout, left under this name.
    fn replace(&mut self, parent: usize, fd: &OwnedFd, name: &OsStr) -> Result<()> {
        if let Some(node) = self.nodes[parent].children.remove(name.as_bytes()) {
            self.nodes[node].gone = true;
        }
        self.last = None;
        remove_tree(fd.as_fd(), name)
    }

    fn metadata(&mut self, member: &Member) -> Result<Box<Metadata>> {
        // Fail at the member, not at the end.
        self.options.ownership.of(member.uid, member.gid)?;
        Ok(Box::new(Metadata { mode: member.mode, uid: member.uid, gid: member.gid, mtime: member.mtime, xattrs: member.xattrs.clone() }))
    }

    fn directory(&mut self, parent: usize, name: &OsStr, member: &Member) -> Result<()> {
        let metadata = self.metadata(member)?;
        if let Some(&node) = self.nodes[parent].children.get(name.as_bytes()) {
            self.nodes[node].listed = Some(metadata);
            return Ok(());
        }
        let fd = self.fd(parent)?;
        // Bits that matter while it is filled are set; the rest comes at the end.
        let mode = Mode::from_raw_mode((member.mode & 0o777) | 0o700);
        let mut hidden = false;
        match rustix::fs::mkdirat(&fd, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                hidden = is_whiteout(&fd, name)?;
                self.replace(parent, &fd, name)?;
                rustix::fs::mkdirat(&fd, name, mode).map_err(|errno| failed("mkdirat", name, errno))?;
            }
            Err(errno) => return Err(failed("mkdirat", name, errno)),
        }
        let node = self.add(parent, name.to_owned(), mode.bits());
        let node = &mut self.nodes[node];
        node.listed = Some(metadata);
        (node.opaque, node.fresh) = (hidden, hidden);
        Ok(())
    }

    // Whiteouts

    /// Hides what the layers below have: never what this layer has, whichever comes first.
    fn hide(&mut self, directory: &[u8], marker: &Marker<'_>) -> Result<()> {
        if matches!(marker, Marker::Aufs) {
            return Ok(());
        }
        let node = self.directory_of(directory)?;
        if !self.options.below.any() {
            return Ok(());
        }
        let Marker::Whiteout(name) = marker else {
            self.nodes[node].opaque = true;
            return Ok(());
        };
        if let Some(&child) = self.nodes[node].children.get(*name) {
            (self.nodes[child].opaque, self.nodes[child].fresh) = (true, true);
            return Ok(());
        }
        let fd = self.fd(node)?;
        match overlay::make_whiteout(&fd, OsStr::from_bytes(name)) {
            // A file of this layer hides as well.
            Err(error) if error.errno == Some(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    // Everything else

    fn file<S: Stream>(&mut self, parent: usize, name: &OsStr, member: &Member, reader: &mut Reader<S>) -> Result<()> {
        self.outcome.bytes = self.outcome.bytes.saturating_add(member.size);
        if self.outcome.bytes > self.options.max_bytes {
            return Err(Error::new(Kind::TooLarge, format!("the layer's files have more than {} bytes", self.options.max_bytes)));
        }
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

    fn symlink(&mut self, parent: usize, name: &OsStr, member: &Member) -> Result<()> {
        let owner = self.options.ownership.of(member.uid, member.gid)?;
        let directory = self.fd(parent)?;
        if member.link.contains(&0) {
            return Err(Error::new(Kind::Corrupt, "a link has a NUL in its target"));
        }
        let target = OsStr::from_bytes(&member.link);
        self.make(parent, &directory, name, "symlinkat", || rustix::fs::symlinkat(target, &directory, name))?;
        self.finish_special(&directory, name, member, owner)
    }

    fn special(&mut self, parent: usize, name: &OsStr, member: &Member, kind: FileType) -> Result<()> {
        let device = if kind == FileType::Fifo { 0 } else { rustix::fs::makedev(member.device.0, member.device.1) };
        if kind == FileType::CharacterDevice && device == 0 {
            // In an overlay tree it would be a whiteout.
            self.warn("left out a character device 0:0, which means a deleted file in overlay trees");
            return Ok(());
        }
        let owner = self.options.ownership.of(member.uid, member.gid)?;
        let directory = self.fd(parent)?;
        let mode = Mode::from_raw_mode(member.mode & 0o777);
        let made = self.make(parent, &directory, name, "mknodat", || rustix::fs::mknodat(&directory, name, kind, mode, device));
        match made {
            Err(error) if kind != FileType::Fifo && error.errno == Some(Errno::PERM) => {
                self.warn("left out a device node: only root can make them");
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
    fn make(
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

    fn finish_special(&mut self, directory: &OwnedFd, name: &OsStr, member: &Member, owner: Option<(Uid, Gid)>) -> Result<()> {
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

    fn hard_link(&mut self, parent: usize, name: &OsStr, member: &Member) -> Result<()> {
        let (target_directory, target) = split(&member.link).map_err(|error| error.context("a hard link's target"))?;
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
    fn copy_up(&mut self, directory: &[u8], name: &OsStr) -> Result<Arc<OwnedFd>> {
        let missing = || Error::new(Kind::Corrupt, "a hard link points to a file that does not exist");
        if !self.options.below.any() {
            return Err(missing());
        }
        let path = [directory, b"/", name.as_bytes()].concat();
        let stack = self.options.below.stack()?;
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
        self.count_entry()?;
        self.copy_entry(&entry, parent, &fd, name)?;
        Ok(fd)
    }

    fn copy_entry(&mut self, entry: &Entry, parent: usize, directory: &OwnedFd, name: &OsStr) -> Result<()> {
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
                for (attribute, value) in list_xattrs(from.as_fd())? {
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

    /// Sets xattrs; where that is not allowed or not possible, it is said and the file stays without, as with every other tool.
    fn xattrs(&mut self, xattrs: &[Xattr], set: impl Fn(&OsStr, &[u8]) -> rustix::io::Result<()>) -> Result<()> {
        for (name, value) in xattrs {
            let shown = String::from_utf8_lossy(name);
            if !xattr::is_allowed(name) {
                self.warn(format!("left out the xattr {shown}, which belongs to the overlay file system"));
                continue;
            }
            let name = OsStr::from_bytes(name);
            match set(name, &xattr::portable(name.as_bytes(), value)) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::OPNOTSUPP) => self.warn(format!("left out the xattr {shown}, which cannot be set here")),
                Err(errno) => return Err(Error::call(format!("fsetxattr({shown:?}, {} bytes)", value.len()), errno)),
            }
        }
        Ok(())
    }

    // The end

    /// Gives directories what filling them would have changed, or what only the layers below know.
    fn finish(mut self) -> Result<Outcome> {
        let nodes = self.nodes.len();
        // Parents come before their children. `true`: what lies below shows through.
        let mut merged = vec![self.options.below.any(); nodes];
        for index in 0..nodes {
            let parent = self.nodes[index].parent;
            self.nodes[index].gone |= self.nodes[parent].gone;
            if index != ROOT {
                // An opaque directory is itself still the one below; only what is in it is not.
                merged[index] = merged[parent] && !self.nodes[parent].opaque && !self.nodes[index].fresh;
            }
        }
        if self.nodes[ROOT].opaque {
            self.empty_root()?;
        }
        // Children before parents: each chmod may take the right to enter away.
        for index in (0..nodes).rev() {
            if !self.nodes[index].gone {
                self.finish_directory(index, merged[index])?;
            }
        }
        self.outcome.warnings =
            self.warnings.iter().map(|(what, &count)| if count == 1 { what.clone() } else { format!("{what} ({count} times)") }).collect();
        Ok(self.outcome)
    }

    fn finish_directory(&mut self, index: usize, merged: bool) -> Result<()> {
        let listed = self.nodes[index].listed.take();
        let opaque = self.nodes[index].opaque && index != ROOT;
        let metadata = match listed {
            Some(metadata) => Some(metadata),
            None if merged => self.inherited(index)?,
            None => None,
        };
        if metadata.is_none() && !opaque {
            return Ok(());
        }
        let fd = self.fd(index)?;
        let name = self.nodes[index].name.clone();
        if opaque {
            overlay::make_opaque(&fd)?;
        }
        let Some(metadata) = metadata else { return Ok(()) };
        if let Some((uid, gid)) = self.options.ownership.of(metadata.uid, metadata.gid)? {
            rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(|errno| owner_refused("fchown", &name, errno))?;
        }
        if metadata.mode != self.nodes[index].made {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(metadata.mode)).map_err(|errno| failed("fchmod", &name, errno))?;
        }
        if !metadata.xattrs.is_empty() {
            self.xattrs(&metadata.xattrs, |name, value| rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty()))?;
        }
        rustix::fs::futimens(&fd, &times(metadata.mtime)).map_err(|errno| failed("futimens", &name, errno))
    }

    /// What the layers below say of a directory that this one does not list.
    fn inherited(&mut self, index: usize) -> Result<Option<Box<Metadata>>> {
        let path = self.path(index);
        let Some(entry) = self.options.below.stack()?.lookup(&path, true)? else { return Ok(None) };
        if !entry.is_directory() {
            return Ok(None);
        }
        let fd = entry.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut xattrs = list_xattrs(fd.as_fd())?;
        xattrs.retain(|(name, _)| xattr::is_allowed(name));
        Ok(Some(Box::new(Metadata {
            mode: entry.mode(),
            uid: u64::from(entry.stat.st_uid),
            gid: u64::from(entry.stat.st_gid),
            mtime: Time { seconds: entry.stat.st_mtime, nanoseconds: entry.stat.st_mtime_nsec as u32 },
            xattrs,
        })))
    }

    fn path(&self, index: usize) -> PathBuf {
        let mut names = Vec::new();
        let mut at = index;
        while at != ROOT {
            names.push(&self.nodes[at].name);
            at = self.nodes[at].parent;
        }
        names.into_iter().rev().collect()
    }

    /// Overlay ignores the opaque marker of a layer's root, so every name below is hidden one by one.
    fn empty_root(&mut self) -> Result<()> {
        let stack = self.options.below.stack()?;
        let Some(root) = stack.root()? else { return Ok(()) };
        let fd = self.fd(ROOT)?;
        for entry in stack.list(&root)? {
            if let Some(&node) = self.nodes[ROOT].children.get(entry.name.as_bytes()) {
                self.nodes[node].opaque = true;
                continue;
            }
            match overlay::make_whiteout(&fd, &entry.name) {
                Err(error) if error.errno == Some(Errno::EXIST) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// Splits a member's name into its directory and its last component; `None` for the root itself.
///
/// # Errors
/// `Kind::Escape` for absolute names and those with `..`; `Kind::Corrupt` for a NUL; `Kind::TooLarge` beyond PATH_MAX.
pub fn split(path: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    if path.is_empty() {
        return Err(Error::new(Kind::Corrupt, "a member has no name"));
    }
    if path.starts_with(b"/") {
        return Err(Error::new(Kind::Escape, "a name in the layer is absolute"));
    }
    if path.len() > MAX_PATH {
        return Err(Error::new(Kind::TooLarge, format!("a name in the layer is longer than {MAX_PATH} bytes")));
    }
    if path.contains(&0) {
        return Err(Error::new(Kind::Corrupt, "a name in the layer has a NUL in it"));
    }
    if path.split(|&byte| byte == b'/').any(|component| component == b"..") {
        return Err(Error::new(Kind::Escape, "a name in the layer leads out of it through \"..\""));
    }
    // The last component that is one: "a/b/./" names b.
    let mut end = path.len();
    loop {
        let start = path[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let component = &path[start..end];
        if !component.is_empty() && component != b"." {
            return Ok((&path[..start], Some(component)));
        }
        if start == 0 {
            return Ok((b"", None));
        }
        end = start - 1;
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|component| !component.is_empty() && *component != b".")
}

/// Every xattr of an open file.
pub fn list_xattrs(fd: BorrowedFd<'_>) -> Result<Vec<Xattr>> {
    let failed = |call: &str, errno| Error::call(format!("{call}()"), errno);
    let mut names = vec![0u8; 64 << 10];
    let length = match rustix::fs::flistxattr(fd, &mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(failed("flistxattr", errno)),
    };
    let mut xattrs = Vec::new();
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0u8; 64 << 10];
        match rustix::fs::fgetxattr(fd, OsStr::from_bytes(name), &mut value) {
            Ok(length) => {
                value.truncate(length);
                xattrs.push((name.to_vec(), value));
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed("fgetxattr", errno)),
        }
    }
    Ok(xattrs)
}

fn is_whiteout(fd: &OwnedFd, name: &OsStr) -> Result<bool> {
    match rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(overlay::is_whiteout(&stat)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(failed("fstatat", name, errno)),
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

fn times(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(call: &str, name: &OsStr, errno: Errno) -> Error {
    Error::call(format!("{call}({:?})", OsString::from_vec(name.as_bytes().to_vec())), errno)
}

fn owner_refused(call: &str, name: &OsStr, errno: Errno) -> Error {
    let error = failed(call, name, errno);
    if errno == Errno::PERM || errno == Errno::INVAL {
        error.hint("Files of other owners can be made by root, or in a user namespace with the ids of /etc/subuid and /etc/subgid.")
    } else {
        error
    }
}
