//! `features`: what is supported, in the specification's own form.

use crate::container::capabilities;
use crate::container::lsm;
use crate::container::namespaces;
use crate::container::options;
use crate::container::plan;
use crate::container::seccomp;
use crate::oci::bundle::VERSIONS;
use serde_json::{Value, json};

pub fn features() -> Value {
    let namespaces: Vec<&str> = namespaces::KINDS.iter().map(|(name, _, _)| *name).collect();
    let actions: Vec<&str> = seccomp::ACTIONS.iter().map(|(name, _)| *name).collect();
    let operators: Vec<&str> = seccomp::OPERATORS.iter().map(|(name, _)| *name).collect();
    let flags: Vec<&str> = seccomp::FLAGS.iter().map(|(name, _)| *name).collect();
    let modes: Vec<&str> = plan::MEMORY_MODES.iter().map(|(name, _)| *name).collect();
    let memory_flags: Vec<&str> = plan::MEMORY_FLAGS.iter().map(|(name, _)| *name).collect();
    let off = json!({ "enabled": false });
    json!({
        "ociVersionMin": VERSIONS.0,
        "ociVersionMax": VERSIONS.1,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": options::names(),
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities::all_names(),
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": actions,
                "operators": operators,
                "archs": seccomp::NATIVE,
                "knownFlags": flags,
                "supportedFlags": flags,
            },
            "apparmor": { "enabled": lsm::has_apparmor() },
            "selinux": { "enabled": lsm::has_selinux() },
            "intelRdt": off,
            "memoryPolicy": { "modes": modes, "flags": memory_flags },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": off,
        },
        "annotations": { "org.opencontainers.runc.checkpoint.enabled": "false" },
        "potentiallyUnsafeConfigAnnotations": [],
    })
}
