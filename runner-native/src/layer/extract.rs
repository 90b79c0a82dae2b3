//! Applies the members of a layer to an empty directory, which becomes an overlay tree.
//!
//! The directory is private to this process until the layer is whole. Still no name of the layer ever reaches the
//! kernel as a path: every call has an open directory and one component, links on the way are resolved here, inside
//! the tree, and nothing that exists is ever opened for writing.

mod directories;
mod finish;
mod hard_link;
mod members;
pub(crate) mod name;

use self::name::inside;
use super::member::{Account, Asked, Bounds, Metadata, Outcome};
use super::ownership::Ownership;
use super::whiteout::Marker;
use crate::error::{Error, Result};
use crate::overlay::{self, Stack};
use crate::tar::reader::{Reader, Stream};
use crate::tar::{Member, Time, Type};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

/// What a layer takes for granted of the layers below it, in some merged view of them.
pub trait Below<View> {
    /// Whether there is anything below: else whiteouts say nothing.
    fn any(&self) -> bool;
    /// The merged layers below. Waits until they are whole.
    fn view(&self) -> Result<&View>;
}

/// Bounds and surroundings of an extraction.
pub struct Options<'a> {
    pub below: &'a dyn Below<Stack>,
    pub ownership: &'a Ownership,
    pub bounds: Bounds,
    /// Directories that may be open at a time.
    pub max_open: usize,
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

struct Extraction<'a> {
    options: &'a Options<'a>,
    nodes: Vec<Node>,
    /// Nodes whose descriptor is open, oldest first.
    open: VecDeque<usize>,
    /// The directory of the last member, as its name was written.
    last: Option<(Vec<u8>, usize)>,
    account: Account,
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
        Self { options, nodes: vec![root], open: VecDeque::new(), last: None, account: Account::new(options.bounds) }
    }

    fn apply<S: Stream>(&mut self, member: &Member, reader: &mut Reader<S>) -> Result<()> {
        let path = inside(&member.path)?;
        let Some(asked) = self.account.member(member, &path)? else { return Ok(()) };
        let (directory, name) = match asked {
            Asked::Root => {
                self.nodes[ROOT].listed = Some(self.metadata(member)?);
                return Ok(());
            }
            Asked::Hide { directory, marker } => return self.hide(directory, &marker),
            Asked::Entry { directory, name } => (directory, name),
        };
        let parent = self.directory_of(directory)?;
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

    /// Hides what the layers below have: never what this layer has, whichever comes first.
    fn hide(&mut self, directory: &[u8], marker: &Marker<'_>) -> Result<()> {
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
