//! Who watches a container: its monitor, the program in front of it, and what they say to each other.

pub(crate) mod attach;
pub(crate) mod frame;
pub(crate) mod front;
pub(crate) mod log;
pub(crate) mod own;
pub(crate) mod relay;
pub(crate) mod watch;
