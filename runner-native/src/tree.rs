//! How a layer lies in the store: in its snapshot's directory either `fs`, the unpacked tree, or a file `fs`, the index
//! of the layer's tar, with the `tar` beside it. Nobody but the unpacker, which makes both, asks which it is.
//!
//! An index is mounted when it is opened, attached to nothing: it is there as long as the descriptor is, or the overlay
//! that is made of it, and no other process sees it.

use crate::erofs::{self, Table};
use crate::error::{Error, Kind, Result};
use crate::root;
use crate::wire::place::Place;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, mkdirat, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufWriter, Write};

/// The tree, or the index in its place. The index has the permission bits of the tree's root.
pub const TREE: &str = "fs";
pub const TAR: &str = "tar";

/// Opens the root directory of a layer's tree.
///
/// # Errors
/// `Kind::Corrupt` for an index or a tar that is not as it was written; else what the kernel says.
pub fn open(place: &Place, flags: OFlags) -> Result<OwnedFd> {
    match root::open_place(place, flags | OFlags::DIRECTORY, Mode::empty()) {
        Err(error) if error.errno == Some(Errno::NOTDIR) => mount(place).map_err(|error| error.context("cannot mount a layer")),
        other => other,
    }
}

fn mount(place: &Place) -> Result<OwnedFd> {
    let path = place.path.as_deref().unwrap_or_default();
    let beside = path.strip_suffix(TREE).ok_or_else(|| Error::new(Kind::NotDirectory, "a layer is not a directory").path(path))?;
    let tar = Place { fd: place.fd, path: Some(format!("{beside}{TAR}")) };
    let open = |place: &Place| root::open_place(place, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
    erofs::mount::mount(open(place)?, open(&tar)?).map_err(|error| {
        let error = error.path(path);
        match error.errno {
            Some(Errno::PERM | Errno::ACCESS | Errno::NODEV | Errno::NOTBLK) => {
                error.hint("The store was made where layers can be mounted: with --storage-driver dir they are unpacked.")
            }
            _ => error,
        }
    })
}

/// Whether this is a mounted index: devices and inodes have numbers only as long as it is mounted.
pub fn is_mounted(root: impl AsFd) -> bool {
    rustix::fs::fstatfs(root).is_ok_and(|stat| stat.f_type as u64 == u64::from(erofs::MAGIC))
}

/// Makes the directory for a tree, with nothing inherited from where it lies.
pub fn create_tree(into: &OwnedFd) -> Result<OwnedFd> {
    let failed = |call: &str, errno| Error::call(format!("{call}({TREE:?})"), errno).path(TREE);
    mkdirat(into, TREE, Mode::from_raw_mode(0o755)).map_err(|errno| failed("mkdirat", errno))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let tree = openat(into, TREE, flags, Mode::empty()).map_err(|errno| failed("openat", errno))?;
    // The store's directory may be set-group-id or have a default ACL.
    for name in ["system.posix_acl_default", "system.posix_acl_access"] {
        match rustix::fs::fremovexattr(&tree, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed("fremovexattr", errno)),
        }
    }
    rustix::fs::fchmod(tree.as_fd(), Mode::from_raw_mode(0o755)).map_err(|errno| failed("fchmod", errno))?;
    Ok(tree)
}

/// Makes the file for the tar of a layer, in the directory of its snapshot.
pub fn create_tar(directory: &OwnedFd) -> Result<File> {
    create(directory, TAR).map(File::from)
}

/// Makes a blob, which is not compressed, the tar of a layer as well: nothing is written.
pub fn link_tar(directory: &OwnedFd, blob: &OwnedFd) -> Result<()> {
    let path = format!("/proc/self/fd/{}", blob.as_raw_fd());
    linkat(CWD, path, directory, TAR, AtFlags::SYMLINK_FOLLOW).map_err(|errno| Error::call(format!("linkat({TAR:?})"), errno).path(TAR))
}

/// Takes the tar away again.
pub fn remove_tar(directory: &OwnedFd) -> Result<()> {
    remove(directory, TAR)
}

/// Writes the index of a tar. Gives its length.
///
/// # Errors
/// `Kind::Unsupported` for what an index cannot say, before there is one.
pub fn create_index(directory: &OwnedFd, table: &Table, tar: erofs::Tar<'_>) -> Result<u64> {
    let file = create(directory, TREE)?;
    let mode = Mode::from_raw_mode(table.get(erofs::ROOT).mode & 0o7777);
    let mut out = BufWriter::with_capacity(256 << 10, File::from(file));
    let bytes = match erofs::write(table, tar, &mut out) {
        Err(error) if error.kind == Kind::Unsupported => {
            remove(directory, TREE)?;
            return Err(error);
        }
        other => other?,
    };
    out.flush().map_err(|error| Error::io("write(index)", &error))?;
    rustix::fs::fchmod(out.get_ref(), mode).map_err(|errno| Error::call("fchmod(index)", errno))?;
    Ok(bytes)
}

fn create(directory: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(0o600)).map_err(|errno| Error::call(format!("openat({name:?})"), errno).path(name))
}

fn remove(directory: &OwnedFd, name: &str) -> Result<()> {
    rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty())
        .map_err(|errno| Error::call(format!("unlinkat({name:?})"), errno).path(name))
}
