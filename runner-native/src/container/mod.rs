//! A container: what is asked for, its namespaces, its mounts, and the process inside.

pub(crate) mod capabilities;
mod copy_up;
mod dev;
mod gate;
pub(crate) mod hidden;
pub(crate) mod hooks;
pub mod init;
pub(crate) mod join;
pub(crate) mod lsm;
pub(crate) mod mounts;
pub(crate) mod namespaces;
mod neighbour;
pub(crate) mod options;
mod owner;
pub(crate) mod pivot;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod rootfs;
pub mod sealed;
pub(crate) mod seccomp;
pub(crate) mod signals;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod system;
pub(crate) mod targets;
pub(crate) mod tty;
pub mod user;
