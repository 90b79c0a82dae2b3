//! Containers in the foreground: isolation, streams, signals, ends.

#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Bench, Who, everyone, pipe, socket_pair, stdio, wait_until};

#[test]
fn a_command_runs_and_its_status_is_the_result() {
    for who in everyone() {
        let bench = Bench::new(who);
        let done = bench.run(&bench.shell("echo out; echo err >&2; exit 7"));
        assert_eq!(done.result()["exitCode"], 7, "{who:?}");
        assert_eq!((done.stdout.as_str(), done.stderr.as_str(), done.status), ("out\n", "err\n", Some(0)));
        let done = bench.run(&bench.shell("sh -c 'kill -TERM $$'; exit $?"));
        assert_eq!(done.result()["exitCode"], 143, "{who:?}");
    }
}

#[test]
fn the_container_sees_only_itself() {
    for who in everyone() {
        let bench = Bench::new(who);
        let output = bench
            .run(&bench.shell("ls /.. /; ls /proc | grep -c '^[0-9]'; ls /proc/self/fd; echo $$; readlink /proc/self/cwd"))
            .output()
            .to_owned();
        assert!(!output.contains("lost+found") && !output.contains("home"), "{who:?}: {output}");
        // sh and what lists: no process of the host.
        assert!(output.contains("\n2\n0\n1\n2\n3\n1\n/") || output.contains("\n3\n0\n1\n2\n3\n1\n/"), "{who:?}: {output}");
    }
}

#[test]
fn what_must_not_be_seen_is_masked() {
    for who in everyone() {
        let bench = Bench::new(who);
        let script = "for f in kcore keys timer_list interrupts sched_debug; do [ ! -e /proc/$f ] || wc -c < /proc/$f; done; ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w; \
             for f in sys/kernel/hostname sysrq-trigger irq/x; do echo x 2>/dev/null > /proc/$f && echo WRITTEN $f; done; ls /sys/fs/cgroup; echo x 2>/dev/null > /sys/kernel/x && echo WRITTEN; true";
        let output = bench.run(&bench.shell(script)).output().to_owned();
        assert!(!output.contains("WRITTEN"), "{who:?}: {output}");
        assert!(output.lines().all(|line| line == "0"), "{who:?}: {output}");
    }
}

#[test]
fn mounts_have_the_attributes_that_they_should() {
    for who in everyone() {
        let bench = Bench::new(who);
        let output = bench.run(&bench.shell("cat /proc/mounts")).output().to_owned();
        let options = |place: &str| {
            let line =
                output.lines().rev().find(|line| line.split(' ').nth(1) == Some(place)).unwrap_or_else(|| panic!("{place}: {output}"));
            format!(",{},", line.split(' ').nth(3).unwrap())
        };
        for (place, wanted) in [
            ("/proc", "rw nosuid nodev noexec"),
            ("/sys", "ro nosuid nodev noexec"),
            ("/dev", "rw nosuid"),
            ("/dev/pts", "nosuid noexec"),
            ("/dev/shm", "nosuid nodev noexec size=65536k"),
            ("/dev/mqueue", "nosuid nodev noexec"),
            ("/proc/sys", "ro"),
            ("/proc/bus", "ro"),
            ("/proc/irq", "ro"),
        ] {
            for option in wanted.split(' ') {
                assert!(options(place).contains(&format!(",{option},")), "{who:?}: {place} has {}", options(place));
            }
        }
        // Of root, the control group says which devices open: what debootstrap makes in a step has to work.
        assert_eq!(options("/").contains(",nodev,"), who != Who::Root, "{who:?}");
        // No path of the host shows.
        assert!(!output.contains(bench.path.to_str().unwrap()), "{output}");
    }
}

#[test]
fn capabilities_are_those_that_were_given() {
    for who in everyone() {
        let bench = Bench::new(who);
        let status = |user: Option<&str>, nnp: bool| {
            let mut request = bench.shell("grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | tr -d '\\t '");
            if let Some(user) = user {
                request["spec"]["user"] = json!(user);
            }
            request["spec"]["noNewPrivileges"] = json!(nnp);
            bench.run(&request).output().replace('\n', " ")
        };
        let all = "00000000a80425fb";
        let none = "0000000000000000";
        assert_eq!(
            status(None, false),
            format!("CapInh:{none} CapPrm:{all} CapEff:{all} CapBnd:{all} CapAmb:{none} NoNewPrivs:0 Seccomp:2")
        );
        assert_eq!(
            status(None, true),
            format!("CapInh:{none} CapPrm:{all} CapEff:{all} CapBnd:{all} CapAmb:{none} NoNewPrivs:1 Seccomp:2")
        );
        if who != Who::Single {
            let user = format!("CapInh:{none} CapPrm:{none} CapEff:{none} CapBnd:{all} CapAmb:{none}");
            assert_eq!(status(Some("ann"), false), format!("{user} NoNewPrivs:0 Seccomp:2"));
            assert_eq!(status(Some("1000:1000"), true), format!("{user} NoNewPrivs:1 Seccomp:2"));
        }
        let mut request = bench.shell("true");
        request["spec"]["capabilities"] = json!(["CAP_FLYING"]);
        assert_eq!(bench.run(&request).failure()["kind"], "request");
    }
}

#[test]
fn forbidden_calls_are_refused() {
    for who in everyone() {
        let bench = Bench::new(who);
        for script in ["unshare -m true", "mount -t tmpfs x /dev/shm", "umount /dev/shm", "hostname other", "nsenter -t 1 -m true"] {
            let done = bench.run(&bench.shell(script));
            assert_ne!(done.result()["exitCode"], 0, "{who:?}: {script}");
            assert!(done.stderr.contains("ermi"), "{who:?}: {script}: {done:?}");
        }
    }
}

#[test]
fn a_device_that_is_made_opens_if_it_is_one_that_the_container_has() {
    for who in everyone() {
        let bench = Bench::new(who);
        // The null device, the machine's memory, its ports, a loop device.
        for (device, is_its_own) in [("c 1 3", true), ("c 1 1", false), ("c 1 4", false), ("b 7 0", false)] {
            for directory in ["", "/dev", "/dev/shm", "/volume"] {
                // What is made in one run is there in the next.
                let place = format!("{directory}/{}", device.replace(' ', "-"));
                let mut request = bench.shell(&format!("mknod {place} {device} && cat {place}"));
                request["spec"]["mounts"] = json!([{ "type": "bind", "source": { "fd": 5, "path": "volume" }, "target": "/volume" }]);
                let done = bench.run(&request);
                if is_its_own && who == Who::Root && directory != "/dev/shm" {
                    assert_eq!(done.result()["exitCode"], 0, "{place}: {done:?}");
                } else {
                    assert_ne!(done.result()["exitCode"], 0, "{who:?}: {device} {place}");
                    assert!(done.stderr.contains("ermi"), "{who:?}: {done:?}");
                }
            }
        }
        assert_eq!(
            bench.run(&bench.shell("echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 2 /dev/urandom | wc -c")).output(),
            "3\n2",
            "{who:?}"
        );
    }
}

#[test]
fn users_are_those_of_the_image() {
    for who in everyone().into_iter().filter(|who| *who != Who::Single) {
        let bench = Bench::new(who);
        let id = |user: &str| {
            let mut request = bench.shell("id -u; id -g; id -G; echo $HOME");
            request["spec"]["user"] = json!(user);
            bench.run(&request)
        };
        assert_eq!(id("ann").output(), "1000\n1000\n1000 44\n/home/ann");
        assert_eq!(id("ann:video").output(), "1000\n44\n44\n/home/ann");
        assert_eq!(id("1234").output(), "1234\n0\n0\n/");
        assert_eq!(id("0:0").output(), "0\n0\n0\n/root");
        assert_eq!(id("bob").failure()["kind"], "no-user");
        let done = if who == Who::Subordinate { id("99999").failure()["kind"].clone() } else { json!("isolation") };
        assert_eq!(done, "isolation", "an id beyond the subordinate ones");
        // A fifo in its place must not block, nor a directory confuse.
        fs::remove_file(bench.path.join("fs/etc/passwd")).unwrap();
        let path = std::ffi::CString::new(bench.path.join("fs/etc/passwd").to_str().unwrap()).unwrap();
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o644) }, 0);
        assert_eq!(id("ann").failure()["kind"], "corrupt");
    }
}

#[test]
fn commands_that_cannot_run_are_told_apart() {
    for who in everyone() {
        let bench = Bench::new(who);
        fs::write(bench.path.join("fs/bin/plain"), "x").unwrap();
        fs::write(bench.path.join("fs/bin/script"), "#!/no/such/interpreter\n").unwrap();
        fs::write(bench.path.join("fs/bin/garbage"), b"\x7fELF garbage").unwrap();
        for name in ["script", "garbage"] {
            fs::set_permissions(bench.path.join("fs/bin").join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        for (command, kind, says) in [
            ("nothing", "command-not-found", "$PATH"),
            ("/bin/nothing", "command-not-found", "not found"),
            ("/bin/script", "command-not-found", "interpreter"),
            ("script", "command-not-found", "interpreter"),
            ("/bin", "command-not-executable", "directory"),
            ("/bin/plain", "command-not-executable", "permission"),
            ("plain", "command-not-executable", "permission"),
            ("garbage", "command-not-executable", "not a program"),
            ("", "command-not-found", "not found"),
        ] {
            let done = bench.run(&bench.request(&[command]));
            let failure = done.failure();
            assert_eq!(failure["kind"], kind, "{who:?}: {command}: {failure}");
            assert!(failure["message"].as_str().unwrap().contains(says), "{failure}");
        }
    }
}

#[test]
fn the_working_directory_is_inside() {
    for who in everyone() {
        let bench = Bench::new(who);
        let run = |cwd: &str, make: bool| {
            let mut request = bench.shell("pwd");
            request["spec"]["cwd"] = json!(cwd);
            request["spec"]["makeCwd"] = json!(make);
            bench.run(&request)
        };
        assert_eq!(run("/etc", false).output(), "/etc");
        assert_eq!(run("/a/b/c", true).output(), "/a/b/c");
        assert_eq!(run("/nowhere", false).failure()["kind"], "not-found");
        assert_eq!(run("/../../etc", false).output(), "/etc");
        // CVE-2024-21626: a descriptor that leaked.
        for fd in 3..40 {
            let done = run(&format!("/proc/self/fd/{fd}"), true);
            done.failure();
        }
        std::os::unix::fs::symlink("/proc/self/cwd", bench.path.join("fs/trick")).unwrap();
        run("/trick", false).failure();
    }
}

#[test]
fn mount_points_leave_nothing_behind() {
    for who in everyone() {
        let bench = Bench::new(who);
        let before = fs::metadata(bench.path.join("fs/etc")).unwrap().mtime_nsec();
        std::os::unix::fs::symlink("../run/deep/resolv.conf", bench.path.join("fs/etc/resolv.conf")).unwrap();
        let changed = fs::metadata(bench.path.join("fs/etc")).unwrap();
        let content = |target: &str| json!({ "type": "content", "target": target, "base64": "aGVsbG8K", "mode": 0o444 });
        let mut request =
            bench.shell("cat /etc/hosts /etc/resolv.conf /run/secrets/key; ls -d /run/deep; stat -c %Y /etc; echo changed > /written");
        request["spec"]["mounts"] = json!([content("/etc/hosts"), content("/etc/resolv.conf"), content("/run/secrets/key"), { "type": "tmpfs", "target": "/mnt/scratch" }]);
        let done = bench.run(&request);
        assert_eq!(done.output(), format!("hello\nhello\nhello\n/run/deep\n{}", changed.mtime()), "{who:?}");
        let names: Vec<_> = fs::read_dir(bench.path.join("upper")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["written"], "{who:?}");
        assert_eq!(fs::read_dir(bench.path.join("work")).unwrap().count(), 0, "{who:?}");
        let _ = before;
        // What the command makes its own stays: a directory on the way that it writes to.
        let mut request = bench.shell("echo x > /run/mine");
        request["spec"]["mounts"] = json!([content("/run/secrets/key")]);
        bench.run(&request).output();
        let found: Vec<_> = walk(&bench.path.join("upper"));
        assert_eq!(found, ["run", "run/mine", "written"], "{who:?}");
    }
}

fn walk(root: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = vec![root.to_owned()];
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                next.push(entry.path());
            }
            found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn links_of_an_image_do_not_lead_out() {
    for who in everyone() {
        for name in ["proc", "sys", "dev"] {
            let bench = Bench::new(who);
            let outside = bench.path.join("volume");
            std::os::unix::fs::symlink(&outside, bench.path.join("fs").join(name)).unwrap();
            let done = bench.run(&bench.shell("true"));
            assert_eq!(done.failure()["kind"], "escape", "{who:?}: {name}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        }
        let bench = Bench::new(who);
        fs::remove_dir_all(bench.path.join("fs/etc")).unwrap();
        std::os::unix::fs::symlink(bench.path.join("volume"), bench.path.join("fs/etc")).unwrap();
        std::os::unix::fs::symlink("../../../../../../../tmp/other", bench.path.join("fs/t")).unwrap();
        let mut request = bench.shell("cat /etc/hosts; ls -d /tmp/x");
        request["spec"]["mounts"] = json!([{ "type": "content", "target": "/etc/hosts", "base64": "aGkK", "mode": 292 }, { "type": "tmpfs", "target": "/t/../../../tmp/x" }]);
        assert_eq!(bench.run(&request).output(), "hi\n/tmp/x", "{who:?}");
        assert_eq!(fs::read_dir(bench.path.join("volume")).unwrap().count(), 0);
    }
}

#[test]
fn binds_and_trees_are_mounted_as_asked() {
    for who in everyone() {
        let bench = Bench::new(who);
        fs::create_dir_all(bench.path.join("volume/src/deep")).unwrap();
        for name in ["a.txt", "b.log", "src/c.log", "src/keep.log", "src/deep/d.txt"] {
            fs::write(bench.path.join("volume").join(name), name).unwrap();
        }
        let place = json!({ "fd": 5, "path": "volume" });
        let mut request = bench.shell("cat /ro/a.txt; echo x 2>&- > /ro/x || echo refused; echo new > /rw/new; cat /file; ls /tree /lowers/; echo gone > /tree/gone; cat /ctx/src/keep.log; ls /ctx /ctx/src; echo y > /ctx/y; cat /ctx/y");
        let patterns = json!([{ "pattern": "**/*.log", "negated": false, "line": 1 }, { "pattern": "src/keep.log", "negated": true, "line": 2 }, { "pattern": "src/deep", "negated": false, "line": 3 }]);
        request["spec"]["mounts"] = json!([
            { "type": "bind", "source": place, "target": "/ro", "readonly": true },
            { "type": "bind", "source": place, "target": "/rw" },
            { "type": "bind", "source": { "fd": 5, "path": "volume/a.txt" }, "target": "/file", "file": true },
            { "type": "tree", "from": { "kind": "directory", "root": place }, "path": "src", "target": "/tree" },
            { "type": "tree", "from": { "kind": "lowers", "lowers": [{ "fd": 5, "path": "fs" }] }, "path": "/etc", "target": "/lowers", "readonly": true },
            { "type": "tree", "from": { "kind": "directory", "root": place }, "path": "/", "target": "/ctx", "ignore": patterns },
        ]);
        let done = bench.run(&request);
        let expected = "a.txtrefused\na.txt/lowers/:\ngroup\npasswd\n\n/tree:\nc.log\ndeep\nkeep.log\nsrc/keep.log/ctx:\na.txt\nnew\nsrc\n\n/ctx/src:\nkeep.log\ny";
        assert_eq!(done.output(), expected, "{who:?}: {}", done.stderr);
        assert_eq!(fs::read_to_string(bench.path.join("volume/new")).unwrap(), "new\n");
        assert!(!bench.path.join("volume/src/gone").exists() && !bench.path.join("volume/y").exists());
        assert_eq!(walk(&bench.path.join("upper")), [""; 0]);
    }
}

#[test]
fn many_layers_make_one_root() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut lowers = Vec::new();
        for number in 0..150 {
            let name = format!("layer-{number:03}");
            fs::create_dir_all(bench.path.join(&name).join("n")).unwrap();
            fs::write(bench.path.join(&name).join(format!("n/{number}")), "").unwrap();
            fs::write(bench.path.join(&name).join("top"), name.clone()).unwrap();
            lowers.push(json!({ "fd": 5, "path": name }));
        }
        lowers.push(json!({ "fd": 5, "path": "fs" }));
        let mut request = bench.shell("ls /n | wc -l; cat /top");
        request["root"]["lowers"] = json!(lowers);
        assert_eq!(bench.run(&request).output(), "150\nlayer-000", "{who:?}");
    }
}

#[test]
fn a_root_may_be_read_only_or_have_no_upper() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.shell("echo x 2>&- > /x || echo refused; echo y > /tmp/y && cat /tmp/y");
        request["root"]["readonly"] = json!(true);
        request["spec"]["mounts"] = json!([{ "type": "tmpfs", "target": "/tmp" }]);
        assert_eq!(bench.run(&request).output(), "refused\ny", "{who:?}");
        let mut request = bench.shell("echo x > /x; cat /x");
        request["root"] = json!({ "lowers": [{ "fd": 5, "path": "fs" }] });
        assert_eq!(bench.run(&request).output(), "x", "{who:?}");
        // Nothing below: the upper itself is the root.
        let mut request = bench.shell("echo x > /x; cat /x");
        request["root"] = json!({ "lowers": [], "upper": { "fd": 5, "path": "fs" }, "work": { "fd": 5, "path": "work" } });
        assert_eq!(bench.run(&request).output(), "x", "{who:?}");
        assert!(bench.path.join("fs/x").exists() && !bench.path.join("x").exists());
    }
}

#[test]
fn the_network_may_be_none() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.shell("grep -c : /proc/net/dev; cat /sys/class/net/lo/operstate; cat /proc/sys/net/ipv4/ip_forward");
        request["spec"]["namespaces"]["network"] = json!("none");
        request["spec"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        // One device: lo, up (which it calls unknown).
        assert_eq!(bench.run(&request).output(), "1\nunknown\n1", "{who:?}");
    }
}

#[test]
fn the_host_name_is_its_own() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.shell("hostname");
        request["spec"]["hostname"] = json!("box-1");
        assert_eq!(bench.run(&request).output(), "box-1", "{who:?}");
    }
}

#[test]
fn limits_are_set_and_those_that_cannot_be_are_told() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.shell("ulimit -n; ulimit -c");
        request["spec"]["ulimits"] = json!([{ "name": "nofile", "soft": 77, "hard": 99 }, { "name": "core", "soft": 0, "hard": 0 }]);
        assert_eq!(bench.run(&request).output(), "77\n0", "{who:?}");
        request["spec"]["ulimits"] = json!([{ "name": "nofile", "soft": 2_000_000_000, "hard": 2_000_000_000 }]);
        assert_eq!(bench.run(&request).failure()["kind"], "permission", "{who:?}");
    }
}

#[test]
fn orphans_are_reaped_with_an_init() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.shell("(sh -c 'sleep 0.05 & exec true' &); sleep 0.4; ps | grep -c '[Z]ombie\\|\\[sleep\\]'; echo $$");
        request["spec"]["init"] = json!(true);
        let done = bench.run(&request);
        assert_eq!(done.output(), "0\n2", "{who:?}");
        let mut request = bench.shell("kill -USR1 $$; sleep 5");
        request["spec"]["init"] = json!(true);
        assert_eq!(bench.run(&request).result()["exitCode"], 128 + 10, "{who:?}");
    }
}

#[test]
fn signals_are_passed_on() {
    for who in everyone() {
        for init in [false, true] {
            let bench = Bench::new(who);
            let mut request = bench.shell("trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.02; done");
            request["spec"]["init"] = json!(init);
            let mut running = bench.start(&request);
            running.event("started");
            let mut stdout = running.child.stdout.take().unwrap();
            let mut read = || {
                let mut bytes = [0; 64];
                let count = stdout.read(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes[..count]).into_owned()
            };
            assert_eq!(read(), "ready\n");
            running.signal(libc::SIGUSR1);
            assert_eq!(read(), "usr1\n");
            running.signal(libc::SIGTERM);
            assert_eq!(read(), "term\n");
            assert_eq!(running.wait().result()["exitCode"], 3, "{who:?}");
        }
    }
}

#[test]
fn the_whole_tree_ends_with_the_caller() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut running = bench.start(&bench.shell("trap '' TERM; (trap '' TERM; sleep 77.7 & sleep 77.7) & echo up; sleep 77.7"));
        running.event("started");
        let mut byte = [0; 3];
        running.child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        let start = Instant::now();
        running.hang_up();
        let done = running.wait();
        assert_eq!(done.result()["exitCode"], 137, "{who:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "a build step is killed at once");
        assert_eq!(count_of("77.7"), 0);
    }
}

#[test]
fn a_killed_runner_takes_the_container_along() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut running = bench.start(&bench.shell("sleep 88.8 & sleep 88.8"));
        running.event("started");
        running.signal(libc::SIGKILL);
        running.child.wait().unwrap();
        wait_until(|| count_of("88.8") == 0);
    }
}

/// How many processes of the machine have this among their arguments.
fn count_of(argument: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
        })
        .count()
}

#[test]
fn a_graceful_end_has_its_time() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.shell("trap 'echo bye; exit 5' INT; echo up; while :; do sleep 0.02; done");
        request["stopTimeout"] = json!(10);
        request["spec"]["stopSignal"] = json!("SIGINT");
        let mut running = bench.start(&request);
        running.event("started");
        let mut byte = [0; 3];
        running.child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        running.hang_up();
        assert_eq!(running.wait().result()["exitCode"], 5, "{who:?}");
    }
}

#[test]
fn streams_that_are_sockets_can_be_opened_again() {
    // Node.js gives its children sockets; `echo > /dev/stderr` fails on one.
    for who in everyone() {
        let bench = Bench::new(who);
        let ((ours, theirs), (our_input, their_input)) = (socket_pair(), socket_pair());
        let mut request =
            bench.shell("echo one > /dev/stdout; echo two > /proc/self/fd/2; cat /dev/stdin; seq 20000 | tail -n 1; seq 20000");
        request["spec"]["interactive"] = json!(true);
        if who != Who::Single {
            request["spec"]["user"] = json!("ann");
        }
        let running = bench.start_with(&request, |command| {
            command.stdin(stdio(&their_input)).stdout(stdio(&theirs)).stderr(stdio(&theirs));
        });
        drop((theirs, their_input));
        let mut input = std::fs::File::from(our_input);
        input.write_all(b"three\n").unwrap();
        drop(input);
        let mut text = String::new();
        std::fs::File::from(ours).read_to_string(&mut text).unwrap();
        assert!(
            text.contains("one\n") && text.contains("two\n") && text.contains("three\n20000\n1\n2\n") && text.ends_with("19999\n20000\n"),
            "{who:?}: {text:.200}"
        );
        running.wait().result();
    }
}

#[test]
fn input_is_given_only_when_asked() {
    for who in everyone() {
        let bench = Bench::new(who);
        for interactive in [false, true] {
            let (read, mut write) = pipe();
            let mut request = bench.shell("cat");
            request["spec"]["interactive"] = json!(interactive);
            let running = bench.start_with(&request, |command| {
                command.stdin(read).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            });
            let _ = write.write_all(b"hello");
            drop(write);
            assert_eq!(running.wait().output(), if interactive { "hello" } else { "" }, "{who:?}");
        }
    }
}

#[test]
fn the_program_cannot_be_found_inside_and_changed() {
    // CVE-2019-5736: a command that is this program, by way of /proc/self/exe, and one that opens it for writing.
    for who in everyone() {
        let bench = Bench::new(who);
        let program = bench.path.join("stave-runner");
        let before = fs::read(&program).unwrap();
        fs::write(bench.path.join("fs/bin/trick"), "#!/proc/self/exe\n").unwrap();
        fs::set_permissions(bench.path.join("fs/bin/trick"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        bench.run(&bench.request(&["trick"]));
        // With an init our program stays in the container: it can be looked at by those who may trace.
        let mut request = bench.shell("for i in 1 2 3; do echo overwritten 2>/dev/null > /proc/1/exe && echo WRITTEN; done; true");
        request["spec"]["init"] = json!(true);
        request["spec"]["capabilities"] = json!(["ALL"]);
        request["spec"]["seccomp"] = json!("unconfined");
        assert_eq!(bench.run(&request).output(), "", "{who:?}");
        assert!(fs::read(&program).unwrap() == before, "{who:?}");
    }
}

#[test]
fn a_privileged_container_may_mount() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request =
            bench.shell("mount -t tmpfs x /mnt && echo mounted; grep -c 'proc/sys ' /proc/mounts; [ -e /dev/loop0 ] && echo devices; true");
        request["spec"]["privileged"] = json!(true);
        fs::create_dir_all(bench.path.join("fs/mnt")).unwrap();
        let output = bench.run(&request).output().to_owned();
        assert!(output.starts_with("mounted\n0"), "{who:?}: {output}");
    }
}

#[test]
fn a_layer_is_made_of_what_changed() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut request = bench.shell("mkdir /made; echo x > /made/file; rm /etc/group; exit 0");
        request["layer"] = json!({ "blob": { "fd": 5, "path": "layer" }, "compression": "none" });
        request["spec"]["mounts"] = json!([{ "type": "content", "target": "/etc/hosts", "base64": "aGkK", "mode": 292 }]);
        let done = bench.run(&request);
        let names: Vec<&str> = done.events.iter().filter_map(|event| event["event"].as_str()).collect();
        assert_eq!(names, ["hello", "started", "exit", "result"], "{who:?}");
        assert!(done.result()["layer"]["digest"].as_str().unwrap().starts_with("sha256:"));
        let tar = fs::read(bench.path.join("layer")).unwrap();
        let names: Vec<String> = tar
            .chunks(512)
            .filter(|block| block.get(257..262) == Some(b"ustar"))
            .map(|block| String::from_utf8_lossy(&block[..100]).trim_end_matches('\0').to_owned())
            .collect();
        assert!(
            names.contains(&"made/file".to_owned())
                && names.contains(&"etc/.wh.group".to_owned())
                && !names.contains(&"etc/hosts".to_owned()),
            "{who:?}: {names:?}"
        );
    }
}

#[test]
fn a_user_namespace_is_held_and_joined() {
    for who in everyone().into_iter().filter(|who| *who != Who::Root) {
        let mut bench = Bench::new(who);
        let mode = if who == Who::Single { "single" } else { "create" };
        let mut held = bench.start(&json!({ "version": 1, "verb": "hold", "userns": { "mode": mode } }));
        held.event("ready");
        bench.passed = Some(fs::File::open(format!("/proc/{}/ns/user", held.child.id())).unwrap());
        let mut request = bench.shell("readlink /proc/self/ns/user; touch /made; stat -c %u /made");
        request["userns"] = json!({ "mode": "join", "fd": 6 });
        let namespace = fs::read_link(format!("/proc/{}/ns/user", held.child.id())).unwrap();
        assert_eq!(bench.run(&request).output(), format!("{}\n0", namespace.display()), "{who:?}");
        held.hang_up();
        assert_eq!(held.wait().status, Some(0));
    }
}

#[test]
fn what_is_possible_here_is_probed() {
    for who in everyone() {
        let bench = Bench::new(who);
        // Not in a namespace: it finds out which there can be.
        let done = bench.run(&json!({ "version": 1, "verb": "probe", "store": { "fd": 5 } }));
        let result = done.result();
        let expected = if who == Who::Root { "root" } else { "subid" };
        assert_eq!(
            (&result["isolation"], &result["overlay"], &result["seccomp"]),
            (&json!(expected), &json!(true), &json!(true)),
            "{result}"
        );
        assert!(fs::read_dir(&bench.path).unwrap().flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with(".probe")));
    }
}

#[test]
fn nothing_of_an_image_is_opened_before_the_process_is_confined() {
    // A FIFO opens only when someone has its other end: whoever opens one of these waits for ever.
    for who in everyone() {
        let bench = Bench::new(who);
        fs::create_dir_all(bench.path.join("fs/dev/pts")).unwrap();
        for name in ["dev/null", "dev/zero", "dev/tty", "dev/console", "dev/ptmx", "dev/pts/ptmx", "dev/pts/0", "dev/stdout"] {
            let status = std::process::Command::new("mkfifo").args(["-m", "666"]).arg(bench.path.join("fs").join(name)).status();
            assert!(status.unwrap().success());
        }
        let volume = json!([{ "type": "bind", "source": { "fd": 5, "path": "fs/dev" }, "target": "/dev" }]);
        for init in [false, true] {
            let mut request = bench.shell("cat; test -p /dev/null && echo ran");
            request["spec"]["mounts"] = volume.clone();
            request["spec"]["init"] = json!(init);
            assert_eq!(bench.run(&request).output(), "ran", "{who:?}");
        }
        let mut request = bench.container("sleep 30", true);
        request["spec"]["mounts"] = volume.clone();
        bench.run(&request).result();
        assert_eq!(bench.run(&bench.exec_request(&["sh", "-c", "cat; echo ran"])).output(), "ran", "{who:?}");
        // The terminals of the container are not there, which is said.
        let mut request = bench.exec_request(&["true"]);
        request["spec"]["terminal"] = json!(true);
        assert!(bench.run(&request).failure()["message"].is_string(), "{who:?}");
        bench.signal(libc::SIGKILL).result();
        bench.wait_for_exit();
    }
}

#[test]
fn databases_that_are_no_files_are_not_waited_for() {
    for who in everyone() {
        for name in ["passwd", "group"] {
            let bench = Bench::new(who);
            fs::remove_file(bench.path.join("fs/etc").join(name)).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(bench.path.join("fs/etc").join(name)).status().unwrap().success());
            let mut request = bench.request(&["true"]);
            request["spec"]["user"] = json!("ann");
            assert_eq!(bench.run(&request).failure()["kind"], "corrupt", "{who:?} {name}");
        }
    }
}

#[test]
fn the_first_process_knows_nothing_of_its_maker() {
    // What the request says of others (secrets of a mount), and the environment of whoever started it.
    const SCRIPT: &str = "cat /proc/1/environ | wc -c; tr '\\0' ' ' < /proc/1/cmdline; echo
        while read range mode rest; do case $mode in r*) case $rest in *vvar*|*vsyscall*) ;; *)
        from=$((0x${range%-*})); to=$((0x${range#*-})); dd if=/proc/1/mem bs=4096 skip=$((from / 4096)) count=$(((to - from) / 4096)) 2>/dev/null;;
        esac;; esac; done < /proc/1/maps > /tmp/memory
        wc -c < /tmp/memory | grep -q '......' || echo nothing was read
        grep -c 'm0nitors-secret' /tmp/memory";
    for who in everyone() {
        let bench = Bench::new(who);
        fs::create_dir_all(bench.path.join("upper/tmp")).unwrap();
        fs::set_permissions(bench.path.join("upper/tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let mut request = bench.shell(SCRIPT);
        request["spec"]["init"] = json!(true);
        request["spec"]["capabilities"] = json!(["ALL"]);
        request["spec"]["seccomp"] = json!("unconfined");
        request["spec"]["mounts"] =
            json!([{ "type": "content", "target": "/secret", "base64": "bTBuaXRvcnMtc2VjcmV0", "mode": 0o400, "uid": 0 }]);
        request["id"] = json!("m0nitors-secret");
        let done = bench.start_with(&request, |command| {
            command.env("TOKEN", "m0nitors-secret").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        });
        let done = done.wait();
        let lines: Vec<&str> = done.stdout.lines().map(str::trim).collect();
        assert_eq!(lines, ["0", "stave-init 2", "0"], "{who:?} {done:#?}");
    }
}

#[test]
fn a_container_that_may_mount_cannot_allow_itself_devices() {
    // With SYS_ADMIN it can mount the files of its own control groups, and write to them: what holds it lies above.
    if std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| !mounts.contains("devices")) {
        eprintln!("skipped, because the devices controller of cgroup version 1 is not mounted");
        return;
    }
    for who in everyone().into_iter().filter(|who| *who == Who::Root) {
        let bench = Bench::new(who);
        let mut request = bench.shell(
            "mkdir /c; mount -t cgroup -o devices x /c && echo mounted; echo a > /c/devices.allow; echo 'c 1:11 rwm' > /c/devices.allow
            for group in /c/*/; do echo a > $group/devices.allow; done; mknod /k c 1 11; head -c 1 /k > /out || echo refused",
        );
        let mut capabilities: Vec<&str> = support::CAPABILITIES.to_vec();
        capabilities.push("SYS_ADMIN");
        request["spec"]["capabilities"] = json!(capabilities);
        assert_eq!(bench.run(&request).output(), "mounted\nrefused", "{who:?}");
    }
}
