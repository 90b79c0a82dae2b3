//! The end: directories get what members said of them, or what only the layers below know.

use super::Indexing;
use crate::erofs::{Body, Id, Inode, ROOT, Table};
use crate::error::Result;
use crate::layer::member::{Metadata, Outcome};
use crate::overlay::Flavour;
use std::collections::BTreeMap;

impl Indexing<'_> {
    pub(super) fn finish(mut self) -> Result<(Table, Outcome)> {
        let directories = self.merged();
        if self.known(ROOT).opaque {
            self.empty_root()?;
        }
        for (id, merged) in directories {
            self.finish_directory(id, merged)?;
        }
        Ok((self.table, self.account.close()))
    }

    /// Every directory that the layer still has, and whether what lies below shows through.
    fn merged(&mut self) -> Vec<(Id, bool)> {
        let mut all = vec![(ROOT, self.options.below.any())];
        let mut next = 0;
        while let Some(&(id, merged)) = all.get(next) {
            next += 1;
            let shows = merged && !self.known(id).opaque;
            let Body::Directory(children) = &self.table.get(id).body else { continue };
            let children: Vec<Id> = children.values().copied().filter(|&child| self.is_directory(child)).collect();
            for child in children {
                // An opaque directory is itself still the one below; only what is in it is not.
                all.push((child, shows && !self.known(child).fresh));
            }
        }
        all
    }

    fn finish_directory(&mut self, id: Id, merged: bool) -> Result<()> {
        let path = self.path(id);
        let directory = self.known(id);
        let opaque = directory.opaque && id != ROOT;
        let metadata = match directory.listed.take() {
            Some(metadata) => Some(*metadata),
            None if merged => self.inherited(&path)?,
            None => None,
        };
        if let Some(metadata) = metadata {
            self.options.ownership.of(metadata.uid, metadata.gid)?;
            let body = Body::Directory(BTreeMap::new());
            let xattrs = self.xattrs(&metadata.xattrs, &body)?;
            let inode = self.table.get_mut(id);
            (inode.mode, inode.uid, inode.gid) = (metadata.mode & 0o7777, metadata.uid as u32, metadata.gid as u32);
            (inode.mtime, inode.xattrs) = (metadata.mtime, xattrs);
        }
        if opaque {
            let inode = self.table.get_mut(id);
            let mark = (Flavour::here().opaque().as_bytes().to_vec(), b"y".to_vec());
            inode.xattrs = inode.xattrs.iter().cloned().chain([mark]).collect();
        }
        Ok(())
    }

    /// What the layers below say of a directory that this one does not list.
    fn inherited(&self, path: &[Box<[u8]>]) -> Result<Option<Metadata>> {
        let found = self.options.below.view()?.directory(path)?;
        // A label of the host's is given anew to what is mounted.
        Ok(found.map(|mut metadata| {
            metadata.xattrs.retain(|(name, _)| !name.starts_with(b"security."));
            metadata
        }))
    }

    /// The names from the root to a directory.
    fn path(&self, id: Id) -> Vec<Box<[u8]>> {
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT {
            let Some(directory) = self.directories.get(&at) else { break };
            names.push(directory.name.clone());
            at = directory.parent;
        }
        names.reverse();
        names
    }

    /// Overlay ignores the opaque marker of a layer's root, so every name below is hidden one by one.
    fn empty_root(&mut self) -> Result<()> {
        for name in self.options.below.view()?.names()? {
            match self.table.child(ROOT, &name) {
                Some(id) if self.is_directory(id) => self.known(id).opaque = true,
                Some(_) => {}
                None => {
                    self.table.put(ROOT, &name, Inode::whiteout())?;
                }
            }
        }
        Ok(())
    }
}
