//! What a layer is made of, before any content is read.

use crate::error::Result;
use crate::layer::source::{Opener, Xattrs, xattrs};
use crate::overlay::Stack;
use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, OFlags};
use std::fs::File;
use std::sync::Arc;

/// One entry of a layer or tree. Items come in walk order: directories before what they hold.
#[derive(Clone, Debug)]
pub struct Item {
    /// Relative to the root; empty for the root itself, which only a tree has.
    pub path: Box<[u8]>,
    pub body: Body,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    pub xattrs: Attributes,
}

#[derive(Clone, Debug)]
pub enum Body {
    /// An opaque directory hides what lower layers have in it.
    Directory {
        opaque: bool,
    },
    File(Content),
    /// Another name of the file at this earlier position.
    HardLink(usize),
    Symlink(Box<[u8]>),
    Device(FileType, u64),
    Fifo,
    /// Hides what lower layers have under this name.
    Whiteout,
}

/// Where something was found.
#[derive(Clone, Debug)]
pub struct Origin {
    pub stack: Arc<Stack>,
    pub layer: u32,
    pub path: Box<[u8]>,
}

#[derive(Clone, Debug)]
pub enum Content {
    Origin {
        origin: Origin,
        size: u64,
    },
    /// A part of an open file.
    Range {
        file: Arc<File>,
        offset: u64,
        size: u64,
    },
    Bytes(Arc<[u8]>),
}

impl Content {
    pub fn size(&self) -> u64 {
        match self {
            Content::Origin { size, .. } | Content::Range { size, .. } => *size,
            Content::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Attributes {
    Given(Arc<Xattrs>),
    /// Those of what was found there.
    Of(Origin),
}

impl Attributes {
    pub fn none() -> Self {
        Self::Given(Arc::default())
    }

    /// What they are. `file` is what was found, where it is open already.
    pub fn read(&self, file: Option<BorrowedFd<'_>>) -> Result<Arc<Xattrs>> {
        match (self, file) {
            (Self::Given(given), _) => Ok(Arc::clone(given)),
            (Self::Of(_), Some(file)) => Ok(Arc::new(xattrs(file)?)),
            (Self::Of(origin), None) => {
                let file = Opener::new(&origin.stack).open(origin.layer, &origin.path, OFlags::RDONLY)?;
                Ok(Arc::new(xattrs(&file)?))
            }
        }
    }
}
