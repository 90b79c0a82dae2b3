//! Where a copy puts things: the tree of what will be written, above what is there already.
//!
//! Everything is decided here before a byte is read: links in the destination are followed inside it, directories
//! merge, and what cannot be replaced is an error while nothing has been written.

use crate::error::{Error, Kind, Result};
use crate::layer::item::{Attributes, Body, Content, Item, Origin};
use crate::layer::source::shown;
use crate::limit;
use crate::overlay::{Entry, Stack};
use crate::select::Node;
use rustix::fs::FileType;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

/// So many look-ups in one directory of the base cost more than its listing.
const WORTH_LISTING: usize = 16;

/// Position of a directory or file that will be written.
pub type Id = usize;

pub const ROOT: Id = 0;

/// Everything about an item but where it goes.
#[derive(Clone, Debug)]
pub struct New {
    pub body: Body,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub xattrs: Attributes,
    /// Files of one group are hard links of each other.
    pub group: Option<Group>,
}

/// Which source, and there which device and inode.
pub type Group = (u64, u64, u64);

/// Owner, mode and time of directories that are made on the way.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub mtime: i64,
}

/// What lies at a path.
#[derive(Debug)]
pub enum Located {
    Directory(Id),
    /// A file, link or device.
    Other {
        parent: Id,
        name: Vec<u8>,
    },
    Missing {
        parent: Id,
        name: Vec<u8>,
    },
}

/// What becomes of something that is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// COPY: a file replaces a file or a link, and never a directory.
    Files,
    /// An archive: its members replace whatever is there.
    Anything,
}

#[derive(Debug)]
struct Place {
    name: Vec<u8>,
    parent: Id,
    children: BTreeMap<Vec<u8>, Id>,
    new: New,
    /// The directory below that it merges with.
    base: Option<Entry>,
    /// Names in `base`, once they have been listed; how often it was asked before.
    base_names: Option<HashSet<Vec<u8>>>,
    lookups: usize,
    /// Whether anything about it or below it is written.
    touched: bool,
}

enum Child {
    Directory(Id),
    Symlink(Vec<u8>),
    Other,
    None,
}

pub struct Destination {
    base: Arc<Stack>,
    places: Vec<Place>,
    made: Made,
    /// Directories on the way are not made.
    strict: bool,
    /// No time is later than this: directories of the base that stand in the layer as parents were made when they were made.
    latest: i64,
}

impl Destination {
    pub fn new(base: Arc<Stack>, made: Made, latest: i64) -> Result<Self> {
        let root = base.root()?;
        let mut destination = Self { base, places: Vec::new(), made, strict: false, latest };
        let place = if let Some(entry) = root {
            destination.of_base(ROOT, entry)
        } else {
            Place::new(Vec::new(), ROOT, Made { uid: 0, gid: 0, mode: 0o755, ..made }.directory())
        };
        destination.places.push(place);
        Ok(destination)
    }

    /// Sets what directories are that are made on the way, and tells what they were before.
    pub fn make_directories(&mut self, made: Made) -> Made {
        std::mem::replace(&mut self.made, made)
    }

    /// A directory that is missing on the way to a place is an error (cp(1)'s rule).
    pub fn makes_nothing_above(&mut self, strict: bool) {
        self.strict = strict;
    }

    fn missing(&self, parent: Id, name: &[u8]) -> Error {
        let at = self.path_of(parent, name);
        Error::new(Kind::NotFound, format!("there is no directory /{}", shown(&at))).path(shown(&at))
    }

    pub fn made(&self) -> Made {
        self.made
    }

    /// Resolves a path below `top`, out of which no link leads. Directories missing on the way are made.
    ///
    /// # Errors
    /// `Kind::NotDirectory` if something on the way is no directory.
    pub fn locate(&mut self, top: Id, path: &[u8], follow_last: bool) -> Result<Located> {
        let mut todo: Vec<Vec<u8>> = Vec::new();
        push_components(&mut todo, path);
        let mut way = vec![top];
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let here = way[way.len() - 1];
            match self.child(here, &name)? {
                Child::Directory(id) => way.push(id),
                Child::Symlink(target) if follow_last || !todo.is_empty() => {
                    links += 1;
                    if links > limit::LINKS {
                        let message = format!("too many symbolic links on the way to /{}", shown(path).trim_start_matches('/'));
                        let hint = "The links lead in a circle: correct or remove one of them.";
                        return Err(Error::new(Kind::NotDirectory, message).path(shown(path)).hint(hint));
                    }
                    if target.first() == Some(&b'/') {
                        way.truncate(1);
                    }
                    push_components(&mut todo, &target);
                }
                Child::Symlink(_) | Child::Other if todo.is_empty() => return Ok(Located::Other { parent: here, name }),
                Child::Symlink(_) | Child::Other => {
                    let at = self.path_of(here, &name);
                    return Err(Error::new(Kind::NotDirectory, format!("/{} is not a directory", shown(&at))).path(shown(path)));
                }
                Child::None if todo.is_empty() => return Ok(Located::Missing { parent: here, name }),
                Child::None if self.strict => return Err(self.missing(here, &name)),
                Child::None => {
                    let id = self.add(here, name, self.made.directory());
                    way.push(id);
                }
            }
        }
        Ok(Located::Directory(way[way.len() - 1]))
    }

    /// The directory at a path: what is missing of it is made.
    pub fn directory(&mut self, top: Id, path: &[u8]) -> Result<Id> {
        match self.locate(top, path, true)? {
            Located::Directory(id) => Ok(id),
            Located::Missing { parent, name } if self.strict => Err(self.missing(parent, &name)),
            Located::Missing { parent, name } => {
                let id = self.add(parent, name, self.made.directory());
                self.touch(id);
                Ok(id)
            }
            Located::Other { parent, name } => {
                let at = self.path_of(parent, &name);
                Err(Error::new(Kind::NotDirectory, format!("cannot copy into /{}: it is not a directory", shown(&at))).path(shown(&at)))
            }
        }
    }

    /// Puts anything but a directory.
    pub fn put(&mut self, parent: Id, name: Vec<u8>, new: New, replace: Replace) -> Result<Id> {
        if let Child::Directory(id) = self.child(parent, &name)? {
            if replace == Replace::Files {
                let at = self.path_of(parent, &name);
                return Err(Error::new(Kind::Exists, format!("cannot replace the directory /{} with a file", shown(&at))).path(shown(&at)));
            }
            self.places[id].children.clear();
        }
        let id = self.set(parent, name, new);
        self.touch(id);
        Ok(id)
    }

    /// Puts a directory, or gives one that is there these attributes.
    pub fn put_directory(&mut self, parent: Id, name: Vec<u8>, new: New, replace: Replace) -> Result<Id> {
        let id = match self.child(parent, &name)? {
            Child::Directory(id) => {
                // What merges with a lower directory stays as it is to the layers below.
                let opaque = matches!(self.places[id].new.body, Body::Directory { opaque: true });
                self.places[id].new = New { body: Body::Directory { opaque }, ..new };
                id
            }
            Child::None => self.add(parent, name, new),
            Child::Symlink(_) | Child::Other if replace == Replace::Files => {
                let at = self.path_of(parent, &name);
                let message = format!("cannot copy a directory to /{}: it is not a directory", shown(&at));
                return Err(Error::new(Kind::NotDirectory, message).path(shown(&at)));
            }
            Child::Symlink(_) | Child::Other => {
                // Below what is replaced there may be a directory of the base: it must not show through.
                let opaque = match &self.places[parent].base {
                    Some(base) => self.base.child(base, OsStr::from_bytes(&name))?.is_some_and(|entry| entry.is_directory()),
                    None => false,
                };
                self.set(parent, name, New { body: Body::Directory { opaque }, ..new })
            }
        };
        self.touch(id);
        Ok(id)
    }

    /// What was put at a place, to be linked to: its group is made if it has none.
    pub fn link_to(&mut self, parent: Id, name: &[u8]) -> Result<Option<New>> {
        let id = if let Some(id) = self.places[parent].children.get(name) {
            *id
        } else {
            let Some(base) = self.places[parent].base.clone() else { return Ok(None) };
            let Some(entry) = self.base.child(&base, OsStr::from_bytes(name))? else { return Ok(None) };
            let Some(place) = self.file_of_base(parent, &entry)? else { return Ok(None) };
            let id = self.insert(place);
            self.touch(id);
            id
        };
        let new = &mut self.places[id].new;
        if matches!(new.body, Body::Directory { .. }) {
            return Ok(None);
        }
        if matches!(new.body, Body::File(_)) {
            new.group.get_or_insert((u64::MAX, 0, id as u64));
        }
        Ok(Some(new.clone()))
    }

    /// All that is written, in walk order. The root comes first, with an empty path.
    pub fn items(self) -> Vec<Item> {
        let mut items = Vec::with_capacity(self.places.len());
        let mut firsts: HashMap<Group, usize> = HashMap::new();
        let mut stack: Vec<(Id, Vec<u8>)> = vec![(ROOT, Vec::new())];
        while let Some((id, path)) = stack.pop() {
            let place = &self.places[id];
            let New { body, mode, uid, gid, mtime, xattrs, group } = place.new.clone();
            let first = group.map(|group| *firsts.entry(group).or_insert(items.len()));
            let body = match first {
                Some(first) if first < items.len() => Body::HardLink(first),
                _ => body,
            };
            for (name, child) in place.children.iter().rev() {
                if self.places[*child].touched {
                    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    stack.push((*child, [&path, slash, name].concat()));
                }
            }
            items.push(Item { path: path.into(), body, mode, uid, gid, mtime, xattrs });
        }
        items
    }

    /// A path of the destination, for messages: without a slash at its start.
    fn path(&self, id: Id) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT {
            names.push(self.places[at].name.as_slice());
            at = self.places[at].parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    fn path_of(&self, parent: Id, name: &[u8]) -> Vec<u8> {
        let mut path = self.path(parent);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn child(&mut self, parent: Id, name: &[u8]) -> Result<Child> {
        if let Some(id) = self.places[parent].children.get(name) {
            return Ok(match &self.places[*id].new.body {
                Body::Directory { .. } => Child::Directory(*id),
                Body::Symlink(target) => Child::Symlink(target.to_vec()),
                _ => Child::Other,
            });
        }
        let Some(base) = self.places[parent].base.clone() else { return Ok(Child::None) };
        let place = &mut self.places[parent];
        place.lookups += 1;
        if place.lookups == WORTH_LISTING {
            let names = self.base.list(&base)?.into_iter().map(|entry| entry.name.into_vec()).collect();
            self.places[parent].base_names = Some(names);
        }
        if self.places[parent].base_names.as_ref().is_some_and(|names| !names.contains(name)) {
            return Ok(Child::None);
        }
        let Some(entry) = self.base.child(&base, OsStr::from_bytes(name))? else { return Ok(Child::None) };
        Ok(match entry.kind() {
            FileType::Directory => {
                let place = self.of_base(parent, entry);
                Child::Directory(self.insert(place))
            }
            FileType::Symlink => Child::Symlink(entry.read_link()?.into_vec()),
            _ => Child::Other,
        })
    }

    fn origin(&self, entry: &Entry) -> Origin {
        Origin { stack: Arc::clone(&self.base), layer: entry.layer as u32, path: entry.path.as_os_str().as_bytes().into() }
    }

    /// A directory of the base, as it is: what is written into it brings it into the layer as a parent. Its time
    /// of modification stays too: "now" would make every layer different.
    fn of_base(&self, parent: Id, entry: Entry) -> Place {
        let new = self.new_of_base(&entry, Body::Directory { opaque: false });
        let mut place = Place::new(entry.name.as_bytes().to_vec(), parent, new);
        place.base = Some(entry);
        place
    }

    fn file_of_base(&self, parent: Id, entry: &Entry) -> Result<Option<Place>> {
        let body = match entry.kind() {
            FileType::RegularFile => Body::File(Content::Origin { origin: self.origin(entry), size: Node::of(entry).size }),
            FileType::Symlink => Body::Symlink(entry.read_link()?.into_vec().into()),
            _ => return Ok(None),
        };
        let mut new = self.new_of_base(entry, body);
        if matches!(new.body, Body::Symlink(_)) {
            new.xattrs = Attributes::none();
        }
        Ok(Some(Place::new(entry.name.as_bytes().to_vec(), parent, new)))
    }

    fn new_of_base(&self, entry: &Entry, body: Body) -> New {
        let Node { mode, uid, gid, mtime, .. } = Node::of(entry);
        New { body, mode, uid, gid, mtime: mtime.min(self.latest), xattrs: Attributes::Of(self.origin(entry)), group: None }
    }

    fn add(&mut self, parent: Id, name: Vec<u8>, new: New) -> Id {
        self.insert(Place::new(name, parent, new))
    }

    fn insert(&mut self, place: Place) -> Id {
        let id = self.places.len();
        self.places[place.parent].children.insert(place.name.clone(), id);
        self.places.push(place);
        id
    }

    /// Replaces what was put under the name, if anything was.
    fn set(&mut self, parent: Id, name: Vec<u8>, new: New) -> Id {
        match self.places[parent].children.get(&name) {
            Some(id) => {
                let id = *id;
                let place = &mut self.places[id];
                (place.new, place.base, place.base_names) = (new, None, None);
                id
            }
            None => self.add(parent, name, new),
        }
    }

    fn touch(&mut self, id: Id) {
        let mut at = id;
        while !self.places[at].touched {
            self.places[at].touched = true;
            at = self.places[at].parent;
        }
    }
}

impl Place {
    fn new(name: Vec<u8>, parent: Id, new: New) -> Self {
        Self { name, parent, children: BTreeMap::new(), new, base: None, base_names: None, lookups: 0, touched: false }
    }
}

impl Made {
    fn directory(self) -> New {
        let Made { uid, gid, mode, mtime } = self;
        New { body: Body::Directory { opaque: false }, mode, uid, gid, mtime, xattrs: Attributes::none(), group: None }
    }
}

/// Puts the components of `path` onto `todo`, the first one on top.
fn push_components(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    todo.extend(parts.rev().map(<[u8]>::to_vec));
}
