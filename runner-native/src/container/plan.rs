//! A request, checked and worked out, before anything is made: all that can be wrong with it alone is found here.

use crate::container::capabilities::{self, Set};
use crate::container::namespaces;
use crate::container::rootfs::Domain;
use crate::container::seccomp::Filter;
use crate::sys::task::c_string;
use crate::wire::error::{Error, Kind, Result};
use crate::wire::protocol::{self, ExecSpec, RunSpec, Seccomp, Ulimit};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;

/// The process inside: what `run` and `exec` share.
pub struct Process {
    pub args: Vec<CString>,
    pub env: Vec<String>,
    pub cwd: String,
    pub make_cwd: bool,
    pub user: Option<String>,
    pub additional_groups: Vec<String>,
    pub capabilities: Set,
    pub no_new_privileges: bool,
    /// None: whatever the kernel lets it ask for.
    pub seccomp: Option<Filter>,
    pub terminal: bool,
    pub interactive: bool,
    pub limits: Vec<Limit>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: String,
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// A container that is to be made.
pub struct Plan {
    pub process: Process,
    pub domain: Domain,
    /// `CLONE_NEW*`.
    pub namespaces: i32,
    /// A network namespace that is there already.
    pub joined_network: Option<BorrowedFd<'static>>,
    /// Its own one is connected to something; whether with a name server.
    pub network: Option<bool>,
    pub hostname: Option<String>,
    pub privileged: bool,
    pub readonly_root: bool,
    pub devices: Vec<Device>,
    pub shm_bytes: u64,
    pub sysctl: BTreeMap<String, String>,
    pub init: bool,
    pub oom_score_adj: Option<i32>,
    pub cgroup: Option<crate::cgroup::Cgroup>,
    /// Rows and columns of the user's terminal.
    pub terminal_size: Option<(u16, u16)>,
}

pub struct Device {
    path: String,
    target: String,
    /// Of `r`, `w` and `m`.
    pub access: String,
}

impl Process {
    pub fn of_run(spec: &RunSpec) -> Result<Self> {
        let mut process = Self::of_exec(&ExecSpec {
            args: spec.args.clone(),
            env: spec.env.clone(),
            cwd: spec.cwd.clone(),
            user: spec.user.clone(),
            additional_groups: spec.additional_groups.clone(),
            terminal: spec.terminal,
            interactive: spec.interactive,
            capabilities: spec.capabilities.clone(),
            no_new_privileges: spec.no_new_privileges,
            seccomp: spec.seccomp.clone(),
            privileged: spec.privileged,
        })?;
        process.make_cwd = spec.make_cwd;
        process.limits = spec.ulimits.iter().map(limit).collect::<Result<_>>()?;
        Ok(process)
    }

    pub fn of_exec(spec: &ExecSpec) -> Result<Self> {
        let request = |message: String| Error::new(Kind::Request, message);
        if spec.args.is_empty() {
            return Err(request("no command to run".to_owned()));
        }
        if !spec.cwd.starts_with('/') {
            return Err(request(format!("the working directory {:?} is not absolute", spec.cwd)));
        }
        let seccomp = match &spec.seccomp {
            _ if spec.privileged => None,
            Seccomp::Profile(profile) => Some(Filter::Own(profile.clone())),
            Seccomp::Named(name) if name == "default" => Some(Filter::Default),
            Seccomp::Named(name) if name == "unconfined" => None,
            Seccomp::Named(other) => return Err(request(format!("unknown seccomp profile {other:?}"))),
        };
        for variable in &spec.env {
            c_string(variable)?;
        }
        let capabilities = if spec.privileged { Set(u64::MAX) } else { capabilities::parse(&spec.capabilities)? };
        Ok(Self {
            args: spec.args.iter().map(|argument| c_string(argument)).collect::<Result<_>>()?,
            env: spec.env.clone(),
            cwd: spec.cwd.clone(),
            make_cwd: false,
            user: spec.user.clone(),
            additional_groups: spec.additional_groups.clone(),
            capabilities,
            no_new_privileges: spec.no_new_privileges,
            seccomp,
            terminal: spec.terminal,
            interactive: spec.interactive,
            limits: Vec::new(),
        })
    }

    /// The value of a variable of the environment that the process gets.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
    }
}

impl Plan {
    pub fn new(request: &protocol::Run) -> Result<Self> {
        let spec = &request.spec;
        let process = Process::of_run(spec)?;
        let nested = namespaces::nested();
        let flags = namespaces::flags(&spec.namespaces)?;
        for name in spec.sysctl.keys() {
            check_sysctl(name, flags)?;
        }
        if let Some(device) =
            spec.devices.iter().find(|device| device.access.is_empty() || !device.access.chars().all(|letter| "rwm".contains(letter)))
        {
            return Err(Error::new(
                Kind::Request,
                format!("the access to {:?} must be of r, w and m, not {:?}", device.path, device.access),
            ));
        }
        let valid_hostname = |name: &String| !name.is_empty() && name.len() <= 64 && !name.contains('\0');
        if spec.hostname.as_ref().is_some_and(|name| !valid_hostname(name)) {
            return Err(Error::new(Kind::Request, format!("{:?} is not a host name", spec.hostname.as_deref().unwrap_or_default())));
        }
        Ok(Self {
            process,
            domain: Domain { nested, nodev: nested && !spec.privileged },
            namespaces: flags,
            joined_network: spec.namespaces.network_path.as_ref().map(|place| crate::sys::borrow(place.fd)).transpose()?,
            network: request.network.as_ref().map(|network| network.resolver.is_some()),
            hostname: spec.hostname.clone().filter(|_| flags & libc::CLONE_NEWUTS != 0),
            privileged: spec.privileged,
            readonly_root: request.root.readonly,
            devices: spec
                .devices
                .iter()
                .map(|device| Device { path: device.path.clone(), target: device.target.clone(), access: device.access.clone() })
                .collect(),
            shm_bytes: spec.shm_bytes.unwrap_or(64 << 20),
            sysctl: spec.sysctl.clone(),
            init: spec.init,
            oom_score_adj: spec.oom_score_adj,
            cgroup: None,
            terminal_size: if spec.terminal { crate::container::tty::user_size() } else { None },
        })
    }
}

impl Device {
    /// The devices that this names, with where they go: itself, or all in a directory.
    pub fn expand(&self) -> Result<Vec<(String, String)>> {
        let metadata =
            std::fs::metadata(&self.path).map_err(|error| Error::io(format!("stat({:?})", self.path), &error).path(&self.path))?;
        if !metadata.is_dir() {
            return Ok(vec![(self.path.clone(), self.target.clone())]);
        }
        let entries =
            std::fs::read_dir(&self.path).map_err(|error| Error::io(format!("open({:?})", self.path), &error).path(&self.path))?;
        let is_device = |kind: std::fs::FileType| kind.is_char_device() || kind.is_block_device();
        Ok(entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(is_device))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(|name| (format!("{}/{name}", self.path), format!("{}/{name}", self.target)))
            .collect())
    }
}

/// Only what belongs to a namespace of the container's own may be set.
fn check_sysctl(name: &str, namespaces: i32) -> Result<()> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let (flag, namespace) = if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        (libc::CLONE_NEWIPC, "ipc")
    } else if name.starts_with("net.") {
        (libc::CLONE_NEWNET, "network")
    } else if name == "kernel.domainname" {
        (libc::CLONE_NEWUTS, "uts")
    } else {
        return Err(Error::new(Kind::Request, format!("sysctl {name:?} is the whole machine's: it cannot be set for a container")));
    };
    if name.split(['.', '/']).any(|part| part.is_empty() || part == "..") {
        return Err(Error::new(Kind::Request, format!("{name:?} is not the name of a sysctl")));
    }
    if namespaces & flag == 0 {
        return Err(Error::new(Kind::Request, format!("sysctl {name:?} cannot be set: the {namespace} namespace is the host's")));
    }
    Ok(())
}

fn limit(ulimit: &Ulimit) -> Result<Limit> {
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
    let name = ulimit.name.to_ascii_lowercase();
    let name = name.strip_prefix("rlimit_").unwrap_or(&name);
    let Some((_, resource)) = NAMES.iter().find(|(known, _)| *known == name) else {
        return Err(Error::new(Kind::Request, format!("unknown limit {:?}", ulimit.name)));
    };
    let value = |number: i64| u64::try_from(number).unwrap_or(libc::RLIM64_INFINITY);
    let (soft, hard) = (value(ulimit.soft), value(ulimit.hard));
    if soft > hard {
        return Err(Error::new(Kind::Request, format!("the soft limit of {name} ({soft}) is above the hard one ({hard})")));
    }
    Ok(Limit { name: name.to_owned(), resource: *resource, soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sysctls_of_own_namespaces_are_taken() {
        let all = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        for name in ["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"] {
            check_sysctl(name, all).unwrap();
            assert!(check_sysctl(name, 0).unwrap_err().message.contains("namespace is the host's"), "{name}");
        }
        for name in ["kernel.core_pattern", "vm.swappiness", "net./../kernel.x", "net...", "net.ipv4.../x", ""] {
            assert_eq!(check_sysctl(name, all).unwrap_err().kind, Kind::Request, "{name}");
        }
    }

    #[test]
    fn limits_have_names_and_an_order() {
        let of = |name: &str, soft, hard| limit(&Ulimit { name: name.into(), soft, hard });
        assert_eq!(
            of("RLIMIT_NOFILE", 5, -1).unwrap(),
            Limit { name: "nofile".into(), resource: libc::RLIMIT_NOFILE, soft: 5, hard: u64::MAX }
        );
        assert!(of("files", 1, 1).is_err());
        assert!(of("core", 2, 1).is_err());
    }
}
