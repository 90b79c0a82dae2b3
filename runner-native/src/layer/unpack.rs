//! Unpacks the layers of an image side by side, the largest first.

use super::blob::{self, Expected, Shared};
use super::extract::{self, Below, Options, Outcome};
use super::ownership::Ownership;
use crate::limit;
use crate::overlay::Stack;
use crate::tar::Reader;
use crate::wire::error::{Error, Kind, Result};
use crate::wire::event::Events;
use crate::wire::protocol::Compression;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, OnceLock};
use std::thread::Scope;
use std::time::Duration;

/// The tree's name in the directory that the host made for it.
const TREE: &str = "fs";
/// Directories that all layers together keep open.
const MAX_OPEN: usize = 2048;

pub struct Layer {
    pub blob: OwnedFd,
    pub compression: Compression,
    pub digest: String,
    pub size: u64,
    pub diff_id: Option<String>,
    /// An empty directory; the tree becomes `fs` in it.
    pub into: OwnedFd,
}

pub struct Job {
    /// Trees below the first layer, top first.
    pub lowers: Vec<OwnedFd>,
    /// Bottom first.
    pub layers: Vec<Layer>,
    pub max_bytes: Option<u64>,
    pub max_entries: Option<u64>,
    /// Give up all rights that the work does not need, for good.
    pub confine: bool,
}

pub struct Unpacked {
    pub diff_id: String,
    pub entries: u64,
    pub bytes: u64,
}

/// How far the layers are.
struct Progress {
    /// Numbers of the layers that nobody has begun, the smallest first.
    queue: Vec<usize>,
    done: Vec<bool>,
    running: usize,
}

struct Work<'a> {
    job: &'a Job,
    expected: Vec<Expected<'a>>,
    trees: Vec<OwnedFd>,
    ownership: Ownership,
    max_open: usize,
    shared: &'a Shared,
    events: &'a Events,
    progress: Mutex<Progress>,
    changed: Condvar,
    results: Mutex<Vec<Option<Result<Unpacked>>>>,
}

/// Unpacks every layer of `job`. After a failure parts of trees remain, for the caller to remove.
///
/// # Errors
/// The failure of the lowest layer that failed.
#[expect(clippy::needless_pass_by_value, reason = "the trees are not for anyone else until the job is done")]
pub fn unpack(job: Job, events: &Events) -> Result<Vec<Unpacked>> {
    if job.layers.len() + job.lowers.len() > limit::LAYERS {
        return Err(Error::new(Kind::TooLarge, format!("an image of more than {} layers cannot be stacked", limit::LAYERS)));
    }
    if job.layers.is_empty() {
        return Ok(Vec::new());
    }
    rustix::process::umask(Mode::empty());
    let trees = job.layers.iter().map(|layer| make_tree(&layer.into)).collect::<Result<Vec<_>>>()?;
    let ownership = Ownership::here(&rustix::fs::fstat(&trees[0]).map_err(|errno| Error::call("fstat(fs)", errno))?)?;
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
        trees,
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
        crate::confine::to_trees(&work.trees, &job.lowers).map_err(|error| error.context("cannot confine the unpacker"))?;
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

    fn layer<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, index: usize) -> Result<Unpacked> {
        let clone = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 5).map_err(|errno| Error::call("fcntl(F_DUPFD_CLOEXEC)", errno));
        let expected = &self.expected[index];
        let below = Lower { work: self, scope, index, stack: OnceLock::new() };
        let options = Options {
            below: &below,
            ownership: &self.ownership,
            max_entries: self.job.max_entries.unwrap_or(limit::LAYER_ENTRIES),
            max_bytes: self.job.max_bytes.unwrap_or(limit::LAYER_BYTES),
            max_open: self.max_open,
        };
        let (source, threads) = blob::open(scope, clone(&self.job.layers[index].blob)?, expected, self.shared)?;
        let mut reader = Reader::new(source);
        let tree = clone(&self.trees[index])?;
        let extracted = extract::extract(&mut reader, tree, &options);
        let (outcome, rest) = match extracted {
            Ok(outcome) => (outcome, reader.into_stream().drain()),
            Err(error) => {
                drop(reader);
                (Outcome::default(), Err(error))
            }
        };
        let diff_id = threads.finish(expected, rest)?;
        for warning in outcome.warnings {
            self.events.warning(format!("layer {}: {warning}", expected.digest));
        }
        Ok(Unpacked { diff_id, entries: outcome.entries, bytes: outcome.bytes })
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

/// The layers below one of the job's.
struct Lower<'scope, 'env, 'a> {
    work: &'scope Work<'a>,
    scope: &'scope Scope<'scope, 'env>,
    index: usize,
    stack: OnceLock<Stack>,
}

impl Below for Lower<'_, '_, '_> {
    fn any(&self) -> bool {
        self.index > 0 || !self.work.job.lowers.is_empty()
    }

    fn stack(&self) -> Result<&Stack> {
        if let Some(stack) = self.stack.get() {
            return Ok(stack);
        }
        let waits = self.work.progress.lock().map_err(|_| poisoned())?.done[..self.index].iter().any(|&done| !done);
        if waits {
            // While this thread waits another one takes its place, so that the layers below are sure to be worked on.
            self.work.employ(self.scope);
            self.work.wait_below(self.index)?;
        }
        let trees = self.work.trees[..self.index].iter().rev().chain(&self.work.job.lowers);
        let layers = trees.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 5).map_err(|errno| Error::call("fcntl(F_DUPFD_CLOEXEC)", errno)));
        let stack = Stack::of(layers.collect::<Result<_>>()?);
        Ok(self.stack.get_or_init(|| stack))
    }
}

/// Makes the directory for a tree, with nothing inherited from where it lies.
fn make_tree(into: &OwnedFd) -> Result<OwnedFd> {
    let failed = |call: &str, errno| Error::call(format!("{call}({TREE:?})"), errno).path(TREE);
    rustix::fs::mkdirat(into, TREE, Mode::from_raw_mode(0o755)).map_err(|errno| failed("mkdirat", errno))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let tree = rustix::fs::openat(into, TREE, flags, Mode::empty()).map_err(|errno| failed("openat", errno))?;
    // The store's directory may be set-group-id or have a default ACL.
    for name in ["system.posix_acl_default", "system.posix_acl_access"] {
        match rustix::fs::fremovexattr(&tree, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed("fremovexattr", errno)),
        }
    }
    rustix::fs::fchmod(tree.as_fd(), Mode::from_raw_mode(0o755)).map_err(|errno| failed("fchmod", errno))?;
    Ok(tree)
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
