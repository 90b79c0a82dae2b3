//! What a container may use, as files of both versions of control groups.

use crate::wire::config::{BlockIo, Cpu, Memory, Resources, Throttle};

/// What is to be written where.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    pub controller: &'static str,
    /// Files of version 1 with their values, in order.
    pub legacy: Vec<(String, String)>,
    pub unified: Vec<(String, String)>,
    /// The name that the user knows it by.
    pub what: &'static str,
}

/// Of `unified`: whatever the user names, in version 2.
pub const ANY: &str = "";

fn setting(controller: &'static str, what: &'static str) -> Setting {
    Setting { controller, legacy: Vec::new(), unified: Vec::new(), what }
}

// Most values are made for the call.
#[allow(clippy::needless_pass_by_value)]
impl Setting {
    fn legacy(mut self, file: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.legacy.push((file.into(), value.to_string()));
        self
    }

    fn unified(mut self, file: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.unified.push((file.into(), value.to_string()));
        self
    }
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// In the order in which they must be written.
pub fn settings(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    memory(&resources.memory, &mut settings);
    cpu(&resources.cpu, &mut settings);
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        settings.push(setting("pids", "process").legacy("pids.max", or_max(limit)).unified("pids.max", or_max(limit)));
    }
    block_io(&resources.block_io, &mut settings);
    for huge in &resources.hugepage_limits {
        let (size, limit) = (&huge.page_size, huge.limit);
        settings.push(
            setting("hugetlb", "huge page")
                .legacy(format!("hugetlb.{size}.limit_in_bytes"), limit)
                .legacy(format!("hugetlb.{size}.rsvd.limit_in_bytes"), limit)
                .unified(format!("hugetlb.{size}.max"), limit)
                .unified(format!("hugetlb.{size}.rsvd.max"), limit),
        );
    }
    if let Some(class) = resources.network.class_id {
        settings.push(setting("net_cls", "network class").legacy("net_cls.classid", class));
    }
    for priority in &resources.network.priorities {
        settings
            .push(setting("net_prio", "network priority").legacy("net_prio.ifpriomap", format!("{} {}", priority.name, priority.priority)));
    }
    for (device, rdma) in &resources.rdma {
        let mut value = device.clone();
        for (name, limit) in [("hca_handle", rdma.hca_handles), ("hca_object", rdma.hca_objects)] {
            if let Some(limit) = limit {
                value = format!("{value} {name}={limit}");
            }
        }
        settings.push(setting("rdma", "RDMA").legacy("rdma.max", &value).unified("rdma.max", &value));
    }
    for (file, value) in &resources.unified {
        settings.push(setting(ANY, "cgroup").unified(file, value));
    }
    settings
}

fn memory(memory: &Memory, settings: &mut Vec<Setting>) {
    if memory.limit.is_some() || memory.swap.is_some() {
        let mut found = setting("memory", "memory");
        if let Some(limit) = memory.limit {
            found = found.legacy("memory.limit_in_bytes", limit).unified("memory.max", or_max(limit));
        }
        // The sum of memory and swap. Version 2 has swap alone.
        let sum = memory.swap.or(memory.limit.filter(|limit| *limit < 0));
        if let Some(sum) = sum.filter(|sum| *sum != 0) {
            let swap = if sum < 0 { -1 } else { (sum - memory.limit.unwrap_or(0).max(0)).max(0) };
            found = found.legacy("memory.memsw.limit_in_bytes", sum).unified("memory.swap.max", or_max(swap));
        }
        settings.push(found);
    }
    if let Some(reservation) = memory.reservation {
        settings.push(
            setting("memory", "memory reservation")
                .legacy("memory.soft_limit_in_bytes", reservation)
                .unified("memory.low", or_max(reservation)),
        );
    }
    if let Some(limit) = memory.kernel_tcp.filter(|limit| *limit != 0) {
        settings.push(setting("memory", "kernel TCP memory").legacy("memory.kmem.tcp.limit_in_bytes", limit));
    }
    if let Some(swappiness) = memory.swappiness {
        settings.push(setting("memory", "swappiness").legacy("memory.swappiness", swappiness));
    }
    if memory.disable_oom_killer == Some(true) {
        settings.push(setting("memory", "OOM killer").legacy("memory.oom_control", 1));
    }
}

fn cpu(cpu: &Cpu, settings: &mut Vec<Setting>) {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        settings.push(setting("cpu", "processor").legacy("cpu.shares", shares).unified("cpu.weight", weight_of(shares)));
    }
    if let Some(idle) = cpu.idle {
        settings.push(setting("cpu", "idle processor").legacy("cpu.idle", idle).unified("cpu.idle", idle));
    }
    let period = cpu.period.filter(|period| *period != 0);
    let quota = cpu.quota.filter(|quota| *quota != 0);
    if period.is_some() || quota.is_some() {
        let mut found = setting("cpu", "processor");
        if let Some(period) = period {
            found = found.legacy("cpu.cfs_period_us", period);
        }
        if let Some(quota) = quota {
            found = found.legacy("cpu.cfs_quota_us", quota);
        }
        found = found.unified("cpu.max", format!("{} {}", or_max(quota.unwrap_or(-1)), period.unwrap_or(100_000)));
        settings.push(found);
    }
    if let Some(burst) = cpu.burst {
        settings.push(setting("cpu", "processor burst").legacy("cpu.cfs_burst_us", burst).unified("cpu.max.burst", burst));
    }
    if let Some(period) = cpu.realtime_period.filter(|period| *period != 0) {
        settings.push(setting("cpu", "real-time processor").legacy("cpu.rt_period_us", period));
    }
    if let Some(runtime) = cpu.realtime_runtime.filter(|runtime| *runtime != 0) {
        settings.push(setting("cpu", "real-time processor").legacy("cpu.rt_runtime_us", runtime));
    }
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !value.is_empty() {
            settings.push(setting("cpuset", "processor set").legacy(file, value).unified(file, value));
        }
    }
}

fn block_io(block: &BlockIo, settings: &mut Vec<Setting>) {
    if let Some(weight) = block.weight.filter(|weight| *weight != 0) {
        settings.push(setting("blkio", "block device weight").legacy("blkio.bfq.weight", weight).unified("io.bfq.weight", weight));
    }
    if let Some(weight) = block.leaf_weight.filter(|weight| *weight != 0) {
        settings.push(setting("blkio", "block device weight").legacy("blkio.leaf_weight", weight));
    }
    for device in &block.weight_device {
        let number = format!("{}:{}", device.major, device.minor);
        if let Some(weight) = device.weight {
            settings.push(
                setting("blkio", "block device weight")
                    .legacy("blkio.bfq.weight_device", format!("{number} {weight}"))
                    .unified("io.bfq.weight", format!("{number} {weight}")),
            );
        }
    }
    let throttles: [(&[Throttle], &str, &str); 4] = [
        (&block.throttle_read_bps_device, "blkio.throttle.read_bps_device", "rbps"),
        (&block.throttle_write_bps_device, "blkio.throttle.write_bps_device", "wbps"),
        (&block.throttle_read_iops_device, "blkio.throttle.read_iops_device", "riops"),
        (&block.throttle_write_iops_device, "blkio.throttle.write_iops_device", "wiops"),
    ];
    for (devices, file, key) in throttles {
        for Throttle { major, minor, rate } in devices {
            settings.push(
                setting("blkio", "block device")
                    .legacy(file, format!("{major}:{minor} {rate}"))
                    .unified("io.max", format!("{major}:{minor} {key}={rate}")),
            );
        }
    }
}

#[allow(clippy::cast_precision_loss)]
/// Shares (2 to 262144, 1024 by default) as a weight (1 to 10000, 100 by default): the curve through those three points
/// that runc and crun use.
fn weight_of(shares: u64) -> u64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        assert_eq!([2, 1024, 262_144].map(weight_of), [1, 100, 10_000]);
        assert!(weight_of(512) < 100 && weight_of(2048) > 100);
    }

    #[test]
    fn limits_are_written_in_both_languages() {
        // Resources; what version 1 is told; what version 2 is told.
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);
        const CASES: &[Case] = &[
            (
                r#"{"memory":{"limit":100,"swap":200}}"#,
                &[("memory.limit_in_bytes", "100"), ("memory.memsw.limit_in_bytes", "200")],
                &[("memory.max", "100"), ("memory.swap.max", "100")],
            ),
            (
                r#"{"memory":{"limit":-1}}"#,
                &[("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
                &[("memory.max", "max"), ("memory.swap.max", "max")],
            ),
            (
                r#"{"cpu":{"quota":150000,"period":100000}}"#,
                &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "150000")],
                &[("cpu.max", "150000 100000")],
            ),
            (r#"{"cpu":{"quota":-1}}"#, &[("cpu.cfs_quota_us", "-1")], &[("cpu.max", "max 100000")]),
            (r#"{"pids":{"limit":-1}}"#, &[("pids.max", "max")], &[("pids.max", "max")]),
            (r#"{"pids":{"limit":0}}"#, &[("pids.max", "0")], &[("pids.max", "0")]),
            (
                r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5}]}}"#,
                &[("blkio.throttle.read_bps_device", "8:0 5")],
                &[("io.max", "8:0 rbps=5")],
            ),
            (r#"{"unified":{"memory.high":"5"}}"#, &[], &[("memory.high", "5")]),
            (r#"{"network":{"classID":7}}"#, &[("net_cls.classid", "7")], &[]),
        ];
        for (resources, legacy, unified) in CASES {
            let settings = settings(&serde_json::from_str(resources).unwrap());
            let flat =
                |of: fn(&Setting) -> &Vec<(String, String)>| -> Vec<(String, String)> { settings.iter().flat_map(of).cloned().collect() };
            let owned =
                |pairs: &[(&str, &str)]| pairs.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
            assert_eq!(flat(|setting| &setting.legacy), owned(legacy), "{resources}");
            assert_eq!(flat(|setting| &setting.unified), owned(unified), "{resources}");
        }
    }
}
