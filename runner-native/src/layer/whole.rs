//! A layer in gzip, inflated in memory that is its tar: libdeflate takes half of the time that inflating a stream takes, and
//! nothing is copied from there.
//!
//! This is a short way for layers that are what they should be. Whatever else is the case, the way of streams finds out,
//! and says it.

use super::blob::{Expected, Shared};
use super::index::Positioned;
use crate::error::Result;
use crate::limit;
use crate::sha256::Sha256;
use crate::sys::inflate::{Failure, Inflater};
use crate::sys::map::Map;
use crate::tar::reader::Stream;
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, fallocate, ftruncate};
use std::fs::File;
use std::sync::atomic::Ordering;

/// Larger tars are streams: memory that is full of a file is no longer that of others.
const MOST: u64 = 256 << 20;
/// Of smaller blobs either way is as fast.
const LEAST: u64 = 64 << 10;
/// The tar grows by this much, or by half: members of layers that were made here are smaller.
const STEP: u64 = 4 << 20;

/// Inflates `blob` into `tar`, which is empty. `None`, and `tar` is empty again: it is for the way of streams.
pub fn inflate(blob: &OwnedFd, tar: &File, expected: &Expected<'_>, shared: &Shared) -> Option<Map> {
    let filled = fill(blob, tar, expected);
    if filled.is_some() {
        shared.read.fetch_add(expected.size, Ordering::Relaxed);
    } else {
        forget(tar);
    }
    filled
}

/// Empties a tar that turned out not to be what it should.
pub fn forget(tar: &File) {
    let _ = ftruncate(tar, 0);
}

fn fill(blob: &OwnedFd, tar: &File, expected: &Expected<'_>) -> Option<Map> {
    let diff_id = expected.diff_id?;
    let stat = rustix::fs::fstat(blob).ok()?;
    if stat.st_size as u64 != expected.size || !(LEAST..=MOST).contains(&expected.size) {
        return None;
    }
    let blob = Map::read(blob, expected.size as usize).ok()?;
    let most = expected.max_bytes.unwrap_or(MOST).min(MOST).min(expected.size.saturating_mul(limit::RATIO));
    // The last member says its length, which of most layers is that of all (RFC 1952 §2.3.1).
    let says = u64::from(u32::from_le_bytes(blob[blob.len() - 4..].try_into().ok()?));
    let mut map = Map::write(tar, most as usize).ok()?;
    let (length, digest) = std::thread::scope(|scope| {
        let digest = scope.spawn(|| name(&blob));
        let length = members(&blob, &mut map, tar, says.clamp(STEP.min(most), most));
        Some((length?, digest.join().ok()?))
    })?;
    ftruncate(tar, length as u64).ok()?;
    map.shorten(length);
    (digest == expected.digest && name(&map) == diff_id).then_some(map)
}

/// Inflates all members of `blob`. Gives how long they are.
fn members(blob: &[u8], map: &mut Map, tar: &File, first: u64) -> Option<usize> {
    let mut inflater = Inflater::new()?;
    let mut room = Room { tar, bytes: 0, most: map.len() as u64 };
    room.grow(first)?;
    let (mut read, mut written) = (0, 0);
    while read < blob.len() {
        match inflater.member(&blob[read..], &mut map[written..room.bytes as usize]) {
            Ok((from, into)) => (read, written) = (read + from, written + into),
            Err(Failure::Room) => room.grow(room.bytes + (room.bytes / 2).max(STEP))?,
            Err(Failure::Data) => return None,
        }
    }
    Some(written)
}

/// The part of a mapped tar that has its place on the disk: a full one is an error, and not a page that cannot be written.
struct Room<'a> {
    tar: &'a File,
    bytes: u64,
    most: u64,
}

impl Room<'_> {
    fn grow(&mut self, to: u64) -> Option<()> {
        let to = to.min(self.most);
        let more = to.checked_sub(self.bytes).filter(|&more| more > 0)?;
        fallocate(self.tar, FallocateFlags::empty(), self.bytes, more).ok()?;
        self.bytes = to;
        Some(())
    }
}

fn name(bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(bytes);
    hasher.name()
}

/// Bytes that are all there, as a [`Stream`].
pub struct Bytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Stream for Bytes<'_> {
    fn fill(&mut self) -> Result<&[u8]> {
        Ok(&self.bytes[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Positioned for Bytes<'_> {
    fn position(&self) -> u64 {
        self.at as u64
    }
}
