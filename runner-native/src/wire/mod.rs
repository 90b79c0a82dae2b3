//! What is said between processes: requests, events and the lifeline to the program that starts this one, the channel to
//! the process inside a container.

pub(crate) mod channel;
pub mod config;
pub mod container;
pub mod event;
pub mod guard;
pub mod layer;
pub mod lifeline;
pub mod log;
pub mod network;
pub mod place;
pub mod protocol;
pub mod resources;
pub(crate) mod stream;
pub mod tree;
