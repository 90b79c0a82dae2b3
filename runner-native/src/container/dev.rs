//! Device nodes, and the links beside them.

use crate::container::plan::{Node, Plan};
use crate::container::targets::Targets;
use crate::error::{Error, Kind, Result};
use crate::mount::{attach, clone_tree, tmpfs};
use crate::root;
use crate::sys::mount::{ATTR_NOEXEC, set_attributes};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, major, makedev, minor, mkdirat, mknodat, openat, statat, symlinkat};
use rustix::io::Errno;

const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
];

/// Where nodes come from. As mounts of a tmpfs of our own, /dev itself and all else can be `nodev`: a node that the
/// container makes does not open anything then. As nodes, where /dev takes them. As mounts of the host's, where this user
/// may make none.
pub struct Nodes {
    own: Option<OwnedFd>,
    nested: bool,
}

impl Nodes {
    /// Puts nodes of our own at `scratch`, out of sight.
    pub fn new(plan: &Plan, scratch: BorrowedFd<'_>) -> Result<Self> {
        let nested = plan.domain.nested;
        let own = if nested || !plan.domain.nodev { None } else { Some(tmpfs(&[("mode", "700")], ATTR_NOEXEC)?) };
        if let Some(own) = &own {
            attach(own, scratch)?;
        }
        Ok(Self { own, nested })
    }

    fn put(&self, node: &Node, directory: &OwnedFd, name: &str) -> Result<()> {
        let call = |what: &str, errno: Errno| Error::call(format!("{what}({:?})", node.path), errno).path(&node.path);
        if self.nested && node.kind != 'p' {
            return attach(of_host(node)?, make_file(directory, name)?);
        }
        let kind = match node.kind {
            'b' => FileType::BlockDevice,
            'p' => FileType::Fifo,
            _ => FileType::CharacterDevice,
        };
        let number = makedev(node.major, node.minor);
        let own_name = node.path.replace('/', "_");
        let (place, at) = match &self.own {
            Some(own) if node.kind != 'p' => (own, own_name.as_str()),
            _ => (directory, name),
        };
        match mknodat(place, at, kind, Mode::from_raw_mode(0), number) {
            Ok(()) => {}
            Err(Errno::PERM) if self.own.is_none() => return attach(of_host(node)?, make_file(directory, name)?),
            Err(errno) => return Err(call("mknodat", errno)),
        }
        rustix::fs::chmodat(place, at, Mode::from_raw_mode(node.mode), AtFlags::empty()).map_err(|errno| call("fchmodat", errno))?;
        let made = open_in(place, at)?;
        if (node.uid, node.gid) != (0, 0) {
            crate::sys::change_owner(&made, node.uid, node.gid).map_err(|error| error.path(&node.path))?;
        }
        if self.own.is_some() && node.kind != 'p' {
            attach(clone_tree(made, false)?, make_file(directory, name)?)?;
        }
        Ok(())
    }
}

/// A mount of the host's node, which must be the device that is meant.
fn of_host(node: &Node) -> Result<OwnedFd> {
    let open = root::host(&node.path)?;
    let found = number(&open, &node.path)?;
    let kind = if node.kind == 'b' { FileType::BlockDevice } else { FileType::CharacterDevice };
    if found != (kind, (node.major, node.minor)) {
        return Err(Error::new(Kind::Isolation, format!("{} of the host is not the device that it should be", node.path)).path(&node.path));
    }
    let mount = clone_tree(&open, false)?;
    set_attributes(&mount, 0, 0, libc::MS_PRIVATE, false)?;
    Ok(mount)
}

/// A mount of a null device that no image can have tampered with (CVE-2025-31133).
pub fn null() -> Result<OwnedFd> {
    of_host(&Node { path: "/dev/null".to_owned(), kind: 'c', major: 1, minor: 3, mode: 0o666, uid: 0, gid: 0 })
}

/// Kind (`b` or `c`), major and minor number of a device of the host.
pub fn number_of(path: &str) -> Result<(char, u32, u32)> {
    let (kind, (major, minor)) = number(&root::host(path)?, path)?;
    Ok((if kind == FileType::BlockDevice { 'b' } else { 'c' }, major, minor))
}

fn number(node: &OwnedFd, path: &str) -> Result<(FileType, (u32, u32))> {
    let stat = fstat(node).map_err(|errno| Error::call("fstat(…)", errno).path(path))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(Error::new(Kind::Request, format!("{path} is not a device node")).path(path));
    }
    Ok((kind, (major(stat.st_rdev), minor(stat.st_rdev))))
}

/// Makes the devices and links. `dev` is what is mounted at /dev, if it is ours to fill.
pub fn fill(plan: &Plan, nodes: &Nodes, dev: &OwnedFd, targets: &mut Targets<'_>) -> Result<()> {
    for (name, target) in LINKS {
        if *name != "core" || rustix::fs::access("/proc/kcore", rustix::fs::Access::EXISTS).is_ok() {
            link(dev, name, target)?;
        }
    }
    link(dev, "ptmx", "pts/ptmx")?;
    for node in &plan.devices {
        let put = |directory: &OwnedFd, name: &str| {
            // What was mounted there on purpose stays.
            if statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() { Ok(()) } else { nodes.put(node, directory, name) }
        };
        let made = if let Some(name) = node.path.strip_prefix("/dev/") {
            make_parents(dev, name).and_then(|(directory, last)| put(&directory, last))
        } else {
            let (parent, last) = node.path.rsplit_once('/').unwrap_or(("", &node.path));
            let parent = if parent.is_empty() { "/" } else { parent };
            targets.find(parent, true).and_then(|directory| put(&directory, last))
        };
        // A privileged container has what there is to be had.
        made.or_else(|error| if plan.lenient && nodes.nested && !is_standard(node) { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

fn is_standard(node: &Node) -> bool {
    crate::container::plan::STANDARD.iter().any(|(name, _, _)| node.path.strip_prefix("/dev/") == Some(name))
}

fn link(dev: &OwnedFd, name: &str, target: &str) -> Result<()> {
    match symlinkat(target, dev, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::call(format!("symlinkat(dev, {name:?})"), errno).path(format!("/dev/{name}"))),
    }
}

fn make_file(dev: &OwnedFd, name: &str) -> Result<OwnedFd> {
    openat(dev, name, OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
        .map_err(|errno| Error::call(format!("openat(dev, {name:?}, O_CREAT)"), errno))
}

fn make_parents<'n>(dev: &OwnedFd, name: &'n str) -> Result<(OwnedFd, &'n str)> {
    let (parents, last) = name.rsplit_once('/').unwrap_or(("", name));
    let mut directory = dev.try_clone().map_err(|error| Error::io("dup(…)", &error))?;
    for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
        match mkdirat(&directory, parent, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::call(format!("mkdirat(dev, {parent:?})"), errno)),
        }
        directory = open_in(&directory, parent)?;
    }
    Ok((directory, last))
}

fn open_in(directory: &OwnedFd, name: &str) -> Result<OwnedFd> {
    root::open_beneath(directory.as_fd(), name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
}
