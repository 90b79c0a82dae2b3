//! The way out: a plan as the `config.json` of any runtime.

use super::{PASSED, Plan, Process};
use crate::container::seccomp;
use crate::container::user::Identity;
use crate::error::Result;
use crate::wire::config::{self, Config, Mount};
use crate::wire::container::ExecSpec;

/// What is written is in this version, and the oldest runtimes and systemd-nspawn take it.
const VERSION: &str = "1.0.0";

/// A plan that was made of the wire's request, in the words of the specification alone. Its user is `identity`. What was
/// prepared for it takes the places of `passed`, in their order; those that there are none for are left out.
pub fn to_config(plan: &Plan, identity: &Identity, passed: &[Mount]) -> Config {
    let mut config = plan.config.clone();
    VERSION.clone_into(&mut config.oci_version);
    let mut passed = passed.iter();
    config.mounts =
        config.mounts.into_iter().filter_map(|mount| if mount.kind == PASSED { passed.next().cloned() } else { Some(mount) }).collect();
    let filter = plan.process.seccomp.as_ref();
    config.linux.seccomp = filter.and_then(|filter| seccomp::to_config(filter, plan.process.capabilities.bounding));
    config.process = config.process.map(|written| settle(written, &plan.process, identity));
    config
}

/// One more process of a container, likewise.
pub fn further_process(spec: &ExecSpec, process: &Process, identity: &Identity) -> Result<config::Process> {
    Ok(settle(super::wire::written_of(spec)?, process, identity))
}

/// What is known when the root is there: the user in numbers, and what depends on who that is.
fn settle(mut written: config::Process, process: &Process, identity: &Identity) -> config::Process {
    written.user.uid = identity.uid;
    written.user.gid = identity.gid;
    written.user.additional_gids = identity.groups.iter().copied().filter(|group| *group != identity.gid).collect();
    if process.variable("HOME").is_none_or(str::is_empty) {
        written.env.retain(|variable| !variable.starts_with("HOME="));
        written.env.push(format!("HOME={}", identity.home));
    }
    // Only root holds them from the start.
    if let Some(sets) = written.capabilities.as_mut().filter(|_| identity.uid != 0) {
        (sets.effective, sets.permitted) = Default::default();
    }
    if let Some((height, width)) = process.terminal_size {
        written.console_size = Some(config::Box2 { height, width });
    }
    written
}
