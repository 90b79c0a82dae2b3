//! Limits, devices and pausing, by control groups.
#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use serde_json::json;
use std::fs;
use std::time::Duration;
use support::{Bench, Who, everyone, is_root, wait_until};

/// As root only, and only where there are groups to make.
fn bench() -> Option<Bench> {
    if !is_root() {
        eprintln!("skipped, because limits need root");
        return None;
    }
    let bench = Bench::new(Who::Root);
    let mut request = bench.shell("true");
    request["spec"]["resources"] = json!({ "pids": 100, "memoryBytes": 1 << 26 });
    let done = bench.run(&request);
    if done.events.last().unwrap()["kind"] == "isolation" {
        eprintln!("skipped, because no control groups can be made here: {}", done.failure()["message"]);
        return None;
    }
    done.result();
    Some(bench)
}

#[test]
fn memory_is_limited_and_its_end_is_told() {
    let Some(bench) = bench() else { return };
    let mut request = bench.container("head -c 200000000 /dev/zero | tail -c 150000000 | wc -c", false);
    request["spec"]["resources"] = json!({ "memoryBytes": 20 << 20, "memorySwapBytes": 20 << 20 });
    let done = bench.run(&request);
    assert_eq!(done.result()["oomKilled"], true, "{done:?}");
    assert_eq!(bench.state()["oomKilled"], true);
    let mut request = bench.shell("echo fine");
    request["spec"]["resources"] = json!({ "memoryBytes": 20 << 20 });
    assert_eq!(bench.run(&request).result().get("oomKilled"), None);
}

#[test]
fn processes_are_limited() {
    let Some(bench) = bench() else { return };
    let mut request = bench.shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait");
    request["spec"]["resources"] = json!({ "pids": 5 });
    let done = bench.run(&request);
    assert!(done.stderr.contains("fork"), "{done:?}");
}

#[test]
fn the_container_sees_its_own_limits_and_nothing_of_others() {
    let Some(bench) = bench() else { return };
    let mut request = bench.shell("cat /proc/self/cgroup | cut -d: -f3 | sort -u; cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max; echo 1 2>&- > /sys/fs/cgroup/x && echo WRITTEN; true");
    request["spec"]["resources"] = json!({ "memoryBytes": 32 << 20, "cpus": 0.5, "cpusetCpus": "0" });
    assert_eq!(bench.run(&request).output(), format!("/\n{}", 32 << 20));
}

#[test]
fn no_group_is_left_behind() {
    let Some(bench) = bench() else { return };
    let mut request = bench.shell("sleep 0.1 & sleep 0.2 & exit 3");
    request["id"] = json!("unlikely-name");
    request["spec"]["resources"] = json!({ "memoryBytes": 32 << 20, "pids": 50, "cpus": 1 });
    assert_eq!(bench.run(&request).result()["exitCode"], 3);
    request["spec"]["args"] = json!(["nothing"]);
    bench.run(&request).failure();
    let mut directories = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten().filter(|entry| entry.file_type().unwrap().is_dir()) {
            assert!(!entry.file_name().to_string_lossy().contains("unlikely-name"), "{:?}", entry.path());
            directories.push(entry.path());
        }
    }
}

#[test]
fn a_limit_that_cannot_be_set_is_an_error() {
    for who in everyone().into_iter().filter(|who| *who != Who::Root) {
        let bench = Bench::new(who);
        let mut request = bench.shell("true");
        request["spec"]["resources"] = json!({ "memoryBytes": 32 << 20 });
        let done = bench.run(&request);
        let failure = done.failure();
        assert_eq!(failure["kind"], "isolation", "{who:?}");
        assert!(
            failure["message"].as_str().unwrap().contains("memory limit") && failure["hint"].as_str().unwrap().contains("systemd-run"),
            "{failure}"
        );
    }
}

#[test]
fn a_paused_container_stands_still() {
    let Some(bench) = bench() else { return };
    for limited in [false, true] {
        let mut request = bench.container("i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done", true);
        if limited {
            request["spec"]["resources"] = json!({ "pids": 50 });
        }
        bench.run(&request).result();
        let act = |action: &str| {
            bench.run(&json!({ "version": 1, "verb": "signal", "container": { "directory": { "fd": 5, "path": "c" } }, "signal": 0, "action": action }))
        };
        let size = || fs::metadata(bench.path.join("c/log")).map_or(0, |metadata| metadata.len());
        wait_until(|| size() > 0);
        act("pause").result();
        std::thread::sleep(Duration::from_millis(100));
        let before = size();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(size(), before);
        assert_eq!(bench.run(&bench.exec_request(&["true"])).failure()["message"], "the container is paused");
        act("resume").result();
        wait_until(|| size() > before);
        assert_eq!(bench.run(&bench.exec_request(&["echo", "again"])).output(), "again");
        bench.signal(libc::SIGKILL).result();
        bench.wait_for_exit();
    }
}

#[test]
fn who_may_mount_still_opens_no_device() {
    let Some(bench) = bench() else { return };
    let capabilities: Vec<&str> = support::CAPABILITIES.iter().copied().chain(["SYS_ADMIN"]).collect();
    // Nor does `nodev` say so on a tmpfs of its own: it is the control group that refuses.
    let mut request = bench.shell(
        "mkdir /t; mount -t tmpfs x /t; mknod /t/null c 1 3; echo x > /t/null && echo null; mknod /t/loop b 7 0 && echo made; cat /t/loop",
    );
    request["spec"]["capabilities"] = json!(capabilities);
    let done = bench.run(&request);
    assert_eq!(done.stdout, "null\nmade\n", "{done:?}");
    assert!(done.stderr.contains("not permitted"), "{done:?}");
}

/// As with the control groups of the first version, which anybody who may mount sees from their root on (CVE-2022-0492), and
/// with those of the second, where they are delegated.
#[test]
fn who_may_mount_cannot_change_its_limits() {
    let Some(bench) = bench() else { return };
    let capabilities: Vec<&str> = support::CAPABILITIES.iter().copied().chain(["SYS_ADMIN"]).collect();
    let mut request = bench.shell(
        "mkdir -p /m /d
mount -t cgroup -o memory x /m 2>/dev/null || mount -t cgroup2 x /m 2>/dev/null || exit 0
mount -t cgroup -o devices x /d 2>/dev/null
for file in $(find /m -name memory.limit_in_bytes -o -name memory.max); do echo 1000000000 > $file; done
for file in $(find /d -name devices.allow); do echo 'a *:* rwm' > $file && echo allowed; done
mknod /loop b 7 0; head -c 1 /loop && echo opened
head -c 200000000 /dev/zero | tail -c 150000000 | wc -c",
    );
    request["spec"]["capabilities"] = json!(capabilities);
    request["spec"]["seccomp"] = json!("unconfined");
    request["spec"]["resources"] = json!({ "memoryBytes": 20 << 20, "memorySwapBytes": 20 << 20 });
    let done = bench.run(&request);
    assert!(!done.stdout.contains("opened") && !done.stdout.contains("allowed") && !done.stdout.contains("150000000"), "{done:?}");
}

#[test]
fn a_device_may_be_given_for_reading_alone() {
    let Some(bench) = bench() else { return };
    let mut request = bench.shell("[ -c /dev/given ] && head -c 1 /dev/given | wc -c; echo x > /dev/given");
    request["spec"]["devices"] = json!([{ "path": "/dev/zero", "target": "/dev/given", "access": "rwm" }]);
    assert_eq!(bench.run(&request).output(), "1");
    if !std::path::Path::new("/dev/loop0").exists() {
        eprintln!("skipped in part, because there is no /dev/loop0");
        return;
    }
    let mut request = bench.shell("head -c 1 /dev/given > /dev/null && echo read; echo x > /dev/given || echo refused");
    request["spec"]["devices"] = json!([{ "path": "/dev/loop0", "target": "/dev/given", "access": "r" }]);
    let done = bench.run(&request);
    assert_eq!(done.stdout, "read\nrefused\n", "{done:?}");
}
