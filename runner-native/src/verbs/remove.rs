use crate::error::Result;
use crate::layer::remove::{clear, remove_tree};
use crate::root;
use crate::wire::layer::Remove;
use crate::wire::place::Place;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// Removes every tree; the first failure is reported after the others were tried.
pub fn remove(request: &Remove) -> Result<()> {
    let mut outcome = Ok(());
    for tree in &request.trees {
        let removed = remove_one(tree);
        outcome = outcome.and(removed);
    }
    outcome
}

fn remove_one(tree: &Place) -> Result<()> {
    let Some(path) = tree.path.as_deref().map(Path::new) else {
        // The descriptor is the tree itself, which has no name here: it is emptied.
        return clear(crate::sys::borrow(tree.fd)?);
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(crate::error::Error::new(crate::error::Kind::Request, format!("{} names no tree", path.display())));
    };
    let base = crate::sys::borrow(tree.fd)?;
    let parent = if parent.as_os_str().is_empty() { "." } else { parent.to_str().unwrap_or(".") };
    match root::open_beneath(base, parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
        Ok(parent) => remove_tree(parent.as_fd(), name),
        Err(error) if error.errno == Some(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}
