//! Digests of what a selection chooses: the content part of a cache key.

use crate::compress::threads;
use crate::error::{Error, Kind, Result};
use crate::layer::source::{Opener, Xattrs, read_full, xattrs};
use crate::layer::stat_cache::{FileDigest, StatCache};
use crate::select::{Chosen, Match, Node};
use crate::sha256::{Sha256, hex};
use crate::wire::tree::Field;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, OFlags};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A selection's listing: what `--explain` compares, and what its digest is made of.
///
/// One line an entry, sorted by path, component by component: path, type (`f d l c b p`), mode, owner (`-` where the
/// copy overrides it), and a value: content digest, link target, or device number; then, if there are any, the digest
/// of the extended attributes. Spaces and other odd bytes are written `\xNN`. Times, and which files are hard links
/// of each other, do not count.
#[derive(Debug)]
pub struct Listing {
    pub text: Vec<u8>,
    pub entries: u64,
    pub bytes: u64,
}

impl Listing {
    pub fn digest(&self) -> [u8; 32] {
        Sha256::of(&self.text).finish()
    }
}

/// How many nodes a thread takes at a time.
const BLOCK: usize = 256;
/// Fewer than this are done before a thread has started.
const WORTH_THREADS: usize = 64;
const BUFFER: usize = 256 << 10;

/// Digests what was chosen. Unchanged files are looked up in `cache`, others are read, and remembered there.
pub fn list(chosen: &Chosen, without: &[Field], mut cache: Option<&mut StatCache>) -> Result<Listing> {
    let mut lines = Vec::new();
    let (mut entries, mut bytes) = (0, 0);
    for found in &chosen.matches {
        let (text, learnt) = list_match(chosen, found, without, cache.as_deref())?;
        entries += found.nodes.len() as u64;
        bytes += found.nodes.iter().filter(|node| node.kind == FileType::RegularFile).map(|node| node.size).sum::<u64>();
        if let Some(cache) = cache.as_deref_mut() {
            for (index, digest, now) in learnt {
                cache.remember(&found.nodes[index], &digest, now);
            }
        }
        lines.push(text);
    }
    Ok(Listing { text: sorted(lines), entries, bytes })
}

type Learnt = Vec<(usize, FileDigest, i64)>;

fn list_match(chosen: &Chosen, found: &Match, without: &[Field], cache: Option<&StatCache>) -> Result<(Vec<u8>, Learnt)> {
    let blocks = found.nodes.len().div_ceil(BLOCK);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Vec<u8>, Learnt)>> = Mutex::default();
    let work = || -> Result<()> {
        let mut lister = Lister { opener: Opener::new(&chosen.stack), found, without, cache, buffer: Vec::new() };
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                return Ok(());
            }
            let (mut text, mut learnt) = (Vec::with_capacity(BLOCK * 128), Vec::new());
            let range = block * BLOCK..found.nodes.len().min((block + 1) * BLOCK);
            for index in range {
                if let Err(error) = lister.line(index, &mut text, &mut learnt) {
                    next.store(blocks, Ordering::Relaxed);
                    return Err(error);
                }
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((block, text, learnt));
        }
    };
    in_threads(if found.nodes.len() < WORTH_THREADS { 1 } else { threads() }, &work)?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(block, _, _)| *block);
    let mut all = (Vec::new(), Vec::new());
    for (_, text, learnt) in done {
        all.0.extend(text);
        all.1.extend(learnt);
    }
    Ok(all)
}

/// Does the same on several threads; the first failure counts.
pub fn in_threads(count: usize, work: &(impl Fn() -> Result<()> + Sync)) -> Result<()> {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..count).map(|_| scope.spawn(work)).collect();
        let mut outcome = work();
        for other in others {
            let joined = other.join().unwrap_or_else(|_| Err(Error::new(Kind::Io, "a thread has ended early")));
            outcome = outcome.and(joined);
        }
        outcome
    })
}

struct Lister<'a> {
    opener: Opener<'a>,
    found: &'a Match,
    without: &'a [Field],
    cache: Option<&'a StatCache>,
    buffer: Vec<u8>,
}

impl Lister<'_> {
    fn line(&mut self, index: usize, text: &mut Vec<u8>, learnt: &mut Learnt) -> Result<()> {
        let node = &self.found.nodes[index];
        let (mut target, mut digest) = (Vec::new(), None);
        let mut attributes = [0; 32];
        match node.kind {
            FileType::RegularFile => {
                let known = self.cache.and_then(|cache| cache.lookup(node));
                let of = match known {
                    Some(of) => of,
                    None => self.read(index, learnt)?,
                };
                digest = Some(of.content);
                attributes = of.xattrs;
            }
            FileType::Directory => {
                let directory = self.opener.open(node.layer, &node.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
                attributes = xattrs_digest(&xattrs(&directory)?);
            }
            FileType::Symlink => target = self.opener.read_link(node.layer, &node.path)?,
            _ => {}
        }
        let mut path = self.found.listed.clone();
        let relative = self.found.relative(node);
        if !path.is_empty() && !relative.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(relative);
        let entry = Line {
            path: if path.is_empty() { b"." } else { &path },
            kind: node.kind,
            mode: (!self.without.contains(&Field::Mode)).then_some(node.mode),
            owner: (!self.without.contains(&Field::Owner)).then_some((node.uid, node.gid)),
            content: digest.as_ref(),
            target: &target,
            rdev: node.rdev,
            xattrs: &attributes,
        };
        entry.write(text);
        Ok(())
    }

    fn read(&mut self, index: usize, learnt: &mut Learnt) -> Result<FileDigest> {
        let node = &self.found.nodes[index];
        let file = self.opener.open(node.layer, &node.path, OFlags::RDONLY)?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
        let (content, size) = hash(&file, &mut self.buffer, &node.path)?;
        let digest = FileDigest { content, xattrs: xattrs_digest(&xattrs(&file)?) };
        if self.cache.is_some() && size == node.size && is_still(&file, node) {
            learnt.push((index, digest, now));
        }
        Ok(digest)
    }
}

fn hash(file: &OwnedFd, buffer: &mut [u8], path: &[u8]) -> Result<([u8; 32], u64)> {
    let (mut hasher, mut size) = (Sha256::new(), 0);
    loop {
        let count = read_full(file, buffer, path)?;
        hasher.update(&buffer[..count]);
        size += count as u64;
        if count < buffer.len() {
            return Ok((hasher.finish(), size));
        }
    }
}

fn is_still(file: impl AsFd, node: &Node) -> bool {
    let times = |node: &Node| (node.mtime, node.mtime_nanoseconds, node.ctime, node.ctime_nanoseconds);
    rustix::fs::fstat(file).is_ok_and(|stat| {
        let now = Node::new(Path::new(""), 0, &stat);
        (now.ino, now.size) == (node.ino, node.size) && times(&now) == times(node)
    })
}

/// Zeros if there are none.
pub fn xattrs_digest(xattrs: &Xattrs) -> [u8; 32] {
    if xattrs.is_empty() {
        return [0; 32];
    }
    let mut hasher = Sha256::new();
    for (name, value) in xattrs {
        for part in [name, value] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    hasher.finish()
}

/// One line of a listing.
pub struct Line<'a> {
    pub path: &'a [u8],
    pub kind: FileType,
    pub mode: Option<u32>,
    pub owner: Option<(u32, u32)>,
    pub content: Option<&'a [u8; 32]>,
    pub target: &'a [u8],
    pub rdev: u64,
    pub xattrs: &'a [u8; 32],
}

impl Line<'_> {
    pub fn write(&self, text: &mut Vec<u8>) {
        escape(self.path, text);
        let kind = match self.kind {
            FileType::RegularFile => 'f',
            FileType::Directory => 'd',
            FileType::Symlink => 'l',
            FileType::CharacterDevice => 'c',
            FileType::BlockDevice => 'b',
            FileType::Fifo => 'p',
            _ => '?',
        };
        // Writing to a vector cannot fail.
        let _ = match (self.kind, self.mode) {
            // A link has no mode of its own.
            (FileType::Symlink, _) | (_, None) => write!(text, " {kind} - "),
            (_, Some(mode)) => write!(text, " {kind} {mode:04o} "),
        };
        let _ = match self.owner {
            Some((uid, gid)) => write!(text, "{uid}:{gid} "),
            None => write!(text, "- "),
        };
        match self.kind {
            FileType::Symlink => escape(self.target, text),
            FileType::CharacterDevice | FileType::BlockDevice => {
                let _ = write!(text, "{}:{}", rustix::fs::major(self.rdev), rustix::fs::minor(self.rdev));
            }
            _ => match self.content {
                Some(content) => text.extend_from_slice(hex(content).as_bytes()),
                None => text.push(b'-'),
            },
        }
        if *self.xattrs != [0; 32] {
            text.push(b' ');
            text.extend_from_slice(hex(self.xattrs).as_bytes());
        }
        text.push(b'\n');
    }
}

fn escape(bytes: &[u8], text: &mut Vec<u8>) {
    // Almost every name is taken as it is.
    if bytes.iter().all(|byte| matches!(byte, b'!'..=b'[' | b']'..=b'~')) {
        text.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\0'..=' ' | '\x7f' | '\\' => {
                    let _ = write!(text, "\\x{:02x}", character as u32);
                }
                _ => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
}

/// Puts the lines of several matches in one order; what two sources name alike is there once.
fn sorted(mut texts: Vec<Vec<u8>>) -> Vec<u8> {
    if texts.len() <= 1 {
        return texts.pop().unwrap_or_default();
    }
    let mut lines: Vec<&[u8]> = texts.iter().flat_map(|text| text.split_inclusive(|byte| *byte == b'\n')).collect();
    let in_order = |a: &&[u8], b: &&[u8]| walk_key(a).cmp(walk_key(b)).then_with(|| a.cmp(b));
    if !lines.is_sorted_by(|a, b| in_order(a, b).is_le()) {
        lines.sort_unstable_by(in_order);
    }
    lines.dedup();
    lines.concat()
}

/// A path as a walk orders it: the separator before every other byte.
fn walk_key(line: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let path = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    // `.` is the root of the tree, and comes before what it holds.
    let path = if path == b"." { &[] } else { path };
    path.iter().map(|byte| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 })
}
