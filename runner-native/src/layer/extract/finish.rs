//! The end of an extraction: directories get what filling them would have changed, or what only the layers below know.

use super::{Extraction, ROOT, failed, owner_refused, times};
use crate::error::Result;
use crate::layer::member::{Metadata, Outcome};
use crate::overlay;
use rustix::fs::{Mode, XattrFlags};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

impl Extraction<'_> {
    /// Gives directories what filling them would have changed, or what only the layers below know.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        let nodes = self.nodes.len();
        // Parents come before their children. `true`: what lies below shows through.
        let mut merged = vec![self.options.below.any(); nodes];
        for index in 0..nodes {
            let parent = self.nodes[index].parent;
            self.nodes[index].gone |= self.nodes[parent].gone;
            if index != ROOT {
                // An opaque directory is itself still the one below; only what is in it is not.
                merged[index] = merged[parent] && !self.nodes[parent].opaque && !self.nodes[index].fresh;
            }
        }
        if self.nodes[ROOT].opaque {
            self.empty_root()?;
        }
        // Children before parents: each chmod may take the right to enter away.
        for index in (0..nodes).rev() {
            if !self.nodes[index].gone {
                self.finish_directory(index, merged[index])?;
            }
        }
        Ok(self.account.close())
    }

    pub(super) fn finish_directory(&mut self, index: usize, merged: bool) -> Result<()> {
        let listed = self.nodes[index].listed.take();
        let opaque = self.nodes[index].opaque && index != ROOT;
        let metadata = match listed {
            Some(metadata) => Some(metadata),
            None if merged => self.inherited(index)?,
            None => None,
        };
        if metadata.is_none() && !opaque {
            return Ok(());
        }
        let fd = self.fd(index)?;
        let name = self.nodes[index].name.clone();
        if opaque {
            overlay::make_opaque(&fd)?;
        }
        let Some(metadata) = metadata else { return Ok(()) };
        if let Some((uid, gid)) = self.options.ownership.of(metadata.uid, metadata.gid)? {
            rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(|errno| owner_refused("fchown", &name, errno))?;
        }
        if metadata.mode != self.nodes[index].made {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(metadata.mode)).map_err(|errno| failed("fchmod", &name, errno))?;
        }
        if !metadata.xattrs.is_empty() {
            self.xattrs(&metadata.xattrs, |name, value| rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty()))?;
        }
        rustix::fs::futimens(&fd, &times(metadata.mtime)).map_err(|errno| failed("futimens", &name, errno))
    }

    /// What the layers below say of a directory that this one does not list.
    pub(super) fn inherited(&mut self, index: usize) -> Result<Option<Box<Metadata>>> {
        let path = self.path(index);
        let Some(entry) = self.options.below.view()?.lookup(&path, true)? else { return Ok(None) };
        if !entry.is_directory() {
            return Ok(None);
        }
        Ok(Some(Box::new(Metadata::inherited(&entry)?)))
    }

    pub(super) fn path(&self, index: usize) -> PathBuf {
        let mut names = Vec::new();
        let mut at = index;
        while at != ROOT {
            names.push(&self.nodes[at].name);
            at = self.nodes[at].parent;
        }
        names.into_iter().rev().collect()
    }

    /// Overlay ignores the opaque marker of a layer's root, so every name below is hidden one by one.
    pub(super) fn empty_root(&mut self) -> Result<()> {
        let stack = self.options.below.view()?;
        let Some(root) = stack.root()? else { return Ok(()) };
        let fd = self.fd(ROOT)?;
        for entry in stack.list(&root)? {
            if let Some(&node) = self.nodes[ROOT].children.get(entry.name.as_bytes()) {
                self.nodes[node].opaque = true;
                continue;
            }
            match overlay::make_whiteout(&fd, &entry.name) {
                Err(error) if error.errno == Some(Errno::EXIST) => {}
                other => other?,
            }
        }
        Ok(())
    }
}
