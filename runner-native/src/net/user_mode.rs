//! Programs that carry the packets of an ordinary user's container: pasta and slirp4netns. Each runs as long as the
//! container, and ends with its monitor.

use crate::error::{Error, Kind, Result};
use crate::net::inside::Inside;
use crate::sys::{self, task};
use crate::wire::network::{Protocol, PublishedPort, UserMode, UserModeKind};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use std::fs::File;
use std::io::{Read, Seek};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// The same for both: nobody else is on the network, so nothing can be in their way.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
const GATEWAY: &str = "10.0.2.2";
const RESOLVER: &str = "10.0.2.3";
/// A directory that every system has, and none needs for itself (FHS 3.0, section 3.12).
const PLACE: &str = "/mnt";
const NAMESPACE: &str = "/mnt/network";
const INTERFACE: &str = "eth0";
/// How long one may take until it is ready. Pasta of 2023 takes a twentieth of a second.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_micros(500);
const MOST_WORDS: u64 = 4096;

/// Whether it publishes ports by itself: then the container sees who connects.
pub fn publishes(mode: &UserMode) -> bool {
    mode.kind == UserModeKind::Pasta
}

/// Starts the program for a container, and waits until the container's network is there. Its process.
pub fn start(mode: &UserMode, inside: &Inside, ports: &[PublishedPort]) -> Result<i32> {
    let words = match mode.kind {
        UserModeKind::Pasta => pasta(ports),
        UserModeKind::Slirp4netns => slirp4netns(),
    };
    let said = memfd_create("stave-network", MemfdFlags::CLOEXEC).map_err(|errno| Error::call("memfd_create(…)", errno))?;
    let process = launch(&mode.program, &words, &said, &inside.namespace)?;
    let ready = wait_until_ready(process, inside);
    if let Err(error) = ready {
        let _ = task::kill(process, libc::SIGKILL);
        task::reap(process, true);
        let words = words_of(said);
        let error = if words.is_empty() { error } else { Error::new(error.kind, words) };
        return Err(Error { kind: Kind::Isolation, ..error }
            .context(format!("cannot make a private network: {}", mode.program))
            .hint("--network host shares the network of this machine, --network none has none."));
    }
    Ok(process)
}

fn pasta(ports: &[PublishedPort]) -> Vec<String> {
    let mut words: Vec<String> =
        ["--foreground", "--quiet", "--config-net", "--no-map-gw", "--no-dhcp", "--no-dhcpv6"].map(str::to_owned).to_vec();
    for (flag, value) in [
        ("--ns-ifname", INTERFACE),
        ("--address", &*ADDRESS.to_string()),
        ("--netmask", "24"),
        ("--gateway", GATEWAY),
        ("--dns-forward", RESOLVER),
        // What this machine has on its loopback is nothing for a container.
        ("--tcp-ns", "none"),
        ("--udp-ns", "none"),
    ] {
        words.extend([flag.to_owned(), value.to_owned()]);
    }
    for (flag, protocol) in [("--tcp-ports", Protocol::Tcp), ("--udp-ports", Protocol::Udp)] {
        let mut published = ports.iter().filter(|port| port.protocol == protocol).peekable();
        if published.peek().is_none() {
            words.extend([flag.to_owned(), "none".to_owned()]);
        }
        for port in published {
            let address = port.host_address.as_ref().map(|address| format!("{address}/")).unwrap_or_default();
            words.extend([flag.to_owned(), format!("{address}{}:{}", port.host_port, port.container_port)]);
        }
    }
    words.extend(["--netns".to_owned(), NAMESPACE.to_owned()]);
    words
}

fn slirp4netns() -> Vec<String> {
    let words = ["--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp", "--netns-type=path"];
    words.into_iter().chain([NAMESPACE, INTERFACE]).map(str::to_owned).collect()
}

fn launch(program: &str, words: &[String], said: &OwnedFd, namespace: &OwnedFd) -> Result<i32> {
    let path = task::c_string(program)?;
    let args = std::iter::once(Ok(path.clone())).chain(words.iter().map(|word| task::c_string(word))).collect::<Result<Vec<_>>>()?;
    let env = [task::c_string("PATH=/usr/bin:/bin:/usr/sbin:/sbin")?];
    let parent = std::process::id();
    if let Some(child) = task::fork()? {
        return Ok(child);
    }
    task::die_with_parent();
    if std::os::unix::process::parent_id() != parent {
        sys::exit_now(1);
    }
    task::reset_signals();
    // Signals from the caller's terminal are not meant for it.
    let _ = rustix::process::setsid();
    if let Err(error) = show(namespace) {
        let _ = rustix::io::write(said, error.to_string().as_bytes());
        sys::exit_now(1);
    }
    if let Ok(null) = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()) {
        let streams: [BorrowedFd<'_>; 3] = [null.as_fd(), null.as_fd(), said.as_fd()];
        for (number, stream) in streams.into_iter().enumerate() {
            let _ = sys::put_at(stream, number as i32);
        }
    }
    sys::close_others(&[]);
    let _ = task::exec(&path, &args, &env);
    sys::exit_now(127);
}

/// Gives the namespace a name that the program can open whichever rights it has given up before: in a mount namespace of
/// its own, where nobody else sees it.
fn show(namespace: &OwnedFd) -> Result<()> {
    let call = |what: &str, errno| Error::call(what, errno);
    task::unshare(libc::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| call("mount(\"/\", MS_SLAVE|MS_REC)", errno))?;
    mount("tmpfs", PLACE, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755,size=64k"))
        .map_err(|errno| call("mount(\"tmpfs\", \"/mnt\")", errno))?;
    openat(CWD, NAMESPACE, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
        .map_err(|errno| call("openat(\"/mnt/network\", O_CREAT)", errno))?;
    mount_bind(format!("/proc/self/fd/{}", namespace.as_raw_fd()), NAMESPACE)
        .map_err(|errno| call("mount(…, \"/mnt/network\", MS_BIND)", errno))
}

/// It is ready when the container has a route to the outside.
fn wait_until_ready(process: i32, inside: &Inside) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if inside.links.routes()?.iter().any(|route| route.to.bits == 0 && route.to.address.is_ipv4()) {
            return Ok(());
        }
        if task::reap(process, false).is_some() {
            return Err(Error::new(Kind::Isolation, "it ended at once"));
        }
        std::thread::sleep(PAUSE);
    }
    Err(Error::new(Kind::Isolation, format!("it was not ready within {} seconds", PATIENCE.as_secs())))
}

/// What it had to say, as one line.
fn words_of(said: OwnedFd) -> String {
    let mut file = File::from(said);
    let mut text = String::new();
    if file.rewind().is_ok() {
        let _ = file.take(MOST_WORDS).read_to_string(&mut text);
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
