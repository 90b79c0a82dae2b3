//! Items become a tree, a layer, or both in one pass: each source file is read once. The tree is one of files, or the
//! layer's own tar with an index.
//!
//! Several threads take batches of items in order. Each reads its files, writes them into the tree, and makes their
//! part of the tar; the parts are put together in order and go on to be hashed and compressed. What is in flight is
//! bounded, whatever the size of a file.

mod content;
mod indexed;
mod worker;

pub use self::indexed::IndexWriter;
use self::worker::Maker;
use crate::compress::{Encoder, threads};
use crate::error::{Error, Kind, Result};
use crate::layer::item::{Body, Item};
use crate::layer::place::TreeWriter;
use crate::layer::source::{shown, split};
use crate::sha256::Sha256;
use crate::tar::encode;
use crate::wire::event::Events;
use crate::wire::layer::{LayerOutput, LayerResult, MadeTree};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

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
    let Some(output) = layer else {
        pass(items, tree, None, events)?;
        return Ok(None);
    };
    create_layer(items, tree, output, None, events).map(Some)
}

/// Makes a layer, and in the same pass its tar and index in the store.
pub fn create_indexed(items: &[Item], index: &IndexWriter, output: &LayerOutput, events: &Events) -> Result<(LayerResult, MadeTree)> {
    let (follower, pieces) = sync_channel(WAITING_PIECES);
    let (layer, table) = std::thread::scope(|scope| {
        let indexing = scope.spawn(|| index.follow(pieces, items));
        let layer = create_layer(items, None, output, Some(follower), events);
        let table = indexing.join().unwrap_or_else(|_| Err(Error::new(Kind::Io, "a thread has ended early")));
        // Of a layer that was not finished the index says nothing.
        Ok::<_, Error>((layer?, table?))
    })?;
    let made = index.finish(table, &layer)?;
    Ok((layer, made))
}

/// `follower` gets the uncompressed layer as well.
fn create_layer(
    items: &[Item],
    tree: Option<&TreeWriter>,
    output: &LayerOutput,
    follower: Option<SyncSender<Vec<u8>>>,
    events: &Events,
) -> Result<LayerResult> {
    refuse_markers(items)?;
    let encoder = Encoder::new(create_blob(output)?, output.compression, output.level, threads())?;
    let mut sink = Sink { encoder, follower };
    let tree_digest = pass(items, tree, Some(&mut sink), events)?;
    sink.write(encode::END.to_vec())?;
    let Sink { encoder, follower } = sink;
    drop(follower);
    let done = encoder.finish()?;
    let entries = items.iter().filter(|item| !item.path.is_empty()).count() as u64;
    Ok(LayerResult {
        digest: done.digest,
        size: done.size,
        diff_id: done.diff_id,
        uncompressed_size: done.uncompressed_size,
        entries,
        tree_digest,
    })
}

/// Where the tar of a layer goes.
struct Sink {
    encoder: Encoder,
    follower: Option<SyncSender<Vec<u8>>>,
}

impl Sink {
    fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.encoder.write(&bytes)?;
        if let Some(follower) = &self.follower {
            // A follower that has gone tells why at the end.
            let _ = follower.send(bytes);
        }
        Ok(())
    }
}

/// Reads every item once, and writes it to where it goes. Gives the tree digest.
fn pass(items: &[Item], tree: Option<&TreeWriter>, sink: Option<&mut Sink>, events: &Events) -> Result<String> {
    if let Some(tree) = tree {
        tree.directories(items)?;
    }
    let batches = batches(items);
    let maker = Maker { items, batches: &batches, tree, with_layer: sink.is_some(), next: Mutex::new((0, None)) };
    let workers = threads().min(batches.len()).max(1);
    let mut hasher = Sha256::new();
    let (waiting, queue) = sync_channel(workers * WAITING_BATCHES);
    maker.lock().1 = Some(waiting);
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..workers).map(|_| scope.spawn(|| maker.work())).collect();
        let mut outcome = assemble(queue, sink, &mut hasher, batches.len(), events);
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
    Ok(hasher.name())
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
    mut sink: Option<&mut Sink>,
    hasher: &mut Sha256,
    batches: usize,
    events: &Events,
) -> Result<()> {
    let mut done = 0;
    let mut told = std::time::Instant::now();
    for batch in queue {
        let mut is_whole = false;
        for piece in batch {
            match (piece, &mut sink) {
                (Piece::Tar(bytes), Some(sink)) => sink.write(bytes)?,
                (Piece::Tar(_), None) => {}
                (Piece::Lines(lines), _) => {
                    hasher.update(&lines);
                    is_whole = true;
                }
            }
            if told.elapsed().as_millis() >= 250 {
                told = std::time::Instant::now();
                events.progress(sink.as_ref().map_or(0, |sink| sink.encoder.length()), None);
            }
        }
        if !is_whole {
            break;
        }
        done += 1;
    }
    if done == batches { Ok(()) } else { Err(Error::new(Kind::Io, "a thread has ended early")) }
}
