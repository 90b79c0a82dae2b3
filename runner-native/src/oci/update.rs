//! `update`: other limits for a container that runs.

use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::bundle;
use crate::oci::kill::groups;
use crate::oci::store::Status;
use crate::wire::config::{Pids, Resources};
use std::fs::File;
use std::path::Path;

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::Request, message)
}

pub fn update(call: &Call<'_>) -> Result<()> {
    let mut container = call.store.find(call.id())?;
    let _lock = container.place.lock()?;
    if container.status() == Status::Stopped {
        return Err(Error::new(Kind::State, "container not running"));
    }
    let asked = asked(call)?;
    let cgroup = groups(&container)?;
    if asked.memory.check_before_update == Some(true) {
        let used = cgroup.number("memory", "memory.usage_in_bytes", "memory.current").unwrap_or(0);
        if let Some(limit) = asked.memory.limit.filter(|limit| (0..used).contains(limit)) {
            return Err(wrong(format!("the memory limit {limit} is below what is in use: {used} bytes")));
        }
    }
    let mut all = container.record.config.linux.resources.clone().unwrap_or_default();
    merge(&mut all, asked);
    cgroup.update(&Resources { devices: Vec::new(), ..all.clone() })?;
    container.record.config.linux.resources = Some(all);
    container.place.write(&container.record)
}

/// Of the file, or else of the flags.
fn asked(call: &Call<'_>) -> Result<Resources> {
    let words = call.words;
    if let Some(path) = words.get("resources") {
        return match path {
            "-" => bundle::parse(std::io::stdin().lock(), Path::new("-")),
            path => bundle::parse(File::open(path).map_err(|error| Error::io(format!("open({path:?})"), &error))?, Path::new(path)),
        };
    }
    let bytes = |name: &str| words.get(name).filter(|text| !text.is_empty()).map(|text| size(text, name)).transpose();
    let mut found = Resources::default();
    found.block_io.weight = number(call, "blkio-weight")?;
    found.cpu.period = number(call, "cpu-period")?;
    found.cpu.quota = number(call, "cpu-quota")?;
    found.cpu.burst = number(call, "cpu-burst")?;
    found.cpu.shares = number(call, "cpu-share")?;
    found.cpu.idle = number(call, "cpu-idle")?;
    found.cpu.realtime_period = number(call, "cpu-rt-period")?;
    found.cpu.realtime_runtime = number(call, "cpu-rt-runtime")?;
    words.get("cpuset-cpus").unwrap_or_default().clone_into(&mut found.cpu.cpus);
    words.get("cpuset-mems").unwrap_or_default().clone_into(&mut found.cpu.mems);
    found.memory.limit = bytes("memory")?;
    found.memory.reservation = bytes("memory-reservation")?;
    found.memory.swap = bytes("memory-swap")?;
    found.pids = number(call, "pids-limit")?.map(|limit| Pids { limit: Some(limit) });
    Ok(found)
}

/// The number that a flag has.
fn number<T: std::str::FromStr>(call: &Call<'_>, name: &str) -> Result<Option<T>> {
    let parse = |text: &str| text.parse().map_err(|_| wrong(format!("invalid value {text:?} for --{name}")));
    call.words.get(name).filter(|text| !text.is_empty()).map(parse).transpose()
}

/// `64m`: bytes with a unit of powers of 1024; `-1`: no limit.
fn size(text: &str, name: &str) -> Result<i64> {
    let refuse = || wrong(format!("invalid value {text:?} for --{name}: it is a number of bytes such as 64m, or -1"));
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let digits = plain.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &plain[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(refuse()),
    };
    let number: i64 = digits.parse().ok().filter(|_| !digits.starts_with('+')).ok_or_else(refuse)?;
    if number < 0 { Err(refuse()) } else { number.checked_mul(1 << unit).ok_or_else(refuse) }
}

fn put<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

fn put_text(place: &mut String, value: String) {
    if !value.is_empty() {
        *place = value;
    }
}

/// What is asked for in place of what was before.
fn merge(all: &mut Resources, asked: Resources) {
    let (memory, new) = (&mut all.memory, asked.memory);
    put(&mut memory.limit, new.limit);
    put(&mut memory.reservation, new.reservation);
    put(&mut memory.swap, new.swap);
    put(&mut memory.kernel_tcp, new.kernel_tcp);
    put(&mut memory.swappiness, new.swappiness);
    let (cpu, new) = (&mut all.cpu, asked.cpu);
    put(&mut cpu.shares, new.shares);
    put(&mut cpu.quota, new.quota);
    put(&mut cpu.burst, new.burst);
    put(&mut cpu.period, new.period);
    put(&mut cpu.realtime_period, new.realtime_period);
    put(&mut cpu.realtime_runtime, new.realtime_runtime);
    put(&mut cpu.idle, new.idle);
    put_text(&mut cpu.cpus, new.cpus);
    put_text(&mut cpu.mems, new.mems);
    put(&mut all.pids, asked.pids);
    put(&mut all.block_io.weight, asked.block_io.weight);
    let (throttle, new) = (&mut all.block_io, asked.block_io);
    for (place, value) in [
        (&mut throttle.throttle_read_bps_device, new.throttle_read_bps_device),
        (&mut throttle.throttle_write_bps_device, new.throttle_write_bps_device),
        (&mut throttle.throttle_read_iops_device, new.throttle_read_iops_device),
        (&mut throttle.throttle_write_iops_device, new.throttle_write_iops_device),
    ] {
        if !value.is_empty() {
            *place = value;
        }
    }
    all.unified.extend(asked.unified);
    if !asked.hugepage_limits.is_empty() {
        all.hugepage_limits = asked.hugepage_limits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("0", 0), ("1024", 1024), ("64m", 64 << 20), ("2G", 2 << 30), ("1kb", 1024), ("3MiB", 3 << 20), ("-1", -1)] {
            assert_eq!(size(text, "memory").unwrap(), bytes, "{text}");
        }
        for text in ["", "m", "-2", "1x", "+1", "1.5g", "99999999999999999999", "9000000000g", "1 m"] {
            assert!(size(text, "memory").is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let of = |text: &str| -> Resources { serde_json::from_str(text).unwrap() };
        let mut all = of(r#"{"memory":{"limit":5,"swap":9},"cpu":{"period":100,"cpus":"0"},"pids":{"limit":3}}"#);
        merge(&mut all, of(r#"{"memory":{"limit":6},"cpu":{"quota":50}}"#));
        assert_eq!(all, of(r#"{"memory":{"limit":6,"swap":9},"cpu":{"period":100,"quota":50,"cpus":"0"},"pids":{"limit":3}}"#));
    }
}
