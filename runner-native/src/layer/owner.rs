//! Owners as `--chown` and `USER` name them, resolved in the passwd and group files of a tree.

use crate::error::{Error, Kind, Result};
use crate::layer::source::read_full;
use crate::limit;
use crate::overlay::Stack;
use rustix::fs::{FileType, OFlags};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Resolves `--chown=user[:group]`. A number alone is the group's too; a name has the group of its passwd entry.
///
/// # Errors
/// `Kind::NoUser` for a name that is not there. BuildKit takes root instead, which is never what was meant.
pub fn of_chown(text: &str, tree: &Stack) -> Result<Owner> {
    let (user, group) = parts(text)?;
    let (uid, primary) = match number(user)? {
        Some(uid) => (uid, uid),
        None if user.is_empty() || user == "root" => (0, 0),
        None => user_named(user, tree)?,
    };
    Ok(Owner { uid, gid: group_of(group, primary, tree)? })
}

/// Who owns the directory that WORKDIR makes for a `USER`: as with `--chown`, but that nobody needs to be there yet. Whom the
/// image does not know, is root until somebody runs as them.
pub fn of_workdir(text: &str, tree: &Stack) -> Result<Owner> {
    match of_chown(text, tree) {
        Err(error) if error.kind == Kind::NoUser => Ok(Owner::default()),
        found => found,
    }
}

fn parts(text: &str) -> Result<(&str, Option<&str>)> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    if text.is_empty() || text.contains(['\n', '\0']) || group.is_some_and(|group| group.contains(':')) {
        return Err(Error::new(Kind::NoUser, format!("{text:?} names no user")).hint("Write user, user:group, or numbers."));
    }
    Ok((user, group.filter(|group| !group.is_empty())))
}

fn number(text: &str) -> Result<Option<u32>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // The last one means "no change" to chown(2).
    text.parse()
        .ok()
        .filter(|id| *id != u32::MAX)
        .map(Some)
        .ok_or_else(|| Error::new(Kind::NoUser, format!("{text} is no user or group id")))
}

fn user_named(name: &str, tree: &Stack) -> Result<(u32, u32)> {
    let passwd = read(tree, "etc/passwd")?;
    let missing = || {
        let why = if passwd.is_some() { "there is no such name in its /etc/passwd" } else { "it has no /etc/passwd" };
        Error::new(Kind::NoUser, format!("the user {name:?} does not exist in the image: {why}"))
            .hint("Create the user first, or give numbers.")
    };
    passwd.as_deref().and_then(|passwd| find_user(passwd, name)).ok_or_else(missing)
}

fn group_of(group: Option<&str>, primary: u32, tree: &Stack) -> Result<u32> {
    let Some(group) = group else { return Ok(primary) };
    if let Some(gid) = number(group)? {
        return Ok(gid);
    }
    if group == "root" {
        return Ok(0);
    }
    let file = read(tree, "etc/group")?;
    file.as_deref().and_then(|text| find_group(text, group)).ok_or_else(|| {
        let why = if file.is_some() { "there is no such name in its /etc/group" } else { "it has no /etc/group" };
        Error::new(Kind::NoUser, format!("the group {group:?} does not exist in the image: {why}"))
            .hint("Create the group first, or give numbers.")
    })
}

/// Reads a file of the tree: regular, bounded, links resolved inside.
fn read(tree: &Stack, path: &str) -> Result<Option<Vec<u8>>> {
    let Some(entry) = tree.lookup(path, true)? else { return Ok(None) };
    if entry.kind() != FileType::RegularFile {
        return Ok(None);
    }
    if entry.stat.st_size as u64 > limit::DATABASE {
        return Err(Error::new(Kind::TooLarge, format!("/{path} of the image is larger than 10 MiB")).path(path));
    }
    let file = entry.open(OFlags::RDONLY | OFlags::NONBLOCK)?;
    let mut text = vec![0; entry.stat.st_size as usize];
    let length = read_full(&file, &mut text, path.as_bytes())?;
    text.truncate(length);
    Ok(Some(text))
}

fn fields(text: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    text.split(|byte| *byte == b'\n').filter_map(|line| Some(std::str::from_utf8(line).ok()?.split(':').collect()))
}

fn find_user(passwd: &[u8], name: &str) -> Option<(u32, u32)> {
    let found = fields(passwd).find(|fields| fields.len() >= 4 && fields[0] == name)?;
    Some((found[2].parse().ok()?, found[3].parse().ok()?))
}

fn find_group(text: &[u8], name: &str) -> Option<u32> {
    let found = fields(text).find(|fields| fields.len() >= 3 && fields[0] == name)?;
    found[2].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::OwnedFd;
    use std::fs::{self, File};

    fn tree(passwd: Option<&str>) -> (tempfile::TempDir, Stack) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("etc")).unwrap();
        if let Some(passwd) = passwd {
            fs::write(directory.path().join("etc/passwd"), passwd).unwrap();
            fs::write(directory.path().join("etc/group"), "root:x:0:\nstaff:x:50:app\n").unwrap();
        }
        let root = OwnedFd::from(File::open(directory.path()).unwrap());
        (directory, Stack::of(vec![root]))
    }

    #[test]
    fn names_and_numbers() {
        let (_guard, tree) = tree(Some("root:x:0:0::/root:/bin/sh\nbroken\napp:x:1000:1001::/app:/bin/sh\n"));
        let cases = [
            ("1000", Some((1000, 1000)), Some((1000, 1000))),
            ("9999", Some((9999, 9999)), Some((9999, 9999))),
            (":50", Some((0, 50)), Some((0, 50))),
            (":staff", Some((0, 50)), Some((0, 50))),
            ("app", Some((1000, 1001)), Some((1000, 1001))),
            ("app:staff", Some((1000, 50)), Some((1000, 50))),
            ("5:6", Some((5, 6)), Some((5, 6))),
            ("5:staff", Some((5, 50)), Some((5, 50))),
            ("root", Some((0, 0)), Some((0, 0))),
            ("app:", Some((1000, 1001)), Some((1000, 1001))),
            ("nobody", None, Some((0, 0))),
            ("app:nogroup", None, Some((0, 0))),
            ("4294967295", None, Some((0, 0))),
            ("a:b:c", None, Some((0, 0))),
            ("", None, Some((0, 0))),
        ];
        let pair = |owner: Result<Owner>| owner.ok().map(|owner| (owner.uid, owner.gid));
        for (text, chown, workdir) in cases {
            assert_eq!(pair(of_chown(text, &tree)), chown, "chown {text}");
            assert_eq!(pair(of_workdir(text, &tree)), workdir, "user {text}");
        }
    }

    #[test]
    fn numbers_and_root_need_no_passwd_but_names_do() {
        let (_guard, tree) = tree(None);
        assert_eq!(of_chown("7:8", &tree).unwrap(), Owner { uid: 7, gid: 8 });
        assert_eq!(of_chown("root:root", &tree).unwrap(), Owner::default());
        assert_eq!(of_chown("app", &tree).unwrap_err().kind, Kind::NoUser);
    }

    #[test]
    fn a_passwd_that_is_a_link_outside_or_a_fifo_is_none() {
        let (guard, tree) = tree(None);
        std::os::unix::fs::symlink("/etc/passwd", guard.path().join("etc/passwd")).unwrap();
        // It leads to itself inside the tree: a loop, which is an error and not the host's file.
        assert!(of_chown("daemon", &tree).is_err());
        fs::remove_file(guard.path().join("etc/passwd")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, guard.path().join("etc/passwd"), FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644), 0)
            .unwrap();
        assert_eq!(of_chown("daemon", &tree).unwrap_err().kind, Kind::NoUser);
    }
}
