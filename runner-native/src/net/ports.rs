//! Published ports on this machine's side: taken before the container starts, so that one that is in use is found then.

use crate::error::{Error, Kind, Result};
use crate::wire::network::{Protocol, PublishedPort};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A port that is taken: its sockets, one for each family.
pub struct Taken {
    pub port: PublishedPort,
    pub sockets: Vec<OwnedFd>,
}

/// As many as may wait to be accepted; the kernel's own limit is mostly lower.
const BACKLOG: i32 = 4096;

/// Takes all of them, or none.
pub fn take(ports: &[PublishedPort]) -> Result<Vec<Taken>> {
    ports.iter().map(take_one).collect()
}

fn take_one(port: &PublishedPort) -> Result<Taken> {
    let (addresses, both) = match port.host_address.as_deref() {
        None | Some("") => (vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)], true),
        Some(text) => {
            let address =
                text.parse().map_err(|_| Error::new(Kind::Request, format!("{text:?} is not an address to publish a port on")))?;
            (vec![address], false)
        }
    };
    let mut taken = Taken { port: port.clone(), sockets: Vec::new() };
    for address in addresses {
        match open(address, taken.port.host_port, port.protocol) {
            Ok((socket, number)) => {
                taken.port.host_port = number;
                taken.sockets.push(socket);
            }
            // A machine without IPv6.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if both && address.is_ipv6() => {}
            Err(errno) => return Err(explain(errno, &taken.port, address)),
        }
    }
    Ok(taken)
}

fn open(address: IpAddr, port: u16, protocol: Protocol) -> Result<(OwnedFd, u16), Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if protocol == Protocol::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if protocol == Protocol::Tcp {
        // Connections of before that still linger are no reason to refuse.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &SocketAddr::new(address, port))?;
    if protocol == Protocol::Tcp {
        listen(&socket, BACKLOG)?;
    }
    let number = SocketAddr::try_from(rustix::net::getsockname(&socket)?).map_or(port, |address| address.port());
    Ok((socket, number))
}

fn explain(errno: Errno, port: &PublishedPort, address: IpAddr) -> Error {
    let name = name_of(port.protocol);
    let number = port.host_port;
    let error = Error::call(format!("bind({address}, {number}/{name})"), errno);
    match errno {
        Errno::ADDRINUSE => {
            let owner = owner(number, port.protocol);
            let who = owner.map_or_else(|| "another process".to_owned(), |(pid, name)| format!("{name} (process {pid})"));
            Error { message: format!("cannot publish port {number}/{name}: {who} has it"), kind: Kind::Exists, ..error }
                .hint("Publish another port of this machine, or end what has it.")
        }
        Errno::ACCESS | Errno::PERM => {
            Error { message: format!("cannot publish port {number}/{name}: this user may not"), kind: Kind::Permission, ..error }.hint(
                format!(
                    "Ports below {} are root's here: publish a higher one, or: sudo sysctl -w net.ipv4.ip_unprivileged_port_start={number}",
                    first_free()
                ),
            )
        }
        Errno::ADDRNOTAVAIL => {
            Error { message: format!("cannot publish port {number}/{name}: this machine has no address {address}"), ..error }
        }
        _ => error.context(format!("cannot publish port {number}/{name}")),
    }
}

fn name_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn first_free() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .map_or_else(|_| "1024".to_owned(), |text| text.trim().to_owned())
}

/// The process that listens on a port of this machine, if it can be seen.
fn owner(port: u16, protocol: Protocol) -> Option<(i32, String)> {
    let name = name_of(protocol);
    let mut inodes = HashSet::new();
    for file in [format!("/proc/net/{name}"), format!("/proc/net/{name}6")] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        inodes.extend(text.lines().filter_map(|line| inode_of(line, port, protocol)));
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find_map(|pid| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let has = fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|link| {
            let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
            inode.is_some_and(|inode| inodes.contains(&inode))
        });
        has.then(|| (pid, std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()))
    })
}

/// The socket of a line of /proc/net/tcp that listens on a port (proc_pid_net(5)).
fn inode_of(line: &str, port: u16, protocol: Protocol) -> Option<u64> {
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let local = fields.get(1)?.rsplit_once(':')?.1;
    let listens = protocol == Protocol::Udp || *fields.get(3)? == LISTENS;
    if !listens || u16::from_str_radix(local, 16).ok()? != port {
        return None;
    }
    fields.get(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: u16) -> PublishedPort {
        PublishedPort { host_address: Some("127.0.0.1".into()), host_port: number, container_port: 80, protocol: Protocol::Tcp }
    }

    #[test]
    fn a_free_port_is_found_and_one_in_use_has_an_owner() {
        let taken = take(&[port(0)]).unwrap();
        let number = taken[0].port.host_port;
        assert!(number > 0);
        let error = take(&[port(number)]).err().unwrap();
        assert!(error.message.contains(&format!("process {}", std::process::id())), "{error}");
        drop(taken);
        take(&[port(number)]).unwrap();
    }

    #[test]
    fn lines_of_proc_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0";
        assert_eq!(inode_of(line, 8080, Protocol::Tcp), Some(12345));
        assert_eq!(inode_of(line, 8081, Protocol::Tcp), None);
        assert_eq!(inode_of(&line.replace(" 0A ", " 01 "), 8080, Protocol::Tcp), None);
        assert_eq!(inode_of("  sl  local_address rem_address", 8080, Protocol::Tcp), None);
    }
}
