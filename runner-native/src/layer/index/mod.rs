//! Turns the members of a layer into the table of an image that shows the same tree as the one that they would be
//! unpacked to (see [`super::extract`]), in memory: no file is made, and no content is read.
//!
//! What the unpacker finds out from the kernel, whether a name, an attribute or a link can be had, is decided here
//! where it is certain. Where it is not, the layer is refused as `Kind::Unsupported`, and unpacked instead.

mod beneath;
mod finish;
mod walk;

use super::extract::Below;
use super::extract::name::{inside, split};
use super::member::{Account, Asked, Bounds, Metadata, Outcome};
use super::ownership::Ownership;
use super::whiteout::Marker;
use super::xattr;
use crate::erofs::table::Extent;
use crate::erofs::{Body, Data, Id, Inode, ROOT, Table, inexpressible};
use crate::error::{Error, Kind, Result};
use crate::tar::reader::{Reader, Stream};
use crate::tar::{Member, Type, Xattr};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub use beneath::Merged;

/// Attributes of more bytes than this, names and values together, do not fit behind an inode of every file system, on
/// which overlay may have to copy the file.
const MOST_XATTR_BYTES: usize = 2048;

/// A stream that knows where in the tar it is.
pub trait Positioned: Stream {
    /// Offset of the next byte.
    fn position(&self) -> u64;
}

/// Bounds and surroundings.
pub struct Options<'a> {
    pub below: &'a dyn Below<Merged>,
    pub ownership: &'a Ownership,
    pub bounds: Bounds,
    /// What describes the root if no member does. `None`: what lies below.
    pub root: Option<Metadata>,
}

/// Reads every member of `reader` into a table.
///
/// # Errors
/// `Kind::Unsupported` for what only unpacking can do or judge; else those of [`super::extract::extract`].
pub fn index<S: Positioned>(reader: &mut Reader<S>, options: &Options<'_>) -> Result<(Table, Outcome)> {
    let mut indexing = Indexing::new(options);
    while let Some(member) = reader.next()? {
        let at = reader.stream().position();
        indexing.apply(&member, at).map_err(|error| if error.path.is_some() { error } else { error.path(member.display()) })?;
    }
    indexing.finish()
}

/// A directory that this layer has, beside its inode.
struct Directory {
    parent: Id,
    name: Box<[u8]>,
    /// As a member described it. `None`: only implied by members beneath it.
    listed: Option<Box<Metadata>>,
    /// Hides what the layers below have here.
    opaque: bool,
    /// Took the place of something that a whiteout removed: has nothing to do with what lies below.
    fresh: bool,
}

struct Indexing<'a> {
    options: &'a Options<'a>,
    table: Table,
    directories: HashMap<Id, Directory>,
    /// The directory of the last member, as its name was written.
    last: Option<(Vec<u8>, Id)>,
    account: Account,
}

impl<'a> Indexing<'a> {
    fn new(options: &'a Options<'a>) -> Self {
        let listed = options.root.clone().map(Box::new);
        let root = Directory { parent: ROOT, name: Box::default(), listed, opaque: false, fresh: false };
        Self {
            options,
            table: Table::default(),
            directories: HashMap::from([(ROOT, root)]),
            last: None,
            account: Account::new(options.bounds),
        }
    }

    /// `at` is where the member's data begins.
    fn apply(&mut self, member: &Member, at: u64) -> Result<()> {
        let path = inside(&member.path)?;
        let Some(asked) = self.account.member(member, &path)? else { return Ok(()) };
        let (directory, name) = match asked {
            Asked::Root => return self.describe(ROOT, member),
            Asked::Hide { directory, marker } => return self.hide(directory, &marker),
            Asked::Entry { directory, name } => (directory, name.as_bytes()),
        };
        let parent = self.directory_of(directory)?;
        match member.kind {
            Type::Directory => self.directory(parent, name, member),
            Type::File => self.file(parent, name, member, at),
            Type::HardLink => self.hard_link(parent, name, member),
            Type::Symlink => self.symlink(parent, name, member),
            Type::Fifo => self.special(parent, name, member, Body::Fifo),
            Type::CharDevice => self.device(parent, name, member, false),
            Type::BlockDevice => self.device(parent, name, member, true),
        }
    }

    fn hide(&mut self, directory: &[u8], marker: &Marker<'_>) -> Result<()> {
        let id = self.directory_of(directory)?;
        if !self.options.below.any() {
            return Ok(());
        }
        let Marker::Whiteout(name) = marker else {
            self.known(id).opaque = true;
            return Ok(());
        };
        match self.table.child(id, name) {
            None => self.put(id, name, Inode::whiteout()).map(drop),
            Some(child) if self.is_directory(child) => {
                let child = self.known(child);
                (child.opaque, child.fresh) = (true, true);
                Ok(())
            }
            // A file of this layer hides as well.
            Some(_) => Ok(()),
        }
    }

    /// Notes what a member says of a directory.
    fn describe(&mut self, id: Id, member: &Member) -> Result<()> {
        // Fail at the member, not at the end.
        self.options.ownership.of(member.uid, member.gid)?;
        self.known(id).listed = Some(Box::new(Metadata::of(member)));
        Ok(())
    }

    fn directory(&mut self, parent: Id, name: &[u8], member: &Member) -> Result<()> {
        if let Some(id) = self.table.child(parent, name).filter(|&id| self.is_directory(id)) {
            return self.describe(id, member);
        }
        let hidden = self.table.child(parent, name).is_some_and(|id| self.table.get(id).is_whiteout());
        let id = self.add_directory(parent, name, hidden)?;
        self.describe(id, member)
    }

    fn file(&mut self, parent: Id, name: &[u8], member: &Member, mut at: u64) -> Result<()> {
        self.account.file(member.size)?;
        let data = match &member.sparse {
            None => Data::Run(at),
            Some(map) => Data::Sparse(
                map.iter()
                    .map(|&(offset, length)| {
                        let extent = Extent { offset, length, at };
                        at += length;
                        extent
                    })
                    .collect(),
            ),
        };
        let body = Body::File { size: member.size, data };
        let inode = self.inode(member, member.mode & 0o7777, body)?;
        self.put(parent, name, inode).map(drop)
    }

    fn symlink(&mut self, parent: Id, name: &[u8], member: &Member) -> Result<()> {
        if member.link.contains(&0) {
            return Err(Error::new(Kind::Corrupt, "a link has a NUL in its target"));
        }
        let inode = self.inode(member, 0o777, Body::Symlink(member.link.as_slice().into()))?;
        self.put(parent, name, inode).map(drop)
    }

    fn device(&mut self, parent: Id, name: &[u8], member: &Member, is_block: bool) -> Result<()> {
        let (major, minor) = member.device;
        if !is_block && (major, minor) == (0, 0) {
            // In an overlay tree it would be a whiteout.
            self.account.warn("left out a character device 0:0, which means a deleted file in overlay trees");
            return Ok(());
        }
        self.special(parent, name, member, Body::Device { is_block, major, minor })
    }

    fn special(&mut self, parent: Id, name: &[u8], member: &Member, body: Body) -> Result<()> {
        let inode = self.inode(member, member.mode & 0o7777, body)?;
        self.put(parent, name, inode).map(drop)
    }

    fn hard_link(&mut self, parent: Id, name: &[u8], member: &Member) -> Result<()> {
        let in_target = |error: Error| error.context("a hard link's target");
        let link = inside(&member.link).map_err(in_target)?;
        let (target_directory, target) = split(&link).map_err(in_target)?;
        let Some(target) = target else { return Err(Error::new(Kind::Corrupt, "a hard link points to the root")) };
        let found = match self.walk(target_directory, false)? {
            None => None,
            Some(directory) => {
                let found = self.table.child(directory, target);
                if found.is_some_and(|id| self.is_directory(id)) {
                    return Err(Error::new(Kind::Corrupt, "a hard link points to a directory"));
                }
                if directory == parent && target == name {
                    return Err(Error::new(Kind::Corrupt, "a hard link points to itself"));
                }
                found.filter(|&id| !self.table.get(id).is_whiteout())
            }
        };
        let Some(id) = found else {
            // The bytes lie in another layer's tar.
            return Err(inexpressible("a hard link points into the layers below"));
        };
        if self.table.child(parent, name).is_some_and(|old| self.is_directory(old)) {
            return Err(inexpressible("a hard link takes the place of a directory"));
        }
        self.table.link(parent, name, id)
    }

    fn inode(&mut self, member: &Member, mode: u32, body: Body) -> Result<Inode> {
        self.options.ownership.of(member.uid, member.gid)?;
        let xattrs = self.xattrs(&member.xattrs, &body)?;
        Ok(Inode { mode, uid: member.uid as u32, gid: member.gid as u32, mtime: member.mtime, xattrs, body })
    }

    /// Those that an unpacked file would have. That one cannot be set is said only where no file system would take it.
    fn xattrs(&mut self, xattrs: &[Xattr], body: &Body) -> Result<Box<[Xattr]>> {
        let (is_file, is_directory) = (matches!(body, Body::File { .. }), matches!(body, Body::Directory(_)));
        let mut kept = Vec::new();
        for (name, value) in xattrs {
            let shown = String::from_utf8_lossy(name);
            if !xattr::is_allowed(name) {
                self.account.warn(format!("left out the xattr {shown}, which belongs to the overlay file system"));
                continue;
            }
            let value = xattr::portable(name, value);
            let is_certain = match &name[..] {
                b"security.capability" => is_file && xattr::is_capability(&value),
                [b'u', b's', b'e', b'r', b'.', ..] if !is_file && !is_directory => {
                    self.account.warn(format!("left out the xattr {shown}, which cannot be set here"));
                    continue;
                }
                _ => name.starts_with(b"user.") || name.starts_with(b"trusted."),
            };
            if !is_certain {
                return Err(inexpressible(format!("the xattr {shown} is the kernel's to judge")));
            }
            kept.push((name.clone(), value.into_owned()));
        }
        if kept.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MOST_XATTR_BYTES {
            return Err(inexpressible("the xattrs of a file are large"));
        }
        Ok(kept.into())
    }

    /// Puts an inode under a name, in place of what an earlier member of this layer, or a whiteout, left there.
    fn put(&mut self, parent: Id, name: &[u8], inode: Inode) -> Result<Id> {
        self.last = self.last.take().filter(|&(_, last)| last == parent);
        self.table.put(parent, name, inode)
    }

    fn add_directory(&mut self, parent: Id, name: &[u8], hidden: bool) -> Result<Id> {
        let id = self.put(parent, name, Inode::directory())?;
        self.directories.insert(id, Directory { parent, name: name.into(), listed: None, opaque: hidden, fresh: hidden });
        Ok(id)
    }

    fn is_directory(&self, id: Id) -> bool {
        matches!(self.table.get(id).body, Body::Directory(_))
    }

    fn known(&mut self, id: Id) -> &mut Directory {
        let root = || Directory { parent: ROOT, name: Box::default(), listed: None, opaque: false, fresh: false };
        self.directories.entry(id).or_insert_with(root)
    }
}

/// A name for messages.
fn shown(name: &[u8]) -> std::borrow::Cow<'_, str> {
    OsStr::from_bytes(name).to_string_lossy()
}
