//! The container's first process where one is asked for: passes signals on, reaps what is orphaned, ends with the
//! program. It runs as confined as the program itself, and is this program executed anew: nothing of the monitor's
//! memory, of the machine's environment or of the request is left in it for the container to read.

use crate::container::plan::Process;
use crate::container::process::{self, Ready};
use crate::error::Error;
use crate::sys::task::{self, Ended};
use crate::sys::{self, exit_now};
use rustix::fd::OwnedFd;
use std::ffi::CString;

/// The name that this program is called by to be one.
pub const NAME: &str = "stave-init";

/// Starts the program and becomes the process that looks after it, out of `image`, this program's own file. Comes back
/// only with why that could not be.
pub fn run(spec: &Process, ready: &Ready, image: &OwnedFd) -> Error {
    // Blocked from here on, through exec: what comes meanwhile waits.
    if let Err(error) = task::signal_descriptor(&everything()) {
        return error;
    }
    let child = match task::fork() {
        Ok(None) => {
            // A group of its own in the foreground, so that what the keyboard sends reaches the program only once.
            let _ = rustix::process::setpgid(None, None);
            if spec.terminal {
                let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
            }
            task::die_with_parent();
            task::reset_signals();
            return process::exec(spec, ready);
        }
        Ok(Some(child)) => child,
        Err(error) => return error,
    };
    sys::close_on_exec_from(3);
    let args = [c"stave-init".to_owned(), CString::new(child.to_string()).unwrap_or_default()];
    Error::call("execveat(this program, \"stave-init\")", task::exec_file(image, &args, &[]))
}

fn everything() -> Vec<i32> {
    (1..=64)
        .filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP | libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL))
        .collect()
}

/// Looks after the process that was started before this program was executed, and ends with its status.
pub fn attend(child: &str) -> ! {
    let Ok(child) = child.parse::<i32>() else { exit_now(2) };
    task::set_name(c"stave-init");
    let Ok(signals) = task::signal_descriptor(&everything()) else { exit_now(1) };
    // Not even the streams stay open, whose end someone may wait for.
    sys::close_all_but(&signals);
    loop {
        while let Some(arrived) = task::next_signal(&signals) {
            match arrived.signal {
                libc::SIGCHLD => {}
                // The kernel's own, about a terminal that is the program's.
                libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP if arrived.sender == 0 => {}
                signal => drop(task::kill(child, signal)),
            }
        }
        while let Some((pid, ended)) = task::reap(-1, false) {
            if pid == child {
                exit_now(match ended {
                    Ended::Exited(status) => status,
                    Ended::Signalled(signal) => 128 + signal,
                });
            }
        }
        sys::wait_readable(&signals);
    }
}
