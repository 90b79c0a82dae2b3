//! The verb `run`: in this process, or with a monitor of its own where the container may outlive us or has a terminal.

use crate::cgroup::devices::Rule;
use crate::cgroup::{Cgroup, Location, Wish};
use crate::container::capabilities::SYS_ADMIN;
use crate::container::mounts;
use crate::container::namespaces;
use crate::container::plan::{self, Plan};
use crate::container::rootfs;
use crate::container::start::{self as container, Given, Maker, Started};
use crate::container::state::{self, Directory};
use crate::container::targets;
use crate::container::tty;
use crate::container::user;
use crate::delegate;
use crate::error::{Error, Kind, Result};
use crate::monitor::attach;
use crate::monitor::frame::Notice;
use crate::monitor::front::{End, Front};
use crate::monitor::log::Log;
use crate::monitor::watch::{Monitor, Outcome, Outlet, Stop};
use crate::net::attachment::Attachment;
use crate::overlay::Stack;
use crate::root;
use crate::sys::process::{self, leave_caller};
use crate::sys::{self, task};
use crate::wire::channel::Created;
use crate::wire::container::{ContainerState, Run, RunResult};
use crate::wire::event::Events;
use crate::wire::layer::{LayerOutput, LayerResult};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

pub fn run(request: Run, control: File, events: &Events) -> Result<()> {
    let mut plan = plan::of_run(&request)?;
    if plan.domain.nested {
        namespaces::own_mounts()?;
    }
    let name = request
        .container
        .as_ref()
        .and_then(|container| container.cgroup_name.clone())
        .unwrap_or_else(|| format!("stave-{}-{}", request.id, std::process::id()));
    check_name(&name)?;
    if request.runtime.is_none() {
        let (cgroup, warnings) = make_cgroup(&mut plan, &name, &request)?;
        plan.cgroup = cgroup;
        for warning in warnings {
            events.warning(warning);
        }
    }
    let directory = request.container.as_ref().map(|container| Directory::open(&container.directory)).transpose()?;
    let job = Job { request, plan, directory, name };
    let result = match &job.request.container {
        Some(container) if container.detach => {
            return in_background(&job, control, events);
        }
        _ if job.plan.process.terminal => with_terminal(&job, control, events)?,
        _ => in_this_process(&job, control, events)?,
    };
    let Some(layer) = job.request.layer.as_ref().filter(|_| result.detached != Some(true)) else {
        events.result(&result);
        return Ok(());
    };
    events.send_named("exit", serde_json::to_value(&result).unwrap_or_default());
    let layer = make_layer(&job.request, layer, events)?;
    events.result(&RunResult { layer: Some(layer), ..result });
    Ok(())
}

/// Makes the control group. Where there can be none for devices alone (inside another container), no device node works
/// but those of /dev.
fn make_cgroup(plan: &mut Plan, name: &str, request: &Run) -> Result<(Option<Cgroup>, Vec<String>)> {
    let resources = plan.config.linux.resources.clone().unwrap_or_default();
    let rules = resources.devices.iter().map(Rule::new).collect::<Result<Vec<_>>>()?;
    let wish = Wish {
        location: location_of(name, request)?,
        resources: &resources,
        rules: Some(rules.as_slice()).filter(|rules| !rules.is_empty()),
        nested: plan.process.capabilities.bounding.has(SYS_ADMIN) && !request.spec.privileged,
        forgiving: false,
    };
    match Cgroup::create(&wish) {
        Err(_) if wish.rules.is_some() && !plan.rules_are_necessary => {
            plan.let_no_node_work();
            Cgroup::create(&Wish { rules: None, ..wish })
        }
        other => other,
    }
}

/// Where its groups are: beside ours, or below those that were asked for.
fn location_of(name: &str, request: &Run) -> Result<Location> {
    let parent = request.container.as_ref().and_then(|container| container.cgroup_parent.as_deref());
    let Some(parent) = parent else { return Ok(Location::Beside(name.to_owned())) };
    let names: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
    if names.contains(&"..") || names.contains(&".") || parent.contains('\0') {
        return Err(Error::new(Kind::Request, format!("{parent:?} is not the path of a control group")));
    }
    Ok(Location::At(format!("/{}/{name}", names.join("/"))))
}

/// A name of one directory.
fn check_name(name: &str) -> Result<()> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(fine) {
        return Err(Error::new(Kind::Request, format!("{name:?} cannot be the name of a control group")));
    }
    Ok(())
}

struct Job {
    request: Run,
    plan: Plan,
    directory: Option<Directory>,
    /// Of its control groups, and what it is called by another runtime.
    name: String,
}

/// A container that runs, and its root.
struct Living {
    started: Started,
    root: OwnedFd,
    /// Made by another runtime.
    delegated: Option<delegate::Container>,
}

/// The usual way: the container's parent is the program that was asked.
fn in_this_process(job: &Job, control: File, events: &Events) -> Result<RunResult> {
    let mut monitor = Monitor::new(Some(control), job.stop()?)?;
    let logs = job.request.container.as_ref().is_some_and(|container| container.log);
    if logs {
        job.open_to_others(&mut monitor)?;
    }
    let outlet = if logs { Outlet::OwnAndOthers } else { Outlet::Own };
    let outcome = job.live(&mut monitor, outlet, |_, notice| tell(events, notice))?;
    Ok(outcome.result())
}

/// With a terminal: a monitor of its own has it, we are in front of it and may leave.
fn with_terminal(job: &Job, control: File, events: &Events) -> Result<RunResult> {
    let keys = match &job.request.container {
        Some(container) => tty::parse_keys(container.detach_keys.as_deref())?,
        // A build step's shell is not left behind.
        None => Vec::new(),
    };
    let stop = job.stop()?;
    let (ours, theirs) = connection()?;
    let Some(child) = task::fork()? else {
        drop((ours, control));
        events.close();
        leave_caller(MONITOR);
        let outcome = Monitor::new(None, stop).and_then(|mut monitor| {
            monitor.set_front(theirs);
            if job.request.container.is_some() {
                job.open_to_others(&mut monitor)?;
            }
            match job.live(&mut monitor, Outlet::Others, Monitor::tell) {
                Ok(outcome) => monitor.tell(&Notice::Exited { result: outcome.result() }),
                Err(error) => monitor.tell(&Notice::Failed { error }),
            }
            monitor.say_goodbye();
            Ok(())
        });
        sys::exit_now(i32::from(outcome.is_err()));
    };
    drop(theirs);
    let mut pid = None;
    let front = Front::new(ours, control, job.plan.process.interactive, keys);
    let front = if job.request.container.is_some() { front.outlived() } else { front };
    let end = front.attend(false, |notice| {
        if let Notice::Started { pid: started, .. } = notice {
            pid = Some(*started);
        }
        tell(events, notice);
    });
    match end {
        Ok(End::Left) => Ok(RunResult { detached: Some(true), pid, ..RunResult::default() }),
        Ok(End::Exited(result)) => {
            task::reap(child, true);
            Ok(result)
        }
        Err(error) => {
            task::reap(child, false);
            Err(error)
        }
    }
}

/// Detached: a monitor that outlives us, and nothing of ours stays with it.
fn in_background(job: &Job, control: File, events: &Events) -> Result<()> {
    let stop = job.stop()?;
    let (mut done, finish) = crate::wire::stream::pipe().map(|(read, write)| (File::from(read), File::from(write)))?;
    if let Some(child) = task::fork()? {
        drop(finish);
        task::reap(child, true);
        // The monitor has answered by itself; here it is only waited for.
        let mut status = [1];
        let _ = done.read(&mut status);
        sys::exit_now(i32::from(status[0]));
    }
    // Two steps away from the caller, so that nobody has to wait for the monitor.
    drop(done);
    leave_caller(MONITOR);
    if !matches!(task::fork(), Ok(None)) {
        sys::exit_now(0);
    }
    let mut finish = Some(finish);
    let mut answer = |events: &Events, outcome: Result<i32, &Error>| {
        let Some(mut finish) = finish.take() else { return };
        match outcome {
            Ok(pid) => events.result(&RunResult { detached: Some(true), pid: Some(pid), ..RunResult::default() }),
            Err(error) => events.failure(error),
        }
        events.close();
        let _ = finish.write_all(&[u8::from(outcome.is_err())]);
    };
    let mut monitor = match Monitor::new(Some(control), stop) {
        Ok(monitor) => monitor,
        Err(error) => {
            answer(events, Err(&error));
            sys::exit_now(1);
        }
    };
    let lived = job.open_to_others(&mut monitor).and_then(|()| {
        job.live(&mut monitor, Outlet::Others, |monitor, notice| {
            tell(events, notice);
            if let Notice::Started { pid, .. } = notice {
                monitor.let_go_of_parent();
                answer(events, Ok(*pid));
            }
        })
    });
    match lived {
        Ok(outcome) => monitor.tell(&Notice::Exited { result: outcome.result() }),
        Err(error) => answer(events, Err(&error)),
    }
    monitor.say_goodbye();
    sys::exit_now(0);
}

/// The name of the process that watches a container.
pub const MONITOR: &CStr = c"stave-monitor";

pub fn connection() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::call("socketpair(AF_UNIX, SOCK_STREAM)", errno))
}

/// Passes a notice on as an event.
pub fn tell(events: &Events, notice: &Notice) {
    match notice {
        Notice::Started { pid, .. } => events.send_named("started", json!({ "pid": pid })),
        Notice::Warning { text } => events.warning(text),
        Notice::Failed { .. } | Notice::Exited { .. } => {}
    }
}

impl Job {
    /// How to end it when the lifeline does. A build step has nothing to save.
    fn stop(&self) -> Result<Stop> {
        let signal = self.request.spec.stop_signal.as_deref().map_or(Ok(libc::SIGTERM), crate::container::signals::parse)?;
        let seconds = self.request.stop_timeout.unwrap_or(if self.request.container.is_some() { 10.0 } else { 0.0 });
        Ok(Stop { signal, patience: Duration::try_from_secs_f64(seconds).unwrap_or_default() })
    }

    /// Kills what is left in its control groups.
    fn end_members(&self) {
        let Some(cgroup) = &self.plan.cgroup else { return };
        for member in cgroup.members() {
            // Held by descriptor, then looked at again: a number that was given to another process meanwhile is not hit.
            let held = Pid::from_raw(member).and_then(|member| pidfd_open(member, PidfdFlags::empty()).ok());
            if let Some(held) = held.filter(|_| cgroup.members().contains(&member)) {
                let _ = task::signal_process(held, libc::SIGKILL);
            }
        }
    }

    /// Keeps a log, and lets others connect.
    fn open_to_others(&self, monitor: &mut Monitor) -> Result<()> {
        let (Some(directory), Some(container)) = (&self.directory, &self.request.container) else { return Ok(()) };
        if container.log {
            monitor.log = Some(Log::open(directory.as_fd(), &container.log_options)?);
        }
        monitor.listener = Some(attach::listen(directory)?);
        Ok(())
    }

    /// Starts the container and watches it to its end, whatever becomes of it.
    fn live(&self, monitor: &mut Monitor, outlet: Outlet, mut notify: impl FnMut(&mut Monitor, &Notice)) -> Result<Outcome> {
        let mut network = None;
        let Living { started, root, delegated } = match self.start(monitor, outlet, &mut network) {
            Ok(living) => living,
            Err(error) => {
                network.iter_mut().for_each(Attachment::disconnect);
                let error = if self.plan.cgroup.as_ref().is_some_and(Cgroup::oom_killed) {
                    error.context("out of memory").hint("The limit of --memory is too low for the container to start in.")
                } else {
                    error
                };
                self.plan.cgroup.iter().for_each(Cgroup::remove);
                self.write_state(&ContainerState { status: "created".into(), error: Some(error.to_string()), ..ContainerState::default() });
                return Err(error);
            }
        };
        let cgroup = delegated.as_ref().map_or(&self.plan.cgroup, |container| &container.cgroup).as_ref();
        monitor.signaller = delegated.as_ref().map(delegate::Container::signaller);
        for text in &started.warnings {
            notify(monitor, &Notice::Warning { text: text.clone() });
        }
        let running = ContainerState {
            status: "running".into(),
            pid: Some(started.pid),
            pid_start: process::start_time(started.pid),
            monitor_pid: Some(std::process::id() as i32),
            monitor_start: process::start_time(std::process::id() as i32),
            started_at: Some(state::now()),
            cgroup: cgroup.map(Cgroup::to_text),
            runtime: delegated.as_ref().map(delegate::Container::state),
            ports: network.as_ref().map(|network| network.ports().to_vec()).unwrap_or_default(),
            ..ContainerState::default()
        };
        self.write_state(&running);
        notify(monitor, &Notice::Started { pid: started.pid, terminal: self.plan.process.terminal });
        if let Some(time) = self.request.timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            monitor.limit_time(time);
        }
        let ended = monitor.watch(started.pid, &started.pidfd);
        for text in monitor.problems().collect::<Vec<_>>() {
            notify(monitor, &Notice::Warning { text });
        }
        if let Some(log) = &mut monitor.log {
            log.finish();
        }
        if !self.plan.namespaces.has(libc::CLONE_NEWPID) {
            task::end_descendants();
        }
        if self.plan.namespaces.joined.iter().any(|(kind, _)| *kind == libc::CLONE_NEWPID) {
            // The end of its first process is not the end of a namespace that another container has.
            self.end_members();
        }
        // With those that came later, with other limits.
        let later = self.directory.as_ref().and_then(|directory| Cgroup::of_container(&directory.read().ok()?));
        let groups = later.as_ref().or(cgroup);
        let outcome = Outcome { ended, oom_killed: groups.is_some_and(Cgroup::oom_killed) };
        match delegated {
            Some(container) => container.end(),
            None => groups.into_iter().for_each(Cgroup::remove),
        }
        network.iter_mut().for_each(Attachment::disconnect);
        tidy(&self.request, root, &started.created);
        let result = outcome.result();
        self.write_state(&ContainerState {
            status: "exited".into(),
            exit_code: result.exit_code,
            oom_killed: result.oom_killed,
            finished_at: Some(state::now()),
            ports: Vec::new(),
            ..running
        });
        Ok(outcome)
    }

    fn start<'a>(&'a self, monitor: &mut Monitor, outlet: Outlet, network: &mut Option<Attachment<'a>>) -> Result<Living> {
        // First of all: a port in use is found before anything is made.
        *network = self.request.network.as_ref().map(|network| Attachment::prepare(&self.request.id, network)).transpose()?;
        let root = rootfs::mount_root(&self.request.root, self.plan.domain)?;
        let mounts = mounts::prepare(&self.request.spec.mounts, self.plan.domain, &|| {
            let spec = &self.request.spec;
            let identity = user::lookup(root.as_fd(), spec.user.as_deref(), &spec.additional_groups)?;
            Ok((identity.uid, identity.gid))
        })?;
        if !self.plan.namespaces.has(libc::CLONE_NEWPID) {
            // The end of a process namespace takes all along; without one they come to us, and we see to it.
            task::set_child_subreaper();
        }
        let stdio = monitor.streams(&self.plan.process, outlet)?;
        let outcome = match &self.request.runtime {
            None => {
                let given = Given { plan: &self.plan, root: Some(&root), mounts, stdio, gate: None };
                let patience = &mut |channel: BorrowedFd<'_>| monitor.wait_for(channel);
                container::start(given, Maker { patience, network: network.as_mut(), at: &mut |_, _| Ok(()) })
                    .map(|started| (started, None))
            }
            Some(runtime) => {
                let runtime = delegate::Runtime::of_request(runtime)?;
                let (plan, name, asked) = (&self.plan, self.name.as_str(), self.request.spec.mounts.as_slice());
                let given = delegate::Given { name, plan, root: &root, asked, mounts, stdio };
                let made = delegate::start(runtime, given, &mut |channel| monitor.wait_for(channel), network.as_mut());
                made.map(|(container, started)| (started, Some(container)))
            }
        };
        match outcome {
            Ok((mut started, delegated)) => {
                if let Some(terminal) = started.terminal.take() {
                    monitor.set_terminal(terminal)?;
                }
                Ok(Living { started, root, delegated })
            }
            Err(failed) => {
                tidy(&self.request, root, &failed.created);
                Err(failed.error)
            }
        }
    }

    fn write_state(&self, state: &ContainerState) {
        // A full disk must not end the container; its end is told by other means as well.
        let _ = self.directory.as_ref().map(|directory| directory.write(state));
    }
}

/// Takes mount points that were made out of the upper directory again, and overlayfs's own things out of the work
/// directory: it refuses one that says `volatile` from before.
fn tidy(request: &Run, root: OwnedFd, created: &[Created]) {
    if !created.is_empty() {
        take_out(request, &root, created);
    }
    drop(root);
    let work = request.root.work.as_ref().and_then(|work| root::open_directory(work).ok());
    if let Some(work) = work {
        for (parent, name) in
            [("work/incompat/volatile", "dirty"), ("work/incompat", "volatile"), ("work", "incompat"), (".", "work"), (".", "index")]
        {
            let Ok(parent) = root::open_beneath(work.as_fd(), parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) else { continue };
            let flags = if name == "dirty" { AtFlags::empty() } else { AtFlags::REMOVEDIR };
            let _ = unlinkat(&parent, name, flags);
        }
    }
}

fn take_out(request: &Run, root: &OwnedFd, created: &[Created]) {
    let upper = request.root.upper.as_ref().filter(|_| !request.root.lowers.is_empty());
    let upper = upper.and_then(|upper| root::open_place(upper, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).ok());
    targets::clean(root.as_fd(), upper.as_ref().map(AsFd::as_fd), created);
}

fn make_layer(request: &Run, layer: &LayerOutput, events: &Events) -> Result<LayerResult> {
    let upper = request.root.upper.as_ref().ok_or_else(|| Error::new(Kind::Request, "a layer is asked for, but the root has no upper"))?;
    let lowers = Stack::lowers(&request.root.lowers)?;
    crate::layer::diff::diff(root::open_directory(upper)?, &lowers, layer, events)
}
