//! The verb `exec`: one more process in a container that runs.

use crate::container::join::{self, Target};
use crate::container::plan::{self, Process};
use crate::container::process::Stdio;
use crate::container::start::{Maker, Started};
use crate::container::state::Directory;
use crate::container::tty;
use crate::delegate::exec::Further;
use crate::error::{Error, Kind, Result};
use crate::monitor::frame::Notice;
use crate::monitor::front::{End, Front};
use crate::monitor::watch::{Monitor, Outlet, Stop};
use crate::sys::exit_now;
use crate::sys::process::leave_caller;
use crate::sys::task::{self, Ended};
use crate::verbs::run::{MONITOR, connection};
use crate::wire::container::{Exec, ExecResult};
use crate::wire::event::Events;
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

/// After the caller is gone.
const STOP: Stop = Stop { signal: libc::SIGTERM, patience: Duration::from_secs(2) };

pub fn exec(request: &Exec, control: File, events: &Events) -> Result<()> {
    let directory = Directory::open(&request.container.directory)?;
    let (state, pid, pidfd) = directory.process()?;
    let cgroup = crate::cgroup::Cgroup::of_container(&state);
    if crate::cgroup::is_paused(&state, pid) {
        return Err(Error::new(Kind::State, "the container is paused").hint("Resume it first."));
    }
    let target = if let Some(runtime) = &state.runtime {
        Entry::Delegated(Box::new(Further::new(&state, runtime, pid, &pidfd, &request.spec)?))
    } else {
        let mut target = Target::new(pid, pidfd, cgroup, plan::of_exec(&request.spec)?)?;
        // The container's limits hold for all its processes.
        target.limits = join::limits_of(pid);
        Entry::Own(Box::new(target))
    };
    if request.detach {
        return in_background(&target, control, events);
    }
    let exit_code = if target.process().terminal {
        with_terminal(&target, request.detach_keys.as_deref(), control, events)?
    } else {
        in_this_process(&target, control, events)?
    };
    events.result(&ExecResult { exit_code });
    Ok(())
}

/// A process that is to be made, by this program or by the runtime that has made the container.
enum Entry {
    Own(Box<Target>),
    Delegated(Box<Further>),
}

impl Entry {
    fn process(&self) -> &Process {
        match self {
            Self::Own(target) => &target.process,
            Self::Delegated(further) => &further.process,
        }
    }

    fn start(&self, stdio: Stdio, maker: Maker<'_, '_>) -> Result<Started> {
        match self {
            Self::Own(target) => join::start(target, stdio, maker),
            Self::Delegated(further) => further.start(stdio, maker.patience),
        }
    }
}

fn in_this_process(target: &Entry, control: File, events: &Events) -> Result<Option<i32>> {
    let mut monitor = Monitor::new(Some(control), STOP)?;
    let ended = live(target, &mut monitor, Outlet::Own, |_| {})?;
    monitor.problems().for_each(|text| events.warning(text));
    Ok(Some(status(ended)))
}

fn with_terminal(target: &Entry, keys: Option<&str>, control: File, events: &Events) -> Result<Option<i32>> {
    let keys = tty::parse_keys(keys)?;
    let (ours, theirs) = connection()?;
    let Some(child) = task::fork()? else {
        drop((ours, control));
        events.close();
        leave_caller(MONITOR);
        let outcome = Monitor::new(None, STOP).map(|mut monitor| {
            monitor.set_front(theirs);
            let lived = live(target, &mut monitor, Outlet::Others, |monitor| monitor.tell(&Notice::Started { pid: 0, terminal: true }));
            match lived {
                Ok(ended) => monitor.tell(&Notice::Exited { result: crate::monitor::watch::Outcome { ended, oom_killed: false }.result() }),
                Err(error) => monitor.tell(&Notice::Failed { error }),
            }
            monitor.say_goodbye();
        });
        exit_now(i32::from(outcome.is_err()));
    };
    drop(theirs);
    let end = Front::new(ours, control, target.process().interactive, keys).outlived().attend(false, |_| {});
    // One that was left goes on.
    task::reap(child, matches!(end, Ok(End::Exited(_))));
    match end? {
        End::Exited(result) => Ok(result.exit_code),
        End::Left => Ok(None),
    }
}

fn in_background(target: &Entry, control: File, events: &Events) -> Result<()> {
    let (mut done, mut finish) = crate::wire::stream::pipe().map(|(read, write)| (File::from(read), File::from(write)))?;
    if let Some(child) = task::fork()? {
        drop(finish);
        task::reap(child, true);
        let mut status = [1];
        let _ = done.read(&mut status);
        exit_now(i32::from(status[0]));
    }
    drop(done);
    leave_caller(MONITOR);
    if !matches!(task::fork(), Ok(None)) {
        exit_now(0);
    }
    let mut answer = |outcome: Result<(), &Error>| {
        match outcome {
            Ok(()) => events.result(&ExecResult::default()),
            Err(error) => events.failure(error),
        }
        events.close();
        let _ = finish.write_all(&[u8::from(outcome.is_err())]);
    };
    let lived = Monitor::new(Some(control), STOP).and_then(|mut monitor| {
        live(target, &mut monitor, Outlet::Others, |monitor| {
            monitor.let_go_of_parent();
            answer(Ok(()));
        })
    });
    if let Err(error) = lived {
        answer(Err(&error));
    }
    exit_now(0);
}

fn status(ended: Ended) -> i32 {
    match ended {
        Ended::Exited(status) => status,
        Ended::Signalled(signal) => 128 + signal,
    }
}

fn live(target: &Entry, monitor: &mut Monitor, outlet: Outlet, on_start: impl FnOnce(&mut Monitor)) -> Result<Ended> {
    let stdio = monitor.streams(target.process(), outlet)?;
    let maker = Maker { patience: &mut |channel| monitor.wait_for(channel), network: None, at: &mut |_, _| Ok(()) };
    let mut started = target.start(stdio, maker)?;
    if let Some(terminal) = started.terminal.take() {
        monitor.set_terminal(terminal)?;
    }
    on_start(monitor);
    Ok(monitor.watch(started.pid, &started.pidfd))
}
