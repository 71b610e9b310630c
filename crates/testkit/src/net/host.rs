//! One host of a network: its address, and how to act from inside.

use std::fs::File;
use std::net::{Ipv4Addr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::tool::NAMESPACES;
use crate::client::Client;

/// A host of a [`Net`](super::Net). It is only a name for it: once the network is gone, nothing starts there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    namespace: Option<String>,
}

impl Host {
    pub(super) fn new(name: &str, address: Ipv4Addr, namespace: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            address,
            namespace,
        }
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where all other hosts, and it itself, reach it.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its network namespace, for `ip netns exec`; none for the test process.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Does something from inside this host, on a thread of its own: sockets that are made meanwhile belong to the host
    /// for good, whoever uses them, and so do threads and programs that are started. The error says that it could not go
    /// there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let Some(path) = self.namespace_file() else {
            return Ok(work());
        };
        let work = || -> Result<T> {
            let namespace = File::open(&path)
                .and_then(|file| {
                    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                    Ok(())
                })
                .with_context(|| format!("entering host {} by {}", self.name, path.display()));
            namespace.map(|()| work())
        };
        thread::scope(|scope| scope.spawn(work).join())
            .map_err(|_| anyhow!("the work on host {} panicked", self.name))?
    }

    /// A connection from this host. [`Client::another`] of it starts from the test process, however.
    pub fn connect(&self, address: impl ToSocketAddrs + Send) -> Result<Client> {
        self.run(|| Client::connect(address))?
    }

    /// [`Host::connect`] that gives up after `timeout`, as every later read and write does.
    pub fn connect_within(&self, address: impl ToSocketAddrs + Send, timeout: Duration) -> Result<Client> {
        self.run(|| Client::connect_within(address, timeout))?
    }

    pub(crate) fn namespace_file(&self) -> Option<PathBuf> {
        self.namespace
            .as_ref()
            .map(|namespace| PathBuf::from(NAMESPACES).join(namespace))
    }
}
