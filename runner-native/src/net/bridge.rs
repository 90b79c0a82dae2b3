//! Networks on bridges: a container comes to one, and leaves it; the last one takes the bridge along.

use crate::error::{Error, Kind, Result};
use crate::net::address::{Network, parse_mac};
use crate::net::filter::Filter;
use crate::net::inside::Inside;
use crate::net::link::{Links, Peer};
use crate::net::place::{Lock, Member, boot};
use crate::net::rules;
use crate::sys::process::start_time;
use crate::wire::network::{NetworkBridge, NetworkLink, PublishedPort};
use rustix::fd::{AsFd, OwnedFd};
use std::net::IpAddr;

/// The network namespace that bridges are in: this machine's, or one that a user's containers share.
pub struct Outside {
    pub links: Links,
    pub filter: Filter,
    /// Its settings in /proc/sys are this process's to change.
    pub own: bool,
}

/// Who comes.
pub struct Newcomer<'a> {
    pub container: &'a str,
    pub pid: i32,
    pub inside: &'a Inside,
    pub ports: &'a [PublishedPort],
}

impl Outside {
    /// Of this machine.
    pub fn here() -> Result<Self> {
        Ok(Self { links: Links::open()?, filter: Filter::open()?, own: true })
    }

    /// In the namespace that an ordinary user's containers share.
    pub fn shared(namespace: OwnedFd) -> Result<Self> {
        let Inside { links, filter, .. } = Inside::visit(namespace)?;
        Ok(Self { links, filter, own: false })
    }

    /// Connects a container to a network, which is made if it is the first.
    pub fn join(&self, lock: &Lock<'_>, link: &NetworkLink, who: &Newcomer<'_>) -> Result<()> {
        let member = member_of(link, who)?;
        lock.write(&member)?;
        let connected = self.connect(link, who, &member);
        if connected.is_err() {
            self.leave(lock, &member);
        }
        connected
    }

    fn connect(&self, link: &NetworkLink, who: &Newcomer<'_>, member: &Member) -> Result<()> {
        let bridge = self.ensure(&link.bridge)?;
        let mac = link.mac.as_deref().map(parse_mac).transpose()?;
        let peer = Peer { name: &link.interface, namespace: who.inside.namespace.as_fd(), mac, mtu: link.bridge.mtu };
        self.links.add_pair(&member.link, bridge, &peer).map_err(|error| match error.kind {
            Kind::Exists => {
                error.context(format!("cannot connect the container: it has a link {:?} already, or is on this network", link.interface))
            }
            _ => error.context("cannot connect the container"),
        })?;
        if link.bridge.isolated {
            self.links.isolate_port(&member.link)?;
        }
        configure(&who.inside.links, link)?;
        if !who.ports.is_empty() {
            rules::publish(&self.filter, &link.bridge.name, who.container, who.ports, &member.addresses)?;
        }
        Ok(())
    }

    /// The bridge of a network, with its rules. Its index.
    fn ensure(&self, bridge: &NetworkBridge) -> Result<u32> {
        if let Some(link) = self.links.find(&bridge.name)? {
            if link.alias.as_deref() == Some(&alias_of(&bridge.network)) {
                if !self.filter.has_table(&rules::table_of(&bridge.name))? {
                    rules::install(&self.filter, bridge, &parse(&bridge.addresses)?)?;
                }
                return Ok(link.index);
            }
            return Err(Error::new(
                Kind::Exists,
                format!("cannot make the network's bridge: this machine has another link named {:?}", bridge.name),
            ));
        }
        let networks = parse(&bridge.addresses)?;
        self.refuse_overlap(&networks)?;
        rules::install(&self.filter, bridge, &networks)?;
        let made = self.make(bridge, &networks);
        if made.is_err() {
            let _ = self.filter.remove_table(&rules::table_of(&bridge.name));
            if let Ok(Some(link)) = self.links.find(&bridge.name) {
                let _ = self.links.remove(link.index);
            }
        }
        made
    }

    fn make(&self, bridge: &NetworkBridge, networks: &[Network]) -> Result<u32> {
        let index = self.links.add_bridge(&bridge.name, &alias_of(&bridge.network), bridge.mtu).map_err(|error| {
            let hint = match error.kind {
                Kind::Unsupported => "The kernel has no bridges: sudo modprobe bridge. --network host and --network none need none.",
                _ => "Only root may change this machine's links. --network host and --network none need nothing of that.",
            };
            error.hint(hint).context("cannot make the network's bridge")
        })?;
        for network in networks {
            self.links.add_address(index, network)?;
        }
        self.links.raise(index)?;
        if self.own && !bridge.internal {
            allow_forwarding(networks)?;
        }
        Ok(index)
    }

    /// Two links with one network would take each other's packets.
    fn refuse_overlap(&self, networks: &[Network]) -> Result<()> {
        for route in self.links.routes()?.iter().filter(|route| route.to.bits > 0) {
            let Some(network) = networks.iter().find(|network| network.overlaps(&route.to)) else { continue };
            let name = self
                .links
                .list()?
                .into_iter()
                .find(|link| link.index == route.link)
                .map_or_else(|| route.link.to_string(), |link| link.name);
            return Err(Error::new(
                Kind::Exists,
                format!("the network's addresses ({network}) overlap the route to {} through {name}", route.to),
            )
            .hint("Make a network with another --subnet."));
        }
        Ok(())
    }

    /// Disconnects one, and takes away what it was the last to need. What cannot be done now is left to the next.
    pub fn leave(&self, lock: &Lock<'_>, member: &Member) {
        let _ = rules::unpublish(&self.filter, &member.bridge, &member.container);
        if let Ok(Some(link)) = self.links.find(&member.link) {
            let _ = self.links.remove(link.index);
        }
        lock.remove(member);
        let others = lock.places.members(&member.network).unwrap_or_default();
        if others.iter().any(Member::is_alive) {
            return;
        }
        let Ok(Some(bridge)) = self.links.find(&member.bridge) else {
            let _ = self.filter.remove_table(&rules::table_of(&member.bridge));
            return;
        };
        // Only what we made ourselves, and only if nobody put something else on it.
        let has_ports = self.links.list().is_ok_and(|links| links.iter().any(|link| link.master == Some(bridge.index)));
        if bridge.alias.as_deref() == Some(&alias_of(&member.network)) && !has_ports {
            let _ = self.links.remove(bridge.index);
            let _ = self.filter.remove_table(&rules::table_of(&member.bridge));
        }
    }

    /// Takes away what containers have left whose monitor was killed.
    pub fn sweep(&self, lock: &Lock<'_>) -> Result<()> {
        for member in lock.all()?.iter().filter(|member| !member.is_alive()) {
            self.leave(lock, member);
        }
        Ok(())
    }
}

fn member_of(link: &NetworkLink, who: &Newcomer<'_>) -> Result<Member> {
    Ok(Member {
        container: who.container.to_owned(),
        network: link.bridge.network.clone(),
        bridge: link.bridge.name.clone(),
        link: link_name(who.container, &link.bridge.network),
        addresses: parse(&link.addresses)?.iter().map(|network| network.address).collect(),
        names: link.names.clone(),
        pid: who.pid,
        start: start_time(who.pid).unwrap_or_default(),
        boot: boot(),
    })
}

/// The same for the same container on the same network, and short enough for a link.
fn link_name(container: &str, network: &str) -> String {
    let part = |text: &str, count: usize| text.chars().take(count).collect::<String>();
    format!("sv{}{}", part(container, 7), part(network, 5))
}

/// By this we know a bridge that we made.
fn alias_of(network: &str) -> String {
    format!("stave network {network}")
}

fn parse(texts: &[String]) -> Result<Vec<Network>> {
    texts.iter().map(|text| text.parse()).collect()
}

/// Addresses and routes of the container's side.
fn configure(links: &Links, link: &NetworkLink) -> Result<()> {
    let index = links.index(&link.interface)?;
    let networks = parse(&link.addresses)?;
    if networks.iter().all(|network| network.address.is_ipv4()) {
        links.forgo_ipv6(index)?;
    }
    for network in &networks {
        links.add_address(index, network)?;
    }
    links.raise(index)?;
    for gateway in &link.gateways {
        let gateway: IpAddr = gateway.parse().map_err(|_| Error::new(Kind::Request, format!("{gateway:?} is not an address")))?;
        links.add_default_route(index, gateway, 0)?;
    }
    Ok(())
}

/// Lets this machine pass packets on, which is off until somebody needs it. It stays on: whether another has come to
/// need it meanwhile cannot be known.
fn allow_forwarding(networks: &[Network]) -> Result<()> {
    set("/proc/sys/net/ipv4/ip_forward")?;
    if networks.iter().any(|network| network.address.is_ipv6()) {
        keep_router_advertisements();
        set("/proc/sys/net/ipv6/conf/all/forwarding")?;
    }
    Ok(())
}

/// A machine that forwards IPv6 would no longer learn its own routes from its router: where it did, it still shall.
fn keep_router_advertisements() {
    if std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").is_ok_and(|text| text.trim() == "1") {
        return;
    }
    for entry in std::fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
        let file = entry.path().join("accept_ra");
        if std::fs::read_to_string(&file).is_ok_and(|text| text.trim() == "1") {
            let _ = std::fs::write(&file, "2");
        }
    }
}

fn set(path: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() != "0") {
        return Ok(());
    }
    std::fs::write(path, "1").map_err(|error| {
        Error::io(format!("write({path:?}, \"1\")"), &error)
            .context("this machine does not pass packets on, and that cannot be changed")
            .hint("Somebody who may must set net.ipv4.ip_forward=1 (and net.ipv6.conf.all.forwarding=1 for IPv6).")
    })
}
