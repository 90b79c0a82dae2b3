//! The directories of a layer: a table of those that are made, and descriptors of those that are in use.

use super::name::components;
use super::{Extraction, IMPLIED, Node, ROOT, failed};
use crate::error::{Error, Kind, Result};
use crate::layer::member::Metadata;
use crate::layer::remove::remove_tree;
use crate::limit;
use crate::overlay;
use crate::tar::Member;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

impl Extraction<'_> {
    /// The directory that `path` names, made with its parents where missing.
    pub(super) fn directory_of(&mut self, path: &[u8]) -> Result<usize> {
        if let Some((last, node)) = &self.last {
            if last == path {
                return Ok(*node);
            }
        }
        let node = self.walk(path, true)?.ok_or_else(|| Error::new(Kind::Corrupt, "a directory vanished"))?;
        self.last = Some((path.to_vec(), node));
        Ok(node)
    }

    /// Walks to a directory of this layer. Links are followed inside the tree.
    pub(super) fn walk(&mut self, path: &[u8], create: bool) -> Result<Option<usize>> {
        let mut todo: Vec<OsString> = components(path).map(|component| OsStr::from_bytes(component).to_owned()).collect();
        todo.reverse();
        let mut here = ROOT;
        let mut links = 0;
        while let Some(name) = todo.pop() {
            // Only in targets of links: names of members have been checked.
            if name == ".." {
                here = self.nodes[here].parent;
                continue;
            }
            if let Some(&child) = self.nodes[here].children.get(name.as_bytes()) {
                here = child;
                continue;
            }
            let fd = self.fd(here)?;
            if create {
                match rustix::fs::mkdirat(&fd, &name, Mode::from_raw_mode(IMPLIED)) {
                    Ok(()) => {
                        self.account.entry()?;
                        here = self.add(here, name, IMPLIED);
                        continue;
                    }
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed("mkdirat", &name, errno)),
                }
            }
            let stat = match rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(failed("fstatat", &name, errno)),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > limit::LINKS {
                        return Err(Error::new(Kind::Corrupt, "too many symbolic links on the way to a member"));
                    }
                    let target =
                        rustix::fs::readlinkat(&fd, &name, Vec::new()).map_err(|errno| failed("readlinkat", &name, errno))?.into_bytes();
                    if target.starts_with(b"/") {
                        here = ROOT;
                    }
                    let before = todo.len();
                    todo.extend(components(&target).map(|component| OsStr::from_bytes(component).to_owned()));
                    todo[before..].reverse();
                }
                _ if overlay::is_whiteout(&stat) && create => {
                    self.replace(here, &fd, &name)?;
                    rustix::fs::mkdirat(&fd, &name, Mode::from_raw_mode(IMPLIED)).map_err(|errno| failed("mkdirat", &name, errno))?;
                    here = self.add(here, name, IMPLIED);
                    (self.nodes[here].opaque, self.nodes[here].fresh) = (true, true);
                }
                _ if overlay::is_whiteout(&stat) => return Ok(None),
                _ => {
                    return Err(Error::new(
                        Kind::Corrupt,
                        format!("{:?} on the way to a member is not a directory", name.to_string_lossy()),
                    ));
                }
            }
        }
        Ok(Some(here))
    }

    pub(super) fn add(&mut self, parent: usize, name: OsString, made: u32) -> usize {
        let index = self.nodes.len();
        self.nodes[parent].children.insert(name.as_bytes().into(), index);
        let children = HashMap::new();
        self.nodes.push(Node { parent, name, children, fd: None, listed: None, made, opaque: false, fresh: false, gone: false });
        index
    }

    /// The open descriptor of a directory.
    pub(super) fn fd(&mut self, node: usize) -> Result<Arc<OwnedFd>> {
        if let Some(fd) = &self.nodes[node].fd {
            return Ok(Arc::clone(fd));
        }
        // From the deepest open ancestor down.
        let mut way = vec![node];
        let mut at = self.nodes[node].parent;
        while self.nodes[at].fd.is_none() {
            way.push(at);
            at = self.nodes[at].parent;
        }
        let mut fd = self.nodes[at].fd.clone().ok_or_else(|| Error::new(Kind::Io, "the root is not open"))?;
        while let Some(next) = way.pop() {
            let name = &self.nodes[next].name;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(&fd, name, flags, Mode::empty()).map_err(|errno| failed("openat", name, errno))?;
            fd = Arc::new(opened);
            self.nodes[next].fd = Some(Arc::clone(&fd));
            self.open.push_back(next);
            if self.open.len() > self.options.max_open {
                if let Some(oldest) = self.open.pop_front() {
                    self.nodes[oldest].fd = None;
                }
            }
        }
        Ok(fd)
    }

    /// Takes away what an earlier member of this layer, or a whiteout, left under this name.
    pub(super) fn replace(&mut self, parent: usize, fd: &OwnedFd, name: &OsStr) -> Result<()> {
        if let Some(node) = self.nodes[parent].children.remove(name.as_bytes()) {
            self.nodes[node].gone = true;
        }
        self.last = None;
        remove_tree(fd.as_fd(), name)
    }

    pub(super) fn metadata(&mut self, member: &Member) -> Result<Box<Metadata>> {
        // Fail at the member, not at the end.
        self.options.ownership.of(member.uid, member.gid)?;
        Ok(Box::new(Metadata::of(member)))
    }

    pub(super) fn directory(&mut self, parent: usize, name: &OsStr, member: &Member) -> Result<()> {
        let metadata = self.metadata(member)?;
        if let Some(&node) = self.nodes[parent].children.get(name.as_bytes()) {
            self.nodes[node].listed = Some(metadata);
            return Ok(());
        }
        let fd = self.fd(parent)?;
        // Bits that matter while it is filled are set; the rest comes at the end.
        let mode = Mode::from_raw_mode((member.mode & 0o777) | 0o700);
        let mut hidden = false;
        match rustix::fs::mkdirat(&fd, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                hidden = is_whiteout(&fd, name)?;
                self.replace(parent, &fd, name)?;
                rustix::fs::mkdirat(&fd, name, mode).map_err(|errno| failed("mkdirat", name, errno))?;
            }
            Err(errno) => return Err(failed("mkdirat", name, errno)),
        }
        let node = self.add(parent, name.to_owned(), mode.bits());
        let node = &mut self.nodes[node];
        node.listed = Some(metadata);
        (node.opaque, node.fresh) = (hidden, hidden);
        Ok(())
    }
}

fn is_whiteout(fd: &OwnedFd, name: &OsStr) -> Result<bool> {
    match rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(overlay::is_whiteout(&stat)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(failed("fstatat", name, errno)),
    }
}
