//! `kill`, `pause` and `resume`.

use crate::cgroup::Cgroup;
use crate::container::signals;
use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::store::{Container, Status};
use crate::sys::task;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub fn kill(call: &Call<'_>) -> Result<()> {
    let signal = signals::parse(call.words.operands.get(1).map_or("TERM", String::as_str))?;
    let container = call.store.find(call.id())?;
    if call.words.has("all") {
        signal_all(&container, signal);
        return Ok(());
    }
    let pidfd = container.process()?;
    task::signal_process(&pidfd, signal).map_err(|error| match error.errno {
        Some(rustix::io::Errno::SRCH) => Error::new(Kind::State, "container not running"),
        _ => error,
    })?;
    if signal == libc::SIGKILL {
        if !container.record.own_processes {
            signal_all(&container, signal);
        }
        // What is frozen does not end.
        if let Some(cgroup) = container.record.cgroup().filter(Cgroup::is_frozen) {
            let _ = cgroup.thaw();
        }
    }
    Ok(())
}

/// Sends a signal to all processes in the container's control groups.
pub fn signal_all(container: &Container, signal: i32) {
    let Some(cgroup) = container.record.cgroup() else {
        let _ = container.process().and_then(|pidfd| task::signal_process(&pidfd, signal));
        return;
    };
    for member in cgroup.members() {
        // Held by descriptor, then looked at again: a number that was given to another process meanwhile is not hit.
        let held = Pid::from_raw(member).and_then(|member| pidfd_open(member, PidfdFlags::empty()).ok());
        if let Some(held) = held.filter(|_| cgroup.members().contains(&member)) {
            let _ = task::signal_process(held, signal);
        }
    }
}

pub fn pause(call: &Call<'_>) -> Result<()> {
    let container = call.store.find(call.id())?;
    let _lock = container.place.lock()?;
    match container.status() {
        Status::Running | Status::Created => groups(&container)?.freeze(),
        status => Err(Error::new(Kind::State, format!("cannot pause a container that is {}: container not running", status.name()))),
    }
}

pub fn resume(call: &Call<'_>) -> Result<()> {
    let container = call.store.find(call.id())?;
    let _lock = container.place.lock()?;
    match container.status() {
        Status::Paused => groups(&container)?.thaw(),
        status => Err(Error::new(Kind::State, format!("cannot resume a container that is {}: container not paused", status.name()))),
    }
}

/// The control groups of a container, for what cannot be done without.
pub fn groups(container: &Container) -> Result<Cgroup> {
    container.record.cgroup().ok_or_else(|| Error::new(Kind::Isolation, "the container has no control groups"))
}
