//! Running from a copy of this program that nobody can write to.
//!
//! A container's program may be a script for `/proc/self/exe`, which is this program as long as exec has not
//! finished, or may find it as `/proc/PID/exe` of a process that joins; whoever opens that for writing owns the
//! host's next run of it (CVE-2019-5736). So, before anything of an image is touched, this program executes itself
//! again from a place where writing is impossible.

use crate::error::Result;
use crate::sys::mount::{ATTR_RDONLY, set_attributes};
use crate::sys::task;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatvfs, memfd_create, openat,
};
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Makes sure that this program runs from where it cannot be changed. Must be the first thing that main does: it may
/// start the program anew, with the same arguments and open files.
pub fn ensure() -> Result<()> {
    let Ok(program) = openat(CWD, "/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return Ok(());
    };
    if is_sealed(&program) || !is_writable(&program) {
        return Ok(());
    }
    let sealed = match by_mount(&program) {
        Some(sealed) => sealed,
        None => by_copy(&program)?,
    };
    let strings = |texts: Vec<std::ffi::OsString>| -> Vec<CString> {
        texts.into_iter().filter_map(|text| CString::new(text.into_vec()).ok()).collect()
    };
    let args = strings(std::env::args_os().collect());
    let env = strings(
        std::env::vars_os()
            .map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                name
            })
            .collect(),
    );
    let errno = task::exec_file(&sealed, &args, &env);
    Err(crate::error::Error::call("execveat(sealed copy of this program)", errno))
}

/// This program's file, to be executed inside a container by whichever user that has. Opened outside: /proc may be
/// anything there.
pub fn program() -> Result<OwnedFd> {
    use crate::error::Error;
    let program = openat(CWD, "/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\"/proc/self/exe\")", errno))?;
    let for_all = fstat(&program).is_ok_and(|stat| stat.st_mode & 0o005 == 0o005);
    if for_all { Ok(program) } else { by_copy(&program) }
}

fn is_sealed(program: &OwnedFd) -> bool {
    // A mount that cannot be written to any more, or a file in memory that is sealed.
    fstatvfs(program).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
        || fcntl_get_seals(program).is_ok_and(|seals| seals.contains(SEALS))
}

/// Whether anyone inside a container could write to it: root could to all, else its owner.
fn is_writable(program: &OwnedFd) -> bool {
    let me = rustix::process::geteuid();
    fstat(program).is_ok_and(|stat| me.is_root() || stat.st_uid == me.as_raw() || stat.st_mode & 0o022 != 0)
}

/// A read-only mount of the one file, attached nowhere. It dissolves when its descriptor is closed by exec, and lives on
/// only as what runs: from then on nobody can make it writable again, since it is in no namespace.
fn by_mount(program: &OwnedFd) -> Option<OwnedFd> {
    let mount = crate::mount::clone_tree(program, false).ok()?;
    set_attributes(&mount, ATTR_RDONLY, 0, libc::MS_PRIVATE, false).ok()?;
    Some(mount)
}

/// A copy in memory, for those who may not mount.
fn by_copy(program: &OwnedFd) -> Result<OwnedFd> {
    use crate::error::Error;
    let fail = |what: &'static str| move |errno: rustix::io::Errno| Error::call(what, errno);
    let copy =
        memfd_create("stave-runner", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(fail("memfd_create(MFD_ALLOW_SEALING)"))?;
    let size = fstat(program).map_err(fail("fstat(…)"))?.st_size as u64;
    let mut copied = 0;
    while copied < size {
        let count = rustix::fs::sendfile(&copy, program, None, (size - copied) as usize).map_err(fail("sendfile(…)"))?;
        if count == 0 {
            break;
        }
        copied += count as u64;
    }
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o555)).map_err(fail("fchmod(…)"))?;
    fcntl_add_seals(&copy, SEALS).map_err(fail("fcntl(F_ADD_SEALS)"))?;
    // Open for reading only: a file that is open for writing is not executed.
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy.as_fd()));
    openat(CWD, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail("openat(memfd)"))
}
