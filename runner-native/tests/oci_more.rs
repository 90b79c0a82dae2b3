//! The runtime on what few configurations ask for: owners of mounts, policies of memory, agents of filters, terminals on pipes.

#![allow(unsafe_code, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use support::bundle::{Bundle, possible};
use support::wait_until;

/// Reading a terminal makes one wait, and a pipe behind it does not change that.
#[test]
fn run_shows_a_terminal_where_output_goes_to_a_pipe() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("piped", "echo shown; exit 6");
    bundle.config["process"]["terminal"] = json!(true);
    fs::write(bundle.path.join("config.json"), bundle.config.to_string()).unwrap();
    let (_controlling, terminal) = support::terminal();
    let mut command = bundle.command(&["run", &bundle.id]);
    let mut child = command.stdin(support::stdio(&terminal)).stdout(Stdio::piped()).spawn().unwrap();
    wait_until(|| child.try_wait().unwrap().is_some());
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    assert_eq!((child.wait().unwrap().code(), shown.trim()), (Some(6), "shown"));
}

#[test]
fn owners_of_a_mount_are_shown_as_others() {
    if !possible() {
        return;
    }
    let map = |outside: u32| json!([{ "containerID": 0, "hostID": outside, "size": 1000 }]);
    let mut bundle =
        Bundle::with_script("idmap", "stat -c %u:%g /mapped/file /below/inner/file; echo made 2>/dev/null >/mapped/new || true");
    for name in ["shared", "other/inner"] {
        fs::create_dir_all(bundle.path.join(name)).unwrap();
        fs::write(bundle.path.join(name).join("file"), "").unwrap();
        chown(bundle.path.join(name).join("file"), Some(5), Some(6)).unwrap();
    }
    let source = |name: &str| bundle.path.join(name).to_str().unwrap().to_owned();
    let (shared, other) = (source("shared"), source("other"));
    let mapped = json!({ "destination": "/mapped", "type": "bind", "source": shared, "options": ["bind", "idmap"],
        "uidMappings": map(2000), "gidMappings": map(3000) });
    bundle.mount(mapped);
    bundle.mount(json!({ "destination": "/below", "type": "bind", "source": other, "options": ["rbind", "ridmap"],
        "uidMappings": map(4000), "gidMappings": map(4000) }));
    assert_eq!(bundle.run(), "2005:3006\n4005:4006\n");
    // What is made by 2000 inside would be 0 on the disk; root inside is nobody that the mount knows.
    assert!(bundle.path.join("shared/new").metadata().is_err());

    // In a user namespace, its own maps: files of this machine's root belong to the container's root.
    let mut bundle = Bundle::with_script("idmap-users", "stat -c %u:%g /mapped/file; echo made >/mapped/new");
    fs::create_dir(bundle.path.join("shared")).unwrap();
    fs::write(bundle.path.join("shared/file"), "").unwrap();
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    for path in [".", "rootfs"] {
        chown(bundle.path.join(path), Some(100_000), Some(100_000)).unwrap();
    }
    let source = bundle.path.join("shared").to_str().unwrap().to_owned();
    bundle.mount(json!({ "destination": "/mapped", "type": "bind", "source": source, "options": ["rbind", "idmap"] }));
    assert_eq!(bundle.run(), "0:0\n");
    assert_eq!(fs::metadata(bundle.path.join("shared/new")).unwrap().uid(), 0);

    for (mount, said) in [
        (json!({ "destination": "/x", "type": "tmpfs", "options": ["idmap"] }), "only supported for bind mounts"),
        (json!({ "destination": "/x", "type": "bind", "source": "/tmp", "options": ["bind", "idmap", "ridmap"] }), "both idmap and ridmap"),
        (json!({ "destination": "/x", "type": "bind", "source": "/tmp", "options": ["bind", "idmap"] }), "need a user namespace"),
    ] {
        let mut bundle = Bundle::with_script("idmap-wrong", "true");
        bundle.mount(mount);
        assert!(bundle.refused(&["run", &bundle.id]).contains(said), "{said}");
    }
}

#[test]
fn memory_comes_from_the_nodes_that_are_named() {
    if !possible() || !std::path::Path::new("/proc/self/numa_maps").exists() {
        return;
    }
    let policy = |policy: Value| {
        let mut bundle = Bundle::with_script("memory", "cat /proc/self/numa_maps");
        bundle.config["linux"]["memoryPolicy"] = policy;
        bundle
    };
    for (asked, seen) in [
        (json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0" }), "interleave:0"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }), "bind=static:0"),
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
    ] {
        let first = policy(asked).run().lines().next().unwrap_or_default().to_owned();
        assert!(first.contains(seen), "{first}");
    }
    let wrong = policy(json!({ "mode": "MPOL_DEFAULT", "nodes": "0-7" }));
    assert!(wrong.refused(&["run", &wrong.id]).contains("mode requires 0 nodes but got 8"));
}

/// Specification: "seccomp notify". The agent that goes away answers nothing: the call is not there.
#[test]
fn an_agent_is_handed_the_filter_s_listener() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("agent", "mkdir /tmp/made 2>&1 || echo refused");
    let path = bundle.path.join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "told",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
    });
    let agent = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (text, descriptor) = support::receive_message(&stream);
        drop(descriptor);
        serde_json::from_str::<Value>(&text).unwrap()
    });
    assert!(bundle.run().contains("refused"));
    let told = agent.join().unwrap();
    assert_eq!((&told["fds"], &told["metadata"]), (&json!(["seccompFd"]), &json!("told")));
    assert_eq!(told["state"]["id"].as_str(), Some(bundle.id.as_str()));
    assert!(told["pid"].as_i64().unwrap() > 1);
}

#[test]
fn what_is_not_there_is_refused_and_features_say_so() {
    if !possible() {
        return;
    }
    let bundle = Bundle::with_script("features", "true");
    let features: Value = serde_json::from_str(&bundle.fine(&["features"])).unwrap();
    let linux = &features["linux"];
    assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], json!(true));
    assert!(linux["memoryPolicy"]["modes"].as_array().unwrap().contains(&json!("MPOL_BIND")));
    assert!(features["mountOptions"].as_array().unwrap().contains(&json!("ridmap")));
    for (feature, property, value) in [
        ("netDevices", "netDevices", json!({ "dummy0": { "name": "eth9" } })),
        ("intelRdt", "intelRdt", json!({ "closID": "x", "schemata": ["L3:0=1"] })),
    ] {
        assert_eq!(linux[feature]["enabled"], json!(false));
        let mut bundle = Bundle::with_script("refused", "true");
        bundle.config["linux"][property] = value;
        assert!(bundle.refused(&["run", &bundle.id]).contains(&format!("linux.{property} is not supported")));
    }
    assert_eq!(linux["cgroup"]["systemd"], json!(false));
    for global in [&["--systemd-cgroup"][..], &["--cgroup-manager", "systemd"]] {
        let said = bundle.refused(&[global, &["run", &bundle.id]].concat());
        assert!(said.contains("control groups of systemd are not supported"), "{said}");
    }
}

/// NVIDIA's hook and others come into the mount namespace from outside, and mount where the configuration has the root.
#[test]
fn a_hook_finds_the_root_at_its_path_in_the_namespace() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("hook-root", "cat /data/given");
    fs::write(bundle.path.join("given"), "by a hook\n").unwrap();
    let (given, place) = (bundle.path.join("given"), bundle.path.join("rootfs/data/given"));
    let script = format!(
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); touch {place} && nsenter -m -t $pid mount --bind {given} {place}",
        given = given.display(),
        place = place.display()
    );
    bundle.config["hooks"] =
        json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }] });
    assert_eq!(bundle.run(), "by a hook\n");
}

#[test]
fn of_variables_that_are_given_twice_the_last_is_taken() {
    if !possible() {
        return;
    }
    let mut bundle = Bundle::with_script("twice", "");
    bundle.config["process"]["args"] = json!(["env"]);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "A=1", "HOME=/", "A=2", "B=", "A=3=4"]);
    assert_eq!(bundle.run(), "PATH=/bin\nHOME=/\nB=\nA=3=4\n");
    let log = bundle.path.join("log");
    bundle.fine(&["--debug", "--log", log.to_str().unwrap(), "run", &bundle.id]);
    assert!(fs::read_to_string(log).unwrap().contains("level=debug"));
}
