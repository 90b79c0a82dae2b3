//! Control groups: limits, devices, freezing. Of both versions, and of both at once.
//!
//! A container of the wire gets one only if it needs one: what it may use is limited, or its devices are. Ending it needs
//! none, since its processes end with their namespace. One of a `config.json` is put into all that there are.

mod change;
pub mod devices;
mod files;
mod find;
mod freezer;
mod limits;

pub use find::Hierarchies;
pub use freezer::{is_paused, pause, processes, resume, shares_processes};

use crate::cgroup::devices::Rule;
use crate::cgroup::files::{check_names, inherit_processors, make, make_unified, members_of, remove_tree, unified_name, write, write_all};
use crate::cgroup::find::{Hierarchy, parents};
use crate::cgroup::limits::{ANY, Setting, settings};
use crate::error::{Error, Kind, Result};
use crate::mount::{INERT, attach, clone_tree, file_system, protect, tmpfs};
use crate::sys::task;
use crate::wire::config::Resources;
use crate::wire::container::ContainerState;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where a container's groups are to be.
#[derive(Clone, Debug)]
pub enum Location {
    /// One of this name beside or below ours, only in the hierarchies that are needed.
    Beside(String),
    /// At this path of every hierarchy: from its root, or if it is relative from where we are.
    At(String),
}

/// What is asked for.
pub struct Wish<'a> {
    pub location: Location,
    pub resources: &'a Resources,
    pub rules: Option<&'a [Rule]>,
    /// The container may mount, and so reach the files of its own groups: they lie in others that hold the same limits.
    pub nested: bool,
    /// What cannot be made is left out where no limit needs it.
    pub forgiving: bool,
}

/// The groups of one container: one, or in version 1 one for each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// Where the processes are.
    directory: PathBuf,
    /// Of version 1: which one. Empty: version 2.
    controller: String,
}

/// The name of a group inside the one that limits it.
const INNER: &str = "stave-inner";

impl Group {
    fn is_unified(&self) -> bool {
        self.controller.is_empty()
    }

    /// The directories, the innermost first.
    fn directories(&self) -> impl Iterator<Item = &Path> {
        let outer = self.directory.parent().filter(|_| self.directory.ends_with(INNER));
        [Some(self.directory.as_path()), outer].into_iter().flatten()
    }
}

impl Cgroup {
    /// Makes the groups that are asked for; `None` if none is needed. What could not be limited and need not be is told.
    ///
    /// # Errors
    /// `Kind::Isolation` if a limit cannot be set here, with what is missing.
    pub fn create(wish: &Wish<'_>) -> Result<(Option<Self>, Vec<String>)> {
        let settings = settings(wish.resources);
        let mut warnings = Vec::new();
        let everywhere = matches!(wish.location, Location::At(_));
        if settings.is_empty() && wish.rules.is_none() && !everywhere {
            return Ok((None, warnings));
        }
        let hierarchies = Hierarchies::find();
        let mut cgroup = Self { groups: Vec::new() };
        if let Err(error) = cgroup.fill(&hierarchies, wish, &settings, &mut warnings) {
            cgroup.remove();
            return Err(error);
        }
        Ok((Some(cgroup).filter(|cgroup| !cgroup.groups.is_empty()), warnings))
    }

    fn fill(&mut self, hierarchies: &Hierarchies, wish: &Wish<'_>, settings: &[Setting], warnings: &mut Vec<String>) -> Result<()> {
        let needed: Vec<&str> = settings.iter().map(|setting| setting.controller).collect();
        if let Location::At(_) = wish.location {
            for hierarchy in &hierarchies.legacy {
                let made = self.legacy_group(hierarchy, &hierarchy.controllers[0], &wish.location);
                let is_needed = hierarchy.controllers.iter().any(|name| needed.contains(&name.as_str()));
                made.map(drop).or_else(|error| if wish.forgiving && !is_needed { Ok(()) } else { Err(cannot_limit("cgroup", error)) })?;
            }
            if hierarchies.unified.is_some() {
                let made = self.unified_group(hierarchies, &needed, &wish.location);
                made.map(drop).or_else(|error| if wish.forgiving { Ok(()) } else { Err(cannot_limit("cgroup", error)) })?;
            }
        }
        for setting in settings {
            self.apply(hierarchies, setting, &needed, &wish.location, warnings)?;
        }
        if let Some(rules) = wish.rules {
            let limited = self.limit_devices(hierarchies, rules, &needed, &wish.location);
            limited.or_else(|error| if wish.forgiving { Ok(()) } else { Err(error) })?;
        }
        if wish.nested {
            self.nest(settings)?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        hierarchies: &Hierarchies,
        setting: &Setting,
        needed: &[&str],
        location: &Location,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let explain = |error: Error| cannot_limit(setting.what, error);
        let legacy = hierarchies.legacy_of(setting.controller).filter(|_| setting.controller != ANY);
        if let Some(legacy) = legacy {
            let directory = self.legacy_group(legacy, setting.controller, location).map_err(explain)?;
            return write_all(&directory, &setting.legacy, warnings).map_err(explain);
        }
        if setting.controller == ANY && hierarchies.unified.is_none() {
            return Err(Error::new(Kind::Isolation, "unified resources are set, but only cgroup v1 is mounted here"));
        }
        let directory = self.unified_group(hierarchies, needed, location).map_err(explain)?;
        check_names(&setting.unified)?;
        for (file, value) in &setting.unified {
            // As much as there may be: nothing to do where nothing limits.
            let nothing = value == "max" && !directory.join(file).exists();
            if !nothing {
                write_all(&directory, &[(file.clone(), value.clone())], warnings).map_err(explain)?;
            }
        }
        Ok(())
    }

    fn limit_devices(&mut self, hierarchies: &Hierarchies, rules: &[Rule], needed: &[&str], location: &Location) -> Result<()> {
        let explain = |error: Error| cannot_limit("device", error);
        if let Some(legacy) = hierarchies.legacy_of("devices") {
            let directory = self.legacy_group(legacy, "devices", location).map_err(explain)?;
            write(&directory, "devices.deny", "a").map_err(explain)?;
            for rule in rules {
                write(&directory, if rule.allow { "devices.allow" } else { "devices.deny" }, &rule.text()).map_err(explain)?;
            }
            return Ok(());
        }
        let directory = self.unified_group(hierarchies, needed, location).map_err(explain)?;
        let open = openat(CWD, &directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| explain(Error::call(format!("openat({:?})", directory.display()), errno)))?;
        devices::attach(&open, rules).map_err(explain)
    }

    fn legacy_group(&mut self, hierarchy: &Hierarchy, controller: &str, location: &Location) -> Result<PathBuf> {
        let (base, path) = place(hierarchy, location);
        let directory = base.join(path);
        // Controllers that are mounted together share a group.
        if self.groups.iter().any(|group| group.directory == directory) {
            return Ok(directory);
        }
        let has_processors = hierarchy.controllers.iter().any(|name| name == "cpuset");
        let mut above = base;
        for name in Path::new(path).components() {
            let next = above.join(name);
            make(&next)?;
            if has_processors {
                inherit_processors(&above, &next)?;
            }
            above = next;
        }
        self.groups.push(Group { directory: directory.clone(), controller: controller.to_owned() });
        Ok(directory)
    }

    fn unified_group(&mut self, hierarchies: &Hierarchies, controllers: &[&str], location: &Location) -> Result<PathBuf> {
        if let Some(group) = self.groups.iter().find(|group| group.is_unified()) {
            return Ok(group.directory.clone());
        }
        let Some(unified) = &hierarchies.unified else {
            return Err(Error::new(Kind::Isolation, "no control groups are mounted here"));
        };
        let wanted: Vec<&str> = controllers
            .iter()
            .filter(|name| **name != ANY && hierarchies.legacy_of(name).is_none())
            .map(|name| unified_name(name))
            .collect();
        let mut last = None;
        let bases = match location {
            Location::Beside(_) => parents(unified),
            Location::At(_) => vec![place(unified, location).0],
        };
        let path = match location {
            Location::Beside(name) => name.as_str(),
            Location::At(_) => place(unified, location).1,
        };
        for base in bases {
            match make_unified(&base, path, &wanted) {
                Ok(directory) => {
                    self.groups.push(Group { directory: directory.clone(), controller: String::new() });
                    return Ok(directory);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Isolation, "no control group can be made")))
    }

    /// Puts a group into each, for the container: it may write to the files of the inner one as it likes, and the outer one
    /// holds. The inner ones have the same limits, for whoever reads them.
    fn nest(&mut self, settings: &[Setting]) -> Result<()> {
        for group in &mut self.groups {
            let inner = group.directory.join(INNER);
            if group.is_unified() {
                let enabled = fs::read_to_string(group.directory.join("cgroup.controllers")).unwrap_or_default();
                for controller in enabled.split_ascii_whitespace() {
                    let _ = write(&group.directory, "cgroup.subtree_control", &format!("+{controller}"));
                }
            }
            make(&inner)?;
            let _ = inherit_processors(&group.directory, &inner);
            for (file, value) in settings.iter().flat_map(|setting| if group.is_unified() { &setting.unified } else { &setting.legacy }) {
                if inner.join(file).exists() {
                    let _ = write(&inner, file, value);
                }
            }
            group.directory = inner;
        }
        Ok(())
    }

    /// The number in a file of a controller, by its name in either version; `None` where it is not there or no number.
    pub fn number<T: std::str::FromStr>(&self, controller: &str, legacy: &str, unified: &str) -> Option<T> {
        let group = self.group_of(controller)?;
        let file = if group.is_unified() { unified } else { legacy };
        fs::read_to_string(group.directory.join(file)).ok()?.trim().parse().ok()
    }

    /// A file of lines with a name and a number.
    pub fn table(&self, controller: &str, file: &str) -> std::collections::BTreeMap<String, u64> {
        let text = self.group_of(controller).map(|group| fs::read_to_string(group.directory.join(file)).unwrap_or_default());
        let text = text.unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    fn group_of(&self, controller: &str) -> Option<&Group> {
        let hierarchies = Hierarchies::find();
        let legacy = hierarchies.legacy_of(controller);
        self.groups.iter().find(|group| match legacy {
            Some(legacy) => legacy.controllers.contains(&group.controller),
            None => group.is_unified(),
        })
    }

    /// The groups of this name that a process is in; `None` if it is in none of them.
    pub fn of_process(pid: i32, name: &str) -> Option<Self> {
        let Hierarchies { unified, legacy } = Hierarchies::of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?);
        let all = legacy
            .into_iter()
            .chain(unified)
            .map(|hierarchy| Group { directory: hierarchy.own, controller: hierarchy.controllers.into_iter().next().unwrap_or_default() });
        let groups: Vec<Group> = all.filter(|group| group.directory.file_name().is_some_and(|last| last == name)).collect();
        (!groups.is_empty()).then_some(Self { groups })
    }

    /// The groups of a container that runs, from its state.
    pub fn of_container(state: &ContainerState) -> Option<Self> {
        state.cgroup.as_deref().filter(|text| !text.is_empty()).map(Self::from_text)
    }

    /// What [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Self {
        let groups = text.split(':').filter_map(|entry| {
            let (controller, directory) = entry.rsplit_once('=')?;
            Some(Group { directory: directory.into(), controller: controller.to_owned() })
        });
        Self { groups: groups.collect() }
    }

    /// For the state: `controller=directory`, separated by colons; version 2 has no controller.
    pub fn to_text(&self) -> String {
        let entries: Vec<String> = self.groups.iter().map(|group| format!("{}={}", group.controller, group.directory.display())).collect();
        entries.join(":")
    }

    /// The group of version 2, for a process to be made right inside.
    pub fn clone_into(&self) -> Option<OwnedFd> {
        let group = self.groups.iter().find(|group| group.is_unified())?;
        openat(CWD, &group.directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
    }

    /// Puts this process, which has one thread, into the groups of version 1; also into that of version 2 if `all`.
    pub fn join(&self, all: bool) -> Result<()> {
        for group in &self.groups {
            match group.controller.as_str() {
                "" if all => write(&group.directory, "cgroup.procs", "0")?,
                "" => {}
                // One thread alone moves without waiting for the whole machine, as `cgroup.procs` would.
                _ => write(&group.directory, "tasks", "0")?,
            }
        }
        Ok(())
    }

    /// Puts another process into all groups.
    pub fn add(&self, pid: i32) -> Result<()> {
        for group in &self.groups {
            write(&group.directory, "cgroup.procs", &pid.to_string())?;
        }
        Ok(())
    }

    /// All processes in it, those of groups below as well.
    pub fn members(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for group in &self.groups {
            members_of(&group.directory, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Mounts what the container may see of its groups as /sys/fs/cgroup. `hidden`: it has a cgroup namespace of its own,
    /// whose root is its group.
    pub fn show(&self, place: BorrowedFd<'_>, readonly: bool, hidden: bool) -> Result<()> {
        let shown = |group: &Group, kind: &str, options: &[(&str, &str)]| -> Result<OwnedFd> {
            let mount = match file_system(kind, options, INERT) {
                Ok(mount) if hidden => mount,
                _ => {
                    let open = openat(CWD, &group.directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|errno| Error::call(format!("openat({:?})", group.directory.display()), errno))?;
                    let mount = clone_tree(&open, false)?;
                    crate::sys::mount::set_attributes(&mount, INERT, 0, libc::MS_PRIVATE, false)?;
                    mount
                }
            };
            if readonly {
                protect(&mount, false)?;
            }
            Ok(mount)
        };
        if self.groups.iter().all(|group| group.controller == "devices") {
            return show_none(place, readonly);
        }
        if let [only] = self.groups.as_slice() {
            if only.is_unified() {
                return attach(shown(only, "cgroup2", &[])?, place);
            }
        }
        let hierarchies = Hierarchies::find();
        let directory = tmpfs(&[("mode", "755")], INERT)?;
        attach(&directory, place)?;
        // What says which devices open is not for a container to look at.
        for group in self.groups.iter().filter(|group| group.controller != "devices") {
            let legacy = hierarchies.legacy_of(&group.controller);
            let (kind, options) = match legacy {
                Some(legacy) => ("cgroup", legacy.controllers.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>()),
                None => ("cgroup2", Vec::new()),
            };
            let options: Vec<(&str, &str)> = options.into_iter().map(|(name, _)| name.split_once('=').unwrap_or((name, ""))).collect();
            let Ok(mount) = shown(group, kind, &options) else { continue };
            let mounted = legacy.and_then(|legacy| legacy.mount.file_name()).and_then(|name| name.to_str());
            let name = if group.is_unified() { "unified" } else { mounted.unwrap_or(&group.controller) };
            mkdirat(&directory, name, Mode::from_raw_mode(0o755)).map_err(|errno| Error::call("mkdirat(cgroup)", errno))?;
            for alias in legacy.iter().flat_map(|legacy| &legacy.controllers).filter(|alias| *alias != name && !alias.contains('=')) {
                let _ = symlinkat(name, &directory, alias.as_str());
            }
            let place = crate::root::open_beneath(directory.as_fd(), name, OFlags::PATH, Mode::empty())?;
            attach(&mount, &place)?;
        }
        if readonly { protect(&directory, false) } else { Ok(()) }
    }

    /// Whether the kernel killed something in it for want of memory.
    pub fn oom_killed(&self) -> bool {
        self.oom_kills() > 0
    }

    /// How many processes in it the kernel has killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let count = |group: &Group, directory: &Path| {
            let file = if group.is_unified() { "memory.events" } else { "memory.oom_control" };
            let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        self.groups.iter().flat_map(|group| group.directories().map(move |directory| count(group, directory))).max().unwrap_or(0)
    }

    /// Whether any of the groups is there.
    pub fn exists(&self) -> bool {
        self.groups.iter().any(|group| group.directory.exists())
    }

    /// Removes the groups; processes that are still ending are waited for.
    pub fn remove(&self) {
        let until = Instant::now() + Duration::from_secs(2);
        for directory in self.groups.iter().flat_map(Group::directories) {
            remove_tree(directory, until);
        }
    }
}

/// The hierarchy's directory that a location starts at, and the plain path below it.
fn place<'l>(hierarchy: &Hierarchy, location: &'l Location) -> (PathBuf, &'l str) {
    match location {
        Location::Beside(name) => (hierarchy.own.clone(), name),
        Location::At(path) => match path.strip_prefix('/') {
            Some(path) => (hierarchy.mount.clone(), path),
            None => (hierarchy.own.clone(), path),
        },
    }
}

fn cannot_limit(what: &str, error: Error) -> Error {
    let refused = matches!(error.kind, Kind::Permission | Kind::NotFound | Kind::Isolation) || error.errno == Some(rustix::io::Errno::BUSY);
    let error = error.context(format!("cannot set the {what} limit"));
    if !refused {
        return error;
    }
    Error { kind: Kind::Isolation, ..error }.hint(format!("Limits need {DELEGATION}"))
}

const DELEGATION: &str = "a control group that this user may change: run as root, or under systemd with `systemd-run --user --scope -p Delegate=yes stave …` (cgroup v2).";

/// Moves this process into a cgroup namespace of its own: paths of the host's groups do not show inside.
pub fn hide() -> Result<()> {
    match task::unshare(libc::CLONE_NEWCGROUP) {
        // Older than 4.6, or built without.
        Err(error) if error.errno == Some(rustix::io::Errno::INVAL) => Ok(()),
        other => other,
    }
}

/// Mounts /sys/fs/cgroup inside for a container without groups of its own: what version 2 shows by itself.
pub fn show_none(place: BorrowedFd<'_>, readonly: bool) -> Result<()> {
    const CGROUP2_MAGIC: i64 = 0x6367_7270;
    if !rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type == CGROUP2_MAGIC) {
        return Ok(());
    }
    let Ok(mount) = file_system("cgroup2", &[], INERT) else { return Ok(()) };
    if readonly {
        protect(&mount, false)?;
    }
    attach(&mount, place)
}
