//! Bytes on their way: queues that are filled and emptied without ever waiting.

use crate::error::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, pipe_with};

/// Read at once.
pub const CHUNK: usize = 64 << 10;
/// A pipe or terminal that polls writable takes this much without blocking (`PIPE_BUF`).
const SAFE_WRITE: usize = 4096;

/// Bytes that wait to be written to one place.
#[derive(Default)]
pub struct Queue {
    bytes: Vec<u8>,
    written: usize,
}

/// What came of trying to write.
#[derive(PartialEq, Eq)]
pub enum Written {
    /// All, or as much as there was room for.
    Fine,
    /// There is nobody to read it any more, or it cannot be written. What waited is gone.
    Failed(Errno),
}

/// How one writes to a place without waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Socket,
    /// A file never makes anyone wait, nor does a pipe of ours that is set so.
    Whole,
    /// A terminal, or a pipe of someone else's, whose flags are not ours to set: only what it surely takes.
    Pieces,
}

impl How {
    pub fn of(place: impl AsFd) -> Self {
        match fstat(&place).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Socket) => Self::Socket,
            Ok(FileType::RegularFile) => Self::Whole,
            _ => Self::Pieces,
        }
    }
}

impl Queue {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.written == self.bytes.len() {
            self.clear();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Lets a frame be written to its end.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
        self.bytes.shrink_to(2 * CHUNK);
    }

    /// Writes what there is room for.
    pub fn write_to(&mut self, to: impl AsFd, how: How) -> Written {
        while !self.is_empty() {
            let rest = &self.bytes[self.written..];
            let outcome = match how {
                How::Socket => rustix::net::send(&to, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
                How::Whole => rustix::io::write(&to, rest),
                How::Pieces if writable(&to) => rustix::io::write(&to, &rest[..rest.len().min(SAFE_WRITE)]),
                How::Pieces => return Written::Fine,
            };
            match outcome {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => return Written::Fine,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.clear();
                    return Written::Failed(errno);
                }
            }
        }
        self.clear();
        Written::Fine
    }
}

/// What came of trying to read.
pub enum Got {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

/// Reads what is there, without waiting.
pub fn read(from: impl AsFd) -> Got {
    if !readable(&from) {
        return Got::Nothing;
    }
    let mut bytes = vec![0; CHUNK];
    match rustix::io::read(&from, &mut bytes) {
        Ok(0) => Got::End,
        Ok(count) => {
            bytes.truncate(count);
            Got::Bytes(bytes)
        }
        Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
        // A terminal of which the other side is closed gives EIO, a connection that was cut ECONNRESET.
        Err(_) => Got::End,
    }
}

fn is(fd: impl AsFd, what: PollFlags) -> bool {
    let fd = fd.as_fd();
    let mut fds = [PollFd::from_borrowed_fd(fd, what)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0) > 0
}

pub fn readable(fd: impl AsFd) -> bool {
    is(fd, PollFlags::IN)
}

pub fn writable(fd: impl AsFd) -> bool {
    is(fd, PollFlags::OUT)
}

/// Lets reading and writing at this end of a pipe of ours return at once. The other end is as it was.
pub fn never_wait(end: &OwnedFd) -> Result<()> {
    rustix::io::ioctl_fionbio(end, true).map_err(|errno| Error::call("ioctl(FIONBIO)", errno))
}

pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::call("pipe2(O_CLOEXEC)", errno))
}
