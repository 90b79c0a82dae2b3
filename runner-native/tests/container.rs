//! Containers that are kept: terminals, logs, detached ones, exec, attach, signals, limits.

#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Bench, Running, Who, everyone, stdio, terminal, wait_until};

/// Starts with a terminal as all three streams.
fn on_terminal(bench: &Bench, request: &Value) -> (Running, File, OwnedFd) {
    let (controlling, side) = terminal();
    let running = bench.start_with(request, |command| {
        command.stdin(stdio(&side)).stdout(stdio(&side)).stderr(stdio(&side));
    });
    (running, controlling, side)
}

/// Reads until this was shown.
fn expect(terminal: &mut File, text: &str) -> String {
    let mut seen = String::new();
    let until = Instant::now() + Duration::from_secs(20);
    while !seen.contains(text) {
        let mut fds = [libc::pollfd { fd: terminal.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        // SAFETY: one pollfd.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), 1, 100) };
        assert!(Instant::now() < until, "{text:?} did not come: {seen:?}");
        if ready > 0 {
            let mut bytes = [0; 4096];
            match terminal.read(&mut bytes) {
                Ok(count) => seen.push_str(&String::from_utf8_lossy(&bytes[..count])),
                Err(error) => panic!("{error}: {seen:?}"),
            }
        }
    }
    seen
}

fn flags(fd: &OwnedFd) -> (u32, u32, u32) {
    // SAFETY: termios is plain old data, filled by tcgetattr.
    unsafe {
        let mut termios: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(fd.as_raw_fd(), &raw mut termios), 0);
        (termios.c_iflag, termios.c_oflag, termios.c_lflag)
    }
}

fn interactive(mut request: Value) -> Value {
    request["spec"]["terminal"] = json!(true);
    request["spec"]["interactive"] = json!(true);
    request
}

#[test]
fn a_terminal_works_both_ways() {
    for who in everyone() {
        let bench = Bench::new(who);
        let request = interactive(bench.shell("tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; ls -l /dev/console; read line; echo \"got $line\"; trap 'echo; echo size $(stty size)' WINCH; echo trapped; read line; read line; exit 9"));
        let (mut running, mut user, side) = on_terminal(&bench, &request);
        let before = flags(&side);
        running.event("started");
        let seen = expect(&mut user, "/dev/console\r\n");
        assert!(seen.contains("/dev/pts/0") && seen.contains("33 101") && seen.contains("all"), "{who:?}: {seen}");
        wait_until(|| flags(&side) != before);
        user.write_all(b"hello\r").unwrap();
        expect(&mut user, "trapped");
        let size = libc::winsize { ws_row: 50, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: a winsize.
        unsafe { libc::ioctl(user.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        running.signal(libc::SIGWINCH);
        expect(&mut user, "size 50 60");
        user.write_all(b"x\ry\r").unwrap();
        let done = running.wait();
        assert_eq!(done.result()["exitCode"], 9, "{who:?}");
        assert_eq!(flags(&side), before, "{who:?}: the terminal is as it was");
    }
}

#[test]
fn control_c_is_for_the_container() {
    for who in everyone() {
        let bench = Bench::new(who);
        let (mut running, mut user, side) =
            on_terminal(&bench, &interactive(bench.shell("trap 'echo caught; exit 4' INT; echo up; while :; do sleep 0.02; done")));
        running.event("started");
        expect(&mut user, "up");
        user.write_all(b"\x03").unwrap();
        expect(&mut user, "caught");
        assert_eq!(running.wait().result()["exitCode"], 4, "{who:?}");
        drop(side);
    }
}

#[test]
fn the_terminal_is_restored_when_the_caller_goes() {
    for who in everyone() {
        let bench = Bench::new(who);
        let (mut running, mut user, side) = on_terminal(&bench, &interactive(bench.shell("echo up; sleep 60")));
        let before = flags(&side);
        running.event("started");
        expect(&mut user, "up");
        wait_until(|| flags(&side) != before);
        running.hang_up();
        assert_eq!(running.wait().result()["exitCode"], 137);
        assert_eq!(flags(&side), before, "{who:?}");
    }
}

#[test]
fn a_terminal_needs_none_outside() {
    for who in everyone() {
        let bench = Bench::new(who);
        let request = interactive(bench.shell("tty; read line; echo \"got $line\"; cat; echo end"));
        let (read, mut write) = support::pipe();
        let running = bench.start_with(&request, |command| {
            command.stdin(read).stdout(Stdio::piped()).stderr(Stdio::piped());
        });
        write.write_all(b"hello\nmore\n").unwrap();
        drop(write);
        let done = running.wait();
        let output = done.output();
        assert!(
            output.contains("/dev/pts/0") && output.contains("got hello") && output.contains("more") && output.ends_with("end"),
            "{who:?}: {done:?}"
        );
    }
}

#[test]
fn a_failure_to_start_comes_through_a_terminal_too() {
    for who in everyone() {
        let bench = Bench::new(who);
        let (running, _user, _side) = on_terminal(&bench, &interactive(bench.request(&["nothing"])));
        assert_eq!(running.wait().failure()["kind"], "command-not-found", "{who:?}");
    }
}

#[test]
fn a_detached_container_lives_on() {
    for who in everyone() {
        let bench = Bench::new(who);
        let done = bench.run(&bench.container("echo one; echo two >&2; trap 'echo bye; exit 6' TERM; while :; do sleep 0.02; done", true));
        assert_eq!((&done.result()["detached"], done.status), (&json!(true), Some(0)), "{who:?}");
        let state = bench.state();
        assert_eq!((&state["status"], &state["pid"]), (&json!("running"), &done.result()["pid"]));
        assert!(state["pidStart"].as_u64().is_some() && state["monitorPid"].as_i64().is_some() && state["startedAt"].as_str().is_some());
        wait_until(|| bench.log() == "one\ntwo\n" || bench.log() == "two\none\n");
        let memory = fs::read_to_string(format!("/proc/{}/status", state["monitorPid"])).unwrap();
        let resident: u64 =
            memory.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        assert!(resident < 2048, "{who:?}: the monitor takes {resident} KiB");
        bench.signal(libc::SIGTERM).result();
        let state = bench.wait_for_exit();
        assert_eq!((&state["exitCode"], bench.log().ends_with("bye\n")), (&json!(6), true), "{who:?}");
        assert!(state["finishedAt"].as_str().is_some());
        assert_eq!(bench.signal(libc::SIGTERM).failure()["kind"], "state");
        // And again, in the same directory, with the same upper.
        assert_eq!(bench.run(&bench.container("exit 2", true)).result()["detached"], true);
        assert_eq!(bench.wait_for_exit()["exitCode"], 2, "{who:?}");
    }
}

#[test]
fn a_detached_container_that_cannot_start_is_told() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.container("", true);
        request["spec"]["args"] = json!(["nothing"]);
        let done = bench.run(&request);
        assert_eq!(done.failure()["kind"], "command-not-found", "{who:?}");
        assert_eq!(bench.state()["status"], "created");
        assert!(bench.state()["error"].as_str().unwrap().contains("nothing"));
    }
}

#[test]
fn the_foreground_is_logged_and_shown() {
    for who in everyone() {
        let bench = Bench::new(who);
        let done = bench.run(&bench.container("echo out; echo err >&2; printf partial", false));
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\npartial", "err\n"), "{who:?}");
        let log = bench.log();
        assert!(log.contains("out\n") && log.contains("err\n") && log.contains("partial"), "{log}");
        assert_eq!(bench.state()["exitCode"], 0);
    }
}

#[test]
fn one_can_attach_and_leave() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request =
            interactive(bench.container("while read line; do echo \"got $line\"; [ \"$line\" != end ] || exit 11; done", true));
        request["container"]["log"] = json!(false);
        bench.run(&request).result();
        let attach = json!({ "version": 1, "verb": "attach", "container": { "directory": { "fd": 5, "path": "c" } }, "interactive": true, "detachKeys": "ctrl-x,q" });
        let (mut first, mut user, side) = on_terminal(&bench, &attach);
        first.event("ready");
        let (mut second, mut other, _side) = on_terminal(&bench, &attach);
        second.event("ready");
        user.write_all(b"one\r").unwrap();
        expect(&mut user, "got one");
        expect(&mut other, "got one");
        // A beginning of the keys that is none goes to the container.
        user.write_all(b"\x18q").unwrap();
        let done = first.wait();
        assert_eq!(done.result().get("exitCode"), None, "{who:?}");
        assert_eq!(bench.state()["status"], "running");
        other.write_all(b"end\r").unwrap();
        assert_eq!(second.wait().result()["exitCode"], 11, "{who:?}");
        assert_eq!(bench.wait_for_exit()["exitCode"], 11);
        drop(side);
        assert_eq!(bench.run(&attach).failure()["kind"], "state");
    }
}

#[test]
fn the_foreground_can_be_left() {
    for who in everyone() {
        let bench = Bench::new(who);
        let (mut running, mut user, side) =
            on_terminal(&bench, &interactive(bench.container("echo up; sleep 0.5; echo later; exit 3", false)));
        let before = flags(&side);
        running.event("started");
        expect(&mut user, "up");
        wait_until(|| flags(&side) != before);
        user.write_all(b"\x10\x11").unwrap();
        let done = running.wait();
        assert_eq!((&done.result()["detached"], &done.result()["pid"]), (&json!(true), &bench.state()["pid"]), "{who:?}");
        assert_eq!(flags(&side), before);
        assert_eq!(bench.wait_for_exit()["exitCode"], 3);
        assert!(bench.log().contains("later"), "{who:?}");
    }
}

#[test]
fn a_command_is_executed_in_a_running_container() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.container("echo mark > /mark; exec sleep 1000", true);
        request["spec"]["namespaces"]["network"] = json!("none");
        request["spec"]["hostname"] = json!("inside");
        request["spec"]["ulimits"] = json!([{ "name": "nofile", "soft": 55, "hard": 66 }]);
        bench.run(&request).result();
        let exec = |script: &str| bench.run(&bench.exec_request(&["sh", "-c", script]));
        wait_until(|| exec("cat /mark").stdout == "mark\n");
        let output = exec("hostname; ulimit -n; grep -c : /proc/net/dev; ps | grep -c '[s]leep 1000'; ls /proc/self/fd | wc -l; ls /..; grep -E '^(CapEff|CapBnd|Seccomp:)' /proc/self/status | tr -d '\\t'").output().to_owned();
        assert!(output.starts_with("inside\n55\n1\n1\n4\n"), "{who:?}: {output}");
        assert!(
            output.contains("CapEff:00000000a80425fb\nCapBnd:00000000a80425fb\nSeccomp:2") && !output.contains("lost+found"),
            "{who:?}: {output}"
        );
        let done = exec("echo e >&2; exit 5");
        assert_eq!((&done.result()["exitCode"], done.stderr.as_str()), (&json!(5), "e\n"));
        assert_eq!(bench.run(&bench.exec_request(&["nothing"])).failure()["kind"], "command-not-found");
        if who != Who::Single {
            let mut request = bench.exec_request(&["sh", "-c", "id -u; id -G; grep CapEff /proc/self/status | tr -d '\\t'; echo $HOME"]);
            request["spec"]["user"] = json!("ann");
            assert_eq!(bench.run(&request).output(), "1000\n1000 44\nCapEff:0000000000000000\n/home/ann", "{who:?}");
        }
        for cwd in ["/proc/self/fd/3", "/proc/self/fd/5", "/proc/self/fd/7", "/nowhere"] {
            let mut request = bench.exec_request(&["pwd"]);
            request["spec"]["cwd"] = json!(cwd);
            bench.run(&request).failure();
        }
        // Ends with its caller.
        let mut running = bench.start(&bench.exec_request(&["sleep", "66.6"]));
        std::thread::sleep(Duration::from_millis(300));
        running.hang_up();
        assert_eq!(running.wait().result()["exitCode"], 143, "{who:?}");
        // Goes on without one.
        let mut request = bench.exec_request(&["sh", "-c", "sleep 0.2; echo done > /done"]);
        request["detach"] = json!(true);
        assert_eq!(bench.run(&request).result().get("exitCode"), None);
        wait_until(|| exec("cat /done").stdout == "done\n");
        bench.signal(libc::SIGKILL).result();
        assert_eq!(bench.wait_for_exit()["exitCode"], 137);
        assert_eq!(exec("true").failure()["kind"], "state");
    }
}

#[test]
fn exec_has_a_terminal_of_the_container() {
    for who in everyone() {
        let bench = Bench::new(who);
        bench.run(&bench.container("exec sleep 1000", true)).result();
        let request = interactive(bench.exec_request(&["sh", "-c", "tty; stty size; read line; echo \"got $line\"; exit 8"]));
        let (running, mut user, side) = on_terminal(&bench, &request);
        let seen = expect(&mut user, "33 101");
        assert!(seen.contains("/dev/pts/0"), "{who:?}: {seen}");
        user.write_all(b"x\r").unwrap();
        expect(&mut user, "got x");
        assert_eq!(running.wait().result()["exitCode"], 8, "{who:?}");
        drop(side);
        bench.signal(libc::SIGKILL).result();
        bench.wait_for_exit();
    }
}

#[test]
fn a_number_that_means_another_process_is_not_hit() {
    for who in everyone() {
        let bench = Bench::new(who);
        bench.run(&bench.container("exec sleep 1000", true)).result();
        let state = bench.state();
        let mut wrong = state.clone();
        wrong["pidStart"] = json!(state["pidStart"].as_u64().unwrap() + 1);
        fs::write(bench.path.join("c/state.json"), wrong.to_string()).unwrap();
        assert_eq!(bench.signal(libc::SIGKILL).failure()["kind"], "state", "{who:?}");
        assert_eq!(bench.run(&bench.exec_request(&["true"])).failure()["kind"], "state");
        fs::write(bench.path.join("c/state.json"), state.to_string()).unwrap();
        bench.signal(libc::SIGKILL).result();
        bench.wait_for_exit();
    }
}
