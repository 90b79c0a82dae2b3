//! What an overlay upper directory changes, as a layer.
//!
//! The layer is minimal: a directory that was only copied up because something below it changed is there as the
//! parent of what changed, with its own metadata; without such a child it is left out if nothing about it differs
//! from the lower one, and so are files that were copied up and not changed. Whiteouts and opaque marks are only
//! written where there is something to hide (the kernel marks every new directory in a merged one as opaque).

use crate::error::{Error, Result};
use crate::layer::create::create;
use crate::layer::item::{Attributes, Body, Content, Item, Origin};
use crate::layer::source::{Opener, read_full, split, xattrs};
use crate::overlay::{self, Entry, Opaque, Stack};
use crate::select::{Node, everything};
use crate::wire::event::Events;
use crate::wire::layer::{LayerOutput, LayerResult};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Makes a layer of `upper`, which lies above `lowers`.
pub fn diff(upper: OwnedFd, lowers: &Stack, layer: &LayerOutput, events: &Events) -> Result<LayerResult> {
    let items = changes(upper, lowers, layer.epoch)?;
    create(&items, None, Some(layer), events)?.ok_or_else(|| Error::new(crate::error::Kind::Io, "no layer was made"))
}

/// The items of the layer, in walk order.
pub fn changes(upper: OwnedFd, lowers: &Stack, epoch: Option<i64>) -> Result<Vec<Item>> {
    let upper = Arc::new(Stack::directory(upper));
    let nodes = everything(&upper)?;
    let mut differ = Differ::new(&upper);
    let mut items: Vec<Item> = Vec::with_capacity(nodes.len());
    let mut way: Vec<Level> = Vec::new();
    for node in nodes {
        if node.path.is_empty() {
            way.push(Level { path: node.path, lower: lowers.root()?, kept_by_children: None });
            continue;
        }
        leave(&mut way, &mut items, Some(&node.path));
        let (_, name) = split(&node.path);
        let lower = match way.last().and_then(|level| level.lower.as_ref()) {
            Some(directory) => lowers.child(directory, OsStr::from_bytes(name))?,
            None => None,
        };
        let origin = Origin { stack: Arc::clone(&upper), layer: 0, path: node.path.clone() };
        let mut attributes = Attributes::none();
        let body = match node.kind {
            FileType::Directory => {
                let directory = differ.opener.open(0, &node.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
                let below = lower.filter(Entry::is_directory);
                let opaque = overlay::opaque(&directory)? == Opaque::Yes;
                let unchanged = match &below {
                    Some(lower) if !opaque => Differ::is_same_directory(&node, &directory, lower)?,
                    _ => false,
                };
                let hides = opaque && below.is_some();
                let lower = below.filter(|_| !opaque);
                way.push(Level { path: node.path.clone(), lower, kept_by_children: unchanged.then_some(items.len()) });
                attributes = Attributes::Of(origin);
                Body::Directory { opaque: hides }
            }
            FileType::CharacterDevice if node.rdev == 0 => {
                if lower.is_none() {
                    continue;
                }
                Body::Whiteout
            }
            _ => match differ.body(&node, &origin, lower.as_ref(), items.len())? {
                Some((body, own)) => {
                    attributes = own;
                    body
                }
                None => continue,
            },
        };
        let mtime = epoch.map_or(node.mtime, |epoch| node.mtime.min(epoch));
        items.push(Item { path: node.path, body, mode: node.mode, uid: node.uid, gid: node.gid, mtime, xattrs: attributes });
    }
    leave(&mut way, &mut items, None);
    Ok(items)
}

/// A directory that we are in.
struct Level {
    path: Box<[u8]>,
    lower: Option<Entry>,
    /// Where its item is, if nothing about the directory itself has changed.
    kept_by_children: Option<usize>,
}

/// Leaves the directories that do not hold `next`.
fn leave(way: &mut Vec<Level>, items: &mut Vec<Item>, next: Option<&[u8]>) {
    while let Some(level) = way.last() {
        let holds =
            |next: &[u8]| level.path.is_empty() || next.strip_prefix(&*level.path).is_some_and(|below| below.first() == Some(&b'/'));
        if next.is_some_and(holds) {
            return;
        }
        // What lies below it would have come after it.
        if level.kept_by_children.is_some_and(|at| at + 1 == items.len()) {
            items.pop();
        }
        way.pop();
    }
}

/// Compares what is above with what is below.
pub(crate) struct Differ<'a> {
    pub opener: Opener<'a>,
    buffers: (Vec<u8>, Vec<u8>),
    /// Positions of the first names of files.
    links: HashMap<(u64, u64), usize>,
}

impl<'a> Differ<'a> {
    pub fn new(upper: &'a Stack) -> Self {
        Self { opener: Opener::new(upper), buffers: (Vec::new(), Vec::new()), links: HashMap::new() }
    }

    /// What a file, link or device will be at this position of the layer. None: it is as it is below.
    pub fn body(&mut self, node: &Node, origin: &Origin, lower: Option<&Entry>, position: usize) -> Result<Option<(Body, Attributes)>> {
        // A file with a second name is kept: what was done may be that name.
        if let Some(lower) = lower.filter(|_| node.nlink == 1) {
            if self.is_same(node, lower)? {
                return Ok(None);
            }
        }
        let body = match node.kind {
            FileType::RegularFile => {
                let first = if node.nlink > 1 { *self.links.entry((node.dev, node.ino)).or_insert(position) } else { position };
                if first == position {
                    let content = Content::Origin { origin: origin.clone(), size: node.size };
                    return Ok(Some((Body::File(content), Attributes::Of(origin.clone()))));
                }
                Body::HardLink(first)
            }
            FileType::Symlink => Body::Symlink(self.opener.read_link(node.layer, &node.path)?.into()),
            FileType::Fifo => Body::Fifo,
            kind => Body::Device(kind, node.rdev),
        };
        Ok(Some((body, Attributes::none())))
    }

    pub fn is_same_directory(node: &Node, directory: &OwnedFd, lower: &Entry) -> Result<bool> {
        if (node.mode, node.uid, node.gid) != (lower.mode(), lower.stat.st_uid, lower.stat.st_gid) {
            return Ok(false);
        }
        Ok(xattrs(directory)? == xattrs(&lower.open(OFlags::RDONLY | OFlags::DIRECTORY)?)?)
    }

    /// Whether a file is as it is below, time of change included: a copy-up without a change.
    fn is_same(&mut self, node: &Node, lower: &Entry) -> Result<bool> {
        let old = Node::of(lower);
        let fields = |node: &Node| (node.kind, node.mode, node.uid, node.gid, node.mtime, node.mtime_nanoseconds);
        if fields(node) != fields(&old) {
            return Ok(false);
        }
        match node.kind {
            FileType::Symlink => Ok(self.opener.read_link(node.layer, &node.path)? == lower.read_link()?.as_bytes()),
            FileType::RegularFile if node.size == old.size => {
                let (new, old) =
                    (self.opener.open(node.layer, &node.path, OFlags::RDONLY)?, lower.open(OFlags::RDONLY | OFlags::NONBLOCK)?);
                Ok(xattrs(&new)? == xattrs(&old)? && self.is_same_content(&new, &old, &node.path)?)
            }
            FileType::CharacterDevice | FileType::BlockDevice => Ok(node.rdev == old.rdev),
            FileType::Fifo => Ok(true),
            _ => Ok(false),
        }
    }

    fn is_same_content(&mut self, new: &OwnedFd, old: &OwnedFd, path: &[u8]) -> Result<bool> {
        let (a, b) = &mut self.buffers;
        a.resize(BUFFER, 0);
        b.resize(BUFFER, 0);
        loop {
            let (count, other) = (read_full(new, a, path)?, read_full(old, b, path)?);
            if a[..count] != b[..other] {
                return Ok(false);
            }
            if count < BUFFER {
                return Ok(true);
            }
        }
    }
}

const BUFFER: usize = 256 << 10;
