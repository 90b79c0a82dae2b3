//! What a runtime remembers of its containers: a directory for each, with a record, a lock, and the gate that whoever
//! starts it connects to.

use crate::cgroup::Cgroup;
use crate::container::hooks;
use crate::container::state;
use crate::error::{Error, Kind, Result};
use crate::sys::process::{self, Liveness};
use crate::wire::config::Config;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Of the record; another one is not read.
const VERSION: u32 = 1;
const RECORD: &str = "state.json";
const LOCK: &str = "lock";
const GATE: &str = "gate";
/// The most that is read of a record: as much as a `config.json` may have, and more.
const RECORD_BYTES: u64 = 80 << 20;
/// As long as the name of a file.
const ID_BYTES: usize = 255;

/// What is kept of a container.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    pub version: u32,
    pub id: String,
    pub bundle: String,
    pub rootfs: String,
    pub pid: i32,
    /// When the process was started, in clock ticks since boot: its number alone may come to mean another one.
    pub pid_start: u64,
    pub created: String,
    /// The user that made it.
    pub owner: u32,
    pub cgroup: String,
    /// The process namespace is its own: all others in it end with the first one.
    pub own_processes: bool,
    pub config: Config,
}

impl Record {
    pub fn new(id: &str, bundle: &str, config: Config) -> Self {
        let rootfs = config.root.as_ref().map(|root| root.path.clone()).unwrap_or_default();
        Self {
            version: VERSION,
            id: id.to_owned(),
            bundle: bundle.to_owned(),
            rootfs,
            pid: 0,
            pid_start: 0,
            created: state::now(),
            owner: rustix::process::geteuid().as_raw(),
            cgroup: String::new(),
            own_processes: true,
            config,
        }
    }

    /// Its control groups, if it has any.
    pub fn cgroup(&self) -> Option<Cgroup> {
        (!self.cgroup.is_empty()).then(|| Cgroup::from_text(&self.cgroup))
    }

    /// The state that the specification defines, as hooks get it and as `state` begins.
    pub fn state(&self, status: &str) -> serde_json::Map<String, serde_json::Value> {
        hooks::state_of(&self.config, &self.id, &self.bundle, status, if status == "stopped" { 0 } else { self.pid })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// Where all containers of one caller are.
pub struct Store(PathBuf);

/// A container's directory, held open.
pub struct Place {
    directory: OwnedFd,
    path: PathBuf,
}

/// A container that is there.
pub struct Container {
    pub place: Place,
    pub record: Record,
}

/// Held until it is dropped, by one command at a time.
pub struct Lock(#[allow(dead_code, reason = "it is held, not used")] OwnedFd);

fn check_id(id: &str) -> Result<()> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id.len() > ID_BYTES || id.starts_with('.') || !id.bytes().all(fine) {
        return Err(Error::new(
            Kind::Request,
            format!("invalid container ID format: {id:?} must be of letters, digits, and any of _ + - . but not begin with a dot"),
        ));
    }
    Ok(())
}

impl Store {
    pub fn open(root: Option<&str>) -> Self {
        let default = || match std::env::var("XDG_RUNTIME_DIR") {
            Ok(directory) if !rustix::process::geteuid().is_root() && !directory.is_empty() => Path::new(&directory).join("stave-runtime"),
            _ => PathBuf::from("/run/stave-runtime"),
        };
        Self(root.map_or_else(default, PathBuf::from))
    }

    /// Makes the place of a new container.
    ///
    /// # Errors
    /// `Kind::Exists` if there is one of this id.
    pub fn make(&self, id: &str) -> Result<Place> {
        check_id(id)?;
        let call = |what: &str, error: &std::io::Error| Error::io(format!("{what}({:?})", self.0.display()), error);
        std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
            .create(&self.0)
            .map_err(|error| call("mkdir", &error))?;
        let root = File::open(&self.0).map_err(|error| call("open", &error))?;
        match mkdirat(&root, id, Mode::from_raw_mode(0o700)) {
            Err(Errno::EXIST) => return Err(Error::new(Kind::Exists, format!("container with given ID already exists: {id}"))),
            other => other.map_err(|errno| Error::call(format!("mkdirat({:?}, {id:?})", self.0.display()), errno))?,
        }
        Place::open(&root, id, self.0.join(id))
    }

    /// A container by its id.
    ///
    /// # Errors
    /// `Kind::NotFound` if there is none, or none yet.
    pub fn find(&self, id: &str) -> Result<Container> {
        let place = self.place(id)?;
        let record = place.read()?.ok_or_else(|| missing(id))?;
        Ok(Container { place, record })
    }

    /// Its directory, whatever is in it.
    pub fn place(&self, id: &str) -> Result<Place> {
        check_id(id)?;
        let root = File::open(&self.0).map_err(|_| missing(id))?;
        Place::open(&root, id, self.0.join(id)).map_err(|error| if error.kind == Kind::NotFound { missing(id) } else { error })
    }

    /// All containers, by id.
    pub fn all(&self) -> Vec<Container> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut ids: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        ids.iter().filter_map(|id| self.find(id).ok()).collect()
    }
}

fn missing(id: &str) -> Error {
    Error::new(Kind::NotFound, format!("container {id:?} does not exist"))
}

impl Place {
    fn open(root: &File, id: &str, path: PathBuf) -> Result<Self> {
        let directory = crate::root::open_beneath(root.as_fd(), id, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { directory, path })
    }

    /// One command at a time changes a container.
    pub fn lock(&self) -> Result<Lock> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, LOCK, flags, Mode::from_raw_mode(0o600)).map_err(|errno| Error::call("openat(lock)", errno))?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                other => return other.map(|()| Lock(file)).map_err(|errno| Error::call("flock(LOCK_EX)", errno)),
            }
        }
    }

    /// Replaces the record in one step.
    pub fn write(&self, record: &Record) -> Result<()> {
        let name = format!("{RECORD}.{}", std::process::id());
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directory, &*name, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| Error::call(format!("openat(…, {name:?}, O_CREAT)"), errno))?;
        let text = serde_json::to_vec(record).map_err(|error| Error::new(Kind::Io, error.to_string()))?;
        File::from(file).write_all(&text).map_err(|error| Error::io(format!("write({name:?})"), &error))?;
        renameat(&self.directory, &*name, &self.directory, RECORD)
            .map_err(|errno| Error::call(format!("renameat({name:?}, {RECORD:?})"), errno))
    }

    fn read(&self) -> Result<Option<Record>> {
        let file = match crate::root::open_beneath(self.directory.as_fd(), RECORD, OFlags::RDONLY, Mode::empty()) {
            Ok(file) => file,
            Err(error) if error.kind == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        File::from(file).take(RECORD_BYTES).read_to_end(&mut text).map_err(|error| Error::io(format!("read({RECORD:?})"), &error))?;
        let broken = |why: String| Error::new(Kind::Corrupt, format!("the state of the container cannot be read: {why}"));
        let record: Record = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        if record.version != VERSION {
            return Err(broken(format!("it has version {}, this program knows {VERSION}", record.version)));
        }
        Ok(Some(record))
    }

    /// The gate's address, by way of the open directory: a path may be longer than the 108 bytes that an address has.
    pub fn gate(&self) -> Result<SocketAddrUnix> {
        let name = format!("/proc/self/fd/{}/{GATE}", self.directory.as_raw_fd());
        SocketAddrUnix::new(&*name).map_err(|errno| Error::call(format!("sockaddr_un({name:?})"), errno))
    }

    pub fn has_gate(&self) -> bool {
        statat(&self.directory, GATE, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    pub fn remove_gate(&self) {
        let _ = unlinkat(&self.directory, GATE, AtFlags::empty());
    }

    /// Takes the directory away with all in it.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("unlink({:?})", self.path.display()), &error))
            }
            _ => Ok(()),
        }
    }
}

impl Container {
    pub fn status(&self) -> Status {
        if process::liveness(self.record.pid, self.record.pid_start) != Liveness::Lives {
            return Status::Stopped;
        }
        if self.place.has_gate() {
            return Status::Created;
        }
        let is_frozen = self.record.cgroup().is_some_and(|cgroup| cgroup.is_frozen());
        if is_frozen { Status::Paused } else { Status::Running }
    }

    /// Its first process, held by descriptor: its number cannot come to mean another one.
    ///
    /// # Errors
    /// `Kind::State` if it does not run any more.
    pub fn process(&self) -> Result<OwnedFd> {
        let ended = || Error::new(Kind::State, "container not running");
        let pid = Pid::from_raw(self.record.pid).ok_or_else(ended)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| ended())?;
        // Opened first, compared then: if the start time fits now, it is the one that is held.
        if process::liveness(self.record.pid, self.record.pid_start) == Liveness::Lives { Ok(pidfd) } else { Err(ended()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_one_file() {
        for id in ["a", "A-b_c+d.e", "-x", &"x".repeat(255)] {
            check_id(id).unwrap();
        }
        for id in ["", ".", "..", ".hidden", "a/b", "a b", "a\0", "é", &"x".repeat(256)] {
            assert!(check_id(id).unwrap_err().message.contains("invalid container ID format"), "{id:?}");
        }
    }

    #[test]
    fn a_container_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("root").to_str());
        assert!(store.find("box").err().unwrap().message.contains("does not exist"));
        let place = store.make("box").unwrap();
        assert!(store.find("box").err().unwrap().message.contains("does not exist"), "not before it is whole");
        assert_eq!(store.make("box").err().unwrap().kind, Kind::Exists);
        let mut record = Record::new("box", "/bundle", Config::default());
        (record.pid, record.pid_start) = (i32::MAX, 1);
        place.write(&record).unwrap();
        assert_eq!(store.find("box").unwrap().status(), Status::Stopped);
        let me = std::process::id() as i32;
        (record.pid, record.pid_start) = (me, process::start_time(me).unwrap());
        place.write(&record).unwrap();
        let found = store.find("box").unwrap();
        assert_eq!(found.status(), Status::Running);
        found.process().unwrap();
        assert_eq!(store.all().len(), 1);
        found.place.remove().unwrap();
        assert!(store.all().is_empty());
    }
}
