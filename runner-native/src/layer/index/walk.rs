//! Finding directories of the layer by the names of its members.

use super::{Indexing, shown};
use crate::erofs::table::NAME_MAX;
use crate::erofs::{Body, Id, ROOT};
use crate::error::{Error, Kind, Result};
use crate::layer::extract::name::components;
use crate::limit;
use rustix::io::Errno;

impl Indexing<'_> {
    /// The directory that `path` names, made with its parents where missing.
    pub(super) fn directory_of(&mut self, path: &[u8]) -> Result<Id> {
        if let Some((last, id)) = &self.last {
            if last == path {
                return Ok(*id);
            }
        }
        let id = self.walk(path, true)?.ok_or_else(|| Error::new(Kind::Corrupt, "a directory vanished"))?;
        self.last = Some((path.to_vec(), id));
        Ok(id)
    }

    /// Walks to a directory of this layer. Links are followed inside the tree.
    pub(super) fn walk(&mut self, path: &[u8], create: bool) -> Result<Option<Id>> {
        let mut todo: Vec<Box<[u8]>> = components(path).map(Into::into).collect();
        todo.reverse();
        let mut here = ROOT;
        let mut links = 0;
        while let Some(name) = todo.pop() {
            // Only in targets of links: names of members have been checked.
            if *name == *b".." {
                here = self.known(here).parent;
                continue;
            }
            if name.len() > NAME_MAX {
                return Err(Error::call(format!("mkdirat({:?})", shown(&name)), Errno::NAMETOOLONG));
            }
            let found = self.table.child(here, &name);
            here = match found.map(|id| (id, self.table.get(id))) {
                None if create => {
                    self.account.entry()?;
                    self.add_directory(here, &name, false)?
                }
                None => return Ok(None),
                Some((id, inode)) => match &inode.body {
                    Body::Directory(_) => id,
                    Body::Symlink(target) => {
                        links += 1;
                        if links > limit::LINKS {
                            return Err(Error::new(Kind::Corrupt, "too many symbolic links on the way to a member"));
                        }
                        let before = todo.len();
                        todo.extend(components(target).map(Into::into));
                        todo[before..].reverse();
                        if target.starts_with(b"/") { ROOT } else { here }
                    }
                    _ if inode.is_whiteout() && create => self.add_directory(here, &name, true)?,
                    _ if inode.is_whiteout() => return Ok(None),
                    _ => return Err(Error::new(Kind::Corrupt, format!("{:?} on the way to a member is not a directory", shown(&name)))),
                },
            };
        }
        Ok(Some(here))
    }
}
