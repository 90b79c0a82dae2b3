//! The terminal of a container that another runtime makes: it comes over a socket.

use crate::error::{Error, Kind, Result};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind,
    listen, recvmsg, socket_with,
};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

/// A socket that a runtime connects to.
pub struct Terminal {
    socket: OwnedFd,
    name: String,
    path: PathBuf,
}

impl Terminal {
    /// In the runtime's directory, from where it is named shortly: an address has 108 bytes.
    pub fn listen(directory: &Path) -> Result<Self> {
        let name = format!("terminal-{}", std::process::id());
        let call = |what: &str, errno| Error::call(format!("{what}({name:?})"), errno);
        let open = openat(CWD, directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| call("openat", errno))?;
        let address = SocketAddrUnix::new(&*format!("/proc/self/fd/{}/{name}", open.as_raw_fd())).map_err(|errno| call("bind", errno))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(|errno| call("socket", errno))?;
        bind(&socket, &address).map_err(|errno| call("bind", errno))?;
        listen(&socket, 1).map_err(|errno| call("listen", errno))?;
        Ok(Self { socket, path: directory.join(&name), name })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The controlling side. The runtime has sent it before it said that the process is made.
    pub fn accept(self) -> Result<OwnedFd> {
        let connection = accept_with(&self.socket, SocketFlags::CLOEXEC)
            .map_err(|errno| Error::call("accept4(…)", errno).context("the runtime has made no terminal"))?;
        let (mut text, mut space) = ([0; 4096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&connection, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .map_err(|errno| Error::call("recvmsg(SCM_RIGHTS)", errno))?;
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        descriptor.ok_or_else(|| Error::new(Kind::Isolation, "the runtime has sent no terminal"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
