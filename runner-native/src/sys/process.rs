//! Processes, as others see them.

use crate::sys::{self, task};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::ffi::CStr;
use std::time::Duration;

/// When a process was started, in clock ticks since boot (field 22 of /proc/PID/stat).
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Whether a process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    Lives,
    /// It has ended, and perhaps nobody has asked how.
    Ended,
}

/// Whether the process of this number is still the one that was started then.
pub fn liveness(pid: i32, start: u64) -> Liveness {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_ascii_whitespace();
    let is_dead = matches!(fields.next(), None | Some("Z" | "X"));
    let is_same = fields.nth(18).and_then(|field| field.parse().ok()) == Some(start);
    if is_same && !is_dead { Liveness::Lives } else { Liveness::Ended }
}

/// Waits for the end of a process, for so long. Whether it has ended.
pub fn ends_within(process: &OwnedFd, wait: Option<Duration>) -> bool {
    let timeout = wait.map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) });
    poll(&mut [PollFd::new(process, PollFlags::IN)], timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

/// Makes this process, which gets a name of its own, one that belongs to no terminal and holds none of the caller's streams.
pub fn leave_caller(name: &CStr) {
    let _ = rustix::process::setsid();
    task::set_name(name);
    if let Ok(null) = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        for stream in 0..3 {
            let _ = sys::put_at(&null, stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_found() {
        let me = std::process::id() as i32;
        assert!(start_time(me).unwrap() > 0);
        assert_eq!(start_time(me), start_time(me));
        assert_eq!(start_time(i32::MAX), None);
        let start = start_time(me).unwrap();
        assert_eq!(liveness(me, start), Liveness::Lives);
        assert_eq!(liveness(me, start + 1), Liveness::Ended);
        assert_eq!(liveness(i32::MAX, start), Liveness::Ended);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        let start = start_time(pid).unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while liveness(pid, start) == Liveness::Lives && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(liveness(pid, start), Liveness::Ended, "one that nobody has waited for");
        child.wait().unwrap();
    }
}
