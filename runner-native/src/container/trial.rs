//! Trying out what a container needs, for the probe. Each of these changes the process for good: it is one made for that.

use crate::container::namespaces;
use crate::container::rootfs::{Domain, overlay as mount_overlay, overlay_by_descriptor};
use crate::mount::{INERT, file_system, tmpfs};
use crate::sys::exit_now;
use crate::sys::task::{self, Ended};
use crate::userns::why_refused;
use crate::wire::error::{Error, Kind, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

/// Namespaces as a container's, and in them the file systems that every one has.
pub fn namespaces_and_mounts() -> Result<()> {
    let refused = |error: Error, hint: String| Error { kind: Kind::Isolation, ..error }.context("cannot make a container").hint(hint);
    namespaces::own_mounts().map_err(|error| refused(error, why_refused()))?;
    task::unshare(libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNET)
        .map_err(|error| refused(error, why_refused()))?;
    tmpfs(&[("mode", "755")], 0).map_err(|error| refused(error, why_refused()))?;
    // A child is the first in the new process namespace.
    let Some(child) = task::fork()? else {
        exit_now(i32::from(file_system("proc", &[], INERT).is_err()));
    };
    match task::reap(child, true) {
        Some((_, Ended::Exited(0))) => Ok(()),
        _ => Err(Error::new(Kind::Isolation, "cannot mount /proc in a container")
            .hint("This runs inside a container that hides parts of /proc; start that one with --security-opt systempaths=unconfined (podman: unmask=ALL).")),
    }
}

/// An overlay with its upper directory on the store.
pub fn overlay(lower: OwnedFd, upper: &OwnedFd, work: &OwnedFd) -> Result<()> {
    let domain = Domain { nested: namespaces::nested(), nodev: true };
    mount_overlay(&[lower], upper, work, domain, false).map(drop)
}

/// An overlay of a layer that is mounted nowhere (Linux 6.15), with its upper directory in memory.
pub fn overlay_in_memory(lower: OwnedFd) -> Result<()> {
    let memory = tmpfs(&[("mode", "755")], 0)?;
    let make = |name: &str| -> Result<OwnedFd> {
        rustix::fs::mkdirat(&memory, name, Mode::RWXU).map_err(|errno| Error::call(format!("mkdirat({name:?})"), errno))?;
        crate::root::open_beneath(memory.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    };
    let domain = Domain { nested: namespaces::nested(), nodev: true };
    overlay_by_descriptor(&[lower], &make("upper")?, &make("work")?, domain, false).map(drop)
}
