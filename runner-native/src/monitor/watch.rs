//! Watching a container: its end, the caller's end, signals, and the bytes that pass through us.
//!
//! One thread, one poll. It runs in the program that was started, or, where the container may outlive that or has a
//! terminal that can be left, in a process of its own.

mod clients;
mod streams;

use crate::container::plan::Process;
use crate::container::process::Stdio;
use crate::container::{signals, tty};
use crate::error::{Error, Result};
use crate::limit;
use crate::monitor::frame::{self, Notice};
use crate::monitor::log::Log;
use crate::monitor::own::{Input, Output};
use crate::monitor::relay;
use crate::sys;
use crate::sys::task::{self, Ended};
use crate::wire::container::RunResult;
use crate::wire::lifeline::{self, Said};
use crate::wire::stream::{Got, Queue, never_wait, pipe, read};
use clients::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;
use std::fs::File;
use std::time::{Duration, Instant};
use streams::Source;

/// How a container ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub ended: Ended,
    pub oom_killed: bool,
}

impl Outcome {
    /// As a shell would put it: 128 + n for signal n.
    pub fn result(self) -> RunResult {
        let (exit_code, signal) = match self.ended {
            Ended::Exited(status) => (status, None),
            Ended::Signalled(signal) => (128 + signal, Some(signal)),
        };
        RunResult { exit_code: Some(exit_code), signal, oom_killed: self.oom_killed.then_some(true), ..RunResult::default() }
    }
}

/// How to end a container: a signal, and how long to wait until it is killed.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub signal: i32,
    pub patience: Duration,
}

/// Where the container's streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// To ours.
    Own,
    /// To ours, and they are logged or shown to others as well.
    OwnAndOthers,
    /// Not to ours: only to the log and to those who are connected.
    Others,
}

pub struct Monitor {
    lifeline: Option<File>,
    signals: OwnedFd,
    stop: Stop,
    sources: Vec<Source>,
    /// What goes to our own stdout and stderr. `None`: nothing does.
    own: [Option<Output>; 2],
    /// The container's stdin or terminal, and what waits to go there.
    input: Option<OwnedFd>,
    waiting: Queue,
    input_ended: bool,
    /// Our own stdin is to be passed on.
    own_input: Option<Input>,
    stopping: bool,
    /// When it has run long enough, and is killed.
    deadline: Option<Instant>,
    /// Why something could not be written to our own streams.
    problems: Vec<(i32, Errno)>,
    terminal: bool,
    /// The other side of the terminal: as long as someone has it open, reading does not fail.
    peer: Option<OwnedFd>,
    pub log: Option<Log>,
    pub listener: Option<OwnedFd>,
    clients: Vec<Client>,
    /// Signals that came while the container was being prepared.
    early: Vec<i32>,
    /// Passes signals on to what is watched, in place of sending them to its process.
    pub signaller: Option<Box<dyn Fn(i32)>>,
}

/// How long streams may stay open after the container has ended: someone outside may have been given them.
const LINGER: Duration = Duration::from_secs(2);

impl Monitor {
    pub fn new(lifeline: Option<File>, stop: Stop) -> Result<Self> {
        let signals = task::signal_descriptor(&signals::forwarded())?;
        Ok(Self {
            lifeline,
            signals,
            stop,
            sources: Vec::new(),
            own: [None, None],
            input: None,
            waiting: Queue::default(),
            input_ended: false,
            own_input: None,
            stopping: false,
            deadline: None,
            problems: Vec::new(),
            terminal: false,
            peer: None,
            log: None,
            listener: None,
            clients: Vec::new(),
            early: Vec::new(),
            signaller: None,
        })
    }

    /// Whoever started the container, connected from the beginning.
    pub fn set_front(&mut self, socket: OwnedFd) {
        self.clients.push(Client { socket, front: true, incoming: Vec::new(), outgoing: Queue::default() });
    }

    /// What the container gets as its standard streams: pipes.
    pub fn streams(&mut self, process: &Process, outlet: Outlet) -> Result<Stdio> {
        let mut stdio = Stdio::default();
        if process.terminal {
            return Ok(stdio);
        }
        let is_one_stream = outlet == Outlet::Own && sys::is_same(sys::standard(1), sys::standard(2));
        for number in [1, 2] {
            // Two names for one stream keep its order.
            if let Some(first) = stdio.stdout.as_ref().filter(|_| number == 2 && is_one_stream) {
                stdio.stderr = Some(first.try_clone().map_err(|error| Error::io("dup(…)", &error))?);
                continue;
            }
            let (from, to) = pipe()?;
            // More in one go. A user who has very many pipes is refused that, and keeps the usual size.
            let _ = fcntl_setpipe_size(&from, relay::MOST_BYTES);
            if outlet != Outlet::Others {
                self.own[number as usize - 1] = Some(Output::new(number));
            }
            self.sources.push(Source { from, number });
            *(if number == 1 { &mut stdio.stdout } else { &mut stdio.stderr }) = Some(to);
        }
        if process.interactive {
            let (from, to) = pipe()?;
            never_wait(&to)?;
            let _ = fcntl_setpipe_size(&to, relay::MOST_BYTES);
            stdio.stdin = Some(from);
            self.input = Some(to);
            self.own_input = (outlet != Outlet::Others).then(Input::new);
        }
        Ok(stdio)
    }

    /// Watches over the container's terminal.
    pub fn set_terminal(&mut self, terminal: OwnedFd) -> Result<()> {
        self.peer = Some(crate::container::tty::peer(&terminal)?);
        self.input = Some(terminal.try_clone().map_err(|error| Error::io("dup(…)", &error))?);
        self.sources.push(Source { from: terminal, number: 1 });
        self.terminal = true;
        Ok(())
    }

    /// Shows the container's terminal on our own streams, and keeps it as large as ours.
    pub fn show_here(&mut self) -> Result<()> {
        let with_size: Vec<i32> = signals::forwarded().into_iter().chain([libc::SIGWINCH]).collect();
        self.signals = task::signal_descriptor(&with_size)?;
        self.own[0] = Some(Output::new(1));
        self.own_input = Some(Input::new());
        self.fit();
        Ok(())
    }

    fn fit(&self) {
        if let (Some(terminal), Some(size)) = (&self.input, tty::user_size()) {
            tty::set_size(terminal, size);
        }
    }

    /// Lets it run this long from now, and no longer.
    pub fn limit_time(&mut self, time: Duration) {
        self.deadline = Instant::now().checked_add(time);
    }

    /// Tells everyone who is connected.
    pub fn tell(&mut self, notice: &Notice) {
        for client in &mut self.clients {
            frame::push_notice(client.outgoing.buffer(), notice);
        }
    }

    /// The container goes on without whoever asked for it.
    pub fn let_go_of_parent(&mut self) {
        self.lifeline = None;
    }

    /// Waits until `channel` has something to read, while a container is being prepared. `false`: whoever asked for it is
    /// gone, or wants it to end. Other signals are kept for the container.
    pub fn wait_for(&mut self, channel: BorrowedFd<'_>) -> bool {
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(channel, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            fds.extend(self.lifeline.iter().map(|lifeline| PollFd::new(lifeline, PollFlags::IN)));
            fds.extend(self.clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)));
            let polled = poll(&mut fds, None);
            // What the process has said counts first.
            if polled.is_ok() && !fds[0].revents().is_empty() {
                return true;
            }
            let mut arrived: Vec<i32> = Vec::new();
            while let Some(signal) = task::next_signal(&self.signals) {
                arrived.extend((!signal.is_typed()).then_some(signal.signal));
            }
            match self.lifeline.as_ref().map(lifeline::hear) {
                Some(Said::End) => return false,
                Some(Said::Signals(signals)) => arrived.extend(signals.into_iter().map(i32::from)),
                Some(Said::Nothing) | None => {}
            }
            for client in &mut self.clients {
                match read(&client.socket) {
                    Got::Bytes(bytes) => client.incoming.extend_from_slice(&bytes),
                    Got::Nothing => {}
                    Got::End => return false,
                }
                if frame::all(&client.incoming).any(|(kind, bytes)| {
                    kind == frame::STOP || kind == frame::SIGNAL && bytes.iter().any(|signal| signals::ends((*signal).into()))
                }) {
                    return false;
                }
            }
            if arrived.iter().any(|signal| signals::ends(*signal)) {
                return false;
            }
            self.early.extend(arrived);
        }
    }

    /// Watches until the container has ended and its last byte is passed on.
    pub fn watch(&mut self, pid: i32, pidfd: &OwnedFd) -> Ended {
        for signal in std::mem::take(&mut self.early) {
            self.signal(pidfd, signal);
        }
        let mut ended: Option<(Ended, Instant)> = None;
        let mut kill_at = self.deadline;
        loop {
            if let Some((how, when)) = ended {
                if self.is_drained() || when.elapsed() > LINGER && (self.stopping || !self.is_busy()) {
                    return how;
                }
            }
            let timeout = match (&ended, kill_at) {
                (Some(_), _) => Some(Duration::from_millis(50)),
                (None, Some(at)) => Some(at.saturating_duration_since(Instant::now())),
                (None, None) => None,
            };
            let arrived = self.wait(ended.is_none().then_some(pidfd.as_fd()), timeout);
            let mut stop = arrived.lifeline && self.hear_parent(pidfd);
            while let Some(arrived) = task::next_signal(&self.signals) {
                if arrived.signal == libc::SIGWINCH {
                    self.fit();
                } else if !arrived.is_typed() {
                    self.signal(pidfd, arrived.signal);
                }
            }
            if arrived.listener {
                self.accept();
            }
            stop |= self.hear(pidfd);
            if stop && ended.is_none() {
                let patient_until = self.begin_stop(pidfd);
                kill_at = Some(kill_at.map_or(patient_until, |at| at.min(patient_until)));
            }
            if kill_at.is_some_and(|at| Instant::now() >= at) {
                self.signal(pidfd, libc::SIGKILL);
                kill_at = None;
            }
            self.pass_input();
            self.pass_output();
            if arrived.ended && ended.is_none() {
                if let Some((_, how)) = task::reap(pid, true) {
                    ended = Some((how, Instant::now()));
                    self.input = None;
                    self.peer = None;
                }
            }
        }
    }

    fn signal(&self, pidfd: &OwnedFd, signal: i32) {
        match &self.signaller {
            Some(signaller) => signaller(signal),
            // One that has ended takes none.
            None => drop(task::signal_process(pidfd, signal)),
        }
    }

    /// Passes on what is left to say to those who are connected, for as long as they listen.
    pub fn say_goodbye(&mut self) {
        let until = Instant::now() + LINGER;
        self.listener = None;
        while self.clients.iter().any(|client| !client.outgoing.is_empty()) && Instant::now() < until {
            self.wait(None, Some(Duration::from_millis(50)));
            self.flush_clients();
        }
        self.clients.clear();
    }

    fn begin_stop(&mut self, pidfd: &OwnedFd) -> Instant {
        self.lifeline = None;
        self.stopping = true;
        if !self.stop.patience.is_zero() {
            self.signal(pidfd, self.stop.signal);
        }
        Instant::now() + self.stop.patience
    }

    /// Bytes that came and are not passed on yet.
    fn is_busy(&self) -> bool {
        self.own.iter().flatten().any(|output| !output.is_empty())
            || self.clients.iter().any(|client| client.front && !client.outgoing.is_empty())
    }

    fn is_drained(&self) -> bool {
        self.sources.is_empty() && !self.is_busy()
    }

    /// Whether there is room for more of a stream.
    fn has_room(&self, number: i32) -> bool {
        self.own[number as usize - 1].as_ref().is_none_or(Output::has_room)
            && self.clients.iter().all(|client| !client.front || client.outgoing.len() < limit::LAG / 4)
    }

    fn wait(&self, pidfd: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> Arrived {
        #[derive(Clone, Copy)]
        enum Of {
            Lifeline,
            Listener,
            Ended,
            Other,
        }
        let stdin = sys::standard(0);
        let mut list: Vec<(Of, PollFd<'_>)> = Vec::with_capacity(8);
        list.push((Of::Other, PollFd::new(&self.signals, PollFlags::IN)));
        if let Some(lifeline) = &self.lifeline {
            list.push((Of::Lifeline, PollFd::new(lifeline, PollFlags::IN)));
        }
        if let Some(pidfd) = &pidfd {
            list.push((Of::Ended, PollFd::new(pidfd, PollFlags::IN)));
        }
        if let Some(listener) = &self.listener {
            list.push((Of::Listener, PollFd::new(listener, PollFlags::IN)));
        }
        for source in &self.sources {
            if self.has_room(source.number) {
                list.push((Of::Other, PollFd::new(&source.from, PollFlags::IN)));
            }
        }
        list.extend(self.own.iter().flatten().filter_map(Output::poll).map(|poll| (Of::Other, poll)));
        match (&self.input, &self.own_input) {
            (Some(input), _) if !self.waiting.is_empty() => list.push((Of::Other, PollFd::new(input, PollFlags::OUT))),
            (Some(input), Some(own)) if !self.input_ended => list.push((Of::Other, own.poll(input, &stdin))),
            _ => {}
        }
        for client in &self.clients {
            let mut flags = PollFlags::empty();
            if self.waiting.len() < limit::LAG / 4 {
                flags |= PollFlags::IN;
            }
            if !client.outgoing.is_empty() {
                flags |= PollFlags::OUT;
            }
            list.push((Of::Other, PollFd::new(&client.socket, flags)));
        }
        let (of, mut fds): (Vec<Of>, Vec<PollFd<'_>>) = list.into_iter().unzip();
        let timeout = timeout.map(|timeout| Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) });
        let mut arrived = Arrived::default();
        if poll(&mut fds, timeout.as_ref()).unwrap_or(0) == 0 {
            return arrived;
        }
        for (_, of) in fds.iter().zip(&of).filter(|(fd, _)| !fd.revents().is_empty()) {
            match of {
                Of::Lifeline => arrived.lifeline = true,
                Of::Listener => arrived.listener = true,
                Of::Ended => arrived.ended = true,
                Of::Other => {}
            }
        }
        arrived
    }

    /// Passes on the signals that the parent sends. Whether it is gone.
    fn hear_parent(&self, pidfd: &OwnedFd) -> bool {
        match self.lifeline.as_ref().map(lifeline::hear) {
            Some(Said::Signals(signals)) => {
                for signal in signals {
                    self.signal(pidfd, signal.into());
                }
                false
            }
            Some(Said::End) => true,
            Some(Said::Nothing) | None => false,
        }
    }
}

#[derive(Default)]
struct Arrived {
    lifeline: bool,
    listener: bool,
    ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_container_that_is_being_prepared_can_be_given_up() {
        let stop = || Stop { signal: libc::SIGTERM, patience: Duration::ZERO };
        let (silent, _held) = pipe().unwrap();
        let start = || {
            let (theirs, ours) = pipe().unwrap();
            (Monitor::new(Some(File::from(theirs)), stop()).unwrap(), File::from(ours))
        };
        let (mut monitor, parent) = start();
        drop(parent);
        assert!(!monitor.wait_for(silent.as_fd()), "the parent is gone");
        let (mut monitor, mut parent) = start();
        parent.write_all(&[libc::SIGUSR1 as u8, libc::SIGINT as u8]).unwrap();
        assert!(!monitor.wait_for(silent.as_fd()), "the parent wants it to end");
        let (mut monitor, mut parent) = start();
        parent.write_all(&[libc::SIGUSR1 as u8]).unwrap();
        let (heard, mut told) = pipe().map(|(read, write)| (read, File::from(write))).unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            told.write_all(b"x").unwrap();
        });
        assert!(monitor.wait_for(heard.as_fd()));
        assert_eq!(monitor.early, [libc::SIGUSR1], "kept for the container");
    }

    #[test]
    fn clients_have_a_number_and_those_that_lag_are_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut monitor = Monitor::new(None, Stop { signal: libc::SIGTERM, patience: Duration::ZERO }).unwrap();
        monitor.listener = Some(listener.into());
        let clients: Vec<_> = (0..=limit::CLIENTS)
            .map(|_| {
                let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
                monitor.accept();
                client
            })
            .collect();
        assert_eq!(monitor.clients.len(), limit::CLIENTS);
        // None of them reads, and the one in front is waited for.
        monitor.clients[0].front = true;
        for _ in 0..=2 * limit::LAG / (64 << 10) {
            monitor.distribute(1, &vec![0; 64 << 10]);
            monitor.flush_clients();
        }
        assert_eq!((monitor.clients.len(), clients.len()), (1, limit::CLIENTS + 1));
    }
}
