//! The verb `attach`, and the socket in the container's directory that it connects to.

use crate::container::state::Directory;
use crate::container::tty;
use crate::error::{Error, Kind, Result};
use crate::monitor::front::{End, Front};
use crate::wire::container::{Attach, ExecResult};
use crate::wire::event::Events;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, chmodat, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen as listen_on, socket_with};
use serde_json::json;
use std::fs::File;

const SOCKET: &str = "attach";

/// The name of the socket by way of the open directory: a path may be longer than the 108 bytes that an address has.
fn address(directory: &Directory) -> Result<SocketAddrUnix> {
    let name = format!("/proc/self/fd/{}/{SOCKET}", directory.as_fd().as_raw_fd());
    SocketAddrUnix::new(&*name).map_err(|errno| Error::call(format!("sockaddr_un({name:?})"), errno))
}

fn socket() -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::call("socket(AF_UNIX, SOCK_STREAM)", errno))
}

/// Makes the socket that others connect to.
pub fn listen(directory: &Directory) -> Result<OwnedFd> {
    // One that was left by a monitor which was killed.
    let _ = unlinkat(directory.as_fd(), SOCKET, AtFlags::empty());
    let socket = socket()?;
    rustix::io::ioctl_fionbio(&socket, true).map_err(|errno| Error::call("ioctl(FIONBIO)", errno))?;
    bind(&socket, &address(directory)?).map_err(|errno| Error::call(format!("bind({SOCKET:?})"), errno))?;
    let _ = chmodat(directory.as_fd(), SOCKET, Mode::from_raw_mode(0o600), AtFlags::empty());
    listen_on(&socket, 16).map_err(|errno| Error::call("listen(…)", errno))?;
    Ok(socket)
}

pub fn attach(request: &Attach, control: File, events: &Events) -> Result<()> {
    let keys = tty::parse_keys(request.detach_keys.as_deref())?;
    let directory = Directory::open(&request.container.directory)?;
    directory.process()?;
    let socket = socket()?;
    connect(&socket, &address(&directory)?).map_err(|errno| match errno {
        Errno::NOENT | Errno::CONNREFUSED => Error::new(Kind::State, "nobody can be attached to this container")
            .hint("It runs in the foreground of another command, which has its streams."),
        errno => Error::call(format!("connect({SOCKET:?})"), errno),
    })?;
    events.send_named("ready", json!({}));
    let exit_code = match Front::new(socket, control, request.interactive, keys).attend(true, |_| {})? {
        End::Exited(result) => result.exit_code,
        End::Left => None,
    };
    events.result(&ExecResult { exit_code });
    Ok(())
}
