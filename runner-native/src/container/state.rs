//! A container's `state.json`, and finding its process again.

use crate::error::{Error, Kind, Result};
use crate::root;
use crate::sys::process;
use crate::wire::container::ContainerState;
use crate::wire::place::Place;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat, renameat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// The directory of a container.
pub struct Directory(OwnedFd);

impl Directory {
    pub fn open(place: &Place) -> Result<Self> {
        // Not O_PATH: files are made in it.
        root::open_directory(place).map(Self)
    }

    pub fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Replaces the state in one step: a reader sees the old or the new one.
    pub fn write(&self, state: &ContainerState) -> Result<()> {
        let _turn = self.turn()?;
        self.write_file("state.json", state)
    }

    /// Changes the state of a container that runs. Its end, which another process writes, is not written over.
    ///
    /// # Errors
    /// `Kind::State` if it has ended.
    pub fn change(&self, change: impl FnOnce(ContainerState) -> ContainerState) -> Result<()> {
        let _turn = self.turn()?;
        let (state, ..) = self.process()?;
        self.write_file("state.json", &change(state))
    }

    /// Waits until nobody else writes the state. It is one's turn until the descriptor is closed.
    fn turn(&self) -> Result<OwnedFd> {
        // Opened once more: a lock is one with those of all copies of a descriptor.
        let own = root::open_beneath(self.0.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        flock(&own, FlockOperation::LockExclusive).map_err(|errno| Error::call("flock(…, LOCK_EX)", errno))?;
        Ok(own)
    }

    /// Replaces a file of it with a value as JSON.
    pub fn write_file(&self, final_name: &str, value: &impl Serialize) -> Result<()> {
        let name = format!("{final_name}.{}", std::process::id());
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.0, &*name, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| Error::call(format!("openat(…, {name:?}, O_CREAT)"), errno))?;
        let text = serde_json::to_vec(value).map_err(|error| Error::new(Kind::Io, error.to_string()))?;
        File::from(file).write_all(&text).map_err(|error| Error::io(format!("write({name:?})"), &error))?;
        renameat(&self.0, &*name, &self.0, final_name).map_err(|errno| Error::call(format!("renameat({name:?}, {final_name:?})"), errno))
    }

    /// A small file of it that has a value as JSON. `None`: there is none, or it cannot be read.
    pub fn read_file<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let file = root::open_beneath(self.0.as_fd(), name, OFlags::RDONLY, Mode::empty()).ok()?;
        let mut text = Vec::new();
        File::from(file).take(1 << 20).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub fn read(&self) -> Result<ContainerState> {
        let file = root::open_beneath(self.0.as_fd(), "state.json", OFlags::RDONLY, Mode::empty()).map_err(|error| match error.kind {
            Kind::NotFound => Error::new(Kind::State, "the container was never started"),
            _ => error,
        })?;
        let mut text = Vec::new();
        File::from(file).take(1 << 20).read_to_end(&mut text).map_err(|error| Error::io("read(\"state.json\")", &error))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::new(Kind::Corrupt, format!("state.json of the container cannot be read: {error}")))
    }

    /// The first process of the container, held by descriptor: its number cannot come to mean another one.
    ///
    /// # Errors
    /// `Kind::State` if it does not run.
    pub fn process(&self) -> Result<(ContainerState, i32, OwnedFd)> {
        let not_running = || Error::new(Kind::State, "the container is not running");
        let state = self.read()?;
        let (Some(pid), Some(start)) = (state.pid, state.pid_start) else { return Err(not_running()) };
        if state.status != "running" {
            return Err(not_running());
        }
        let number = Pid::from_raw(pid).ok_or_else(not_running)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty()).map_err(|_| not_running())?;
        // Opened first, compared then: if the start time fits now, it is the one that is held.
        if process::start_time(pid) != Some(start) {
            return Err(not_running());
        }
        Ok((state, pid, pidfd))
    }
}

/// The time now, as RFC 3339 with nanoseconds.
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format_time(since.as_secs(), since.subsec_nanos())
}

fn format_time(seconds: u64, nanos: u32) -> String {
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Days since 0000-03-01, in eras of 400 years: leap days come last in each year (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let day = days + 719_468;
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{nanos:09}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (951_868_800, "2000-03-01T00:00:00.000000007Z"),
            (1_704_067_199, "2023-12-31T23:59:59.000000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
        ] {
            assert_eq!(format_time(seconds, 7), text);
        }
    }

    #[test]
    fn an_end_that_is_written_meanwhile_is_not_written_over() {
        let place = tempfile::tempdir().unwrap();
        let open = || Directory(File::open(place.path()).unwrap().into());
        let running = || {
            let pid = std::process::id() as i32;
            ContainerState {
                status: "running".to_owned(),
                pid: Some(pid),
                pid_start: process::start_time(pid),
                ..ContainerState::default()
            }
        };
        open().write(&running()).unwrap();
        open().change(|state| ContainerState { cgroup: Some("other".to_owned()), ..state }).unwrap();
        assert_eq!(open().read().unwrap().cgroup.as_deref(), Some("other"));
        let other = open();
        let mut writer = None;
        let (began, begun) = std::sync::mpsc::channel();
        open()
            .change(|state| {
                writer = Some(std::thread::spawn(move || {
                    began.send(()).unwrap();
                    other.write(&ContainerState { status: "exited".to_owned(), ..running() }).unwrap();
                }));
                begun.recv().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(50));
                state
            })
            .unwrap();
        writer.unwrap().join().unwrap();
        assert_eq!(open().read().unwrap().status, "exited");
        assert_eq!(open().change(|state| state).unwrap_err().kind, Kind::State);
    }
}
