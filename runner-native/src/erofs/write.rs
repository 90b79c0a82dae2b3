//! The bytes of an image, from its first to its last.

use super::layout::{Chunks, DIRENT, Filler, Layout, Named, Placed, XATTR_HEADER, entries, size, xattr_bytes, xattr_name};
use super::table::{Body, Id, Inode, ROOT, Table};
use super::{BLOCK, DEVICE_SLOT, FORM, MAGIC, META_START, SLOT, SUPER_OFFSET, SUPER_SIZE};
use crate::error::{Error, Result};
use crate::tar::Xattr;
use std::io::Write;

/// Features without which an image cannot be read: files in chunks, and a table of devices.
const INCOMPATIBLE: u32 = 0x4 | 0x8;
/// The number of the tar among the devices: the image itself is 0.
const TAR_DEVICE: u16 = 1;
/// Says in a file's chunk format that each chunk names device and block.
const CHUNK_INDEXES: u16 = 0x20;
const HOLE: u32 = u32::MAX;

/// How the data of an inode is laid out.
const FLAT_PLAIN: u16 = 0;
const FLAT_INLINE: u16 = 2;
const CHUNK_BASED: u16 = 4;

/// The file that the image points into.
#[derive(Clone, Copy, Debug)]
pub struct Tar<'a> {
    pub bytes: u64,
    /// Its SHA-256, in 64 hexadecimal digits.
    pub hex: &'a str,
}

/// Writes the image of `table`, and tells how many bytes it has.
///
/// # Errors
/// `Kind::Unsupported` for what the format cannot say, before anything is written; else what writing says.
pub fn write(table: &Table, tar: Tar<'_>, out: impl Write) -> Result<u64> {
    let layout = Layout::new(table, tar.bytes)?;
    let mut writer = Writer { table, layout: &layout, out, at: 0 };
    writer.superblock(tar)?;
    for (number, &id) in layout.order.iter().enumerate() {
        writer.inode(id, number as u32)?;
    }
    for &id in &layout.order {
        writer.blocks(id)?;
    }
    writer.pad(layout.blocks * BLOCK)?;
    writer.out.flush().map_err(|error| Error::io("write(index)", &error))?;
    Ok(writer.at)
}

struct Writer<'a, W> {
    table: &'a Table,
    layout: &'a Layout,
    out: W,
    at: u64,
}

impl<W: Write> Writer<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|error| Error::io("write(index)", &error))
    }

    /// Zeros up to a position.
    fn pad(&mut self, to: u64) -> Result<()> {
        const ZEROS: [u8; 2048] = [0; 2048];
        while self.at < to {
            let count = (to - self.at).min(ZEROS.len() as u64) as usize;
            self.put(&ZEROS[..count])?;
        }
        Ok(())
    }

    fn superblock(&mut self, tar: Tar<'_>) -> Result<()> {
        self.pad(SUPER_OFFSET)?;
        let mut block = [0; SUPER_SIZE as usize];
        set(&mut block, 0, &MAGIC.to_le_bytes());
        block[12] = BLOCK.trailing_zeros() as u8;
        set(&mut block, 14, &(self.layout.placed[ROOT as usize].slot as u16).to_le_bytes());
        set(&mut block, 16, &(self.layout.order.len() as u64).to_le_bytes());
        set(&mut block, 24, &self.layout.epoch.seconds.to_le_bytes());
        set(&mut block, 32, &self.layout.epoch.nanoseconds.to_le_bytes());
        set(&mut block, 36, &(self.layout.blocks as u32).to_le_bytes());
        set(&mut block, 64, FORM);
        set(&mut block, 80, &INCOMPATIBLE.to_le_bytes());
        set(&mut block, 86, &1u16.to_le_bytes());
        set(&mut block, 88, &(((SUPER_OFFSET + SUPER_SIZE) / DEVICE_SLOT) as u16).to_le_bytes());
        self.put(&block)?;
        let mut device = [0; DEVICE_SLOT as usize];
        set(&mut device, 0, &tar.hex.as_bytes()[..tar.hex.len().min(64)]);
        set(&mut device, 64, &(tar.bytes.div_ceil(BLOCK) as u32).to_le_bytes());
        self.put(&device)
    }

    fn inode(&mut self, id: Id, number: u32) -> Result<()> {
        let (inode, place) = (self.table.get(id), self.layout.placed[id as usize]);
        self.pad(u64::from(place.slot) * SLOT)?;
        let chunks = Chunks::of(inode)?;
        let header = header(inode, place, number, chunks)?;
        self.put(&header[..place.base() as usize])?;
        self.xattrs(&inode.xattrs)?;
        if place.is_inline {
            self.tail(id)?;
        }
        if let (Some(chunks), Body::File { data, .. }) = (chunks, &inode.body) {
            self.pad(self.at.next_multiple_of(8))?;
            for chunk in 0..chunks.count {
                let (device, block) = chunks.block(data, chunk).map_or((0, HOLE), |block| (TAR_DEVICE, block));
                let mut index = [0; 8];
                set(&mut index, 2, &device.to_le_bytes());
                set(&mut index, 4, &block.to_le_bytes());
                self.put(&index)?;
            }
        }
        Ok(())
    }

    fn xattrs(&mut self, xattrs: &[Xattr]) -> Result<()> {
        if xattrs.is_empty() {
            return Ok(());
        }
        self.put(&[0; XATTR_HEADER as usize])?;
        for (name, value) in xattrs {
            let (prefix, rest) = xattr_name(name)?;
            let length = (value.len() as u16).to_le_bytes();
            self.put(&[rest.len() as u8, prefix, length[0], length[1]])?;
            self.put(rest)?;
            self.put(value)?;
            self.pad(self.at.next_multiple_of(4))?;
        }
        Ok(())
    }

    /// The part of a directory or link that lies behind its inode.
    fn tail(&mut self, id: Id) -> Result<()> {
        match &self.table.get(id).body {
            Body::Symlink(target) => self.put(target),
            Body::Directory(_) => {
                let mut blocks = self.directory(id);
                let last = blocks.pop().unwrap_or_default();
                self.put(&last)
            }
            _ => Ok(()),
        }
    }

    /// The blocks of a directory or link that lie among the others.
    fn blocks(&mut self, id: Id) -> Result<()> {
        let place = self.layout.placed[id as usize];
        if place.block == 0 {
            return Ok(());
        }
        self.pad(u64::from(place.block) * BLOCK)?;
        match &self.table.get(id).body {
            Body::Symlink(target) => self.put(target),
            Body::Directory(_) => {
                let mut blocks = self.directory(id);
                if place.is_inline {
                    blocks.pop();
                }
                for block in blocks {
                    self.pad(self.at.next_multiple_of(BLOCK))?;
                    self.put(&block)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The blocks of a directory, each as long as it is used.
    fn directory(&self, id: Id) -> Vec<Vec<u8>> {
        let Body::Directory(children) = &self.table.get(id).body else { return Vec::new() };
        let parent = self.layout.placed[id as usize].parent;
        let (mut filler, mut blocks, mut held) = (Filler::default(), Vec::new(), Vec::new());
        for (name, named) in entries(children) {
            let target = match named {
                Named::Itself => id,
                Named::Parent => parent,
                Named::Child(child) => child,
            };
            if filler.add(name.len() as u64) {
                blocks.push(self.block(&held));
                held.clear();
            }
            held.push((name, target));
        }
        blocks.push(self.block(&held));
        blocks
    }

    /// Entries, then their names.
    fn block(&self, held: &[(&[u8], Id)]) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK as usize);
        let mut name_at = DIRENT * held.len() as u64;
        for (name, id) in held {
            block.extend_from_slice(&u64::from(self.layout.placed[*id as usize].slot).to_le_bytes());
            block.extend_from_slice(&(name_at as u16).to_le_bytes());
            block.extend_from_slice(&[kind(self.table.get(*id)), 0]);
            name_at += name.len() as u64;
        }
        for (name, _) in held {
            block.extend_from_slice(name);
        }
        block
    }
}

/// An inode without what follows it. Of a compact one only the first half counts.
fn header(inode: &Inode, place: Placed, number: u32, chunks: Option<Chunks>) -> Result<[u8; 64]> {
    let mut bytes = [0; 64];
    let layout = match chunks {
        Some(_) => CHUNK_BASED,
        None if place.is_inline => FLAT_INLINE,
        None => FLAT_PLAIN,
    };
    let xattrs = xattr_bytes(inode)?;
    let xattrs = if xattrs == 0 { 0 } else { (xattrs - XATTR_HEADER) / 4 + 1 };
    let (type_bits, detail) = match (&inode.body, chunks) {
        (Body::File { .. }, Some(chunks)) => (libc::S_IFREG, u32::from(chunks.bits as u16 | CHUNK_INDEXES)),
        (Body::File { .. }, None) => (libc::S_IFREG, 0),
        (Body::Directory(_), _) => (libc::S_IFDIR, place.block),
        (Body::Symlink(_), _) => (libc::S_IFLNK, place.block),
        (Body::Fifo, _) => (libc::S_IFIFO, 0),
        (Body::Device { is_block, major, minor }, _) => {
            let bits = if *is_block { libc::S_IFBLK } else { libc::S_IFCHR };
            (bits, (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
        }
    };
    set(&mut bytes, 0, &(u16::from(!place.is_compact) | layout << 1).to_le_bytes());
    set(&mut bytes, 2, &(xattrs as u16).to_le_bytes());
    set(&mut bytes, 4, &((type_bits | inode.mode & 0o7777) as u16).to_le_bytes());
    set(&mut bytes, 16, &detail.to_le_bytes());
    set(&mut bytes, 20, &(number + 1).to_le_bytes());
    if place.is_compact {
        set(&mut bytes, 6, &(place.links as u16).to_le_bytes());
        set(&mut bytes, 8, &(size(inode) as u32).to_le_bytes());
        set(&mut bytes, 24, &(inode.uid as u16).to_le_bytes());
        set(&mut bytes, 26, &(inode.gid as u16).to_le_bytes());
    } else {
        set(&mut bytes, 8, &size(inode).to_le_bytes());
        set(&mut bytes, 24, &inode.uid.to_le_bytes());
        set(&mut bytes, 28, &inode.gid.to_le_bytes());
        set(&mut bytes, 32, &inode.mtime.seconds.to_le_bytes());
        set(&mut bytes, 40, &inode.mtime.nanoseconds.to_le_bytes());
        set(&mut bytes, 44, &place.links.to_le_bytes());
    }
    Ok(bytes)
}

/// What a directory entry says of the inode's type.
fn kind(inode: &Inode) -> u8 {
    match inode.body {
        Body::File { .. } => 1,
        Body::Directory(_) => 2,
        Body::Device { is_block: false, .. } => 3,
        Body::Device { is_block: true, .. } => 4,
        Body::Fifo => 5,
        Body::Symlink(_) => 7,
    }
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

const _: () = assert!(META_START % SLOT == 0 && (SUPER_OFFSET + SUPER_SIZE) % DEVICE_SLOT == 0);
