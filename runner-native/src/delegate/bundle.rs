//! The bundle of a container that another runtime makes. Its root and its mounts are attached below a directory of the
//! container, in this process's own mount namespace: nobody else sees them.

use crate::container::mounts::Mounts;
use crate::container::namespaces;
use crate::container::plan::{self, Plan, Source, Who};
use crate::container::process::Stdio;
use crate::container::targets::Targets;
use crate::container::user::{self, Identity};
use crate::error::{Error, Result};
use crate::mount::{attach, clone_tree};
use crate::net::inside::Inside;
use crate::sys::mount::set_attributes;
use crate::wire::channel::Created;
use crate::wire::config::{Config, Mount, Namespace, Root};
use crate::wire::container::RunMount;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use std::fs;
use std::path::{Path, PathBuf};

/// What a container of another runtime is made of.
pub struct Given<'a> {
    /// What it is called there, and its control groups too.
    pub name: &'a str,
    pub plan: &'a Plan,
    /// Mounted, and attached to nothing.
    pub root: &'a OwnedFd,
    /// What the request asks for, and made of it.
    pub asked: &'a [RunMount],
    pub mounts: Mounts,
    pub stdio: Stdio,
}

pub struct Bundle {
    directory: PathBuf,
    /// What was made in the root to mount on.
    pub created: Vec<Created>,
}

fn open(path: &Path) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| io("openat", path, &errno.into()))
}

fn make_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(io("mkdir", path, &error)),
        _ => Ok(()),
    }
}

impl Bundle {
    /// Makes its directory a mount, with which all goes that is attached below.
    pub fn open(directory: &Path) -> Result<Self> {
        make_directory(directory)?;
        let own = clone_tree(open(directory)?, false)?;
        set_attributes(&own, 0, 0, libc::MS_PRIVATE, false)?;
        attach(own, open(directory)?)?;
        // What a run that was killed has left is of no use.
        let _ = fs::remove_dir_all(directory.join("state"));
        for name in ["rootfs", "mounts", "scratch", "state"] {
            make_directory(&directory.join(name))?;
        }
        Ok(Self { directory: directory.to_owned(), created: Vec::new() })
    }

    /// Attaches root and mounts, and writes `config.json`.
    pub fn fill(&mut self, given: &Given<'_>, inside: Option<&Inside>) -> Result<()> {
        let plan = given.plan;
        let identity = identity_of(plan, given.root.as_fd())?;
        attach(given.root, open(&self.directory.join("rootfs"))?)?;
        given.mounts.stage(open(&self.directory.join("scratch"))?)?;
        let binds = self.attach_all(given)?;
        let mut config = plan::to_config(plan, &identity, &binds);
        config.root = Some(Root { path: "rootfs".to_owned(), readonly: plan.config.root.as_ref().is_some_and(|root| root.readonly) });
        let network = inside.map(|inside| inside.namespace.as_fd()).or(plan.joined_network);
        if let Some(namespace) = network {
            config.linux.namespaces.retain(|namespace| namespace.kind != "network");
            config.linux.namespaces.push(Namespace { kind: "network".to_owned(), path: self.show(namespace)? });
        }
        if namespaces::nested() {
            settle_in_user_namespace(&mut config);
        } else {
            given.name.clone_into(&mut config.linux.cgroups_path);
        }
        let text = serde_json::to_vec_pretty(&config).map_err(|error| Error::io("write(\"config.json\")", &error.into()))?;
        let path = self.directory.join("config.json");
        fs::write(&path, text).map_err(|error| io("write", &path, &error))
    }

    /// Attaches what was prepared for the request, and makes the mount points of all mounts, which go again at the end.
    fn attach_all(&mut self, given: &Given<'_>) -> Result<Vec<Mount>> {
        let mut targets = Targets::new(given.root.as_fd())?;
        let mut before: Vec<String> = Vec::new();
        let mut binds = Vec::new();
        let made = given.plan.mounts.iter().try_for_each(|mount| {
            let directory = match &mount.source {
                Source::Passed(number) => {
                    let (bind, directory) = self.attach(given, *number)?;
                    binds.push(bind);
                    directory
                }
                _ => true,
            };
            // What is below another mount is made in that, by the runtime.
            if !before.iter().any(|above| mount.destination.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))) {
                targets.find(&mount.destination, directory)?;
            }
            before.push(mount.destination.clone());
            Ok(())
        });
        self.created = targets.created;
        made.map(|()| binds)
    }

    fn attach(&self, given: &Given<'_>, number: usize) -> Result<(Mount, bool)> {
        let opened = given.mounts.open(number)?;
        let place = self.directory.join("mounts").join(number.to_string());
        if opened.directory {
            make_directory(&place)?;
        } else {
            fs::write(&place, "").map_err(|error| io("write", &place, &error))?;
        }
        attach(&opened.mount, open(&place)?)?;
        let propagation = match given.asked.get(number) {
            Some(RunMount::Bind { propagation: Some(propagation), .. }) => propagation.as_str(),
            _ => "rprivate",
        };
        let bind = Mount {
            destination: opened.target,
            kind: "bind".to_owned(),
            source: place.to_string_lossy().into_owned(),
            options: vec!["rbind".to_owned(), propagation.to_owned()],
            ..Mount::default()
        };
        Ok((bind, opened.directory))
    }

    /// Gives a network namespace a name that the runtime can open.
    fn show(&self, namespace: BorrowedFd<'_>) -> Result<String> {
        let path = self.directory.join("network");
        fs::write(&path, "").map_err(|error| io("write", &path, &error))?;
        mount_bind(format!("/proc/self/fd/{}", namespace.as_raw_fd()), &path).map_err(|errno| io("mount", &path, &errno.into()))?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Takes all mounts away, and then the directory.
    pub fn remove(self) {
        // As long as anything is mounted there, nothing is removed: it would be removed from that.
        if unmount(&self.directory, UnmountFlags::DETACH).is_ok() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Who the process runs as: runtimes know numbers alone.
pub fn identity_of(plan: &Plan, root: BorrowedFd<'_>) -> Result<Identity> {
    who(&plan.process.who, root)
}

pub fn who(who: &Who, root: BorrowedFd<'_>) -> Result<Identity> {
    match who {
        Who::Named(named) => user::lookup(root, named.user.as_deref(), &named.additional_groups),
        Who::Numbers { uid, gid, groups } => Ok(user::by_number(root, *uid, *gid, groups)),
    }
}

/// What whoever is root in a user namespace alone may mount. Where its control groups could be, the runtime finds out: one
/// that is named must be possible.
fn settle_in_user_namespace(config: &mut Config) {
    config.mounts.retain(|mount| mount.kind != "cgroup");
    if !config.linux.namespaces.iter().any(|namespace| namespace.kind == "network") {
        for mount in config.mounts.iter_mut().filter(|mount| mount.kind == "sysfs") {
            "bind".clone_into(&mut mount.kind);
            "/sys".clone_into(&mut mount.source);
            mount.options = ["rbind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
        }
    }
}

pub fn io(call: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::io(format!("{call}(\"{}\")", path.display()), error)
}
