//! Sockets of the caller that descriptors are sent to: of a terminal, of a process, of a filter.

use crate::error::{Error, Kind, Result};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, sendmsg,
    socket_with,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::path::Path;

/// Connects to a socket of the caller.
///
/// # Errors
/// Of the kernel; a path of any length is fine.
pub fn connect_to(path: &str) -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::call("socket(AF_UNIX, SOCK_STREAM)", errno))?;
    let fail = |errno| Error::call(format!("connect({path:?})"), errno).path(path);
    let Ok(address) = SocketAddrUnix::new(path) else {
        // An address has 108 bytes: by way of its directory it is shorter.
        let (Some(parent), Some(name)) = (Path::new(path).parent(), Path::new(path).file_name().and_then(|name| name.to_str())) else {
            return Err(Error::new(Kind::Request, format!("{path:?} is not the path of a socket")));
        };
        let directory = openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        let short = SocketAddrUnix::new(&*format!("/proc/self/fd/{}/{name}", directory.as_raw_fd())).map_err(fail)?;
        connect(&socket, &short).map_err(fail)?;
        return Ok(socket);
    };
    connect(&socket, &address).map_err(fail)?;
    Ok(socket)
}

/// Sends a descriptor, with a text that says what it is.
pub fn send(socket: impl AsFd, text: &[u8], descriptor: BorrowedFd<'_>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(|errno| Error::call("sendmsg(SCM_RIGHTS)", errno))
}
