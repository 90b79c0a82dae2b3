//! A container's networks, from before it is made until after it has ended.

use crate::error::{Error, Kind, Result};
use crate::net::bridge::{Newcomer, Outside};
use crate::net::inside::Inside;
use crate::net::place::Places;
use crate::net::ports::{self, Taken};
use crate::net::relay::Target;
use crate::net::service::{self, Service};
use crate::net::user_mode;
use crate::sys::task;
use crate::wire::network::{PublishedPort, RunNetwork};
use rustix::fd::OwnedFd;
use std::net::IpAddr;

/// What is to be done for a container, and what has been done.
pub struct Attachment<'a> {
    container: &'a str,
    request: &'a RunNetwork,
    places: Places,
    outside: Outside,
    taken: Vec<Taken>,
    /// As they are: with the numbers that were chosen.
    ports: Vec<PublishedPort>,
    /// Processes that end with the container.
    helpers: Vec<i32>,
    /// Keeps the namespace that it shares.
    _users: Option<OwnedFd>,
}

impl<'a> Attachment<'a> {
    /// Takes the published ports, and sweeps what others have left.
    pub fn prepare(container: &'a str, request: &'a RunNetwork) -> Result<Self> {
        let places = Places::open(&request.state)?;
        let (outside, users) = match &request.outside {
            None => (Outside::here()?, None),
            Some(place) => {
                let namespace = crate::sys::borrow(place.fd)?.try_clone_to_owned().map_err(|error| Error::io("dup(…)", &error))?;
                (Outside::shared(namespace)?, Some(places.use_shared()?))
            }
        };
        let mut taken = ports::take(&request.ports)?;
        let ports = taken.iter().map(|taken| taken.port.clone()).collect();
        // What publishes by itself must find them free.
        if request.user_mode.as_ref().is_some_and(user_mode::publishes) {
            taken.clear();
        }
        Ok(Self { container, request, places, outside, taken, ports, helpers: Vec::new(), _users: users })
    }

    pub fn ports(&self) -> &[PublishedPort] {
        &self.ports
    }

    /// Connects the container, whose namespace stands and whose program does not run yet.
    pub fn connect(&mut self, pid: i32, mut inside: Inside) -> Result<()> {
        {
            let lock = self.places.lock()?;
            self.outside.sweep(&lock)?;
            for (at, link) in self.request.links.iter().enumerate() {
                // A port leads to the first network; each would work, and one is enough.
                let ports = if at == 0 { &self.ports[..] } else { &[] };
                self.outside.join(&lock, link, &Newcomer { container: self.container, pid, inside: &inside, ports })?;
            }
        }
        if let Some(mode) = &self.request.user_mode {
            self.helpers.push(user_mode::start(mode, &inside, &self.ports)?);
        }
        if self.request.resolver.is_some() {
            inside.lead_to_resolver()?;
        }
        self.serve(&mut inside)
    }

    fn serve(&mut self, inside: &mut Inside) -> Result<()> {
        let resolver = match (&self.request.resolver, inside.resolver.take()) {
            (Some(resolver), Some((udp, tcp))) => {
                let servers = resolver.nameservers.iter().map(|server| address(server)).collect::<Result<Vec<_>>>()?;
                Some((udp, tcp, Places::open(&self.request.state)?, servers))
            }
            _ => None,
        };
        let taken = std::mem::take(&mut self.taken);
        if resolver.is_none() && taken.is_empty() {
            return Ok(());
        }
        let mut addresses = Vec::new();
        if self.request.user_mode.is_some() {
            addresses.push(IpAddr::V4(user_mode::ADDRESS));
        }
        for text in self.request.links.iter().flat_map(|link| &link.addresses) {
            addresses.push(text.parse::<crate::net::address::Network>()?.address);
        }
        let service =
            Service { container: self.container, resolver, ports: taken, namespace: &inside.namespace, target: Target { addresses } };
        self.helpers.push(service::start(service)?);
        Ok(())
    }

    /// Takes everything away again. What cannot be taken away now, the next one sweeps.
    pub fn disconnect(&mut self) {
        for helper in self.helpers.drain(..) {
            let _ = task::kill(helper, libc::SIGKILL);
            task::reap(helper, true);
        }
        let Ok(lock) = self.places.lock() else { return };
        for member in lock.all().unwrap_or_default().iter().filter(|member| member.container == self.container) {
            self.outside.leave(&lock, member);
        }
    }
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Error::new(Kind::Request, format!("{text:?} is not the address of a name server")))
}
