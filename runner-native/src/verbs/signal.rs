//! The verb `signal`: to the process that is meant, or to none.

use crate::cgroup;
use crate::container::state::Directory;
use crate::delegate;
use crate::error::{Error, Kind, Result};
use crate::sys::task;
use crate::wire::container::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub fn signal(request: &Signal) -> Result<()> {
    let directory = Directory::open(&request.container.directory)?;
    let (state, pid, pidfd) = directory.process()?;
    if let Some(runtime) = &state.runtime {
        return delegate::signal(runtime, pid, &pidfd, request);
    }
    match request.action.as_deref() {
        Some("pause") => return cgroup::pause(&state, pid),
        Some("resume") => return cgroup::resume(&state, pid),
        Some(other) => return Err(Error::new(Kind::Request, format!("unknown action {other:?}"))),
        None => {}
    }
    if !(0..=64).contains(&request.signal) {
        return Err(Error::new(Kind::Request, format!("{} is not the number of a signal", request.signal)));
    }
    task::signal_process(&pidfd, request.signal).map_err(|error| match error.errno {
        Some(rustix::io::Errno::SRCH) => Error::new(Kind::State, "the container is not running"),
        _ => error,
    })?;
    if request.all {
        for other in cgroup::processes(pid)? {
            // Held by descriptor, then looked at again: a number that was given to another process meanwhile is not hit.
            let held = Pid::from_raw(other).and_then(|other| pidfd_open(other, PidfdFlags::empty()).ok());
            if let Some(held) = held.filter(|_| other != pid && cgroup::shares_processes(other, pid)) {
                let _ = task::signal_process(held, request.signal);
            }
        }
    }
    Ok(())
}
