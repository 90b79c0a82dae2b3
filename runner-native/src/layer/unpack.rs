//! Unpacks the layers of an image side by side, the largest first; or writes their tars and indexes of them.

mod lower;

use self::lower::Lower;
use super::blob::{self, Expected, Shared, Source, Threads};
use super::extract;
use super::index;
use super::member::{Bounds, Outcome};
use super::ownership::Ownership;
use super::whole;
use crate::erofs::{self, Table};
use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::tar::Reader;
use crate::tree;
use crate::wire::event::Events;
use crate::wire::layer::{Compression, TreeForm, UnpackedContent, UnpackedLayer};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Scope;
use std::time::Duration;

/// Directories that all layers together keep open.
const MAX_OPEN: usize = 2048;

pub struct Layer {
    pub blob: OwnedFd,
    pub compression: Compression,
    pub digest: String,
    pub size: u64,
    pub diff_id: Option<String>,
    /// An empty directory, in which the layer is made: see [`crate::tree`].
    pub into: OwnedFd,
}

pub struct Job {
    pub form: TreeForm,
    /// Trees below the first layer, top first.
    pub lowers: Vec<OwnedFd>,
    /// Bottom first.
    pub layers: Vec<Layer>,
    pub max_bytes: Option<u64>,
    pub max_entries: Option<u64>,
    /// Give up all rights that the work does not need, for good.
    pub confine: bool,
}

/// How far the layers are.
struct Progress {
    /// Numbers of the layers that nobody has begun, the smallest first.
    queue: Vec<usize>,
    done: Vec<bool>,
    running: usize,
}

/// A layer's table, and what it is called uncompressed.
type Indexed = (Table, Outcome, String);

/// Where a layer is made.
enum Place {
    /// The tree's root.
    Tree(OwnedFd),
    Index {
        tar: File,
        /// The blob is the tar: nothing is written.
        is_blob: bool,
    },
}

struct Work<'a> {
    job: &'a Job,
    expected: Vec<Expected<'a>>,
    places: Vec<Place>,
    /// Of the layers that are done, where they were indexed.
    tables: Mutex<Vec<Option<Arc<Table>>>>,
    ownership: Ownership,
    max_open: usize,
    shared: &'a Shared,
    events: &'a Events,
    progress: Mutex<Progress>,
    changed: Condvar,
    results: Mutex<Vec<Option<Result<UnpackedLayer>>>>,
}

/// Unpacks every layer of `job`. After a failure parts of trees remain, for the caller to remove.
///
/// # Errors
/// The failure of the lowest layer that failed.
#[expect(clippy::needless_pass_by_value, reason = "the trees are not for anyone else until the job is done")]
pub fn unpack(job: Job, events: &Events) -> Result<Vec<UnpackedLayer>> {
    if job.layers.len() + job.lowers.len() > limit::LAYERS {
        return Err(Error::new(Kind::TooLarge, format!("an image of more than {} layers cannot be stacked", limit::LAYERS)));
    }
    if job.layers.is_empty() {
        return Ok(Vec::new());
    }
    rustix::process::umask(Mode::empty());
    let places = job.layers.iter().map(|layer| Place::make(layer, job.form)).collect::<Result<Vec<_>>>()?;
    let ownership = Ownership::here(&places[0].stat()?)?;
    if ownership.squashes() {
        events.warning("every file belongs to you alone: no subordinate ids are set up in /etc/subuid and /etc/subgid");
    }
    let open = raise_open_files().saturating_sub(64 + 4 * job.layers.len() + 2 * job.lowers.len()) / 2;
    let shared = Shared::default();
    let mut queue: Vec<usize> = (0..job.layers.len()).collect();
    queue.sort_by_key(|&index| job.layers[index].size);
    let count = job.layers.len();
    let expected = job.layers.iter().map(|layer| Expected {
        digest: &layer.digest,
        size: layer.size,
        diff_id: layer.diff_id.as_deref(),
        compression: layer.compression,
        max_bytes: job.max_bytes,
    });
    let work = Work {
        expected: expected.collect(),
        places,
        tables: Mutex::new(vec![None; count]),
        ownership,
        max_open: (open.min(MAX_OPEN) / count).max(16),
        shared: &shared,
        events,
        progress: Mutex::new(Progress { queue, done: vec![false; count], running: 0 }),
        changed: Condvar::new(),
        results: Mutex::new((0..count).map(|_| None).collect()),
        job: &job,
    };
    let total = job.layers.iter().map(|layer| layer.size).sum();
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(count);
    // Decided here, since a confined process cannot look at /proc.
    let _ = crate::overlay::Flavour::here();
    if job.confine {
        let filled: Vec<_> = job.layers.iter().zip(&work.places).map(|(layer, place)| place.filled(layer)).collect();
        crate::confine::to_trees(&filled, &job.lowers).map_err(|error| error.context("cannot confine the unpacker"))?;
    }
    std::thread::scope(|scope| {
        for _ in 0..workers {
            work.employ(scope);
        }
        work.watch(total);
    });
    let results = work.results.into_inner().map_err(|_| poisoned())?;
    let (mut unpacked, mut failure) = (Vec::new(), None);
    for (layer, result) in job.layers.iter().zip(results) {
        match result {
            Some(Ok(layer)) => unpacked.push(layer),
            // A layer that only gave up because of another explains nothing.
            Some(Err(error)) if failure.is_none() && error.kind != Kind::Cancelled => {
                failure = Some(error.context(format!("cannot unpack layer {}", layer.digest)));
            }
            _ => {}
        }
    }
    match failure {
        Some(error) => Err(error),
        None if unpacked.len() == count => Ok(unpacked),
        None => Err(Error::new(Kind::Io, "a layer was not unpacked")),
    }
}

impl Work<'_> {
    /// Starts a thread that unpacks layers as long as there are any.
    fn employ<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        if let Ok(mut progress) = self.progress.lock() {
            progress.running += 1;
        }
        let worker = move || {
            while let Some(index) = self.next() {
                let result = self.layer(scope, index);
                let failed = result.is_err();
                if let Ok(mut results) = self.results.lock() {
                    results[index] = Some(result);
                }
                if failed {
                    self.shared.cancelled.store(true, Ordering::Relaxed);
                } else if let Ok(mut progress) = self.progress.lock() {
                    progress.done[index] = true;
                }
                self.changed.notify_all();
            }
            if let Ok(mut progress) = self.progress.lock() {
                progress.running -= 1;
            }
            self.changed.notify_all();
        };
        if std::thread::Builder::new().name("unpack".into()).spawn_scoped(scope, worker).is_err() {
            self.shared.cancelled.store(true, Ordering::Relaxed);
            if let Ok(mut progress) = self.progress.lock() {
                progress.running -= 1;
            }
        }
    }

    fn next(&self) -> Option<usize> {
        if self.shared.cancelled.load(Ordering::Relaxed) {
            return None;
        }
        self.progress.lock().ok()?.queue.pop()
    }

    /// Reports progress until all workers have ended.
    fn watch(&self, total: u64) {
        let mut told = 0;
        while let Ok(progress) = self.progress.lock() {
            if progress.running == 0 {
                return;
            }
            if self.changed.wait_timeout(progress, Duration::from_millis(100)).is_err() {
                return;
            }
            let read = self.shared.read.load(Ordering::Relaxed);
            if read != told {
                told = read;
                self.events.progress(read, Some(total));
            }
        }
    }

    fn layer<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, index: usize) -> Result<UnpackedLayer> {
        match &self.places[index] {
            Place::Tree(tree) => self.extract(scope, index, tree),
            Place::Index { tar, is_blob } => match self.index(scope, index, (tar, *is_blob)) {
                // What cannot be said in an index is for the host to have unpacked, when all below it is there.
                Err(error) if error.kind == Kind::Unsupported => {
                    tree::remove_tar(&self.job.layers[index].into)?;
                    Ok(UnpackedLayer::None { why: error.to_string() })
                }
                other => other,
            },
        }
    }

    fn extract<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, index: usize, tree: &OwnedFd) -> Result<UnpackedLayer> {
        let expected = &self.expected[index];
        let below = Lower::of(self, scope, index);
        let options = extract::Options { below: &below, ownership: &self.ownership, bounds: self.bounds(), max_open: self.max_open };
        let (source, threads) = blob::open(scope, clone(&self.job.layers[index].blob)?, None, expected, self.shared)?;
        let mut reader = Reader::new(source);
        let extracted = extract::extract(&mut reader, clone(tree)?, &options);
        let (outcome, diff_id) = self.finish(reader, threads, index, extracted)?;
        self.warn(index, &outcome);
        Ok(UnpackedLayer::Tree(UnpackedContent { diff_id, entries: outcome.entries, bytes: outcome.bytes }))
    }

    fn index<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, index: usize, (tar, is_blob): (&File, bool)) -> Result<UnpackedLayer> {
        let layer = &self.job.layers[index];
        let below = Lower::of(self, scope, index);
        let options = index::Options { below: &below, ownership: &self.ownership, bounds: self.bounds(), root: None };
        let short = if is_blob { None } else { self.index_whole(index, tar, &options) };
        let (table, outcome, diff_id) = match short {
            Some(made) => made,
            None => self.index_stream(scope, index, (!is_blob).then_some(tar), &options)?,
        };
        self.warn(index, &outcome);
        let bytes = tar.metadata().map_err(|error| Error::io("fstat(tar)", &error))?.len();
        let hex = diff_id.strip_prefix("sha256:").unwrap_or(&diff_id);
        // What the blob has already takes no second place.
        let own = if is_blob { 0 } else { bytes };
        let index_bytes = tree::create_index(&layer.into, &table, erofs::Tar { bytes, hex })?;
        if let Ok(mut tables) = self.tables.lock() {
            tables[index] = Some(Arc::new(table));
        }
        Ok(UnpackedLayer::Index(UnpackedContent { diff_id, entries: outcome.entries, bytes: own + index_bytes }))
    }

    /// `None`: for the way of streams, which finds out why.
    fn index_whole(&self, index: usize, tar: &File, options: &index::Options<'_>) -> Option<Indexed> {
        let expected = &self.expected[index];
        let map = whole::inflate(&self.job.layers[index].blob, tar, expected, self.shared)?;
        let Ok((table, outcome)) = index::index(&mut Reader::new(whole::Bytes::new(&map)), options) else {
            whole::forget(tar);
            return None;
        };
        Some((table, outcome, expected.diff_id?.to_owned()))
    }

    fn index_stream<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        index: usize,
        tar: Option<&File>,
        options: &index::Options<'_>,
    ) -> Result<Indexed> {
        let written = tar.map(File::try_clone).transpose().map_err(|error| Error::io("fcntl(F_DUPFD_CLOEXEC)", &error))?;
        let blob = clone(&self.job.layers[index].blob)?;
        let (source, threads) = blob::open(scope, blob, written, &self.expected[index], self.shared)?;
        let mut reader = Reader::new(source);
        let (table, indexed) = match index::index(&mut reader, options) {
            Ok((table, outcome)) => (Some(table), Ok(outcome)),
            Err(error) => (None, Err(error)),
        };
        let (outcome, diff_id) = self.finish(reader, threads, index, indexed)?;
        let table = table.ok_or_else(|| Error::new(Kind::Io, "a layer was not indexed"))?;
        Ok((table, outcome, diff_id))
    }

    /// Reads what is left of a layer, and judges it and what was made of it.
    fn finish(&self, reader: Reader<Source<'_>>, threads: Threads<'_>, index: usize, made: Result<Outcome>) -> Result<(Outcome, String)> {
        let expected = &self.expected[index];
        let (outcome, rest) = match made {
            Ok(outcome) => (outcome, reader.into_stream().drain()),
            Err(error) => {
                drop(reader);
                (Outcome::default(), Err(error))
            }
        };
        let diff_id = threads.finish(expected, rest)?;
        Ok((outcome, diff_id))
    }

    fn warn(&self, index: usize, outcome: &Outcome) {
        for warning in &outcome.warnings {
            self.events.warning(format!("layer {}: {warning}", self.expected[index].digest));
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds { entries: self.job.max_entries.unwrap_or(limit::LAYER_ENTRIES), bytes: self.job.max_bytes.unwrap_or(limit::LAYER_BYTES) }
    }

    /// Waits until every layer below `index` is whole.
    fn wait_below(&self, index: usize) -> Result<()> {
        let mut progress = self.progress.lock().map_err(|_| poisoned())?;
        while !progress.done[..index].iter().all(|&done| done) {
            if self.shared.cancelled.load(Ordering::Relaxed) {
                return Err(Error::new(Kind::Cancelled, "another layer failed"));
            }
            progress = self.changed.wait_timeout(progress, Duration::from_secs(1)).map_err(|_| poisoned())?.0;
        }
        Ok(())
    }
}

impl Place {
    fn make(layer: &Layer, form: TreeForm) -> Result<Self> {
        if form == TreeForm::Tree {
            return tree::create_tree(&layer.into).map(Self::Tree);
        }
        // A blob on another file system, or with as many names as there can be, is copied.
        if blob::is_tar(&layer.blob, layer.compression) && tree::link_tar(&layer.into, &layer.blob).is_ok() {
            return Ok(Self::Index { tar: File::from(clone(&layer.blob)?), is_blob: true });
        }
        tree::create_tar(&layer.into).map(|tar| Self::Index { tar, is_blob: false })
    }

    fn stat(&self) -> Result<rustix::fs::Stat> {
        match self {
            Self::Tree(tree) => rustix::fs::fstat(tree),
            Self::Index { tar, .. } => rustix::fs::fstat(tar),
        }
        .map_err(|errno| Error::call("fstat(fs)", errno))
    }

    /// The directory in which files are made.
    fn filled<'a>(&'a self, layer: &'a Layer) -> &'a OwnedFd {
        match self {
            Self::Tree(tree) => tree,
            Self::Index { .. } => &layer.into,
        }
    }
}

fn clone(fd: &OwnedFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 5).map_err(|errno| Error::call("fcntl(F_DUPFD_CLOEXEC)", errno))
}

/// Raises the bound of open files as far as allowed; gives what it is then.
fn raise_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(1 << 16).min(1 << 16);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.map_or(1 << 16, |current| current as usize)
}

fn poisoned() -> Error {
    Error::new(Kind::Io, "a thread ended unexpectedly")
}
