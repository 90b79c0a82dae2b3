//! Published ports in user space: what comes to this machine's loopback, and, where no rule of the kernel may lead
//! there, all else. Accepted here, connected in the container's network namespace, bytes passed both ways.
//!
//! One thread, one poll, and a buffer only for what one side does not take at once.

use crate::limit;
use crate::net::ports::Taken;
use crate::wire::network::Protocol;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with, connect, recv, recvfrom, send, sendto, shutdown,
    socket_with,
};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Where the container is.
pub struct Target {
    pub addresses: Vec<IpAddr>,
}

struct Listener {
    socket: OwnedFd,
    port: u16,
    protocol: Protocol,
}

/// One direction of a connection.
#[derive(Default)]
struct Flow {
    waiting: Vec<u8>,
    written: usize,
    /// No more will come.
    ended: bool,
    /// And the other side has been told.
    told: bool,
}

struct Pair {
    outside: OwnedFd,
    inside: OwnedFd,
    inward: Flow,
    outward: Flow,
    broken: bool,
}

/// One who sends datagrams: they come from a socket of their own inside.
struct Sender {
    listener: usize,
    address: SocketAddr,
    inside: OwnedFd,
    used: Instant,
}

const CHUNK: usize = 256 << 10;
/// As long as connection tracking of the kernel remembers an assured stream of datagrams.
const SENDER_IDLE: Duration = Duration::from_secs(120);
const DATAGRAM: usize = 64 << 10;

/// Passes bytes for ever. The calling thread must be in the container's network namespace.
pub fn run(ports: Vec<Taken>, target: &Target) -> ! {
    let mut relay = Relay::new(ports);
    loop {
        relay.turn(target);
    }
}

struct Relay {
    listeners: Vec<Listener>,
    pairs: Vec<Pair>,
    senders: HashMap<(usize, SocketAddr), Sender>,
    buffer: Vec<u8>,
    /// Too many files are open: nobody is accepted before somebody has left.
    full: bool,
}

impl Relay {
    fn new(ports: Vec<Taken>) -> Self {
        let listeners = ports.into_iter().flat_map(|taken| {
            let (port, protocol) = (taken.port.container_port, taken.port.protocol);
            taken.sockets.into_iter().map(move |socket| Listener { socket, port, protocol })
        });
        Self { listeners: listeners.collect(), pairs: Vec::new(), senders: HashMap::new(), buffer: vec![0; CHUNK], full: false }
    }

    fn turn(&mut self, target: &Target) {
        let moved = self.wait();
        let (listeners, rest) = moved.split_at(self.listeners.len());
        let (pairs, senders) = rest.split_at(self.pairs.len() * 2);
        for (at, pair) in self.pairs.iter_mut().enumerate() {
            pair.pass(pairs[2 * at] || pairs[2 * at + 1], &mut self.buffer);
        }
        let keys: Vec<_> = self.senders.keys().copied().collect();
        for (key, _) in keys.iter().zip(senders).filter(|(_, moved)| **moved) {
            self.answer(*key);
        }
        let before = self.pairs.len();
        self.pairs.retain(|pair| !pair.is_over());
        if self.pairs.len() < before {
            self.full = false;
        }
        self.senders.retain(|_, sender| sender.used.elapsed() < SENDER_IDLE);
        for (at, moved) in listeners.iter().enumerate() {
            if *moved {
                match self.listeners[at].protocol {
                    Protocol::Tcp => self.accept(at, target),
                    Protocol::Udp => self.take(at, target),
                }
            }
        }
    }

    /// Which of listeners, pairs (outside, inside) and senders have something to do, in this order.
    fn wait(&self) -> Vec<bool> {
        let mut fds = Vec::with_capacity(self.listeners.len() + 2 * self.pairs.len() + self.senders.len());
        for listener in &self.listeners {
            let accepts = !self.full || listener.protocol == Protocol::Udp;
            fds.push(PollFd::new(&listener.socket, if accepts { PollFlags::IN } else { PollFlags::empty() }));
        }
        for pair in &self.pairs {
            fds.push(PollFd::new(&pair.outside, flags(&pair.inward, &pair.outward)));
            fds.push(PollFd::new(&pair.inside, flags(&pair.outward, &pair.inward)));
        }
        for sender in self.senders.values() {
            fds.push(PollFd::new(&sender.inside, PollFlags::IN));
        }
        let timeout = (!self.senders.is_empty()).then_some(Timespec { tv_sec: SENDER_IDLE.as_secs() as i64, tv_nsec: 0 });
        let _ = poll(&mut fds, timeout.as_ref());
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    }

    fn accept(&mut self, at: usize, target: &Target) {
        loop {
            let listener = &self.listeners[at];
            match accept_with(&listener.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(outside) => {
                    let Some(address) = target.reached_from(&outside) else { continue };
                    match begin(SocketAddr::new(address, listener.port), SocketType::STREAM) {
                        Ok(inside) => {
                            let (inward, outward) = (Flow::default(), Flow::default());
                            self.pairs.push(Pair { outside, inside, inward, outward, broken: false });
                        }
                        // Nobody listens there: the connection is closed, as the container itself would refuse it.
                        Err(_) => drop(outside),
                    }
                }
                Err(Errno::MFILE | Errno::NFILE) => {
                    self.full = !self.pairs.is_empty();
                    return;
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return,
            }
        }
    }

    /// Passes datagrams on that have come from outside.
    fn take(&mut self, at: usize, target: &Target) {
        while let Ok((count, _, Some(from))) = recvfrom(&self.listeners[at].socket, &mut self.buffer[..DATAGRAM], RecvFlags::DONTWAIT) {
            let Ok(from) = SocketAddr::try_from(from) else { continue };
            let key = (at, from);
            if !self.senders.contains_key(&key) {
                let Some(address) = target.like(from.ip()) else { continue };
                if self.senders.len() >= limit::SENDERS {
                    let oldest = self.senders.iter().min_by_key(|(_, sender)| sender.used).map(|(key, _)| *key);
                    oldest.and_then(|key| self.senders.remove(&key));
                }
                let Ok(inside) = begin(SocketAddr::new(address, self.listeners[at].port), SocketType::DGRAM) else { continue };
                self.senders.insert(key, Sender { listener: at, address: from, inside, used: Instant::now() });
            }
            if let Some(sender) = self.senders.get_mut(&key) {
                sender.used = Instant::now();
                let _ = send(&sender.inside, &self.buffer[..count], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
            }
        }
    }

    /// Passes back what the container answers.
    fn answer(&mut self, key: (usize, SocketAddr)) {
        let Some(sender) = self.senders.get_mut(&key) else { return };
        while let Ok((count, _)) = recv(&sender.inside, &mut self.buffer[..DATAGRAM], RecvFlags::DONTWAIT) {
            sender.used = Instant::now();
            let socket = &self.listeners[sender.listener].socket;
            let _ = sendto(socket, &self.buffer[..count], SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &sender.address);
        }
    }
}

impl Target {
    /// The container's address of the family that a connection has come by, else any.
    fn reached_from(&self, socket: &OwnedFd) -> Option<IpAddr> {
        let own = rustix::net::getsockname(socket).ok().and_then(|address| SocketAddr::try_from(address).ok())?;
        self.like(own.ip())
    }

    fn like(&self, other: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().find(|address| address.is_ipv4() == other.is_ipv4()).or(self.addresses.first()).copied()
    }
}

/// A connection that may not be made yet: writing waits until it is.
fn begin(to: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// What to wait for at one end: `from` comes out of it, `to` goes into it.
fn flags(from: &Flow, to: &Flow) -> PollFlags {
    let mut flags = PollFlags::empty();
    if !from.ended && from.waiting.is_empty() {
        flags |= PollFlags::IN;
    }
    if !to.waiting.is_empty() {
        flags |= PollFlags::OUT;
    }
    flags
}

impl Pair {
    fn pass(&mut self, moved: bool, buffer: &mut [u8]) {
        if !moved {
            return;
        }
        let fine = self.inward.pass(&self.outside, &self.inside, buffer) && self.outward.pass(&self.inside, &self.outside, buffer);
        self.broken |= !fine;
    }

    fn is_over(&self) -> bool {
        self.broken || self.inward.told && self.outward.told
    }
}

impl Flow {
    /// Moves what can be moved now. `false`: the connection is broken.
    fn pass(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8]) -> bool {
        if !self.waiting.is_empty() {
            match write(to, &self.waiting[self.written..]) {
                Some(count) => self.written += count,
                None => return false,
            }
            if self.written < self.waiting.len() {
                return true;
            }
            self.waiting = Vec::new();
            self.written = 0;
        }
        while !self.ended && self.waiting.is_empty() {
            match recv(from, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.ended = true,
                Ok((count, _)) => {
                    let Some(written) = write(to, &buffer[..count]) else { return false };
                    self.waiting.extend_from_slice(&buffer[written..count]);
                }
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
        if self.ended && self.waiting.is_empty() && !self.told {
            self.told = true;
            let _ = shutdown(to.as_fd(), Shutdown::Write);
        }
        true
    }
}

/// Writes what there is room for. `None`: there is nobody to read it any more.
fn write(to: &OwnedFd, bytes: &[u8]) -> Option<usize> {
    match send(to, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(count) => Some(count),
        Err(Errno::AGAIN | Errno::INTR) => Some(0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn of_more_senders_than_are_told_apart_the_oldest_is_forgotten() {
        let (outside, inside) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let (address, port) = (outside.local_addr().unwrap(), inside.local_addr().unwrap().port());
        let listeners = vec![Listener { socket: outside.into(), port, protocol: Protocol::Udp }];
        let mut relay = Relay { listeners, pairs: Vec::new(), senders: HashMap::new(), buffer: vec![0; CHUNK], full: false };
        let target = Target { addresses: vec!["127.0.0.1".parse().unwrap()] };
        // Each takes two of this process, which may have been given few.
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current: most, maximum: most });
        let clients: Vec<UdpSocket> = (0..=limit::SENDERS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for client in &clients {
            client.send_to(b"x", address).unwrap();
            relay.take(0, &target);
        }
        assert_eq!(relay.senders.len(), limit::SENDERS);
        assert!(!relay.senders.contains_key(&(0, clients[0].local_addr().unwrap())));
    }
}
