//! Between a container that is made and one that runs: the process waits, confined already, for someone to start it.

use crate::container::hooks;
use crate::container::plan::Plan;
use crate::container::process::{self, Ready};
use crate::error::Error;
use crate::sys::{self, task};
use crate::wire::channel::{Channel, Message};
use rustix::fd::OwnedFd;
use rustix::net::{SocketFlags, accept_with};

/// Becomes the program, at once or when somebody connects to the gate. Comes back only with why it could not be.
pub fn pass(plan: &Plan, ready: &Ready, gate: Option<OwnedFd>) -> Error {
    if plan.process.outlives {
        task::live_without_parent();
    }
    let Some(gate) = gate else {
        return match hooks::run_inside("startContainer", &plan.config.hooks.start_container, plan, "created") {
            Ok(()) => process::exec(&plan.process, ready),
            Err(error) => error,
        };
    };
    if let Err(error) = process::find(&plan.process, ready) {
        return error;
    }
    // The end of the channel tells whoever made this that it stands.
    sys::close_from(3 + plan.process.preserve_fds, &gate);
    let Ok(starter) = accept_with(&gate, SocketFlags::CLOEXEC) else { sys::exit_now(1) };
    drop(gate);
    let starter = Channel::of(starter);
    starter.fail(start(plan, ready, &starter));
    sys::exit_now(1)
}

fn start(plan: &Plan, ready: &Ready, starter: &Channel) -> Error {
    let started = hooks::run_inside("startContainer", &plan.config.hooks.start_container, plan, "created")
        .and_then(|()| starter.send(&Message::Confined {}, None));
    match started {
        Ok(()) => process::exec(&plan.process, ready),
        Err(error) => error,
    }
}
