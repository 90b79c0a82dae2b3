//! `spec`: a `config.json` to begin with.

use crate::cgroup::Hierarchies;
use crate::error::{Error, Result};
use crate::oci::Call;
use crate::oci::bundle::VERSIONS;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::Path;

pub fn spec(call: &Call<'_>) -> Result<()> {
    let path = Path::new(call.words.get("bundle").unwrap_or(".")).join("config.json");
    let fail = |what: &str, error: &std::io::Error| Error::io(format!("{what}({:?})", path.display()), error);
    // One that is there is somebody's work.
    let mut file = File::create_new(&path).map_err(|error| fail("open", &error))?;
    let text = serde_json::to_string_pretty(&example(call.words.has("rootless"))).unwrap_or_default();
    writeln!(file, "{text}").map_err(|error| fail("write", &error))
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

fn example(rootless: bool) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let group = if rootless { vec![] } else { vec!["gid=5"] };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &[&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"], &group[..]].concat()),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    // As runc: of version 1 a container sees its place, and callers add the namespace where they want it.
    if Hierarchies::find().version() == "v2" {
        namespaces.push("cgroup");
    }
    if rootless {
        namespaces.push("user");
        mounts.push(mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]));
    } else {
        namespaces.push("network");
        mounts.push(mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]));
        mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]));
    }
    let mut linux = json!({
        "namespaces": namespaces.iter().map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if rootless {
        let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        linux["uidMappings"] = map(rustix::process::geteuid().as_raw());
        linux["gidMappings"] = map(rustix::process::getegid().as_raw());
    } else {
        linux["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    }
    json!({
        "ociVersion": VERSIONS.1,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "stave",
        "mounts": mounts,
        "linux": linux,
    })
}
