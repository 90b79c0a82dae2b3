//! The verb `guard`: what is done about a container beside watching it.

use crate::wire::container::{ContainerPlace, ExecSpec};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
pub struct Guard {
    pub container: ContainerPlace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

/// How it is found out whether the container does its work.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    pub spec: ExecSpec,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub start_period_ms: u64,
    pub start_interval_ms: u64,
    pub retries: u32,
}

/// What starts the container again when it has ended.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    pub command: Vec<String>,
    pub env: Vec<String>,
    /// Only if it did not end with 0.
    #[serde(default)]
    pub on_failure: bool,
    pub delay_ms: u64,
}

/// `health.json` of a container, in the words of Docker's `inspect`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    pub status: String,
    pub failing_streak: u32,
    pub log: Vec<HealthResult>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthResult {
    /// RFC 3339.
    pub start: String,
    pub end: String,
    /// -1: the check could not be made, or took too long.
    pub exit_code: i32,
    pub output: String,
}
