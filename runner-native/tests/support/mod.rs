//! Runs the program as its host does: a request on descriptor 3, events on 4, a directory on 5.
#![allow(dead_code)]

pub mod bundle;

use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Docker's.
pub const CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Root,
    /// An ordinary user with subordinate ids.
    Subordinate,
    /// An ordinary user with one id.
    Single,
}

/// All ways to run that this machine has; the others are said to be left out.
pub fn everyone() -> Vec<Who> {
    if !is_root() {
        eprintln!("skipped, because these tests need root");
        return Vec::new();
    }
    let mut all = vec![Who::Root];
    if tester().is_some() {
        all.extend([Who::Subordinate, Who::Single]);
    } else {
        eprintln!("skipped without root, because there is no user called tester with subordinate ids");
    }
    all
}

pub fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

fn tester() -> Option<u32> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.starts_with("tester:"))?;
    fs::read_to_string("/etc/subuid").ok()?.lines().find(|line| line.starts_with("tester:"))?;
    line.split(':').nth(2)?.parse().ok()
}

/// A store with a busybox root, for one user.
pub struct Bench {
    pub who: Who,
    pub path: PathBuf,
    program: PathBuf,
    /// Passed down as descriptor 6.
    pub passed: Option<File>,
    _directory: tempfile::TempDir,
}

const APPLETS: &[&str] = &[
    "sh", "true", "false", "cat", "ls", "id", "mount", "umount", "grep", "sleep", "ps", "echo", "env", "pwd", "mkdir", "rm", "touch",
    "kill", "stty", "tty", "head", "wc", "mknod", "dd", "stat", "hostname", "unshare", "chown", "chmod", "readlink", "sort", "cut", "tr",
    "tail", "seq", "test", "chroot", "nsenter",
];

impl Bench {
    pub fn new(who: Who) -> Self {
        let directory = tempfile::Builder::new().prefix("stave-test-").tempdir().unwrap();
        let path = directory.path().to_owned();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // The program itself where everyone can reach it.
        let program = path.join("stave-runner");
        // By another process: one that this one forks meanwhile would have it open for writing, and it would be "busy".
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_stave-runner")).arg(&program).status().unwrap().success());
        for name in ["fs/bin", "fs/etc", "upper", "work", "c", "volume"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        let busybox =
            ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists()).expect("busybox-static is installed");
        fs::copy(busybox, path.join("fs/bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", path.join("fs/bin").join(applet)).unwrap();
        }
        fs::write(path.join("fs/etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n").unwrap();
        fs::write(path.join("fs/etc/group"), "root:x:0:\nann:x:1000:\nvideo:x:44:ann\n").unwrap();
        if who != Who::Root {
            let uid = tester().unwrap();
            give(&path, uid);
        }
        Self { who, path, program, passed: None, _directory: directory }
    }

    /// The request for a command, which tests change as they need.
    pub fn request(&self, args: &[&str]) -> Value {
        let mut request = json!({
            "version": 1,
            "verb": "run",
            "id": "test",
            "root": { "lowers": [{ "fd": 5, "path": "fs" }], "upper": { "fd": 5, "path": "upper" }, "work": { "fd": 5, "path": "work" } },
            "spec": {
                "args": args,
                "env": ["PATH=/bin"],
                "cwd": "/",
                "namespaces": { "network": "host" },
                "capabilities": CAPABILITIES,
                "seccomp": "default",
                "mounts": [],
            },
        });
        self.namespace(&mut request);
        request
    }

    pub fn shell(&self, script: &str) -> Value {
        self.request(&["sh", "-c", script])
    }

    fn namespace(&self, request: &mut Value) {
        match self.who {
            Who::Root => {}
            Who::Subordinate => request["userns"] = json!({ "mode": "create" }),
            Who::Single => request["userns"] = json!({ "mode": "single" }),
        }
    }

    /// The same, kept as a container.
    pub fn container(&self, script: &str, detach: bool) -> Value {
        let mut request = self.shell(script);
        request["container"] = json!({ "directory": { "fd": 5, "path": "c" }, "log": true, "detach": detach });
        request
    }

    pub fn exec_request(&self, args: &[&str]) -> Value {
        let mut request = json!({
            "version": 1,
            "verb": "exec",
            "container": { "directory": { "fd": 5, "path": "c" } },
            "spec": { "args": args, "env": ["PATH=/bin"], "cwd": "/", "capabilities": CAPABILITIES, "seccomp": "default" },
        });
        self.namespace(&mut request);
        request
    }

    pub fn signal(&self, signal: i32) -> Done {
        let mut request =
            json!({ "version": 1, "verb": "signal", "container": { "directory": { "fd": 5, "path": "c" } }, "signal": signal });
        self.namespace(&mut request);
        self.run(&request)
    }

    pub fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path.join("c/state.json")).unwrap()).unwrap()
    }

    pub fn wait_for_exit(&self) -> Value {
        wait_until(|| self.state()["status"] == "exited");
        self.state()
    }

    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.path.join("c/log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["log"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs to the end.
    pub fn run(&self, request: &Value) -> Done {
        self.start(request).wait()
    }

    pub fn start(&self, request: &Value) -> Running {
        self.start_with(request, |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        })
    }

    pub fn start_with(&self, request: &Value, set_up: impl FnOnce(&mut Command)) -> Running {
        let (request_read, mut request_write) = pipe();
        let (events_read, events_write) = pipe();
        let directory = File::open(&self.path).unwrap();
        let mut command = Command::new(&self.program);
        command.arg(request["verb"].as_str().unwrap());
        set_up(&mut command);
        let mut passed: Vec<RawFd> = vec![request_read.as_raw_fd(), events_write.as_raw_fd(), directory.as_raw_fd()];
        passed.extend(self.passed.as_ref().map(AsRawFd::as_raw_fd));
        let ids = (self.who != Who::Root).then(|| tester().unwrap());
        // SAFETY: only async-signal-safe calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                let high: Vec<i32> = passed.iter().map(|fd| libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 200)).collect();
                for (index, fd) in high.iter().enumerate() {
                    libc::dup2(*fd, 3 + index as i32);
                }
                if let Some(uid) = ids {
                    libc::setgroups(0, std::ptr::null());
                    if libc::setresgid(uid, uid, uid) != 0 || libc::setresuid(uid, uid, uid) != 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop((request_read, events_write));
        writeln!(request_write, "{request}").unwrap();
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(events_read).lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).unwrap());
            }
        });
        Running { child, lifeline: Some(request_write), events, seen: Vec::new() }
    }
}

fn give(path: &Path, uid: u32) {
    std::os::unix::fs::lchown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), uid);
        }
    }
}

pub fn pipe() -> (File, File) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are then owned.
    unsafe {
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1]))
    }
}

/// Both ends of a stream socket.
pub fn socket_pair() -> (OwnedFd, OwnedFd) {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    (one.into(), other.into())
}

/// A terminal: its controlling side and the one for programs.
pub fn terminal() -> (File, OwnedFd) {
    // SAFETY: no memory is involved but the null pointers, which ask for defaults.
    unsafe {
        let (mut controlling, mut side) = (0, 0);
        let size = libc::winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
        assert_eq!(libc::openpty(&raw mut controlling, &raw mut side, std::ptr::null_mut(), std::ptr::null(), &raw const size), 0);
        libc::fcntl(controlling, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(side, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(controlling), OwnedFd::from_raw_fd(side))
    }
}

/// The descriptor that comes over a socket.
pub fn receive_descriptor(socket: &impl AsRawFd) -> File {
    receive_message(socket).1
}

/// The same, with the text that it comes with.
pub fn receive_message(socket: &impl AsRawFd) -> (String, File) {
    // SAFETY: the message points to buffers that outlive the call, and what comes is ours.
    unsafe {
        let (mut text, mut control) = ([0u8; 16384], [0u64; 8]);
        let mut part = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: text.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
        let count = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
        assert!(count >= 0);
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        assert!(!header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS, "no descriptor came");
        let file = File::from_raw_fd(libc::CMSG_DATA(header).cast::<i32>().read_unaligned());
        (String::from_utf8_lossy(&text[..count as usize]).into_owned(), file)
    }
}

pub fn stdio(fd: &OwnedFd) -> Stdio {
    // SAFETY: a new descriptor, owned by what is returned.
    unsafe { Stdio::from_raw_fd(fd.try_clone().unwrap().into_raw_fd()) }
}

pub fn wait_until(mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "it did not come to pass");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub struct Running {
    pub child: Child,
    pub lifeline: Option<File>,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

/// What came of a request.
#[derive(Debug)]
pub struct Done {
    pub stdout: String,
    pub stderr: String,
    pub status: Option<i32>,
    pub events: Vec<Value>,
}

impl Running {
    /// Waits for an event of this name.
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            let event =
                self.events.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("no {name} came, only {:?}", self.seen));
            self.seen.push(event.clone());
            if event["event"] == name {
                return event;
            }
            assert!(event["event"] != "failure", "{event}");
        }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: our own child, not reaped yet.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// What the caller's end looks like.
    pub fn hang_up(&mut self) {
        self.lifeline = None;
    }

    pub fn wait(mut self) -> Done {
        let read = |stream: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut stream) = stream {
                    stream.read_to_end(&mut bytes).unwrap();
                }
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let stdout = read(self.child.stdout.take().map(|stream| Box::new(stream) as _));
        let stderr = read(self.child.stderr.take().map(|stream| Box::new(stream) as _));
        let status = self.child.wait().unwrap().code();
        self.seen.extend(self.events.iter());
        Done { stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap(), status, events: self.seen }
    }
}

impl Done {
    /// The result, which there must be.
    pub fn result(&self) -> &Value {
        let last = self.events.last().unwrap();
        assert_eq!(last["event"], "result", "{self:#?}");
        last
    }

    pub fn failure(&self) -> &Value {
        let last = self.events.last().unwrap();
        assert_eq!(last["event"], "failure", "{self:#?}");
        assert_eq!(self.status, Some(if last["kind"] == "request" { 2 } else { 1 }));
        last
    }

    /// What a command wrote that succeeded.
    pub fn output(&self) -> &str {
        assert_eq!(self.result()["exitCode"], 0, "{self:#?}");
        self.stdout.trim_end()
    }
}
