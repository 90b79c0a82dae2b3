//! The tree of a layer that is being made, as its tar and an index: what is written is also read, with the rules of
//! unpacking, so that the tree is the one that the layer has everywhere else.

use crate::erofs::{self, Table};
use crate::error::{Error, Kind, Result};
use crate::layer::extract::{self, Below};
use crate::layer::index::{self, Merged, Positioned};
use crate::layer::item::Item;
use crate::layer::member::{Bounds, Metadata};
use crate::layer::ownership::Ownership;
use crate::overlay::Stack;
use crate::tar::reader::Stream;
use crate::tar::{Reader, Time};
use crate::tree;
use crate::wire::layer::{Compression, LayerOutput, LayerResult, MadeTree, TreeForm};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Seek, Write};
use std::sync::mpsc::Receiver;

/// What is made is bounded by what it is made of.
const BOUNDS: Bounds = Bounds { entries: u64::MAX, bytes: u64::MAX };
/// Directories that may be open while what cannot be indexed is unpacked.
const MAX_OPEN: usize = 64;

/// Makes tar and index in the directory of a snapshot.
pub struct IndexWriter<'a> {
    directory: OwnedFd,
    below: Beneath,
    ownership: Ownership,
    output: &'a LayerOutput,
    /// `None` where the blob is the tar, since it is not compressed.
    tar: Option<File>,
}

impl<'a> IndexWriter<'a> {
    /// `base` is what lies below the layer.
    pub fn new(directory: OwnedFd, base: &Stack, output: &'a LayerOutput) -> Result<Self> {
        let made = rustix::fs::fstat(&directory).map_err(|errno| Error::call("fstat(snapshot)", errno))?;
        let tar = if output.compression == Compression::None { None } else { Some(tree::create_tar(&directory)?) };
        Ok(Self { below: Beneath::new(base), ownership: Ownership::here(&made)?, directory, output, tar })
    }

    /// Reads the layer while it is made, and keeps it. Gives the table of its index, or why there can be none.
    ///
    /// # Errors
    /// That it cannot be kept.
    pub(super) fn follow(&self, pieces: Receiver<Vec<u8>>, items: &[Item]) -> Result<std::result::Result<Table, Error>> {
        let tar = self.tar.as_ref();
        let root = items.first().filter(|item| item.path.is_empty()).map(metadata).transpose()?;
        let options = index::Options { below: &self.below, ownership: &self.ownership, bounds: BOUNDS, root };
        let mut reader = Reader::new(Followed { pieces, tar, current: Vec::new(), at: 0, passed: 0 });
        let indexed = index::index(&mut reader, &options);
        reader.into_stream().drain()?;
        match indexed {
            Ok((table, _)) => Ok(Ok(table)),
            Err(error) if error.kind == Kind::Unsupported => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// Writes the index when the layer has a name; or unpacks the layer where an index cannot say what it holds.
    pub(super) fn finish(&self, table: std::result::Result<Table, Error>, layer: &LayerResult) -> Result<MadeTree> {
        let why = match table.and_then(|table| self.write(&table, layer)) {
            Ok(index_bytes) => {
                // What the blob has already takes no second place.
                let bytes = if self.tar.is_some() { layer.uncompressed_size } else { 0 };
                return Ok(MadeTree { form: TreeForm::Index, bytes: bytes + index_bytes, why: None });
            }
            Err(error) if error.kind == Kind::Unsupported => error.to_string(),
            Err(error) => return Err(error),
        };
        self.unpack().map_err(|error| error.context("cannot unpack what was copied"))?;
        Ok(MadeTree { form: TreeForm::Tree, bytes: layer.uncompressed_size, why: Some(why) })
    }

    fn write(&self, table: &Table, layer: &LayerResult) -> Result<u64> {
        let hex = layer.diff_id.strip_prefix("sha256:").unwrap_or(&layer.diff_id);
        let bytes = tree::create_index(&self.directory, table, erofs::Tar { bytes: layer.uncompressed_size, hex })?;
        if self.tar.is_none() {
            tree::link_tar(&self.directory, &self.blob()?)?;
        }
        Ok(bytes)
    }

    fn unpack(&self) -> Result<()> {
        let mut tar = match &self.tar {
            Some(tar) => tar.try_clone().map_err(|error| Error::io("fcntl(F_DUPFD_CLOEXEC)", &error))?,
            None => File::from(self.blob()?),
        };
        tar.rewind().map_err(|error| Error::io("lseek(tar)", &error))?;
        let options = extract::Options { below: &self.below, ownership: &self.ownership, bounds: BOUNDS, max_open: MAX_OPEN };
        extract::extract(&mut Reader::of(tar), tree::create_tree(&self.directory)?, &options)?;
        if self.tar.is_some() { tree::remove_tar(&self.directory) } else { Ok(()) }
    }

    fn blob(&self) -> Result<OwnedFd> {
        crate::root::open_place(&self.output.blob, OFlags::RDONLY, Mode::empty())
    }
}

/// What describes the root, of which a layer does not speak.
fn metadata(root: &Item) -> Result<Metadata> {
    let xattrs = root.xattrs.read(None)?.to_vec();
    let mtime = Time { seconds: root.mtime, nanoseconds: 0 };
    Ok(Metadata { mode: root.mode, uid: root.uid.into(), gid: root.gid.into(), mtime, xattrs })
}

/// The layers below, which are there.
struct Beneath {
    stack: Stack,
    merged: Merged,
}

impl Beneath {
    fn new(stack: &Stack) -> Self {
        Self { stack: stack.clone(), merged: Merged::new(Vec::new(), stack.clone()) }
    }
}

impl Below<Stack> for Beneath {
    fn any(&self) -> bool {
        !self.stack.layers().is_empty()
    }

    fn view(&self) -> Result<&Stack> {
        Ok(&self.stack)
    }
}

impl Below<Merged> for Beneath {
    fn any(&self) -> bool {
        !self.stack.layers().is_empty()
    }

    fn view(&self) -> Result<&Merged> {
        Ok(&self.merged)
    }
}

/// A layer on its way, which is kept in a file as it passes.
struct Followed<'a> {
    pieces: Receiver<Vec<u8>>,
    tar: Option<&'a File>,
    current: Vec<u8>,
    at: usize,
    /// Bytes of all pieces that were consumed.
    passed: u64,
}

impl Followed<'_> {
    /// Lets the rest pass.
    fn drain(mut self) -> Result<()> {
        loop {
            let count = self.fill()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }
}

impl Stream for Followed<'_> {
    fn fill(&mut self) -> Result<&[u8]> {
        while self.at == self.current.len() {
            let Ok(piece) = self.pieces.recv() else { return Ok(&[]) };
            if let Some(mut tar) = self.tar {
                tar.write_all(&piece).map_err(|error| Error::io("write(tar)", &error))?;
            }
            (self.current, self.at) = (piece, 0);
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.passed += count as u64;
    }
}

impl Positioned for Followed<'_> {
    fn position(&self) -> u64 {
        self.passed
    }
}
