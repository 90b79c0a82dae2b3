//! `events`: what a container uses, once or again and again, and when it ran out of memory.

use crate::cgroup::Cgroup;
use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::kill::groups;
use crate::oci::store::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often it is looked whether memory ran out.
const STEP: Duration = Duration::from_millis(200);

pub fn events(call: &Call<'_>) -> Result<()> {
    let container = call.store.find(call.id())?;
    if container.status() == Status::Stopped {
        return Err(Error::new(Kind::State, "container not running"));
    }
    let cgroup = groups(&container)?;
    let say = |kind: &str, data: Value| println!("{}", json!({ "type": kind, "id": call.id(), "data": data }));
    if call.words.has("stats") {
        say("stats", stats(&cgroup));
        return Ok(());
    }
    let interval = interval(call.words.get("interval").unwrap_or("5s"))?;
    let pidfd = container.process()?;
    let (mut next, mut was_killed) = (Instant::now() + interval, cgroup.oom_kills());
    loop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let step = Timespec { tv_sec: 0, tv_nsec: i64::from(STEP.subsec_nanos()) };
        let has_ended = poll(&mut fds, Some(&step)).is_ok_and(|count| count > 0);
        let killed = cgroup.oom_kills();
        if killed > was_killed {
            say("oom", Value::Null);
        }
        was_killed = killed;
        if has_ended {
            return Ok(());
        }
        if Instant::now() >= next {
            say("stats", stats(&cgroup));
            next += interval;
        }
    }
}

/// `5s`, `500ms`, `1m`: as Go writes durations of one unit.
fn interval(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let milliseconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|number| *number > 0);
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| Error::new(Kind::Request, format!("invalid interval {text:?}: it is a duration above 0, such as 5s")))
}

/// What the control groups count, in runc's form. Times in nanoseconds, sizes in bytes.
fn stats(cgroup: &Cgroup) -> Value {
    let number = |controller: &str, legacy: &str, unified: &str| cgroup.number::<u64>(controller, legacy, unified).unwrap_or(0);
    let cpu = cgroup.table("cpu", "cpu.stat");
    let field = |table: &std::collections::BTreeMap<String, u64>, name: &str| table.get(name).copied().unwrap_or(0);
    let usage = match cgroup.number::<u64>("cpuacct", "cpuacct.usage", "") {
        Some(total) => json!({
            "total": total,
            "kernel": number("cpuacct", "cpuacct.usage_sys", ""),
            "user": number("cpuacct", "cpuacct.usage_user", ""),
        }),
        None => json!({
            "total": field(&cpu, "usage_usec") * 1000,
            "kernel": field(&cpu, "system_usec") * 1000,
            "user": field(&cpu, "user_usec") * 1000,
        }),
    };
    let memory = cgroup.table("memory", "memory.stat");
    json!({
        "cpu": {
            "usage": usage,
            "throttling": {
                "periods": field(&cpu, "nr_periods"),
                "throttledPeriods": field(&cpu, "nr_throttled"),
                "throttledTime": cpu.get("throttled_time").copied().unwrap_or_else(|| field(&cpu, "throttled_usec") * 1000),
            },
        },
        "memory": {
            "cache": memory.get("cache").copied().unwrap_or_else(|| field(&memory, "file")),
            "usage": {
                "usage": number("memory", "memory.usage_in_bytes", "memory.current"),
                "limit": number("memory", "memory.limit_in_bytes", "memory.max"),
                "max": number("memory", "memory.max_usage_in_bytes", "memory.peak"),
                "failcnt": number("memory", "memory.failcnt", ""),
            },
            "swap": {
                "usage": number("memory", "memory.memsw.usage_in_bytes", "memory.swap.current"),
                "limit": number("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
            },
            "raw": memory,
        },
        "pids": { "current": number("pids", "pids.current", "pids.current"), "limit": number("pids", "pids.max", "pids.max") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_durations() {
        for (text, milliseconds) in [("5s", 5000), ("500ms", 500), ("2m", 120_000)] {
            assert_eq!(interval(text).unwrap(), Duration::from_millis(milliseconds));
        }
        for text in ["", "5", "0s", "-1s", "s", "5d"] {
            interval(text).unwrap_err();
        }
    }
}
