//! Those who are connected to a container.

use super::Monitor;
use crate::limit;
use crate::monitor::frame::{self, Notice};
use crate::wire::stream::{Got, How, Queue, Written, read};
use rustix::fd::OwnedFd;
use rustix::net::{SocketFlags, accept_with};

/// Someone who is connected.
pub(super) struct Client {
    pub(super) socket: OwnedFd,
    /// The one that started the container: it is waited for, and its end means something.
    pub(super) front: bool,
    pub(super) incoming: Vec<u8>,
    pub(super) outgoing: Queue,
}

impl Monitor {
    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC) else { return };
        // The directory is private already; this is the second lock.
        let me = rustix::process::geteuid();
        let peer = rustix::net::sockopt::socket_peercred(&socket);
        if self.clients.len() >= limit::CLIENTS || !peer.is_ok_and(|peer| peer.uid == me || peer.uid.is_root()) {
            return;
        }
        let mut client = Client { socket, front: false, incoming: Vec::new(), outgoing: Queue::default() };
        frame::push_notice(client.outgoing.buffer(), &Notice::Started { pid: 0, terminal: self.terminal });
        self.clients.push(client);
    }

    /// Takes what clients have sent. Whether the container is to be stopped.
    pub(super) fn hear(&mut self, pidfd: &OwnedFd) -> bool {
        let mut stop = false;
        let mut clients = std::mem::take(&mut self.clients);
        clients.retain_mut(|client| {
            if self.waiting.len() >= limit::LAG / 4 {
                return true;
            }
            let mut alive = true;
            match read(&client.socket) {
                Got::Bytes(bytes) => client.incoming.extend_from_slice(&bytes),
                Got::Nothing if client.incoming.is_empty() => return true,
                Got::Nothing => {}
                Got::End => alive = false,
            }
            loop {
                match frame::take(&mut client.incoming) {
                    Ok(Some((frame::LEAVE, _))) if client.front => return false,
                    Ok(Some((frame::STOP, _))) if client.front => stop = true,
                    Ok(Some((kind, bytes))) => self.obey(kind, &bytes, client.front, pidfd),
                    Ok(None) => break,
                    Err(_) => {
                        alive = false;
                        break;
                    }
                }
            }
            // One that goes without a word has been killed.
            stop |= !alive && client.front;
            alive
        });
        self.clients = clients;
        stop
    }

    fn obey(&mut self, kind: u8, bytes: &[u8], front: bool, pidfd: &OwnedFd) {
        match kind {
            frame::INPUT if self.input.is_some() && !self.input_ended => self.waiting.push(bytes),
            // A terminal has no end of input, and what one client ends the others still use.
            frame::INPUT_END if front && !self.terminal => self.input_ended = true,
            frame::RESIZE => {
                if let (Some(terminal), [a, b, c, d]) = (self.input.as_ref().filter(|_| self.terminal), bytes) {
                    crate::container::tty::set_size(terminal, (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])));
                }
            }
            frame::SIGNAL => {
                if let [signal] = bytes {
                    self.signal(pidfd, i32::from(*signal));
                }
            }
            _ => {}
        }
    }

    pub(super) fn flush_clients(&mut self) {
        self.clients.retain_mut(|client| {
            let broken = client.outgoing.write_to(&client.socket, How::Socket) != Written::Fine;
            // The one in front is missed in `hear`, where it counts.
            client.front || !broken && client.outgoing.len() < limit::LAG
        });
    }
}
