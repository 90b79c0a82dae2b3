//! Health checks: a command in the container, again and again, and what its exit status says (Docker's rules).

use crate::container::state::{Directory, now};
use crate::error::Result;
use crate::sys::process::ends_within;
use crate::sys::{self, task};
use crate::verbs::exec;
use crate::wire::container::{ContainerPlace, Exec};
use crate::wire::event::Events;
use crate::wire::guard::{Health, HealthCheck, HealthResult};
use crate::wire::stream::{Got, never_wait, pipe, read};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::File;
use std::time::{Duration, Instant};

/// As many results as Docker keeps, and as much of what each wrote.
const MOST_RESULTS: usize = 5;
const MOST_OUTPUT: usize = 4096;
/// What a check says on its way (warnings), beside its result.
const MOST_EVENTS: usize = 64 << 10;

pub struct Checks<'a> {
    container: &'a ContainerPlace,
    how: &'a HealthCheck,
    began: Instant,
    last: Instant,
    /// It has been well once: there is no more leniency.
    started: bool,
}

/// What came of one check.
enum Seen {
    Ended {
        exit_code: i32,
        output: String,
    },
    /// The container is frozen, or ends just now.
    Nothing,
}

impl<'a> Checks<'a> {
    pub fn new(container: &'a ContainerPlace, how: &'a HealthCheck) -> Self {
        Self { container, how, began: Instant::now(), last: Instant::now(), started: false }
    }

    /// How long until the next one.
    pub fn next_in(&self) -> Duration {
        let interval = if self.is_lenient() { self.how.start_interval_ms } else { self.how.interval_ms };
        Duration::from_millis(interval).saturating_sub(self.last.elapsed())
    }

    /// It may still be starting: what fails does not count.
    fn is_lenient(&self) -> bool {
        !self.started && self.began.elapsed() < Duration::from_millis(self.how.start_period_ms)
    }

    /// Makes one check and writes down what it says.
    pub fn check(&mut self, directory: &Directory, monitor: &OwnedFd) {
        let start = now();
        let lenient = self.is_lenient();
        let seen = self.run().unwrap_or_else(|error| Seen::Ended { exit_code: -1, output: error.to_string() });
        self.last = Instant::now();
        let Seen::Ended { exit_code, output } = seen else { return };
        // What the container's end brought about says nothing.
        if exit_code != 0 && ends_within(monitor, Some(Duration::ZERO)) {
            return;
        }
        self.started |= exit_code == 0;
        let mut health: Health = directory.read_file("health.json").unwrap_or_default();
        note(&mut health, HealthResult { start, end: now(), exit_code, output }, lenient, self.how.retries);
        // A full disk must not end the container: the next result may find room.
        let _ = directory.write_file("health.json", &health);
    }

    fn run(&self) -> Result<Seen> {
        let (control, lifeline) = pipe()?;
        let (events, events_end) = pipe()?;
        let (output, output_end) = pipe()?;
        let Some(child) = task::fork()? else {
            drop((lifeline, events, output));
            self.perform(control, events_end, &output_end);
        };
        drop((control, events_end, output_end));
        never_wait(&events)?;
        never_wait(&output)?;
        let mut answer = Answer { events: Some(events), said: Vec::new(), output, text: Vec::new(), open: true };
        let in_time = answer.hear(Duration::from_millis(self.how.timeout_ms));
        // The end of its lifeline ends what still runs.
        drop(lifeline);
        if !in_time {
            answer.hear(Duration::from_secs(5));
            let _ = task::kill(child, libc::SIGKILL);
        }
        task::reap(child, true);
        answer.drain();
        if in_time {
            return Ok(answer.result());
        }
        let mut text = String::from_utf8_lossy(&answer.text).into_owned();
        let _ = write!(text, "the health check took longer than {} ms", self.how.timeout_ms);
        Ok(Seen::Ended { exit_code: -1, output: text })
    }

    /// In the new process: the command in the container, as `exec` runs it.
    fn perform(&self, control: OwnedFd, events: OwnedFd, output: &OwnedFd) -> ! {
        for stream in [1, 2] {
            let _ = sys::put_at(output, stream);
        }
        if let Ok(null) = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            let _ = sys::put_at(&null, 0);
        }
        let events = Events::new(File::from(events));
        let request = Exec { container: self.container.clone(), spec: self.how.spec.clone(), detach: false, detach_keys: None };
        if let Err(error) = exec::exec(&request, File::from(control), &events) {
            events.failure(&error);
        }
        sys::exit_now(0);
    }
}

/// What a check says and writes.
struct Answer {
    /// `None`: it has ended.
    events: Option<OwnedFd>,
    said: Vec<u8>,
    output: OwnedFd,
    text: Vec<u8>,
    open: bool,
}

impl Answer {
    /// Until it has ended, but not longer than this. Whether it has.
    fn hear(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let Some(events) = &self.events else { return true };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut fds = vec![PollFd::new(events, PollFlags::IN)];
            if self.open {
                fds.push(PollFd::new(&self.output, PollFlags::IN));
            }
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let _ = poll(&mut fds, Some(&timeout));
            self.drain();
        }
    }

    /// Takes what there is.
    fn drain(&mut self) {
        while self.open {
            match read(&self.output) {
                Got::Bytes(bytes) => {
                    let room = MOST_OUTPUT.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Got::Nothing => break,
                Got::End => self.open = false,
            }
        }
        while let Some(events) = &self.events {
            match read(events) {
                Got::Bytes(bytes) => {
                    let room = MOST_EVENTS.saturating_sub(self.said.len());
                    self.said.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Got::Nothing => break,
                Got::End => self.events = None,
            }
        }
    }

    /// The last thing that it said decides.
    fn result(&self) -> Seen {
        let last = self.said.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        let event: Value = serde_json::from_slice(last).unwrap_or_default();
        let output = String::from_utf8_lossy(&self.text).into_owned();
        match event["event"].as_str() {
            Some("result") => Seen::Ended { exit_code: event["exitCode"].as_i64().unwrap_or(0) as i32, output },
            Some("failure") if event["kind"] == "state" => Seen::Nothing,
            Some("failure") => Seen::Ended { exit_code: -1, output: event["message"].as_str().unwrap_or_default().to_owned() },
            _ => Seen::Ended { exit_code: -1, output },
        }
    }
}

/// Adds a result, and says what it makes of the container.
fn note(health: &mut Health, result: HealthResult, lenient: bool, retries: u32) {
    if result.exit_code == 0 {
        health.failing_streak = 0;
        "healthy".clone_into(&mut health.status);
    } else if !lenient {
        health.failing_streak += 1;
        if health.failing_streak >= retries {
            "unhealthy".clone_into(&mut health.status);
        }
    }
    health.log.push(result);
    let surplus = health.log.len().saturating_sub(MOST_RESULTS);
    health.log.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(codes: &[i32], lenient: usize, retries: u32) -> (String, u32, usize) {
        let mut health = Health { status: "starting".into(), ..Health::default() };
        for (index, exit_code) in codes.iter().enumerate() {
            let result = HealthResult { start: String::new(), end: String::new(), exit_code: *exit_code, output: String::new() };
            note(&mut health, result, index < lenient, retries);
        }
        (health.status, health.failing_streak, health.log.len())
    }

    #[test]
    fn so_many_failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
        for (codes, lenient, retries, expected) in [
            (&[][..], 0, 3, ("starting", 0, 0)),
            (&[1, 1], 0, 3, ("starting", 2, 2)),
            (&[1, 1, -1], 0, 3, ("unhealthy", 3, 3)),
            (&[1, 1, 1], 3, 3, ("starting", 0, 3)),
            (&[0, 1, 1], 0, 3, ("healthy", 2, 3)),
            (&[1, 1, 1, 0], 0, 3, ("healthy", 0, 4)),
            (&[1, 1, 1, 1, 1, 1, 1], 0, 3, ("unhealthy", 7, 5)),
            (&[1], 0, 1, ("unhealthy", 1, 1)),
        ] {
            let (status, streak, kept) = after(codes, lenient, retries);
            assert_eq!((status.as_str(), streak, kept), expected, "{codes:?}");
        }
    }
}
