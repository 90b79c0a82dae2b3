//! A bundle with a busybox root, and the runtime called on it.
#![allow(dead_code)]

use super::is_root;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A bundle with a busybox root, and a place for the runtime's state.
pub struct Bundle {
    pub path: PathBuf,
    pub config: Value,
    pub id: String,
    _directory: tempfile::TempDir,
}

const APPLETS: &[&str] = &[
    "sh", "true", "cat", "ls", "id", "sleep", "echo", "env", "pwd", "kill", "mount", "grep", "readlink", "hostname", "tty", "stat", "test",
    "mkdir",
];

/// Whether these tests can do what they are about.
pub fn possible() -> bool {
    let root = is_root();
    if !root {
        eprintln!("skipped, because these tests need root");
    }
    root
}

impl Bundle {
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("stave-oci-").tempdir().unwrap();
        let path = directory.path().to_owned();
        for name in ["rootfs/bin", "rootfs/etc", "rootfs/tmp", "rootfs/data"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        fs::copy(busybox.expect("busybox-static is installed"), path.join("rootfs/bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", path.join("rootfs/bin").join(applet)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_stave-runner"), path.join("stave-runtime")).unwrap();
        let mut bundle = Self { id: format!("{name}-{}", std::process::id()), path, config: Value::Null, _directory: directory };
        assert!(bundle.command(&["spec"]).output().unwrap().status.success());
        bundle.config = serde_json::from_slice(&fs::read(bundle.path.join("config.json")).unwrap()).unwrap();
        bundle.config["process"]["terminal"] = json!(false);
        bundle.config["root"]["readonly"] = json!(false);
        bundle
    }

    pub fn with_script(name: &str, script: &str) -> Self {
        let mut bundle = Self::new(name);
        bundle.config["process"]["args"] = json!(["sh", "-c", script]);
        bundle
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.path.join("stave-runtime"));
        command.arg("--root").arg(self.path.join("state")).args(words).current_dir(&self.path).stdin(Stdio::null());
        command
    }

    pub fn call(&self, words: &[&str]) -> Output {
        fs::write(self.path.join("config.json"), self.config.to_string()).unwrap();
        let (out, err) = (self.path.join("out"), self.path.join("err"));
        // Files, since what is detached keeps its streams open.
        let mut command = self.command(words);
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        let status = command.status().unwrap();
        Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() }
    }

    pub fn fine(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is said of a call that must fail, and that nothing is left of the container.
    pub fn refused(&self, words: &[&str]) -> String {
        let output = self.call(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs it to its end.
    pub fn run(&self) -> String {
        self.fine(&["run", &self.id])
    }

    pub fn status(&self) -> String {
        let state: Value = serde_json::from_str(&self.fine(&["state", &self.id])).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    pub fn mount(&mut self, mount: Value) {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
    }

    pub fn out(&self) -> String {
        fs::read_to_string(self.path.join("out")).unwrap()
    }

    /// Directories of control groups that are called like the container.
    pub fn groups(&self) -> Vec<PathBuf> {
        let controllers = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        controllers.chain([PathBuf::from("/sys/fs/cgroup")]).map(|path| path.join(&self.id)).filter(|path| path.exists()).collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", &self.id]).output();
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
