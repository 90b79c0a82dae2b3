//! The verb `exec`: one more process in a container that runs.
//!
//! Three processes: ours, outside; a helper, which enters the namespaces and leaves again; and the new process, which
//! the helper makes as a child of ours, since only a child is in the process namespace that was entered.

use crate::container::channel::{self, Channel, Message};
use crate::container::plan::Process;
use crate::container::process::{self, Stdio, Streams};
use crate::container::start::{self as container, Maker, Patience, Started};
use crate::container::state::Directory;
use crate::container::tty;
use crate::monitor::frame::Notice;
use crate::monitor::front::{End, Front};
use crate::monitor::watch::{Monitor, Outlet, Stop};
use crate::root;
use crate::sys::task::{self, Cloned, Ended};
use crate::sys::{self, exit_now};
use crate::verbs::run::{connection, failure, monitor_process};
use crate::wire::error::{Error, Kind, Result};
use crate::wire::event::Events;
use crate::wire::protocol::{Exec, ExecResult};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

/// What a container's process left us to copy.
struct Target {
    pidfd: OwnedFd,
    /// `CLONE_NEW*` of what is not the same as ours.
    namespaces: i32,
    limits: Vec<(u32, u64, u64)>,
    oom_score_adj: Option<String>,
    cgroup: Option<crate::cgroup::Cgroup>,
    process: Process,
    size: Option<(u16, u16)>,
}

/// After the caller is gone.
const STOP: Stop = Stop { signal: libc::SIGTERM, patience: Duration::from_secs(2) };

pub fn exec(request: &Exec, control: File, events: &Events) -> Result<()> {
    let process = crate::container::plan::of_exec(&request.spec)?;
    let directory = Directory::open(&request.container.directory)?;
    let (state, pid, pidfd) = directory.process()?;
    let cgroup = crate::cgroup::Cgroup::of_container(&state);
    if crate::cgroup::is_paused(&state, pid) {
        return Err(Error::new(Kind::State, "the container is paused").hint("Resume it first."));
    }
    let size = if process.terminal { tty::user_size() } else { None };
    let target = Target {
        namespaces: different_namespaces(pid)?,
        limits: limits_of(pid),
        oom_score_adj: oom_score_adj_of(pid),
        cgroup,
        pidfd,
        process,
        size,
    };
    if request.detach {
        return in_background(&target, control, events);
    }
    let exit_code =
        if target.process.terminal { with_terminal(&target, control, events)? } else { in_this_process(&target, control, events)? };
    events.result(&ExecResult { exit_code });
    Ok(())
}

fn in_this_process(target: &Target, control: File, events: &Events) -> Result<Option<i32>> {
    let mut monitor = Monitor::new(Some(control), STOP)?;
    let ended = live(target, &mut monitor, Outlet::Own, |_| {})?;
    monitor.problems().for_each(|text| events.warning(text));
    Ok(Some(status(ended)))
}

fn with_terminal(target: &Target, control: File, events: &Events) -> Result<Option<i32>> {
    let (ours, theirs) = connection()?;
    let Some(child) = task::fork()? else {
        drop((ours, control));
        events.close();
        monitor_process();
        let outcome = Monitor::new(None, STOP).map(|mut monitor| {
            monitor.set_front(theirs);
            let lived = live(target, &mut monitor, Outlet::Others, |monitor| monitor.tell(&Notice::Started { pid: 0, terminal: true }));
            match lived {
                Ok(ended) => monitor.tell(&Notice::Exited { result: crate::monitor::watch::Outcome { ended, oom_killed: false }.result() }),
                Err(error) => monitor.tell(&failure(&error)),
            }
            monitor.say_goodbye();
        });
        exit_now(i32::from(outcome.is_err()));
    };
    drop(theirs);
    let end = Front::new(ours, control, target.process.interactive, Vec::new()).outlived().attend(false, |_| {});
    task::reap(child, end.is_ok());
    match end? {
        End::Exited(result) => Ok(result.exit_code),
        End::Left => Ok(None),
    }
}

fn in_background(target: &Target, control: File, events: &Events) -> Result<()> {
    let (mut done, mut finish) = crate::wire::stream::pipe().map(|(read, write)| (File::from(read), File::from(write)))?;
    if let Some(child) = task::fork()? {
        drop(finish);
        task::reap(child, true);
        let mut status = [1];
        let _ = done.read(&mut status);
        exit_now(i32::from(status[0]));
    }
    drop(done);
    monitor_process();
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

fn live(target: &Target, monitor: &mut Monitor, outlet: Outlet, on_start: impl FnOnce(&mut Monitor)) -> Result<Ended> {
    let stdio = monitor.streams(&target.process, outlet)?;
    let mut started = start(target, stdio, &mut |channel| monitor.wait_for(channel))?;
    if let Some(terminal) = started.terminal.take() {
        monitor.set_terminal(terminal)?;
    }
    on_start(monitor);
    Ok(monitor.watch(started.pid, &started.pidfd))
}

fn start(target: &Target, stdio: Stdio, patience: Patience<'_>) -> Result<Started> {
    let (ours, theirs) = Channel::pair()?;
    let Some(helper) = task::fork()? else {
        drop(ours);
        let error = enter(target, stdio, &theirs);
        theirs.fail(&error);
        exit_now(1);
    };
    drop((theirs, stdio));
    let first = container::hear(&ours, patience);
    if first.is_err() {
        let _ = task::kill(helper, libc::SIGKILL);
    }
    task::reap(helper, true);
    let (pid, pidfd) = match first? {
        Some((Message::Child { pid }, Some(pidfd))) => (pid, pidfd),
        Some((Message::Failed { kind, text, operation, path, errno, hint }, _)) => {
            return Err(channel::error_of(&kind, text, operation, path, errno, hint));
        }
        _ => return Err(Error::new(Kind::State, "the process that enters the container ended early")),
    };
    let mut started = Started { pid, pidfd, terminal: None, listener: None, created: Vec::new(), warnings: Vec::new() };
    let mut maker = Maker { patience, network: None, at: &mut |_, _| Ok(()) };
    match container::listen(&ours, &mut started, &mut maker) {
        Ok(()) => Ok(started),
        Err(error) => {
            let _ = task::kill(pid, libc::SIGKILL);
            task::reap(pid, true);
            Err(error)
        }
    }
}

/// The helper: enters, makes the process, and ends. Comes back, in either process, only with why that failed.
fn enter(target: &Target, stdio: Stdio, channel: &Channel) -> Error {
    match enter_namespaces(target, &stdio, channel) {
        Ok(true) => {}
        Ok(false) => exit_now(0),
        Err(error) => return error,
    }
    match set_up(target, stdio, channel) {
        Ok(ready) => process::exec(&target.process, &ready),
        Err(error) => error,
    }
}

/// `true` in the new process.
fn enter_namespaces(target: &Target, stdio: &Stdio, channel: &Channel) -> Result<bool> {
    task::reset_signals();
    if let Some(cgroup) = &target.cgroup {
        cgroup.join(true)?;
    }
    if let Some(adjustment) = &target.oom_score_adj {
        // Only root may lower it; the container's own value is never lower than what its starter could set.
        let _ = std::fs::write("/proc/self/oom_score_adj", adjustment);
    }
    // What is in the container must not look into us while we are there: neither our memory nor our open files
    // (CVE-2016-9962, CVE-2024-21626). So none of the host's directories stays open.
    task::set_dumpable(false);
    let mut kept = vec![channel.as_fd(), target.pidfd.as_fd()];
    kept.extend([&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().flatten().map(AsFd::as_fd));
    sys::close_others(&kept);
    task::setns(&target.pidfd, target.namespaces).map_err(|error| error.context("cannot enter the container"))?;
    if target.namespaces & libc::CLONE_NEWUSER != 0 {
        let _ = task::set_groups(&[]);
        task::set_gid(0)?;
        task::set_uid(0)?;
        task::set_dumpable(false);
    }
    // The new process speaks on the same channel, and must not do so before it has been announced.
    let (announced, announce) = crate::wire::stream::pipe()?;
    match task::clone_sibling(0)? {
        Cloned::Child => {
            drop(announce);
            sys::wait_readable(&announced);
            Ok(true)
        }
        Cloned::Parent { pid, pidfd } => {
            channel.send(&Message::Child { pid }, Some(pidfd.as_fd()))?;
            drop(announce);
            Ok(false)
        }
    }
}

fn set_up(target: &Target, stdio: Stdio, channel: &Channel) -> Result<process::Ready> {
    task::die_with_parent();
    if channel.parent_is_gone() {
        return Err(Error::new(Kind::Cancelled, "the parent is gone"));
    }
    rustix::process::setsid().map_err(|errno| Error::call("setsid()", errno))?;
    let streams = if target.process.terminal { Streams::Terminal(open_terminal(target, channel)?) } else { Streams::Own(stdio) };
    for (resource, soft, hard) in &target.limits {
        let _ = task::set_limit(*resource, *soft, *hard);
    }
    let ready = process::prepare(&target.process, streams)?;
    process::confine(&target.process, &ready, channel)?;
    channel.send(&Message::Confined {}, None)?;
    Ok(ready)
}

/// A terminal of the container's devpts, which must be one: the name alone could lead anywhere (CVE-2025-52565).
fn open_terminal(target: &Target, channel: &Channel) -> Result<OwnedFd> {
    const DEVPTS_MAGIC: i64 = 0x1cd1;
    let root = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\"/\")", errno))?;
    let pts = root::open_in_root(root.as_fd(), "dev/pts", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let kind = fstatfs(&pts).map_err(|errno| Error::call("fstatfs(\"/dev/pts\")", errno))?.f_type;
    if kind as i64 != DEVPTS_MAGIC {
        return Err(Error::new(Kind::Escape, "/dev/pts of the container is not a file system of terminals").path("/dev/pts"));
    }
    let (controlling, terminal) = tty::pair(&pts)?;
    if let Some(size) = target.size {
        tty::set_size(&controlling, size);
    }
    channel.send(&Message::Terminal {}, Some(controlling.as_fd()))?;
    Ok(terminal)
}

fn different_namespaces(pid: i32) -> Result<i32> {
    const KINDS: [(&str, i32); 7] = [
        ("user", libc::CLONE_NEWUSER),
        ("mnt", libc::CLONE_NEWNS),
        ("pid", libc::CLONE_NEWPID),
        ("ipc", libc::CLONE_NEWIPC),
        ("uts", libc::CLONE_NEWUTS),
        ("net", libc::CLONE_NEWNET),
        ("cgroup", libc::CLONE_NEWCGROUP),
    ];
    let mut flags = 0;
    for (kind, flag) in KINDS {
        let read = |of: &str| {
            let path = format!("/proc/{of}/ns/{kind}");
            std::fs::read_link(&path).map_err(|error| Error::io(format!("readlink({path:?})"), &error))
        };
        if read(&pid.to_string())? != read("self")? {
            flags |= flag;
        }
    }
    Ok(flags)
}

/// How many resources have limits (`RLIM_NLIMITS`).
const LIMITS: u32 = 16;

/// The container's limits hold for all its processes.
fn limits_of(pid: i32) -> Vec<(u32, u64, u64)> {
    (0..LIMITS).filter_map(|resource| task::limit_of(pid, resource).map(|(soft, hard)| (resource, soft, hard))).collect()
}

fn oom_score_adj_of(pid: i32) -> Option<String> {
    let read = |of: &str| std::fs::read_to_string(format!("/proc/{of}/oom_score_adj")).ok();
    let theirs = read(&pid.to_string())?;
    (read("self")? != theirs).then_some(theirs)
}
