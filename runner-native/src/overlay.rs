//! The overlay format on disk: whiteouts, opaque directories and its xattrs; a merged view without a mount.
//!
//! A lower tree hides a name of the trees below it with a *whiteout* (a character device 0/0, or, since Linux
//! 6.7, an empty file with the xattr `overlay.whiteout` in a directory whose `overlay.opaque` is `x`), and a whole directory with the
//! xattr `overlay.opaque` = `y` (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").

use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::wire::place::Place;
use crate::wire::tree::Tree;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fgetxattr, openat, readlinkat, statat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Which xattr prefix the overlay file system reads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `trusted.overlay.*`: root in the initial user namespace.
    Trusted,
    /// `user.overlay.*`, with the mount option `userxattr`: everyone else.
    User,
}

impl Flavour {
    /// The flavour of this process; stays the same while it lives.
    pub fn here() -> Self {
        static HERE: OnceLock<Flavour> = OnceLock::new();
        *HERE.get_or_init(|| if crate::sys::has_initial_admin() { Flavour::Trusted } else { Flavour::User })
    }

    /// The xattr that marks an opaque directory.
    pub fn opaque(self) -> &'static str {
        match self {
            Flavour::Trusted => "trusted.overlay.opaque",
            Flavour::User => "user.overlay.opaque",
        }
    }

    /// The xattr that makes an empty file a whiteout, in directories with `opaque` = `x`.
    pub fn whiteout(self) -> &'static str {
        match self {
            Flavour::Trusted => "trusted.overlay.whiteout",
            Flavour::User => "user.overlay.whiteout",
        }
    }
}

/// Whether an xattr belongs to the overlay file system itself: never taken from a layer, never put into one.
pub fn is_overlay_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Whether this is a whiteout device: a character device 0/0.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// What `overlay.opaque` of a directory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    No,
    Yes,
    /// Not opaque, but may hold whiteouts that are files with an xattr.
    XattrWhiteouts,
}

/// Reads the opaque marker of an open directory.
pub fn opaque(directory: impl AsFd) -> Result<Opaque> {
    let mut value = [0; 4];
    match fgetxattr(directory, Flavour::here().opaque(), &mut value) {
        Ok(1) if value[0] == b'y' => Ok(Opaque::Yes),
        Ok(1) if value[0] == b'x' => Ok(Opaque::XattrWhiteouts),
        Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(Opaque::No),
        Err(errno) => Err(Error::call(format!("fgetxattr({:?})", Flavour::here().opaque()), errno)),
    }
}

/// Makes a whiteout of `name`: works as root, and in a user namespace since Linux 5.8.
pub fn make_whiteout(directory: impl AsFd, name: &OsStr) -> Result<()> {
    rustix::fs::mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(|errno| {
        let error = Error::call(format!("mknodat({name:?}, S_IFCHR, makedev(0, 0))"), errno).path(name.to_string_lossy());
        if errno == Errno::PERM { error.hint("Whiteouts in a user namespace need Linux 5.8.") } else { error }
    })
}

/// Marks an open directory as opaque.
pub fn make_opaque(directory: impl AsFd) -> Result<()> {
    let name = Flavour::here().opaque();
    rustix::fs::fsetxattr(directory, name, b"y", rustix::fs::XattrFlags::empty()).map_err(|errno| {
        let error = Error::call(format!("fsetxattr({name:?}, \"y\")"), errno);
        if errno == Errno::OPNOTSUPP {
            error.hint("The file system of the store has no extended attributes: move the store to one that has.")
        } else {
            error
        }
    })
}

/// The merged, read-only view of layer trees, as a mounted overlay would show it. Also a plain directory, in
/// which nothing is a whiteout. Every open file is reached by single components below an open directory, so no
/// link leads out.
#[derive(Clone, Debug)]
pub struct Stack {
    layers: Vec<Arc<OwnedFd>>,
    plain: bool,
}

/// One name in a [`Stack`]: the topmost layer's, metadata included.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Empty for the root.
    pub name: OsString,
    /// Relative to the root, links resolved; empty for the root.
    pub path: PathBuf,
    /// Number of the layer that it comes from, top first.
    pub layer: usize,
    pub stat: Stat,
    /// Where it lies: for a directory every layer that takes part, top first; else one. `(layer, open parent)`.
    parts: Vec<(usize, Arc<OwnedFd>)>,
}

impl Entry {
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Permission bits, set-id and sticky bits included.
    pub fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    /// Number of the lowest layer that takes part in it.
    pub fn lowest(&self) -> usize {
        self.parts.last().map_or(self.layer, |(layer, _)| *layer)
    }

    /// The directory of the topmost layer that holds it; with [`Entry::at_name`] the pair for `*at` calls.
    pub fn parent(&self) -> &OwnedFd {
        &self.parts[0].1
    }

    /// The single component that names it below [`Entry::parent`] (`.` for the root).
    pub fn at_name(&self) -> &OsStr {
        if self.name.is_empty() { OsStr::new(".") } else { &self.name }
    }

    /// Opens it, itself: a link is not followed. `O_PATH` works for every type.
    pub fn open(&self, flags: OFlags) -> Result<OwnedFd> {
        self.open_part(0, flags)
    }

    /// Where a symbolic link points.
    pub fn read_link(&self) -> Result<OsString> {
        readlinkat(self.parent(), self.at_name(), Vec::new())
            .map(|target| OsString::from_vec(target.into_bytes()))
            .map_err(|errno| Error::call(format!("readlinkat({:?})", self.name), errno).path(self.path.to_string_lossy()))
    }

    fn open_part(&self, index: usize, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.parts[index].1, self.at_name(), flags, Mode::empty())
            .map_err(|errno| Error::call(format!("openat({:?}, {flags:?})", self.name), errno).path(self.path.to_string_lossy()))
    }
}

/// How far a path leads.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The path without links, `.` and `..`, relative to the root; what is missing included.
    pub path: PathBuf,
    /// What lies there, if it exists.
    pub entry: Option<Entry>,
    /// The deepest directory on the way that exists. The entry's parent, if it exists.
    pub directory: Entry,
    /// Components below `directory` that are missing. Empty if the entry exists.
    pub missing: Vec<OsString>,
}

impl Stack {
    /// Opens the tree that a request names.
    pub fn open(tree: &Tree) -> Result<Self> {
        match tree {
            Tree::Directory { root } => Ok(Self::directory(crate::root::open_directory(root)?)),
            Tree::Lowers { lowers } => Self::lowers(lowers),
        }
    }

    /// Layers by place, top first.
    pub fn lowers(lowers: &[Place]) -> Result<Self> {
        Ok(Self::of(lowers.iter().map(|place| crate::tree::open(place, OFlags::RDONLY)).collect::<Result<_>>()?))
    }

    /// Layers by open directory, top first. None is the empty tree.
    pub fn of(layers: Vec<OwnedFd>) -> Self {
        Self { layers: layers.into_iter().map(Arc::new).collect(), plain: false }
    }

    /// A plain directory: whiteouts and overlay xattrs in it mean nothing.
    pub fn directory(root: OwnedFd) -> Self {
        Self { layers: vec![Arc::new(root)], plain: true }
    }

    pub fn layers(&self) -> &[Arc<OwnedFd>] {
        &self.layers
    }

    /// The root directory; `None` in the empty tree.
    pub fn root(&self) -> Result<Option<Entry>> {
        let Some(top) = self.layers.first() else { return Ok(None) };
        let stat = rustix::fs::fstat(top).map_err(|errno| Error::call("fstat(root)", errno))?;
        // The kernel merges the roots of all layers, whatever their markers say.
        let parts = self.layers.iter().map(Arc::clone).enumerate().collect();
        Ok(Some(Entry { name: OsString::new(), path: PathBuf::new(), layer: 0, stat, parts }))
    }

    /// Looks a path up, from the root; a leading `/` changes nothing, `..` stops at the root. Links on the way are followed
    /// inside the tree, the last component's only with `follow_last`.
    ///
    /// # Errors
    /// `Kind::Corrupt` for a loop of links. What is missing, or lies below something that is no directory, is `None`.
    pub fn lookup(&self, path: impl AsRef<Path>, follow_last: bool) -> Result<Option<Entry>> {
        match self.resolve(path, follow_last) {
            Ok(found) => Ok(found.and_then(|found| found.entry)),
            Err(error) if error.kind == Kind::NotDirectory => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Like [`Stack::lookup`], and where the path leads if it does not exist; a dangling link leads to its target. `None` in the empty tree.
    ///
    /// # Errors
    /// `Kind::NotDirectory` if something on the way exists and is no directory.
    pub fn resolve(&self, path: impl AsRef<Path>, follow_last: bool) -> Result<Option<Resolution>> {
        let Some(root) = self.root()? else { return Ok(None) };
        let asked = path.as_ref();
        let mut links = 0;
        let mut todo: Vec<OsString> = Vec::new();
        push_components(&mut todo, asked)?;
        // The directories from the root to where we are, and the components below that do not exist.
        let mut way = vec![root];
        let mut missing: Vec<OsString> = Vec::new();
        let mut last: Option<Entry> = None;
        while let Some(name) = todo.pop() {
            if name == ".." {
                if missing.pop().is_none() && way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            if !missing.is_empty() {
                missing.push(name);
                continue;
            }
            let here = &way[way.len() - 1];
            match self.child(here, &name)? {
                None => missing.push(name),
                Some(entry) if entry.is_directory() => way.push(entry),
                Some(entry) if entry.kind() == FileType::Symlink && (follow_last || !todo.is_empty()) => {
                    links += 1;
                    if links > limit::LINKS {
                        return Err(Error::new(Kind::Corrupt, format!("too many symbolic links on the way to {}", asked.display()))
                            .path(asked.to_string_lossy())
                            .hint("The links lead in a circle: correct or remove one of them."));
                    }
                    let target = entry.read_link()?;
                    if target.as_bytes().starts_with(b"/") {
                        way.truncate(1);
                    }
                    push_components(&mut todo, Path::new(&target))?;
                }
                Some(entry) if todo.is_empty() => last = Some(entry),
                Some(entry) => {
                    return Err(Error::new(Kind::NotDirectory, format!("{} is not a directory", entry.path.display()))
                        .path(asked.to_string_lossy()));
                }
            }
        }
        let deepest = way[way.len() - 1].clone();
        if let Some(entry) = last {
            return Ok(Some(Resolution { path: entry.path.clone(), entry: Some(entry), directory: deepest, missing }));
        }
        if missing.is_empty() {
            let directory = way[way.len().saturating_sub(2)].clone();
            return Ok(Some(Resolution { path: deepest.path.clone(), entry: Some(deepest), directory, missing }));
        }
        let mut path = deepest.path.clone();
        path.extend(&missing);
        Ok(Some(Resolution { path, entry: None, directory: deepest, missing }))
    }

    /// What a merged directory holds, sorted by name (bytes).
    pub fn list(&self, directory: &Entry) -> Result<Vec<Entry>> {
        let mut opened = Vec::with_capacity(directory.parts.len());
        for (index, (layer, _)) in directory.parts.iter().enumerate() {
            let fd = directory.open_part(index, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let mark = if self.plain { Opaque::No } else { opaque(&fd)? };
            opened.push((*layer, Arc::new(fd), mark));
        }
        let single = opened.len() == 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashSet<OsString> = HashSet::new();
        for (index, (layer, fd, mark)) in opened.iter().enumerate() {
            for name in names(fd, &directory.path)? {
                if !single && !seen.insert(name.clone()) {
                    continue;
                }
                if let Some(entry) = self.merge(&opened[index..], *layer, fd, *mark, &directory.path, &name)? {
                    entries.push(entry);
                }
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// One name in a merged directory.
    pub fn child(&self, directory: &Entry, name: &OsStr) -> Result<Option<Entry>> {
        let mut opened = Vec::with_capacity(directory.parts.len());
        for (index, (layer, _)) in directory.parts.iter().enumerate() {
            let fd = directory.open_part(index, OFlags::PATH | OFlags::DIRECTORY)?;
            let found = match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => true,
                Err(Errno::NOENT) => false,
                Err(errno) => {
                    return Err(Error::call(format!("fstatat({name:?})"), errno).path(directory.path.join(name).to_string_lossy()));
                }
            };
            if found || !opened.is_empty() {
                opened.push((*layer, Arc::new(fd), Opaque::No));
            }
        }
        if !self.plain {
            // The marker can be read from a descriptor that is open for reading only.
            if let Some((layer, _, mark)) = opened.first_mut() {
                if let Some(index) = directory.parts.iter().position(|(number, _)| number == layer) {
                    *mark = opaque(directory.open_part(index, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
                }
            }
        }
        match opened.first() {
            None => Ok(None),
            Some((layer, fd, mark)) => self.merge(&opened, *layer, fd, *mark, &directory.path, name),
        }
    }

    /// `parents[0]` is known to hold `name`; the rest are the layers below it.
    fn merge(
        &self,
        parents: &[(usize, Arc<OwnedFd>, Opaque)],
        layer: usize,
        fd: &Arc<OwnedFd>,
        mark: Opaque,
        directory: &Path,
        name: &OsStr,
    ) -> Result<Option<Entry>> {
        let failed =
            |operation: &str, errno| Error::call(format!("{operation}({name:?})"), errno).path(directory.join(name).to_string_lossy());
        let stat = match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("fstatat", errno)),
        };
        let mut entry = Entry { name: name.to_owned(), path: directory.join(name), layer, stat, parts: vec![(layer, Arc::clone(fd))] };
        if self.plain {
            return Ok(Some(entry));
        }
        if is_whiteout(&stat) || (mark == Opaque::XattrWhiteouts && is_xattr_whiteout(fd, name, &stat)) {
            return Ok(None);
        }
        if !entry.is_directory() || parents.len() == 1 {
            return Ok(Some(entry));
        }
        let mut top = entry.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
        for (layer, fd, _) in &parents[1..] {
            if opaque(&top)? == Opaque::Yes {
                break;
            }
            match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed("fstatat", errno)),
                // A directory never merges with a file below it, and a whiteout hides what is further down.
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => break,
                Ok(_) => {
                    entry.parts.push((*layer, Arc::clone(fd)));
                    top = entry.open_part(entry.parts.len() - 1, OFlags::RDONLY | OFlags::DIRECTORY)?;
                }
            }
        }
        Ok(Some(entry))
    }
}

fn is_xattr_whiteout(fd: &OwnedFd, name: &OsStr, stat: &Stat) -> bool {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size != 0 {
        return false;
    }
    let Ok(file) = openat(fd, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    fgetxattr(file, Flavour::here().whiteout(), &mut [0u8; 8][..]).is_ok()
}

/// Every name in an open directory, `.` and `..` apart.
fn names(fd: &OwnedFd, path: &Path) -> Result<Vec<OsString>> {
    let failed = |errno| Error::call("getdents64()", errno).path(path.to_string_lossy());
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut names = Vec::new();
    let mut raw = rustix::fs::RawDir::new(fd, buffer.spare_capacity_mut());
    while let Some(item) = raw.next() {
        let item = item.map_err(failed)?;
        let name = item.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Puts the components of `path` onto `todo`, the first one on top.
fn push_components(todo: &mut Vec<OsString>, path: &Path) -> Result<()> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(Error::new(Kind::NotFound, "a path has a NUL byte in it"));
    }
    let start = todo.len();
    for component in path.components() {
        match component {
            Component::Normal(name) => todo.push(name.to_owned()),
            Component::ParentDir => todo.push("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    todo[start..].reverse();
    Ok(())
}
