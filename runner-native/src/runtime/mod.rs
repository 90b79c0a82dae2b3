//! Sandboxes: namespaces, mounts, limits, and the process inside.

mod attach;
mod capabilities;
pub mod cgroup;
mod channel;
mod container;
mod devices;
mod exec;
mod frame;
mod front;
mod hidden;
mod init;
mod log;
mod monitor;
mod mounts;
mod namespaces;
mod process;
mod rootfs;
mod run;
pub mod sealed;
mod seccomp;
mod signal;
mod signals;
mod spec;
mod state;
pub(crate) mod stream;
mod system;
mod targets;
pub mod trial;
mod tty;
pub mod user;

pub use run::run;

use crate::error::{Error, Result};
use crate::event::Events;
use crate::protocol::{Attach, Exec};
use std::fs::File;

/// Holds the user namespace that main has made, until the lifeline ends.
pub fn hold(mut control: File, events: &Events) -> Result<()> {
    use std::io::Read;
    events.send_named("ready", serde_json::json!({}));
    let mut bytes = [0; 256];
    while control.read(&mut bytes).map_err(|error| Error::io("read(3)", &error))? > 0 {}
    events.result(&serde_json::json!({}));
    Ok(())
}

pub fn exec(request: &Exec, control: File, events: &Events) -> Result<()> {
    exec::exec(request, control, events)
}

pub fn attach(request: &Attach, control: File, events: &Events) -> Result<()> {
    attach::attach(request, control, events)
}

pub use signal::signal;
