//! `start`: lets the program of a container that was made begin.

use crate::container::hooks;
use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::store::{Record, Status};
use crate::sys::task;
use crate::wire::channel::{Channel, Message};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use serde_json::Value;

pub fn start(call: &Call<'_>) -> Result<()> {
    let container = call.store.find(call.id())?;
    let _lock = container.place.lock()?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => return Err(Error::new(Kind::State, "cannot start a container that has stopped")),
        Status::Running | Status::Paused => return Err(Error::new(Kind::State, "cannot start an already running container")),
    }
    let pidfd = container.process()?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::call("socket(AF_UNIX, SOCK_SEQPACKET)", errno))?;
    connect(&socket, &container.place.gate()?).map_err(|errno| match errno {
        Errno::CONNREFUSED | Errno::NOENT => Error::new(Kind::State, "cannot start a container that has stopped"),
        errno => Error::call("connect(gate)", errno),
    })?;
    container.place.remove_gate();
    listen(&Channel::of(socket))?;
    run_poststart(&container.record, &pidfd)
}

/// Hears until the program has begun.
fn listen(channel: &Channel) -> Result<()> {
    let mut has_begun = false;
    while let Some((message, _)) = channel.receive()? {
        match message {
            Message::Confined {} => has_begun = true,
            Message::Failed { error } => return Err(error),
            _ => {}
        }
    }
    if has_begun { Ok(()) } else { Err(Error::new(Kind::State, "the container's process ended before its program began")) }
}

/// Runs the hooks of a container that runs; one that fails is its end.
pub fn run_poststart(record: &Record, pidfd: &OwnedFd) -> Result<()> {
    let state = Value::Object(record.state("running")).to_string();
    hooks::run("poststart", &record.config.hooks.poststart, &state).inspect_err(|_| {
        let _ = task::signal_process(pidfd, libc::SIGKILL);
    })
}
