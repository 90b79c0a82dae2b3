//! Devices of a plan: nodes to be made, and where they come from.

use crate::container::dev::number_of;
use crate::error::{Error, Kind, Result};
use crate::wire::config;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The devices that every container has: name, major, minor.
pub const STANDARD: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// A device node inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Absolute, inside.
    pub path: String,
    /// `c`, `b` or `p`.
    pub kind: char,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A device of the host that is asked for by its path there: itself, or all in a directory.
pub struct Device {
    pub path: String,
    pub target: String,
    /// Of `r`, `w` and `m`.
    pub access: String,
}

/// The standard devices and these. One that is given twice is the last.
pub fn nodes(devices: &[config::Device]) -> Result<Vec<Node>> {
    let standard = STANDARD.iter().map(|(name, major, minor)| Node {
        path: format!("/dev/{name}"),
        kind: 'c',
        major: *major,
        minor: *minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    });
    let mut nodes: Vec<Node> = standard.collect();
    for device in devices {
        let node = node(device)?;
        nodes.retain(|known| known.path != node.path);
        nodes.push(node);
    }
    Ok(nodes)
}

fn node(device: &config::Device) -> Result<Node> {
    let wrong = |why: &str| Error::new(Kind::Request, format!("device {:?} {why}", device.path));
    let kind = match device.kind.as_str() {
        "c" | "u" => 'c',
        "b" => 'b',
        "p" => 'p',
        other => return Err(wrong(&format!("is of type {other:?}, which is none of c, b, u and p"))),
    };
    if !device.path.starts_with('/') || device.path.split('/').any(|name| name == "..") {
        return Err(wrong("is not an absolute path"));
    }
    let number = |number: i64| u32::try_from(number).map_err(|_| wrong("has no number"));
    let (major, minor) = if kind == 'p' { (0, 0) } else { (number(device.major)?, number(device.minor)?) };
    Ok(Node {
        path: device.path.clone(),
        kind,
        major,
        minor,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    })
}

impl Device {
    /// In the specification's words.
    ///
    /// # Errors
    /// `Kind::Request` for what is no device.
    pub fn expand(&self) -> Result<Vec<config::Device>> {
        let error = |call: &str, error: &std::io::Error| Error::io(format!("{call}({:?})", self.path), error).path(&self.path);
        let metadata = std::fs::metadata(&self.path).map_err(|cause| error("stat", &cause))?;
        if !metadata.is_dir() {
            return Ok(vec![described(&self.path, &self.target)?]);
        }
        let entries = std::fs::read_dir(&self.path).map_err(|cause| error("open", &cause))?;
        let is_device = |kind: std::fs::FileType| kind.is_char_device() || kind.is_block_device();
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(is_device))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(|name| described(&format!("{}/{name}", self.path), &format!("{}/{name}", self.target)))
            .collect()
    }
}

fn described(path: &str, target: &str) -> Result<config::Device> {
    if target.strip_prefix("/dev/").is_none_or(str::is_empty) {
        return Err(Error::new(Kind::Request, format!("a device cannot be put at {target:?}, only below /dev")));
    }
    let (kind, major, minor) = number_of(path)?;
    let stat = std::fs::metadata(path).map_err(|error| Error::io(format!("stat({path:?})"), &error).path(path))?;
    Ok(config::Device {
        kind: kind.to_string(),
        path: target.to_owned(),
        major: major.into(),
        minor: minor.into(),
        file_mode: Some(stat.mode() & 0o777),
        uid: Some(stat.uid()),
        gid: Some(stat.gid()),
    })
}

/// Every device of the host, for a privileged container.
pub fn all_of_host() -> Vec<config::Device> {
    let mut found = Vec::new();
    let mut directories = vec![String::from("/dev")];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let path = format!("{directory}/{name}");
            if kind.is_dir() && !matches!(path.as_str(), "/dev/pts" | "/dev/shm" | "/dev/mqueue" | "/dev/hugepages") {
                directories.push(path);
            } else if (kind.is_char_device() || kind.is_block_device())
                && !matches!(path.as_str(), "/dev/console" | "/dev/ptmx")
                && !STANDARD.iter().any(|(known, _, _)| path.strip_prefix("/dev/") == Some(known))
            {
                found.extend(described(&path, &path));
            }
        }
    }
    found
}
