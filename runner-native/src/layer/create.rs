//! Items become a tree, a layer, or both in one pass: each source file is read once.
//!
//! Several threads take batches of items in order. Each reads its files, writes them into the tree, and makes their
//! part of the tar; the parts are put together in order and go on to be hashed and compressed. What is in flight is
//! bounded, whatever the size of a file.

mod content;
mod worker;

use self::worker::Maker;
use crate::compress::{Encoder, threads};
use crate::layer::item::{Body, Item};
use crate::layer::place::TreeWriter;
use crate::layer::source::{shown, split};
use crate::sha256::Sha256;
use crate::tar::encode;
use crate::wire::error::{Error, Kind, Result};
use crate::wire::event::Events;
use crate::wire::protocol::{LayerOutput, LayerResult};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

/// A batch holds this much, unless one file is larger.
const BATCH_BYTES: u64 = 512 << 10;
const BATCH_ITEMS: usize = 256;
/// Content is read and handed on in pieces of this size.
const PIECE: usize = 1 << 20;
/// Finished pieces that a batch may have waiting, and batches a thread.
const WAITING_PIECES: usize = 2;
const WAITING_BATCHES: usize = 4;

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
