//! The runtime on real bundles: its commands, its messages, what it leaves behind.

#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use support::bundle::{Bundle, possible, text};
use support::wait_until;

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    if !possible() {
        return;
    }
    let bundle = Bundle::with_script("life", "echo started; exec sleep 100");
    let id = bundle.id.as_str();
    bundle.fine(&["create", "--pid-file", "pid", id]);
    assert_eq!(bundle.status(), "created");
    let state: Value = serde_json::from_str(&bundle.fine(&["state", id])).unwrap();
    assert_eq!(state["pid"].to_string(), fs::read_to_string(bundle.path.join("pid")).unwrap());
    assert_eq!((&state["id"], &state["ociVersion"]), (&json!(id), &json!("1.3.0")));
    assert_eq!(state["bundle"].as_str().unwrap(), bundle.path.to_str().unwrap());
    assert!(bundle.refused(&["create", id]).contains("already exists"));
    bundle.fine(&["start", id]);
    assert_eq!(bundle.status(), "running");
    assert!(bundle.refused(&["start", id]).contains("cannot start an already running container"));
    assert!(bundle.refused(&["delete", id]).contains("not stopped"));
    let listed: Value = serde_json::from_str(&bundle.fine(&["list", "--format", "json"])).unwrap();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["status"]), (1, &json!("running")));
    assert!(!bundle.groups().is_empty());
    bundle.fine(&["kill", id, "KILL"]);
    wait_until(|| bundle.status() == "stopped");
    assert!(bundle.refused(&["kill", id, "15"]).contains("container not running"));
    assert!(bundle.refused(&["start", id]).contains("cannot start a container that has stopped"));
    assert_eq!(bundle.call(&["exec", id, "true"]).status.code(), Some(255));
    bundle.fine(&["delete", id]);
    assert!(bundle.refused(&["state", id]).contains("does not exist"));
    bundle.fine(&["delete", "--force", id]);
    assert_eq!(bundle.fine(&["list", "--quiet"]), "");
    assert_eq!(bundle.groups(), Vec::<PathBuf>::new());
}

#[test]
fn run_ends_as_the_program_does_and_leaves_nothing() {
    if !possible() {
        return;
    }
    let bundle = Bundle::with_script("run", "echo out; echo err >&2; exit 7");
    let output = bundle.call(&["run", &bundle.id]);
    assert_eq!((output.status.code(), text(&output.stdout), text(&output.stderr)), (Some(7), "out\n".into(), "err\n".into()));
    assert!(bundle.refused(&["state", &bundle.id]).contains("does not exist"));
    assert_eq!(bundle.groups(), Vec::<PathBuf>::new());
    let bundle = Bundle::with_script("run-signal", "kill -9 $$");
    // The first process of a namespace takes no signal from inside.
    assert_eq!(bundle.call(&["run", &bundle.id]).status.code(), Some(0));
    let bundle = Bundle::with_script("run-detached", "echo there; exec sleep 100");
    bundle.fine(&["run", "--detach", &bundle.id]);
    wait_until(|| bundle.out() == "there\n" || bundle.status() == "running");
    bundle.fine(&["delete", "--force", &bundle.id]);
    assert_eq!(bundle.groups(), Vec::<PathBuf>::new());
}

#[test]
fn what_cannot_be_executed_is_said_in_the_words_that_callers_look_for() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::new("words");
    fs::write(bundle.path.join("rootfs/text"), "no program").unwrap();
    for (program, words) in [
        ("nothing", "executable file not found in $PATH"),
        ("/nothing", "no such file or directory"),
        ("/text", "permission denied"),
        ("/etc", "is a directory"),
    ] {
        bundle.config["process"]["args"] = json!([program]);
        let log = bundle.path.join("log.json");
        let _ = fs::remove_file(&log);
        let said = bundle.refused(&["--log", "log.json", "--log-format", "json", "create", &bundle.id]);
        let line: Value = serde_json::from_str(fs::read_to_string(&log).unwrap().trim()).unwrap();
        assert_eq!(line["level"], "error");
        for said in [said.as_str(), line["msg"].as_str().unwrap()] {
            assert!(said.contains(words), "{program}: {said}");
        }
        assert!(bundle.refused(&["run", &bundle.id]).contains(words));
        assert!(bundle.refused(&["state", &bundle.id]).contains("does not exist"));
    }
    assert_eq!(bundle.groups(), Vec::<PathBuf>::new());
}

#[test]
fn the_process_is_as_the_configuration_says() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script(
        "process",
        "id -u; id -g; id -G; pwd; umask; hostname; cat /proc/self/oom_score_adj; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; grep -E 'open files' /proc/self/limits; echo $FOO; cat /proc/sys/net/ipv4/ip_forward",
    );
    let process = &mut bundle.config["process"];
    process["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o077 });
    process["cwd"] = json!("/made/here");
    process["env"].as_array_mut().unwrap().push(json!("FOO=bar"));
    process["oomScoreAdj"] = json!(500);
    process["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }]);
    process["capabilities"] = json!({
        "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
    });
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }],
    });
    let found = bundle.run();
    let lines: Vec<&str> = found.lines().map(str::trim).collect();
    assert_eq!(lines[..7], ["1000", "1001", "1001 5 6", "/made/here", "0077", "stave", "500"], "{found}");
    let field = |name: &str| found.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000020", "{set}");
    }
    assert_eq!((field("CapBnd:"), field("NoNewPrivs:"), field("Seccomp:")), ("0000000000000021".into(), "1".into(), "2".into()));
    assert!(found.contains("100                  200"), "{found}");
    assert!(found.ends_with("bar\n1\n"), "{found}");
}

#[test]
fn mounts_are_made_in_their_order_with_their_options() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script(
        "mounts",
        "cat /data/file; cat /one; ls -a /copied; stat -c %a /mode; grep -E ' /(data|mode|rec|copied) ' /proc/self/mountinfo; ls /proc/acpi /proc/kcore 2>&1; cat /proc/kcore; echo x > /proc/sys/kernel/hostname; echo x > /ro/y",
    );
    for name in ["source/below", "rootfs/copied", "rootfs/ro"] {
        fs::create_dir_all(bundle.path.join(name)).unwrap();
    }
    fs::write(bundle.path.join("source/file"), "of the host\n").unwrap();
    fs::write(bundle.path.join("rootfs/copied/was-there"), "").unwrap();
    // A relative source begins at the bundle.
    bundle.mount(json!({ "destination": "/data", "source": "source", "options": ["rbind", "ro", "nosuid", "nodev", "noexec"] }));
    bundle.mount(json!({ "destination": "/one", "type": "bind", "source": "source/file", "options": ["bind"] }));
    bundle.mount(json!({ "destination": "/mode", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1711", "size=64k"] }));
    bundle.mount(json!({ "destination": "/copied", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] }));
    bundle.config["linux"]["readonlyPaths"].as_array_mut().unwrap().push(json!("/ro"));
    let output = bundle.call(&["run", &bundle.id]);
    let found = text(&output.stdout);
    assert!(found.starts_with("of the host\nof the host\n") && found.contains("was-there") && found.contains("1711"), "{output:?}");
    let line = found.lines().find(|line| line.contains(" /data ")).unwrap();
    assert!(line.contains("ro,nosuid,nodev,noexec"), "{line}");
    assert_eq!(text(&output.stderr).matches("Read-only file system").count(), 2, "{output:?}");
}

#[test]
fn hooks_run_at_their_moments_with_the_state() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("hooks", "echo program >> /log");
    let log = bundle.path.join("rootfs/log");
    fs::write(&log, "").unwrap();
    let hook = |name: &str, place: &str| {
        let script =
            format!("s=$(cat); case $s in *'\"id\":\"'*) echo {name} $(echo $s | grep -o '\"status\":\"[a-z]*\"') >> {place};; esac");
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    let outside = log.to_str().unwrap().to_owned();
    bundle.config["hooks"] = json!({
        "prestart": hook("prestart", &outside), "createRuntime": hook("createRuntime", &outside),
        "createContainer": hook("createContainer", &outside), "startContainer": hook("startContainer", "/log"),
        "poststart": hook("poststart", &outside), "poststop": hook("poststop", &outside),
    });
    bundle.fine(&["create", &bundle.id]);
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 3);
    bundle.fine(&["start", &bundle.id]);
    wait_until(|| bundle.status() == "stopped");
    bundle.fine(&["delete", &bundle.id]);
    let said = fs::read_to_string(&log).unwrap();
    let mut lines: Vec<&str> = said.lines().collect();
    // The program and the hook after its start go on at the same time.
    lines[4..6].sort_unstable();
    let status = |name: &str, status: &str| format!("{name} \"status\":\"{status}\"");
    assert_eq!(
        lines,
        [
            status("prestart", "creating"),
            status("createRuntime", "creating"),
            status("createContainer", "creating"),
            status("startContainer", "created"),
            status("poststart", "running"),
            "program".to_owned(),
            status("poststop", "stopped"),
        ]
    );
    for (name, command) in [("prestart", "create"), ("createContainer", "create"), ("createRuntime", "create")] {
        bundle.config["hooks"] = json!({ name: [{ "path": "/bin/sh", "args": ["sh", "-c", "echo no thanks >&2; exit 3"] }] });
        let said = bundle.refused(&[command, &bundle.id]);
        assert!(said.contains(name) && said.contains("no thanks"), "{said}");
        assert!(bundle.refused(&["state", &bundle.id]).contains("does not exist"));
    }
    bundle.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1 }] });
    assert!(bundle.refused(&["create", &bundle.id]).contains("longer than 1 s"));
    assert_eq!(bundle.groups(), Vec::<PathBuf>::new());
}

#[test]
fn user_namespaces_have_the_ids_that_are_mapped() {
    if !possible() {
        return;
    }
    let mut bundle =
        Bundle::with_script("users", "cat /proc/self/uid_map; id -u; stat -c %u /bin/busybox; ls /data; cat /proc/self/oom_score_adj");
    // Root inside owns nothing of this root, and can make no directory in it.
    for name in ["proc", "sys", "dev"] {
        fs::create_dir(bundle.path.join("rootfs").join(name)).unwrap();
    }
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    (bundle.config["linux"]["uidMappings"], bundle.config["linux"]["gidMappings"]) = (map.clone(), map);
    bundle.config["process"]["oomScoreAdj"] = json!(300);
    bundle.mount(json!({ "destination": "/data", "source": "rootfs/bin", "options": ["bind", "ro"] }));
    let found = bundle.run();
    let numbers: Vec<&str> = found.split_ascii_whitespace().collect();
    assert_eq!(numbers[..4], ["0", "100000", "1000", "0"], "{found}");
    assert!(found.contains("65534") && found.contains("busybox") && found.ends_with("300\n"), "{found}");
}

#[test]
fn namespaces_are_joined_by_their_paths() {
    if !possible() {
        return;
    }
    let first = Bundle::with_script("joined", "exec sleep 100");
    first.fine(&["run", "-d", &first.id]);
    let state: Value = serde_json::from_str(&first.fine(&["state", &first.id])).unwrap();
    let pid = state["pid"].as_i64().unwrap();
    let mut second = Bundle::with_script("joins", "for n in net ipc uts; do readlink /proc/self/ns/$n; done; ls -d /proc/[0-9]*");
    for namespace in second.config["linux"]["namespaces"].as_array_mut().unwrap() {
        let file = match namespace["type"].as_str().unwrap() {
            "network" => "net",
            kind @ ("ipc" | "uts" | "pid") => kind,
            _ => continue,
        };
        namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
    }
    let mut wanted: Vec<String> = Vec::new();
    for file in ["net", "ipc", "uts"] {
        wanted.push(fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().display().to_string());
    }
    let found = second.run();
    assert_eq!(found.lines().take(3).collect::<Vec<_>>(), wanted);
    assert!(found.contains("/proc/1\n"), "{found}");
    // One of another type than it is said to be.
    second.config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "network", "path": format!("/proc/{pid}/ns/ipc") }]);
    second.config["hostname"] = json!("");
    assert!(second.refused(&["run", &second.id]).contains("not a namespace of the type"));
}

#[test]
fn a_terminal_goes_to_the_console_socket() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("terminal", "tty; test -t 0 && echo is one; cat");
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["process"]["consoleSize"] = json!({ "height": 33, "width": 44 });
    assert!(bundle.refused(&["create", &bundle.id]).contains("cannot allocate tty"));
    // A path that is longer than an address may be.
    let directory = bundle.path.join("d".repeat(120));
    fs::create_dir(&directory).unwrap();
    let open = fs::File::open(&directory).unwrap();
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/console", open.as_raw_fd())).unwrap();
    let path = directory.join("console");
    bundle.fine(&["create", "--console-socket", path.to_str().unwrap(), &bundle.id]);
    let (stream, _) = listener.accept().unwrap();
    let mut terminal = support::receive_descriptor(&stream);
    bundle.fine(&["start", &bundle.id]);
    let mut seen = String::new();
    wait_until(|| {
        let mut bytes = [0; 256];
        let count = terminal.read(&mut bytes).unwrap();
        seen.push_str(&text(&bytes[..count]));
        seen.contains("is one")
    });
    assert!(seen.contains("/dev/pts/0"), "{seen}");
}

#[test]
fn exec_adds_a_process_like_the_first() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("exec", "exec sleep 100");
    bundle.config["process"]["env"].as_array_mut().unwrap().push(json!("FOO=bar"));
    bundle.fine(&["run", "-d", &bundle.id]);
    let id = bundle.id.as_str();
    let found = bundle.fine(&[
        "exec",
        "-e",
        "MORE=1",
        "--cwd",
        "/etc",
        "-u",
        "5:6",
        id,
        "sh",
        "-c",
        "id -u; id -g; pwd; echo $FOO $MORE; cat /proc/1/comm; cat /proc/self/cgroup /proc/1/cgroup",
    ]);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[..5], ["5", "6", "/etc", "bar 1", "sleep"]);
    let (one, other) = lines[5..].split_at(lines[5..].len() / 2);
    assert_eq!(one, other);
    assert_eq!(bundle.call(&["exec", id, "sh", "-c", "exit 9"]).status.code(), Some(9));
    let output = bundle.call(&["exec", id, "nothing"]);
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("executable file not found in $PATH"), "{output:?}");
    for user in ["0:", "4294967296", "root", "-1"] {
        assert_eq!(bundle.call(&["exec", &format!("--user={user}"), id, "true"]).status.code(), Some(255), "{user}");
    }
    // The host's directories are nowhere to be found.
    for number in 3..12 {
        let output = bundle.call(&["exec", "--cwd", &format!("/proc/self/fd/{number}"), id, "pwd"]);
        assert_eq!(output.status.code(), Some(255), "{output:?}");
    }
    let process =
        json!({ "args": ["sh", "-c", "echo $A; id -u"], "cwd": "/", "env": ["PATH=/bin", "A=5"], "user": { "uid": 9, "gid": 9 } });
    fs::write(bundle.path.join("process.json"), process.to_string()).unwrap();
    assert_eq!(bundle.fine(&["exec", "--process", "process.json", id]), "5\n9\n");
    bundle.fine(&["exec", "-d", "--pid-file", "exec-pid", id, "sleep", "200"]);
    let pid = fs::read_to_string(bundle.path.join("exec-pid")).unwrap();
    let members: Vec<i64> = serde_json::from_str(&bundle.fine(&["ps", "--format", "json", id])).unwrap();
    assert!(members.len() == 2 && members.contains(&pid.parse().unwrap()), "{members:?} {pid}");
    assert!(bundle.fine(&["ps", id]).contains("sleep 200"));
}

#[test]
fn pause_update_and_events_work_on_the_control_groups() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("limits", "exec sleep 100");
    bundle.config["linux"]["resources"] = json!({ "pids": { "limit": 20 }, "memory": { "limit": 64 << 20 } });
    bundle.fine(&["run", "-d", &bundle.id]);
    let id = bundle.id.as_str();
    bundle.fine(&["pause", id]);
    assert_eq!(bundle.status(), "paused");
    assert_eq!(bundle.call(&["exec", id, "true"]).status.code(), Some(255));
    bundle.fine(&["resume", id]);
    assert_eq!(bundle.status(), "running");
    assert!(bundle.refused(&["resume", id]).contains("not paused"));
    let stats = |bundle: &Bundle| -> Value { serde_json::from_str(&bundle.fine(&["events", "--stats", id])).unwrap() };
    let before = stats(&bundle);
    assert_eq!((&before["type"], &before["data"]["pids"]["limit"]), (&json!("stats"), &json!(20)));
    assert_eq!(before["data"]["memory"]["usage"]["limit"], json!(64 << 20));
    bundle.fine(&["update", "--pids-limit", "30", "--memory", "32m", id]);
    fs::write(bundle.path.join("resources.json"), json!({ "cpu": { "quota": 50000, "period": 100_000 } }).to_string()).unwrap();
    bundle.fine(&["update", "--resources", "resources.json", id]);
    let after = stats(&bundle);
    assert_eq!((&after["data"]["pids"]["limit"], &after["data"]["memory"]["usage"]["limit"]), (&json!(30), &json!(32 << 20)));
    assert!(bundle.refused(&["update", "--memory", "much", id]).contains("invalid value"));
    bundle.fine(&["kill", "--all", id, "KILL"]);
    wait_until(|| bundle.status() == "stopped");
    // Callers send it once more, to be sure.
    bundle.fine(&["kill", "--all", id, "KILL"]);
}

#[test]
fn devices_are_those_of_the_rules_even_for_one_that_may_mount() {
    if !possible() {
        return;
    }
    let script = "cat /dev/null && echo opens; (cat /dev/forbidden) 2>&1; mkdir /tmp/g && mount -t cgroup -o devices none /tmp/g 2>/dev/null && echo a > /tmp/g/devices.allow; (cat /dev/forbidden) 2>&1";
    let mut bundle = Bundle::with_script("devices", script);
    // /dev/mem's number, which no container has.
    bundle.config["linux"]["devices"] = json!([{ "type": "c", "path": "/dev/forbidden", "major": 1, "minor": 1, "fileMode": 0o666 }]);
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set].as_array_mut().unwrap().extend([json!("CAP_SYS_ADMIN"), json!("CAP_DAC_OVERRIDE")]);
    }
    let output = bundle.call(&["run", &bundle.id]);
    let found = text(&output.stdout);
    assert!(found.starts_with("opens\n"), "{output:?}");
    assert_eq!(found.matches("Operation not permitted").count(), 2, "{output:?}");
    assert_eq!(bundle.groups(), Vec::<PathBuf>::new());
}

type Change = Box<dyn Fn(&mut Value)>;

/// Where a configuration is wrong, and the words that it is refused with. Nothing is made then, inside or outside.
#[test]
fn a_hostile_configuration_is_refused_and_leaves_nothing() {
    if !possible() {
        return;
    }
    let set = |path: &'static str, value: Value| {
        move |config: &mut Value| *config.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value.clone()
    };
    let add = |path: &'static str, key: &'static str, value: Value| {
        move |config: &mut Value| config.pointer_mut(path).unwrap()[key] = value.clone()
    };
    let mount = |mount: Value| move |config: &mut Value| config["mounts"].as_array_mut().unwrap().push(mount.clone());
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(set("/ociVersion", json!("2.0.0"))), "unsupported ociVersion"),
        (Box::new(set("/process/user/uid", json!(4_294_967_296_u64))), "config.json cannot be read"),
        (Box::new(set("/process/user/uid", json!(4_294_967_295_u32))), "is no id"),
        (Box::new(set("/process/user/uid", json!("0:"))), "config.json cannot be read"),
        (Box::new(set("/process/user/gid", json!(-1))), "config.json cannot be read"),
        (Box::new(set("/process/cwd", json!("/proc/self/fd/8"))), "working directory"),
        (Box::new(set("/process/cwd", json!("relative"))), "must be an absolute path"),
        (Box::new(set("/process/args", json!([]))), "args must not be empty"),
        (Box::new(set("/process/args", json!(["a\0b"]))), "NUL"),
        (Box::new(add("/process", "apparmorProfile", json!("x/../../y"))), "AppArmor"),
        (Box::new(set("/root/path", json!("nowhere"))), "is not a directory"),
        (Box::new(set("/root/path", json!(""))), "root.path must not be empty"),
        (Box::new(add("/linux", "cgroupsPath", json!("a\0b"))), "NUL"),
        (Box::new(add("/linux", "rootfsPropagation", json!("sideways"))), "not supported"),
        (Box::new(add("/linux", "sysctl", json!({ "kernel.core_pattern": "|/x" }))), "not in a separate kernel namespace"),
        (Box::new(add("/linux", "sysctl", json!({ "net/../kernel/core_pattern": "|/x" }))), "sysctl"),
        (Box::new(set("/linux/namespaces", json!([{ "type": "mount" }, { "type": "mount" }]))), "duplicated"),
        (Box::new(set("/linux/namespaces", json!([{ "type": "mountain" }]))), "invalid namespace type"),
        (Box::new(set("/linux/namespaces", json!([{ "type": "pid" }]))), "mount namespace"),
        (Box::new(add("/linux", "seccomp", json!({ "defaultAction": "SCMP_ACT_MAYBE" }))), "not a valid action"),
        (Box::new(add("/linux", "uidMappings", json!([{ "containerID": 0, "hostID": 0, "size": 1 }]))), "user namespace"),
        (Box::new(add("/linux/resources", "unified", json!({ "../../x": "1" }))), "no slashes"),
        (Box::new(mount(json!({ "destination": "/proc", "type": "tmpfs", "source": "tmpfs" }))), "/proc"),
        (Box::new(mount(json!({ "destination": "/proc/self/attr", "source": "/etc", "options": ["bind"] }))), "inside /proc"),
        (Box::new(mount(json!({ "destination": "/x", "type": "nonsense", "source": "x" }))), "fsopen"),
        (Box::new(mount(json!({ "destination": "/x", "source": "/nowhere/at/all", "options": ["bind"] }))), "no such file or directory"),
    ];
    for (change, words) in cases {
        let mut bundle = Bundle::with_script("hostile", "true");
        change(&mut bundle.config);
        let changed = bundle.config.to_string();
        let said = bundle.refused(&["create", &bundle.id]);
        assert!(said.contains(words), "{words:?} is not in {said:?}");
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(fs::read_dir(bundle.path.join("state")).map_or(0, Iterator::count), 0, "{changed}");
        assert_eq!(bundle.groups(), Vec::<PathBuf>::new(), "{changed}");
    }
    let bundle = Bundle::new("ids");
    for id in ["a/b", "../x", "..", ".", "", " ", "a b", &"x".repeat(300)] {
        assert!(bundle.refused(&["create", id]).contains("invalid container ID format"), "{id:?}");
        assert!(bundle.refused(&["delete", "--force", id]).contains("invalid container ID format"), "{id:?}");
    }
    assert_eq!(fs::read_dir(bundle.path.join("state")).map_or(0, Iterator::count), 0);
}

#[test]
fn links_of_the_root_lead_no_mount_outside() {
    if !possible() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap().to_owned();
    // What is mounted through a link lies where it leads inside.
    let mut bundle = Bundle::with_script("links", "ls /data");
    fs::remove_dir(bundle.path.join("rootfs/data")).unwrap();
    symlink(&target, bundle.path.join("rootfs/data")).unwrap();
    fs::create_dir(bundle.path.join("source")).unwrap();
    fs::write(bundle.path.join("source/file"), "").unwrap();
    bundle.mount(json!({ "destination": "/data/deeper", "source": "source", "options": ["bind"] }));
    assert_eq!(bundle.run(), "deeper\n");
    assert!(bundle.path.join("rootfs").join(target.trim_start_matches('/')).join("deeper").is_dir());
    // The kernel's own are not mounted through one.
    for name in ["proc", "sys", "dev"] {
        let mut bundle = Bundle::with_script("links", "true");
        symlink(&target, bundle.path.join("rootfs").join(name)).unwrap();
        bundle.config["linux"]["maskedPaths"] = json!(["/data", "/etc/passwd"]);
        let said = bundle.refused(&["run", &bundle.id]);
        assert!(said.contains("is not a directory"), "{name}: {said}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // Paths of control groups begin where they should, whatever they say.
    let mut bundle = Bundle::with_script("groups", "true");
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/../../../{}", bundle.id));
    bundle.fine(&["create", &bundle.id]);
    assert!(!bundle.groups().is_empty());
    bundle.fine(&["delete", &bundle.id]);
    assert_eq!(bundle.groups(), Vec::<PathBuf>::new());
}

#[test]
fn descriptors_are_passed_on_and_no_others() {
    if !possible() {
        return;
    }
    let bundle = Bundle::with_script("descriptors", "ls /proc/self/fd; cat <&3");
    fs::write(bundle.path.join("config.json"), bundle.config.to_string()).unwrap();
    fs::write(bundle.path.join("given"), "given\n").unwrap();
    let script = r#"exec 3<given 4</etc/passwd 9</; exec ./stave-runtime --root state run --preserve-fds 1 "$0""#;
    let output = Command::new("sh").args(["-c", script, &bundle.id]).current_dir(&bundle.path).stdin(Stdio::null()).output().unwrap();
    // The last is that of the directory that is listed.
    assert_eq!(text(&output.stdout), "0\n1\n2\n3\n4\ngiven\n", "{output:?}");
    let script = r#"exec 3<&-; exec ./stave-runtime --root state run --preserve-fds 1 "$0""#;
    let output = Command::new("sh").args(["-c", script, &bundle.id]).current_dir(&bundle.path).stdin(Stdio::null()).output().unwrap();
    assert!(text(&output.stderr).contains("not open"), "{output:?}");
}

#[test]
fn features_and_version_say_what_is_there() {
    let bundle = Bundle::new("features");
    let features: Value = serde_json::from_str(&bundle.fine(&["features"])).unwrap();
    assert_eq!((&features["ociVersionMin"], &features["ociVersionMax"]), (&json!("1.0.0"), &json!("1.3.0")));
    for option in ["rro", "rbind", "tmpcopyup", "nosymfollow"] {
        assert!(features["mountOptions"].as_array().unwrap().contains(&json!(option)), "{option}");
    }
    assert!(bundle.fine(&["--version"]).starts_with("stave-runtime version "));
    assert!(bundle.refused(&["checkpoint", "x"]).contains("checkpoint"));
    assert!(bundle.refused(&["--systemd-cgroup", "create", "x"]).contains("systemd"));
}
