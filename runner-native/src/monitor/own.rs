//! Our own standard streams, as ends of a container's pipes. A container never has them themselves: it could read what is
//! typed here, set the terminal, or cut the file that its output goes to, and could not open /dev/stdout as another user.

use super::relay::{self, Moved};
use crate::sys;
use crate::wire::stream::{Got, How, Queue, Written, read, writable};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// Our stdout or stderr, and what waits to go there.
pub struct Output {
    to: BorrowedFd<'static>,
    how: How,
    queue: Queue,
    /// The kernel moves bytes here by itself.
    movable: bool,
    /// It had no room for more.
    full: bool,
}

/// What became of an output.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    Fine,
    /// The pipe that it comes from has ended.
    End,
    /// Nothing more can be written.
    Failed(Errno),
}

impl Output {
    pub fn new(number: i32) -> Self {
        let to = sys::standard(number);
        Self { to, how: How::of(to), queue: Queue::default(), movable: relay::is_movable(to), full: false }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn has_room(&self) -> bool {
        self.queue.is_empty() && !self.full
    }

    /// What to wait for, if it is what everything waits for.
    pub fn poll(&self) -> Option<PollFd<'_>> {
        (!self.has_room()).then(|| PollFd::new(&self.to, PollFlags::OUT))
    }

    /// Writes what waits, as far as there is room.
    pub fn flush(&mut self) -> State {
        self.full = self.full && !writable(self.to);
        match self.queue.write_to(self.to, self.how) {
            Written::Fine => State::Fine,
            Written::Failed(errno) => State::Failed(errno),
        }
    }

    pub fn push(&mut self, bytes: &[u8]) -> State {
        self.queue.push(bytes);
        // Mostly there is room at once.
        self.flush()
    }

    /// Moves what is in a pipe past us. `None`: it must be read and pushed.
    pub fn relay(&mut self, from: &OwnedFd) -> Option<State> {
        if !self.movable {
            return None;
        }
        match relay::relay(from, self.to) {
            Moved::Fine => Some(State::Fine),
            Moved::Full => {
                self.full = true;
                Some(State::Fine)
            }
            Moved::End => Some(State::End),
            Moved::Failed(errno) => Some(State::Failed(errno)),
            Moved::Refused => {
                self.movable = false;
                None
            }
        }
    }
}

/// Our stdin, as far as it is passed on.
pub struct Input {
    movable: bool,
    /// The container has not taken what it was given.
    full: bool,
}

/// What came in.
pub enum Came {
    Bytes(Vec<u8>),
    /// Nothing, or it is in the container's pipe already.
    Nothing,
    End,
}

impl Input {
    pub fn new() -> Self {
        Self { movable: relay::is_movable(sys::standard(0)), full: false }
    }

    /// Takes what there is: straight into the container's pipe where the kernel can.
    pub fn take(&mut self, pipe: &OwnedFd) -> Came {
        let own = sys::standard(0);
        if self.movable {
            self.full = false;
            match relay::relay(own, pipe) {
                Moved::Fine => return Came::Nothing,
                Moved::Full => {
                    self.full = true;
                    return Came::Nothing;
                }
                Moved::End | Moved::Failed(_) => return Came::End,
                Moved::Refused => self.movable = false,
            }
        }
        match read(own) {
            Got::Bytes(bytes) => Came::Bytes(bytes),
            Got::Nothing => Came::Nothing,
            Got::End => Came::End,
        }
    }

    /// What to wait for before more is taken.
    pub fn poll<'a>(&self, pipe: &'a OwnedFd, own: &'a BorrowedFd<'a>) -> PollFd<'a> {
        if self.full { PollFd::new(pipe, PollFlags::OUT) } else { PollFd::new(own, PollFlags::IN) }
    }
}
