//! One thread of those that make a layer: it takes batches of items, reads their files, writes them into the tree, and makes
//! their part of the tar.

use super::content::{Source, write_all};
use super::{PIECE, Piece, WAITING_PIECES};
use crate::error::{Error, Kind, Result};
use crate::layer::digest::{Line, xattrs_digest};
use crate::layer::item::{Attributes, Body, Content, Item, Origin};
use crate::layer::place::TreeWriter;
use crate::layer::source::{Opener, Xattrs, shown, split};
use crate::overlay::Stack;
use crate::sha256::Sha256;
use crate::tar::Type;
use crate::tar::encode::{self, Header};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, OFlags};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Files from this size on are cloned where the file system can.
const WORTH_CLONE: u64 = 64 << 10;

/// What all workers share.
pub struct Maker<'a> {
    pub items: &'a [Item],
    pub batches: &'a [Range<usize>],
    pub tree: Option<&'a TreeWriter>,
    pub with_layer: bool,
    /// The next batch, and where its pieces are announced. Batches are announced in order: the lock is held for it.
    pub next: Mutex<(usize, Option<SyncSender<Receiver<Piece>>>)>,
}

impl Maker<'_> {
    pub fn lock(&self) -> std::sync::MutexGuard<'_, (usize, Option<SyncSender<Receiver<Piece>>>)> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn work(&self) -> Result<()> {
        let mut worker = Worker::new(self);
        loop {
            let (batch, pieces) = {
                let mut next = self.lock();
                let Some(batch) = self.batches.get(next.0) else {
                    next.1 = None;
                    return Ok(());
                };
                let (sender, receiver) = sync_channel(WAITING_PIECES);
                // Waits while too much is in flight. An error: the assembly has failed, and says why.
                if next.1.as_ref().is_none_or(|waiting| waiting.send(receiver).is_err()) {
                    return Ok(());
                }
                next.0 += 1;
                (batch.clone(), sender)
            };
            if let Err(error) = worker.batch(batch, &pieces) {
                let mut next = self.lock();
                *next = (self.batches.len(), None);
                return Err(error);
            }
        }
    }
}

struct Worker<'a> {
    maker: &'a Maker<'a>,
    opener: Option<(*const Stack, Opener<'a>)>,
    parent: Option<(&'a [u8], OwnedFd)>,
    buffer: Vec<u8>,
    tar: Vec<u8>,
    can_clone: bool,
}

impl<'a> Worker<'a> {
    fn new(maker: &'a Maker<'a>) -> Self {
        Self { maker, opener: None, parent: None, buffer: vec![0; PIECE], tar: Vec::new(), can_clone: true }
    }

    fn batch(&mut self, batch: Range<usize>, pieces: &SyncSender<Piece>) -> Result<()> {
        let mut lines = Vec::new();
        for index in batch {
            let items: &'a [Item] = self.maker.items;
            self.item(&items[index], pieces, &mut lines).map_err(|error| match error.path {
                Some(_) => error,
                None => error.path(shown(&items[index].path)),
            })?;
        }
        self.flush(pieces);
        // Nobody listens any more if the assembly has failed, which then says why.
        let _ = pieces.send(Piece::Lines(lines));
        Ok(())
    }

    fn flush(&mut self, pieces: &SyncSender<Piece>) {
        let full = std::mem::take(&mut self.tar);
        if !full.is_empty() {
            let _ = pieces.send(Piece::Tar(full));
        }
    }

    fn item(&mut self, item: &'a Item, pieces: &SyncSender<Piece>, lines: &mut Vec<u8>) -> Result<()> {
        match &item.body {
            Body::Directory { .. } if item.path.is_empty() => {}
            Body::Directory { opaque } => {
                let opener = self.opener_of(&item.xattrs);
                let directory = match (opener, &item.xattrs) {
                    (Some(opener), Attributes::Of(origin)) => {
                        Some(opener.open(origin.layer, &origin.path, OFlags::RDONLY | OFlags::DIRECTORY)?)
                    }
                    _ => None,
                };
                let xattrs = item.xattrs.read(directory.as_ref().map(AsFd::as_fd))?;
                self.header(item, Type::Directory, 0, &[], &xattrs);
                line(item, FileType::Directory, None, &xattrs, lines);
                if *opaque {
                    self.marker(&[&*item.path, b"/.wh..wh..opq"].concat());
                    lines.extend_from_slice(b" opaque\n");
                }
            }
            Body::File(content) => self.file(item, content, pieces, lines)?,
            Body::HardLink(first) => {
                let target = &self.maker.items[*first].path;
                self.header(item, Type::HardLink, 0, target, &Xattrs::new());
                lines.extend_from_slice(b"hard link ");
                line_of(item, FileType::Symlink, None, target, 0, &Xattrs::new(), lines);
            }
            Body::Symlink(target) => {
                if let Some(tree) = self.maker.tree {
                    let parent = self.parent(tree, &item.path)?;
                    tree.symlink(parent.as_fd(), item, target)?;
                }
                self.header(item, Type::Symlink, 0, target, &Xattrs::new());
                line_of(item, FileType::Symlink, None, target, 0, &Xattrs::new(), lines);
            }
            Body::Device(..) | Body::Fifo => self.special(item, lines)?,
            Body::Whiteout => {
                if let Some(tree) = self.maker.tree {
                    let parent = self.parent(tree, &item.path)?;
                    tree.whiteout(parent.as_fd(), item)?;
                }
                let (directory, name) = split(&item.path);
                let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
                self.marker(&[directory, slash, b".wh.", name].concat());
                lines.extend_from_slice(b"whiteout ");
                line_of(item, FileType::Unknown, None, &[], 0, &Xattrs::new(), lines);
            }
        }
        if self.tar.len() >= PIECE {
            self.flush(pieces);
        }
        Ok(())
    }

    fn special(&mut self, item: &'a Item, lines: &mut Vec<u8>) -> Result<()> {
        let (kind, rdev) = match &item.body {
            Body::Device(kind, rdev) => (*kind, *rdev),
            _ => (FileType::Fifo, 0),
        };
        if let Some(tree) = self.maker.tree {
            let parent = self.parent(tree, &item.path)?;
            tree.special(parent.as_fd(), item, kind, rdev)?;
        }
        let entry = match kind {
            FileType::CharacterDevice => Type::CharDevice,
            FileType::BlockDevice => Type::BlockDevice,
            _ => Type::Fifo,
        };
        self.header(item, entry, rdev, &[], &Xattrs::new());
        line_of(item, kind, None, &[], rdev, &Xattrs::new(), lines);
        Ok(())
    }

    fn file(&mut self, item: &'a Item, content: &'a Content, pieces: &SyncSender<Piece>, lines: &mut Vec<u8>) -> Result<()> {
        let mut source = self.open(content)?;
        let of = match &item.xattrs {
            Attributes::Of(origin) if source.file().is_none() => {
                Some(Opener::new(&origin.stack).open(origin.layer, &origin.path, OFlags::RDONLY)?)
            }
            _ => None,
        };
        let xattrs = item.xattrs.read(of.as_ref().map(AsFd::as_fd).or(source.file()))?;
        let target = match self.maker.tree {
            Some(tree) => Some((tree, tree.file(self.parent(tree, &item.path)?.as_fd(), item)?)),
            None => None,
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut count = source.read(&mut buffer, &item.path)?;
        // A file that fits into the buffer is as long as what was read of it, even if it has just changed.
        let size = if count < buffer.len() { count as u64 } else { source.size()? };
        let is_cloned = match (&target, source.file()) {
            (Some((_, target)), Some(file)) if size >= WORTH_CLONE && self.can_clone && source.is_whole() => {
                self.can_clone = rustix::fs::ioctl_ficlone(target, file).is_ok();
                self.can_clone
            }
            _ => false,
        };
        self.header_of_file(item, size, &xattrs);
        let (mut hasher, mut done) = (Sha256::new(), 0);
        loop {
            let piece = &buffer[..count.min((size - done) as usize)];
            done += piece.len() as u64;
            if let (Some((_, target)), false) = (&target, is_cloned) {
                write_all(target, piece)?;
            }
            if self.maker.with_layer {
                hasher.update(piece);
                self.tar.extend_from_slice(piece);
                if self.tar.len() >= PIECE {
                    self.flush(pieces);
                }
            }
            if done == size || count == 0 {
                break;
            }
            // A clone shares the content: without a layer nothing needs to be read.
            if is_cloned && !self.maker.with_layer {
                done = size;
                break;
            }
            count = source.read(&mut buffer, &item.path)?;
        }
        self.buffer = buffer;
        if done < size {
            return Err(Error::new(Kind::Io, "a file became shorter while it was copied").path(shown(&item.path)));
        }
        if self.maker.with_layer {
            encode::pad(size, &mut self.tar);
            let digest = hasher.finish();
            line(item, FileType::RegularFile, Some(&digest), &xattrs, lines);
        }
        if let Some((tree, target)) = target {
            tree.finish_file(target.as_fd(), item, &xattrs)?;
        }
        Ok(())
    }

    fn open(&mut self, content: &'a Content) -> Result<Source<'a>> {
        Ok(match content {
            Content::Origin { origin, .. } => {
                let file = self.opener(origin).open(origin.layer, &origin.path, OFlags::RDONLY)?;
                Source::File(file)
            }
            Content::Range { file, offset, size } => Source::Range { file, offset: *offset, left: *size },
            Content::Bytes(bytes) => Source::Bytes(bytes),
        })
    }

    fn opener(&mut self, origin: &'a Origin) -> &mut Opener<'a> {
        let stack = Arc::as_ptr(&origin.stack);
        if self.opener.as_ref().is_some_and(|(of, _)| *of != stack) {
            self.opener = None;
        }
        &mut self.opener.get_or_insert_with(|| (stack, Opener::new(&origin.stack))).1
    }

    fn opener_of(&mut self, attributes: &'a Attributes) -> Option<&mut Opener<'a>> {
        match attributes {
            Attributes::Of(origin) => Some(self.opener(origin)),
            Attributes::Given(_) => None,
        }
    }

    /// The directory that holds an item; that of the last one is kept open.
    fn parent(&mut self, tree: &TreeWriter, path: &'a [u8]) -> Result<&OwnedFd> {
        let (directory, _) = split(path);
        if self.parent.as_ref().is_some_and(|(of, _)| *of != directory) {
            self.parent = None;
        }
        match &mut self.parent {
            Some((_, open)) => Ok(open),
            empty => Ok(&empty.insert((directory, tree.open_directory(directory)?)).1),
        }
    }

    fn header(&mut self, item: &Item, kind: Type, rdev: u64, link: &[u8], xattrs: &Xattrs) {
        if self.maker.with_layer {
            let device = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
            let Item { path, mode, uid, gid, mtime, .. } = item;
            // Nobody looks at a link's mode; the kernel shows 0777.
            let mode = if kind == Type::Symlink { 0o777 } else { *mode };
            encode::header(&Header { path, kind, mode, uid: *uid, gid: *gid, size: 0, mtime: *mtime, link, device, xattrs }, &mut self.tar);
        }
    }

    fn header_of_file(&mut self, item: &Item, size: u64, xattrs: &Xattrs) {
        if self.maker.with_layer {
            let Item { path, mode, uid, gid, mtime, .. } = item;
            let header = Header {
                path,
                kind: Type::File,
                mode: *mode,
                uid: *uid,
                gid: *gid,
                size,
                mtime: *mtime,
                link: &[],
                device: (0, 0),
                xattrs,
            };
            encode::header(&header, &mut self.tar);
        }
    }

    /// An empty file whose name says it all: a whiteout or an opaque marker (OCI image-spec, layer.md, "Whiteouts").
    fn marker(&mut self, path: &[u8]) {
        if self.maker.with_layer {
            let header =
                Header { path, kind: Type::File, mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, link: &[], device: (0, 0), xattrs: &[] };
            encode::header(&header, &mut self.tar);
        }
    }
}

fn line(item: &Item, kind: FileType, content: Option<&[u8; 32]>, xattrs: &Xattrs, lines: &mut Vec<u8>) {
    line_of(item, kind, content, &[], 0, xattrs, lines);
}

fn line_of(item: &Item, kind: FileType, content: Option<&[u8; 32]>, target: &[u8], rdev: u64, xattrs: &Xattrs, lines: &mut Vec<u8>) {
    let (mode, owner) = (Some(item.mode), Some((item.uid, item.gid)));
    Line { path: &item.path, kind, mode, owner, content, target, rdev, xattrs: &xattrs_digest(xattrs) }.write(lines);
}
