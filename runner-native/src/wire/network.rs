//! What a container's networks are, as the wire has it.

use crate::wire::place::Place;
use serde::{Deserialize, Serialize};

/// How a container with a network namespace of its own is connected.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunNetwork {
    /// The directory of the store that says which containers are on which networks.
    pub state: Place,
    #[serde(default)]
    pub links: Vec<NetworkLink>,
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<Resolver>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_mode: Option<UserMode>,
    /// The network namespace that has the bridges. Absent: this machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Place>,
}

/// A container's place on a named network.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkLink {
    /// Its name inside.
    pub interface: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// `ADDRESS/BITS`.
    pub addresses: Vec<String>,
    /// What leads outside goes there.
    #[serde(default)]
    pub gateways: Vec<String>,
    /// What the others on the network can call it.
    #[serde(default)]
    pub names: Vec<String>,
    pub bridge: NetworkBridge,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkBridge {
    /// The id of the network.
    pub network: String,
    /// The link's name on this machine.
    pub name: String,
    /// The bridge's own: `ADDRESS/BITS`.
    pub addresses: Vec<String>,
    /// Nothing leads outside.
    #[serde(default)]
    pub internal: bool,
    /// Those on it do not reach each other.
    #[serde(default)]
    pub isolated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPort {
    /// Absent: all of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_address: Option<String>,
    /// 0: one that is free.
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// The container's name server: 127.0.0.11, which knows those on its networks.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Resolver {
    /// Who is asked for all other names; nobody if there is none.
    pub nameservers: Vec<String>,
}

/// A program that carries the container's packets as an ordinary user.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct UserMode {
    pub kind: UserModeKind,
    pub program: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UserModeKind {
    Pasta,
    Slirp4netns,
}

/// Changes the networks of a container that runs, or takes away what dead ones have left.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub action: NetworkAction,
    pub state: Place,
    /// The network namespace that has the bridges. Absent: this machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Place>,
    /// Of `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_mode: Option<UserMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<NamedContainer>,
    /// Of `connect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<NetworkLink>,
    /// Of `disconnect`: the id of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkAction {
    Connect,
    Disconnect,
    Sweep,
    /// Makes the namespace that an ordinary user's containers share.
    Keep,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct NamedContainer {
    pub id: String,
    pub directory: Place,
}
