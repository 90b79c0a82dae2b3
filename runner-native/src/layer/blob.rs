//! A layer blob as a stream of tar bytes, verified on the way: reading, hashing and decompressing are threads of
//! their own beside the one that extracts.

use super::index::Positioned;
use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::sha256::Sha256;
use crate::tar::reader::{Stream, stream_error};
use crate::wire::layer::Compression;
use rustix::fd::OwnedFd;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes that pass from thread to thread at once: small enough to stay in the cache of the core.
const CHUNK: usize = 256 << 10;
/// Chunks between two threads.
const AHEAD: usize = 8;
/// Bytes read of the blob at once.
const READ: usize = 256 << 10;

/// What the threads of all layers of a job share.
#[derive(Default)]
pub struct Shared {
    /// Compressed bytes read.
    pub read: AtomicU64,
    /// Set as soon as one layer failed.
    pub cancelled: AtomicBool,
}

/// What a blob must be.
pub struct Expected<'a> {
    pub digest: &'a str,
    pub size: u64,
    pub diff_id: Option<&'a str>,
    pub compression: Compression,
    pub max_bytes: Option<u64>,
}

/// Buffers that go round.
#[derive(Default)]
struct Pool(Mutex<Vec<Vec<u8>>>);

/// Tar bytes on their way; the buffer returns to the pool when the last reader drops it.
struct Chunk {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Ok(mut free) = self.pool.0.lock() {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// The extracting end: a [`Stream`] of the tar.
pub struct Source<'s> {
    chunks: Receiver<Result<Arc<Chunk>>>,
    current: Option<Arc<Chunk>>,
    at: usize,
    /// Bytes consumed of all chunks.
    passed: u64,
    shared: &'s Shared,
}

/// The threads behind a [`Source`].
pub struct Threads<'scope> {
    inflate: ScopedJoinHandle<'scope, Result<(String, u64)>>,
    keep: ScopedJoinHandle<'scope, Result<String>>,
}

/// Starts reading `blob`. What it decompresses to is also written to `tar`, if there is one.
pub fn open<'scope>(
    scope: &'scope Scope<'scope, '_>,
    blob: OwnedFd,
    tar: Option<File>,
    expected: &'scope Expected<'_>,
    shared: &'scope Shared,
) -> Result<(Source<'scope>, Threads<'scope>)> {
    let stat = rustix::fs::fstat(&blob).map_err(|errno| Error::call("fstat(blob)", errno))?;
    if stat.st_size as u64 != expected.size {
        return Err(Error::new(
            Kind::SizeMismatch,
            format!("the blob {} has {} bytes instead of {}", expected.digest, stat.st_size, expected.size),
        ));
    }
    let _ = rustix::fs::fadvise(&blob, 0, None, rustix::fs::Advice::Sequential);
    let (to_extract, chunks) = sync_channel(AHEAD);
    let (to_keep, kept) = sync_channel::<Arc<Chunk>>(AHEAD);
    let started = |error: std::io::Error| Error::io("clone3()", &error);
    let keep = std::thread::Builder::new().name("hash".into()).spawn_scoped(scope, move || keep(&kept, tar, shared)).map_err(started)?;
    let inflate = std::thread::Builder::new()
        .name("inflate".into())
        .spawn_scoped(scope, move || inflate(Blob::new(blob, shared), expected, &to_extract, &to_keep))
        .map_err(started)?;
    Ok((Source { chunks, current: None, at: 0, passed: 0, shared }, Threads { inflate, keep }))
}

/// Hashes the tar, and writes it.
fn keep(chunks: &Receiver<Arc<Chunk>>, mut tar: Option<File>, shared: &Shared) -> Result<String> {
    let mut hasher = Sha256::new();
    for chunk in chunks {
        hasher.update(&chunk.bytes);
        if let Some(tar) = &mut tar {
            if let Err(error) = tar.write_all(&chunk.bytes) {
                shared.cancelled.store(true, Ordering::Relaxed);
                return Err(Error::io("write(tar)", &error));
            }
        }
    }
    Ok(hasher.name())
}

impl Source<'_> {
    /// Reads to the end, so that every byte is hashed.
    pub fn drain(mut self) -> Result<()> {
        loop {
            let length = self.fill()?.len();
            if length == 0 {
                return Ok(());
            }
            self.consume(length);
        }
    }
}

impl Stream for Source<'_> {
    fn fill(&mut self) -> Result<&[u8]> {
        while self.current.as_ref().is_none_or(|chunk| self.at == chunk.bytes.len()) {
            if self.shared.cancelled.load(Ordering::Relaxed) {
                return Err(cancelled());
            }
            self.at = 0;
            let Ok(chunk) = self.chunks.recv() else {
                self.current = None;
                return Ok(&[]);
            };
            self.current = Some(chunk?);
        }
        Ok(self.current.as_ref().map_or(&[][..], |chunk| &chunk.bytes[self.at..]))
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.passed += count as u64;
    }
}

impl Positioned for Source<'_> {
    fn position(&self) -> u64 {
        self.passed
    }
}

impl Threads<'_> {
    /// Waits for the end and judges the digests; gives the diff id. `extracted` is how extraction ended: a blob
    /// that is not what it must be explains every other failure.
    pub fn finish(self, expected: &Expected<'_>, extracted: Result<()>) -> Result<String> {
        let gone = || Error::new(Kind::Io, "a thread ended unexpectedly");
        let inflated = self.inflate.join().map_err(|_| gone())?;
        // Where the tar cannot be written, everything else has stopped for that.
        let diff_id = self.keep.join().map_err(|_| gone())??;
        match inflated {
            Ok((digest, read)) if read != expected.size => {
                let message = format!("the blob {} ({digest}) ended after {read} of {} bytes", expected.digest, expected.size);
                return Err(Error::new(Kind::SizeMismatch, message));
            }
            Ok((digest, _)) if digest != expected.digest => {
                return Err(Error::new(Kind::DigestMismatch, format!("the blob {} has the digest {digest}", expected.digest))
                    .hint("The stored blob is damaged: remove it and pull the image again."));
            }
            Ok(_) => extracted?,
            // A failure to read is the cause, unless extraction has failed on its own before.
            Err(error) => {
                extracted?;
                return Err(error);
            }
        }
        match expected.diff_id {
            Some(wanted) if wanted != diff_id => Err(Error::new(
                Kind::DigestMismatch,
                format!("the uncompressed layer {} has the digest {diff_id}, and the image's configuration says {wanted}", expected.digest),
            )),
            _ => Ok(diff_id),
        }
    }
}

/// How a blob is compressed that begins with `magic` and is said to be `said`; `None` for what cannot be.
fn compression_of(magic: &[u8], said: Compression) -> Option<Compression> {
    match magic {
        [0x1f, 0x8b, 8, ..] => Some(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        // A skippable frame.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] if said == Compression::Zstd => Some(Compression::Zstd),
        [] => Some(Compression::None),
        _ if said == Compression::None => Some(Compression::None),
        _ => None,
    }
}

/// Whether a blob is the tar itself.
pub fn is_tar(blob: &OwnedFd, said: Compression) -> bool {
    let mut magic = [0; 4];
    let read = rustix::io::pread(blob, &mut magic, 0).unwrap_or(0);
    compression_of(&magic[..read], said) == Some(Compression::None)
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, "another layer failed")
}

/// The blob, hashed while it is read.
struct Blob<'s> {
    file: OwnedFd,
    hasher: Sha256,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    total: u64,
    shared: &'s Shared,
}

impl<'s> Blob<'s> {
    fn new(file: OwnedFd, shared: &'s Shared) -> Self {
        Self { file, hasher: Sha256::new(), buffer: vec![0; READ].into_boxed_slice(), start: 0, end: 0, total: 0, shared }
    }

    fn next(&mut self) -> std::io::Result<()> {
        let count = loop {
            match rustix::io::read(&self.file, &mut self.buffer[..]) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        self.hasher.update(&self.buffer[..count]);
        (self.start, self.end) = (0, count);
        self.total += count as u64;
        self.shared.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl BufRead for Blob<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.start == self.end {
            self.next()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Decompresses the blob into chunks for both ends, then hashes what is left of it. Gives its digest and length.
fn inflate(
    mut blob: Blob<'_>,
    expected: &Expected<'_>,
    to_extract: &SyncSender<Result<Arc<Chunk>>>,
    to_keep: &SyncSender<Arc<Chunk>>,
) -> Result<(String, u64)> {
    let outcome = send_chunks(&mut blob, expected, to_extract, to_keep);
    if let Err(error) = outcome {
        // Whoever extracts has gone, or is told why it goes no further.
        let _ = to_extract.send(Err(error));
    }
    loop {
        let length = blob.fill_buf().map_err(|error| Error::io("read(blob)", &error))?.len();
        if length == 0 {
            break;
        }
        if blob.shared.cancelled.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        blob.consume(length);
    }
    Ok((blob.hasher.name(), blob.total))
}

fn send_chunks(
    blob: &mut Blob<'_>,
    expected: &Expected<'_>,
    to_extract: &SyncSender<Result<Arc<Chunk>>>,
    to_keep: &SyncSender<Arc<Chunk>>,
) -> Result<()> {
    let max = expected.max_bytes.unwrap_or_else(|| expected.size.saturating_mul(limit::RATIO).max(limit::HARMLESS));
    // Media types of images in the wild are not always right, and no tar begins like a compressed file.
    let magic = blob.fill_buf().map_err(|error| Error::io("read(blob)", &error))?;
    let compression = compression_of(magic, expected.compression)
        .ok_or_else(|| Error::new(Kind::Corrupt, format!("the blob {} is not {:?} data", expected.digest, expected.compression)))?;
    let mut decoder: Box<dyn Read + '_> = match compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(blob).map_err(|error| stream_error(&error))?;
            decoder.window_log_max(limit::ZSTD_WINDOW_LOG).map_err(|error| stream_error(&error))?;
            Box::new(decoder)
        }
    };
    let pool = Arc::new(Pool::default());
    let mut total = 0u64;
    loop {
        let free = pool.0.lock().ok().and_then(|mut free| free.pop());
        let mut chunk = Chunk { bytes: free.unwrap_or_default(), pool: Arc::clone(&pool) };
        chunk.bytes.resize(CHUNK, 0);
        let mut filled = 0;
        while filled < CHUNK {
            match decoder.read(&mut chunk.bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(stream_error(&error)),
            }
        }
        if filled == 0 {
            return Ok(());
        }
        chunk.bytes.truncate(filled);
        total += filled as u64;
        if total > max {
            return Err(Error::new(Kind::TooLarge, format!("the layer {} unpacks to more than {max} bytes", expected.digest)));
        }
        let chunk = Arc::new(chunk);
        // The hasher ends only after this thread does, or has failed and said so to all.
        let _ = to_keep.send(Arc::clone(&chunk));
        if to_extract.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}
