//! The last steps inside: from a process of ours in the container's root to the container's program.

use crate::container::capabilities::{self, Sets};
use crate::container::lsm;
use crate::container::plan::{Limit, Process, Who};
use crate::container::targets::make_directory;
use crate::container::user::{self, Identity};
use crate::error::{Error, Kind, Result};
use crate::root;
use crate::sys::capability;
use crate::sys::{self, task};
use crate::wire::channel::{Channel, Message};
use crate::wire::stream::pipe;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, major, minor, openat};
use rustix::io::Errno;
use std::ffi::CString;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's ends of pipes of its own, never the caller's streams.
#[derive(Default)]
pub struct Stdio {
    /// `None`: nothing is passed in.
    pub stdin: Option<OwnedFd>,
    /// Always there, but where the process has a terminal.
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// Where the process gets its standard streams and terminal from.
pub enum Streams {
    /// Pipes.
    Own(Stdio),
    /// The container's side of a terminal, which becomes the controlling one.
    Terminal(OwnedFd),
}

/// A process that is ready to become the program: user, environment and working directory are settled.
pub struct Ready {
    identity: Identity,
    env: Vec<CString>,
    path: String,
}

/// Settles who, where and with what. The root must have been entered.
pub fn prepare(process: &Process, streams: Streams) -> Result<Ready> {
    let root = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\"/\")", errno))?;
    let identity = match &process.who {
        Who::Named(named) => user::lookup(root.as_fd(), named.user.as_deref(), &named.additional_groups)?,
        Who::Numbers { uid, gid, groups } => user::by_number(root.as_fd(), *uid, *gid, groups),
    };
    enter_directory(root.as_fd(), process)?;
    connect(root.as_fd(), streams, &identity)?;
    for limit in &process.limits {
        apply(limit)?;
    }
    let mut env: Vec<CString> = last_of_each(&process.env).into_iter().map(task::c_string).collect::<Result<_>>()?;
    if process.variable("HOME").is_none_or(str::is_empty) {
        env.retain(|variable| !variable.as_bytes().starts_with(b"HOME="));
        env.push(task::c_string(&format!("HOME={}", identity.home))?);
    }
    let path = process.variable("PATH").unwrap_or(DEFAULT_PATH).to_owned();
    Ok(Ready { identity, env, path })
}

/// Of variables that are given twice the last, in its place: programs differ in which they take.
fn last_of_each(env: &[String]) -> Vec<&str> {
    let mut seen = std::collections::HashSet::new();
    let name = |variable: &'_ str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut last: Vec<&str> = env.iter().rev().map(String::as_str).filter(|variable| seen.insert(name(variable))).collect();
    last.reverse();
    last
}

/// Goes to the working directory, which is inside the root whatever it is called (CVE-2024-21626).
fn enter_directory(root: BorrowedFd<'_>, process: &Process) -> Result<()> {
    let path = process.cwd.as_str();
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let explain = |error: Error| error.context(format!("cannot enter the working directory {path:?}"));
    let directory = match root::open_in_root(root, path, flags, Mode::empty()) {
        Err(error) if error.kind == Kind::NotFound && process.make_cwd => {
            make_directory(root, path).map_err(explain)?;
            root::open_in_root(root, path, flags, Mode::empty())
        }
        other => other,
    }
    .map_err(explain)?;
    rustix::process::fchdir(&directory).map_err(|errno| explain(Error::call("fchdir(…)", errno)))?;
    // The kernel says "(unreachable)" of a directory outside the root.
    let now = rustix::process::getcwd(Vec::new()).map_err(|errno| explain(Error::call("getcwd()", errno)))?;
    if !now.as_bytes().starts_with(b"/") {
        return Err(Error::new(Kind::Escape, format!("the working directory {path:?} is outside the root")));
    }
    Ok(())
}

fn connect(root: BorrowedFd<'_>, streams: Streams, identity: &Identity) -> Result<()> {
    match streams {
        Streams::Terminal(terminal) => {
            sys::change_owner_of_user(&terminal, identity.uid);
            rustix::process::ioctl_tiocsctty(&terminal).map_err(|errno| Error::call("ioctl(TIOCSCTTY)", errno))?;
            for target in 0..3 {
                sys::put_at(&terminal, target)?;
            }
        }
        Streams::Own(mut stdio) => {
            if stdio.stdin.is_none() {
                stdio.stdin = Some(no_input(root)?);
            }
            for (stream, target, access) in [(&stdio.stdin, 0, 0o644), (&stdio.stdout, 1, 0o622), (&stdio.stderr, 2, 0o622)] {
                let Some(stream) = stream else { continue };
                if is_pipe(stream) {
                    // /dev/stdout is opened by its name as well, by this user, and by those whom it becomes (su, gosu).
                    let _ = rustix::fs::fchmod(stream, Mode::from_raw_mode(access));
                    sys::change_owner_of_user(stream, identity.uid);
                }
                sys::put_at(stream, target)?;
            }
        }
    }
    Ok(())
}

/// What a process reads that gets no input: the null device inside, or nothing, where something else lies there (a FIFO
/// of an image, which would never open). The machine's own it must not be: through /proc/self/fd/0 root inside could
/// take it from everybody (chmod).
fn no_input(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let open = |flags| root::open_in_root(root, "dev/null", flags | OFlags::NOFOLLOW, Mode::empty()).ok().filter(is_null_device);
    // Looked at before it is opened, and again, since it may have been replaced in between.
    let null = open(OFlags::PATH).and_then(|_| open(OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK));
    null.map_or_else(|| pipe().map(|(end, _)| end), Ok)
}

fn is_null_device(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
    })
}

fn is_pipe(stream: &OwnedFd) -> bool {
    fstat(stream).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

fn apply(limit: &Limit) -> Result<()> {
    task::set_limit(limit.resource, limit.soft, limit.hard).map_err(|errno| {
        let error = Error::call(format!("prlimit64({}, {}, {})", limit.name, limit.soft, limit.hard), errno)
            .context(format!("cannot set the limit of {}", limit.name));
        match errno {
            Errno::PERM => error.hint(format!(
                "The hard limit here is {}; only a process with CAP_SYS_RESOURCE may raise it.",
                task::limit(limit.resource).1
            )),
            _ => error,
        }
    })
}

/// Gives up everything that the process is not to have. After this it is as confined as its program will be.
pub fn confine(process: &Process, ready: &Ready, channel: &Channel) -> Result<()> {
    let identity = &ready.identity;
    if let Some(scheduler) = &process.scheduler {
        task::set_scheduler(scheduler)?;
    }
    if let Some(priority) = process.io_priority {
        task::set_io_priority(priority)?;
    }
    if let Some(personality) = process.personality {
        task::set_personality(personality)?;
    }
    if let Some(policy) = &process.memory_policy {
        task::set_memory_policy(policy.mode, &policy.nodes)?;
    }
    match if process.new_keyring { task::join_new_keyring() } else { Ok(()) } {
        // A kernel without keys, or an outer container that forbids them.
        Ok(()) | Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::DQUOT) => {}
        Err(errno) => return Err(Error::call("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", errno)),
    }
    if let Some(profile) = &process.apparmor {
        lsm::apply_apparmor(profile)?;
    }
    if let Some(label) = &process.selinux {
        lsm::apply_selinux(label)?;
    }
    let sets = held(process, identity)?;
    capabilities::bound(sets.bounding)?;
    // A filter needs either CAP_SYS_ADMIN, which goes below, or no_new_privs.
    let load = || -> Result<()> {
        let listener = process.seccomp.as_ref().map_or(Ok(None), |filter| filter.load(sets.bounding))?;
        listener.map_or(Ok(()), |listener| channel.send(&Message::Listener {}, Some(listener.as_fd())))
    };
    if !process.no_new_privileges {
        load()?;
    }
    capability::keep_capabilities(true);
    set_identity(identity)?;
    capability::keep_capabilities(false);
    capability::set_capabilities(sets.effective.0, sets.permitted.0, sets.inheritable.0)?;
    // What is not permitted and inheritable too cannot be: older callers ask for it all the same.
    capabilities::raise_ambient(sets.ambient.within(sets.permitted).within(sets.inheritable))?;
    // Changing the user has cleared it.
    if !process.outlives {
        task::die_with_parent();
    }
    if process.no_new_privileges {
        task::set_no_new_privileges()?;
        load()?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.umask));
    Ok(())
}

/// The capabilities that it is to have, as far as we have them: what we may not do ourselves we cannot give away, and `ALL`
/// means all that there is. Of a user by name, only root holds them from the start.
fn held(process: &Process, identity: &Identity) -> Result<Sets> {
    let mut sets = process.capabilities.within(capabilities::Set::permitted()?);
    if matches!(process.who, Who::Named(_)) && identity.uid != 0 {
        (sets.effective, sets.permitted) = Default::default();
    }
    Ok(sets)
}

fn set_identity(identity: &Identity) -> Result<()> {
    let unmapped = |error: Error| {
        match error.errno {
        Some(Errno::INVAL) => Error { kind: Kind::Isolation, ..error }
            .context(format!("user {}:{} does not exist in this user namespace", identity.uid, identity.gid))
            .hint("Inside there are only ids that /etc/subuid and /etc/subgid of the machine grant this user. Grant more: usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST USER."),
        _ => error,
    }
    };
    match task::set_groups(&identity.groups) {
        // A namespace of a single id cannot change groups; nor is there any other to have.
        Err(error) if error.errno == Some(Errno::PERM) && identity.groups.iter().all(|group| *group == identity.gid) => {}
        other => other.map_err(unmapped)?,
    }
    task::set_gid(identity.gid).map_err(unmapped)?;
    task::set_uid(identity.uid).map_err(unmapped)
}

/// Looks for the program, so that whoever makes a container learns that it cannot be started.
pub fn find(process: &Process, ready: &Ready) -> Result<()> {
    let program = process.args[0].to_string_lossy();
    if program.contains('/') {
        return match rustix::fs::access(&*program, rustix::fs::Access::EXEC_OK) {
            Ok(()) if is_file(&program) => Ok(()),
            Ok(()) => Err(explain(&program, &program, Errno::ACCESS)),
            Err(errno) => Err(explain(&program, &program, errno)),
        };
    }
    let mut refused = None;
    for directory in ready.path.split(':') {
        let path = format!("{}/{program}", if directory.is_empty() { "." } else { directory });
        match rustix::fs::access(&*path, rustix::fs::Access::EXEC_OK) {
            Ok(()) if is_file(&path) => return Ok(()),
            Err(Errno::ACCESS) => refused = Some(path),
            _ => {}
        }
    }
    Err(refused.map_or_else(|| not_found(&program), |path| explain(&program, &path, Errno::ACCESS)))
}

/// Becomes the program. Comes back only with the reason why not.
pub fn exec(process: &Process, ready: &Ready) -> Error {
    // Whatever is open beyond the standard streams stays behind.
    sys::close_on_exec_from(3 + process.preserve_fds);
    let program = process.args[0].to_string_lossy().into_owned();
    if program.is_empty() {
        return not_found(&program);
    }
    if program.contains('/') {
        let errno = task::exec(&process.args[0], &process.args, &ready.env);
        return explain(&program, &program, errno);
    }
    let mut refused = None;
    for directory in ready.path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let Ok(path) = task::c_string(&format!("{directory}/{program}")) else { continue };
        match task::exec(&path, &process.args, &ready.env) {
            errno @ (Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::STALE) => {
                // A script whose interpreter is missing is there all the same.
                if refused.is_none() && is_file(&path.to_string_lossy()) {
                    refused = Some((path, errno));
                }
            }
            Errno::ACCESS => {
                // A directory of that name is passed over, like one that is not in PATH.
                if refused.is_none() && is_file(&path.to_string_lossy()) {
                    refused = Some((path, Errno::ACCESS));
                }
            }
            errno => return explain(&program, &path.to_string_lossy(), errno),
        }
    }
    match refused {
        Some((path, errno)) => explain(&program, &path.to_string_lossy(), errno),
        None => not_found(&program),
    }
}

fn is_file(path: &str) -> bool {
    rustix::fs::stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

fn not_found(program: &str) -> Error {
    Error::new(Kind::CommandNotFound, format!("command {program:?} was not found in $PATH of the image")).path(program)
}

fn explain(program: &str, path: &str, errno: Errno) -> Error {
    let error = |kind, why: &str| Error { errno: Some(errno), ..Error::new(kind, format!("command {program:?} {why}")).path(path) };
    let stat = rustix::fs::stat(path);
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP if stat.is_err() => error(Kind::CommandNotFound, "was not found in the image"),
        // The file is there, so it is what it needs that is not.
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
            error(Kind::CommandNotFound, "is there, but its interpreter or dynamic loader is not")
                .hint("A script names its interpreter after `#!`; a dynamic program needs its loader and libraries in the image.")
        }
        Errno::ACCESS if stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory) => {
            error(Kind::CommandNotExecutable, "is a directory")
        }
        Errno::ACCESS | Errno::PERM => error(Kind::CommandNotExecutable, "cannot be executed: permission denied"),
        Errno::NOEXEC => {
            error(Kind::CommandNotExecutable, "cannot be executed: not a program of this machine, nor a script that starts with `#!`")
        }
        _ => Error { kind: Kind::CommandNotExecutable, ..Error::call(format!("execve({path:?})"), errno) }
            .context(format!("cannot execute {program:?}"))
            .path(path),
    }
}
