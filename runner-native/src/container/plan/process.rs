//! The process of a plan: what a container's first and a further one share.

use super::{Beside, Policy, request};
use crate::container::capabilities::{self, Sets};
use crate::container::lsm;
use crate::container::seccomp::{self, Filter};
use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::sys::task::{self, c_string};
use crate::wire::config::{self, Config};
use std::ffi::CString;

/// `USER[:GROUP]` and further groups.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub user: Option<String>,
    pub additional_groups: Vec<String>,
}

/// Who the process runs as.
#[derive(Clone, Debug)]
pub enum Who {
    /// Looked up in the root's own files.
    Named(Named),
    Numbers {
        uid: u32,
        gid: u32,
        groups: Vec<u32>,
    },
}

/// The process inside: what a container's first and a further one share.
pub struct Process {
    pub args: Vec<CString>,
    pub env: Vec<String>,
    pub cwd: String,
    pub make_cwd: bool,
    pub who: Who,
    pub umask: u32,
    pub capabilities: Sets,
    pub no_new_privileges: bool,
    /// None: whatever the kernel lets it ask for.
    pub seccomp: Option<Filter>,
    pub terminal: bool,
    pub interactive: bool,
    pub limits: Vec<Limit>,
    pub oom_score_adj: Option<i32>,
    pub scheduler: Option<task::Scheduler>,
    pub io_priority: Option<i32>,
    pub affinity: Affinity,
    pub apparmor: Option<String>,
    pub selinux: Option<String>,
    pub personality: Option<u32>,
    pub memory_policy: Option<Policy>,
    pub new_keyring: bool,
    pub preserve_fds: u32,
    pub outlives: bool,
    /// Rows and columns of its terminal.
    pub terminal_size: Option<(u16, u16)>,
}

/// The processors that `exec` may use, first while it enters, then as the program.
#[derive(Clone, Debug, Default)]
pub struct Affinity {
    pub initial: Option<Vec<u32>>,
    pub last: Option<Vec<u32>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: String,
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

impl Process {
    pub fn new(process: &config::Process, config: &Config, beside: &Beside) -> Result<Self> {
        if process.args.is_empty() {
            return Err(request("process args must not be empty"));
        }
        if !process.cwd.starts_with('/') {
            return Err(request(format!("Cwd must be an absolute path: {:?} is not", process.cwd)));
        }
        for variable in &process.env {
            c_string(variable)?;
            if variable.is_empty() || variable.starts_with('=') || !beside.lenient && !variable.contains('=') {
                return Err(request(format!("invalid environment variable {variable:?}: it has no name, or no `=`")));
            }
        }
        let seccomp = match (&beside.filter, &config.linux.seccomp) {
            (Some(filter), _) => Some(filter.clone()),
            (None, Some(seccomp)) => seccomp::from_config(seccomp)?,
            (None, None) => None,
        };
        let user = &process.user;
        let who = match &beside.user {
            Some(named) => Who::Named(named.clone()),
            None => Who::Numbers { uid: id(user.uid, "uid")?, gid: id(user.gid, "gid")?, groups: user.additional_gids.clone() },
        };
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let apparmor = given(&process.apparmor_profile);
        if apparmor.is_some() && !lsm::has_apparmor() {
            return Err(Error::new(Kind::Unsupported, "an AppArmor profile is given, but AppArmor is not enabled on this machine"));
        }
        let mut limits: Vec<Limit> = Vec::with_capacity(process.rlimits.len());
        for rlimit in &process.rlimits {
            let limit = limit(&rlimit.kind, rlimit.soft, rlimit.hard)?;
            if limits.iter().any(|known| known.resource == limit.resource) {
                return Err(request(format!("the limit {} is given twice", rlimit.kind)));
            }
            limits.push(limit);
        }
        Ok(Self {
            args: process.args.iter().map(|argument| c_string(argument)).collect::<Result<_>>()?,
            env: process.env.clone(),
            cwd: process.cwd.clone(),
            make_cwd: beside.make_cwd,
            who,
            umask: user.umask.unwrap_or(0o022),
            capabilities: process.capabilities.as_ref().map_or(Ok(Sets::default()), capabilities::sets)?,
            no_new_privileges: process.no_new_privileges,
            seccomp,
            terminal: process.terminal,
            interactive: beside.interactive,
            limits,
            oom_score_adj: process.oom_score_adj.map(oom_score).transpose()?,
            scheduler: process.scheduler.as_ref().map(scheduler).transpose()?,
            io_priority: process.io_priority.as_ref().map(io_priority).transpose()?,
            affinity: process.exec_cpu_affinity.as_ref().map_or(Ok(Affinity::default()), affinity)?,
            apparmor,
            // As every runtime does: labels are part of what callers always write.
            selinux: given(&process.selinux_label).filter(|_| lsm::has_selinux()),
            personality: config.linux.personality.as_ref().map(personality).transpose()?,
            memory_policy: config.linux.memory_policy.as_ref().map(Policy::new).transpose()?,
            new_keyring: !beside.no_new_keyring,
            preserve_fds: beside.preserve_fds,
            outlives: beside.outlives,
            terminal_size: process.console_size.as_ref().filter(|size| size.height > 0).map(|size| (size.height, size.width)),
        })
    }

    /// The value of a variable of the environment that the process gets.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
    }
}

fn id(id: u32, what: &str) -> Result<u32> {
    // The kernel's own "no id".
    if id == u32::MAX { Err(request(format!("{what} {id} is no id"))) } else { Ok(id) }
}

fn oom_score(adjustment: i32) -> Result<i32> {
    match adjustment {
        -1000..=1000 => Ok(adjustment),
        _ => Err(request(format!("oomScoreAdj {adjustment} is not between -1000 and 1000"))),
    }
}

fn scheduler(scheduler: &config::Scheduler) -> Result<task::Scheduler> {
    const POLICIES: &[(&str, u32)] = &[
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    const FLAGS: &[(&str, u64)] = &[
        ("SCHED_FLAG_RESET_ON_FORK", 0x01),
        ("SCHED_FLAG_RECLAIM", 0x02),
        ("SCHED_FLAG_DL_OVERRUN", 0x04),
        ("SCHED_FLAG_KEEP_POLICY", 0x08),
        ("SCHED_FLAG_KEEP_PARAMS", 0x10),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
    ];
    let policy = named(POLICIES, &scheduler.policy, "scheduler policy")?;
    if matches!(policy, 0 | 3) && !(-20..=19).contains(&scheduler.nice) {
        return Err(request(format!(
            "invalid scheduler.nice: {}: when scheduler.policy is {}, it is between -20 and 19",
            scheduler.nice, scheduler.policy
        )));
    }
    if scheduler.priority != 0 && !matches!(policy, 1 | 2) {
        return Err(request("scheduler.priority can only be specified for SchedFIFO or SchedRR policy"));
    }
    if policy != 6 && (scheduler.runtime, scheduler.deadline, scheduler.period) != (0, 0, 0) {
        return Err(request("scheduler runtime/deadline/period can only be specified for SchedDeadline policy"));
    }
    let mut flags = 0;
    for flag in &scheduler.flags {
        flags |= named(FLAGS, flag, "scheduler flag")?;
    }
    Ok(task::Scheduler {
        policy,
        flags,
        nice: scheduler.nice,
        priority: scheduler.priority as u32,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    })
}

fn named<T: Copy>(known: &[(&str, T)], name: &str, what: &str) -> Result<T> {
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| request(format!("invalid {what}: {name}")))
}

fn io_priority(priority: &config::IoPriority) -> Result<i32> {
    const CLASSES: &[(&str, i32)] = &[("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
    let class = named(CLASSES, &priority.class, "ioPriority.Class")?;
    if priority.priority > 7 {
        return Err(request(format!("invalid ioPriority.Priority: {}", priority.priority)));
    }
    Ok(class << 13 | priority.priority as i32)
}

fn affinity(affinity: &config::CpuAffinity) -> Result<Affinity> {
    let list = |text: &str| if text.is_empty() { Ok(None) } else { number_list(text).map(Some) };
    Ok(Affinity { initial: list(&affinity.initial)?, last: list(&affinity.last)? })
}

/// `0-2,7`: as the kernel writes lists of processors and memory nodes.
pub fn number_list(text: &str) -> Result<Vec<u32>> {
    let wrong = || request(format!("{text:?} is not a list of numbers such as 0-2,7"));
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().map_err(|_| wrong())?, last.trim().parse().map_err(|_| wrong())?);
        if first > last || last >= limit::PROCESSORS {
            return Err(wrong());
        }
        numbers.extend(first..=last);
    }
    if numbers.is_empty() { Err(wrong()) } else { Ok(numbers) }
}

fn personality(personality: &config::Personality) -> Result<u32> {
    if !personality.flags.is_empty() {
        return Err(request("unsupported personality flags: the specification knows none"));
    }
    named(&[("LINUX", 0), ("LINUX32", 8)], &personality.domain, "personality domain")
}

fn limit(name: &str, soft: u64, hard: u64) -> Result<Limit> {
    const NAMES: &[(&str, u32)] = &[
        ("as", libc::RLIMIT_AS),
        ("core", libc::RLIMIT_CORE),
        ("cpu", libc::RLIMIT_CPU),
        ("data", libc::RLIMIT_DATA),
        ("fsize", libc::RLIMIT_FSIZE),
        ("locks", libc::RLIMIT_LOCKS),
        ("memlock", libc::RLIMIT_MEMLOCK),
        ("msgqueue", libc::RLIMIT_MSGQUEUE),
        ("nice", libc::RLIMIT_NICE),
        ("nofile", libc::RLIMIT_NOFILE),
        ("nproc", libc::RLIMIT_NPROC),
        ("rss", libc::RLIMIT_RSS),
        ("rtprio", libc::RLIMIT_RTPRIO),
        ("rttime", libc::RLIMIT_RTTIME),
        ("sigpending", libc::RLIMIT_SIGPENDING),
        ("stack", libc::RLIMIT_STACK),
    ];
    let lower = name.to_ascii_lowercase();
    let lower = lower.strip_prefix("rlimit_").unwrap_or(&lower);
    let Some((_, resource)) = NAMES.iter().find(|(known, _)| *known == lower) else {
        return Err(request(format!("unknown limit {name:?}")));
    };
    if soft > hard {
        return Err(request(format!("the soft limit of {lower} ({soft}) is above the hard one ({hard})")));
    }
    Ok(Limit { name: lower.to_owned(), resource: *resource, soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_names_and_an_order() {
        assert_eq!(
            limit("RLIMIT_NOFILE", 5, u64::MAX).unwrap(),
            Limit { name: "nofile".into(), resource: libc::RLIMIT_NOFILE, soft: 5, hard: u64::MAX }
        );
        assert!(limit("files", 1, 1).is_err());
        assert!(limit("core", 2, 1).is_err());
    }

    #[test]
    fn lists_of_numbers_are_the_kernels() {
        assert_eq!(number_list("0-2,7").unwrap(), [0, 1, 2, 7]);
        for wrong in ["", "a", "3-1", "0-99999999", "1-", "-1"] {
            assert!(number_list(wrong).is_err(), "{wrong}");
        }
        assert!(number_list(&(limit::PROCESSORS - 1).to_string()).is_ok());
        assert!(number_list(&(limit::PROCESSORS + 1).to_string()).is_err());
    }
}
