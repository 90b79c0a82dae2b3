//! One more process in a container of another runtime.

use crate::container::join;
use crate::container::plan::{self, Process};
use crate::container::process::Stdio;
use crate::container::start::{Patience, Started};
use crate::delegate::bundle::who;
use crate::delegate::call::Runtime;
use crate::delegate::io;
use crate::delegate::terminal::Terminal;
use crate::error::{Error, Result};
use crate::sys::task;
use crate::wire::config::{self, Config};
use crate::wire::container::{ContainerState, ExecSpec, RuntimeState};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::fs;
use std::path::PathBuf;

/// A process that is to be started.
pub struct Further {
    runtime: Runtime,
    id: String,
    /// As the specification has it.
    written: config::Process,
    pub process: Process,
}

impl Further {
    /// Enters the user namespace of the container for it, and looks the user up in its files.
    pub fn new(state: &ContainerState, runtime: &RuntimeState, pid: i32, pidfd: &OwnedFd, spec: &ExecSpec) -> Result<Self> {
        join::enter_users(pid, pidfd)?;
        let process = plan::of_exec(spec)?;
        let (id, runtime) = (runtime.id.clone(), Runtime::of_state(runtime)?);
        let identity = who(&process.who, root_of(state, &runtime, pid)?.as_fd())?;
        let mut written = plan::further_process(spec, &process, &identity)?;
        // The container's limits hold for all its processes.
        written.rlimits = limits_of(&runtime);
        Ok(Self { runtime, id, written, process })
    }

    pub fn start(&self, stdio: Stdio, patience: Patience<'_>) -> Result<Started> {
        let me = std::process::id();
        let file = Removed(self.runtime.directory.join(format!("process-{me}.json")));
        let text = serde_json::to_vec(&self.written).map_err(|error| Error::io("write(\"process.json\")", &error.into()))?;
        fs::write(&file.0, text).map_err(|error| io("write", &file.0, &error))?;
        let terminal = self.process.terminal.then(|| Terminal::listen(&self.runtime.directory)).transpose()?;
        let (path, pid_file) = (file.0.to_string_lossy().into_owned(), format!("pid-{me}"));
        let mut words = vec!["exec", "--detach", "--process", &path, "--pid-file", &pid_file];
        if let Some(terminal) = &terminal {
            words.extend(["--console-socket", terminal.name()]);
        }
        words.push(&self.id);
        // It comes to us when the runtime has made it.
        task::set_child_subreaper();
        self.runtime.call(&words, stdio, Some(patience))?;
        let (pid, pidfd) = self.runtime.process(&pid_file)?;
        let terminal = terminal.map(Terminal::accept).transpose()?;
        Ok(Started { pid, pidfd, terminal, created: Vec::new(), warnings: Vec::new() })
    }
}

/// A file that is there for a moment.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The files of the container: as the process that watches it sees them, else as its first process does.
fn root_of(state: &ContainerState, runtime: &Runtime, pid: i32) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let watched = state.monitor_pid.map(|monitor| format!("/proc/{monitor}/root{}/rootfs", runtime.place()));
    let watched = watched.and_then(|path| openat(CWD, path, flags, Mode::empty()).ok());
    let own = || openat(CWD, format!("/proc/{pid}/root"), flags, Mode::empty());
    watched.map_or_else(own, Ok).map_err(|errno| Error::call(format!("openat(\"/proc/{pid}/root\")"), errno))
}

fn limits_of(runtime: &Runtime) -> Vec<config::Rlimit> {
    let text = fs::read(runtime.directory.join("config.json")).unwrap_or_default();
    let config: Config = serde_json::from_slice(&text).unwrap_or_default();
    config.process.map(|process| process.rlimits).unwrap_or_default()
}
