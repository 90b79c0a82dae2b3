//! Compression of layers: parallel, in one pass, and the same bytes whatever the number of threads.
//!
//! The uncompressed stream is cut into chunks of a fixed size. Each becomes a gzip member or a zstd frame of its
//! own (RFC 1952 §2.2 and RFC 8878 §3 define the concatenation of such as one stream), so that a chunk depends on
//! nothing but its own bytes. While the chunks are compressed, one thread hashes the uncompressed stream and
//! another hashes and writes the compressed one.

use crate::error::{Error, Kind, Result};
use crate::sha256::Sha256;
use crate::wire::layer::Compression;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Part of the format: a change of any of these changes digests.
const GZIP_CHUNK: usize = 1 << 20;
const ZSTD_CHUNK: usize = 4 << 20;
const PLAIN_CHUNK: usize = 1 << 20;
/// libdeflate's 3 packs program text as tight as gzip's 6 (machine code 2 % less so), in a quarter of its time.
const GZIP_LEVEL: i32 = 3;
const ZSTD_LEVEL: i32 = 3;
/// What cannot be compressed is not worth searching.
const GZIP_FAST: i32 = 1;

/// More threads than this gain nothing: the hash of the stream is the limit. It also bounds memory.
const MOST_THREADS: usize = 12;

/// What a finished stream is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// sha256 of the compressed bytes, as `sha256:…`.
    pub digest: String,
    pub size: u64,
    /// sha256 of the uncompressed bytes, as `sha256:…`.
    pub diff_id: String,
    pub uncompressed_size: u64,
}

/// Takes the uncompressed stream and writes the compressed one to a file.
pub struct Encoder {
    chunk: Vec<u8>,
    chunk_size: usize,
    submitted: u64,
    length: u64,
    pipe: Option<Pipe>,
}

struct Pipe {
    /// One token for every chunk between submission and disk: the bound of memory.
    permits: SyncSender<()>,
    jobs: Sender<Job>,
    hash: Sender<Arc<Vec<u8>>>,
    hasher: JoinHandle<String>,
    workers: Vec<JoinHandle<Result<()>>>,
    writer: JoinHandle<Result<(String, u64)>>,
}

struct Job {
    index: u64,
    chunk: Arc<Vec<u8>>,
}

/// How many threads are worth starting here.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MOST_THREADS)
}

impl Encoder {
    /// Starts the threads. `output` is written from its start to its end, in order.
    ///
    /// # Errors
    /// `Kind::Request` for a level that the format does not have.
    pub fn new(output: File, compression: Compression, level: Option<i32>, threads: usize) -> Result<Self> {
        let threads = threads.clamp(1, MOST_THREADS);
        let (chunk_size, range) = match compression {
            Compression::None => (PLAIN_CHUNK, 0..=0),
            Compression::Gzip => (GZIP_CHUNK, 0..=9),
            Compression::Zstd => (ZSTD_CHUNK, 0..=22),
        };
        let level = level.unwrap_or(match compression {
            Compression::None => 0,
            Compression::Gzip => GZIP_LEVEL,
            Compression::Zstd => ZSTD_LEVEL,
        });
        if compression != Compression::None && !range.contains(&level) {
            let (first, last) = (range.start(), range.end());
            return Err(Error::new(Kind::Request, format!("there is no compression level {level}: they go from {first} to {last}")));
        }
        let (permits, returned) = sync_channel(2 * threads + 1);
        let (jobs, queue) = channel();
        let (hash, stream) = channel();
        let (finished, results) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads)
            .map(|_| {
                let (queue, finished) = (Arc::clone(&queue), finished.clone());
                spawn("compress", move || work(&queue, &finished, compression, level))
            })
            .collect::<Result<Vec<_>>>()?;
        let hasher = spawn("hash", move || digest_of(&stream))?;
        let writer = spawn("write", move || write_in_order(output, &results, &returned))?;
        let pipe = Some(Pipe { permits, jobs, hash, hasher, workers, writer });
        Ok(Self { chunk: Vec::with_capacity(chunk_size), chunk_size, submitted: 0, length: 0, pipe })
    }

    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self.chunk_size - self.chunk.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = rest;
            if self.chunk.len() == self.chunk_size {
                self.submit()?;
            }
        }
        Ok(())
    }

    /// How much has been written so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Waits until everything is on its way to disk.
    pub fn finish(mut self) -> Result<Compressed> {
        // An empty stream still needs a member: zero bytes are no gzip file.
        if !self.chunk.is_empty() || self.submitted == 0 {
            self.submit()?;
        }
        let Some(pipe) = self.pipe.take() else { return Err(broken()) };
        let Pipe { permits, jobs, hash, hasher, workers, writer } = pipe;
        drop((permits, jobs, hash));
        for worker in workers {
            worker.join().map_err(|_| broken())??;
        }
        let (digest, size) = writer.join().map_err(|_| broken())??;
        let diff_id = hasher.join().map_err(|_| broken())?;
        Ok(Compressed { digest, size, diff_id, uncompressed_size: self.length })
    }

    fn submit(&mut self) -> Result<()> {
        let chunk = Arc::new(std::mem::replace(&mut self.chunk, Vec::with_capacity(self.chunk_size)));
        let index = self.submitted;
        self.submitted += 1;
        let Some(pipe) = &self.pipe else { return Err(broken()) };
        let sent =
            pipe.permits.send(()).is_ok() && pipe.hash.send(Arc::clone(&chunk)).is_ok() && pipe.jobs.send(Job { index, chunk }).is_ok();
        if sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Why a thread has stopped listening.
    fn failure(&mut self) -> Error {
        let Some(pipe) = self.pipe.take() else { return broken() };
        let Pipe { permits, jobs, hash, workers, writer, .. } = pipe;
        drop((permits, jobs, hash));
        let ended = workers.into_iter().find_map(|worker| worker.join().ok()?.err());
        writer.join().ok().and_then(Result::err).or(ended).unwrap_or_else(broken)
    }
}

fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|error| Error::io("clone(CLONE_THREAD)", &error))
}

fn broken() -> Error {
    Error::new(Kind::Io, "a compression thread has ended early")
}

fn work(queue: &Mutex<Receiver<Job>>, finished: &Sender<(u64, Arc<Vec<u8>>)>, compression: Compression, level: i32) -> Result<()> {
    let mut compressor = Compressor::new(compression, level)?;
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return Err(broken()),
        };
        let Ok(Job { index, chunk }) = job else { return Ok(()) };
        let compressed = compressor.compress(chunk)?;
        if finished.send((index, compressed)).is_err() {
            // The writer has failed and says why.
            return Ok(());
        }
    }
}

fn digest_of(stream: &Receiver<Arc<Vec<u8>>>) -> String {
    let mut hasher = Sha256::new();
    for chunk in stream {
        hasher.update(chunk.as_slice());
    }
    hasher.name()
}

fn write_in_order(mut output: File, results: &Receiver<(u64, Arc<Vec<u8>>)>, permits: &Receiver<()>) -> Result<(String, u64)> {
    let mut early = BTreeMap::new();
    let (mut next, mut size, mut hasher) = (0, 0, Sha256::new());
    for (index, bytes) in results {
        early.insert(index, bytes);
        while let Some(bytes) = early.remove(&next) {
            output.write_all(&bytes).map_err(|error| Error::io("write(blob)", &error))?;
            hasher.update(bytes.as_slice());
            size += bytes.len() as u64;
            next += 1;
            let _ = permits.recv();
        }
    }
    Ok((hasher.name(), size))
}

enum Compressor {
    None,
    Gzip { normal: libdeflater::Compressor, fast: libdeflater::Compressor },
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    fn new(compression: Compression, level: i32) -> Result<Self> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip { normal: deflate(level)?, fast: deflate(GZIP_FAST.min(level))? },
            Compression::Zstd => Self::Zstd(zstd::bulk::Compressor::new(level).map_err(|error| Error::io("ZSTD_createCCtx()", &error))?),
        })
    }

    fn compress(&mut self, chunk: Arc<Vec<u8>>) -> Result<Arc<Vec<u8>>> {
        Ok(match self {
            Self::None => chunk,
            Self::Gzip { normal, fast } => {
                let compressor = if looks_random(&chunk) { fast } else { normal };
                let mut member = vec![0; compressor.gzip_compress_bound(chunk.len())];
                let length = compressor
                    .gzip_compress(&chunk, &mut member)
                    .map_err(|error| Error::new(Kind::Io, format!("cannot compress: {error}")))?;
                member.truncate(length);
                Arc::new(member)
            }
            Self::Zstd(compressor) => Arc::new(compressor.compress(&chunk).map_err(|error| Error::io("ZSTD_compress2()", &error))?),
        })
    }
}

fn deflate(level: i32) -> Result<libdeflater::Compressor> {
    let level =
        libdeflater::CompressionLvl::new(level).map_err(|_| Error::new(Kind::Request, format!("there is no compression level {level}")))?;
    Ok(libdeflater::Compressor::new(level))
}

/// Whether a chunk is compressed or encrypted already: sampled bytes are spread almost evenly. Part of the format.
fn looks_random(chunk: &[u8]) -> bool {
    const RUNS: usize = 64;
    const RUN: usize = 256;
    if chunk.len() < RUNS * RUN * 4 {
        return false;
    }
    let mut counts = [0u32; 256];
    for run in 0..RUNS {
        let start = run * (chunk.len() / RUNS);
        for byte in &chunk[start..start + RUN] {
            counts[usize::from(*byte)] += 1;
        }
    }
    // The chi-squared statistic of random bytes is 255 ± 23 here; that of text or code is in the thousands.
    let expected = f64::from((RUNS * RUN) as u32) / 256.0;
    let spread: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    spread < 400.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn encode(bytes: &[u8], compression: Compression, threads: usize) -> (Compressed, Vec<u8>) {
        encode_at(bytes, compression, None, threads)
    }

    fn encode_at(bytes: &[u8], compression: Compression, level: Option<i32>, threads: usize) -> (Compressed, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blob");
        let mut encoder = Encoder::new(File::create(&path).unwrap(), compression, level, threads).unwrap();
        // Pieces that do not divide the chunk.
        for piece in bytes.chunks(77_777) {
            encoder.write(piece).unwrap();
        }
        (encoder.finish().unwrap(), std::fs::read(path).unwrap())
    }

    fn decode(blob: &[u8], compression: Compression) -> Vec<u8> {
        let mut plain = Vec::new();
        match compression {
            Compression::None => plain.extend_from_slice(blob),
            Compression::Gzip => {
                flate2::read::MultiGzDecoder::new(blob).read_to_end(&mut plain).unwrap();
            }
            Compression::Zstd => plain = zstd::decode_all(blob).unwrap(),
        }
        plain
    }

    fn sample() -> Vec<u8> {
        let mut state = 1u32;
        (0..9_000_000u32)
            .map(|index| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if index % 3_000_000 < 1_500_000 { (state >> 24) as u8 } else { b"abcdefgh"[(state >> 29) as usize] }
            })
            .collect()
    }

    #[test]
    fn what_is_written_can_be_read_and_does_not_depend_on_threads() {
        let bytes = sample();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (one, blob) = encode(&bytes, compression, 1);
            assert_eq!((one.clone(), blob.clone()), encode(&bytes, compression, 5), "{compression:?}");
            assert_eq!(one.uncompressed_size, bytes.len() as u64);
            assert_eq!(one.size, blob.len() as u64);
            assert_eq!(one.digest, Sha256::of(&blob).name());
            assert_eq!(one.diff_id, Sha256::of(&bytes).name());
            assert!(decode(&blob, compression) == bytes, "{compression:?}");
        }
    }

    #[test]
    fn gzip_members_name_no_time_and_no_system() {
        let (_, blob) = encode(b"x", Compression::Gzip, 1);
        assert_eq!(blob[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn an_empty_stream_is_a_valid_file() {
        let (empty, blob) = encode(b"", Compression::Gzip, 2);
        assert_eq!(empty.diff_id, Sha256::new().name());
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(blob.as_slice()).read_to_end(&mut plain).unwrap();
        assert!(plain.is_empty());
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_a_hang() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut encoder = Encoder::new(full, Compression::None, None, 2).unwrap();
        let outcome = (|| {
            for _ in 0..64 {
                encoder.write(&vec![0; 1 << 20])?;
            }
            encoder.finish().map(|_| ())
        })();
        assert_eq!(outcome.unwrap_err().kind, Kind::NoSpace);
    }

    #[test]
    fn the_least_and_the_highest_levels_are_read_back() {
        let bytes = b"the same words again and again ".repeat(1000);
        for (compression, level) in [(Compression::Gzip, 0), (Compression::Gzip, 9), (Compression::Zstd, 0), (Compression::Zstd, 22)] {
            let (_, blob) = encode_at(&bytes, compression, Some(level), 1);
            assert!(decode(&blob, compression) == bytes, "{compression:?} {level}");
        }
    }

    #[test]
    fn levels_are_checked() {
        let file = || File::options().write(true).open("/dev/null").unwrap();
        for (compression, levels) in [(Compression::Gzip, [-1, 10]), (Compression::Zstd, [-1, 23])] {
            for level in levels {
                assert_eq!(Encoder::new(file(), compression, Some(level), 1).err().unwrap().kind, Kind::Request);
            }
        }
    }
}
