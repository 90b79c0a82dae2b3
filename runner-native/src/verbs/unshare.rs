//! The verb `unshare`: a command in the user namespace that main has entered, with mounts of its own. It has the caller's
//! streams, terminal and process group, and is confined by nothing: it is the user's own, and sees his files as their
//! owners do.

use crate::container::signals;
use crate::error::{Error, Kind, Result};
use crate::sys::task;
use crate::wire::container::{ExecResult, Unshare};
use crate::wire::event::Events;
use rustix::fd::OwnedFd;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// After the caller is gone.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn unshare(request: &Unshare, control: File, events: &Events) -> Result<()> {
    let Some((program, arguments)) = request.args.split_first() else {
        return Err(Error::new(Kind::Request, "there is no command to run"));
    };
    task::unshare(libc::CLONE_NEWNS).map_err(|error| error.context("cannot make a mount namespace"))?;
    // What is mounted outside shows inside, and nothing that is mounted inside shows outside.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| Error::call("mount(\"/\", MS_SLAVE|MS_REC)", errno))?;
    // The terminal sends its keys to the command as well, and what the caller wants to pass on comes through the lifeline.
    let _blocked = task::signal_descriptor(&signals::forwarded())?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(request.env.iter().filter_map(|entry| entry.split_once('=')))
        .spawn()
        .map_err(|error| cannot_start(program, &request.env, &error))?;
    let pidfd = i32::try_from(child.id()).ok().and_then(Pid::from_raw).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let Some(Ok(pidfd)) = pidfd else {
        let _ = child.kill();
        return Err(Error::new(Kind::Io, "cannot watch the command that was started"));
    };
    let listener = move || pass_on(control, &pidfd);
    std::thread::Builder::new()
        .name("lifeline".into())
        .stack_size(64 << 10)
        .spawn(listener)
        .map_err(|error| Error::io("clone(CLONE_THREAD)", &error))?;
    let status = child.wait().map_err(|error| Error::io("wait4()", &error))?;
    let exit_code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    events.result(&ExecResult { exit_code });
    Ok(())
}

/// Passes on the signals that the caller sends. When it is gone the command is told so, and has some time to end.
fn pass_on(mut control: File, command: &OwnedFd) {
    let mut byte = [0; 1];
    loop {
        match control.read(&mut byte) {
            Ok(1) => {
                let _ = task::signal_process(command, i32::from(byte[0]));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    let _ = task::signal_process(command, libc::SIGHUP);
    std::thread::sleep(PATIENCE);
    let _ = task::signal_process(command, libc::SIGKILL);
}

fn cannot_start(program: &str, env: &[String], error: &std::io::Error) -> Error {
    // A directory of PATH that may not be entered answers EACCES too, whatever is in it.
    let is_there = || program.contains('/') || env.iter().filter_map(|entry| entry.strip_prefix("PATH=")).any(|path| is_in(path, program));
    let kind = match error.kind() {
        ErrorKind::NotFound => Kind::CommandNotFound,
        ErrorKind::PermissionDenied if !is_there() => Kind::CommandNotFound,
        _ => Kind::CommandNotExecutable,
    };
    Error { kind, ..Error::io(format!("execve({program:?})"), error) }.context(format!("cannot run {program}"))
}

fn is_in(path: &str, program: &str) -> bool {
    path.split(':').any(|directory| Path::new(directory).join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_run_is_told_apart() {
        let env = ["PATH=/nonexistent:/etc".to_owned()];
        let of = |program, kind| cannot_start(program, &env, &std::io::Error::from(kind)).kind;
        assert_eq!(of("x", ErrorKind::NotFound), Kind::CommandNotFound);
        assert_eq!(of("x", ErrorKind::PermissionDenied), Kind::CommandNotFound);
        assert_eq!(of("passwd", ErrorKind::PermissionDenied), Kind::CommandNotExecutable);
        assert_eq!(of("./x", ErrorKind::PermissionDenied), Kind::CommandNotExecutable);
    }
}
