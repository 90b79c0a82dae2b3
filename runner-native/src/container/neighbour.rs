//! What another container has mounted, for one that shares it.

use crate::error::{Error, Kind, Result};
use crate::mount::clone_tree;
use crate::root;
use crate::sys::mount::set_attributes;
use crate::sys::{self, task};
use crate::wire::channel::{Channel, Message};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};

/// A copy of the directory that another mount namespace (`/proc/PID/ns/mnt`) has at `path`, attached to nothing. A child
/// goes there: who enters a mount namespace leaves their own.
pub fn directory_of(namespace: &str, path: &str) -> Result<OwnedFd> {
    let entered = open(namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call(format!("open({namespace:?})"), errno))?;
    let (ours, theirs) = Channel::pair()?;
    let Some(child) = task::fork()? else {
        drop(ours);
        let copied = task::setns(&entered, libc::CLONE_NEWNS).and_then(|()| {
            let copy = copy_here(path)?;
            theirs.send(&Message::Go {}, Some(copy.as_fd()))
        });
        let status = i32::from(copied.is_err());
        if let Err(error) = copied {
            theirs.fail(error);
        }
        sys::exit_now(status);
    };
    drop(theirs);
    let received = ours.receive();
    task::reap(child, true);
    match received? {
        Some((Message::Go {}, Some(copy))) => Ok(copy),
        Some((Message::Failed { error }, _)) => Err(error),
        _ => Err(Error::new(Kind::State, "the other container ended meanwhile")),
    }
}

fn copy_here(path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let top = open("/", flags | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| Error::call("open(\"/\")", errno))?;
    let copy = clone_tree(root::open_in_root(top.as_fd(), path, flags, Mode::empty())?, false)?;
    set_attributes(&copy, 0, 0, libc::MS_PRIVATE, false)?;
    Ok(copy)
}
