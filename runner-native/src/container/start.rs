//! Starting a container: the process that goes into it, from clone to exec.

use crate::cgroup;
use crate::container::channel::{self, Channel, Message};
use crate::container::init;
use crate::container::mounts::Mounts;
use crate::container::plan::Plan;
use crate::container::process::{self, Stdio, Streams};
use crate::container::rootfs::{attach, protect};
use crate::container::sealed;
use crate::container::system;
use crate::container::targets::{Created, Targets};
use crate::container::tty;
use crate::net::attachment::Attachment;
use crate::net::inside::{self, Arriving};
use crate::sys::exit_now;
use crate::sys::task::{self, Cloned};
use crate::wire::error::{Error, Kind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

/// A container whose program runs.
pub struct Started {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The controlling side, if it has a terminal.
    pub terminal: Option<OwnedFd>,
    pub created: Vec<Created>,
    pub warnings: Vec<String>,
}

/// Why a container could not be started, with what it has left in its root.
pub struct Failed {
    pub error: Error,
    pub created: Vec<Created>,
}

impl From<Error> for Box<Failed> {
    fn from(error: Error) -> Self {
        Box::new(Failed { error, created: Vec::new() })
    }
}

/// Starts a container on a root that is mounted but attached to nothing. Comes back when its program runs.
/// `patience` waits for the channel to have something to read, and gives up by `false`. `network` is connected when the
/// namespaces stand, before the program runs.
pub fn start(
    plan: &Plan,
    root: &OwnedFd,
    mounts: Mounts,
    stdio: Stdio,
    network: Option<&mut Attachment<'_>>,
    patience: Patience<'_>,
) -> Result<Started, Box<Failed>> {
    let (ours, theirs) = Channel::pair()?;
    let cgroup = plan.cgroup.as_ref().and_then(crate::cgroup::Cgroup::clone_into);
    let init = if plan.init { Some(sealed::program()?) } else { None };
    let (pid, pidfd) = match task::clone(plan.namespaces, cgroup.as_ref().map(AsFd::as_fd))? {
        Cloned::Child => {
            drop(ours);
            let error = inside(plan, root, mounts, stdio, init.as_ref(), &theirs);
            theirs.fail(&error);
            exit_now(1);
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    // Else the end of the streams would never come.
    drop((theirs, stdio, mounts));
    let mut started = Started { pid, pidfd, terminal: None, created: Vec::new(), warnings: Vec::new() };
    match listen(&ours, &mut started, network, patience) {
        Ok(()) => Ok(started),
        Err(error) => {
            let _ = task::kill(pid, libc::SIGKILL);
            let ended = task::reap(pid, true);
            let error = if error.kind == Kind::State { died_early(ended.map(|(_, ended)| ended)) } else { error };
            Err(Box::new(Failed { error, created: started.created }))
        }
    }
}

fn died_early(ended: Option<task::Ended>) -> Error {
    let how = match ended {
        Some(task::Ended::Signalled(signal)) => format!("was killed by signal {signal}"),
        Some(task::Ended::Exited(status)) => format!("ended with status {status}"),
        None => "ended".to_owned(),
    };
    Error::new(Kind::State, format!("the process {how} while it was preparing the container"))
}

/// Waits until a channel has something to read; `false`: whoever asked for the container does not want it any more.
pub type Patience<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> bool;

/// The next message; `None` at the end.
///
/// # Errors
/// `Kind::Cancelled` if nobody waits for it any more.
pub fn hear(channel: &Channel, patience: Patience<'_>) -> Result<Option<(Message, Option<OwnedFd>)>> {
    if !patience(channel.as_fd()) {
        return Err(Error::new(Kind::Cancelled, "cancelled while the container was being prepared"));
    }
    channel.receive()
}

/// Hears what the process inside has to say until it has become the program.
pub fn listen(channel: &Channel, started: &mut Started, mut network: Option<&mut Attachment<'_>>, patience: Patience<'_>) -> Result<()> {
    let mut confined = false;
    let mut arriving = Arriving::default();
    while let Some((message, descriptor)) = hear(channel, patience)? {
        match message {
            Message::Created { created } => started.created = created,
            Message::Terminal {} => started.terminal = descriptor,
            Message::Warning { text } => started.warnings.push(text),
            Message::Confined {} => confined = true,
            Message::Socket { purpose } => arriving.take(purpose, descriptor),
            // While it mounts its root, we connect it.
            Message::Network {} => {
                let inside = arriving.complete()?;
                if let Some(network) = &mut network {
                    network.connect(started.pid, inside)?;
                }
            }
            Message::Ready {} => channel.send(&Message::Go {}, None)?,
            Message::Child { .. } | Message::Go {} => {}
            Message::Failed { kind, text, operation, path, errno, hint } => {
                return Err(channel::error_of(&kind, text, operation, path, errno, hint));
            }
        }
    }
    // The connection may also have ended because the process was killed.
    if confined { Ok(()) } else { Err(Error::new(Kind::State, "the container's process ended early")) }
}

/// Runs in the new process, until it is the program. Comes back only with why it could not be.
fn inside(plan: &Plan, root: &OwnedFd, mounts: Mounts, stdio: Stdio, init: Option<&OwnedFd>, channel: &Channel) -> Error {
    match set_up(plan, root, mounts, stdio, channel) {
        Ok(ready) => match init {
            Some(image) => init::run(&plan.process, &ready, image),
            None => process::exec(&plan.process, &ready),
        },
        Err(error) => error,
    }
}

fn set_up(plan: &Plan, root: &OwnedFd, mounts: Mounts, stdio: Stdio, channel: &Channel) -> Result<process::Ready> {
    task::die_with_parent();
    if channel.parent_is_gone() {
        return Err(Error::new(Kind::Cancelled, "the parent is gone"));
    }
    if let Some(namespace) = plan.joined_network {
        task::setns(namespace, libc::CLONE_NEWNET).map_err(|error| error.context("cannot enter the network namespace"))?;
    }
    task::reset_signals();
    // A session of its own: no signals from the caller's terminal, and nothing can be typed into it (TIOCSTI).
    rustix::process::setsid().map_err(|errno| Error::call("setsid()", errno))?;
    if let Some(cgroup) = &plan.cgroup {
        cgroup.join(false)?;
    }
    cgroup::hide()?;
    if let Some(adjustment) = plan.oom_score_adj {
        std::fs::write("/proc/self/oom_score_adj", adjustment.to_string()).map_err(|error| low_score(adjustment, &error))?;
    }
    if let Some(hostname) = &plan.hostname {
        task::set_hostname(hostname)?;
    }
    if plan.namespaces & libc::CLONE_NEWNET != 0 {
        task::raise_loopback()?;
        inside::relax(&plan.sysctl);
        if let Some(resolver) = plan.network {
            inside::hand_out(channel, resolver)?;
        }
    }

    let terminal = enter_root(plan, root, mounts, channel)?;
    if plan.readonly_root {
        protect(root, false)?;
    }
    let streams = match terminal {
        Some(terminal) => Streams::Terminal(terminal),
        None => Streams::Own(stdio),
    };
    let ready = process::prepare(&plan.process, streams)?;
    process::confine(&plan.process, &ready)?;
    channel.send(&Message::Confined {}, None)?;
    Ok(ready)
}

fn low_score(adjustment: i32, error: &std::io::Error) -> Error {
    let now = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    Error::io(format!("write(\"/proc/self/oom_score_adj\", {adjustment})"), error)
        .context("cannot set the preference of the OOM killer")
        .hint(format!("It is {} here, and only root may lower it.", now.trim()))
}

/// Mounts everything and makes it the root. Gives the container's side of its terminal, if it has one.
fn enter_root(plan: &Plan, root: &OwnedFd, mounts: Mounts, channel: &Channel) -> Result<Option<OwnedFd>> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| Error::call("mount(\"/\", MS_SLAVE|MS_REC)", errno))?;
    // What must be attached somewhere goes on top of the old root, which is out of sight and goes away as a whole.
    let old = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\"/\")", errno))?;
    mounts.stage(&old)?;
    let nodes = system::Nodes::new(plan, old.as_fd())?;
    attach(root, &old)?;
    let mut targets = Targets::new(root.as_fd())?;
    let made = mount_all(plan, nodes, mounts, &mut targets);
    channel.send(&Message::Created { created: std::mem::take(&mut targets.created) }, None)?;
    let system = made?;
    let terminal = if plan.process.terminal { Some(tty::open(&system, plan.terminal_size, channel)?) } else { None };

    rustix::process::fchdir(root).map_err(|errno| Error::call("fchdir(root)", errno))?;
    rustix::process::pivot_root(".", ".").map_err(|errno| Error::call("pivot_root(\".\", \".\")", errno))?;
    leave_old_root(root)?;
    rustix::process::chdir("/").map_err(|errno| Error::call("chdir(\"/\")", errno))?;

    if plan.network.is_some() {
        channel.wait_for_go()?;
    }
    system.set_sysctls(plan.sysctl.iter())?;
    if !plan.privileged {
        system.cover()?;
    }
    Ok(terminal)
}

fn mount_all(plan: &Plan, nodes: system::Nodes<'_>, mounts: Mounts, targets: &mut Targets<'_>) -> Result<system::System> {
    let system = system::mount(plan, nodes, targets)?;
    mounts.attach(targets)?;
    Ok(system)
}

/// Takes the old root away, and what was put on it, all of which now lies on top of the new one. Not counted but looked
/// at: as long as `..` of the root leads anywhere else, there is something left.
fn leave_old_root(root: &OwnedFd) -> Result<()> {
    let ours = mount_id(root.as_fd())?;
    loop {
        let above = openat(CWD, "/..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::call("openat(\"/..\")", errno))?;
        if mount_id(above.as_fd())? == ours {
            return Ok(());
        }
        unmount(".", UnmountFlags::DETACH).map_err(|errno| Error::call("umount2(\".\", MNT_DETACH)", errno))?;
    }
}

fn mount_id(fd: BorrowedFd<'_>) -> Result<u64> {
    let stat = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(|errno| Error::call("statx(STATX_MNT_ID)", errno))?;
    Ok(stat.stx_mnt_id)
}
