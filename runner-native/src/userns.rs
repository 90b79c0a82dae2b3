//! Entering the user namespace that a job works in: root inside, an ordinary user outside.

use crate::error::{Error, Kind, Result};
use crate::sys::{self, task};
use crate::wire::place::UserNamespace;
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Enters the namespace that the request names. Must be called while the process has one thread.
pub fn enter(namespace: Option<&UserNamespace>) -> Result<()> {
    match namespace {
        None => Ok(()),
        Some(UserNamespace::Create) => create(),
        Some(UserNamespace::Single) => single(),
        Some(UserNamespace::Join { fd }) => {
            let namespace = sys::borrow(*fd)?;
            task::setns(namespace, libc::CLONE_NEWUSER)
                .map_err(|error| Error { kind: Kind::Isolation, ..error }.context("cannot join the user namespace"))?;
            become_root()
        }
    }
}

/// Root inside, which is whom the map's first line says outside.
fn become_root() -> Result<()> {
    // In a namespace of one id groups cannot be changed, and need not be.
    let _ = task::set_groups(&[]);
    task::set_gid(0)?;
    task::set_uid(0)
}

/// Maps this user alone, to root.
fn single() -> Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    new_namespace()?;
    // Without a helper groups must be given up first (user_namespaces(7)).
    write_own("setgroups", "deny")?;
    write_own("uid_map", &format!("0 {uid} 1"))?;
    write_own("gid_map", &format!("0 {gid} 1"))?;
    task::set_gid(0)?;
    task::set_uid(0)
}

fn write_own(file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/self/{file}");
    fs::write(&path, text).map_err(|error| {
        let error = Error::io(format!("write({path:?}, {text:?})"), &error);
        Error { kind: Kind::Isolation, ..error }.context("cannot map this user into a user namespace").hint(why_refused())
    })
}

fn new_namespace() -> Result<()> {
    task::unshare(libc::CLONE_NEWUSER)
        .map_err(|error| Error { kind: Kind::Isolation, ..error }.context("cannot make a user namespace").hint(why_refused()))
}

/// The likely reason why a user namespace was refused, with the way out.
pub fn why_refused() -> String {
    let setting = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).map(|text| text.trim().to_owned()).ok();
    if setting("user/max_user_namespaces").as_deref() == Some("0") {
        return "User namespaces are turned off: sudo sysctl -w user.max_user_namespaces=15000".to_owned();
    }
    if setting("kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return "User namespaces are turned off for ordinary users: sudo sysctl -w kernel.unprivileged_userns_clone=1".to_owned();
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return "AppArmor restricts user namespaces here: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root."
            .to_owned();
    }
    "An outer container's seccomp profile may forbid it: start that container with --security-opt seccomp=unconfined, or run as root."
        .to_owned()
}

/// Maps this user to root, and its subordinate ids to the ids from 1 on.
fn create() -> Result<()> {
    let maps = Maps::of_this_user()?;
    let me = std::process::id();
    let (mut told_read, told_write) = pipe()?;
    let (mut answer_read, answer_write) = pipe()?;
    // The helpers must be started from outside the new namespace, so by a child that stays behind.
    if let Some(child) = task::fork()? {
        drop((told_read, answer_write));
        let made = new_namespace();
        if made.is_err() {
            let _ = task::kill(child, libc::SIGKILL);
        }
        let mut told_write = told_write;
        let _ = told_write.write_all(b"1");
        let mut answer = String::new();
        let _ = answer_read.read_to_string(&mut answer);
        let _ = task::reap(child, true);
        made?;
        if answer != "mapped" {
            return Err(Error::new(
                Kind::Isolation,
                format!("cannot map subordinate ids: {}", if answer.is_empty() { "the helper failed" } else { answer.trim() }),
            )
            .hint(maps.hint()));
        }
        return become_root();
    }
    drop((told_write, answer_read));
    let mut answer_write = answer_write;
    let answer = match told_read.read(&mut [0]) {
        Ok(1) => maps.write(me),
        _ => Err("cancelled".to_owned()),
    };
    let _ = answer_write.write_all(answer.map_or_else(|why| why, |()| "mapped".to_owned()).as_bytes());
    sys::exit_now(0);
}

fn pipe() -> Result<(fs::File, fs::File)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::call("pipe2(O_CLOEXEC)", errno))?;
    Ok((read.into(), write.into()))
}

/// The lines of uid_map and gid_map: first id inside, first outside, how many.
pub struct Maps {
    name: String,
    uids: Vec<[u32; 3]>,
    gids: Vec<[u32; 3]>,
    /// Root writes the maps itself.
    privileged: bool,
}

impl Maps {
    fn of_this_user() -> Result<Self> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let name = user_name(uid).unwrap_or_else(|| uid.to_string());
        if uid == 0 {
            // All that root has here, as it is.
            let same = |path: &str| -> Vec<[u32; 3]> {
                let text = fs::read_to_string(path).unwrap_or_default();
                text.lines()
                    .filter_map(|line| numbers(line.split_ascii_whitespace()))
                    .map(|[first, _, count]| [first, first, count])
                    .collect()
            };
            return Ok(Self { name, uids: same("/proc/self/uid_map"), gids: same("/proc/self/gid_map"), privileged: true });
        }
        let map = |own: u32, file: &str, flag: &str| -> Result<Vec<[u32; 3]>> {
            let mut lines = vec![[0, own, 1]];
            let mut next = 1;
            for (first, count) in subordinate(file, flag, &name, uid)? {
                lines.push([next, first, count]);
                next += count;
            }
            Ok(lines)
        };
        let maps = Self { uids: map(uid, "/etc/subuid", "")?, gids: map(gid, "/etc/subgid", "-g")?, name, privileged: false };
        for (helper, _) in [("newuidmap", 0), ("newgidmap", 0)] {
            if find_program(helper).is_none() {
                return Err(Error::new(Kind::Isolation, format!("{helper} is not installed"))
                    .hint("Debian and Ubuntu: sudo apt-get install uidmap. Fedora: sudo dnf install shadow-utils."));
            }
        }
        Ok(maps)
    }

    /// These maps, for a process that has made a user namespace.
    pub fn of(uids: Vec<[u32; 3]>, gids: Vec<[u32; 3]>) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let name = user_name(uid).unwrap_or_else(|| uid.to_string());
        Self { name, uids, gids, privileged: uid == 0 }
    }

    /// Writes them for a process, which waits for it.
    ///
    /// # Errors
    /// `Kind::Isolation` if this user was not granted the ids.
    pub fn apply(&self, pid: i32) -> Result<()> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let mapped =
            if self.privileged || self.uids.len() != 1 || self.uids[0][1..] != [uid, 1] || self.gids[..] != [[self.gids[0][0], gid, 1]] {
                self.write(pid as u32)
            } else {
                // Oneself alone may be mapped without a helper, if groups are given up.
                let write = |file: &str, text: &str| {
                    fs::write(format!("/proc/{pid}/{file}"), text).map_err(|error| format!("write(\"/proc/{pid}/{file}\"): {error}"))
                };
                let line = |[inside, outside, count]: [u32; 3]| format!("{inside} {outside} {count}");
                write("setgroups", "deny")
                    .and_then(|()| write("uid_map", &line(self.uids[0])))
                    .and_then(|()| write("gid_map", &line(self.gids[0])))
            };
        mapped.map_err(|why| Error::new(Kind::Isolation, format!("cannot map ids into a user namespace: {why}")).hint(self.hint()))
    }

    /// A user namespace with these maps, in which nobody is.
    pub fn namespace(&self) -> Result<OwnedFd> {
        let (wait, goes) = crate::wire::stream::pipe()?;
        let pid = match task::clone(libc::CLONE_NEWUSER, None)? {
            task::Cloned::Child => {
                drop(goes);
                sys::wait_readable(&wait);
                sys::exit_now(0);
            }
            task::Cloned::Parent { pid, .. } => pid,
        };
        let opened = self.apply(pid).and_then(|()| {
            let path = format!("/proc/{pid}/ns/user");
            fs::File::open(&path).map(OwnedFd::from).map_err(|error| Error::io(format!("open({path:?})"), &error))
        });
        drop(goes);
        task::reap(pid, true);
        opened
    }

    fn write(&self, pid: u32) -> Result<(), String> {
        let text = |lines: &[[u32; 3]]| {
            lines.iter().map(|[inside, outside, count]| format!("{inside} {outside} {count}")).collect::<Vec<_>>().join("\n")
        };
        if self.privileged {
            for (file, lines) in [("uid_map", &self.uids), ("gid_map", &self.gids)] {
                fs::write(format!("/proc/{pid}/{file}"), text(lines)).map_err(|error| format!("write(\"/proc/{pid}/{file}\"): {error}"))?;
            }
            return Ok(());
        }
        // Side by side: each takes about two milliseconds.
        let start = |helper: &str, lines: &[[u32; 3]]| {
            let program = find_program(helper).ok_or_else(|| format!("{helper} is not installed"))?;
            let numbers = lines.iter().flatten().map(u32::to_string);
            let child = Command::new(program)
                .arg(pid.to_string())
                .args(numbers)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn();
            child.map_err(|error| format!("{helper}: {error}"))
        };
        let children = [start("newuidmap", &self.uids)?, start("newgidmap", &self.gids)?];
        for child in children {
            let output = child.wait_with_output().map_err(|error| error.to_string())?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
            }
        }
        Ok(())
    }

    fn hint(&self) -> String {
        format!(
            "newuidmap and newgidmap must be setuid root (or have cap_setuid, cap_setgid), and /etc/subuid and /etc/subgid must grant {} what is mapped.",
            self.name
        )
    }
}

fn numbers<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<[u32; 3]> {
    let mut next = || fields.next()?.parse().ok();
    Some([next()?, next()?, next()?])
}

/// A helper of the shadow suite, where it is installed.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    // Not from PATH: that is the user's, and so would the helper be.
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| std::path::Path::new(directory).join(name))
        .find(|path| path.exists())
}

/// The ranges that a user was given, by name or number.
fn subordinate(file: &str, flag: &str, name: &str, uid: u32) -> Result<Vec<(u32, u32)>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut ranges = ranges_of(&text, name, uid);
    if ranges.is_empty() {
        // They may be in a directory service, which only this program can ask.
        if let Some(program) = find_program("getsubids") {
            let output =
                Command::new(program).args([flag, name].iter().filter(|argument| !argument.is_empty())).stdin(Stdio::null()).output();
            if let Ok(output) = output {
                ranges = ranges_of_getsubids(&String::from_utf8_lossy(&output.stdout));
            }
        }
    }
    if ranges.is_empty() {
        return Err(Error::new(Kind::Isolation, format!("user {name} has no subordinate ids in {file}")).hint(grant(name)));
    }
    Ok(ranges)
}

/// The command that gives a user ids which no other has: with shared ones, each could do as it likes with the other's files.
fn grant(name: &str) -> String {
    let [uids, gids] = ["/etc/subuid", "/etc/subgid"].map(|file| fs::read_to_string(file).unwrap_or_default());
    let first = first_free(&[&uids, &gids]);
    let last = first + 65535;
    format!("sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {name}")
}

/// Where 65536 ids begin that are above all that are granted.
fn first_free(files: &[&str]) -> u32 {
    let lines = files.iter().flat_map(|text| text.lines());
    let ends = lines.filter_map(|line| {
        let mut fields = line.trim().split(':').skip(1);
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        first.checked_add(count)?.checked_add(65536).map(|end| end - 65536)
    });
    ends.max().unwrap_or_default().max(100_000)
}

/// Lines of `name:first:count`.
fn ranges_of(text: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let usable = count > 0 && u32::checked_add(first, count).is_some();
            ((owner == name || owner == uid) && usable).then_some((first, count))
        })
        .collect()
}

/// Lines of `0: name first count`.
fn ranges_of_getsubids(text: &str) -> Vec<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .collect()
}

pub fn user_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    // A user of a directory service is in no file.
    found.or_else(|| {
        let output = Command::new(find_program("id")?).arg("-un").stdin(Stdio::null()).output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (!name.is_empty() && output.status.success()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_offered_is_nobodys() {
        assert_eq!(first_free(&["", "no range\n"]), 100_000);
        assert_eq!(first_free(&["ann:100000:65536\n", "ann:100000:65536\nbob:300000:1\n"]), 300_001);
        assert_eq!(first_free(&["small:1000:10\nbad:4294967295:9\n"]), 100_000);
    }

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "other:1:2\nann:100000:65536\n# ann:1:1\n1000:300000:10\nann:4294967295:2\nann:7:0\nann\n";
        assert_eq!(ranges_of(text, "ann", 1000), [(100_000, 65536), (300_000, 10)]);
        assert_eq!(ranges_of(text, "bob", 1001), []);
        assert_eq!(ranges_of_getsubids("0: ann 100000 65536\n1: ann 5 6\nno ranges\n"), [(100_000, 65536), (5, 6)]);
    }
}
