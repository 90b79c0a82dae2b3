//! The tar format: reading and writing, ustar, pax and GNU.

pub mod encode;
pub mod header;
pub mod pax;
pub mod reader;
pub mod sparse;

pub use reader::Reader;

/// Everything in a tar is a multiple of this.
pub const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// A time of modification. Before 1970 `seconds` is negative; `nanoseconds` always counts forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// An extended attribute: full name (`user.mime_type`) and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One member of an archive, as its headers together describe it. Names are as they were written: the reader has
/// checked that they are not empty and hold no NUL, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub path: Vec<u8>,
    pub kind: Type,
    /// Permission bits, set-id and sticky bits.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub user: Vec<u8>,
    pub group: Vec<u8>,
    pub mtime: Time,
    /// Of a file: its length, holes included. Else 0.
    pub size: u64,
    /// Target of a symbolic or hard link.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    pub xattrs: Vec<Xattr>,
    /// Of a sparse file: where its data lies, `(offset, length)`, ascending. The rest is holes.
    pub sparse: Option<Vec<(u64, u64)>>,
}

impl Member {
    /// A member with this name and kind, owned by root, of 1970.
    pub fn new(path: impl Into<Vec<u8>>, kind: Type) -> Self {
        Self {
            path: path.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            mtime: Time::default(),
            size: 0,
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    /// The name for messages.
    pub fn display(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}
