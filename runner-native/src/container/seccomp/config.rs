//! A filter in the words of the runtime specification.

use super::Filter;
use crate::error::{Error, Kind, Result};
use crate::wire::config::{Seccomp, Syscall, SyscallArg};
use crate::wire::container::{SeccompAction, SeccompCondition, SeccompProfile, SeccompRule};

fn invalid(why: &str) -> Error {
    Error::new(Kind::Request, format!("cannot use the seccomp profile: {why}"))
}

/// The filter that is meant; `None` where it forbids nothing.
///
/// # Errors
/// `Kind::Request` for values that the specification does not know.
pub fn from_config(seccomp: &Seccomp) -> Result<Option<Filter>> {
    let default_action = action(&seccomp.default_action)?;
    if default_action == SeccompAction::Notify {
        return Err(invalid("SCMP_ACT_NOTIFY cannot be the default action"));
    }
    let errno =
        |errno: Option<u32>| errno.map(|errno| u16::try_from(errno).map_err(|_| invalid(&format!("{errno} is no errno")))).transpose();
    let mut rules = Vec::new();
    for syscall in &seccomp.syscalls {
        let action = action(&syscall.action)?;
        let errno = errno(syscall.errno_ret)?;
        for conditions in alternatives(syscall)? {
            rules.push(SeccompRule { names: syscall.names.clone(), action, errno, conditions });
        }
    }
    let notifies = rules.iter().any(|rule| rule.action == SeccompAction::Notify);
    if notifies && rules.iter().any(|rule| rule.action == SeccompAction::Notify && rule.names.iter().any(|name| name == "write")) {
        return Err(invalid("SCMP_ACT_NOTIFY cannot be used for the write syscall"));
    }
    if notifies && seccomp.listener_path.is_empty() {
        return Err(invalid("seccomp listenerPath is not set, but SCMP_ACT_NOTIFY is used"));
    }
    for architecture in &seccomp.architectures {
        check_architecture(architecture)?;
    }
    if rules.is_empty() && default_action == SeccompAction::Allow {
        return Ok(None);
    }
    let mut flags = flags(seccomp)?;
    if notifies {
        flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
    }
    // Without a list, it is this machine's own architecture.
    let without_compat = !seccomp.architectures.iter().any(|name| name == "SCMP_ARCH_X86");
    let default_errno = errno(seccomp.default_errno_ret)?;
    Ok(Some(Filter::of_profile(SeccompProfile { default_action, default_errno, rules, flags, without_compat })))
}

/// Conditions on different arguments must all hold; of several on one argument one is enough.
fn alternatives(syscall: &Syscall) -> Result<Vec<Vec<SeccompCondition>>> {
    let conditions = syscall.args.iter().map(condition).collect::<Result<Vec<_>>>()?;
    let is_repeated = conditions.iter().enumerate().any(|(at, one)| conditions[..at].iter().any(|other| other.index == one.index));
    Ok(if is_repeated { conditions.into_iter().map(|condition| vec![condition]).collect() } else { vec![conditions] })
}

fn condition(arg: &SyscallArg) -> Result<SeccompCondition> {
    let (_, operator) = OPERATORS
        .iter()
        .find(|(name, _)| *name == arg.op)
        .ok_or_else(|| invalid(&format!("string {} is not a valid operator for seccomp", arg.op)))?;
    // Of a comparison under a mask the mask comes first.
    let (value, mask) = if *operator == "masked-eq" { (arg.value_two, Some(arg.value)) } else { (arg.value, None) };
    Ok(SeccompCondition { index: arg.index, operator: (*operator).to_owned(), value, mask })
}

/// The operators of conditions, with what they are called on the wire.
pub const OPERATORS: &[(&str, &str)] = &[
    ("SCMP_CMP_NE", "ne"),
    ("SCMP_CMP_LT", "lt"),
    ("SCMP_CMP_LE", "le"),
    ("SCMP_CMP_EQ", "eq"),
    ("SCMP_CMP_GE", "ge"),
    ("SCMP_CMP_GT", "gt"),
    ("SCMP_CMP_MASKED_EQ", "masked-eq"),
];

pub const ACTIONS: &[(&str, SeccompAction)] = &[
    ("SCMP_ACT_ALLOW", SeccompAction::Allow),
    ("SCMP_ACT_ERRNO", SeccompAction::Errno),
    ("SCMP_ACT_KILL", SeccompAction::KillThread),
    ("SCMP_ACT_KILL_PROCESS", SeccompAction::KillProcess),
    ("SCMP_ACT_KILL_THREAD", SeccompAction::KillThread),
    ("SCMP_ACT_LOG", SeccompAction::Log),
    ("SCMP_ACT_NOTIFY", SeccompAction::Notify),
    ("SCMP_ACT_TRACE", SeccompAction::Trace),
    ("SCMP_ACT_TRAP", SeccompAction::Trap),
];

fn action(name: &str) -> Result<SeccompAction> {
    let found = ACTIONS.iter().find(|(known, _)| *known == name).map(|(_, action)| *action);
    found.ok_or_else(|| invalid(&format!("string {name} is not a valid action for seccomp")))
}

/// Those that libseccomp knows; what is not of this machine asks nothing here.
const ARCHITECTURES: &[&str] = &[
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
    "SHEB",
];

fn check_architecture(name: &str) -> Result<()> {
    let known = name.strip_prefix("SCMP_ARCH_").is_some_and(|name| ARCHITECTURES.contains(&name));
    if known { Ok(()) } else { Err(invalid(&format!("string {name} is not a valid arch for seccomp"))) }
}

/// Flags of seccomp(2). All threads are meant by themselves: there is one.
pub const FLAGS: &[(&str, u32)] = &[
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_LOG", libc::SECCOMP_FILTER_FLAG_LOG as u32),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1 << 5),
];

fn flags(seccomp: &Seccomp) -> Result<u32> {
    seccomp.flags.iter().flatten().try_fold(0, |all, name| {
        let flag = FLAGS.iter().find(|(known, _)| known == name);
        flag.map(|(_, bit)| all | bit).ok_or_else(|| invalid(&format!("seccomp flag {name:?} is not known")))
    })
}
