//! A layer that is mounted as it came: an EROFS image of names, modes and attributes, which points into the layer's tar for
//! the content of files.
//!
//! The format is that of Documentation/filesystems/erofs.rst, with blocks of 512 bytes, so that every file of a tar
//! begins at one, and with the tar as the only extra device (erofs(5), "tar index mode"). The image is made from entries
//! that were checked, never from bytes that came from outside, and is a pure function of them: the same entries and the
//! same tar give the same bytes.

mod layout;
pub mod mount;
pub mod table;
mod write;

pub use layout::inexpressible;
pub use table::{Body, Data, Id, Inode, ROOT, Table};
pub use write::{Tar, write};

/// Bytes of a block, the smallest that EROFS knows: the unit of a tar.
const BLOCK: u64 = 512;
/// Where the superblock lies, and how long it is; the slot of the extra device follows it.
const SUPER_OFFSET: u64 = 1024;
const SUPER_SIZE: u64 = 128;
const DEVICE_SLOT: u64 = 128;
/// Where inodes begin.
const META_START: u64 = SUPER_OFFSET + SUPER_SIZE + DEVICE_SLOT;
/// Inodes lie at multiples of this, and are named by the number of it.
const SLOT: u64 = 32;
pub const MAGIC: u32 = 0xe0f5_e1e2;
/// Stands in the superblock's field for the name of the volume: an image of another form is made again.
const FORM: &[u8; 16] = b"stave-tar-1\0\0\0\0\0";
