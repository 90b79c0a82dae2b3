//! System calls that rustix lacks: the only module with `unsafe`.
#![allow(unsafe_code)]

pub mod bpf;
pub mod capability;
pub mod inflate;
pub mod landlock;
pub mod map;
pub mod mount;
pub mod process;
pub mod task;

use crate::error::{Error, Kind, Result};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};

/// Borrows a descriptor that the host passed down, by number.
///
/// # Errors
/// `Kind::Request` if no such descriptor is open, or if it is one of the runner's own (0 to 4).
pub fn borrow(fd: i32) -> Result<BorrowedFd<'static>> {
    if fd < 5 || !is_open(fd) {
        return Err(Error::new(Kind::Request, format!("the request names descriptor {fd}, which was not passed")));
    }
    // SAFETY: it is open, and descriptors of the request are never closed by this process.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Borrows a descriptor that this program was started with, for one who passes it on.
///
/// # Errors
/// `Kind::Request` if it is not open.
pub fn borrow_inherited(fd: i32) -> Result<BorrowedFd<'static>> {
    if fd < 3 || !is_open(fd) {
        return Err(Error::new(Kind::Request, format!("descriptor {fd} is to be passed on, but is not open")));
    }
    // SAFETY: it is open, and what is inherited for others is never closed by this process.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Puts another open file behind a descriptor that the host passed down: its number keeps its meaning.
///
/// # Errors
/// `Kind::Request` as for [`borrow`].
pub fn replace_passed(fd: i32, by: impl AsFd) -> Result<()> {
    borrow(fd)?;
    // SAFETY: only a descriptor of the request is replaced, never one that a Rust value owns; `borrow`ed ones stay open.
    if unsafe { libc::dup3(by.as_fd().as_raw_fd(), fd, libc::O_CLOEXEC) } == -1 {
        return Err(Error::io(format!("dup3(…, {fd})"), &std::io::Error::last_os_error()));
    }
    Ok(())
}

/// Changes the owner of an open file, also of one that is open only as a place (`O_PATH`).
pub fn change_owner(file: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: the empty path with AT_EMPTY_PATH names the descriptor itself.
    if unsafe { libc::fchownat(file.as_fd().as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) } == -1 {
        return Err(Error::io(format!("fchownat(…, {uid}, {gid})"), &std::io::Error::last_os_error()));
    }
    Ok(())
}

/// Gives a pipe or terminal to the container's user, where that is possible: their owner decides who may open them again.
pub fn change_owner_of_user(file: impl AsFd, uid: u32) {
    // SAFETY: no memory is involved; -1 leaves the group as it is.
    let _ = unsafe { libc::fchown(file.as_fd().as_raw_fd(), uid, u32::MAX) };
}

/// Makes `target` (0, 1 or 2) the same as an open file, inherited by what is executed.
pub fn put_at(file: impl AsFd, target: i32) -> Result<()> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the standard streams belong to no Rust value. A file that is already there only loses close-on-exec.
    let outcome = unsafe { if fd == target { libc::fcntl(fd, libc::F_SETFD, 0) } else { libc::dup2(fd, target) } };
    if outcome == -1 {
        return Err(Error::io(format!("dup2(…, {target})"), &std::io::Error::last_os_error()));
    }
    Ok(())
}

/// Borrows one of the standard streams, 0 to 2.
pub fn standard(number: i32) -> BorrowedFd<'static> {
    match number {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    }
}

/// Whether two descriptors are of the same file.
pub fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// Closes every descriptor except one.
pub fn close_all_but(kept: impl AsFd) {
    let kept = kept.as_fd().as_raw_fd() as u32;
    // SAFETY: for a process that goes on with nothing but this descriptor: what other values own is never used again.
    unsafe {
        if kept > 0 {
            libc::syscall(libc::SYS_close_range, 0, kept - 1, 0u32);
        }
        libc::syscall(libc::SYS_close_range, kept + 1, u32::MAX, 0u32);
    }
}

/// Closes every descriptor from `first` on except one.
pub fn close_from(first: u32, kept: impl AsFd) {
    let kept = kept.as_fd().as_raw_fd() as u32;
    // SAFETY: as for `close_all_but`.
    unsafe {
        if kept > first {
            libc::syscall(libc::SYS_close_range, first, kept - 1, 0u32);
        }
        libc::syscall(libc::SYS_close_range, first.max(kept + 1), u32::MAX, 0u32);
    }
}

/// Closes every descriptor except the standard streams and these, for a process that uses nothing else any more.
pub fn close_others(kept: &[BorrowedFd<'_>]) {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd() as u32).chain(0..3).collect();
    kept.sort_unstable();
    kept.push(u32::MAX);
    for pair in kept.windows(2) {
        if pair[0] + 1 < pair[1] {
            // SAFETY: values that own these descriptors are never used again in this process, nor dropped: it execs or exits.
            unsafe { libc::syscall(libc::SYS_close_range, pair[0] + 1, pair[1] - 1, 0u32) };
        }
    }
}

/// Waits until there is something to read.
pub fn wait_readable(file: impl AsFd) {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(file.as_fd(), rustix::event::PollFlags::IN)];
    let _ = rustix::event::poll(&mut fds, None);
}

/// Takes over a descriptor that this program was started with (3 and 4).
///
/// # Errors
/// `Kind::Request` if it is not open.
pub fn take(fd: i32) -> Result<File> {
    if !is_open(fd) {
        return Err(Error::new(Kind::Request, format!("descriptor {fd} is not open")));
    }
    // SAFETY: it is open, and main takes each of the two once, before anything else is opened.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Whether a descriptor of this number is open.
pub fn is_open(fd: i32) -> bool {
    // SAFETY: F_GETFD reads a flag of a number; no memory is involved.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Sets close-on-exec on every descriptor from `first` on: what the parent leaked stays out of what is executed.
pub fn close_on_exec_from(first: u32) {
    // SAFETY: changes a flag of descriptors; no memory is involved. An old kernel's ENOSYS is harmless here,
    // since every descriptor that this program opens is close-on-exec from its start.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, 4u32 /* CLOSE_RANGE_CLOEXEC */);
    }
}

/// Ends the process at once, without unwinding or destructors.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Whether this process administers the initial user namespace: only there `trusted.*` xattrs can be written.
pub fn has_initial_admin() -> bool {
    // PROC_USER_INIT_INO: the initial user namespace has a fixed inode number (include/uapi/linux/nsfs.h).
    const INITIAL: u64 = 0xEFFF_FFFD;
    let initial = rustix::fs::stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino == INITIAL);
    initial && rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN))
}

/// A path to `name` in an open directory, for the few calls that take no descriptor. The name must be one component.
pub fn path_at(directory: BorrowedFd<'_>, name: &std::ffi::OsStr) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    std::path::Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

/// Allows as many open files as this process may have.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused: then the limit stays what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
