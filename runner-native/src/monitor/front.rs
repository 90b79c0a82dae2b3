//! The side of whoever sits in front of a container: the standard streams here, the monitor there.

use crate::container::signals;
use crate::container::tty::{self, KeyFinder, Raw};
use crate::error::{Error, Kind, Result};
use crate::monitor::frame::{self, Notice};
use crate::sys;
use crate::sys::task;
use crate::wire::container::RunResult;
use crate::wire::lifeline::{self, Said};
use crate::wire::stream::{Got, How, Queue, Written, read};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::fs::File;

/// Why it is over.
pub enum End {
    Exited(RunResult),
    /// With the keys for it; the container goes on.
    Left,
}

pub struct Front {
    socket: OwnedFd,
    lifeline: Option<File>,
    /// Pass our stdin on.
    interactive: bool,
    keys: KeyFinder,
    outgoing: Queue,
    incoming: Vec<u8>,
    /// The container runs. Before that nothing is read: it is not known what becomes of it.
    started: bool,
    terminal: bool,
    raw: Option<Raw>,
    /// Our stdin is a terminal, which can be taken away (a window that is closed, a connection that is cut).
    at_terminal: bool,
    /// What runs goes on then.
    outlives: bool,
}

/// Ends the input of a terminal, as if it was typed.
const END_OF_TRANSMISSION: u8 = 4;

impl Front {
    pub fn new(socket: OwnedFd, lifeline: File, interactive: bool, keys: Vec<u8>) -> Self {
        Self {
            socket,
            lifeline: Some(lifeline),
            interactive,
            keys: KeyFinder::new(keys),
            outgoing: Queue::default(),
            incoming: Vec::new(),
            started: false,
            terminal: false,
            raw: None,
            at_terminal: rustix::termios::isatty(sys::standard(0)),
            outlives: false,
        }
    }

    /// For what goes on when our terminal is taken away.
    pub fn outlived(mut self) -> Self {
        self.outlives = true;
        self
    }

    /// Passes bytes, signals and sizes until the container ends or is left. `leaves`: when our parent is gone, leave instead of
    /// ending the container.
    pub fn attend(mut self, leaves: bool, mut on_notice: impl FnMut(&Notice)) -> Result<End> {
        let wanted: Vec<i32> = signals::forwarded().into_iter().chain([libc::SIGWINCH]).collect();
        let signals = task::signal_descriptor(&wanted)?;
        loop {
            let (ours, lifeline_moved) = self.wait(&signals);
            match self.lifeline.as_ref().filter(|_| lifeline_moved).map(lifeline::hear) {
                Some(Said::Signals(signals)) => {
                    for signal in signals {
                        frame::push(self.outgoing.buffer(), frame::SIGNAL, &[signal]);
                    }
                }
                Some(Said::End) => {
                    self.lifeline = None;
                    if leaves {
                        return Ok(End::Left);
                    }
                    if self.is_hung_up() {
                        return Ok(self.leave(&signals));
                    }
                    frame::push(self.outgoing.buffer(), frame::STOP, &[]);
                }
                Some(Said::Nothing) | None => {}
            }
            while let Some(arrived) = task::next_signal(&signals) {
                if arrived.signal == libc::SIGHUP && self.is_hung_up() {
                    return Ok(self.leave(&signals));
                }
                if arrived.signal == libc::SIGWINCH {
                    self.send_size();
                } else if leaves || !arrived.is_typed() {
                    frame::push(self.outgoing.buffer(), frame::SIGNAL, &[arrived.signal as u8]);
                }
            }
            if ours && (self.is_hung_up() || self.read_input()) {
                return Ok(self.leave(&signals));
            }
            if self.outgoing.write_to(&self.socket, How::Socket) != Written::Fine {
                // What it said before is still to be read.
                self.interactive = false;
            }
            match read(&self.socket) {
                Got::Bytes(bytes) => self.incoming.extend_from_slice(&bytes),
                Got::Nothing => {}
                Got::End => return Err(Error::new(Kind::State, "the process that watched the container is gone")),
            }
            while let Some((kind, bytes)) = frame::take(&mut self.incoming)? {
                match kind {
                    frame::OUTPUT => write_all(1, &bytes),
                    frame::ERRORS => write_all(2, &bytes),
                    frame::NOTICE => {
                        if let Some(end) = self.notice(&bytes, &mut on_notice)? {
                            return Ok(end);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn wait(&self, signals: &OwnedFd) -> (bool, bool) {
        let stdin = sys::standard(0);
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        let flags = if self.outgoing.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        fds.push(PollFd::new(&self.socket, flags));
        let mut lifeline_at = None;
        if let Some(lifeline) = &self.lifeline {
            lifeline_at = Some(fds.len());
            fds.push(PollFd::new(lifeline, PollFlags::IN));
        }
        let mut stdin_at = None;
        if self.interactive && self.started && self.outgoing.is_empty() {
            stdin_at = Some(fds.len());
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        let _ = poll(&mut fds, None);
        let moved = |at: Option<usize>| at.is_some_and(|at| !fds[at].revents().is_empty());
        (moved(stdin_at), moved(lifeline_at))
    }

    /// Lets the container go on without us.
    fn leave(&mut self, signals: &OwnedFd) -> End {
        frame::push(self.outgoing.buffer(), frame::LEAVE, &[]);
        while self.outgoing.write_to(&self.socket, How::Socket) == Written::Fine && !self.outgoing.is_empty() {
            self.wait(signals);
        }
        End::Left
    }

    /// Whether our terminal is gone. A container that has one of its own goes on then, as in Docker and podman.
    fn is_hung_up(&self) -> bool {
        if !self.outlives || !self.at_terminal || !self.terminal {
            return false;
        }
        tty::is_hung_up(sys::standard(0))
    }

    /// Whether the keys to leave were typed.
    fn read_input(&mut self) -> bool {
        match read(sys::standard(0)) {
            Got::Bytes(bytes) => {
                let (passed, leave) = self.keys.filter(&bytes);
                if !passed.is_empty() {
                    frame::push(self.outgoing.buffer(), frame::INPUT, &passed);
                }
                return leave;
            }
            Got::Nothing => {}
            Got::End => {
                self.interactive = false;
                if self.terminal {
                    frame::push(self.outgoing.buffer(), frame::INPUT, &[END_OF_TRANSMISSION]);
                } else {
                    frame::push(self.outgoing.buffer(), frame::INPUT_END, &[]);
                }
            }
        }
        false
    }

    fn notice(&mut self, bytes: &[u8], on_notice: &mut impl FnMut(&Notice)) -> Result<Option<End>> {
        let notice: Notice = serde_json::from_slice(bytes)
            .map_err(|error| Error::new(Kind::Corrupt, format!("the monitor said something else: {error}")))?;
        on_notice(&notice);
        match notice {
            Notice::Started { terminal, .. } => {
                self.started = true;
                self.terminal = terminal;
                if terminal {
                    // From here on the container's terminal interprets what is typed.
                    self.raw = self.interactive.then(|| Raw::enter(sys::standard(0))).flatten();
                    self.send_size();
                }
                Ok(None)
            }
            Notice::Warning { .. } => Ok(None),
            Notice::Failed { error } => Err(error),
            Notice::Exited { result } => Ok(Some(End::Exited(result))),
        }
    }

    fn send_size(&mut self) {
        if let Some((rows, columns)) = tty::user_size().filter(|_| self.terminal) {
            let [a, b] = rows.to_le_bytes();
            let [c, d] = columns.to_le_bytes();
            frame::push(self.outgoing.buffer(), frame::RESIZE, &[a, b, c, d]);
        }
    }
}

/// Writes to one of our streams, and waits while it is full. Nobody reading it is no error.
fn write_all(number: i32, mut bytes: &[u8]) {
    let out = sys::standard(number);
    while !bytes.is_empty() {
        match rustix::io::write(out, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&out, PollFlags::OUT)], None);
            }
            Err(_) => return,
        }
    }
}
