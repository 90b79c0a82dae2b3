//! File digests remembered by (device, inode, ctime, mtime, size).
//!
//! One file a tree, of records of a fixed size, sorted by device and inode: it is read in one go and searched as it
//! is. A digest is only remembered if the file had rested for [`RACY_SECONDS`] when it was read: a later write within
//! the same tick of the clock would not change its times (git calls such entries racily clean).

use crate::error::{Error, Result};
use crate::select::Node;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat, renameat};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};

const RACY_SECONDS: i64 = 2;
const MAGIC: &[u8; 16] = b"stave-digests-1\n";
const KEY: usize = 16;
const STAMP: usize = 32;
const RECORD: usize = KEY + STAMP + 32 + 32;
/// More records than this are not kept.
const MOST_RECORDS: usize = 2_000_000;
/// More trees than this are not kept.
const MOST_TREES: usize = 64;

/// Of a file's content, and of its extended attributes (zeros: it has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileDigest {
    pub content: [u8; 32],
    pub xattrs: [u8; 32],
}

pub struct StatCache {
    directory: OwnedFd,
    name: String,
    old: Vec<u8>,
    new: HashMap<[u8; KEY], [u8; RECORD - KEY]>,
}

impl StatCache {
    /// Reads what is known about the tree at `root`. A file that is missing or damaged is an empty one.
    pub fn open(directory: OwnedFd, root: BorrowedFd<'_>) -> Result<Self> {
        let stat = rustix::fs::fstat(root).map_err(|errno| Error::call("fstat(root)", errno))?;
        let name = format!("{:x}-{:x}", stat.st_dev, stat.st_ino);
        let mut old = Vec::new();
        if let Ok(file) = openat(&directory, name.as_str(), OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            let mut file = File::from(file);
            let mut magic = [0; MAGIC.len()];
            let is_whole = file.read_exact(&mut magic).is_ok() && magic == *MAGIC && file.read_to_end(&mut old).is_ok();
            if !is_whole || old.len() % RECORD != 0 {
                old.clear();
            }
        }
        Ok(Self { directory, name, old, new: HashMap::new() })
    }

    pub fn lookup(&self, node: &Node) -> Option<FileDigest> {
        let (key, stamp) = (key(node), stamp(node));
        if let Some(value) = self.new.get(&key) {
            return found(value, &stamp);
        }
        let count = self.old.len() / RECORD;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = usize::midpoint(low, high);
            let record = &self.old[middle * RECORD..][..RECORD];
            match record[..KEY].cmp(&key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return found(&record[KEY..], &stamp),
            }
        }
        None
    }

    /// Remembers a digest that was made at `now` or later, unless the file had been changed just before.
    pub fn remember(&mut self, node: &Node, digest: &FileDigest, now: i64) {
        if node.ctime.max(node.mtime) > now - RACY_SECONDS {
            return;
        }
        let mut value = [0; RECORD - KEY];
        value[..STAMP].copy_from_slice(&stamp(node));
        value[STAMP..STAMP + 32].copy_from_slice(&digest.content);
        value[STAMP + 32..].copy_from_slice(&digest.xattrs);
        self.new.insert(key(node), value);
    }

    /// Writes what was learnt, if anything was. What cannot be written is not remembered: no error.
    pub fn save(self) {
        if !self.new.is_empty() {
            let _ = self.write();
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut fresh: Vec<_> = self.new.iter().collect();
        fresh.sort_unstable();
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.old.len() + fresh.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        let old: &[u8] = if self.old.len() / RECORD + fresh.len() > MOST_RECORDS { &[] } else { &self.old };
        let mut old = old.chunks_exact(RECORD).peekable();
        for (key, value) in fresh {
            while let Some(record) = old.next_if(|record| record[..KEY] < key[..]) {
                bytes.extend_from_slice(record);
            }
            old.next_if(|record| record[..KEY] == key[..]);
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        old.for_each(|record| bytes.extend_from_slice(record));
        let temporary = format!("{}.{}", self.name, std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.directory, temporary.as_str(), flags, Mode::from_raw_mode(0o600))?);
        file.write_all(&bytes)?;
        renameat(&self.directory, temporary.as_str(), &self.directory, self.name.as_str())?;
        self.forget_trees();
        Ok(())
    }

    /// Keeps the trees that were written to last.
    fn forget_trees(&self) {
        let Ok(list) = rustix::fs::Dir::read_from(self.directory.as_fd()) else { return };
        let mut files: Vec<_> = list
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().to_owned();
                let stat = rustix::fs::statat(&self.directory, &name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
                (rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile).then_some((stat.st_mtime, name))
            })
            .collect();
        if files.len() > MOST_TREES {
            files.sort();
            for (_, name) in &files[..files.len() - MOST_TREES] {
                let _ = rustix::fs::unlinkat(&self.directory, name, rustix::fs::AtFlags::empty());
            }
        }
    }
}

fn key(node: &Node) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..8].copy_from_slice(&node.dev.to_be_bytes());
    key[8..].copy_from_slice(&node.ino.to_be_bytes());
    key
}

fn stamp(node: &Node) -> [u8; STAMP] {
    let mut stamp = [0; STAMP];
    stamp[..8].copy_from_slice(&node.ctime.to_be_bytes());
    stamp[8..16].copy_from_slice(&node.mtime.to_be_bytes());
    stamp[16..24].copy_from_slice(&node.size.to_be_bytes());
    stamp[24..28].copy_from_slice(&node.ctime_nanoseconds.to_be_bytes());
    stamp[28..].copy_from_slice(&node.mtime_nanoseconds.to_be_bytes());
    stamp
}

fn found(value: &[u8], stamp: &[u8; STAMP]) -> Option<FileDigest> {
    let (is, digests) = value.split_at_checked(STAMP)?;
    let (content, xattrs) = digests.split_at_checked(32)?;
    (is == stamp).then_some(FileDigest { content: content.try_into().ok()?, xattrs: xattrs.try_into().ok()? })
}
