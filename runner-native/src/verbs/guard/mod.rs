//! The guard of a container: a process beside its monitor that checks its health and, when it has ended, starts it again
//! as its restart policy says. It is outside the container's user namespace, so that what it starts is the caller's.

mod health;

use crate::container::state::Directory;
use crate::error::{Error, Kind, Result};
use crate::sys::process::{ends_within, leave_caller, start_time};
use crate::sys::{self, task};
use crate::wire::event::Events;
use crate::wire::guard::{Guard, Restart};
use health::Checks;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A container that ran this long was well: the next wait is the shortest again (Docker's rule).
const LONG_LIFE: Duration = Duration::from_secs(10);
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Starts the guard, and comes back once it is there.
pub fn guard(request: &Guard, control: File, events: &Events) -> Result<()> {
    check(request)?;
    let directory = Directory::open(&request.container.directory)?;
    let monitor = monitor_of(&directory);
    if let Some(guard) = task::fork()? {
        directory.write_file("guard.json", &json!({ "pid": guard, "start": start_time(guard) }))?;
        events.result(&json!({}));
        return Ok(());
    }
    drop(control);
    events.close();
    leave_caller(c"stave-guard");
    // A directory of somebody else's must not be kept busy.
    let _ = rustix::process::chdir("/");
    let started = Instant::now();
    let mut checks = request.health.as_ref().map(|health| Checks::new(&request.container, health));
    if let Some(monitor) = &monitor {
        attend(&directory, monitor, checks.as_mut());
        if let Some(restart) = &request.restart {
            again(&directory, restart, started.elapsed());
        }
    } else if let Some(restart) = &request.restart {
        again(&directory, restart, Duration::ZERO);
    }
    sys::exit_now(0);
}

/// The process that watches the container, if it is still there.
fn monitor_of(directory: &Directory) -> Option<OwnedFd> {
    let state = directory.read().ok()?;
    let pid = state.monitor_pid?;
    let held = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Opened first, compared then: if the start time fits now, it is the one that is held.
    (state.status == "running" && start_time(pid) == state.monitor_start).then_some(held)
}

/// Until the monitor has ended.
fn attend(directory: &Directory, monitor: &OwnedFd, mut checks: Option<&mut Checks<'_>>) {
    loop {
        let wait = checks.as_ref().map(|checks| checks.next_in());
        if ends_within(monitor, wait) {
            return;
        }
        if let Some(checks) = checks.as_mut() {
            checks.check(directory, monitor);
        }
    }
}

/// Becomes the program that starts the container again. Comes back if that is not to be.
fn again(directory: &Directory, restart: &Restart, lived: Duration) {
    let succeeded = directory.read().is_ok_and(|state| state.status == "exited" && state.exit_code == Some(0));
    if restart.on_failure && succeeded {
        return;
    }
    std::thread::sleep(if lived >= LONG_LIFE { SHORTEST_WAIT } else { Duration::from_millis(restart.delay_ms) });
    let Some((program, arguments)) = restart.command.split_first() else { return };
    let variables = restart.env.iter().filter_map(|entry| entry.split_once('='));
    let _ = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .exec();
}

/// Makes sense of a request before anything is started.
fn check(request: &Guard) -> Result<()> {
    if request.restart.as_ref().is_some_and(|restart| !restart.command.first().is_some_and(|program| program.starts_with('/'))) {
        return Err(Error::new(Kind::Request, "the request names no program that starts the container again"));
    }
    Ok(())
}
