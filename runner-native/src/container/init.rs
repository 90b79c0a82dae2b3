//! The container's first process where one is asked for: passes signals on, reaps what is orphaned, ends with the
//! program. It runs as confined as the program itself.

use crate::container::plan::Process;
use crate::container::process::{self, Ready};
use crate::sys::task::{self, Ended};
use crate::sys::{self, exit_now};
use crate::wire::error::Error;

/// Starts the program and looks after it. Comes back only in the child, with why the program could not be started.
pub fn run(spec: &Process, ready: &Ready) -> Error {
    let everything: Vec<i32> = (1..=64)
        .filter(|signal| !matches!(*signal, libc::SIGKILL | libc::SIGSTOP | libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL))
        .collect();
    let signals = match task::signal_descriptor(&everything) {
        Ok(signals) => signals,
        Err(error) => return error,
    };
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
    task::set_name(c"stave-init");
    // Nothing of ours stays open: not the channel to the parent, nor the streams, whose end someone may wait for.
    sys::close_all_but(&signals);
    loop {
        sys::wait_readable(&signals);
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
    }
}
