//! The verb `network`: connecting and disconnecting a container that runs, and sweeping.

use crate::container::state::Directory;
use crate::error::{Error, Kind, Result};
use crate::net::bridge::{Newcomer, Outside};
use crate::net::inside::Inside;
use crate::net::keeper;
use crate::net::place::Places;
use crate::sys::borrow;
use crate::wire::network::{NamedContainer, Network, NetworkAction};
use rustix::fs::{CWD, Mode, OFlags, openat};

pub fn network(request: &Network) -> Result<()> {
    let places = Places::open(&request.state)?;
    if let NetworkAction::Keep = request.action {
        let mode = request.user_mode.as_ref().ok_or_else(|| Error::new(Kind::Request, "the request names no program"))?;
        return keeper::start(&places, mode);
    }
    let outside = match &request.outside {
        None => Outside::here()?,
        Some(place) => Outside::shared(borrow(place.fd)?.try_clone_to_owned().map_err(|error| Error::io("dup(…)", &error))?)?,
    };
    let container = || request.container.as_ref().ok_or_else(|| Error::new(Kind::Request, "the request names no container"));
    let lock = places.lock()?;
    outside.sweep(&lock)?;
    match request.action {
        NetworkAction::Sweep | NetworkAction::Keep => {}
        NetworkAction::Connect => {
            let link = request.link.as_ref().ok_or_else(|| Error::new(Kind::Request, "the request has no link"))?;
            let container = container()?;
            let (pid, inside) = enter(container)?;
            outside.join(&lock, link, &Newcomer { container: &container.id, pid, inside: &inside, ports: &[] })?;
        }
        NetworkAction::Disconnect => {
            let network = request.network.as_deref().unwrap_or_default();
            if let Some(member) = places.read(network, &container()?.id) {
                outside.leave(&lock, &member);
            }
        }
    }
    Ok(())
}

/// Opens what is needed of a running container's network namespace.
fn enter(container: &NamedContainer) -> Result<(i32, Inside)> {
    // The descriptor holds the process: if it is still there after the namespace was opened, it was its.
    let (_, pid, pidfd) = Directory::open(&container.directory)?.process()?;
    let path = format!("/proc/{pid}/ns/net");
    let namespace = openat(CWD, &*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call(format!("openat({path:?})"), errno).path(path))?;
    crate::sys::task::signal_process(&pidfd, 0).map_err(|_| Error::new(Kind::State, "the container is not running"))?;
    Ok((pid, Inside::visit(namespace)?))
}
