//! The verb `bundle`: the `config.json` of a container that is asked for, for any runtime.

use crate::container::plan;
use crate::container::user::{self, Identity};
use crate::error::{Error, Kind, Result};
use crate::root;
use crate::wire::config::{Config, IdMapping, Namespace};
use crate::wire::container::{Bundle, BundleResult, RootFilesystem, Run};
use crate::wire::tree::Owner;
use rustix::fd::AsFd;

/// # Errors
/// `Kind::NoUser` if the root has no such user; `Kind::Unsupported` for another user than root where there is one id alone.
pub fn bundle(request: Bundle) -> Result<BundleResult> {
    let root = root::open_directory(&request.root)?;
    let identity = user::lookup(root.as_fd(), request.spec.user.as_deref(), &request.spec.additional_groups)?;
    let plan = plan::of_run(&Run {
        id: "bundle".to_owned(),
        root: RootFilesystem { lowers: Vec::new(), upper: None, work: None, readonly: request.readonly, volatile: false },
        spec: request.spec,
        layer: None,
        container: None,
        network: None,
        stop_timeout: None,
        timeout: None,
        runtime: None,
    })?;
    let config = plan::to_config(&plan, &identity, &[]);
    let config = match request.owner {
        Some(owner) => for_one_user(config, &identity, owner)?,
        None => config,
    };
    Ok(BundleResult { config })
}

/// Of an ordinary user, who is root in a user namespace of that one id.
fn for_one_user(mut config: Config, identity: &Identity, owner: Owner) -> Result<Config> {
    if (identity.uid, identity.gid) != (0, 0) {
        let (uid, gid) = (identity.uid, identity.gid);
        let message = format!("a bundle of an ordinary user has that user alone, as root, and not {uid}:{gid}");
        return Err(Error::new(Kind::Unsupported, message).hint("Choose root: --user 0:0"));
    }
    let map = |host: u32| vec![IdMapping { container: 0, host, size: 1 }];
    config.linux.namespaces.push(Namespace { kind: "user".to_owned(), path: String::new() });
    (config.linux.uid_mappings, config.linux.gid_mappings) = (map(owner.uid), map(owner.gid));
    if let Some(process) = &mut config.process {
        process.user.additional_gids.clear();
    }
    for mount in &mut config.mounts {
        mount.options.retain(|option| !option.starts_with("gid="));
    }
    // Limits and devices are not an ordinary user's to set.
    config.linux.resources = None;
    config.mounts.retain(|mount| mount.kind != "cgroup");
    Ok(config)
}
