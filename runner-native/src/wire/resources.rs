//! What a container may use, as the host says it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_cpus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_mems: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swappiness: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_io: Option<BlockIo>,
    /// Files of version 2 with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unified: BTreeMap<String, String>,
}

/// What a container may use of disks.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockIo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weight_devices: Vec<DeviceNumber>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_bps: Vec<DeviceNumber>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write_bps: Vec<DeviceNumber>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_iops: Vec<DeviceNumber>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write_iops: Vec<DeviceNumber>,
}

/// A number for one device: a weight or a rate.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct DeviceNumber {
    pub major: i64,
    pub minor: i64,
    pub value: u64,
}

/// Devices that may be opened, whether or not there are nodes of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DeviceRule {
    /// `a`, `b` or `c`.
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    pub access: String,
}
