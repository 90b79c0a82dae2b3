//! What an image holds, before it has a form: inodes, and the names that directories give them.

use crate::error::{Error, Result};
use crate::tar::{Time, Xattr};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Number of an inode in its [`Table`].
pub type Id = u32;

pub const ROOT: Id = 0;

/// The longest name of a directory entry.
pub const NAME_MAX: usize = 255;
/// The longest target of a link (PATH_MAX with its NUL).
const LINK_MAX: usize = 4095;

/// A file, directory, link or device.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    pub xattrs: Box<[Xattr]>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Directory(BTreeMap<Box<[u8]>, Id>),
    File {
        /// Bytes, holes included.
        size: u64,
        data: Data,
    },
    Symlink(Box<[u8]>),
    Device {
        is_block: bool,
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// Where the bytes of a file lie in the tar.
#[derive(Clone, Debug)]
pub enum Data {
    /// In one piece from this offset on.
    Run(u64),
    /// Extents in the order of the file, the rest of which is holes.
    Sparse(Box<[Extent]>),
}

#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// In the file.
    pub offset: u64,
    pub length: u64,
    /// In the tar.
    pub at: u64,
}

/// The inodes of an image. The first is the root directory.
#[derive(Debug)]
pub struct Table {
    inodes: Vec<Inode>,
}

impl Default for Table {
    /// An empty root directory.
    fn default() -> Self {
        Self { inodes: vec![Inode::directory()] }
    }
}

impl Inode {
    /// An empty directory that nothing describes.
    pub fn directory() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: Time::default(), xattrs: Box::default(), body: Body::Directory(BTreeMap::new()) }
    }

    /// What overlay takes for a deleted name.
    pub fn whiteout() -> Self {
        Self { mode: 0, body: Body::Device { is_block: false, major: 0, minor: 0 }, ..Self::directory() }
    }

    pub fn is_whiteout(&self) -> bool {
        matches!(self.body, Body::Device { is_block: false, major: 0, minor: 0 })
    }
}

impl Table {
    pub fn get(&self, id: Id) -> &Inode {
        &self.inodes[id as usize]
    }

    pub fn get_mut(&mut self, id: Id) -> &mut Inode {
        &mut self.inodes[id as usize]
    }

    pub fn len(&self) -> usize {
        self.inodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.inodes.is_empty()
    }

    /// What a directory has under a name.
    pub fn child(&self, directory: Id, name: &[u8]) -> Option<Id> {
        match &self.get(directory).body {
            Body::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// Puts a new inode under a name, in place of what is there.
    ///
    /// # Errors
    /// `ENAMETOOLONG` for a name beyond 255 bytes or a link's target beyond 4,095, as the kernel says it.
    pub fn put(&mut self, directory: Id, name: &[u8], inode: Inode) -> Result<Id> {
        if matches!(&inode.body, Body::Symlink(target) if target.len() > LINK_MAX) {
            return Err(Error::call(format!("symlinkat({:?})", String::from_utf8_lossy(name)), Errno::NAMETOOLONG));
        }
        let id = self.inodes.len() as Id;
        self.inodes.push(inode);
        self.link(directory, name, id)?;
        Ok(id)
    }

    /// Gives an inode one more name, in place of what is there.
    ///
    /// # Errors
    /// `ENAMETOOLONG` for a name beyond 255 bytes, as the kernel says it.
    pub fn link(&mut self, directory: Id, name: &[u8], id: Id) -> Result<()> {
        if name.len() > NAME_MAX {
            return Err(Error::call(format!("mknodat({:?})", String::from_utf8_lossy(name)), Errno::NAMETOOLONG));
        }
        if let Body::Directory(children) = &mut self.get_mut(directory).body {
            children.insert(name.into(), id);
        }
        Ok(())
    }

    /// Takes a name away.
    pub fn unlink(&mut self, directory: Id, name: &[u8]) {
        if let Body::Directory(children) = &mut self.get_mut(directory).body {
            children.remove(name);
        }
    }
}
