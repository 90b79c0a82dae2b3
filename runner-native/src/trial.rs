//! Trying out what this machine allows, of what a container needs and of how layers can be kept.

use crate::container::namespaces;
use crate::container::rootfs::{Domain, overlay as mount_overlay, overlay_by_descriptor};
use crate::erofs::{self, Table};
use crate::error::{Error, Kind, Result};
use crate::mount::{INERT, file_system, tmpfs};
use crate::sys::exit_now;
use crate::sys::task::{self, Ended};
use crate::userns::why_refused;
use crate::wire::layer::{LayerForm, TreeForm};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;

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

/// The form that was asked for, or that layers in `directory` can have on this machine.
///
/// # Errors
/// `Kind::Isolation` if an index was asked for and cannot be mounted here.
pub fn layer_form(asked: LayerForm, directory: &OwnedFd) -> Result<TreeForm> {
    if asked == LayerForm::Tree {
        return Ok(TreeForm::Tree);
    }
    match mounted_layers(directory) {
        Ok(()) => Ok(TreeForm::Index),
        Err(_) if asked == LayerForm::Either => Ok(TreeForm::Tree),
        Err(error) => Err(Error { kind: Kind::Isolation, ..error }
            .context("layers cannot be mounted here")
            .hint("It takes root, Linux 6.15 with EROFS, and a store on a file system of its own; --storage-driver dir unpacks them.")),
    }
}

/// Layers that are mounted, of files in `directory`, under an overlay.
///
/// # Errors
/// What the kernel refuses, and why.
pub fn mounted_layers(directory: &OwnedFd) -> Result<()> {
    let nameless = || -> Result<File> {
        openat(directory, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
            .map(File::from)
            .map_err(|errno| Error::call("openat(O_TMPFILE)", errno))
    };
    let (mut index, tar) = (nameless()?, nameless()?);
    tar.set_len(1024).map_err(|error| Error::io("ftruncate(tar)", &error))?;
    erofs::write(&Table::default(), erofs::Tar { bytes: 1024, hex: "" }, &mut index)?;
    overlay_in_memory(erofs::mount::mount(&index, &tar)?)
}

/// An overlay of a layer that is mounted nowhere (Linux 6.15), with its upper directory in memory.
fn overlay_in_memory(lower: OwnedFd) -> Result<()> {
    let memory = tmpfs(&[("mode", "755")], 0)?;
    let make = |name: &str| -> Result<OwnedFd> {
        rustix::fs::mkdirat(&memory, name, Mode::RWXU).map_err(|errno| Error::call(format!("mkdirat({name:?})"), errno))?;
        crate::root::open_beneath(memory.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    };
    let domain = Domain { nested: namespaces::nested(), nodev: true };
    overlay_by_descriptor(&[lower], &make("upper")?, &make("work")?, domain, false).map(drop)
}
