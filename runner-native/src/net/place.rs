//! Which containers are on which networks: a directory a network, a file a container, and the lock over all of them.
//!
//! A file outlives a monitor that was killed, and a reboot: whoever takes the lock next sees that its process is gone.

use crate::error::{Error, Kind, Result};
use crate::root;
use crate::sys::process::start_time;
use crate::wire::place::Place;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, flock, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;

/// A container on a network.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub container: String,
    pub network: String,
    pub bridge: String,
    /// The link on the bridge's side.
    pub link: String,
    pub addresses: Vec<IpAddr>,
    pub names: Vec<String>,
    /// The container's first process.
    pub pid: i32,
    pub start: u64,
    pub boot: String,
}

/// The process in the namespace that an ordinary user's containers share.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Keeper {
    pub pid: i32,
    pub start: u64,
    pub boot: String,
}

pub struct Places(OwnedFd);

/// Nobody else changes links, rules and members as long as this lives.
pub struct Lock<'a> {
    pub places: &'a Places,
    _file: OwnedFd,
}

const LOCK: &str = "lock";
const KEEPER: &str = "keeper.json";
const USERS: &str = "users";
/// The length of a network's id, by which its directory is told from files beside it.
const ID_DIGITS: usize = 64;
const MOST_BYTES: u64 = 64 << 10;

impl Member {
    pub fn is_alive(&self) -> bool {
        // A dead one that nobody has waited for yet still has an entry.
        start_time(self.pid) == Some(self.start) && !is_dead(self.pid) && self.boot == boot()
    }
}

impl Places {
    pub fn open(place: &Place) -> Result<Self> {
        root::open_directory(place).map(Self)
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub fn lock(&self) -> Result<Lock<'_>> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.0, LOCK, flags, Mode::from_raw_mode(0o600)).map_err(|errno| call("openat(…, \"lock\", O_CREAT)", errno))?;
        while let Err(errno) = flock(&file, FlockOperation::LockExclusive) {
            if errno != Errno::INTR {
                return Err(call("flock(LOCK_EX)", errno));
            }
        }
        Ok(Lock { places: self, _file: file })
    }

    /// The networks that have, or had, a member.
    pub fn networks(&self) -> Result<Vec<String>> {
        names_in(&self.0, ".").map(|names| names.into_iter().filter(|name| name.len() == ID_DIGITS).collect())
    }

    /// Those on a network, dead ones too. What cannot be read is left out.
    pub fn members(&self, network: &str) -> Result<Vec<Member>> {
        let names = match names_in(&self.0, network) {
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::NotDirectory) => return Ok(Vec::new()),
            other => other?,
        };
        Ok(names.iter().filter_map(|name| self.read(network, name)).collect())
    }

    pub fn read(&self, network: &str, container: &str) -> Option<Member> {
        let file = root::open_beneath(self.0.as_fd(), &format!("{network}/{container}"), OFlags::RDONLY, Mode::empty()).ok()?;
        let mut text = Vec::new();
        File::from(file).take(MOST_BYTES).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What those who use the shared namespace lock together, and its keeper alone.
    pub fn users(&self) -> Result<OwnedFd> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.0, USERS, flags, Mode::from_raw_mode(0o600)).map_err(|errno| call("openat(…, \"users\", O_CREAT)", errno))
    }

    /// Keeps the shared namespace for as long as the descriptor is open.
    ///
    /// # Errors
    /// `Kind::State` if its keeper has just gone.
    pub fn use_shared(&self) -> Result<OwnedFd> {
        let users = self.users()?;
        flock(&users, FlockOperation::LockShared).map_err(|errno| call("flock(LOCK_SH)", errno))?;
        let there = root::open_beneath(self.0.as_fd(), KEEPER, OFlags::RDONLY, Mode::empty()).is_ok();
        if there { Ok(users) } else { Err(Error::new(Kind::State, "the network that containers share has just ended: start it again")) }
    }

    pub fn write_keeper(&self, keeper: &Keeper) -> Result<()> {
        let text = serde_json::to_vec(keeper).map_err(|error| Error::new(Kind::Io, error.to_string()))?;
        replace(&self.0, KEEPER, &text)
    }

    pub fn forget_keeper(&self) {
        let _ = unlinkat(&self.0, KEEPER, AtFlags::empty());
    }

    /// When the members of a network last changed.
    pub fn stamp(&self, network: &str) -> Option<(i64, u64)> {
        let stat = rustix::fs::statat(&self.0, network, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat.st_mtime, stat.st_mtime_nsec as u64))
    }

    fn write(&self, member: &Member) -> Result<()> {
        check_name(&member.network)?;
        check_name(&member.container)?;
        match mkdirat(&self.0, &member.network, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(call("mkdirat(networks)", errno)),
        }
        let directory = root::open_beneath(self.0.as_fd(), &member.network, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let text = serde_json::to_vec(member).map_err(|error| Error::new(Kind::Io, error.to_string()))?;
        replace(&directory, &member.container, &text)
    }

    fn remove(&self, member: &Member) {
        let _ = unlinkat(&self.0, format!("{}/{}", member.network, member.container), AtFlags::empty());
        // The last one takes the directory along.
        let _ = unlinkat(&self.0, &*member.network, AtFlags::REMOVEDIR);
    }
}

impl Lock<'_> {
    pub fn write(&self, member: &Member) -> Result<()> {
        self.places.write(member)
    }

    pub fn remove(&self, member: &Member) {
        self.places.remove(member);
    }

    /// All members of all networks.
    pub fn all(&self) -> Result<Vec<Member>> {
        let mut all = Vec::new();
        for network in self.places.networks()? {
            all.extend(self.places.members(&network)?);
        }
        Ok(all)
    }
}

/// Names come from the store's own records; a path among them is a mistake that must not reach a file.
fn check_name(name: &str) -> Result<()> {
    let fine = !name.is_empty() && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fine { Ok(()) } else { Err(Error::new(Kind::Request, format!("{name:?} is not an id"))) }
}

fn names_in(directory: &OwnedFd, name: &str) -> Result<Vec<String>> {
    let opened = openat(directory, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| call("openat(networks)", errno))?;
    let entries = Dir::read_from(&opened).map_err(|errno| call("getdents64(networks)", errno))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

/// Writes a file beside the old one, and puts it in its place.
fn replace(directory: &OwnedFd, name: &str, text: &[u8]) -> Result<()> {
    let beside = format!(".{name}");
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, &*beside, flags, Mode::from_raw_mode(0o600)).map_err(|errno| call("openat(…, O_CREAT)", errno))?;
    File::from(file).write_all(text).map_err(|error| Error::io(format!("write({name:?})"), &error))?;
    renameat(directory, &*beside, directory, name).map_err(|errno| call("renameat(networks)", errno))
}

fn is_dead(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state stands behind the name, which is in parentheses and may contain anything.
    matches!(stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next()), None | Some('Z' | 'X'))
}

/// Which boot of the machine this is: process ids and their start times begin anew with each.
pub fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn call(what: &str, errno: Errno) -> Error {
    Error::call(what, errno)
}
