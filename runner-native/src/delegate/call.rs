//! Calling a runtime, and what it says when it fails.

use crate::container::process::Stdio;
use crate::container::start::Patience;
use crate::error::{Error, Kind, Result};
use crate::root;
use crate::wire::container;
use crate::wire::container::RuntimeState;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

/// A runtime with the directory of one container: its bundle and its state are there.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub program: String,
    pub directory: PathBuf,
    place: String,
}

/// A line of `--log-format json`, as all runtimes write it.
#[derive(Deserialize)]
struct Line {
    level: String,
    msg: String,
}

/// The most that is read of what a runtime has to say.
const MOST_WORDS: u64 = 64 << 10;

impl Runtime {
    /// # Errors
    /// `Kind::Request` if the directory's name is no text.
    pub fn new(program: String, directory: PathBuf) -> Result<Self> {
        let place = directory.to_str().ok_or_else(|| Error::new(Kind::Request, format!("the path {} is no text", directory.display())))?;
        Ok(Self { program, place: place.to_owned(), directory })
    }

    /// In a directory `runtime` of that which the request names.
    pub fn of_request(request: &container::Runtime) -> Result<Self> {
        let place = root::open_place(&request.directory, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        // Another process finds it by this name, and so does the runtime.
        let link = format!("/proc/self/fd/{}", place.as_raw_fd());
        let path = std::fs::read_link(&link).map_err(|error| Error::io(format!("readlink({link:?})"), &error))?;
        Self::new(request.program.clone(), path.join("runtime"))
    }

    pub fn of_state(state: &RuntimeState) -> Result<Self> {
        Self::new(state.program.clone(), PathBuf::from(&state.directory))
    }

    /// Its directory, as a word.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What people call it.
    fn name(&self) -> &str {
        Path::new(&self.program).file_name().and_then(|name| name.to_str()).unwrap_or(&self.program)
    }

    /// Calls it and waits for its end, which `patience` may end early.
    ///
    /// # Errors
    /// What the runtime says, as `Kind::CommandNotFound` or `Kind::CommandNotExecutable` where it is about the program of
    /// the container, `Kind::State` where that does not run, else as `Kind::Isolation`; `Kind::Cancelled`.
    pub fn call(&self, words: &[&str], stdio: Stdio, patience: Option<Patience<'_>>) -> Result<()> {
        let log = self.directory.join(format!("log-{}", process::id()));
        let stream = |stream: Option<OwnedFd>| stream.map_or_else(process::Stdio::null, process::Stdio::from);
        let mut child = Command::new(&self.program)
            .args(["--root", &format!("{}/state", self.place), "--log"])
            .arg(&log)
            .args(["--log-format", "json"])
            .args(words)
            .current_dir(&self.directory)
            // Signals from the caller's terminal are not meant for it.
            .process_group(0)
            .stdin(stream(stdio.stdin))
            .stdout(stream(stdio.stdout))
            .stderr(stream(stdio.stderr))
            .spawn()
            .map_err(|error| Error::io(format!("execve({:?})", self.program), &error).context(format!("cannot start {}", self.program)))?;
        if let Some(patience) = patience {
            let ended = super::held(child.id() as i32)?;
            if !patience(ended.as_fd()) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::new(Kind::Cancelled, "cancelled while the container was being prepared"));
            }
        }
        let status = child.wait().map_err(|error| Error::io("waitpid(…)", &error))?;
        let said = said(&log);
        let _ = std::fs::remove_file(&log);
        if status.success() {
            return Ok(());
        }
        let said = said.unwrap_or_else(|| format!("it ended with {status} and said nothing"));
        Err(Error::new(kind_of(&said), format!("{} {}: {said}", self.name(), words[0])))
    }

    /// The process whose number it has written to a file.
    pub fn process(&self, file: &str) -> Result<(i32, OwnedFd)> {
        let path = self.directory.join(file);
        let text = std::fs::read_to_string(&path).map_err(|error| super::io("read", &path, &error))?;
        let _ = std::fs::remove_file(&path);
        let pid = text.trim().parse().map_err(|_| Error::new(Kind::State, format!("{} wrote no process id", self.name())))?;
        Ok((pid, super::held(pid)?))
    }
}

/// The last error in a log.
fn said(log: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(log).ok()?.take(MOST_WORDS).read_to_string(&mut text).ok()?;
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.rfind(|line| matches!(line.level.as_str(), "error" | "fatal")).map(|line| line.msg)
}

/// The words that runtimes have in common, and that engines look for.
fn kind_of(said: &str) -> Kind {
    let said = said.to_lowercase();
    let about_program = said.contains("exec");
    if said.contains("executable file not found") || about_program && said.contains("no such file or directory") {
        Kind::CommandNotFound
    } else if about_program
        && ["permission denied", "not permitted", "is a directory", "exec format error"].iter().any(|words| said.contains(words))
    {
        Kind::CommandNotExecutable
    } else if ["not running", "already finished", "does not exist", "stopped container"].iter().any(|words| said.contains(words)) {
        Kind::State
    } else {
        Kind::Isolation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_say_of_programs_is_told_from_what_they_say_of_themselves() {
        for (said, kind) in [
            (r#"unable to start container process: exec: "x": executable file not found in $PATH"#, Kind::CommandNotFound),
            (r#"exec: "/x": stat /x: no such file or directory: unknown"#, Kind::CommandNotFound),
            ("executable file `x` not found: No such file or directory", Kind::CommandNotFound),
            (r#"exec: "/etc": permission denied"#, Kind::CommandNotExecutable),
            ("open executable: Operation not permitted", Kind::CommandNotExecutable),
            ("container not running", Kind::State),
            ("error mounting \"/x\" to rootfs: no such file or directory", Kind::Isolation),
            ("cgroups in hybrid mode not supported, drop all controllers from cgroupv2", Kind::Isolation),
        ] {
            assert_eq!(kind_of(said), kind, "{said}");
        }
    }

    #[test]
    fn a_call_that_fails_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("other");
        let script = "#!/bin/sh\nwhile [ $1 != --log ]; do shift; done\necho '{\"level\":\"warning\",\"msg\":\"w\"}' >$2\n\
            echo '{\"level\":\"error\",\"msg\":\"container not running\"}' >>$2\nexit 1\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let runtime = Runtime::new(program.to_str().unwrap().to_owned(), directory.path().to_owned()).unwrap();
        let error = runtime.call(&["kill", "x", "9"], Stdio::default(), None).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::State, "other kill: container not running"));
        let error = runtime.call(&["kill"], Stdio::default(), Some(&mut |_| false)).unwrap_err();
        assert_eq!(error.kind, Kind::Cancelled);
    }
}
