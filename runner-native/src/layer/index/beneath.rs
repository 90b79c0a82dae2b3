//! The merged view of the layers below: tables of those that are made beside this one and cannot be mounted yet, above
//! those that are there.

use crate::erofs::{Body, Id, Inode, ROOT, Table};
use crate::error::{Error, Kind, Result};
use crate::layer::extract::name::components;
use crate::layer::member::Metadata;
use crate::layer::xattr;
use crate::limit;
use crate::overlay::{Entry, Flavour, Stack};
use crate::tar::Time;
use rustix::fs::FileType;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Layers, top first; what a mounted overlay of them would show.
pub struct Merged {
    tables: Vec<Arc<Table>>,
    stack: Stack,
}

/// A merged directory: the layers that take part in it, top first.
#[derive(Clone)]
struct Here {
    tables: Vec<(usize, Id)>,
    below: Option<Entry>,
}

enum Found {
    Directory(Box<Here>),
    Link(Vec<u8>),
    Other,
}

impl Merged {
    /// `tables` lie above `stack`, the topmost first.
    pub fn new(tables: Vec<Arc<Table>>, stack: Stack) -> Self {
        Self { tables, stack }
    }

    /// What describes the directory at a path of names, links followed; `None` if it leads to no directory.
    ///
    /// # Errors
    /// `Kind::Corrupt` for a loop of links.
    pub fn directory(&self, path: &[Box<[u8]>]) -> Result<Option<Metadata>> {
        let mut todo: Vec<Box<[u8]>> = path.iter().rev().cloned().collect();
        let mut way = vec![self.root()?];
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if *name == *b".." {
                way.truncate((way.len() - 1).max(1));
                continue;
            }
            match self.child(&way[way.len() - 1], &name)? {
                Some(Found::Directory(here)) => way.push(*here),
                Some(Found::Link(target)) => {
                    links += 1;
                    if links > limit::LINKS {
                        return Err(Error::new(Kind::Corrupt, "too many symbolic links on the way to a directory of the layers below"));
                    }
                    if target.starts_with(b"/") {
                        way.truncate(1);
                    }
                    let before = todo.len();
                    todo.extend(components(&target).map(Into::into));
                    todo[before..].reverse();
                }
                Some(Found::Other) | None => return Ok(None),
            }
        }
        self.metadata(&way[way.len() - 1])
    }

    /// The names in the root directory.
    pub fn names(&self) -> Result<BTreeSet<Box<[u8]>>> {
        let (mut names, mut hidden) = (BTreeSet::new(), BTreeSet::new());
        for table in &self.tables {
            let Body::Directory(children) = &table.get(ROOT).body else { continue };
            for (name, &id) in children {
                let seen = names.contains(name) || hidden.contains(name);
                if !seen {
                    if table.get(id).is_whiteout() { &mut hidden } else { &mut names }.insert(name.clone());
                }
            }
        }
        if let Some(root) = self.stack.root()? {
            let below = self.stack.list(&root)?;
            names.extend(below.iter().map(|entry| entry.name.as_bytes()).filter(|&name| !hidden.contains(name)).map(Box::from));
        }
        Ok(names)
    }

    fn root(&self) -> Result<Here> {
        Ok(Here { tables: (0..self.tables.len()).map(|number| (number, ROOT)).collect(), below: self.stack.root()? })
    }

    fn child(&self, here: &Here, name: &[u8]) -> Result<Option<Found>> {
        let mut tables = Vec::new();
        for &(number, id) in &here.tables {
            let table = &self.tables[number];
            let Some(id) = table.child(id, name) else { continue };
            let inode = table.get(id);
            match &inode.body {
                Body::Directory(_) => tables.push((number, id)),
                // A directory never merges with a file below it, and a whiteout hides what is further down.
                _ if !tables.is_empty() => return Ok(Some(Found::Directory(Box::new(Here { tables, below: None })))),
                _ if inode.is_whiteout() => return Ok(None),
                Body::Symlink(target) => return Ok(Some(Found::Link(target.to_vec()))),
                _ => return Ok(Some(Found::Other)),
            }
            if is_opaque(inode) {
                return Ok(Some(Found::Directory(Box::new(Here { tables, below: None }))));
            }
        }
        let below = match &here.below {
            Some(directory) => self.stack.child(directory, OsStr::from_bytes(name))?,
            None => None,
        };
        Ok(match below {
            Some(entry) if entry.is_directory() => Some(Found::Directory(Box::new(Here { tables, below: Some(entry) }))),
            _ if !tables.is_empty() => Some(Found::Directory(Box::new(Here { tables, below: None }))),
            Some(entry) if entry.kind() == FileType::Symlink => Some(Found::Link(entry.read_link()?.into_encoded_bytes())),
            Some(_) => Some(Found::Other),
            None => None,
        })
    }

    fn metadata(&self, here: &Here) -> Result<Option<Metadata>> {
        if let Some(&(number, id)) = here.tables.first() {
            let Inode { mode, uid, gid, mtime, xattrs, .. } = self.tables[number].get(id);
            let xattrs = xattrs.iter().filter(|(name, _)| xattr::is_allowed(name)).cloned().collect();
            let mtime: Time = *mtime;
            return Ok(Some(Metadata { mode: *mode, uid: u64::from(*uid), gid: u64::from(*gid), mtime, xattrs }));
        }
        here.below.as_ref().map(Metadata::inherited).transpose()
    }
}

fn is_opaque(inode: &Inode) -> bool {
    inode.xattrs.iter().any(|(name, value)| name == Flavour::here().opaque().as_bytes() && value == b"y")
}
