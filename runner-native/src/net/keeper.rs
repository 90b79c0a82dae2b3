//! The network namespace that an ordinary user's containers share: bridges are there in place of this machine's. It is
//! kept, and connected to the outside, for as long as a container uses it.

use crate::error::{Error, Kind, Result};
use crate::net::inside::{self, Arriving, Inside};
use crate::net::place::{Keeper, Places, boot};
use crate::net::user_mode;
use crate::sys::process::{leave_caller, start_time};
use crate::sys::{self, task};
use crate::wire::channel::{Channel, Message};
use crate::wire::network::UserMode;
use rustix::fd::AsFd;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

/// Whoever has it made has this long to come; and it stays a little for the next when the last has gone.
const FIRST: Duration = Duration::from_secs(10);
const NEXT: Duration = Duration::from_secs(2);

/// Starts the keeper, and comes back when the namespace stands.
pub fn start(places: &Places, mode: &UserMode) -> Result<()> {
    let (read, write) = crate::wire::stream::pipe()?;
    if task::fork()?.is_some() {
        drop(write);
        let mut said = String::new();
        let _ = File::from(read).read_to_string(&mut said);
        return match said.strip_prefix("ready") {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::Isolation, format!("cannot make the network that containers share: {}", said.trim()))),
        };
    }
    leave_caller(c"stave-network");
    sys::close_others(&[places.as_fd(), write.as_fd()]);
    let mut answer = File::from(write);
    match make(places, mode) {
        Ok(helpers) => {
            let _ = answer.write_all(b"ready");
            drop(answer);
            linger(places);
            places.forget_keeper();
            for helper in helpers {
                let _ = task::kill(helper, libc::SIGKILL);
            }
        }
        Err(error) => {
            let _ = answer.write_all(error.to_string().as_bytes());
        }
    }
    sys::exit_now(0);
}

/// The namespace with its way out. The processes that end with it.
fn make(places: &Places, mode: &UserMode) -> Result<Vec<i32>> {
    let (ours, theirs) = Channel::pair()?;
    let pid = match task::clone(libc::CLONE_NEWNET, None)? {
        task::Cloned::Child => {
            drop(ours);
            // It holds nothing else: somebody waits for the end of the answer.
            sys::close_others(&[theirs.as_fd()]);
            if let Err(error) = occupy(&theirs) {
                theirs.fail(error);
            }
            sys::exit_now(1);
        }
        task::Cloned::Parent { pid, .. } => pid,
    };
    drop(theirs);
    let inside = hear(&ours)?;
    let helper = user_mode::start(mode, &inside, &[])?;
    places.write_keeper(&Keeper { pid, start: start_time(pid).unwrap_or_default(), boot: boot() })?;
    // As long as our end is open, the process in the namespace stays.
    std::mem::forget(ours);
    Ok(vec![helper, pid])
}

/// In the namespace, for as long as the keeper lives.
fn occupy(channel: &Channel) -> Result<()> {
    task::die_with_parent();
    task::raise_loopback()?;
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        // A kernel without IPv6 has no such file.
        let _ = std::fs::write(format!("/proc/sys/net/{setting}"), "1");
    }
    inside::hand_out(channel, false)?;
    while channel.receive()?.is_some() {}
    Ok(())
}

fn hear(channel: &Channel) -> Result<Inside> {
    let mut arriving = Arriving::default();
    while let Some((message, descriptor)) = channel.receive()? {
        match message {
            Message::Socket { purpose } => arriving.take(purpose, descriptor),
            Message::Network {} => return arriving.complete(),
            Message::Failed { error } => return Err(Error { kind: Kind::Isolation, ..error }),
            _ => {}
        }
    }
    Err(Error::new(Kind::Isolation, "the process in the namespace ended early"))
}

/// Waits until nobody uses the namespace. Whoever does holds the lock with others.
fn linger(places: &Places) {
    std::thread::sleep(FIRST);
    let Ok(lock) = places.users() else { return };
    loop {
        let _ = rustix::fs::flock(&lock, FlockOperation::LockExclusive);
        let _ = rustix::fs::flock(&lock, FlockOperation::Unlock);
        std::thread::sleep(NEXT);
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return;
        }
    }
}
