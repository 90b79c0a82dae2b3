//! Containers that another OCI runtime makes: the plan goes to it as a bundle, and it is called as engines call one. What
//! it starts becomes a child of this process, which watches it like its own.

mod bundle;
mod call;
pub mod exec;
mod terminal;

pub use bundle::Given;
pub use call::Runtime;

use crate::cgroup::Cgroup;
use crate::container::join;
use crate::container::namespaces;
use crate::container::plan::Plan;
use crate::container::process::Stdio;
use crate::container::start::{Failed, Patience, Started};
use crate::delegate::bundle::{Bundle, io};
use crate::delegate::terminal::Terminal;
use crate::error::{Error, Kind, Result};
use crate::net::attachment::Attachment;
use crate::net::inside::Inside;
use crate::sys::task;
use crate::wire::container::{RuntimeState, Signal};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A container that another runtime has made.
pub struct Container {
    runtime: Runtime,
    bundle: Bundle,
    name: String,
    /// Those of its control groups that are its own.
    pub cgroup: Option<Cgroup>,
}

/// The files of a container that runs, below the directory of its runtime.
const PID_FILE: &str = "pid";

/// What another runtime is not asked for.
///
/// # Errors
/// `Kind::Unsupported`
fn check(plan: &Plan) -> Result<()> {
    if plan.init {
        return Err(Error::new(Kind::Unsupported, "--init is of Stave's own runtime")
            .hint("Leave out --runtime, or use an image with an init such as tini."));
    }
    Ok(())
}

/// Makes a container and starts its program.
pub fn start(
    runtime: Runtime,
    given: Given<'_>,
    patience: Patience<'_>,
    network: Option<&mut Attachment<'_>>,
) -> Result<(Container, Started), Box<Failed>> {
    check(given.plan)?;
    namespaces::own_mounts()?;
    // What the runtime leaves behind when it has made the container comes to us, above all the container.
    task::set_child_subreaper();
    let inside = network.as_ref().map(|_| Inside::make(given.plan.network == Some(true), &given.plan.config.linux.sysctl)).transpose()?;
    let mut bundle = Bundle::open(&runtime.directory)?;
    let name = given.name.to_owned();
    let filled = bundle.fill(&given, inside.as_ref());
    let Given { plan, stdio, .. } = given;
    let mut container = Container { runtime, bundle, name, cgroup: None };
    let started = filled.and_then(|()| container.create(plan, stdio, patience, network.zip(inside)));
    match started {
        Ok(mut started) => {
            started.created = std::mem::take(&mut container.bundle.created);
            Ok((container, started))
        }
        Err(error) => {
            let created = std::mem::take(&mut container.bundle.created);
            container.end();
            Err(Box::new(Failed { error, created }))
        }
    }
}

impl Container {
    fn create(
        &mut self,
        plan: &Plan,
        stdio: Stdio,
        patience: Patience<'_>,
        network: Option<(&mut Attachment<'_>, Inside)>,
    ) -> Result<Started> {
        let terminal = plan.process.terminal.then(|| Terminal::listen(&self.runtime.directory)).transpose()?;
        let mut words = vec!["create", "--bundle", self.runtime.place(), "--pid-file", PID_FILE];
        if let Some(terminal) = &terminal {
            words.extend(["--console-socket", terminal.name()]);
        }
        words.push(&self.name);
        self.runtime.call(&words, stdio, Some(patience))?;
        let (pid, pidfd) = self.runtime.process(PID_FILE)?;
        self.cgroup = Cgroup::of_process(pid, &self.name);
        if let Some((network, inside)) = network {
            network.connect(pid, inside)?;
        }
        self.runtime.call(&["start", &self.name], Stdio::default(), Some(patience))?;
        let terminal = terminal.map(Terminal::accept).transpose()?;
        Ok(Started { pid, pidfd, terminal, created: Vec::new(), warnings: Vec::new() })
    }

    pub fn state(&self) -> RuntimeState {
        RuntimeState { program: self.runtime.program.clone(), directory: self.runtime.place().to_owned(), id: self.name.clone() }
    }

    /// How its process is sent signals: its number may be that of a sandbox, of which the program is only a part.
    pub fn signaller(&self) -> Box<dyn Fn(i32)> {
        let (runtime, name) = (self.runtime.clone(), self.name.clone());
        Box::new(move |signal| {
            let _ = runtime.call(&["kill", &name, &signal.to_string()], Stdio::default(), None);
        })
    }

    /// Takes away what the runtime knows of it, running or not, and its bundle.
    pub fn end(self) {
        let _ = self.runtime.call(&["delete", "--force", &self.name], Stdio::default(), None);
        self.bundle.remove();
    }
}

/// What the verb `signal` asks for, of a container that runs.
///
/// # Errors
/// `Kind::State` if it does not run any more.
pub fn signal(state: &RuntimeState, pid: i32, pidfd: &OwnedFd, request: &Signal) -> Result<()> {
    join::enter_users(pid, pidfd)?;
    let runtime = Runtime::of_state(state)?;
    match request.action.as_deref() {
        Some(action @ ("pause" | "resume")) => runtime.call(&[action, &state.id], Stdio::default(), None),
        Some(other) => Err(Error::new(Kind::Request, format!("unknown action {other:?}"))),
        None => {
            let signal = request.signal.to_string();
            let words = if request.all { vec!["kill", "--all", &state.id, &signal] } else { vec!["kill", &state.id, &signal] };
            runtime.call(&words, Stdio::default(), None)
        }
    }
}

/// A process by the number that a runtime wrote.
fn held(pid: i32) -> Result<OwnedFd> {
    let number = Pid::from_raw(pid).ok_or_else(|| Error::new(Kind::State, "the runtime wrote no process id"))?;
    pidfd_open(number, PidfdFlags::empty()).map_err(|errno| Error::call(format!("pidfd_open({pid})"), errno))
}
