//! Where everything lies: inodes one after another behind the superblock, then the blocks of directories and links that
//! do not fit behind their inodes.

use super::table::{Body, Data, Extent, Id, Inode, ROOT, Table};
use super::{BLOCK, META_START, SLOT};
use crate::error::{Error, Kind, Result};
use crate::tar::Time;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// A file of more chunks than this would make its inode larger than its content is worth.
const MOST_CHUNKS: u64 = 1 << 16;
/// The bits of a chunk's size, in blocks, have a field of five bits.
const MOST_CHUNK_BITS: u32 = 31;
/// Blocks are numbered by 32 bits, and the last number means a hole.
const MOST_BLOCKS: u64 = u32::MAX as u64;

/// Every inode that can be reached, with its place.
pub struct Layout {
    /// In the order in which they lie: a directory before what it holds.
    pub order: Vec<Id>,
    /// By [`Id`]; [`Placed::NOWHERE`] for what was replaced.
    pub placed: Vec<Placed>,
    /// The time that the superblock says, and compact inodes have.
    pub epoch: Time,
    /// Of the whole image.
    pub blocks: u64,
}

/// Where one inode lies.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Position in slots of 32 bytes.
    pub slot: u32,
    /// First of its own blocks, if it has any.
    pub block: u32,
    pub links: u32,
    pub parent: Id,
    pub is_compact: bool,
    /// Its last block lies behind the inode instead of among the others.
    pub is_inline: bool,
}

impl Placed {
    pub const NOWHERE: Self = Self { slot: 0, block: 0, links: 0, parent: ROOT, is_compact: false, is_inline: false };

    pub fn base(&self) -> u64 {
        if self.is_compact { 32 } else { 64 }
    }
}

impl Layout {
    /// # Errors
    /// `Kind::Unsupported` for what the format cannot say without a copy of the content.
    pub fn new(table: &Table, tar_bytes: u64) -> Result<Self> {
        if tar_bytes / BLOCK >= MOST_BLOCKS {
            return Err(inexpressible("the layer is larger than 2 TiB"));
        }
        // The kernel reads whole blocks, and none that ends behind the file.
        if tar_bytes % BLOCK != 0 {
            return Err(inexpressible("the layer does not end with a block"));
        }
        let mut placed = vec![Placed::NOWHERE; table.len()];
        let order = walk(table, &mut placed);
        let epoch = commonest_time(table, &order);
        let mut at = META_START;
        for &id in &order {
            let inode = table.get(id);
            if matches!(inode.body, Body::Device { major, minor, .. } if major >= 1 << 12 || minor >= 1 << 20) {
                return Err(inexpressible("a device has numbers that no kernel knows"));
            }
            let place = &mut placed[id as usize];
            place.is_compact = fits_compact(inode, place.links, epoch);
            let (fixed, tail) = (place.base() + xattr_bytes(inode)?, tail_bytes(inode));
            place.is_inline = tail > 0 && fixed + tail <= BLOCK;
            // Neither an inode nor what is inlined behind it may lie across two blocks.
            let together = if place.is_inline { fixed + tail } else { place.base() };
            if at % BLOCK + together > BLOCK {
                at = at.next_multiple_of(BLOCK);
            }
            place.slot = u32::try_from(at / SLOT).map_err(|_| inexpressible("the layer has too many entries"))?;
            at += fixed;
            if place.is_inline {
                at += tail;
            } else if let Some(chunks) = Chunks::of(inode)? {
                at = at.next_multiple_of(8) + 8 * chunks.count;
            }
            at = at.next_multiple_of(SLOT);
        }
        let mut block = at.div_ceil(BLOCK);
        for &id in &order {
            let place = &mut placed[id as usize];
            let own = content_bytes(table.get(id)).div_ceil(BLOCK) - u64::from(place.is_inline);
            if own > 0 {
                place.block = u32::try_from(block).map_err(|_| inexpressible("the layer has too many entries"))?;
                block += own;
            }
        }
        Ok(Self { order, placed, epoch, blocks: block })
    }
}

/// Visits every inode once, directories before what they hold; counts links and notes parents.
fn walk(table: &Table, placed: &mut [Placed]) -> Vec<Id> {
    let mut order = Vec::with_capacity(table.len());
    let mut todo = vec![ROOT];
    placed[ROOT as usize].links = 2;
    while let Some(id) = todo.pop() {
        order.push(id);
        let Body::Directory(children) = &table.get(id).body else { continue };
        for &child in children.values().rev() {
            let place = &mut placed[child as usize];
            if place.links == 0 {
                todo.push(child);
                place.parent = id;
            }
            if matches!(table.get(child).body, Body::Directory(_)) {
                place.links = 2;
                placed[id as usize].links += 1;
            } else {
                place.links += 1;
            }
        }
    }
    order
}

/// The time that most inodes have, of several the earliest: it need not be said of each of them.
fn commonest_time(table: &Table, order: &[Id]) -> Time {
    let mut counts: HashMap<Time, u32> = HashMap::new();
    for &id in order {
        *counts.entry(table.get(id).mtime).or_default() += 1;
    }
    counts.into_iter().max_by(|one, other| one.1.cmp(&other.1).then(other.0.cmp(&one.0))).map(|(time, _)| time).unwrap_or_default()
}

fn fits_compact(inode: &Inode, links: u32, epoch: Time) -> bool {
    let small = |value: u32| u16::try_from(value).is_ok();
    small(inode.uid) && small(inode.gid) && small(links) && u32::try_from(size(inode)).is_ok() && inode.mtime == epoch
}

/// What stat says.
pub fn size(inode: &Inode) -> u64 {
    match &inode.body {
        Body::File { size, .. } => *size,
        _ => content_bytes(inode),
    }
}

/// Bytes that the image itself holds for an inode.
fn content_bytes(inode: &Inode) -> u64 {
    match &inode.body {
        Body::Directory(children) => directory_bytes(children),
        Body::Symlink(target) => target.len() as u64,
        _ => 0,
    }
}

/// Of these what may be inlined: the last block of a directory, or the whole target of a link.
fn tail_bytes(inode: &Inode) -> u64 {
    match (&inode.body, content_bytes(inode)) {
        (Body::Directory(_), bytes) => (bytes - 1) % BLOCK + 1,
        (_, bytes) => bytes,
    }
}

/// An entry without its name.
pub const DIRENT: u64 = 12;

/// Whom a directory entry names.
pub enum Named {
    Itself,
    Parent,
    Child(Id),
}

/// The entries of a directory in the order of their bytes, its own two among them.
pub fn entries(children: &BTreeMap<Box<[u8]>, Id>) -> impl Iterator<Item = (&[u8], Named)> {
    let between = |from: Bound<&'static [u8]>, to: Bound<&'static [u8]>| {
        children.range::<[u8], _>((from, to)).map(|(name, &id)| (&**name, Named::Child(id)))
    };
    let (one, two): (&[u8], &[u8]) = (b".", b"..");
    between(Bound::Unbounded, Bound::Excluded(one))
        .chain([(one, Named::Itself)])
        .chain(between(Bound::Excluded(one), Bound::Excluded(two)))
        .chain([(two, Named::Parent)])
        .chain(between(Bound::Excluded(two), Bound::Unbounded))
}

/// Entries fill blocks in their order; none lies across two. Of the last block only what is used counts.
fn directory_bytes(children: &BTreeMap<Box<[u8]>, Id>) -> u64 {
    let mut filler = Filler::default();
    for (name, _) in entries(children) {
        filler.add(name.len() as u64);
    }
    filler.bytes()
}

/// Counts how entries fill blocks.
#[derive(Default)]
pub struct Filler {
    full: u64,
    used: u64,
}

impl Filler {
    /// Adds an entry; `true` if it begins another block.
    pub fn add(&mut self, name: u64) -> bool {
        let begins = self.used + DIRENT + name > BLOCK;
        if begins {
            self.full += 1;
            self.used = 0;
        }
        self.used += DIRENT + name;
        begins
    }

    pub fn bytes(&self) -> u64 {
        self.full * BLOCK + self.used
    }
}

pub fn inexpressible(why: impl Into<String>) -> Error {
    Error::new(Kind::Unsupported, why)
}

/// Of an xattr's name what stands for its prefix, and the rest.
///
/// # Errors
/// `Kind::Unsupported` for prefixes that EROFS does not know. Access lists are left to the file system that knows them.
pub fn xattr_name(name: &[u8]) -> Result<(u8, &[u8])> {
    for (index, prefix) in [(1, &b"user."[..]), (4, b"trusted."), (6, b"security.")] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return Ok((index, rest));
        }
    }
    Err(inexpressible(format!("the xattr {} needs a file system that knows it", String::from_utf8_lossy(name))))
}

/// The header before inline xattrs, and that of each.
pub const XATTR_HEADER: u64 = 12;
pub const XATTR_ENTRY: u64 = 4;

/// Bytes of an inode's inline xattrs, their header included.
pub fn xattr_bytes(inode: &Inode) -> Result<u64> {
    if inode.xattrs.is_empty() {
        return Ok(0);
    }
    let mut bytes = XATTR_HEADER;
    for (name, value) in &inode.xattrs {
        let (_, rest) = xattr_name(name)?;
        if rest.is_empty() || rest.len() > usize::from(u8::MAX) || value.len() > usize::from(u16::MAX) {
            return Err(inexpressible("an xattr is too large"));
        }
        bytes += (XATTR_ENTRY + (rest.len() + value.len()) as u64).next_multiple_of(4);
    }
    if (bytes - XATTR_HEADER) / 4 >= u64::from(u16::MAX) {
        return Err(inexpressible("a file has too many xattrs"));
    }
    Ok(bytes)
}

/// How the content of a file is cut: chunks of one size, each in one piece of the tar or a hole.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    /// Binary logarithm of a chunk's size in blocks.
    pub bits: u32,
    pub count: u64,
}

impl Chunks {
    /// `None` for what has no content in the tar.
    ///
    /// # Errors
    /// `Kind::Unsupported` for holes that do not begin and end with blocks.
    pub fn of(inode: &Inode) -> Result<Option<Self>> {
        let Body::File { size, data } = &inode.body else { return Ok(None) };
        if *size == 0 {
            return Ok(None);
        }
        let whole = size.div_ceil(BLOCK).next_power_of_two().trailing_zeros().min(MOST_CHUNK_BITS);
        let bits = match data {
            Data::Run(at) if at % BLOCK == 0 => whole,
            Data::Run(_) => return Err(inexpressible("a file does not begin at a block of the tar")),
            Data::Sparse(extents) => extents.iter().try_fold(whole, |bits, extent| aligned(extent, *size, bits))?,
        };
        let count = size.div_ceil(BLOCK << bits);
        if count > MOST_CHUNKS {
            return Err(inexpressible("a sparse file has too many pieces"));
        }
        Ok(Some(Self { bits, count }))
    }

    /// First block of the tar that a chunk takes; `None` for a hole.
    pub fn block(&self, data: &Data, chunk: u64) -> Option<u32> {
        let offset = chunk * (BLOCK << self.bits);
        let at = match data {
            Data::Run(at) => at + offset,
            Data::Sparse(extents) => {
                let next = extents.partition_point(|extent| extent.offset <= offset);
                let extent = extents[..next].last().filter(|extent| offset < extent.offset + extent.length)?;
                extent.at + (offset - extent.offset)
            }
        };
        u32::try_from(at / BLOCK).ok()
    }
}

/// The largest chunks, up to `bits`, of which an extent is a whole number. The end of the file may cut its last chunk.
fn aligned(extent: &Extent, size: u64, bits: u32) -> Result<u32> {
    let end = extent.offset + extent.length;
    let length = if end == size { 0 } else { extent.length };
    let common = (extent.offset | length).trailing_zeros().saturating_sub(BLOCK.trailing_zeros());
    if (extent.offset | length | extent.at) % BLOCK != 0 {
        return Err(inexpressible("a sparse file is not cut at blocks"));
    }
    Ok(bits.min(common))
}
