//! Mount options, as the runtime specification and mount(8) name them.

use crate::error::{Error, Kind, Result};
use crate::sys::mount::{ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY};

const ATTR_ATIME: u64 = 0x70;
const ATTR_NOATIME: u64 = 0x10;
const ATTR_STRICTATIME: u64 = 0x20;
const ATTR_NODIRATIME: u64 = 0x80;
const ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

/// What the options of one mount ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `MOUNT_ATTR_*` to set and to clear on the mount itself.
    pub set: u64,
    pub clear: u64,
    /// The same for it and all mounts below.
    pub set_below: u64,
    pub clear_below: u64,
    /// `MS_PRIVATE` and its like, with whether it is for all mounts below, in order.
    pub propagation: Vec<(u64, bool)>,
    pub bind: bool,
    pub recursive: bool,
    pub remount: bool,
    /// `Some(true)`: all mounts below as well.
    pub idmap: Option<bool>,
    /// A tmpfs begins with what lay there.
    pub copy_up: bool,
    /// Flags of the file system: `sync`, `ro`…
    pub flags: Vec<&'static str>,
    /// What the file system itself understands, `key=value` or `flag`.
    pub data: Vec<String>,
}

/// Name; attributes to set; attributes to clear.
const ATTRIBUTES: &[(&str, u64, u64)] = &[
    ("ro", ATTR_RDONLY, 0),
    ("rw", 0, ATTR_RDONLY),
    ("nosuid", ATTR_NOSUID, 0),
    ("suid", 0, ATTR_NOSUID),
    ("nodev", ATTR_NODEV, 0),
    ("dev", 0, ATTR_NODEV),
    ("noexec", ATTR_NOEXEC, 0),
    ("exec", 0, ATTR_NOEXEC),
    ("noatime", ATTR_NOATIME, ATTR_ATIME),
    ("relatime", 0, ATTR_ATIME),
    ("strictatime", ATTR_STRICTATIME, ATTR_ATIME),
    ("atime", 0, ATTR_ATIME),
    ("norelatime", 0, 0),
    ("nostrictatime", 0, ATTR_ATIME),
    ("nodiratime", ATTR_NODIRATIME, 0),
    ("diratime", 0, ATTR_NODIRATIME),
    ("nosymfollow", ATTR_NOSYMFOLLOW, 0),
    ("symfollow", 0, ATTR_NOSYMFOLLOW),
];

const PROPAGATION: &[(&str, u64)] =
    &[("private", libc::MS_PRIVATE), ("shared", libc::MS_SHARED), ("slave", libc::MS_SLAVE), ("unbindable", libc::MS_UNBINDABLE)];

/// Of the whole file system; bind mounts cannot change them.
const FLAGS: &[&str] =
    &["sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "silent", "loud", "iversion", "noiversion"];

/// What a propagation is called, with or without `r`.
pub fn propagation(name: &str) -> Option<(u64, bool)> {
    let find = |name: &str| PROPAGATION.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag);
    find(name).map(|flag| (flag, false)).or_else(|| find(name.strip_prefix('r')?).map(|flag| (flag, true)))
}

/// Every option that is not the file system's own, sorted.
pub fn names() -> Vec<String> {
    let plain = ATTRIBUTES.iter().map(|(name, _, _)| *name).chain(PROPAGATION.iter().map(|(name, _)| *name));
    let plain: Vec<&str> = plain.collect();
    let others = FLAGS.iter().copied().chain(["bind", "rbind", "remount", "defaults", "tmpcopyup", "idmap", "ridmap"]);
    let mut names: Vec<String> =
        plain.iter().flat_map(|name| [(*name).to_owned(), format!("r{name}")]).chain(others.map(str::to_owned)).collect();
    names.sort();
    names
}

/// Reads the options of a mount.
///
/// # Errors
/// `Kind::Request` for options that contradict each other.
pub fn parse(options: &[String]) -> Result<Options> {
    let mut found = Options::default();
    for option in options {
        found.add(option)?;
    }
    Ok(found)
}

impl Options {
    fn add(&mut self, option: &str) -> Result<()> {
        let attribute = |name: &str| ATTRIBUTES.iter().find(|(known, _, _)| *known == name);
        if let Some((name, set, clear)) = attribute(option) {
            self.set = self.set & !clear | set;
            self.clear = self.clear & !set | clear;
            if *name == "ro" {
                self.flags.push("ro");
            } else if *name == "rw" {
                self.flags.retain(|flag| *flag != "ro");
            }
            return Ok(());
        }
        if let Some(propagation) = propagation(option) {
            self.propagation.push(propagation);
            return Ok(());
        }
        if let Some((_, set, clear)) = option.strip_prefix('r').and_then(attribute) {
            self.set_below = self.set_below & !clear | set;
            self.clear_below = self.clear_below & !set | clear;
            return Ok(());
        }
        match option {
            "" | "defaults" => {}
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "remount" => self.remount = true,
            "idmap" | "ridmap" => {
                let recursive = option == "ridmap";
                if self.idmap.is_some_and(|before| before != recursive) {
                    return Err(Error::new(Kind::Request, "a mount cannot have both idmap and ridmap"));
                }
                self.idmap = Some(recursive);
            }
            "tmpcopyup" => self.copy_up = true,
            _ => match FLAGS.iter().find(|known| **known == option) {
                Some(flag) => self.flags.push(flag),
                None => self.data.push(option.to_owned()),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[&str]) -> Options {
        parse(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_last_of_two_that_contradict_counts() {
        assert_eq!(of(&["ro", "rw"]).set & ATTR_RDONLY, 0);
        assert_eq!(of(&["rw", "ro"]).set & ATTR_RDONLY, ATTR_RDONLY);
        assert!(of(&["ro", "rw"]).flags.is_empty());
        assert_eq!(of(&["noatime", "strictatime"]).set, ATTR_STRICTATIME);
        assert_eq!(of(&["noatime", "relatime"]).set, 0);
    }

    #[test]
    fn one_letter_makes_it_recursive_and_relatime_is_not_such_a_one() {
        assert_eq!(of(&["rro"]).set_below, ATTR_RDONLY);
        assert_eq!(of(&["rnoatime"]).set_below, ATTR_NOATIME);
        let relatime = of(&["relatime"]);
        assert_eq!((relatime.set_below, relatime.clear_below, relatime.clear), (0, 0, ATTR_ATIME));
        assert_eq!(of(&["rrelatime"]).clear_below, ATTR_ATIME);
        assert_eq!(of(&["rshared", "slave"]).propagation, [(libc::MS_SHARED, true), (libc::MS_SLAVE, false)]);
    }

    #[test]
    fn what_is_unknown_is_for_the_file_system() {
        let options = of(&["size=64k", "mode=755", "newinstance", "sync", "rbind"]);
        assert_eq!(options.data, ["size=64k", "mode=755", "newinstance"]);
        assert_eq!(options.flags, ["sync"]);
        assert!(options.bind && options.recursive);
        assert!(parse(&["idmap".into(), "ridmap".into()]).is_err());
    }
}
