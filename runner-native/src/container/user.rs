//! Who the process runs as: `USER[:GROUP]`, resolved in the root's own passwd and group files.
//!
//! Docker's rules. A name must be there, a number need not be; a group that is given replaces the supplementary
//! groups of the user's entry. The files are an image's: read with bounds, as regular files, inside the root.

use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::root;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FileType, Mode, OFlags};
use std::io::Read;

const LARGEST_ID: i64 = i32::MAX as i64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups; the primary one is among them, so that dropping it takes nothing away (CVE-2022-36109).
    pub groups: Vec<u32>,
    pub home: String,
    /// The entry's name, where there is an entry.
    pub name: Option<String>,
}

/// Resolves `user` (default: root) in the root file system at `root`.
///
/// # Errors
/// `Kind::NoUser` if a name is not known there or a number is out of range.
pub fn lookup(root: BorrowedFd<'_>, user: Option<&str>, additional_groups: &[String]) -> Result<Identity> {
    // Numbers alone need no group file, and most containers run as root: then it is not opened.
    let passwd = read_database(root, "etc/passwd")?;
    let spec = user.unwrap_or("");
    let numeric_pair = spec.split_once(':').is_some_and(|(_, group)| group.parse::<i64>().is_ok());
    let group = if numeric_pair && additional_groups.is_empty() { Vec::new() } else { read_database(root, "etc/group")? };
    resolve(spec, additional_groups, &passwd, &group)
}

/// An identity in numbers. The files say its home alone, and need not be there.
pub fn by_number(root: BorrowedFd<'_>, uid: u32, gid: u32, groups: &[u32]) -> Identity {
    let passwd = read_database(root, "etc/passwd").unwrap_or_default();
    let entry = entries(&passwd).find(|entry| entry.id == Some(uid.into()));
    let home = entry.as_ref().and_then(|entry| field(entry.rest, 3)).filter(|home| !home.is_empty());
    Identity {
        uid,
        gid,
        groups: groups.to_vec(),
        home: home.map_or_else(|| "/".to_owned(), |home| String::from_utf8_lossy(home).into_owned()),
        name: entry.map(|entry| String::from_utf8_lossy(entry.name).into_owned()),
    }
}

/// The bytes of a database in the root; empty if there is none.
pub fn read_database(root: BorrowedFd<'_>, path: &str) -> Result<Vec<u8>> {
    // NONBLOCK: opening a fifo must not wait for a writer.
    let file = match root::open_in_root(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty()) {
        Ok(file) => file,
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::NotDirectory) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| Error::call("fstat(…)", errno).path(path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::new(Kind::Corrupt, format!("/{path} of the image is not a regular file")).path(path));
    }
    if stat.st_size as u64 > limit::DATABASE {
        return Err(Error::new(Kind::TooLarge, format!("/{path} of the image is larger than {} MiB", limit::DATABASE >> 20)).path(path));
    }
    let mut bytes = Vec::with_capacity(stat.st_size as usize);
    std::fs::File::from(file.as_fd().try_clone_to_owned().map_err(|error| Error::io("dup(…)", &error))?)
        .take(limit::DATABASE)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::io("read(…)", &error).path(path))?;
    Ok(bytes)
}

/// Resolves `USER[:GROUP]` and further groups in the text of passwd and group.
pub fn resolve(spec: &str, additional_groups: &[String], passwd: &[u8], group: &[u8]) -> Result<Identity> {
    let (user, group_name) = spec.split_once(':').unwrap_or((spec, ""));
    let mut identity = Identity { uid: 0, gid: 0, groups: Vec::new(), home: "/".to_owned(), name: None };

    let number = id_number(user);
    let found = entries(passwd).find(|entry| match number {
        _ if user.is_empty() => entry.id == Some(0),
        // A number is always a uid, even if someone is called that.
        Some(uid) => entry.id == Some(uid),
        None => entry.name == user.as_bytes(),
    });
    match (found, number) {
        (Some(entry), _) => {
            identity.uid = id(entry.id, user)?;
            identity.gid = id(field(entry.rest, 1).and_then(parse_id), user)?;
            if let Some(home) = field(entry.rest, 3).filter(|home| !home.is_empty()) {
                identity.home = String::from_utf8_lossy(home).into_owned();
            }
            identity.name = Some(String::from_utf8_lossy(entry.name).into_owned());
        }
        (None, _) if user.is_empty() => {}
        (None, Some(uid)) => identity.uid = id(Some(uid), user)?,
        (None, None) => {
            return Err(Error::new(Kind::NoUser, format!("no user {user:?} in /etc/passwd of the image"))
                .hint("Create the user in the image first, or give a number."));
        }
    }

    if !group_name.is_empty() {
        identity.gid = group_id(group_name, group)?;
    } else if let Some(name) = &identity.name {
        let member = |members: &[u8]| members.split(|byte| *byte == b',').any(|member| member == name.as_bytes());
        identity.groups = entries(group)
            .filter(|entry| field(entry.rest, 1).is_some_and(member))
            .filter_map(|entry| entry.id)
            .map(|gid| id(Some(gid), name))
            .collect::<Result<_>>()?;
    }
    for name in additional_groups {
        identity.groups.push(group_id(name, group)?);
    }
    identity.groups.insert(0, identity.gid);
    let mut seen = std::collections::HashSet::new();
    identity.groups.retain(|gid| seen.insert(*gid));
    identity.groups.truncate(limit::GROUPS);
    Ok(identity)
}

/// A group by name or number: a number need not be in the file.
pub fn group_id(name: &str, group: &[u8]) -> Result<u32> {
    match id_number(name) {
        Some(gid) => id(Some(gid), name),
        None => match entries(group).find(|entry| entry.name == name.as_bytes()) {
            Some(entry) => id(entry.id, name),
            None => Err(Error::new(Kind::NoUser, format!("no group {name:?} in /etc/group of the image"))
                .hint("Create the group in the image first, or give a number.")),
        },
    }
}

/// One line of passwd or group: `name:password:id:rest`.
struct Entry<'a> {
    name: &'a [u8],
    id: Option<i64>,
    /// From the id's field on.
    rest: &'a [u8],
}

fn entries(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.trim_ascii();
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (name, _password, rest) = (fields.next()?, fields.next()?, fields.next()?);
        if name.is_empty() || name[0] == b'#' {
            return None;
        }
        Some(Entry { name, id: field(rest, 0).and_then(parse_id), rest })
    })
}

fn field(rest: &[u8], index: usize) -> Option<&[u8]> {
    rest.split(|byte| *byte == b':').nth(index)
}

fn parse_id(text: &[u8]) -> Option<i64> {
    id_number(std::str::from_utf8(text).ok()?)
}

/// Digits alone: `+1`, ` 1` and `1\n` are names, and no name is like that.
fn id_number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(i64::MAX))
}

fn id(number: Option<i64>, of: &str) -> Result<u32> {
    match number {
        Some(number) if (0..=LARGEST_ID).contains(&number) => Ok(number as u32),
        _ => Err(Error::new(Kind::NoUser, format!("the id of {of:?} is not between 0 and {LARGEST_ID}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\ndaemon:x:1:1::/usr/sbin:/bin/false\nbroken\nweb:x:33:33:w:/var/www:/x\n# web:x:9:9::/:\n7:x:70:70::/seven:\nhuge:x:4294967296:0::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nadm:x:4:web,daemon\nweb:x:33:\nvideo:x:44:web\ntape:x:26:webmaster\n";

    #[test]
    fn a_user_is_resolved_as_docker_does() {
        // user, additional groups, then uid, gid, groups, home
        type Case = (&'static str, &'static [&'static str], u32, u32, &'static [u32], &'static str);
        const CASES: &[Case] = &[
            ("", &[], 0, 0, &[0], "/root"),
            ("root", &[], 0, 0, &[0], "/root"),
            ("web", &[], 33, 33, &[33, 4, 44], "/var/www"),
            ("33", &[], 33, 33, &[33, 4, 44], "/var/www"),
            ("web:adm", &[], 33, 4, &[4], "/var/www"),
            ("web:0", &[], 33, 0, &[0], "/var/www"),
            ("web", &["tape", "99"], 33, 33, &[33, 4, 44, 26, 99], "/var/www"),
            ("1000", &[], 1000, 0, &[0], "/"),
            ("1000:1000", &[], 1000, 1000, &[1000], "/"),
            ("7", &[], 7, 0, &[0], "/"),
            ("70", &[], 70, 70, &[70], "/seven"),
            (":web", &[], 0, 33, &[33], "/root"),
            ("0:", &[], 0, 0, &[0], "/root"),
        ];
        for (spec, additional, uid, gid, groups, home) in CASES {
            let additional: Vec<String> = additional.iter().map(|name| (*name).to_owned()).collect();
            let found = resolve(spec, &additional, PASSWD, GROUP).unwrap();
            assert_eq!((found.uid, found.gid, &found.groups[..], found.home.as_str()), (*uid, *gid, *groups, *home), "{spec:?}");
        }
    }

    #[test]
    fn more_groups_than_the_kernel_takes_are_left_out() {
        let groups: Vec<String> = (1..=limit::GROUPS + 1).map(|gid| gid.to_string()).collect();
        assert_eq!(resolve("0", &groups, b"", b"").unwrap().groups.len(), limit::GROUPS);
    }

    #[test]
    fn a_database_is_read_up_to_a_size() {
        let root = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(root.path().join("group")).unwrap();
        let directory = std::fs::File::open(root.path()).unwrap();
        let read = |size: u64| {
            file.set_len(size).unwrap();
            read_database(directory.as_fd(), "group").map(|bytes| bytes.len() as u64)
        };
        assert_eq!(read(limit::DATABASE).unwrap(), limit::DATABASE);
        assert_eq!(read(limit::DATABASE + 1).unwrap_err().kind, Kind::TooLarge);
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for spec in
            ["nobody", "root:nogroup", "+1", " 1", "root\n", "-1", "4294967296", "2147483648", "huge", "web:4294967296", "root ", "#"]
        {
            assert_eq!(resolve(spec, &[], PASSWD, GROUP).unwrap_err().kind, Kind::NoUser, "{spec:?}");
        }
        assert_eq!(resolve("root", &["nogroup".into()], PASSWD, GROUP).unwrap_err().kind, Kind::NoUser);
        assert_eq!(resolve("", &[], b"", b"").unwrap(), Identity { uid: 0, gid: 0, groups: vec![0], home: "/".into(), name: None });
    }
}
