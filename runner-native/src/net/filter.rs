//! nftables, through nfnetlink: tables, chains, rules, each change one transaction. See nft(8).

use crate::error::Result;
use crate::net::address::Network;
use crate::net::netlink::{self, ACK, APPEND, Attributes, CREATE, DUMP, Family, REQUEST, Writer, refused};
use crate::net::uapi;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::net::IpAddr;

const SUBSYSTEM: u16 = libc::NFNL_SUBSYS_NFTABLES as u16;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const HEAD_BYTES: usize = 4;
const INET: u8 = libc::NFPROTO_INET as u8;

/// `nf_tables` of one network namespace.
pub struct Filter(OwnedFd);

/// Where a chain hooks in.
#[derive(Clone, Copy)]
pub enum Hook {
    Prerouting,
    Forward,
    Output,
    Postrouting,
}

/// What happens to a packet that a rule fits.
#[derive(Clone, Copy)]
pub enum Verdict<'a> {
    Accept,
    Drop,
    Jump(&'a str),
    Masquerade,
    /// To another address and port.
    Redirect(IpAddr, u16),
}

/// A condition of a rule.
#[derive(Clone, Copy)]
pub enum Match<'a> {
    From(&'a str),
    NotFrom(&'a str),
    To(&'a str),
    NotTo(&'a str),
    Source(Network),
    Destination(Network),
    NotDestination(Network),
    /// `IPPROTO_TCP` or `IPPROTO_UDP`, and the port that it is sent to.
    Port(u8, u16),
    /// One of this machine's own addresses.
    LocalDestination,
    /// It belongs to a connection, or is about one.
    Established,
    /// Its destination was changed by a rule.
    Redirected,
}

/// A transaction that is being written: it is done as a whole or not at all.
pub struct Change(Writer);

impl Filter {
    /// Of the network namespace that this thread is in.
    pub fn open() -> Result<Self> {
        netlink::open(Family::Filter).map(Self)
    }

    pub fn from_socket(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub fn apply(&self, change: Change) -> Result<(), Errno> {
        netlink::batch(&self.0, &change.finish())
    }

    pub fn has_table(&self, table: &str) -> Result<bool> {
        let mut message = Writer::default();
        message.begin(kind(libc::NFT_MSG_GETTABLE), REQUEST | ACK, 1, &head(INET)).text(uapi::NFTA_TABLE_NAME, table);
        match netlink::ask(&self.0, &message.take()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(refused(format!("netlink(NFT_MSG_GETTABLE, {table:?})"), errno)),
        }
    }

    /// Removes a table with all that is in it. One that is not there is no error.
    pub fn remove_table(&self, table: &str) -> Result<()> {
        let mut change = Change::begin();
        change.remove_table(table);
        match self.apply(change) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(refused(format!("netlink(NFT_MSG_DELTABLE, {table:?})"), errno)),
        }
    }

    /// The rules of a table that carry this comment: in which chain, and by which number they are removed.
    pub fn rules_of(&self, table: &str, comment: &str) -> Result<Vec<(String, u64)>> {
        let mut message = Writer::default();
        message.begin(kind(libc::NFT_MSG_GETRULE), REQUEST | DUMP, 1, &head(INET)).text(uapi::NFTA_RULE_TABLE, table);
        let mut rules = Vec::new();
        let wanted = comment_of(comment);
        let answer = netlink::exchange(&self.0, &message.take(), |_, payload| {
            let attributes = || Attributes(payload.get(HEAD_BYTES..).unwrap_or_default());
            if attributes().find(uapi::NFTA_RULE_USERDATA) != Some(&wanted) {
                return;
            }
            let chain = attributes().find(uapi::NFTA_RULE_CHAIN).map(netlink::text_of);
            let handle = attributes().find(uapi::NFTA_RULE_HANDLE).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            rules.extend(chain.zip(handle));
        });
        match answer {
            Ok(()) | Err(Errno::NOENT) => Ok(rules),
            Err(errno) => Err(refused(format!("netlink(NFT_MSG_GETRULE, {table:?})"), errno)),
        }
    }
}

impl Change {
    pub fn begin() -> Self {
        let mut writer = Writer::default();
        writer.begin(BATCH_BEGIN, REQUEST, 0, &[0, 0, 0, SUBSYSTEM as u8]);
        Self(writer)
    }

    fn finish(mut self) -> Vec<u8> {
        // What is acknowledged here is acknowledged last: a refusal of anything before it comes first.
        self.0.begin(BATCH_END, REQUEST | ACK, 0, &[0, 0, 0, SUBSYSTEM as u8]);
        self.0.take()
    }

    pub fn add_table(&mut self, table: &str) {
        self.0.begin(kind(libc::NFT_MSG_NEWTABLE), REQUEST | CREATE, 1, &head(INET)).text(uapi::NFTA_TABLE_NAME, table);
    }

    pub fn remove_table(&mut self, table: &str) {
        self.0.begin(kind(libc::NFT_MSG_DELTABLE), REQUEST, 1, &head(INET)).text(uapi::NFTA_TABLE_NAME, table);
    }

    /// A chain that packets come to from elsewhere; with a hook, of itself. `nat`: it may change addresses.
    pub fn add_chain(&mut self, table: &str, chain: &str, hook: Option<(Hook, i32, bool)>) {
        let message = self.0.begin(kind(libc::NFT_MSG_NEWCHAIN), REQUEST | CREATE, 1, &head(INET));
        message.text(uapi::NFTA_CHAIN_TABLE, table).text(uapi::NFTA_CHAIN_NAME, chain);
        let Some((hook, priority, nat)) = hook else { return };
        let number = match hook {
            Hook::Prerouting => libc::NF_INET_PRE_ROUTING,
            Hook::Forward => libc::NF_INET_FORWARD,
            Hook::Output => libc::NF_INET_LOCAL_OUT,
            Hook::Postrouting => libc::NF_INET_POST_ROUTING,
        };
        message
            .nest(uapi::NFTA_CHAIN_HOOK, &[], |nested| {
                nested.big(uapi::NFTA_HOOK_HOOKNUM, number as u32).big(uapi::NFTA_HOOK_PRIORITY, priority as u32);
            })
            .big(uapi::NFTA_CHAIN_POLICY, libc::NF_ACCEPT as u32)
            .text(uapi::NFTA_CHAIN_TYPE, if nat { "nat" } else { "filter" });
    }

    pub fn add_rule(&mut self, table: &str, chain: &str, matches: &[Match<'_>], verdict: Verdict<'_>, comment: &str) {
        let message = self.0.begin(kind(libc::NFT_MSG_NEWRULE), REQUEST | CREATE | APPEND, 1, &head(INET));
        message.text(uapi::NFTA_RULE_TABLE, table).text(uapi::NFTA_RULE_CHAIN, chain);
        message.nest(uapi::NFTA_RULE_EXPRESSIONS, &[], |list| {
            for condition in matches {
                write_match(list, *condition);
            }
            write_verdict(list, verdict);
        });
        if !comment.is_empty() {
            message.attribute(uapi::NFTA_RULE_USERDATA, &comment_of(comment));
        }
    }

    pub fn remove_rule(&mut self, table: &str, chain: &str, handle: u64) {
        self.0
            .begin(kind(libc::NFT_MSG_DELRULE), REQUEST, 1, &head(INET))
            .text(uapi::NFTA_RULE_TABLE, table)
            .text(uapi::NFTA_RULE_CHAIN, chain)
            .attribute(uapi::NFTA_RULE_HANDLE, &handle.to_be_bytes());
    }
}

fn kind(message: i32) -> u16 {
    SUBSYSTEM << 8 | message as u16
}

/// `struct nfgenmsg`.
fn head(family: u8) -> [u8; HEAD_BYTES] {
    [family, 0, 0, 0]
}

/// As nft(8) keeps and shows comments: kind 0, length, text with its zero byte.
fn comment_of(text: &str) -> Vec<u8> {
    let bytes = &text.as_bytes()[..text.len().min(120)];
    [&[0, bytes.len() as u8 + 1][..], bytes, &[0]].concat()
}

/// The registers that expressions pass values in.
const FIRST: u32 = libc::NFT_REG_1 as u32;
const SECOND: u32 = libc::NFT_REG_2 as u32;

const META_NFPROTO: u32 = libc::NFT_META_NFPROTO as u32;
const META_L4PROTO: u32 = libc::NFT_META_L4PROTO as u32;
const META_IIFNAME: u32 = libc::NFT_META_IIFNAME as u32;
const META_OIFNAME: u32 = libc::NFT_META_OIFNAME as u32;
fn write_match(list: &mut Writer, condition: Match<'_>) {
    match condition {
        Match::From(name) => compare_meta(list, META_IIFNAME, &name_bytes(name), true),
        Match::NotFrom(name) => compare_meta(list, META_IIFNAME, &name_bytes(name), false),
        Match::To(name) => compare_meta(list, META_OIFNAME, &name_bytes(name), true),
        Match::NotTo(name) => compare_meta(list, META_OIFNAME, &name_bytes(name), false),
        Match::Source(network) => compare_address(list, network, false, true),
        Match::Destination(network) => compare_address(list, network, true, true),
        Match::NotDestination(network) => compare_address(list, network, true, false),
        Match::Port(protocol, port) => {
            compare_meta(list, META_L4PROTO, &[protocol], true);
            // The destination's port is the second field of both TCP and UDP.
            payload(list, libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32, 2, 2);
            compare(list, &port.to_be_bytes(), true);
        }
        Match::LocalDestination => {
            expression(list, "fib", |data| {
                data.big(uapi::NFTA_FIB_DREG, FIRST)
                    .big(uapi::NFTA_FIB_RESULT, uapi::FIB_RESULT_ADDRESS_TYPE)
                    .big(uapi::NFTA_FIB_FLAGS, uapi::FIB_DESTINATION);
            });
            compare(list, &u32::from(libc::RTN_LOCAL).to_ne_bytes(), true);
        }
        Match::Established => any_bit(list, libc::NFT_CT_STATE as u32, uapi::CT_ESTABLISHED_OR_RELATED),
        Match::Redirected => any_bit(list, libc::NFT_CT_STATUS as u32, uapi::CT_STATUS_REDIRECTED),
    }
}

fn any_bit(list: &mut Writer, key: u32, bits: u32) {
    expression(list, "ct", |data| {
        data.big(uapi::NFTA_CT_DREG, FIRST).big(uapi::NFTA_CT_KEY, key);
    });
    mask(list, &bits.to_ne_bytes());
    compare(list, &[0; 4], false);
}

fn compare_meta(list: &mut Writer, key: u32, value: &[u8], equal: bool) {
    expression(list, "meta", |data| {
        data.big(uapi::NFTA_META_DREG, FIRST).big(uapi::NFTA_META_KEY, key);
    });
    compare(list, value, equal);
}

fn compare_address(list: &mut Writer, network: Network, destination: bool, equal: bool) {
    let (family, bytes, source_at) = match network.address {
        IpAddr::V4(address) => (libc::NFPROTO_IPV4, address.octets().to_vec(), 12),
        IpAddr::V6(address) => (libc::NFPROTO_IPV6, address.octets().to_vec(), 8),
    };
    compare_meta(list, META_NFPROTO, &[family as u8], true);
    let length = bytes.len() as u32;
    payload(list, libc::NFT_PAYLOAD_NETWORK_HEADER as u32, if destination { source_at + length } else { source_at }, length);
    let bits = network.mask();
    mask(list, &bits);
    let masked: Vec<u8> = bytes.iter().zip(&bits).map(|(byte, mask)| byte & mask).collect();
    compare(list, &masked, equal);
}

fn payload(list: &mut Writer, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        data.big(uapi::NFTA_PAYLOAD_DREG, FIRST)
            .big(uapi::NFTA_PAYLOAD_BASE, base)
            .big(uapi::NFTA_PAYLOAD_OFFSET, offset)
            .big(uapi::NFTA_PAYLOAD_LEN, length);
    });
}

fn mask(list: &mut Writer, bits: &[u8]) {
    expression(list, "bitwise", |data| {
        data.big(uapi::NFTA_BITWISE_SREG, FIRST).big(uapi::NFTA_BITWISE_DREG, FIRST).big(uapi::NFTA_BITWISE_LEN, bits.len() as u32);
        value(data, uapi::NFTA_BITWISE_MASK, bits);
        value(data, uapi::NFTA_BITWISE_XOR, &vec![0; bits.len()]);
    });
}

fn compare(list: &mut Writer, bytes: &[u8], equal: bool) {
    let operator = if equal { libc::NFT_CMP_EQ } else { libc::NFT_CMP_NEQ };
    expression(list, "cmp", |data| {
        data.big(uapi::NFTA_CMP_SREG, FIRST).big(uapi::NFTA_CMP_OP, operator as u32);
        value(data, uapi::NFTA_CMP_DATA, bytes);
    });
}

fn write_verdict(list: &mut Writer, verdict: Verdict<'_>) {
    match verdict {
        Verdict::Accept => decide(list, libc::NF_ACCEPT, None),
        Verdict::Drop => decide(list, libc::NF_DROP, None),
        Verdict::Jump(chain) => decide(list, libc::NFT_JUMP, Some(chain)),
        Verdict::Masquerade => expression(list, "masq", |_| {}),
        Verdict::Redirect(address, port) => {
            let (family, bytes) = match address {
                IpAddr::V4(address) => (libc::NFPROTO_IPV4, address.octets().to_vec()),
                IpAddr::V6(address) => (libc::NFPROTO_IPV6, address.octets().to_vec()),
            };
            load(list, FIRST, &bytes);
            load(list, SECOND, &port.to_be_bytes());
            expression(list, "nat", |data| {
                data.big(uapi::NFTA_NAT_TYPE, uapi::NAT_DESTINATION)
                    .big(uapi::NFTA_NAT_FAMILY, family as u32)
                    .big(uapi::NFTA_NAT_REG_ADDR_MIN, FIRST)
                    .big(uapi::NFTA_NAT_REG_PROTO_MIN, SECOND);
            });
        }
    }
}

fn decide(list: &mut Writer, code: i32, chain: Option<&str>) {
    expression(list, "immediate", |data| {
        data.big(uapi::NFTA_IMMEDIATE_DREG, libc::NFT_REG_VERDICT as u32).nest(uapi::NFTA_IMMEDIATE_DATA, &[], |inside| {
            inside.nest(uapi::NFTA_DATA_VERDICT, &[], |verdict| {
                verdict.big(uapi::NFTA_VERDICT_CODE, code as u32);
                if let Some(chain) = chain {
                    verdict.text(uapi::NFTA_VERDICT_CHAIN, chain);
                }
            });
        });
    });
}

fn load(list: &mut Writer, register: u32, bytes: &[u8]) {
    expression(list, "immediate", |data| {
        data.big(uapi::NFTA_IMMEDIATE_DREG, register);
        value(data, uapi::NFTA_IMMEDIATE_DATA, bytes);
    });
}

fn value(data: &mut Writer, kind: u16, bytes: &[u8]) {
    data.nest(kind, &[], |inside| {
        inside.attribute(uapi::NFTA_DATA_VALUE, bytes);
    });
}

fn expression(list: &mut Writer, name: &str, write: impl FnOnce(&mut Writer)) {
    list.nest(uapi::NFTA_LIST_ELEM, &[], |element| {
        element.text(uapi::NFTA_EXPR_NAME, name).nest(uapi::NFTA_EXPR_DATA, &[], write);
    });
}

/// A link's name as the kernel compares it: with zeros up to its greatest length.
fn name_bytes(name: &str) -> [u8; libc::IFNAMSIZ] {
    let mut bytes = [0; libc::IFNAMSIZ];
    let length = name.len().min(libc::IFNAMSIZ - 1);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}
