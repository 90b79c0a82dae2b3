//! Processes: making, changing and replacing them. Raw calls, never glibc's wrappers that talk to other threads:
//! this program is single-threaded wherever these are used.

use crate::error::{Error, Kind, Result};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which side of a clone this is.
pub enum Cloned {
    Parent { pid: i32, pidfd: OwnedFd },
    Child,
}

/// libc's constant is cut off at 32 bits.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a child with new namespaces (`CLONE_NEW*` in `flags`), optionally right inside a cgroup (v2).
pub fn clone(flags: i32, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain old data, for which zeros are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(flags as u32) | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child gets a copy of this single-threaded process, as with fork(2): no lock
    // can be held by a thread that does not exist there. The arguments live until the call returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of::<libc::clone_args>()) };
    match pid {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel has just made this descriptor for us.
        pid if pid > 0 => Ok(Cloned::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(Error::call(format!("clone3({})", namespace_names(flags)), last())),
    }
}

/// Makes a process that is a child of this one's parent: in the process namespace that was entered, reaped by whom it matters to.
/// Its namespaces (`CLONE_NEW*` in `flags`) are new.
pub fn clone_sibling(flags: i32) -> Result<Cloned> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain old data, for which zeros are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(flags as u32) | (libc::CLONE_PIDFD | libc::CLONE_PARENT) as u64;
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    // SAFETY: as in `clone`.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of::<libc::clone_args>()) };
    match pid {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel has just made this descriptor for us.
        pid if pid > 0 => Ok(Cloned::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
        _ => Err(Error::call("clone3(CLONE_PARENT)", last())),
    }
}

/// Names of `CLONE_NEW*` flags, for messages.
fn namespace_names(flags: i32) -> String {
    const NAMES: [(i32, &str); 7] = [
        (libc::CLONE_NEWUSER, "CLONE_NEWUSER"),
        (libc::CLONE_NEWNS, "CLONE_NEWNS"),
        (libc::CLONE_NEWPID, "CLONE_NEWPID"),
        (libc::CLONE_NEWIPC, "CLONE_NEWIPC"),
        (libc::CLONE_NEWUTS, "CLONE_NEWUTS"),
        (libc::CLONE_NEWNET, "CLONE_NEWNET"),
        (libc::CLONE_NEWCGROUP, "CLONE_NEWCGROUP"),
    ];
    let names: Vec<&str> = NAMES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
    names.join("|")
}

pub fn unshare(flags: i32) -> Result<()> {
    // SAFETY: changes this process's namespaces only; CLONE_FILES and the like are never passed.
    check(unsafe { libc::syscall(libc::SYS_unshare, libc::c_long::from(flags)) }, || format!("unshare({})", namespace_names(flags)))
}

/// Enters the namespaces behind a pidfd or a namespace descriptor.
pub fn setns(fd: impl AsFd, flags: i32) -> Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_fd().as_raw_fd(), flags) }, || format!("setns(…, {})", namespace_names(flags)))
}

/// Real, effective and saved ids, and the supplementary groups (`None`: left as they are).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the kernel reads `len` ids from the slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }, || format!("setgroups({groups:?})"))
}

pub fn set_gid(gid: u32) -> Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }, || format!("setresgid({gid})"))
}

pub fn set_uid(uid: u32) -> Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }, || format!("setresuid({uid})"))
}

/// How a process is scheduled (sched_setattr(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

pub fn set_scheduler(scheduler: &Scheduler) -> Result<()> {
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: the kernel reads the attributes, whose size is in them.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&attributes), 0) }, || {
        format!("sched_setattr(policy {})", scheduler.policy)
    })
}

/// Class and level of this process's input and output (ioprio_set(2)).
pub fn set_io_priority(priority: i32) -> Result<()> {
    const WHO_PROCESS: i32 = 1;
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) }, || format!("ioprio_set({priority:#x})"))
}

/// Where this process gets memory from (set_mempolicy(2)): `MPOL_*` with flags, and the nodes.
pub fn set_memory_policy(mode: u32, nodes: &[u32]) -> Result<()> {
    let words = nodes.iter().max().map_or(0, |last| *last as usize / 64 + 1);
    let mut mask = vec![0u64; words];
    for node in nodes {
        mask[*node as usize / 64] |= 1 << (node % 64);
    }
    // The kernel takes one bit less than it is told.
    let bits = if words == 0 { 0 } else { words * 64 + 1 };
    let pointer = if words == 0 { std::ptr::null() } else { mask.as_ptr() };
    // SAFETY: the kernel reads as many bits as there are in the mask, or none.
    let outcome = unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::c_ulong::from(mode), pointer, bits) };
    check(outcome, || format!("set_mempolicy({mode:#x}, {nodes:?})"))
}

pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: no memory is involved.
    check(libc::c_long::from(unsafe { libc::personality(libc::c_ulong::from(domain)) }), || format!("personality({domain:#x})"))
}

pub fn set_domainname(name: &str) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes of the name.
    check(libc::c_long::from(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }), || format!("setdomainname({name:?})"))
}

/// Gives the process a session keyring of its own, so that the caller's keys stay out of reach.
pub fn join_new_keyring() -> Result<(), Errno> {
    // SAFETY: a null name asks for an anonymous keyring.
    match unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) } {
        -1 => Err(last()),
        _ => Ok(()),
    }
}

/// A signal to get when the parent ends. Lost when this process changes its user: set it again then.
pub fn die_with_parent() {
    let _ = prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0);
}

/// The opposite: this process goes on when its parent has ended.
pub fn live_without_parent() {
    let _ = prctl(libc::PR_SET_PDEATHSIG, 0, 0);
}

/// The `CLONE_NEW*` that an open namespace is of; `None`: it is no namespace.
pub fn namespace_type(namespace: impl AsFd) -> Option<i32> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the call takes no memory.
    let kind = unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_NSTYPE as _) };
    (kind > 0).then_some(kind)
}

/// Whether others may trace this process and read its /proc entries.
pub fn set_dumpable(dumpable: bool) {
    let _ = prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable), 0);
}

pub fn set_no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(|errno| Error::call("prctl(PR_SET_NO_NEW_PRIVS)", errno))
}

pub fn set_child_subreaper() {
    let _ = prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0);
}

pub fn set_name(name: &CStr) {
    let _ = prctl(libc::PR_SET_NAME, name.as_ptr() as u64, 0);
}

pub(super) fn prctl(option: i32, first: u64, second: u64) -> Result<(), Errno> {
    // SAFETY: the options used here take numbers, or (PR_SET_NAME) a C string that the caller keeps alive.
    match unsafe { libc::prctl(option, first, second, 0u64, 0u64) } {
        -1 => Err(last()),
        _ => Ok(()),
    }
}

/// One instruction of classic BPF.
pub type Instruction = libc::sock_filter;

/// Loads a seccomp filter for this process and all that it becomes, with `SECCOMP_FILTER_FLAG_*`. Gives the descriptor that
/// the kernel asks on, if the flags have `NEW_LISTENER`.
pub fn load_seccomp(filter: &[Instruction], flags: u32) -> Result<Option<OwnedFd>> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions from the slice and writes nothing.
    let outcome = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program)) };
    check(outcome, || format!("seccomp(SECCOMP_SET_MODE_FILTER, {flags:#x}, {} instructions)", filter.len()))?;
    let listens = libc::c_ulong::from(flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    // SAFETY: with that flag the call has made a descriptor, which is ours.
    Ok(listens.then(|| unsafe { OwnedFd::from_raw_fd(outcome as i32) }))
}

/// Replaces this process. Returns only if that failed.
pub fn exec(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer and point to C strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last()
}

/// Replaces this process by an open file.
pub fn exec_file(file: impl AsFd, args: &[CString], env: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: as for exec; the empty path with AT_EMPTY_PATH names the descriptor itself.
    unsafe { libc::syscall(libc::SYS_execveat, file.as_fd().as_raw_fd(), c"".as_ptr(), argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH) };
    last()
}

/// Makes a child that goes on with a copy of this process: `Some` in the parent.
pub fn fork() -> Result<Option<i32>> {
    // SAFETY: this process has one thread, so the child is as whole as the parent.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid)),
        _ => Err(Error::call("fork()", last())),
    }
}

/// Gives every signal its default action and unblocks all: what the program inside expects to start with.
pub fn reset_signals() {
    // SAFETY: zeros are a valid sigaction: default action, empty mask. Numbers that cannot be set fail harmlessly.
    unsafe {
        let action: libc::sigaction = std::mem::zeroed();
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

/// Blocks these signals and gives a descriptor to read them from.
pub fn signal_descriptor(signals: &[i32]) -> Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised; -1 asks for a new descriptor, which is ours.
    unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(Error::call("signalfd4()", last())),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// A signal that came, and the process that sent it (0: the kernel).
pub struct Arrived {
    pub signal: i32,
    pub sender: i32,
}

impl Arrived {
    /// Made by the keys of a terminal, or by its end. Whoever started us is in the same group, has got it as well, and passes it on.
    pub fn is_typed(&self) -> bool {
        self.sender == 0 && matches!(self.signal, libc::SIGINT | libc::SIGQUIT | libc::SIGHUP)
    }
}

/// The next pending signal of a signal descriptor.
pub fn next_signal(fd: impl AsFd) -> Option<Arrived> {
    // SAFETY: signalfd_siginfo is plain old data; exactly its size is read into it.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        let count = libc::read(fd.as_fd().as_raw_fd(), std::ptr::from_mut(&mut info).cast(), size);
        (count == size as isize).then_some(Arrived { signal: info.ssi_signo as i32, sender: info.ssi_pid as i32 })
    }
}

/// Sends any signal number (real-time ones too) to the process behind a pidfd.
pub fn signal_process(pidfd: impl AsFd, signal: i32) -> Result<()> {
    // SAFETY: a null siginfo asks for the usual one.
    let outcome = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, std::ptr::null::<u8>(), 0) };
    check(outcome, || format!("pidfd_send_signal(…, {signal})"))
}

/// Sends a signal to a process by number: only to our own unreaped children, or to all (-1) inside a pid namespace.
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: no memory is involved.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) }), || format!("kill({pid}, {signal})"))
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Signalled(i32),
}

/// Reaps one child that has ended (any of them with -1); with `block` waits for one. `None`: none has ended yet, or there is none.
pub fn reap(pid: i32, block: bool) -> Option<(i32, Ended)> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes the status into our integer.
        let reaped = unsafe { libc::waitpid(pid, &raw mut status, if block { 0 } else { libc::WNOHANG }) };
        if reaped == -1 && last() == Errno::INTR {
            continue;
        }
        if reaped <= 0 {
            return None;
        }
        if libc::WIFSIGNALED(status) {
            return Some((reaped, Ended::Signalled(libc::WTERMSIG(status))));
        }
        if libc::WIFEXITED(status) {
            return Some((reaped, Ended::Exited(libc::WEXITSTATUS(status))));
        }
    }
}

/// Kills and reaps all children, those too that are orphaned by that and come to this process, a subreaper.
pub fn end_descendants() {
    let me = std::process::id();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
        let children: Vec<i32> = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if children.is_empty() {
            return;
        }
        for child in &children {
            let _ = kill(*child, libc::SIGKILL);
        }
        for child in children {
            reap(child, true);
        }
    }
}

/// Sets a resource limit (`RLIMIT_*`) of this process.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads one rlimit64 and writes none.
    match unsafe { libc::prlimit64(0, resource, &raw const limit, std::ptr::null_mut()) } {
        -1 => Err(last()),
        _ => Ok(()),
    }
}

/// The soft and hard value of another process's resource limit, if we may know.
pub fn limit_of(pid: i32, resource: u32) -> Option<(u64, u64)> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit64.
    let outcome = unsafe { libc::prlimit64(pid, resource, std::ptr::null(), &raw mut limit) };
    (outcome == 0).then_some((limit.rlim_cur, limit.rlim_max))
}

/// The soft and hard value of a resource limit.
pub fn limit(resource: u32) -> (u64, u64) {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit64.
    unsafe { libc::prlimit64(0, resource, std::ptr::null(), &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

/// Brings up the loopback interface of this network namespace.
pub fn raise_loopback() -> Result<()> {
    // SAFETY: ifreq is plain old data; the kernel reads its name and flags. The socket is ours to close.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(Error::call("socket(AF_INET, SOCK_DGRAM)", last()));
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(libc::c_long::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request)), || {
            "ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP)".to_owned()
        })
    }
}

pub fn set_hostname(name: &str) -> Result<()> {
    // SAFETY: the kernel reads `len` bytes of the name.
    check(libc::c_long::from(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }), || format!("sethostname({name:?})"))
}

/// Whether the kernel takes filters.
pub fn has_seccomp() -> bool {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads one number.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, std::ptr::from_ref(&action)) == 0 }
}

/// The version of Landlock's interface, 0 where there is none.
pub fn landlock_version() -> u32 {
    const ONLY_VERSION: u32 = 1;
    // SAFETY: with this flag the null pointer is not read.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, ONLY_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

pub(super) fn check(outcome: libc::c_long, operation: impl FnOnce() -> String) -> Result<()> {
    if outcome == -1 { Err(Error::call(operation(), last())) } else { Ok(()) }
}

fn last() -> Errno {
    // SAFETY: reads this thread's errno.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// A C string of the request.
pub fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(Kind::Request, format!("{text:?} contains a NUL byte")))
}
