//! A container that is to be made: complete, checked and worked out before anything is. Whatever asks for one, the wire or
//! a `config.json`, says it in the words of the runtime specification, with beside it what those cannot say; the plan is
//! made of that, and from here on nobody asks where it came from.

mod device;
mod export;
mod id_map;
mod memory;
mod process;
mod wire;

pub use device::{Node, STANDARD};
pub use export::{further_process, to_config};
pub use id_map::{IdMap, Ids};
pub use memory::{FLAGS as MEMORY_FLAGS, MODES as MEMORY_MODES, Policy};
pub use process::{Limit, Named, Process, Who, number_list};
pub use wire::{of_exec, of_run, resources_of};

use crate::container::capabilities::Set;
use crate::container::namespaces::{self, Namespaces};
use crate::container::options::{self, Options};
use crate::container::rootfs::Domain;
use crate::container::seccomp::Filter;
use crate::error::{Error, Kind, Result};
use crate::sys::mount::ATTR_NODEV;
use crate::wire::config::{self, Config};
use std::os::fd::BorrowedFd;

/// What the specification's words cannot say.
#[derive(Default)]
pub struct Beside {
    /// A user by name, as the image's files know it, in place of `process.user`.
    pub user: Option<Named>,
    pub make_cwd: bool,
    pub interactive: bool,
    /// The filter, in place of `linux.seccomp`.
    pub filter: Option<Filter>,
    /// What may not be there on this machine: such mounts are left out then.
    pub lenient: bool,
    /// Without its device rules the container could open devices that it must not.
    pub rules_are_necessary: bool,
    pub joined_network: Option<BorrowedFd<'static>>,
    pub network: Option<bool>,
    pub init: bool,
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// It is to live on when this process ends.
    pub outlives: bool,
    /// The directory that relative paths start at.
    pub bundle: String,
    /// What it is called, for hooks.
    pub id: String,
}

/// A mount, in the order in which they are made.
#[derive(Clone, Debug)]
pub struct Mount {
    pub destination: String,
    pub source: Source,
    pub options: Options,
    pub id_map: Option<IdMap>,
    pub lenient: bool,
}

#[derive(Clone, Debug)]
pub enum Source {
    /// A path of the host.
    Bind(String),
    FileSystem {
        kind: String,
        source: String,
    },
    /// The container's own control groups.
    Cgroup,
    /// Made before, by number.
    Passed(usize),
}

pub struct Plan {
    pub id: String,
    pub bundle: String,
    /// What it was made from, checked, for all that is used as it stands.
    pub config: Config,
    pub process: Process,
    pub domain: Domain,
    pub namespaces: Namespaces,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Node>,
    /// `MS_SLAVE` and its like for the whole tree; with whether it is for all mounts below.
    pub propagation: Option<(u64, bool)>,
    pub init: bool,
    /// See [`Beside::lenient`].
    pub lenient: bool,
    pub rules_are_necessary: bool,
    /// A network namespace that is there already.
    pub joined_network: Option<BorrowedFd<'static>>,
    /// Its own one is connected to something; whether with a name server.
    pub network: Option<bool>,
    pub cgroup: Option<crate::cgroup::Cgroup>,
}

fn request(message: impl Into<String>) -> Error {
    Error::new(Kind::Request, message)
}

impl Plan {
    /// Checks and works out.
    ///
    /// # Errors
    /// `Kind::Request` for what contradicts the specification or itself.
    pub fn new(config: Config, beside: &Beside) -> Result<Self> {
        let linux = &config.linux;
        let namespaces = Namespaces::new(&linux.namespaces)?;
        if linux.cgroups_path.contains('\0') {
            return Err(request("cgroupsPath contains a NUL byte"));
        }
        if !namespaces.has(libc::CLONE_NEWNS) {
            return Err(request("a container without a mount namespace of its own is not supported: mounts would be the machine's"));
        }
        check_supported(&config)?;
        check_users(&config, &namespaces)?;
        check_hosts(&config, &namespaces)?;
        for name in linux.sysctl.keys() {
            check_sysctl(name, &namespaces)?;
        }
        if !linux.time_offsets.is_empty() && !namespaces.has(namespaces::NEWTIME) {
            return Err(request("time namespace is not enabled, but time offsets are given"));
        }
        let mut passed = 0;
        let mounts = config.mounts.iter().map(|mount| Mount::new(mount, &config, beside, &mut passed)).collect::<Result<Vec<_>>>()?;
        let nodev = mounts.iter().rev().find(|mount| mount.destination == "/dev").is_some_and(|dev| dev.options.set & ATTR_NODEV != 0);
        let propagation = match linux.rootfs_propagation.as_str() {
            "" => None,
            name => Some(options::propagation(name).ok_or_else(|| request(format!("rootfsPropagation={name} is not supported")))?),
        };
        let process = config.process.as_ref().ok_or_else(|| request("process property must not be empty"))?;
        let process = Process::new(process, &config, beside)?;
        let devices = device::nodes(&linux.devices)?;
        Ok(Self {
            id: beside.id.clone(),
            bundle: beside.bundle.clone(),
            process,
            domain: Domain { nested: namespaces::nested() || namespaces.has(libc::CLONE_NEWUSER), nodev },
            namespaces,
            mounts,
            devices,
            propagation,
            init: beside.init,
            lenient: beside.lenient,
            rules_are_necessary: beside.rules_are_necessary,
            joined_network: beside.joined_network,
            network: beside.network,
            cgroup: None,
            config,
        })
    }

    /// Whether there is something to be done outside when the root stands.
    pub fn stops(&self) -> bool {
        let hooks = &self.config.hooks;
        self.network.is_some()
            || !self.config.linux.net_devices.is_empty()
            || !(hooks.prestart.is_empty() && hooks.create_runtime.is_empty())
    }

    /// No device node works but those of /dev, which become mounts of their own: where no control group can say which do.
    pub fn let_no_node_work(&mut self) {
        self.domain.nodev = true;
        for dev in self.mounts.iter_mut().filter(|mount| mount.destination == "/dev") {
            dev.options.set |= ATTR_NODEV;
        }
    }
}

/// What would be left out without a word is an error.
fn check_supported(config: &Config) -> Result<()> {
    let linux = &config.linux;
    let asked = [("netDevices", !linux.net_devices.is_empty()), ("intelRdt", linux.intel_rdt.is_some())];
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        Some((name, _)) => Err(Error::new(Kind::Unsupported, format!("linux.{name} is not supported"))),
        None => Ok(()),
    }
}

fn check_users(config: &Config, namespaces: &Namespaces) -> Result<()> {
    let linux = &config.linux;
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    let new = namespaces.new & libc::CLONE_NEWUSER != 0;
    if new && linux.uid_mappings.is_empty() {
        return Err(request("user namespaces enabled, but no uid mappings found."));
    }
    if new && linux.gid_mappings.is_empty() {
        return Err(request("user namespaces enabled, but no gid mappings found."));
    }
    if mapped && !namespaces.has(libc::CLONE_NEWUSER) {
        return Err(request("user namespace mappings specified, but user namespace isn't enabled in the config"));
    }
    for map in linux.uid_mappings.iter().chain(&linux.gid_mappings) {
        if map.size == 0 || map.container.checked_add(map.size).is_none() || map.host.checked_add(map.size).is_none() {
            return Err(request(format!("the id mapping {}:{}:{} is not a range of ids", map.container, map.host, map.size)));
        }
    }
    Ok(())
}

fn check_hosts(config: &Config, namespaces: &Namespaces) -> Result<()> {
    for (what, name) in [("hostname", &config.hostname), ("domainname", &config.domainname)] {
        if name.is_empty() {
            continue;
        }
        if name.len() > 64 || name.contains('\0') {
            return Err(request(format!("{name:?} is not a {what}: it may have 64 bytes")));
        }
        if !namespaces.has(libc::CLONE_NEWUTS) {
            return Err(request(format!("unable to set {what} without a private UTS namespace")));
        }
    }
    let covers = !config.linux.masked_paths.is_empty() || !config.linux.readonly_paths.is_empty();
    if covers && !namespaces.has(libc::CLONE_NEWNS) {
        return Err(request("unable to restrict sys entries without a private MNT namespace"));
    }
    for path in config.linux.masked_paths.iter().chain(&config.linux.readonly_paths) {
        if !path.starts_with('/') {
            return Err(request(format!("{path:?} is to be masked or read-only, but is not absolute")));
        }
    }
    Ok(())
}

impl Mount {
    fn new(mount: &config::Mount, config: &Config, beside: &Beside, passed: &mut usize) -> Result<Self> {
        let options = options::parse(&mount.options)?;
        if mount.destination.is_empty() || mount.destination.contains('\0') || mount.source.contains('\0') {
            return Err(request(format!("invalid mount {:?}: its destination is empty or has a NUL byte", mount.destination)));
        }
        // Relative ones are of old versions of the specification.
        let destination = format!("/{}", mount.destination.trim_matches('/'));
        let source = match mount.kind.as_str() {
            PASSED => {
                *passed += 1;
                Source::Passed(*passed - 1)
            }
            _ if options.bind => Source::Bind(absolute(&mount.source, &beside.bundle)),
            "bind" => return Err(request(format!("mount of {destination:?}: type bind needs the option bind or rbind"))),
            "cgroup" | "cgroup2" => Source::Cgroup,
            "" => return Err(request(format!("mount of {destination:?} has neither a type nor the option bind"))),
            kind => Source::FileSystem { kind: kind.to_owned(), source: mount.source.clone() },
        };
        let id_map = IdMap::new(mount, &options, config)?;
        Ok(Self { destination, source, options, id_map, lenient: beside.lenient })
    }
}

/// The type of mounts that are made before, beside what the specification knows.
const PASSED: &str = "passed";

fn absolute(path: &str, bundle: &str) -> String {
    if path.starts_with('/') || bundle.is_empty() { path.to_owned() } else { format!("{bundle}/{path}") }
}

/// Only what belongs to a namespace of the container's own may be set.
fn check_sysctl(name: &str, namespaces: &Namespaces) -> Result<()> {
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
    let dotted = name.replace('/', ".");
    let (flag, namespace) = if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        (libc::CLONE_NEWIPC, "ipc")
    } else if dotted.starts_with("net.") {
        (libc::CLONE_NEWNET, "network")
    } else if dotted == "kernel.domainname" {
        (libc::CLONE_NEWUTS, "uts")
    } else if dotted == "kernel.hostname" {
        return Err(request(format!("sysctl {name:?} conflicts with the host name: use that")));
    } else if dotted.starts_with("user.") {
        (libc::CLONE_NEWUSER, "user")
    } else {
        return Err(request(format!("sysctl {name:?} is not in a separate kernel namespace: it is the whole machine's")));
    };
    if name.split(['.', '/']).any(|part| part.is_empty() || part == "..") {
        return Err(request(format!("{name:?} is not the name of a sysctl")));
    }
    if !namespaces.has(flag) {
        return Err(request(format!("sysctl {name:?} cannot be set: the {namespace} namespace is the host's")));
    }
    Ok(())
}

/// What a privileged process has.
pub const EVERYTHING: Set = Set(u64::MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sysctls_of_own_namespaces_are_taken() {
        let all = Namespaces { new: libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS, joined: Vec::new() };
        let none = Namespaces::default();
        for name in ["net.ipv4.ip_forward", "net/ipv4/ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"] {
            check_sysctl(name, &all).unwrap();
            assert!(check_sysctl(name, &none).unwrap_err().message.contains("namespace is the host's"), "{name}");
        }
        for name in ["kernel.core_pattern", "vm.swappiness", "net./../kernel.x", "net...", "net.ipv4.../x", "", "kernel.hostname"] {
            assert_eq!(check_sysctl(name, &all).unwrap_err().kind, Kind::Request, "{name}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let of = |text: &str| {
            let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
            if config["process"].is_null() {
                config["process"] = serde_json::json!({ "args": ["x"], "cwd": "/" });
            }
            Plan::new(serde_json::from_value(config).unwrap(), &Beside::default()).map(drop)
        };
        let namespaces = |more: &str| format!(r#"{{"linux":{{"namespaces":[{{"type":"mount"}}{more}]}}}}"#);
        let with = |property: &str| format!(r#"{{"linux":{{"namespaces":[{{"type":"mount"}}]}},{property}}}"#);
        of(&namespaces("")).unwrap();
        of(&with(r#""process":{"args":["x"],"cwd":"/"}"#)).unwrap();
        for wrong in [
            namespaces(r#",{"type":"mount"}"#),
            namespaces(r#",{"type":"nothing"}"#),
            namespaces(r#",{"type":"user"}"#),
            r#"{"linux":{}}"#.to_owned(),
            with(r#""hostname":"x""#),
            r#"{"linux":{"namespaces":[{"type":"mount"}],"maskedPaths":["proc/x"]}}"#.to_owned(),
            r#"{"linux":{"namespaces":[{"type":"mount"}],"rootfsPropagation":"sometimes"}}"#.to_owned(),
            with(r#""mounts":[{"destination":"/x","type":"bind","source":"/y"}]"#),
            with(r#""mounts":[{"destination":"","type":"tmpfs"}]"#),
            with(r#""process":{"args":[],"cwd":"/"}"#),
            with(r#""process":{"args":["x"],"cwd":"."}"#),
            with(r#""process":{"args":["x"],"cwd":"/","user":{"uid":4294967295}}"#),
            with(r#""process":{"args":["x"],"cwd":"/","env":["A"]}"#),
            with(r#""process":{"args":["x"],"cwd":"/","rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}"#),
            with(r#""process":{"args":["x"],"cwd":"/","capabilities":{"bounding":["CAP_NONE"]}}"#),
            with(r#""process":{"args":["x"],"cwd":"/","oomScoreAdj":1001}"#),
        ] {
            assert_eq!(of(&wrong).unwrap_err().kind, Kind::Request, "{wrong}");
        }
    }
}
