//! Networks of containers: links, addresses, rules, names, published ports.

pub mod address;
pub mod attachment;
pub mod bridge;
mod dns;
pub mod filter;
pub mod inside;
pub mod keeper;
pub mod link;
pub mod netlink;
pub mod place;
mod ports;
mod relay;
mod resolver;
mod rules;
mod service;
mod uapi;
mod user_mode;
