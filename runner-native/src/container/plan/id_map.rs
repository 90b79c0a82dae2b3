//! Mounts whose owners are shown as others (runtime specification, "Mounts": `idmap`, `ridmap`, `uidMappings`).

use super::request;
use crate::container::options::Options;
use crate::error::Result;
use crate::wire::config::{self, Config, IdMapping};

/// Which ids a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    pub ids: Ids,
    /// Of all mounts below as well.
    pub recursive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    Maps {
        uids: Vec<IdMapping>,
        gids: Vec<IdMapping>,
    },
    /// Those of a user namespace that is there.
    OfNamespace(String),
}

impl IdMap {
    /// Of a mount; without maps of its own it has those of the container.
    pub fn new(mount: &config::Mount, options: &Options, config: &Config) -> Result<Option<Self>> {
        let has_maps = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        if options.idmap.is_none() && !has_maps {
            return Ok(None);
        }
        let wrong = |why: &str| Err(request(format!("mount of {:?}: {why}", mount.destination)));
        if !options.bind {
            return wrong("id-mapped mounts are only supported for bind mounts");
        }
        if has_maps && (mount.uid_mappings.is_empty() || mount.gid_mappings.is_empty()) {
            return wrong("id-mapped mounts need both uidMappings and gidMappings");
        }
        let recursive = options.idmap == Some(true);
        if has_maps {
            let (uids, gids) = (mount.uid_mappings.clone(), mount.gid_mappings.clone());
            return Ok(Some(Self { ids: Ids::Maps { uids, gids }, recursive }));
        }
        match config.linux.namespaces.iter().find(|namespace| namespace.kind == "user") {
            None => wrong("id-mapped mounts without maps need a user namespace of the container"),
            Some(namespace) if namespace.path.is_empty() => {
                let (uids, gids) = (config.linux.uid_mappings.clone(), config.linux.gid_mappings.clone());
                Ok(Some(Self { ids: Ids::Maps { uids, gids }, recursive }))
            }
            Some(namespace) => Ok(Some(Self { ids: Ids::OfNamespace(namespace.path.clone()), recursive })),
        }
    }
}
