//! How the log of a container is kept, as the host says it.

use super::place::Place;
use serde::{Deserialize, Serialize};

/// How a log is kept.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogOptions {
    pub format: LogFormat,
    /// A file that has so much is put aside, and another one begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// So many files at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_files: Option<u32>,
    /// Where it is kept, in place of `log` in the container's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<LogPlace>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LogPlace {
    pub directory: Place,
    pub name: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    #[default]
    JsonFile,
    K8sFile,
}
