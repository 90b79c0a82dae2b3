//! Starting a container: the process that goes into it, from clone to exec.

use crate::cgroup;
use crate::container::gate;
use crate::container::init;
use crate::container::mounts::Mounts;
use crate::container::namespaces::NEWTIME;
use crate::container::pivot;
use crate::container::plan::Plan;
use crate::container::process::{self, Stdio, Streams};
use crate::container::sealed;
use crate::error::{Error, Kind, Result};
use crate::net::attachment::Attachment;
use crate::net::inside::{self, Arriving};
use crate::sys::exit_now;
use crate::sys::task::{self, Cloned};
use crate::wire::channel::Created;
use crate::wire::channel::{Channel, Message};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};

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

/// A moment at which whoever makes the container has something to do.
#[derive(Debug)]
pub enum Moment {
    /// Its namespaces are there: ids can be mapped now, and it can be put into its control groups. It waits.
    Made,
    /// Its root stands, and has not been entered yet. It waits.
    Ready,
    /// Its filter is there, and asks here what to do with calls. It goes on, and may ask at once.
    Filtered(OwnedFd),
}

/// Whoever makes a container: waits for it, and does its part at certain moments.
pub struct Maker<'a, 'n> {
    pub patience: Patience<'a>,
    /// Connected when the namespaces stand, before the program runs.
    pub network: Option<&'a mut Attachment<'n>>,
    /// Called with the process, in the numbering here.
    pub at: &'a mut dyn FnMut(Moment, i32) -> Result<()>,
}

/// What the process inside is given.
pub struct Given<'a> {
    pub plan: &'a Plan,
    /// Mounted, and attached to nothing. `None`: it is copied inside from its path, by one who may do that only there.
    pub root: Option<&'a OwnedFd>,
    pub mounts: Mounts,
    pub stdio: Stdio,
    /// Whoever connects here lets the program start, and is told why it could not: a container that is made and not started.
    pub gate: Option<OwnedFd>,
}

/// Starts a container. Comes back when its program runs, or with a gate when it stands before that.
pub fn start(given: Given<'_>, mut maker: Maker<'_, '_>) -> Result<Started, Box<Failed>> {
    let plan = given.plan;
    let (ours, theirs) = Channel::pair()?;
    let init = if plan.init { Some(sealed::program()?) } else { None };
    let (pid, pidfd) = match make_process(plan, &ours, &theirs, &mut maker)? {
        Cloned::Child => {
            drop(ours);
            let error = become_program(given, init.as_ref(), &theirs);
            theirs.fail(error);
            exit_now(1);
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    // Else the end of the streams would never come.
    drop((theirs, given));
    let mut started = Started { pid, pidfd, terminal: None, created: Vec::new(), warnings: Vec::new() };
    match listen(&ours, &mut started, &mut maker) {
        Ok(()) => Ok(started),
        Err(error) => {
            let _ = task::kill(pid, libc::SIGKILL);
            let ended = task::reap(pid, true);
            let error = if error.kind == Kind::State { died_early(ended.map(|(_, ended)| ended)) } else { error };
            Err(Box::new(Failed { error, created: started.created }))
        }
    }
}

/// Makes the process in its namespaces. Those that it joins are entered by a process in between, of which it is a sibling:
/// only a child is in a process namespace that was entered, and only a child's clock is that of a time namespace.
fn make_process(plan: &Plan, ours: &Channel, theirs: &Channel, maker: &mut Maker<'_, '_>) -> Result<Cloned, Box<Failed>> {
    let new = plan.namespaces.new & !later(plan);
    if plan.namespaces.joined.is_empty() && new & NEWTIME == 0 {
        let cgroup = plan.cgroup.as_ref().and_then(crate::cgroup::Cgroup::clone_into);
        return Ok(task::clone(new, cgroup.as_ref().map(AsFd::as_fd))?);
    }
    let joined = plan.namespaces.joined.iter().map(|(flag, path)| Ok((*flag, open_namespace(*flag, path)?))).collect::<Result<Vec<_>>>()?;
    let Some(between) = task::fork()? else {
        match enter(plan, &joined, new, theirs) {
            Ok(true) => return Ok(Cloned::Child),
            Ok(false) => exit_now(0),
            Err(error) => {
                theirs.fail(error);
                exit_now(1);
            }
        }
    };
    let first = hear(ours, maker.patience);
    if first.is_err() {
        let _ = task::kill(between, libc::SIGKILL);
    }
    task::reap(between, true);
    match first? {
        Some((Message::Child { pid }, Some(pidfd))) => Ok(Cloned::Parent { pid, pidfd }),
        Some((Message::Failed { error }, _)) => Err(error.into()),
        _ => Err(Error::new(Kind::State, "the process that enters the namespaces ended early").into()),
    }
}

/// The namespaces that the process makes when it is inside: whoever enters one for control groups must be in them already,
/// and message queues belong to whom makes theirs, who is to be root of the user namespace.
fn later(plan: &Plan) -> i32 {
    let ipc = if plan.namespaces.new & libc::CLONE_NEWUSER == 0 { 0 } else { libc::CLONE_NEWIPC };
    libc::CLONE_NEWCGROUP | ipc
}

/// Opens a namespace, which must be of the type that it is given as.
pub fn open_namespace(flag: i32, path: &str) -> Result<OwnedFd> {
    let call = |what: &str, errno: rustix::io::Errno| Error::call(format!("{what}({path:?})"), errno).path(path);
    let open =
        openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).map_err(|errno| call("openat", errno))?;
    match task::namespace_type(&open) {
        Some(found) if found == flag => Ok(open),
        _ => Err(Error::new(Kind::Request, format!("{path:?} is not a namespace of the type that it is given as")).path(path)),
    }
}

/// `true` in the new process.
fn enter(plan: &Plan, joined: &[(i32, OwnedFd)], new: i32, channel: &Channel) -> Result<bool> {
    task::reset_signals();
    if let Some(cgroup) = &plan.cgroup {
        cgroup.join(true)?;
    }
    for (flag, namespace) in joined {
        task::setns(namespace, *flag).map_err(|error| error.context("cannot join a namespace of the container"))?;
        if *flag == libc::CLONE_NEWUSER {
            become_root_of_namespace()?;
        }
    }
    let mut new = new;
    if new & NEWTIME != 0 {
        task::unshare(NEWTIME)?;
        new &= !NEWTIME;
        let offsets = plan.config.linux.time_offsets.iter().map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
        let offsets: String = offsets.collect();
        if !offsets.is_empty() {
            std::fs::write("/proc/self/timens_offsets", &offsets)
                .map_err(|error| Error::io(format!("write(\"/proc/self/timens_offsets\", {offsets:?})"), &error))?;
        }
    }
    // The new process speaks on the same channel, and must not do so before it has been announced.
    let (announced, announce) = crate::wire::stream::pipe()?;
    match task::clone_sibling(new)? {
        Cloned::Child => {
            drop(announce);
            crate::sys::wait_readable(&announced);
            Ok(true)
        }
        Cloned::Parent { pid, pidfd } => {
            channel.send(&Message::Child { pid }, Some(pidfd.as_fd()))?;
            drop(announce);
            Ok(false)
        }
    }
}

/// Root inside, where there is a root; groups may be fixed there.
fn become_root_of_namespace() -> Result<()> {
    let _ = task::set_groups(&[]);
    task::set_gid(0)?;
    task::set_uid(0)
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
pub fn listen(channel: &Channel, started: &mut Started, maker: &mut Maker<'_, '_>) -> Result<()> {
    let mut confined = false;
    let mut arriving = Arriving::default();
    while let Some((message, descriptor)) = hear(channel, maker.patience)? {
        match message {
            Message::Created { created } => started.created = created,
            Message::Terminal {} => started.terminal = descriptor,
            Message::Listener {} => {
                let listener = descriptor.ok_or_else(|| Error::new(Kind::State, "the filter's listener did not come"))?;
                (maker.at)(Moment::Filtered(listener), started.pid)?;
            }
            Message::Warning { text } => started.warnings.push(text),
            Message::Confined {} => confined = true,
            Message::Socket { purpose } => arriving.take(purpose, descriptor),
            // While it mounts its root, we connect it.
            Message::Network {} => {
                let inside = arriving.complete()?;
                if let Some(network) = &mut maker.network {
                    network.connect(started.pid, inside)?;
                }
            }
            Message::Made {} | Message::Ready {} => {
                let moment = if matches!(message, Message::Made {}) { Moment::Made } else { Moment::Ready };
                (maker.at)(moment, started.pid)?;
                channel.send(&Message::Go {}, None)?;
            }
            Message::Child { .. } | Message::Go {} => {}
            Message::Failed { error } => return Err(error),
        }
    }
    // The connection may also have ended because the process was killed.
    if confined { Ok(()) } else { Err(Error::new(Kind::State, "the container's process ended early")) }
}

/// Runs in the new process, until it is the program. Comes back only with why it could not be.
fn become_program(given: Given<'_>, init: Option<&OwnedFd>, channel: &Channel) -> Error {
    let plan = given.plan;
    let (ready, gate) = match set_up(given, channel) {
        Ok(ready) => ready,
        Err(error) => return error,
    };
    match init {
        Some(image) => init::run(&plan.process, &ready, image),
        None => gate::pass(plan, &ready, gate),
    }
}

fn set_up(given: Given<'_>, channel: &Channel) -> Result<(process::Ready, Option<OwnedFd>)> {
    let Given { plan, root, mounts, stdio, gate } = given;
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
    if plan.namespaces.new & libc::CLONE_NEWUSER != 0 {
        channel.stop(&Message::Made {})?;
        become_root_of_namespace()?;
        task::unshare(plan.namespaces.new & libc::CLONE_NEWIPC)?;
    } else if let Some(cgroup) = &plan.cgroup {
        cgroup.join(!plan.namespaces.joined.is_empty())?;
    }
    if plan.namespaces.new & libc::CLONE_NEWCGROUP != 0 {
        cgroup::hide()?;
    }
    // Who is root in a new user namespace alone may not lower it; whoever made that has set it.
    if let Some(adjustment) = plan.process.oom_score_adj.filter(|_| plan.namespaces.new & libc::CLONE_NEWUSER == 0) {
        std::fs::write("/proc/self/oom_score_adj", adjustment.to_string()).map_err(|error| low_score(adjustment, &error))?;
    }
    if !plan.config.hostname.is_empty() {
        task::set_hostname(&plan.config.hostname)?;
    }
    if !plan.config.domainname.is_empty() {
        task::set_domainname(&plan.config.domainname)?;
    }
    if plan.namespaces.new & libc::CLONE_NEWNET != 0 {
        task::raise_loopback()?;
        if plan.lenient {
            inside::relax(&plan.config.linux.sysctl);
        }
        if let Some(resolver) = plan.network {
            inside::hand_out(channel, resolver)?;
        }
    }
    let terminal = pivot::enter(plan, root, mounts, channel)?;
    let streams = match terminal {
        Some(terminal) => Streams::Terminal(terminal),
        None => Streams::Own(stdio),
    };
    let ready = process::prepare(&plan.process, streams)?;
    process::confine(&plan.process, &ready, channel)?;
    channel.send(&Message::Confined {}, None)?;
    Ok((ready, gate))
}

fn low_score(adjustment: i32, error: &std::io::Error) -> Error {
    let now = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    Error::io(format!("write(\"/proc/self/oom_score_adj\", {adjustment})"), error)
        .context("cannot set the preference of the OOM killer")
        .hint(format!("It is {} here, and only root may lower it.", now.trim()))
}
