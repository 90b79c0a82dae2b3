//! `run`: make, start, and, unless it is detached, wait for the end.

use crate::container::signals;
use crate::container::start::Started;
use crate::container::tty::Raw;
use crate::error::Result;
use crate::monitor::watch::{Monitor, Stop};
use crate::oci::Call;
use crate::oci::delete;
use crate::oci::make::{self, Manner};
use crate::oci::start::run_poststart;
use crate::sys;
use crate::sys::task::{self, Ended};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use std::time::Duration;

pub fn run(call: &Call<'_>) -> Result<u8> {
    if call.words.has("detach") {
        let made = make::make(call, Manner::Detached)?;
        run_poststart(&made.container.record, &made.started.pidfd)?;
        return Ok(0);
    }
    if !call.words.has("no-subreaper") {
        task::set_child_subreaper();
    }
    // Before anything is made: a signal must not end us and leave that behind.
    let signals = task::signal_descriptor(&signals::forwarded())?;
    let mut made = make::make(call, Manner::Attended)?;
    let begun = run_poststart(&made.container.record, &made.started.pidfd);
    let ended = attend(&mut made.started, &signals)?;
    if !call.words.has("keep") {
        delete::remove(call, &made.container)?;
    }
    begun?;
    Ok(match ended {
        Ended::Exited(status) => status as u8,
        Ended::Signalled(signal) => (128 + signal) as u8,
    })
}

/// Watches a process to its end. Its streams are the caller's own; its terminal is shown on the caller's.
pub fn attend(started: &mut Started, signals: &OwnedFd) -> Result<Ended> {
    if let Some(terminal) = started.terminal.take() {
        return on_terminal(terminal, started);
    }
    loop {
        let mut fds = [PollFd::new(&started.pidfd, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        let _ = poll(&mut fds, None);
        let has_ended = !fds[0].revents().is_empty();
        while let Some(arrived) = task::next_signal(signals) {
            let _ = task::signal_process(&started.pidfd, arrived.signal);
        }
        if has_ended {
            return Ok(task::reap(started.pid, true).map_or(Ended::Exited(255), |(_, ended)| ended));
        }
    }
}

fn on_terminal(terminal: OwnedFd, started: &Started) -> Result<Ended> {
    let mut monitor = Monitor::new(None, Stop { signal: libc::SIGTERM, patience: Duration::ZERO })?;
    monitor.set_terminal(terminal)?;
    monitor.show_here()?;
    let _raw = Raw::enter(sys::standard(0));
    Ok(monitor.watch(started.pid, &started.pidfd))
}
