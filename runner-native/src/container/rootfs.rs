//! The root file system: overlay mounts, made by descriptor and attached to nothing yet.

use crate::error::{Error, Kind, Result};
use crate::mount::{attach, clone_tree, tmpfs};
use crate::root;
use crate::sys::mount::ATTR_NODEV;
use crate::tree;
use crate::wire::container::RootFilesystem;
use crate::wire::place::Place;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, mount, open_tree, unmount,
};

/// What decides how mounts are made.
#[derive(Clone, Copy, Debug)]
pub struct Domain {
    /// We are in a user namespace: no devices, `user.overlay.*`, some file systems cannot be mounted.
    pub nested: bool,
    /// Device nodes that an image or a container makes must not work: where no control group limits them.
    pub nodev: bool,
}

impl Domain {
    pub fn attributes(self) -> u64 {
        if self.nodev { ATTR_NODEV } else { 0 }
    }
}

/// Mounts the root file system of a run: the lowers under the upper. Without an upper, changes go to memory and are thrown away.
pub fn mount_root(root: &RootFilesystem, domain: Domain) -> Result<OwnedFd> {
    let lowers = open_lowers(&root.lowers)?;
    match (&root.upper, &root.work) {
        (Some(upper), _) if lowers.is_empty() => {
            let upper = root::open_place(upper, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            let tree = clone_tree(&upper, false)?;
            crate::sys::mount::set_attributes(&tree, domain.attributes(), 0, libc::MS_PRIVATE, false)?;
            Ok(tree)
        }
        (Some(upper), Some(work)) => {
            let upper = root::open_place(upper, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            let work = root::open_place(work, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            overlay(&lowers, &upper, &work, domain, root.volatile)
        }
        (Some(_), None) => Err(Error::new(Kind::Request, "an upper directory needs a work directory")),
        (None, _) => scratch_overlay(&lowers, domain),
    }
}

pub fn open_lowers(places: &[Place]) -> Result<Vec<OwnedFd>> {
    places.iter().map(|place| tree::open(place, OFlags::PATH)).collect()
}

/// An overlay whose changes go to a tmpfs and vanish with it.
pub fn scratch_overlay(lowers: &[OwnedFd], domain: Domain) -> Result<OwnedFd> {
    scratch_overlay_over(lowers, domain, |_| Ok(()))
}

/// The same, with something put into its upper directory first.
pub fn scratch_overlay_over(lowers: &[OwnedFd], domain: Domain, fill: impl FnOnce(&OwnedFd) -> Result<()>) -> Result<OwnedFd> {
    if lowers.is_empty() {
        return tmpfs(&[("mode", "755")], ATTR_NODEV);
    }
    let memory = tmpfs(&[("mode", "755")], ATTR_NODEV)?;
    let make = |name: &str| -> Result<OwnedFd> {
        rustix::fs::mkdirat(&memory, name, Mode::from_raw_mode(0o755))
            .map_err(|errno| Error::call(format!("mkdirat(…, {name:?})"), errno))?;
        root::open_beneath(memory.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    };
    let (upper, work) = (make("upper")?, make("work")?);
    // What is shown is the upper's own root directory: it looks like the topmost lower's.
    if let Ok(stat) = rustix::fs::fstat(&lowers[0]) {
        let _ = crate::sys::change_owner(&upper, stat.st_uid, stat.st_gid);
        let _ = rustix::fs::chmodat(&memory, "upper", Mode::from_raw_mode(stat.st_mode & 0o7777), rustix::fs::AtFlags::empty());
    }
    fill(&upper)?;
    match overlay(lowers, &upper, &work, domain, false) {
        Err(error) if error.errno == Some(Errno::INVAL) => {
            put_out_of_sight(&memory)?;
            overlay(lowers, &upper, &work, domain, false).map_err(|_| error)
        }
        other => other,
    }
}

/// Attaches a file system where nobody looks: on top of the root of a mount namespace of our own. Before Linux 6.15 an
/// overlay takes nothing that is attached nowhere.
fn put_out_of_sight(mount: &OwnedFd) -> Result<()> {
    crate::container::namespaces::own_mounts()?;
    let place = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\"/\")", errno))?;
    attach(mount, &place)
}

/// Mounts an overlay, attached to nothing.
pub fn overlay(lowers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd, domain: Domain, volatile: bool) -> Result<OwnedFd> {
    match overlay_by_descriptor(lowers, upper, work, domain, volatile) {
        // "lowerdir+" came with Linux 6.7.
        Err(error) if error.errno == Some(Errno::INVAL) => overlay_by_options(lowers, upper, work, domain, volatile).map_err(|second| {
            // The old interface failed as well: what the new one said is more exact, unless it merely is unknown here.
            if second.errno == Some(Errno::INVAL) { error } else { second }
        }),
        other => other,
    }
    .map_err(|error| explain(error, domain))
}

fn explain(error: Error, domain: Domain) -> Error {
    let error = error.context(format!("cannot mount the root file system{}", if domain.nested { " in a user namespace" } else { "" }));
    match error.errno {
        Some(Errno::INVAL) => {
            error.hint("The store must lie on a file system that overlayfs can write to: not on an overlay, NFS or FUSE.")
        }
        Some(Errno::NODEV) => error.hint("This kernel has no overlayfs: `modprobe overlay` may help."),
        Some(Errno::PERM | Errno::ACCESS) if domain.nested => {
            Error { kind: Kind::Isolation, ..error }.hint("Overlay mounts without root need Linux 5.11 or newer.")
        }
        _ => error,
    }
}

pub fn overlay_by_descriptor(lowers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd, domain: Domain, volatile: bool) -> Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| Error::call("fsopen(\"overlay\")", errno))?;
    let set = |key: &str, value: &str| {
        fsconfig_set_string(&context, key, value)
            .map_err(|errno| Error::call(format!("fsconfig(FSCONFIG_SET_STRING, {key:?}, {value:?})"), errno))
    };
    set("source", "overlay")?;
    // By /proc/self/fd: no length limit applies, no host path shows in the container's mount table, and
    // kernels before 6.13 take no descriptors here.
    for lower in lowers {
        set("lowerdir+", &by_descriptor(lower))?;
    }
    set("upperdir", &by_descriptor(upper))?;
    set("workdir", &by_descriptor(work))?;
    for flag in [domain.nested.then_some("userxattr"), volatile.then_some("volatile")].into_iter().flatten() {
        match fsconfig_set_flag(&context, flag) {
            // "volatile" is only speed; "userxattr" (Linux 5.11) is a must.
            Err(errno) if flag == "userxattr" => return Err(Error::call(format!("fsconfig(FSCONFIG_SET_FLAG, {flag:?})"), errno)),
            _ => {}
        }
    }
    // The format of the upper must be a layer's: no metadata-only copies, no redirects, whatever the module's
    // parameters say. A kernel without one of these options does not do the thing either.
    let options: &[&str] = if domain.nested { &["metacopy", "index"] } else { &["metacopy", "redirect_dir", "index", "xino"] };
    for option in options {
        let _ = fsconfig_set_string(&context, *option, "off");
    }
    fsconfig_create(&context).map_err(|errno| Error::call("fsconfig(FSCONFIG_CMD_CREATE, \"overlay\")", errno))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(domain.attributes() as u32))
        .map_err(|errno| Error::call("fsmount(\"overlay\")", errno))
}

/// The way of kernels before 6.7: one string of at most a page, so the layers are named by number, relative to /proc/self/fd.
fn overlay_by_options(lowers: &[OwnedFd], upper: &OwnedFd, work: &OwnedFd, domain: Domain, volatile: bool) -> Result<OwnedFd> {
    crate::container::namespaces::own_mounts()?;
    let names: Vec<String> = lowers.iter().map(|lower| lower.as_raw_fd().to_string()).collect();
    let mut options = format!("lowerdir={},upperdir={},workdir={}", names.join(":"), upper.as_raw_fd(), work.as_raw_fd());
    options.push_str(if domain.nested { ",userxattr" } else { ",metacopy=off,redirect_dir=off,index=off,xino=off" });
    if volatile {
        options.push_str(",volatile");
    }
    if options.len() >= 4096 {
        return Err(Error::new(Kind::TooLarge, format!("{} layers are more than this kernel mounts at once", lowers.len())));
    }
    let options = crate::sys::task::c_string(&options)?;
    let before = rustix::fs::openat(CWD, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    rustix::process::chdir("/proc/self/fd").map_err(|errno| Error::call("chdir(\"/proc/self/fd\")", errno))?;
    // In our own mount namespace any directory will do as the place to attach it to, for a moment.
    let place =
        ["/mnt", "/media", "/srv", "/tmp", "/sys"].into_iter().find(|path| rustix::fs::access(*path, rustix::fs::Access::EXISTS).is_ok());
    let place = place.unwrap_or("/proc");
    let mounted = mount("overlay", place, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(|errno| Error::call(format!("mount(\"overlay\", {place:?}, \"overlay\", {options:?})"), errno));
    if let Ok(before) = before {
        let _ = rustix::process::fchdir(before);
    }
    mounted?;
    let tree = open_tree(CWD, place, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .map_err(|errno| Error::call(format!("open_tree({place:?})"), errno));
    let _ = unmount(place, UnmountFlags::DETACH);
    let tree = tree?;
    crate::sys::mount::set_attributes(&tree, domain.attributes(), 0, libc::MS_PRIVATE, false)?;
    Ok(tree)
}

fn by_descriptor(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_interface_of_old_kernels_takes_as_many_layers() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped, because mounting needs root");
            return;
        }
        // A mount namespace of this thread's own, and descriptors that belong to it.
        crate::container::namespaces::own_mounts().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| -> OwnedFd {
            fs::create_dir_all(directory.path().join(name)).unwrap();
            fs::File::open(directory.path().join(name)).unwrap().into()
        };
        let lowers: Vec<OwnedFd> = (0..200)
            .map(|number| {
                let opened = open(&format!("lower-{number}"));
                fs::write(directory.path().join(format!("lower-{number}/file-{number}")), "").unwrap();
                fs::write(directory.path().join(format!("lower-{number}/top")), number.to_string()).unwrap();
                opened
            })
            .collect();
        let domain = Domain { nested: false, nodev: true };
        let tree = overlay_by_options(&lowers, &open("upper"), &open("work"), domain, false).unwrap();
        let seen = root::open_in_root(tree.as_fd(), "/", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let names =
            rustix::fs::Dir::read_from(&seen).unwrap().flatten().filter(|entry| entry.file_name().to_bytes().starts_with(b"file-")).count();
        assert_eq!(names, 200);
        let memory = tmpfs(&[("mode", "755")], ATTR_NODEV).unwrap();
        put_out_of_sight(&memory).unwrap();
        assert!(fs::metadata("/proc/self/status").is_ok(), "what is put out of sight hides nothing");
        let top = root::open_in_root(tree.as_fd(), "top", OFlags::RDONLY, Mode::empty()).unwrap();
        assert_eq!(std::io::read_to_string(fs::File::from(top)).unwrap(), "0");
    }
}
