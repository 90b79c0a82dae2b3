//! The rules of one network: a table of its own, which goes with the network's last container.

use crate::error::{Error, Kind, Result};
use crate::net::address::Network;
use crate::net::filter::{Change, Filter, Hook, Match, Verdict};
use crate::net::netlink::refused;
use crate::wire::network::{NetworkBridge, Protocol, PublishedPort};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Priorities of nft(8): where destinations and sources are changed, and where packets are filtered.
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;
const FILTER: i32 = 0;

const PORTS: &str = "ports";

/// The table of a network: named after its bridge, so that two networks never share one.
pub fn table_of(bridge: &str) -> String {
    format!("stave-{bridge}")
}

/// Makes the table anew: what a crash may have left of it is gone in the same transaction.
pub fn install(filter: &Filter, bridge: &NetworkBridge, networks: &[Network]) -> Result<()> {
    let (table, name) = (table_of(&bridge.name), bridge.name.as_str());
    let mut change = Change::begin();
    change.add_table(&table);
    change.remove_table(&table);
    change.add_table(&table);
    change.add_chain(&table, PORTS, None);
    change.add_chain(&table, "prerouting", Some((Hook::Prerouting, DSTNAT, true)));
    change.add_chain(&table, "output", Some((Hook::Output, DSTNAT, true)));
    change.add_chain(&table, "postrouting", Some((Hook::Postrouting, SRCNAT, true)));
    change.add_chain(&table, "forward", Some((Hook::Forward, FILTER, false)));
    // Published ports. The network's own containers, and this machine's loopback, reach them through the relay instead:
    // their packets would come back a way on which nobody could answer.
    change.add_rule(&table, "prerouting", &[Match::NotFrom(name), Match::LocalDestination], Verdict::Jump(PORTS), "");
    for (address, bits) in [(IpAddr::V4(Ipv4Addr::LOCALHOST), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)] {
        let elsewhere = Match::NotDestination(Network { address, bits });
        change.add_rule(&table, "output", &[Match::LocalDestination, elsewhere], Verdict::Jump(PORTS), "");
    }
    if !bridge.internal {
        for network in networks {
            change.add_rule(&table, "postrouting", &[Match::Source(*network), Match::NotTo(name)], Verdict::Masquerade, "");
        }
    }
    // Into the network comes what answers and what was published; nothing else, from outside or from another network.
    for condition in [Match::Established, Match::Redirected] {
        change.add_rule(&table, "forward", &[Match::NotFrom(name), Match::To(name), condition], Verdict::Accept, "");
    }
    change.add_rule(&table, "forward", &[Match::NotFrom(name), Match::To(name)], Verdict::Drop, "");
    if bridge.internal {
        change.add_rule(&table, "forward", &[Match::From(name), Match::NotTo(name)], Verdict::Drop, "");
    }
    filter.apply(change).map_err(|errno| explain(errno, &table))
}

/// Redirects what comes to published ports from other machines, and from this one by its own addresses.
pub fn publish(filter: &Filter, bridge: &str, container: &str, ports: &[PublishedPort], addresses: &[IpAddr]) -> Result<()> {
    let table = table_of(bridge);
    let mut change = Change::begin();
    for port in ports {
        let protocol = match port.protocol {
            Protocol::Tcp => libc::IPPROTO_TCP,
            Protocol::Udp => libc::IPPROTO_UDP,
        };
        let host = port.host_address.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
        for target in addresses {
            let Some(at) = destination(host, *target) else { continue };
            let matches = [Match::Destination(at), Match::Port(protocol as u8, port.host_port)];
            change.add_rule(&table, PORTS, &matches, Verdict::Redirect(*target, port.container_port), container);
        }
    }
    filter.apply(change).map_err(|errno| explain(errno, &table))
}

/// Where packets go that are redirected to `target`: to any address of its family, or to one. `None`: none are.
fn destination(host: Option<IpAddr>, target: IpAddr) -> Option<Network> {
    let everything = Network { address: if target.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) }, bits: 0 };
    match host {
        None => Some(everything),
        Some(host) if host.is_loopback() || host.is_ipv4() != target.is_ipv4() => None,
        Some(host) if host.is_unspecified() => Some(everything),
        Some(host) => Some(Network { address: host, bits: if host.is_ipv4() { 32 } else { 128 } }),
    }
}

/// Takes a container's published ports back.
pub fn unpublish(filter: &Filter, bridge: &str, container: &str) -> Result<()> {
    let table = table_of(bridge);
    let rules = filter.rules_of(&table, container)?;
    if rules.is_empty() {
        return Ok(());
    }
    let mut change = Change::begin();
    for (chain, handle) in &rules {
        change.remove_rule(&table, chain, *handle);
    }
    match filter.apply(change) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(explain(errno, &table)),
    }
}

/// In the container: what asks the name server at 127.0.0.11 reaches where it really listens, so that the container
/// may have a server on port 53 of its own.
pub fn lead_to_resolver(filter: &Filter, address: Ipv4Addr, udp: u16, tcp: u16) -> Result<()> {
    const TABLE: &str = "stave-resolver";
    let mut change = Change::begin();
    change.add_table(TABLE);
    change.add_chain(TABLE, "output", Some((Hook::Output, DSTNAT, true)));
    let at = Match::Destination(Network { address: IpAddr::V4(address), bits: 32 });
    for (protocol, port) in [(libc::IPPROTO_UDP, udp), (libc::IPPROTO_TCP, tcp)] {
        change.add_rule(TABLE, "output", &[at, Match::Port(protocol as u8, 53)], Verdict::Redirect(IpAddr::V4(address), port), "");
    }
    filter.apply(change).map_err(|errno| explain(errno, TABLE))
}

fn explain(errno: Errno, table: &str) -> Error {
    let error = refused(format!("netlink(NFNL_MSG_BATCH_BEGIN, table inet {table:?})"), errno);
    let error = match errno {
        Errno::OPNOTSUPP | Errno::NOENT | Errno::PROTONOSUPPORT => Error { kind: Kind::Unsupported, ..error }
            .hint("Networks need nf_tables with NAT of the kernel: modules nf_tables, nft_chain_nat, nft_masq, nft_ct and nft_fib_inet, Linux 5.2 or newer. --network host and --network none need nothing."),
        _ => error,
    };
    error.context("cannot set the rules of a network")
}
