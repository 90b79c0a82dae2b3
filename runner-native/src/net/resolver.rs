//! The name server of one container, at 127.0.0.11: names of those on its networks, and for all others those whom this
//! machine asks.

use crate::limit;
use crate::net::dns::{self, Answer, Question};
use crate::net::place::{Member, Places};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long one name server may think before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest message there can be, over TCP.
const LONGEST_MESSAGE: usize = 64 << 10;
const PORT: u16 = 53;
/// Counts answers.
static TURN: AtomicUsize = AtomicUsize::new(0);
/// Counts connections.
static OPEN: AtomicUsize = AtomicUsize::new(0);

pub struct Names {
    places: Places,
    container: String,
    /// What was read of each network, and when it had last changed then.
    read: std::sync::Mutex<HashMap<String, Known>>,
}

struct Known {
    stamp: Option<(i64, u64)>,
    members: Vec<Member>,
}

/// A question that was passed on: each with a socket of its own, so with a port and a number that nobody can guess.
struct Waiting {
    socket: UdpSocket,
    client: SocketAddr,
    message: Vec<u8>,
    /// The number that it was passed on with.
    number: u16,
    server: usize,
    since: Instant,
}

impl Names {
    pub fn new(places: Places, container: &str) -> Self {
        Self { places, container: container.to_owned(), read: std::sync::Mutex::default() }
    }

    /// Those on the container's networks that are alive.
    fn neighbours(&self) -> Vec<Member> {
        let Ok(mut read) = self.read.lock() else { return Vec::new() };
        let mut neighbours = Vec::new();
        for network in self.places.networks().unwrap_or_default() {
            let stamp = self.places.stamp(&network);
            let known = read.entry(network.clone()).or_insert(Known { stamp: None, members: Vec::new() });
            if known.stamp != stamp || stamp.is_none() {
                *known = Known { stamp, members: self.places.members(&network).unwrap_or_default() };
            }
            if known.members.iter().any(|member| member.container == self.container) {
                neighbours.extend(known.members.iter().filter(|member| member.is_alive()).cloned());
            }
        }
        neighbours
    }

    /// The answer, where the name is one of ours.
    fn answer(&self, message: &[u8], question: &Question) -> Option<Vec<u8>> {
        if question.kind == dns::PTR {
            let address = dns::reverse(&question.name)?;
            let neighbours = self.neighbours();
            let name = neighbours.iter().find(|member| member.addresses.contains(&address))?.names.first()?.clone();
            return Some(dns::answer(message, question, &Answer::Name(&name)));
        }
        let is_called = |member: &Member| member.names.iter().any(|name| name.eq_ignore_ascii_case(&question.name));
        let mut addresses: Vec<IpAddr> = self.neighbours().into_iter().filter(is_called).flat_map(|member| member.addresses).collect();
        if addresses.is_empty() {
            return None;
        }
        // Several may share a name: who is first takes turns.
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % addresses.len();
        addresses.rotate_left(turn);
        Some(dns::answer(message, question, &Answer::Addresses(&addresses)))
    }
}

/// Answers for ever.
pub fn run(udp: &UdpSocket, tcp: TcpListener, names: Names, servers: Vec<IpAddr>) -> ! {
    let (names, servers) = (Arc::new(names), Arc::new(servers));
    {
        let (names, servers) = (Arc::clone(&names), Arc::clone(&servers));
        std::thread::spawn(move || serve_streams(&tcp, &names, &servers));
    }
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut buffer = vec![0; LONGEST_MESSAGE];
    loop {
        let (ours, moved) = wait(udp, &waiting);
        for at in (0..waiting.len()).rev() {
            if moved[at] && pass_back(&waiting[at], udp, &mut buffer) {
                waiting.swap_remove(at);
            }
        }
        try_next(&mut waiting, udp, &servers);
        if !ours {
            continue;
        }
        let Ok((count, client)) = udp.recv_from(&mut buffer) else { continue };
        let message = &buffer[..count];
        let Some(question) = dns::question(message) else { continue };
        if let Some(answer) = names.answer(message, &question) {
            let _ = udp.send_to(&answer, client);
        } else if let Some(asked) = ask(message, client, 0, &servers).filter(|_| waiting.len() < limit::QUESTIONS) {
            waiting.push(asked);
        } else {
            let reply = if servers.is_empty() { Answer::Nothing } else { Answer::Failed };
            let _ = udp.send_to(&dns::answer(message, &question, &reply), client);
        }
    }
}

fn wait(udp: &UdpSocket, waiting: &[Waiting]) -> (bool, Vec<bool>) {
    let mut fds = vec![PollFd::new(udp, PollFlags::IN)];
    fds.extend(waiting.iter().map(|asked| PollFd::new(&asked.socket, PollFlags::IN)));
    let timeout = (!waiting.is_empty()).then_some(Timespec { tv_sec: 0, tv_nsec: 200_000_000 });
    let _ = poll(&mut fds, timeout.as_ref());
    let moved: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    (moved[0], moved[1..].to_vec())
}

/// Passes a question on to one of the servers, or the next that can be reached.
fn ask(message: &[u8], client: SocketAddr, from: usize, servers: &[IpAddr]) -> Option<Waiting> {
    servers.iter().enumerate().skip(from).find_map(|(server, address)| {
        let any = if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((*address, PORT)).ok()?;
        let number = random();
        let mut passed = message.to_vec();
        passed[..2].copy_from_slice(&number.to_be_bytes());
        socket.send(&passed).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Waiting { socket, client, message: message.to_vec(), number, server, since: Instant::now() })
    })
}

fn random() -> u16 {
    let mut bytes = [0; 2];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}

/// Whether it was answered.
fn pass_back(asked: &Waiting, udp: &UdpSocket, buffer: &mut [u8]) -> bool {
    while let Ok(count) = asked.socket.recv(buffer) {
        // Only an answer to this very question counts.
        let same =
            dns::question(&asked.message).is_some_and(|question| buffer[..count].len() >= 12 && answers(&buffer[..count], &question));
        if count < 12 || buffer[..2] != asked.number.to_be_bytes() || !same {
            continue;
        }
        buffer[..2].copy_from_slice(&asked.message[..2]);
        let _ = udp.send_to(&buffer[..count], asked.client);
        return true;
    }
    false
}

/// Whether a reply repeats the question.
fn answers(reply: &[u8], question: &Question) -> bool {
    let mut as_question = reply.to_vec();
    as_question[2] &= 0x7f;
    dns::question(&as_question).is_some_and(|theirs| theirs.name == question.name && theirs.kind == question.kind)
}

/// Asks the next server where one has not answered in time, and gives up after the last.
fn try_next(waiting: &mut Vec<Waiting>, udp: &UdpSocket, servers: &[IpAddr]) {
    let late: Vec<usize> = (0..waiting.len()).rev().filter(|at| waiting[*at].since.elapsed() > PATIENCE).collect();
    for at in late {
        let asked = waiting.swap_remove(at);
        if let Some(again) = ask(&asked.message, asked.client, asked.server + 1, servers) {
            waiting.push(again);
        } else if let Some(question) = dns::question(&asked.message) {
            let _ = udp.send_to(&dns::answer(&asked.message, &question, &Answer::Failed), asked.client);
        }
    }
}

fn serve_streams(tcp: &TcpListener, names: &Arc<Names>, servers: &Arc<Vec<IpAddr>>) {
    for client in tcp.incoming() {
        let Ok(client) = client else { continue };
        if OPEN.load(Ordering::Relaxed) >= limit::RESOLVER_CONNECTIONS {
            continue;
        }
        OPEN.fetch_add(1, Ordering::Relaxed);
        let (names, servers) = (Arc::clone(names), Arc::clone(servers));
        std::thread::spawn(move || {
            let _ = serve_stream(client, &names, &servers);
            OPEN.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Each message has its length before it (RFC 1035, section 4.2.2).
fn serve_stream(mut client: TcpStream, names: &Names, servers: &[IpAddr]) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE * 5))?;
    client.set_write_timeout(Some(PATIENCE))?;
    loop {
        let message = read_message(&mut client)?;
        let Some(question) = dns::question(&message) else { return Ok(()) };
        let reply = names.answer(&message, &question).or_else(|| servers.iter().find_map(|server| ask_stream(*server, &message).ok()));
        let nothing = if servers.is_empty() { Answer::Nothing } else { Answer::Failed };
        let reply = reply.unwrap_or_else(|| dns::answer(&message, &question, &nothing));
        write_message(&mut client, &reply)?;
    }
}

fn ask_stream(server: IpAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, PORT), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write_message(&mut stream, message)?;
    read_message(&mut stream)
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write_message(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&message[..usize::from(length)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::place::Place;
    use std::collections::HashSet;

    /// A question for the address of `x`.
    fn question(number: u16) -> Vec<u8> {
        [&number.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'x', 0, 0, 1, 0, 1]].concat()
    }

    /// A resolver whose only server never answers; where it listens.
    fn start() -> (SocketAddr, SocketAddr) {
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let places = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let directory = std::fs::File::open(tempfile::tempdir().unwrap().keep()).unwrap();
        let place = Place { fd: std::os::fd::IntoRawFd::into_raw_fd(directory), path: None };
        let names = Names::new(Places::open(&place).unwrap(), "container");
        // Nobody listens there.
        std::thread::spawn(move || run(&udp, tcp, names, vec!["127.83.12.9".parse().unwrap()]));
        places
    }

    #[test]
    fn one_question_more_than_may_wait_is_answered_at_once() {
        let (udp, _) = start();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE / 2)).unwrap();
        let last = u16::try_from(limit::QUESTIONS).unwrap();
        for number in 0..=last {
            client.send_to(&question(number), udp).unwrap();
            // Not faster than the queue of the socket takes them.
            std::thread::sleep(Duration::from_micros(100));
        }
        let mut buffer = [0; 512];
        let (count, _) = client.recv_from(&mut buffer).expect("the one too many is answered");
        assert_eq!((&buffer[..2], buffer[3] & 15), (&last.to_be_bytes()[..], 2), "{:?}", &buffer[..count]);
    }

    #[test]
    fn one_connection_more_than_there_may_be_is_closed() {
        let (_, tcp) = start();
        let mut clients: Vec<TcpStream> = (0..=limit::RESOLVER_CONNECTIONS).map(|_| TcpStream::connect(tcp).unwrap()).collect();
        let closed: HashSet<usize> = clients
            .iter_mut()
            .enumerate()
            .filter_map(|(at, client)| {
                client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                matches!(client.read(&mut [0; 1]), Ok(0)).then_some(at)
            })
            .collect();
        assert_eq!(closed, HashSet::from([limit::RESOLVER_CONNECTIONS]));
    }
}
