//! A bundle: the directory with `config.json`, and the plan that is made of that.

use crate::container::capabilities;
use crate::container::namespaces;
use crate::container::plan::{Beside, Plan};
use crate::error::{Error, Kind, Result};
use crate::wire::config::{Capabilities, Config};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The most that is read of a `config.json`.
const CONFIG_BYTES: u64 = 64 << 20;
/// The newest version of the specification that is followed, and the oldest.
pub const VERSIONS: (&str, &str) = ("1.0.0", "1.3.0");

/// A bundle that was read.
pub struct Bundle {
    pub path: String,
    pub config: Config,
    /// Names of capabilities that Linux does not know, which the specification wants left out with a warning.
    pub unknown: Vec<String>,
}

fn request(message: impl Into<String>) -> Error {
    Error::new(Kind::Request, message)
}

impl Bundle {
    /// Reads `config.json` of a directory, or the file of another name.
    ///
    /// # Errors
    /// `Kind::Request` for what is no configuration of a version that is known.
    pub fn read(directory: &str, file: Option<&str>) -> Result<Self> {
        let call = |error: &std::io::Error, path: &Path| Error::io(format!("open({:?})", path.display()), error);
        let path = std::fs::canonicalize(directory).map_err(|error| call(&error, Path::new(directory)))?;
        let name = file.map_or_else(|| path.join("config.json"), PathBuf::from);
        let open = File::open(&name).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                return Error::new(Kind::NotFound, format!("JSON specification file {} not found", name.display()));
            }
            call(&error, &name)
        })?;
        let mut config: Config = parse(open, &name)?;
        let path = path.into_os_string().into_string().map_err(|path| request(format!("the path {path:?} is no text")))?;
        check_version(&config.oci_version)?;
        settle(&mut config, &path)?;
        let unknown = config.process.as_mut().and_then(|process| process.capabilities.as_mut()).map(take_unknown).unwrap_or_default();
        Ok(Self { path, config, unknown })
    }

    /// What is to be made of it.
    pub fn plan(&self, beside: Beside) -> Result<Plan> {
        Plan::new(self.config.clone(), &Beside { bundle: self.path.clone(), make_cwd: true, ..beside })
    }
}

/// Reads JSON with a bound.
pub fn parse<T: serde::de::DeserializeOwned>(input: impl Read, name: &Path) -> Result<T> {
    let mut text = Vec::new();
    let count = input.take(CONFIG_BYTES + 1).read_to_end(&mut text);
    count.map_err(|error| Error::io(format!("read({:?})", name.display()), &error))?;
    if text.len() as u64 > CONFIG_BYTES {
        return Err(Error::new(Kind::TooLarge, format!("{} is larger than {} MiB", name.display(), CONFIG_BYTES >> 20)));
    }
    serde_json::from_slice(&text).map_err(|error| request(format!("{} cannot be read: {error}", name.display())))
}

/// Takes out the names of capabilities that Linux does not know.
pub fn take_unknown(sets: &mut Capabilities) -> Vec<String> {
    let mut unknown = Vec::new();
    let Capabilities { bounding, effective, inheritable, permitted, ambient } = sets;
    for set in [bounding, effective, inheritable, permitted, ambient] {
        let (known, other) = std::mem::take(set).into_iter().partition(|name| capabilities::is_known(name));
        *set = known;
        let other: Vec<String> = other;
        unknown.extend(other);
    }
    unknown.sort();
    unknown.dedup();
    unknown
}

/// Semantic versions with the major number 1.
fn check_version(version: &str) -> Result<()> {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = plain.split('.').map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(_), Some(_)] => Ok(()),
        [Some(_), Some(_), Some(_)] => {
            Err(request(format!("unsupported ociVersion {version:?}: this runtime knows 1.0.0 to {}", VERSIONS.1)))
        }
        _ => Err(request(format!("ociVersion {version:?} is no semantic version"))),
    }
}

/// Paths become absolute, and what is the machine's own does not count as the container's.
fn settle(config: &mut Config, bundle: &str) -> Result<()> {
    let root = config.root.as_mut().ok_or_else(|| request("root must be specified"))?;
    if root.path.is_empty() {
        return Err(request("root.path must not be empty"));
    }
    if !root.path.starts_with('/') {
        root.path = format!("{bundle}/{}", root.path);
    }
    if !Path::new(&root.path).is_dir() {
        return Err(Error::new(
            Kind::NotFound,
            format!("root.path {:?} is not a directory: invalid rootfs: no such file or directory", root.path),
        ));
    }
    // One that is the same as ours is the machine's, whoever names it: what it has must not be changed.
    config.linux.namespaces.retain(|namespace| namespace.path.is_empty() || !is_ours(&namespace.kind, &namespace.path));
    config.linux.cgroups_path = clean(&config.linux.cgroups_path);
    Ok(())
}

fn is_ours(kind: &str, path: &str) -> bool {
    let Some((_, file, _)) = namespaces::KINDS.iter().find(|(name, _, _)| *name == kind) else { return false };
    let of = |path: &str| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    of(path).is_some_and(|found| Some(found) == of(&format!("/proc/self/ns/{file}")))
}

/// A path of control groups without `.` and `..`, which leads nowhere above where it begins.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.extend(name.to_str()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    let start = if path.starts_with('/') { "/" } else { "" };
    format!("{start}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &serde_json::Value) -> Result<Bundle> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("rootfs")).unwrap();
        std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
        Bundle::read(directory.path().to_str().unwrap(), None)
    }

    #[test]
    fn versions_are_those_of_the_specification() {
        for version in ["1.0.0", "1.0.2-dev", "1.3.0", "1.3.0+dev", "1.9.9"] {
            check_version(version).unwrap();
        }
        for version in ["", "1", "1.0", "0.5.0", "2.0.0", "x.y.z", "1.0.0.0"] {
            assert_eq!(check_version(version).unwrap_err().kind, Kind::Request, "{version:?}");
        }
    }

    #[test]
    fn paths_of_control_groups_stay_below_where_they_begin() {
        for (path, cleaned) in
            [("/a/b", "/a/b"), ("/a/../../b", "/b"), ("../../a", "a"), ("/../..", "/"), ("a//./b/", "a/b"), ("", ""), ("/a/b/../c", "/a/c")]
        {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }

    #[test]
    fn namespaces_of_the_machine_are_not_the_containers() {
        let config = serde_json::json!({
            "ociVersion": "1.0.0", "root": { "path": "rootfs" }, "unknown": { "property": [1] },
            "linux": { "namespaces": [{ "type": "mount" }, { "type": "network", "path": "/proc/self/ns/net" }, { "type": "ipc", "path": "/nowhere" }] },
        });
        let kinds: Vec<String> = read(&config).unwrap().config.linux.namespaces.into_iter().map(|namespace| namespace.kind).collect();
        assert_eq!(kinds, ["mount", "ipc"]);
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        for config in [
            serde_json::json!({}),
            serde_json::json!({ "ociVersion": "1.0.0" }),
            serde_json::json!({ "ociVersion": "1.0.0", "root": { "path": "" } }),
            serde_json::json!({ "ociVersion": "1.0.0", "root": { "path": "nowhere" } }),
            serde_json::json!({ "ociVersion": "1.0.0", "root": { "path": "rootfs" }, "process": 5 }),
            serde_json::json!([]),
        ] {
            assert!(read(&config).is_err(), "{config}");
        }
        assert!(Bundle::read("/nowhere", None).is_err());
    }
}
