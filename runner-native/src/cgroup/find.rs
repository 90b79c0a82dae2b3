//! What control groups this machine has mounted, and where this process is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// A mounted hierarchy.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    /// Empty for version 2, whose controllers are in `cgroup.controllers`; `name=systemd` has no controller.
    pub controllers: Vec<String>,
    pub mount: PathBuf,
    /// Where this process is in it.
    pub own: PathBuf,
}

/// What there is on this machine: of both versions, and of both at once.
#[derive(Debug, Default)]
pub struct Hierarchies {
    pub unified: Option<Hierarchy>,
    pub legacy: Vec<Hierarchy>,
}

/// Of version 1.
const CONTROLLERS: &[&str] = &[
    "memory",
    "cpu",
    "cpuacct",
    "cpuset",
    "pids",
    "devices",
    "freezer",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
    "name=systemd",
];

impl Hierarchies {
    pub fn find() -> Self {
        Self::of(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
    }

    /// With the places of another process, by its `/proc/PID/cgroup`, as its own ones.
    pub fn of(own: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut found = Self::default();
        for line in mounts.lines() {
            found.add(line, own);
        }
        found
    }

    fn add(&mut self, line: &str, own: &str) {
        let Some((before, after)) = line.split_once(" - ") else { return };
        let (before, after): (Vec<&str>, Vec<&str>) = (before.split(' ').collect(), after.split(' ').collect());
        let (Some(root), Some(mount), Some(kind), Some(options)) = (before.get(3), before.get(4), after.first(), after.get(2)) else {
            return;
        };
        let relative = |path: &str| -> PathBuf {
            // In a container only a part is mounted, and paths are shown from the real root.
            let inner = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path));
            Path::new(mount).join(inner.strip_prefix("/").unwrap_or(inner))
        };
        match *kind {
            "cgroup2" if self.unified.is_none() => {
                let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
                self.unified = Some(Hierarchy { controllers: Vec::new(), mount: mount.into(), own: relative(path) });
            }
            "cgroup" => {
                let controllers: Vec<String> =
                    options.split(',').filter(|option| CONTROLLERS.contains(option)).map(str::to_owned).collect();
                let Some(first) = controllers.first() else { return };
                if self.legacy_of(first).is_some() {
                    return;
                }
                let path = own.lines().find_map(|line| {
                    let mut fields = line.splitn(3, ':').skip(1);
                    let (names, path) = (fields.next()?, fields.next()?);
                    names.split(',').any(|name| name == first).then_some(path)
                });
                let own = relative(path.unwrap_or("/"));
                self.legacy.push(Hierarchy { controllers, mount: mount.into(), own });
            }
            _ => {}
        }
    }

    /// `v1`, `v2`, `hybrid` or `none`.
    pub fn version(&self) -> &'static str {
        match (&self.unified, self.legacy.is_empty()) {
            (Some(_), true) => "v2",
            (Some(_), false) => "hybrid",
            (None, false) => "v1",
            (None, true) => "none",
        }
    }

    /// The controllers that this user can set limits with.
    pub fn usable(&self) -> Vec<String> {
        let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
        let mut found: Vec<String> = Vec::new();
        for hierarchy in self.legacy.iter().filter(|hierarchy| writable(&hierarchy.own)) {
            found.extend(hierarchy.controllers.iter().filter(|name| !name.contains('=')).cloned());
        }
        if let Some(unified) = &self.unified {
            found.extend(parents(unified).iter().find(|parent| writable(parent)).map(|parent| controllers_of(parent)).unwrap_or_default());
        }
        found.sort();
        found.dedup();
        found
    }

    pub fn legacy_of(&self, controller: &str) -> Option<&Hierarchy> {
        self.legacy.iter().find(|hierarchy| hierarchy.controllers.iter().any(|known| known == controller))
    }
}

fn controllers_of(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Where a group of version 2 may be made: a group that has processes cannot have limited children, so not where we are,
/// unless that is the root. Root has a place of its own; else it is beside us, where that was delegated to this user.
pub fn parents(unified: &Hierarchy) -> Vec<PathBuf> {
    let mut parents = Vec::new();
    if rustix::process::geteuid().is_root() {
        parents.push(unified.mount.clone());
    }
    if unified.own != unified.mount {
        parents.extend(unified.own.parent().map(Path::to_owned));
    }
    parents.push(unified.own.clone());
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_machines_have_both() {
        let own = "12:memory:/jobs/7\n3:cpu,cpuacct:/\n1:name=systemd:/init\n0::/init.scope\n";
        let mut found = Hierarchies::default();
        for line in [
            "31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
            "33 23 0:29 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory",
            "34 23 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            "35 23 0:31 /init /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
            "36 23 0:29 / /again rw - cgroup cgroup rw,memory",
            "37 23 0:99 / /tmp rw - tmpfs tmpfs rw",
            "broken",
        ] {
            found.add(line, own);
        }
        assert_eq!(found.version(), "hybrid");
        assert_eq!(found.legacy_of("memory").unwrap().own, Path::new("/sys/fs/cgroup/memory/jobs/7"));
        assert_eq!(found.legacy_of("cpuacct").unwrap().controllers, ["cpu", "cpuacct"]);
        assert_eq!(found.legacy_of("name=systemd").unwrap().own, Path::new("/sys/fs/cgroup/systemd"));
        assert_eq!(found.unified.unwrap().own, Path::new("/sys/fs/cgroup/unified/init.scope"));
        assert_eq!(found.legacy.len(), 3);
    }
}
