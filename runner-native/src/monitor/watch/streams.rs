//! What passes between a container and us: its input and its output.

use super::Monitor;
use crate::container::tty;
use crate::monitor::frame;
use crate::monitor::own::{Came, Output, State};
use crate::sys;
use crate::wire::stream::{Got, How, Written, read};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// A stream that comes from the container: a pipe, or its terminal.
pub(super) struct Source {
    pub(super) from: OwnedFd,
    /// 1 or 2.
    pub(super) number: i32,
}

impl Monitor {
    pub(super) fn pass_input(&mut self) {
        let Some(input) = &self.input else { return };
        if let Some(own) = self.own_input.as_mut().filter(|_| !self.input_ended && self.waiting.is_empty()) {
            match own.take(input) {
                Came::Bytes(bytes) => self.waiting.push(&bytes),
                Came::Nothing => {}
                Came::End => self.input_ended = true,
            }
        }
        let how = if self.terminal { How::Pieces } else { How::Whole };
        let broken = self.waiting.write_to(input, how) != Written::Fine;
        if broken || self.input_ended && self.waiting.is_empty() {
            self.input_ended = true;
            self.input = None;
        }
    }

    pub(super) fn pass_output(&mut self) {
        for number in [1, 2] {
            if let Some(State::Failed(errno)) = self.own[number as usize - 1].as_mut().map(Output::flush) {
                self.give_up(number, errno);
            }
        }
        self.flush_clients();
        for mut source in std::mem::take(&mut self.sources) {
            if self.pass_on(&mut source) {
                self.sources.push(source);
            }
        }
    }

    /// Passes on what one stream of the container has to say. `false`: it has ended, or nobody is left to hear it.
    fn pass_on(&mut self, source: &mut Source) -> bool {
        let number = source.number;
        if !self.has_room(number) {
            return true;
        }
        // From a terminal the kernel would not move what there is, but wait for more.
        let alone = self.is_unheard() && !self.terminal;
        if let Some(own) = self.own[number as usize - 1].as_mut().filter(|_| alone) {
            match own.relay(&source.from) {
                Some(State::Fine) => return true,
                Some(State::End) => return false,
                Some(State::Failed(errno)) => return self.give_up(number, errno),
                None => {}
            }
        }
        match read(&source.from) {
            Got::Bytes(bytes) => self.distribute(number, &bytes),
            Got::Nothing => {}
            Got::End => return false,
        }
        // As if the container wrote there itself: its next write fails, unless somebody is connected and listens.
        !(self.clients.is_empty() && self.problems.iter().any(|(failed, _)| *failed == number))
    }

    /// Nobody but us, if anyone, is told what the container writes.
    pub(super) fn is_unheard(&self) -> bool {
        self.log.is_none() && self.clients.is_empty() && self.listener.is_none()
    }

    /// Whether the container goes on all the same: with its terminal the caller has lost what it would have read there, and no more.
    fn give_up(&mut self, number: i32, errno: Errno) -> bool {
        self.own[number as usize - 1] = None;
        if errno == Errno::IO && tty::is_hung_up(sys::standard(number)) {
            return true;
        }
        self.problems.push((number, errno));
        false
    }

    /// What could not be written to our own streams. That a reader has gone is no problem of ours.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.problems.iter().filter(|(_, errno)| *errno != Errno::PIPE).map(|(number, errno)| {
            let name = if *number == 1 { "stdout" } else { "stderr" };
            format!("what the container wrote to {name} is not complete: write({number}): {errno}")
        })
    }

    pub(super) fn distribute(&mut self, number: i32, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.write(number, bytes);
        }
        if let Some(State::Failed(errno)) = self.own[number as usize - 1].as_mut().map(|own| own.push(bytes)) {
            self.give_up(number, errno);
        }
        let kind = if number == 2 { frame::ERRORS } else { frame::OUTPUT };
        for client in &mut self.clients {
            frame::push(client.outgoing.buffer(), kind, bytes);
        }
        self.flush_clients();
    }
}
