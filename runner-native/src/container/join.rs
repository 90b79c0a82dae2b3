//! One more process in a container that runs.
//!
//! Three processes: ours, outside; a helper, which enters the namespaces and leaves again; and the new process, which
//! the helper makes as a child of ours, since only a child is in the process namespace that was entered.

use crate::cgroup::Cgroup;
use crate::container::namespaces::NEWTIME;
use crate::container::plan::Process;
use crate::container::process::{self, Stdio, Streams};
use crate::container::start::{self, Maker, Started};
use crate::container::tty;
use crate::error::{Error, Kind, Result};
use crate::root;
use crate::sys::task::{self, Cloned};
use crate::sys::{self, exit_now};
use crate::wire::channel::{Channel, Message};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};

/// What is entered, and by whom.
pub struct Target {
    /// The container's first process.
    pub pidfd: OwnedFd,
    /// `CLONE_NEW*` of what is not the same as ours.
    namespaces: i32,
    /// Resource limits before those of the process itself: resource, soft, hard.
    pub limits: Vec<(u32, u64, u64)>,
    oom_score_adj: Option<String>,
    cgroup: Option<Cgroup>,
    pub process: Process,
    /// Descriptors of the caller that the program inherits.
    pub passed: Vec<BorrowedFd<'static>>,
}

impl Target {
    /// To enter the container of a process, which is held by its descriptor.
    pub fn new(pid: i32, pidfd: OwnedFd, cgroup: Option<Cgroup>, process: Process) -> Result<Self> {
        let oom_score_adj = process.oom_score_adj.map(|adjustment| adjustment.to_string()).or_else(|| oom_score_adj_of(pid));
        Ok(Self { pidfd, namespaces: different_namespaces(pid)?, limits: Vec::new(), oom_score_adj, cgroup, process, passed: Vec::new() })
    }
}

/// Starts the process. Comes back when its program runs.
pub fn start(target: &Target, stdio: Stdio, mut maker: Maker<'_, '_>) -> Result<Started> {
    let (ours, theirs) = Channel::pair()?;
    let Some(helper) = task::fork()? else {
        drop(ours);
        let error = enter(target, stdio, &theirs);
        theirs.fail(error);
        exit_now(1);
    };
    drop((theirs, stdio));
    let first = start::hear(&ours, maker.patience);
    if first.is_err() {
        let _ = task::kill(helper, libc::SIGKILL);
    }
    task::reap(helper, true);
    let (pid, pidfd) = match first? {
        Some((Message::Child { pid }, Some(pidfd))) => (pid, pidfd),
        Some((Message::Failed { error }, _)) => return Err(error),
        _ => return Err(Error::new(Kind::State, "the process that enters the container ended early")),
    };
    let mut started = Started { pid, pidfd, terminal: None, created: Vec::new(), warnings: Vec::new() };
    match start::listen(&ours, &mut started, &mut maker) {
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
    kept.extend(target.passed.iter().map(AsFd::as_fd));
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

/// Enters the user namespace of a container, if it is another one, as root of it.
pub fn enter_users(pid: i32, pidfd: &OwnedFd) -> Result<()> {
    if different_namespaces(pid)? & libc::CLONE_NEWUSER == 0 {
        return Ok(());
    }
    task::setns(pidfd, libc::CLONE_NEWUSER).map_err(|error| error.context("cannot enter the user namespace of the container"))?;
    let _ = task::set_groups(&[]);
    task::set_gid(0)?;
    task::set_uid(0)
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
    if target.process.outlives {
        task::live_without_parent();
    }
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
    if let Some(size) = target.process.terminal_size {
        tty::set_size(&controlling, size);
    }
    channel.send(&Message::Terminal {}, Some(controlling.as_fd()))?;
    Ok(terminal)
}

fn different_namespaces(pid: i32) -> Result<i32> {
    const KINDS: [(&str, i32); 8] = [
        ("user", libc::CLONE_NEWUSER),
        ("mnt", libc::CLONE_NEWNS),
        ("pid", libc::CLONE_NEWPID),
        ("ipc", libc::CLONE_NEWIPC),
        ("uts", libc::CLONE_NEWUTS),
        ("net", libc::CLONE_NEWNET),
        ("cgroup", libc::CLONE_NEWCGROUP),
        ("time", NEWTIME),
    ];
    let mut flags = 0;
    for (kind, flag) in KINDS {
        let read = |of: &str| {
            let path = format!("/proc/{of}/ns/{kind}");
            std::fs::read_link(&path).map_err(|error| Error::io(format!("readlink({path:?})"), &error))
        };
        // A kernel without time namespaces has none to enter.
        if flag == NEWTIME && read("self").is_err() {
            continue;
        }
        if read(&pid.to_string())? != read("self")? {
            flags |= flag;
        }
    }
    Ok(flags)
}

/// How many resources have limits (`RLIM_NLIMITS`).
const LIMITS: u32 = 16;

/// The resource limits of a process, for another one to have them too.
pub fn limits_of(pid: i32) -> Vec<(u32, u64, u64)> {
    (0..LIMITS).filter_map(|resource| task::limit_of(pid, resource).map(|(soft, hard)| (resource, soft, hard))).collect()
}

fn oom_score_adj_of(pid: i32) -> Option<String> {
    let read = |of: &str| std::fs::read_to_string(format!("/proc/{of}/oom_score_adj")).ok();
    let theirs = read(&pid.to_string())?;
    (read("self")? != theirs).then_some(theirs)
}
