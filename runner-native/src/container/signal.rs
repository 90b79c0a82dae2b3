//! The verb `signal`: to the process that is meant, or to none.

use crate::cgroup;
use crate::container::state::Directory;
use crate::sys::task;
use crate::wire::error::{Error, Kind, Result};
use crate::wire::protocol::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub fn signal(request: &Signal) -> Result<()> {
    let directory = Directory::open(&request.container.directory)?;
    let (state, pid, pidfd) = directory.process()?;
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
        for other in processes(pid)? {
            // Held by descriptor, then looked at again: a number that was given to another process meanwhile is not hit.
            let held = Pid::from_raw(other).and_then(|other| pidfd_open(other, PidfdFlags::empty()).ok());
            if let Some(held) = held.filter(|_| other != pid && namespace(other) == namespace(pid)) {
                let _ = task::signal_process(held, request.signal);
            }
        }
    }
    Ok(())
}

/// All processes of a container, in our numbering: those in its process namespace.
///
/// # Errors
/// `Kind::Unsupported` if that is the host's, where they cannot be told apart.
pub fn processes(pid: i32) -> Result<Vec<i32>> {
    let theirs = namespace(pid);
    if theirs.is_none() || theirs == namespace(std::process::id() as i32) {
        return Err(Error::new(Kind::Unsupported, "the container shares the host's processes, so its own cannot be told apart"));
    }
    let entries = std::fs::read_dir("/proc").map_err(|error| Error::io("open(\"/proc\")", &error))?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(numbers.filter(|other| namespace(*other) == theirs).collect())
}

fn namespace(pid: i32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
