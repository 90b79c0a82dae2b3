//! The process beside a container's monitor that answers its name server and relays its published ports. It ends with
//! the monitor, whatever becomes of that.

use crate::error::Result;
use crate::net::place::Places;
use crate::net::ports::Taken;
use crate::net::relay::{self, Target};
use crate::net::resolver::{self, Names};
use crate::sys::{self, task};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::net::{IpAddr, TcpListener, UdpSocket};

/// What it does.
pub struct Service<'a> {
    pub container: &'a str,
    pub resolver: Option<(UdpSocket, TcpListener, Places, Vec<IpAddr>)>,
    pub ports: Vec<Taken>,
    /// The container's network namespace, and its addresses there.
    pub namespace: &'a OwnedFd,
    pub target: Target,
}

/// Starts it, and says which process it is.
pub fn start(service: Service<'_>) -> Result<i32> {
    let parent = std::process::id();
    if let Some(child) = task::fork()? {
        return Ok(child);
    }
    task::die_with_parent();
    if std::os::unix::process::parent_id() != parent {
        sys::exit_now(0);
    }
    task::reset_signals();
    task::set_name(c"stave-network");
    sys::raise_open_files();
    let_go(&service);
    let Service { container, resolver, ports, namespace, target } = service;
    if let Some((udp, tcp, places, servers)) = resolver {
        let names = Names::new(places, container);
        if ports.is_empty() {
            resolver::run(&udp, tcp, names, servers);
        }
        // It stays in this machine's namespace, where the servers are that it asks; only this thread goes elsewhere.
        std::thread::spawn(move || resolver::run(&udp, tcp, names, servers));
    }
    if task::setns(namespace, libc::CLONE_NEWNET).is_err() {
        sys::exit_now(1);
    }
    relay::run(ports, &target);
}

/// Holds nothing that is not its own: whoever waits for the end of a stream of the monitor's, or for its answer, would
/// wait for this process as well.
fn let_go(service: &Service<'_>) {
    if let Ok(null) = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        for stream in 0..3 {
            let _ = sys::put_at(&null, stream);
        }
    }
    let mut kept = vec![service.namespace.as_fd()];
    if let Some((udp, tcp, places, _)) = &service.resolver {
        kept.extend([udp.as_fd(), tcp.as_fd(), places.as_fd()]);
    }
    kept.extend(service.ports.iter().flat_map(|taken| &taken.sockets).map(AsFd::as_fd));
    sys::close_others(&kept);
}
