//! The mounts that a request asks for: made before the process is, attached inside it.

use crate::container::rootfs::{self, Domain};
use crate::container::targets::Targets;
use crate::container::{neighbour, owner};
use crate::error::{Error, Kind, Result};
use crate::mount::{attach, clone_tree, file_system, protect, tmpfs};
use crate::root;
use crate::sys::mount::{ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, set_attributes};
use crate::wire::container::RunMount;
use crate::wire::place::Place;
use crate::wire::tree::{IgnorePattern, Tree};
use base64::Engine;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fstat};

/// A mount that is made and waits to be attached.
pub struct Prepared {
    target: String,
    source: Source,
    directory: bool,
    readonly: bool,
}

enum Source {
    Mount(OwnedFd),
    /// A path inside a mount.
    Part {
        tree: OwnedFd,
        path: String,
    },
    /// A file of the tmpfs that holds all contents, by number.
    Content(usize),
}

/// The mounts of a request, in its order, and the tmpfs of its contents.
#[derive(Default)]
pub struct Mounts {
    list: Vec<Prepared>,
    contents: Option<OwnedFd>,
    /// Copies of the host's trees for bind mounts of the plan, by its number, where they must be made outside.
    bound: Vec<Option<OwnedFd>>,
}

/// Makes the mounts, attached to nothing: sources are copied within the namespace that their descriptors are of.
/// `owner_of` says who the process inside is.
pub fn prepare(mounts: &[RunMount], domain: Domain, owner_of: &dyn Fn() -> Result<(u32, u32)>) -> Result<Mounts> {
    let mut prepared = Mounts { list: Vec::with_capacity(mounts.len()), ..Mounts::default() };
    for mount in mounts {
        let one = match mount {
            RunMount::Bind { source, target, readonly, propagation, file: _, recursive, owner, own, attributes } => {
                if *own {
                    owner::give_all(source, owner_of()?).map_err(|error| error.context(format!("cannot mount on {target:?}")))?;
                }
                if let Some((uid, gid)) = owner {
                    give(source, *uid, *gid).map_err(|error| error.context(format!("cannot mount on {target:?}")))?;
                }
                let mount = bind(source, target, *readonly, propagation.as_deref(), *recursive, domain)?;
                if let Source::Mount(tree) = &mount.source {
                    set_attributes(tree, attributes_of(attributes)?, 0, 0, true)?;
                }
                mount
            }
            RunMount::Shared { namespace, path, target } => {
                let tree =
                    neighbour::directory_of(namespace, path).map_err(|error| error.context(format!("cannot mount on {target:?}")))?;
                Prepared { target: target.clone(), source: Source::Mount(tree), directory: true, readonly: false }
            }
            RunMount::Tree { from, path, target, readonly, ignore } => {
                let tree = mount_tree(from, ignore.as_deref(), *readonly, domain)
                    .map_err(|error| error.context(format!("cannot mount {target:?}")))?;
                Prepared { target: target.clone(), source: Source::Part { tree, path: path.clone() }, directory: true, readonly: *readonly }
            }
            RunMount::Tmpfs { target, size_bytes, mode, options } => {
                let source = Source::Mount(memory(*size_bytes, *mode, options.as_deref().unwrap_or_default())?);
                let readonly = options.iter().flatten().any(|option| option == "ro");
                Prepared { target: target.clone(), source, directory: true, readonly }
            }
            RunMount::Content { target, base64, mode, uid, gid } => {
                if prepared.contents.is_none() {
                    prepared.contents = Some(tmpfs(&[("mode", "700")], ATTR_NODEV)?);
                }
                let number = prepared.list.len();
                if let Some(contents) = &prepared.contents {
                    write_content(contents, number, target, base64, *mode, *uid, *gid)?;
                }
                Prepared { target: target.clone(), source: Source::Content(number), directory: false, readonly: false }
            }
        };
        prepared.list.push(one);
    }
    Ok(prepared)
}

impl Mounts {
    /// Copies of the host's trees for the bind mounts of a plan, by its number, where they were made outside.
    pub fn of_copies(bound: Vec<Option<OwnedFd>>) -> Self {
        Self { bound, ..Self::default() }
    }

    /// Puts what parts are taken of at `scratch`, out of sight: older kernels copy no part of what is attached nowhere.
    pub fn stage(&self, scratch: impl AsFd) -> Result<()> {
        for mount in &self.list {
            if let Source::Part { tree, .. } = &mount.source {
                attach(tree, &scratch)?;
            }
        }
        self.contents.as_ref().map_or(Ok(()), |contents| attach(contents, &scratch))
    }

    /// Attaches one inside the root.
    pub fn attach(&self, number: usize, targets: &mut Targets<'_>) -> Result<()> {
        let Opened { target, mount, directory } = self.open(number)?;
        attach(mount, targets.find(&target, directory)?)
    }

    /// One that is ready to be attached.
    pub fn open(&self, number: usize) -> Result<Opened> {
        let prepared = self.list.get(number).ok_or_else(|| Error::new(Kind::State, "a mount of the plan was not prepared"))?;
        prepared.open(self.contents.as_ref())
    }

    /// What was copied outside for a bind mount of the plan.
    pub fn take_bound(&mut self, index: usize) -> Option<OwnedFd> {
        self.bound.get_mut(index).and_then(Option::take)
    }
}

/// A mount that can be attached as it is.
pub struct Opened {
    pub target: String,
    pub mount: OwnedFd,
    pub directory: bool,
}

impl Prepared {
    fn open(&self, contents: Option<&OwnedFd>) -> Result<Opened> {
        let (mount, directory) = match &self.source {
            Source::Mount(mount) => (mount.try_clone().map_err(|error| Error::io("dup(…)", &error))?, self.directory),
            Source::Part { tree, path } => {
                // What is on top of a staged tree is not part of it: its own root is taken by descriptor.
                if path.split('/').all(|name| matches!(name, "" | "." | "..")) {
                    (clone_tree(tree, false)?, true)
                } else {
                    let part = root::open_in_root(tree.as_fd(), path, OFlags::PATH, Mode::empty())?;
                    (clone_tree(&part, true)?, is_directory(&part)?)
                }
            }
            Source::Content(number) => {
                let contents = contents.ok_or_else(|| Error::new(Kind::State, "a content mount without contents"))?;
                let file = root::open_beneath(contents.as_fd(), &number.to_string(), OFlags::PATH, Mode::empty())?;
                (clone_tree(&file, false)?, false)
            }
        };
        if self.readonly {
            protect(&mount, true)?;
        }
        Ok(Opened { target: self.target.clone(), mount, directory })
    }
}

/// Changes whose something is. Here, since in a user namespace nobody outside of it can.
fn give(place: &Place, uid: u32, gid: u32) -> Result<()> {
    let open = root::open_place(place, OFlags::PATH, Mode::empty())?;
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(&open, "", Some(user), Some(group), AtFlags::EMPTY_PATH).map_err(|errno| Error::call("fchownat(\"\")", errno))
}

fn attributes_of(words: &[String]) -> Result<u64> {
    words.iter().try_fold(0, |set, word| match word.as_str() {
        "noexec" => Ok(set | ATTR_NOEXEC),
        "nosuid" => Ok(set | ATTR_NOSUID),
        "nodev" => Ok(set | ATTR_NODEV),
        other => Err(Error::new(Kind::Request, format!("unknown mount attribute {other:?}"))),
    })
}

fn bind(source: &Place, target: &str, readonly: bool, propagation: Option<&str>, recursive: bool, domain: Domain) -> Result<Prepared> {
    let open =
        root::open_place(source, OFlags::PATH, Mode::empty()).map_err(|error| error.context(format!("cannot mount on {target:?}")))?;
    // In a user namespace what is mounted below cannot be uncovered, so it must come along.
    let mount = clone_tree(&open, recursive || domain.nested)?;
    let (flag, below) = match propagation {
        None | Some("rprivate") => (libc::MS_PRIVATE, true),
        Some("private") => (libc::MS_PRIVATE, false),
        Some("rslave") => (libc::MS_SLAVE, true),
        Some("slave") => (libc::MS_SLAVE, false),
        Some("rshared") => (libc::MS_SHARED, true),
        Some("shared") => (libc::MS_SHARED, false),
        // A closed list: nothing else becomes a mount option (CVE-2024-9407).
        Some(other) => return Err(Error::new(Kind::Request, format!("unknown mount propagation {other:?}"))),
    };
    set_attributes(&mount, 0, 0, flag, below)?;
    // What was named on the command line is what the caller may open anyhow, in a user namespace too.
    if domain.nodev && !domain.nested {
        set_attributes(&mount, ATTR_NODEV, 0, 0, true)?;
    }
    Ok(Prepared { target: target.to_owned(), source: Source::Mount(mount), directory: is_directory(&open)?, readonly })
}

fn is_directory(fd: impl AsFd) -> Result<bool> {
    let stat = fstat(fd).map_err(|errno| Error::call("fstat(…)", errno))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// A tree whose changes are thrown away: an overlay with its upper in memory. A build context without
/// exclusions that is only read is bound as it is.
fn mount_tree(from: &Tree, ignore: Option<&[IgnorePattern]>, readonly: bool, domain: Domain) -> Result<OwnedFd> {
    let ignore = ignore.unwrap_or_default();
    match from {
        Tree::Directory { root } => {
            let directory = root::open_place(root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            if readonly && ignore.is_empty() {
                let mount = clone_tree(&directory, true)?;
                set_attributes(&mount, ATTR_NODEV | ATTR_NOSUID, 0, libc::MS_PRIVATE, true)?;
                return Ok(mount);
            }
            let hidden = crate::container::hidden::hidden(root, ignore)?;
            let context = directory.try_clone().map_err(|error| Error::io("dup(…)", &error))?;
            rootfs::scratch_overlay_over(&[directory], domain, |upper| crate::container::hidden::hide(upper, &context, &hidden))
        }
        Tree::Lowers { lowers } => rootfs::scratch_overlay(&rootfs::open_lowers(lowers)?, domain),
    }
}

/// The options of a tmpfs mount that a user may give, as Docker's.
fn memory(size: Option<u64>, mode: Option<u32>, options: &[String]) -> Result<OwnedFd> {
    let mut data = vec![("mode".to_owned(), format!("{:o}", mode.unwrap_or(0o1777)))];
    if let Some(size) = size {
        data.push(("size".to_owned(), size.to_string()));
    }
    let mut attributes = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("ro" | "rw" | "nosuid" | "nodev" | "noexec" | "relatime", "") => {}
            ("exec", "") => attributes &= !ATTR_NOEXEC,
            ("suid", "") => attributes &= !ATTR_NOSUID,
            ("dev", "") => attributes &= !ATTR_NODEV,
            (key @ ("size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks"), value) if !value.is_empty() => {
                data.retain(|(known, _)| known != key);
                data.push((key.to_owned(), value.to_owned()));
            }
            _ => return Err(Error::new(Kind::Request, format!("unknown tmpfs option {option:?}"))),
        }
    }
    let data: Vec<(&str, &str)> = data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    file_system("tmpfs", &data, attributes)
}

fn write_content(
    contents: &OwnedFd,
    number: usize,
    target: &str,
    base64: &str,
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<()> {
    use std::io::Write;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .map_err(|error| Error::new(Kind::Request, format!("the content of {target:?} is not base64: {error}")))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let fail = |errno| Error::call(format!("openat(tmpfs, {number}, O_CREAT)"), errno).path(target);
    let file = rustix::fs::openat(contents, number.to_string(), flags, Mode::from_raw_mode(0o600)).map_err(fail)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).map_err(|errno| Error::call("fchmod(…)", errno).path(target))?;
    if uid.is_some() || gid.is_some() {
        crate::sys::change_owner(&file, uid.unwrap_or(0), gid.unwrap_or(0)).map_err(|error| error.path(target))?;
    }
    let mut file = std::fs::File::from(file);
    file.write_all(&bytes).map_err(|error| Error::io("write(…)", &error).path(target))
}
