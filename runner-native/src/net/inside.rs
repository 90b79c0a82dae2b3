//! What the process inside opens in its network namespace for us: sockets keep the namespace that they were made in,
//! so nobody has to go there.

use crate::error::{Error, Kind, Result};
use crate::net::filter::Filter;
use crate::net::link::Links;
use crate::net::netlink::{self, Family};
use crate::net::rules;
use crate::sys::task;
use crate::wire::channel::{Channel, Message, Socket};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

/// Where the name server of a container is.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// What came out.
pub struct Inside {
    pub namespace: OwnedFd,
    pub links: Links,
    pub filter: Filter,
    pub resolver: Option<(UdpSocket, TcpListener)>,
}

/// What has come so far.
#[derive(Default)]
pub struct Arriving {
    namespace: Option<OwnedFd>,
    route: Option<OwnedFd>,
    filter: Option<OwnedFd>,
    udp: Option<OwnedFd>,
    tcp: Option<OwnedFd>,
}

/// What is safe in a namespace of one's own: every user there may listen on any port, and ping.
pub fn relax(chosen: &BTreeMap<String, String>) {
    // The second range is for a user namespace in which not all groups exist.
    let settings = [("ip_unprivileged_port_start", &["0"][..]), ("ping_group_range", &["0 2147483647", "0 0"])];
    for (name, values) in settings.iter().filter(|(name, _)| !chosen.contains_key(&format!("net.ipv4.{name}"))) {
        // A kernel that has no such setting needs none.
        let _ = values.iter().any(|value| std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value).is_ok());
    }
}

/// In the process inside, its loopback up: opens everything and hands it out.
pub fn hand_out(channel: &Channel, resolver: bool) -> Result<()> {
    let send = |purpose: Socket, socket: &dyn AsFdDyn| channel.send(&Message::Socket { purpose }, Some(socket.fd()));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace =
        openat(CWD, "/proc/self/ns/net", flags, Mode::empty()).map_err(|errno| Error::call("openat(\"/proc/self/ns/net\")", errno))?;
    send(Socket::Namespace, &namespace)?;
    send(Socket::Route, &netlink::open(Family::Route)?)?;
    send(Socket::Filter, &netlink::open(Family::Filter)?)?;
    if resolver {
        let (udp, tcp) = listen()?;
        send(Socket::ResolverUdp, &udp)?;
        send(Socket::ResolverTcp, &tcp)?;
    }
    channel.send(&Message::Network {}, None)
}

/// The sockets of the name server, in the namespace that this thread is in.
fn listen() -> Result<(UdpSocket, TcpListener)> {
    let address = SocketAddrV4::new(RESOLVER, 0);
    let udp = UdpSocket::bind(address).map_err(|error| Error::io("bind(127.0.0.11, udp)", &error))?;
    let tcp = TcpListener::bind(address).map_err(|error| Error::io("bind(127.0.0.11, tcp)", &error))?;
    Ok((udp, tcp))
}

/// So that a closure can take any of them.
trait AsFdDyn {
    fn fd(&self) -> rustix::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdDyn for T {
    fn fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Arriving {
    pub fn take(&mut self, purpose: Socket, socket: Option<OwnedFd>) {
        match purpose {
            Socket::Namespace => self.namespace = socket,
            Socket::Route => self.route = socket,
            Socket::Filter => self.filter = socket,
            Socket::ResolverUdp => self.udp = socket,
            Socket::ResolverTcp => self.tcp = socket,
        }
    }

    /// When all have come.
    pub fn complete(&mut self) -> Result<Inside> {
        let missing = || Error::new(Kind::State, "the container's process did not open its network");
        Ok(Inside {
            namespace: self.namespace.take().ok_or_else(missing)?,
            links: Links::from_socket(self.route.take().ok_or_else(missing)?),
            filter: Filter::from_socket(self.filter.take().ok_or_else(missing)?),
            resolver: self.udp.take().zip(self.tcp.take()).map(|(udp, tcp)| (udp.into(), tcp.into())),
        })
    }
}

impl Inside {
    /// Of a new namespace, its loopback up: a thread makes it, opens sockets there, and ends.
    pub fn make(resolver: bool, chosen: &BTreeMap<String, String>) -> Result<Self> {
        let make = || {
            task::unshare(libc::CLONE_NEWNET)?;
            task::raise_loopback()?;
            relax(chosen);
            let namespace = openat(CWD, "/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| Error::call("openat(\"/proc/thread-self/ns/net\")", errno))?;
            let resolver = if resolver { Some(listen()?) } else { None };
            Ok(Self { namespace, links: Links::open()?, filter: Filter::open()?, resolver })
        };
        std::thread::scope(|scope| scope.spawn(make).join())
            .map_err(|_| Error::new(Kind::State, "the network namespace could not be made"))?
    }

    /// Of a namespace that is there: a thread goes there, opens sockets, and ends.
    pub fn visit(namespace: OwnedFd) -> Result<Self> {
        let there = namespace.try_clone().map_err(|error| Error::io("dup(…)", &error))?;
        let visit = std::thread::spawn(move || {
            task::setns(&there, libc::CLONE_NEWNET)?;
            Ok::<_, Error>((Links::open()?, Filter::open()?))
        });
        let (links, filter) = visit.join().map_err(|_| Error::new(Kind::State, "the network namespace could not be visited"))??;
        Ok(Self { namespace, links, filter, resolver: None })
    }

    /// Leads port 53 of [`RESOLVER`] to the sockets that were made for it.
    pub fn lead_to_resolver(&self) -> Result<()> {
        let Some((udp, tcp)) = &self.resolver else { return Ok(()) };
        let port = |address: std::io::Result<std::net::SocketAddr>| {
            address.map(|address| address.port()).map_err(|error| Error::io("getsockname(…)", &error))
        };
        rules::lead_to_resolver(&self.filter, RESOLVER, port(udp.local_addr())?, port(tcp.local_addr())?)
    }
}
