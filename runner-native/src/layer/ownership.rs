//! Which owners can be given to files here: in a user namespace only the ids that it maps.

use crate::error::{Error, Kind, Result};
use rustix::fs::{Gid, Uid};

/// The ids that exist in this user namespace.
#[derive(Clone, Debug)]
pub struct Ownership {
    users: Map,
    groups: Map,
    /// What new files belong to.
    own: (u32, u32),
    /// Every owner becomes the only one that there is.
    squash: bool,
}

/// Ranges `(first, count)`; empty is everything.
#[derive(Clone, Debug)]
struct Map(Vec<(u64, u64)>);

impl Ownership {
    /// Reads the maps of this process's namespace. `made` is something that this process has just made: its owner is the one
    /// that need not be set.
    pub fn here(made: &rustix::fs::Stat) -> Result<Self> {
        let own = (made.st_uid, made.st_gid);
        Ok(Self::new(Map::read("/proc/self/uid_map")?, Map::read("/proc/self/gid_map")?, own))
    }

    fn new(users: Map, groups: Map, own: (u32, u32)) -> Self {
        let squash = users.total() == Some(1) || groups.total() == Some(1);
        Self { users, groups, own, squash }
    }

    /// Whether all owners become one, because the namespace maps no other.
    pub fn squashes(&self) -> bool {
        self.squash
    }

    /// What a file of `uid`:`gid` must be given to, if it is not already by being made: `None` for nothing to do.
    ///
    /// # Errors
    /// `Kind::Permission` for an id that the namespace does not map.
    pub fn of(&self, uid: u64, gid: u64) -> Result<Option<(Uid, Gid)>> {
        if self.squash || (uid, gid) == (u64::from(self.own.0), u64::from(self.own.1)) {
            return Ok(None);
        }
        let uid = self.users.check(uid, "uid", "/etc/subuid")?;
        let gid = self.groups.check(gid, "gid", "/etc/subgid")?;
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }
}

impl Map {
    fn read(path: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(format!("read({path:?})"), &error))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let ranges = text.lines().filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
            let (first, _outside, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((first, count))
        });
        Self(ranges.collect())
    }

    fn total(&self) -> Option<u64> {
        if self.0.is_empty() { None } else { Some(self.0.iter().map(|&(_, count)| count).sum()) }
    }

    fn check(&self, id: u64, what: &str, file: &str) -> Result<u32> {
        // The last number means "no change" to chown(2).
        let valid = u32::try_from(id).ok().filter(|&id| id != u32::MAX);
        let Some(raw) = valid else { return Err(Error::new(Kind::Corrupt, format!("{what} {id} does not exist on Linux"))) };
        if self.0.is_empty() || self.0.iter().any(|&(first, count)| id >= first && id - first < count) {
            return Ok(raw);
        }
        Err(Error::new(Kind::Permission, format!("{what} {id} is not mapped in this user namespace"))
            .hint(format!("The image has a file of {what} {id}: give your user a range of more than {id} ids in {file}.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        let all = Map::parse("         0          0 4294967295\n");
        let part = Map::parse("0 1000 1\n1 100000 65536\n");
        let one = Map::parse("0 1000 1\n");
        let root = Ownership::new(all.clone(), all.clone(), (0, 0));
        assert!(root.of(0, 0).unwrap().is_none());
        assert!(root.of(4_000_000_000, 7).unwrap().is_some());
        assert_eq!(root.of(u64::from(u32::MAX), 0).unwrap_err().kind, Kind::Corrupt);
        assert_eq!(root.of(1 << 32, 0).unwrap_err().kind, Kind::Corrupt);
        let sub = Ownership::new(part.clone(), part, (0, 0));
        assert!(sub.of(65536, 65536).unwrap().is_some());
        let error = sub.of(0, 65537).unwrap_err();
        assert!(error.hint.unwrap().contains("/etc/subgid"));
        let single = Ownership::new(one, all, (0, 0));
        assert!(single.squashes());
        assert!(single.of(33, 33).unwrap().is_none());
    }
}
