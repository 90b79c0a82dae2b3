//! `exec`: one more process in a container.

use crate::container::join::{self, Target};
use crate::container::plan::{Beside, Process};
use crate::container::process::Stdio;
use crate::container::signals;
use crate::container::start::{Maker, Started};
use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::bundle;
use crate::oci::console;
use crate::oci::make::{streams, write_pid};
use crate::oci::run::attend;
use crate::oci::store::{Container, Status};
use crate::sys;
use crate::sys::task::{self, Ended};
use crate::wire::config::{self, Capabilities, User};
use rustix::fd::{AsFd, OwnedFd};
use std::fs::File;
use std::path::Path;

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::Request, message)
}

pub fn exec(call: &Call<'_>) -> Result<u8> {
    let container = call.store.find(call.id())?;
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if call.words.has("ignore-paused") => {}
        Status::Paused => return Err(Error::new(Kind::State, "cannot exec in a paused container (use --ignore-paused to override)")),
        Status::Stopped => return Err(Error::new(Kind::State, "cannot exec in a stopped container")),
    }
    let detached = call.words.has("detach");
    let process = process_of(call, &container)?;
    let socket = terminal_socket(call, process.terminal, detached)?;
    let pidfd = container.process()?;
    let mut target = Target::new(container.record.pid, pidfd, container.record.cgroup(), process)?;
    target.passed = (3..3 + call.preserve_fds).map(|fd| sys::borrow_inherited(fd as i32)).collect::<Result<_>>()?;
    let stdio = if target.process.terminal { Stdio::default() } else { streams()? };
    let signals = task::signal_descriptor(&signals::forwarded())?;
    let maker = Maker { patience: &mut |_| true, network: None, at: &mut |_, _| Ok(()) };
    let mut started = join::start(&target, stdio, maker)?;
    tell(call, &started, socket.as_ref())?;
    if detached {
        return Ok(0);
    }
    Ok(match attend(&mut started, &signals)? {
        Ended::Exited(status) => status as u8,
        Ended::Signalled(signal) => (128 + signal) as u8,
    })
}

fn terminal_socket(call: &Call<'_>, terminal: bool, detached: bool) -> Result<Option<OwnedFd>> {
    match call.words.get("console-socket").filter(|path| !path.is_empty()) {
        None if terminal && detached => Err(wrong("cannot allocate tty if the runtime will detach without setting console socket")),
        Some(_) if !terminal || !detached => Err(wrong("cannot use console socket if the runtime will not detach or allocate tty")),
        socket => socket.map(console::connect_to).transpose(),
    }
}

fn tell(call: &Call<'_>, started: &Started, socket: Option<&OwnedFd>) -> Result<()> {
    if let (Some(socket), Some(controlling)) = (socket, &started.terminal) {
        console::send(socket, b"/dev/ptmx", controlling.as_fd())?;
    }
    if let Some(path) = call.words.get("pidfd-socket").filter(|path| !path.is_empty()) {
        console::send(console::connect_to(path)?, b"pidfd", started.pidfd.as_fd())?;
    }
    call.words.get("pid-file").filter(|path| !path.is_empty()).map_or(Ok(()), |path| write_pid(path, started.pid))
}

/// The process that is asked for: of a file, or the container's own with another command.
fn process_of(call: &Call<'_>, container: &Container) -> Result<Process> {
    let words = call.words;
    let process = match words.get("process") {
        Some(path) => {
            let open = File::open(path).map_err(|error| Error::io(format!("open({path:?})"), &error))?;
            bundle::parse(open, Path::new(path))?
        }
        None => changed(call, container.record.config.process.clone().unwrap_or_default())?,
    };
    let beside = Beside {
        make_cwd: false,
        no_new_keyring: true,
        preserve_fds: call.preserve_fds,
        outlives: words.has("detach"),
        ..Beside::default()
    };
    Process::new(&process, &container.record.config, &beside)
}

/// The container's process, as the flags change it.
fn changed(call: &Call<'_>, mut process: config::Process) -> Result<config::Process> {
    let words = call.words;
    process.args = words.operands[1..].to_vec();
    if process.args.is_empty() {
        return Err(wrong("process args cannot be empty"));
    }
    process.terminal = words.has("tty");
    process.console_size = None;
    process.env.extend(words.all("env").map(str::to_owned));
    if let Some(cwd) = words.get("cwd") {
        cwd.clone_into(&mut process.cwd);
    }
    if let Some(user) = words.get("user") {
        process.user = User { umask: process.user.umask, ..parse_user(user)? };
    }
    for group in words.all("additional-gids") {
        process.user.additional_gids.push(number(group, "additional gid")?);
    }
    if words.has("no-new-privs") {
        process.no_new_privileges = true;
    }
    if let Some(profile) = words.get("apparmor") {
        profile.clone_into(&mut process.apparmor_profile);
    }
    if let Some(label) = words.get("process-label") {
        label.clone_into(&mut process.selinux_label);
    }
    let more: Vec<String> = words.all("cap").map(str::to_owned).collect();
    if !more.is_empty() {
        let mut sets = process.capabilities.take().unwrap_or_default();
        let Capabilities { bounding, effective, inheritable, permitted, ambient } = &mut sets;
        for set in [bounding, effective, permitted] {
            set.extend(more.iter().cloned());
        }
        // What is inheritable can be ambient, and is kept by a user that is not root.
        let kept: Vec<String> = more.iter().filter(|name| inheritable.contains(name)).cloned().collect();
        ambient.extend(kept);
        process.capabilities = Some(sets);
    }
    Ok(process)
}

/// `UID[:GID]`, numbers alone: runtimes know no names.
fn parse_user(text: &str) -> Result<User> {
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    Ok(User { uid: number(uid, "uid")?, gid: gid.map_or(Ok(0), |gid| number(gid, "gid"))?, ..User::default() })
}

fn number(text: &str, what: &str) -> Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|number| digits && i32::try_from(*number).is_ok());
    number.ok_or_else(|| wrong(format!("{text:?} is not a {what}: a number up to {}", i32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        let user = |text| parse_user(text).map(|user| (user.uid, user.gid));
        assert_eq!((user("5").unwrap(), user("5:6").unwrap(), user("0:0").unwrap()), ((5, 0), (5, 6), (0, 0)));
        for text in ["", ":", "0:", ":0", "+1", " 1", "1\n", "-1", "4294967296", "4294967295", "2147483648", "root", "1:2:3", "0x1"] {
            parse_user(text).unwrap_err();
        }
    }
}
