//! The wire to the program that starts this one: requests, events, the lifeline, and the one error.

pub mod config;
pub mod error;
pub mod event;
pub mod guard;
pub mod lifeline;
pub mod network;
pub mod protocol;
pub(crate) mod stream;
