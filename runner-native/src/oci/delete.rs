//! `delete`: takes a container away with all that was made for it.

use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::kill::signal_all;
use crate::oci::make::run_poststop;
use crate::oci::store::{Container, Status};
use crate::sys::task;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a process that was killed may take to end.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

pub fn delete(call: &Call<'_>) -> Result<()> {
    let force = call.words.has("force");
    let container = match call.store.find(call.id()) {
        Ok(container) => container,
        Err(error) if force && error.kind == Kind::NotFound => return forget(call),
        Err(error) => return Err(error),
    };
    let _lock = container.place.lock()?;
    match container.status() {
        Status::Stopped => {}
        Status::Created => end(&container)?,
        _ if force => end(&container)?,
        status => {
            let id = call.id();
            return Err(Error::new(Kind::State, format!("cannot delete container {id} that is not stopped: {}", status.name())));
        }
    }
    remove(call, &container)
}

/// Takes away what was left by one that was never whole.
fn forget(call: &Call<'_>) -> Result<()> {
    match call.store.place(call.id()) {
        Ok(place) => place.remove(),
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Kills it, and waits until it is dead.
fn end(container: &Container) -> Result<()> {
    let Ok(pidfd) = container.process() else { return Ok(()) };
    let _ = task::signal_process(&pidfd, libc::SIGKILL);
    if let Some(cgroup) = container.record.cgroup().filter(Cgroup::is_frozen) {
        cgroup.thaw()?;
    }
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    match poll(&mut fds, Some(&PATIENCE)) {
        Ok(0) => Err(Error::new(Kind::State, "container init still running: it was killed 10 s ago")),
        _ => Ok(()),
    }
}

/// Takes away what belongs to a container that has ended.
pub fn remove(call: &Call<'_>, container: &Container) -> Result<()> {
    if !container.record.own_processes {
        signal_all(container, libc::SIGKILL);
    }
    if let Some(cgroup) = container.record.cgroup() {
        cgroup.remove();
        if cgroup.exists() {
            call.log.warning("a control group of the container cannot be removed: something is still in it");
        }
    }
    container.place.remove()?;
    run_poststop(call, &container.record);
    Ok(())
}
