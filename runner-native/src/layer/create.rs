//! Items become a tree, a layer, or both in one pass: each source file is read once.
//!
//! Several threads take batches of items in order. Each reads its files, writes them into the tree, and makes their
//! part of the tar; the parts are put together in order and go on to be hashed and compressed. What is in flight is
//! bounded, whatever the size of a file.

use crate::compress::{Encoder, threads};
use crate::layer::digest::{Line, xattrs_digest};
use crate::layer::item::{Attributes, Body, Content, Item, Origin};
use crate::layer::place::TreeWriter;
use crate::layer::source::{Opener, Xattrs, read_full, shown, split, xattrs};
use crate::overlay::Stack;
use crate::sha256::Sha256;
use crate::tar::Type;
use crate::tar::encode::{self, Header};
use crate::wire::error::{Error, Kind, Result};
use crate::wire::event::Events;
use crate::wire::protocol::{LayerOutput, LayerResult};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A batch holds this much, unless one file is larger.
const BATCH_BYTES: u64 = 512 << 10;
const BATCH_ITEMS: usize = 256;
/// Content is read and handed on in pieces of this size.
const PIECE: usize = 1 << 20;
/// Finished pieces that a batch may have waiting, and batches a thread.
const WAITING_PIECES: usize = 2;
const WAITING_BATCHES: usize = 4;
/// Files from this size on are cloned where the file system can.
const WORTH_CLONE: u64 = 64 << 10;

/// Makes what was asked for. The result is that of the layer, if there is one.
pub fn create(items: &[Item], tree: Option<&TreeWriter>, layer: Option<&LayerOutput>, events: &Events) -> Result<Option<LayerResult>> {
    if layer.is_some() {
        refuse_markers(items)?;
    }
    let mut encoder = layer.map(|layer| Encoder::new(create_blob(layer)?, layer.compression, layer.level, threads())).transpose()?;
    if let Some(tree) = tree {
        tree.directories(items)?;
    }
    let batches = batches(items);
    let maker = Maker { items, batches: &batches, tree, with_layer: layer.is_some(), next: Mutex::new((0, None)) };
    let workers = threads().min(batches.len()).max(1);
    let mut hasher = Sha256::new();
    let (waiting, queue) = sync_channel(workers * WAITING_BATCHES);
    maker.lock().1 = Some(waiting);
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..workers).map(|_| scope.spawn(|| maker.work())).collect();
        let mut outcome = assemble(queue, encoder.as_mut(), &mut hasher, batches.len(), events);
        for worker in makers {
            let ended = worker.join().unwrap_or_else(|_| Err(Error::new(Kind::Io, "a thread has ended early")));
            // A worker's own failure says more than the gap that it leaves.
            outcome = ended.and(outcome);
        }
        outcome
    })?;
    if let Some(tree) = tree {
        tree.finish(items)?;
    }
    let Some(mut encoder) = encoder else { return Ok(None) };
    encoder.write(&encode::END)?;
    let done = encoder.finish()?;
    let entries = items.iter().filter(|item| !item.path.is_empty()).count() as u64;
    Ok(Some(LayerResult {
        digest: done.digest,
        size: done.size,
        diff_id: done.diff_id,
        uncompressed_size: done.uncompressed_size,
        entries,
        tree_digest: hasher.name(),
    }))
}

/// The attributes of an item.
pub fn attributes(of: &Attributes, file: Option<BorrowedFd<'_>>) -> Result<Arc<Xattrs>> {
    match (of, file) {
        (Attributes::Given(given), _) => Ok(Arc::clone(given)),
        (Attributes::Of(_), Some(file)) => Ok(Arc::new(xattrs(file)?)),
        (Attributes::Of(origin), None) => {
            let file = Opener::new(&origin.stack).open(origin.layer, &origin.path, OFlags::RDONLY)?;
            Ok(Arc::new(xattrs(&file)?))
        }
    }
}

/// A file that is called like a whiteout would be one (OCI image-spec, layer.md: such names cannot be in a layer).
fn refuse_markers(items: &[Item]) -> Result<()> {
    match items.iter().find(|item| split(&item.path).1.starts_with(b".wh.")) {
        Some(item) => {
            Err(Error::new(Kind::Unsupported, "a layer cannot hold a file whose name starts with \".wh.\": that marks deleted files")
                .path(shown(&item.path)))
        }
        None => Ok(()),
    }
}

fn create_blob(layer: &LayerOutput) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    crate::root::open_place(&layer.blob, flags, Mode::from_raw_mode(0o644)).map(File::from)
}

fn batches(items: &[Item]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, item) in items.iter().enumerate() {
        bytes += match &item.body {
            Body::File(content) => content.size() + 512,
            _ => 512,
        };
        if bytes >= BATCH_BYTES || index + 1 - start >= BATCH_ITEMS {
            batches.push(start..index + 1);
            (start, bytes) = (index + 1, 0);
        }
    }
    if start < items.len() {
        batches.push(start..items.len());
    }
    batches
}

/// Part of the tar, or, as the last of its batch, lines of the tree digest.
enum Piece {
    Tar(Vec<u8>),
    Lines(Vec<u8>),
}

/// Puts the pieces in order.
fn assemble(
    queue: Receiver<Receiver<Piece>>,
    mut encoder: Option<&mut Encoder>,
    hasher: &mut Sha256,
    batches: usize,
    events: &Events,
) -> Result<()> {
    let mut done = 0;
    let mut told = std::time::Instant::now();
    for batch in queue {
        let mut is_whole = false;
        for piece in batch {
            match (piece, &mut encoder) {
                (Piece::Tar(bytes), Some(encoder)) => encoder.write(&bytes)?,
                (Piece::Tar(_), None) => {}
                (Piece::Lines(lines), _) => {
                    hasher.update(&lines);
                    is_whole = true;
                }
            }
            if told.elapsed().as_millis() >= 250 {
                told = std::time::Instant::now();
                events.progress(encoder.as_ref().map_or(0, |encoder| encoder.length()), None);
            }
        }
        if !is_whole {
            break;
        }
        done += 1;
    }
    if done == batches { Ok(()) } else { Err(Error::new(Kind::Io, "a thread has ended early")) }
}

struct Maker<'a> {
    items: &'a [Item],
    batches: &'a [Range<usize>],
    tree: Option<&'a TreeWriter>,
    with_layer: bool,
    /// The next batch, and where its pieces are announced. Batches are announced in order: the lock is held for it.
    next: Mutex<(usize, Option<SyncSender<Receiver<Piece>>>)>,
}

impl Maker<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, Option<SyncSender<Receiver<Piece>>>)> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> Result<()> {
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
                let xattrs = attributes(&item.xattrs, directory.as_ref().map(AsFd::as_fd))?;
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
        let xattrs = attributes(&item.xattrs, of.as_ref().map(AsFd::as_fd).or(source.file()))?;
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

enum Source<'a> {
    File(OwnedFd),
    Range { file: &'a File, offset: u64, left: u64 },
    Bytes(&'a [u8]),
}

impl Source<'_> {
    fn file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Source::File(file) => Some(file.as_fd()),
            _ => None,
        }
    }

    /// Whether it is a file from its start to its end.
    fn is_whole(&self) -> bool {
        matches!(self, Source::File(_))
    }

    /// Of all that was and will be read, once the first piece has filled the buffer.
    fn size(&self) -> Result<u64> {
        match self {
            Source::File(file) => {
                let stat = rustix::fs::fstat(file).map_err(|errno| Error::call("fstat()", errno))?;
                Ok((stat.st_size as u64).max(PIECE as u64))
            }
            Source::Range { left, .. } => Ok(*left + PIECE as u64),
            Source::Bytes(rest) => Ok((rest.len() + PIECE) as u64),
        }
    }

    fn read(&mut self, buffer: &mut [u8], path: &[u8]) -> Result<usize> {
        match self {
            Source::File(file) => read_full(file, buffer, path),
            Source::Range { file, offset, left } => {
                let wanted = (buffer.len() as u64).min(*left) as usize;
                let mut filled = 0;
                while filled < wanted {
                    let count = rustix::io::pread(&file, &mut buffer[filled..wanted], *offset)
                        .map_err(|errno| Error::call("pread64()", errno).path(shown(path)))?;
                    if count == 0 {
                        return Err(Error::new(Kind::Io, "a file became shorter while it was copied").path(shown(path)));
                    }
                    filled += count;
                    *offset += count as u64;
                    *left -= count as u64;
                }
                Ok(filled)
            }
            Source::Bytes(rest) => {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                *rest = &rest[count..];
                Ok(count)
            }
        }
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::call("write()", errno)),
        }
    }
    Ok(())
}

fn line(item: &Item, kind: FileType, content: Option<&[u8; 32]>, xattrs: &Xattrs, lines: &mut Vec<u8>) {
    line_of(item, kind, content, &[], 0, xattrs, lines);
}

fn line_of(item: &Item, kind: FileType, content: Option<&[u8; 32]>, target: &[u8], rdev: u64, xattrs: &Xattrs, lines: &mut Vec<u8>) {
    let (mode, owner) = (Some(item.mode), Some((item.uid, item.gid)));
    Line { path: &item.path, kind, mode, owner, content, target, rdev, xattrs: &xattrs_digest(xattrs) }.write(lines);
}
