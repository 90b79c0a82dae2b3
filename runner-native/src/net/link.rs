//! Links, addresses and routes, through rtnetlink(7).

use crate::error::{Error, Result};
use crate::net::address::Network;
use crate::net::netlink::{self, ACK, Attributes, CREATE, DUMP, EXCL, Family, REQUEST, Writer, number_of, refused, text_of};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::net::IpAddr;

/// What `rtnetlink` of one network namespace is asked through.
pub struct Links(OwnedFd);

/// A link that is there.
#[derive(Clone, Debug)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// What was written to it by whoever made it.
    pub alias: Option<String>,
}

/// A route that is there: where it leads, through which link.
pub struct Route {
    pub to: Network,
    pub link: u32,
}

const IFINFO_BYTES: usize = 16;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const NODAD: u8 = libc::IFA_F_NODAD as u8;

impl Links {
    /// Of the network namespace that this thread is in.
    pub fn open() -> Result<Self> {
        netlink::open(Family::Route).map(Self)
    }

    pub fn from_socket(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// A bridge, not yet up. Its index.
    ///
    /// # Errors
    /// `Kind::Exists` if there is a link with that name.
    pub fn add_bridge(&self, name: &str, alias: &str, mtu: Option<u32>) -> Result<u32> {
        let mut message = Writer::default();
        message.begin(libc::RTM_NEWLINK, REQUEST | ACK | CREATE | EXCL, 1, &ifinfo(0, false)).text(libc::IFLA_IFNAME, name);
        if let Some(mtu) = mtu {
            message.number(libc::IFLA_MTU, mtu);
        }
        message.nest(libc::IFLA_LINKINFO, &[], |info| {
            info.text(libc::IFLA_INFO_KIND, "bridge");
        });
        self.ask(&mut message, || format!("netlink(RTM_NEWLINK, bridge {name:?})"))?;
        // The kernel takes no alias with a new link.
        let index = self.index(name)?;
        message.begin(libc::RTM_NEWLINK, REQUEST | ACK, 1, &ifinfo(index, false)).text(libc::IFLA_IFALIAS, alias);
        no_link_local(&mut message);
        self.ask(&mut message, || format!("netlink(RTM_NEWLINK, alias of {name:?})"))?;
        Ok(index)
    }

    /// Keeps a link that is not up yet from giving itself an address of IPv6.
    pub fn forgo_ipv6(&self, index: u32) -> Result<()> {
        let mut message = Writer::default();
        message.begin(libc::RTM_NEWLINK, REQUEST | ACK, 1, &ifinfo(index, false));
        no_link_local(&mut message);
        match netlink::ask(&self.0, &message.take()) {
            // A kernel without IPv6.
            Ok(()) | Err(Errno::AFNOSUPPORT | Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => Err(refused(format!("netlink(RTM_NEWLINK, {index}, no IPv6)"), errno)),
        }
    }

    /// A pair of links: `name` here as a port of `bridge`, and its peer `inside` in another namespace.
    pub fn add_pair(&self, name: &str, bridge: u32, inside: &Peer<'_>) -> Result<()> {
        let mut message = Writer::default();
        message
            .begin(libc::RTM_NEWLINK, REQUEST | ACK | CREATE | EXCL, 1, &ifinfo(0, true))
            .text(libc::IFLA_IFNAME, name)
            .number(libc::IFLA_MASTER, bridge);
        if let Some(mtu) = inside.mtu {
            message.number(libc::IFLA_MTU, mtu);
        }
        message.nest(libc::IFLA_LINKINFO, &[], |info| {
            info.text(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, &[], |data| {
                data.nest(VETH_INFO_PEER, &ifinfo(0, false), |peer| {
                    peer.text(libc::IFLA_IFNAME, inside.name).number(libc::IFLA_NET_NS_FD, inside.namespace.as_raw_fd() as u32);
                    if let Some(mac) = inside.mac {
                        peer.attribute(libc::IFLA_ADDRESS, &mac);
                    }
                    if let Some(mtu) = inside.mtu {
                        peer.number(libc::IFLA_MTU, mtu);
                    }
                });
            });
        });
        self.ask(&mut message, || format!("netlink(RTM_NEWLINK, veth {name:?} and {:?})", inside.name))
    }

    /// Ports of a bridge that are isolated reach its own address, and not each other.
    pub fn isolate_port(&self, name: &str) -> Result<()> {
        let mut message = Writer::default();
        let mut head = ifinfo(self.index(name)?, true);
        head[0] = libc::AF_BRIDGE as u8;
        message.begin(libc::RTM_NEWLINK, REQUEST | ACK, 1, &head).nest(libc::IFLA_PROTINFO, &[], |port| {
            port.attribute(IFLA_BRPORT_ISOLATED, &[1]);
        });
        self.ask(&mut message, || format!("netlink(RTM_NEWLINK, isolation of {name:?})"))
    }

    pub fn raise(&self, index: u32) -> Result<()> {
        let mut message = Writer::default();
        message.begin(libc::RTM_NEWLINK, REQUEST | ACK, 1, &ifinfo(index, true));
        self.ask(&mut message, || format!("netlink(RTM_NEWLINK, {index}, IFF_UP)"))
    }

    /// Removes a link. One that is not there is no error.
    pub fn remove(&self, index: u32) -> Result<()> {
        let mut message = Writer::default();
        message.begin(libc::RTM_DELLINK, REQUEST | ACK, 1, &ifinfo(index, false));
        match netlink::ask(&self.0, &message.take()) {
            Ok(()) | Err(Errno::NODEV) => Ok(()),
            Err(errno) => Err(refused(format!("netlink(RTM_DELLINK, {index})"), errno)),
        }
    }

    /// Gives a link an address, usable at once: nobody else can have it, so nobody is asked.
    pub fn add_address(&self, index: u32, network: &Network) -> Result<()> {
        let (family, bytes) = bytes_of(network.address);
        let mut head = vec![family, network.bits, NODAD, 0];
        head.extend_from_slice(&index.to_ne_bytes());
        let mut message = Writer::default();
        message
            .begin(libc::RTM_NEWADDR, REQUEST | ACK | CREATE, 1, &head)
            .attribute(libc::IFA_LOCAL, &bytes)
            .attribute(libc::IFA_ADDRESS, &bytes);
        if let IpAddr::V4(address) = network.address {
            let host = u32::MAX.checked_shr(u32::from(network.bits)).unwrap_or(0);
            if network.bits < 31 {
                message.attribute(libc::IFA_BROADCAST, &(u32::from(address) | host).to_be_bytes());
            }
        }
        self.ask(&mut message, || format!("netlink(RTM_NEWADDR, {network})"))
    }

    /// Sends what no other route takes through a gateway.
    pub fn add_default_route(&self, index: u32, gateway: IpAddr, metric: u32) -> Result<()> {
        let (family, bytes) = bytes_of(gateway);
        let head = [family, 0, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, 0, 0, 0, 0];
        let mut message = Writer::default();
        message
            .begin(libc::RTM_NEWROUTE, REQUEST | ACK | CREATE, 1, &head)
            .attribute(libc::RTA_GATEWAY, &bytes)
            .number(libc::RTA_OIF, index)
            .number(libc::RTA_PRIORITY, metric);
        self.ask(&mut message, || format!("netlink(RTM_NEWROUTE, default via {gateway})"))
    }

    /// All links of the namespace.
    pub fn list(&self) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        self.dump(libc::RTM_GETLINK, &ifinfo(0, false), |payload| links.extend(link_of(payload)))?;
        Ok(links)
    }

    pub fn index(&self, name: &str) -> Result<u32> {
        self.find(name)?.map(|link| link.index).ok_or_else(|| refused(format!("netlink(RTM_GETLINK, {name:?})"), Errno::NODEV))
    }

    pub fn find(&self, name: &str) -> Result<Option<Link>> {
        let mut message = Writer::default();
        message.begin(libc::RTM_GETLINK, REQUEST | ACK, 1, &ifinfo(0, false)).text(libc::IFLA_IFNAME, name);
        let mut found = None;
        match netlink::exchange(&self.0, &message.take(), |_, payload| found = link_of(payload)) {
            Ok(()) => Ok(found),
            Err(Errno::NODEV) => Ok(None),
            Err(errno) => Err(refused(format!("netlink(RTM_GETLINK, {name:?})"), errno)),
        }
    }

    /// The routes of the main table.
    pub fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        self.dump(libc::RTM_GETROUTE, &[0; 12], |payload| routes.extend(route_of(payload)))?;
        Ok(routes)
    }

    fn dump(&self, kind: u16, head: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut message = Writer::default();
        message.begin(kind, REQUEST | DUMP, 1, head);
        netlink::exchange(&self.0, &message.take(), |_, payload| each(payload))
            .map_err(|errno| refused(format!("netlink({kind}, NLM_F_DUMP)"), errno))
    }

    fn ask(&self, message: &mut Writer, what: impl FnOnce() -> String) -> Result<(), Error> {
        netlink::ask(&self.0, &message.take()).map_err(|errno| refused(what(), errno))
    }
}

/// The end of a pair that goes into a container.
pub struct Peer<'a> {
    pub name: &'a str,
    pub namespace: BorrowedFd<'a>,
    pub mac: Option<[u8; 6]>,
    pub mtu: Option<u32>,
}

/// `struct ifinfomsg`.
fn ifinfo(index: u32, up: bool) -> [u8; IFINFO_BYTES] {
    let mut bytes = [0; IFINFO_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        bytes[8..12].copy_from_slice(&(libc::IFF_UP as u32).to_ne_bytes());
        bytes[12..16].copy_from_slice(&(libc::IFF_UP as u32).to_ne_bytes());
    }
    bytes
}

fn no_link_local(message: &mut Writer) {
    const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
    const NONE: u8 = 1;
    message.nest(libc::IFLA_AF_SPEC, &[], |families| {
        families.nest(libc::AF_INET6 as u16, &[], |family| {
            family.attribute(IFLA_INET6_ADDR_GEN_MODE, &[NONE]);
        });
    });
}

fn link_of(payload: &[u8]) -> Option<Link> {
    let index = number_of(payload.get(4..8)?)?;
    let attributes = || Attributes(payload.get(IFINFO_BYTES..).unwrap_or_default());
    Some(Link {
        index,
        name: text_of(attributes().find(libc::IFLA_IFNAME)?),
        master: attributes().find(libc::IFLA_MASTER).and_then(number_of),
        alias: attributes().find(libc::IFLA_IFALIAS).map(text_of),
    })
}

fn route_of(payload: &[u8]) -> Option<Route> {
    let (family, bits, table) = (*payload.first()?, *payload.get(1)?, *payload.get(4)?);
    if table != libc::RT_TABLE_MAIN {
        return None;
    }
    let attributes = || Attributes(payload.get(12..).unwrap_or_default());
    let address = match attributes().find(libc::RTA_DST) {
        Some(bytes) => address_of(bytes)?,
        None if i32::from(family) == libc::AF_INET6 => IpAddr::from([0; 16]),
        None => IpAddr::from([0; 4]),
    };
    Some(Route { to: Network { address, bits }, link: number_of(attributes().find(libc::RTA_OIF)?)? })
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

/// Family and bytes.
pub fn bytes_of(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec()),
    }
}
