//! What this machine allows: each kind of isolation is tried, strongest first, in a process of its own.

use crate::cgroup::Hierarchies;
use crate::container::namespaces;
use crate::error::{Error, Kind, Result};
use crate::root;
use crate::sys::capability;
use crate::sys::{self, task};
use crate::trial;
use crate::userns;
use crate::wire::place::{Place, UserNamespace};
use crate::wire::protocol::{Probe, ProbeResult};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, ioctl_ficlone, mkdirat, openat, unlinkat};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};

pub fn probe(request: &Probe) -> ProbeResult {
    let mut missing = Vec::new();
    let (isolation, Tried { overlay, why_no_erofs, .. }) = strongest(&request.store, &mut missing);
    let name = rustix::system::uname();
    let hierarchies = Hierarchies::find();
    ProbeResult {
        isolation,
        kernel: name.release().to_string_lossy().into_owned(),
        architecture: name.machine().to_string_lossy().into_owned(),
        overlay,
        erofs: why_no_erofs.is_none(),
        why_no_erofs,
        reflink: has_reflink(&request.store).unwrap_or(false),
        seccomp: task::has_seccomp(),
        landlock: task::landlock_version(),
        cgroup: hierarchies.version(),
        controllers: hierarchies.usable(),
        missing,
    }
}

fn strongest(store: &Place, missing: &mut Vec<String>) -> (&'static str, Tried) {
    let is_root = rustix::process::geteuid().is_root();
    let levels: [(&str, Option<UserNamespace>); 3] =
        [("root", None), ("subid", Some(UserNamespace::Create)), ("single", Some(UserNamespace::Single))];
    for (name, namespace) in levels {
        if name == "root" && !is_root {
            continue;
        }
        match attempt(store, namespace.as_ref()) {
            Ok(tried) => {
                missing.extend(tried.why_no_overlay.clone());
                return (name, tried);
            }
            Err(error) => missing.push(sentence(&error)),
        }
    }
    let may_chroot = capability::capabilities().is_ok_and(|(effective, _)| effective >> 18 & 1 == 1);
    let why = "containers cannot be isolated here, so nothing can be mounted".to_owned();
    let nothing = Tried { overlay: false, why_no_overlay: None, why_no_erofs: Some(why) };
    (if is_root && may_chroot { "chroot" } else { "none" }, nothing)
}

/// The message and what to do, as one.
fn sentence(error: &Error) -> String {
    let text = error.to_string();
    match &error.hint {
        Some(hint) => format!("{text}. {hint}"),
        None => text,
    }
}

/// What can be mounted: overlays on the store, and layers of it; if not, why.
#[derive(Debug, Deserialize, Serialize)]
struct Tried {
    overlay: bool,
    why_no_overlay: Option<String>,
    why_no_erofs: Option<String>,
}

/// Tries everything that a container needs.
fn attempt(store: &Place, namespace: Option<&UserNamespace>) -> Result<Tried> {
    let directory = root::open_directory(store)?;
    let name = format!(".probe-{}", std::process::id());
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|errno| Error::call("pipe2(O_CLOEXEC)", errno))?;
    let Some(child) = task::fork()? else {
        drop(read);
        let answer =
            userns::enter(namespace).and_then(|()| try_all(store, &name)).map_err(|error| (error.message.clone(), error.hint.clone()));
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        let _ = File::from(write).write_all(&text);
        sys::exit_now(0);
    };
    drop(write);
    let mut text = Vec::new();
    let _ = File::from(read).read_to_end(&mut text);
    task::reap(child, true);
    for inner in ["work/work", "work/index", "work", "upper", "lower"] {
        let (parent, last) = inner.rsplit_once('/').map_or((name.clone(), inner), |(parent, last)| (format!("{name}/{parent}"), last));
        if let Ok(parent) = root::open_beneath(directory.as_fd(), &parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            let _ = unlinkat(&parent, last, AtFlags::REMOVEDIR);
        }
    }
    let _ = unlinkat(&directory, &*name, AtFlags::REMOVEDIR);
    match serde_json::from_slice::<Result<Tried, (String, Option<String>)>>(&text) {
        Ok(Ok(tried)) => Ok(tried),
        Ok(Err((message, hint))) => Err(Error { hint, ..Error::new(Kind::Isolation, message) }),
        Err(_) => Err(Error::new(Kind::Isolation, "the process that tried it was killed")),
    }
}

fn try_all(store: &Place, name: &str) -> Result<Tried> {
    trial::namespaces_and_mounts()?;
    let directory = root::open_directory(store)?;
    let make = |parent: &OwnedFd, name: &str| -> Result<OwnedFd> {
        mkdirat(parent, name, Mode::from_raw_mode(0o700))
            .map_err(|errno| Error::call(format!("mkdirat(store, {name:?})"), errno).context("cannot write to the store"))?;
        root::open_beneath(parent.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    };
    let place = make(&directory, name)?;
    let (lower, upper, work) = (make(&place, "lower")?, make(&place, "upper")?, make(&place, "work")?);
    let why_no_overlay = trial::overlay(lower, &upper, &work).err().map(|error| sentence(&error));
    let why_no_erofs = if namespaces::nested() {
        Some("only root can mount layers".to_owned())
    } else {
        trial::mounted_layers(&directory).err().map(|error| sentence(&error))
    };
    Ok(Tried { overlay: why_no_overlay.is_none(), why_no_overlay, why_no_erofs })
}

/// Whether files of the store can be copied without copying their bytes.
fn has_reflink(store: &Place) -> Result<bool> {
    let directory = root::open_directory(store)?;
    let make = || -> Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        openat(&directory, ".", flags, Mode::from_raw_mode(0o600))
            .map(File::from)
            .map_err(|errno| Error::call("openat(store, O_TMPFILE)", errno))
    };
    let (mut from, to) = (make()?, make()?);
    from.write_all(&[1; 4096]).map_err(|error| Error::io("write(…)", &error))?;
    Ok(ioctl_ficlone(&to, &from).is_ok())
}
