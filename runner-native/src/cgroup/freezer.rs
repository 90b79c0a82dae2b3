//! Freezing the processes of a container.

use super::find::{Hierarchies, parents};
use super::{Cgroup, DELEGATION, make, write};
use crate::error::{Error, Kind, Result};
use crate::wire::container::ContainerState;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of the group that a container's processes are in while they are paused. Only then: it costs time.
const PAUSED: &str = "stave-paused-";

/// A group in which processes are frozen.
struct Freezer {
    directory: PathBuf,
    unified: bool,
}

impl Freezer {
    fn freeze(&self) -> Result<()> {
        if self.unified { write(&self.directory, "cgroup.freeze", "1") } else { write(&self.directory, "freezer.state", "FROZEN") }?;
        let until = Instant::now() + Duration::from_secs(5);
        while !self.is_frozen() {
            if Instant::now() > until {
                let _ = self.thaw();
                return Err(Error::new(Kind::State, "a process does not stop")
                    .hint("One that waits for a device or the network cannot be frozen before that has answered."));
            }
            if !self.unified {
                // Processes that were made meanwhile are frozen only by saying so again.
                write(&self.directory, "freezer.state", "FROZEN")?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn thaw(&self) -> Result<()> {
        if self.unified { write(&self.directory, "cgroup.freeze", "0") } else { write(&self.directory, "freezer.state", "THAWED") }
    }

    fn is_frozen(&self) -> bool {
        let (file, word) = if self.unified { ("cgroup.events", "frozen 1") } else { ("freezer.state", "FROZEN") };
        fs::read_to_string(self.directory.join(file)).is_ok_and(|text| text.contains(word))
    }
}

impl Cgroup {
    fn freezer(&self) -> Result<Freezer> {
        let legacy = Hierarchies::find().legacy.into_iter().find(|legacy| legacy.controllers.iter().any(|name| name == "freezer"));
        let group = match &legacy {
            Some(legacy) => self.groups.iter().find(|group| legacy.controllers.contains(&group.controller)),
            None => self.groups.iter().find(|group| group.is_unified()),
        };
        let group = group.ok_or_else(|| Error::new(Kind::Isolation, "the container has no freezer control group"))?;
        Ok(Freezer { directory: group.directory.clone(), unified: group.is_unified() })
    }

    /// Stops all processes in it.
    pub fn freeze(&self) -> Result<()> {
        self.freezer()?.freeze()
    }

    pub fn thaw(&self) -> Result<()> {
        self.freezer()?.thaw()
    }

    pub fn is_frozen(&self) -> bool {
        self.freezer().is_ok_and(|freezer| freezer.is_frozen())
    }
}

/// All processes of a container, in our numbering: those in its process namespace.
///
/// # Errors
/// `Kind::Unsupported` if that is the host's, where they cannot be told apart.
pub fn processes(pid: i32) -> Result<Vec<i32>> {
    let theirs = namespace(pid);
    if theirs.is_none() || theirs == namespace(std::process::id() as i32) {
        return Err(Error::new(Kind::Unsupported, "the container shares the host's processes, so its own cannot be told apart"));
    }
    let entries = fs::read_dir("/proc").map_err(|error| Error::io("open(\"/proc\")", &error))?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(numbers.filter(|other| namespace(*other) == theirs).collect())
}

/// Whether two processes are in one process namespace.
pub fn shares_processes(one: i32, other: i32) -> bool {
    namespace(one) == namespace(other)
}

fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// Where the processes of a container of the wire are frozen.
fn freezer(state: &ContainerState, pid: i32) -> Result<Freezer> {
    let hierarchies = Hierarchies::find();
    let name = format!("{PAUSED}{pid}-{}", state.pid_start.unwrap_or(0));
    if let Some(legacy) = hierarchies.legacy_of("freezer") {
        return Ok(Freezer { directory: legacy.mount.join(name), unified: false });
    }
    if let Some(own) = Cgroup::of_container(state).and_then(|cgroup| cgroup.groups.into_iter().find(super::Group::is_unified)) {
        return Ok(Freezer { directory: own.directory, unified: true });
    }
    match &hierarchies.unified {
        Some(unified) => Ok(Freezer { directory: parents(unified)[0].join(name), unified: true }),
        None => Err(Error::new(Kind::Isolation, "cannot pause: no freezer control group is mounted here")),
    }
}

pub fn pause(state: &ContainerState, pid: i32) -> Result<()> {
    let explain = |error: Error| {
        let error = error.context("cannot pause the container");
        if error.kind == Kind::Permission {
            return Error { kind: Kind::Isolation, ..error }.hint(format!("Freezing needs {DELEGATION}"));
        }
        error
    };
    let freezer = freezer(state, pid)?;
    make(&freezer.directory).map_err(explain)?;
    // Processes that are made meanwhile are made outside, by ones that were not moved yet: until there are none.
    for _ in 0..100 {
        let inside = fs::read_to_string(freezer.directory.join("cgroup.procs")).unwrap_or_default();
        let inside: Vec<i32> = inside.lines().filter_map(|line| line.parse().ok()).collect();
        let outside: Vec<i32> = processes(pid).map_err(explain)?.into_iter().filter(|pid| !inside.contains(pid)).collect();
        if outside.is_empty() {
            break;
        }
        for pid in outside {
            match write(&freezer.directory, "cgroup.procs", &pid.to_string()) {
                // It has ended.
                Err(error) if error.errno == Some(rustix::io::Errno::SRCH) => {}
                other => other.map_err(explain)?,
            }
        }
    }
    freezer.freeze().map_err(explain)
}

pub fn resume(state: &ContainerState, pid: i32) -> Result<()> {
    let freezer = freezer(state, pid)?;
    let directory = &freezer.directory;
    if !directory.exists() {
        return Ok(());
    }
    freezer.thaw()?;
    if directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PAUSED)) {
        // Back to where they came from: the group of whoever watches them, which started them.
        let home = directory.parent().unwrap_or(Path::new("/"));
        for _ in 0..100 {
            let inside = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            for pid in inside.lines() {
                let _ = write(home, "cgroup.procs", pid);
            }
            if fs::remove_dir(directory).is_ok() {
                break;
            }
        }
    }
    Ok(())
}

/// Whether a process is frozen: what joins it would be as well, and never answer.
pub fn is_paused(state: &ContainerState, pid: i32) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let own = Cgroup::of_container(state).and_then(|cgroup| cgroup.groups.into_iter().find(super::Group::is_unified));
    groups.contains(PAUSED)
        || own.is_some_and(|own| fs::read_to_string(own.directory.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1"))
}
