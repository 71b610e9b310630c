//! What the router does to connections on their way, besides passing them: it translates addresses, or leads them through
//! a proxy that slows them down. Nobody at either end needs another address for it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};

use super::{Host, Net, tool};
use crate::proxy::Proxy;

impl Net {
    /// New connections from one host to another come from the router's address: the other one does not learn who it is.
    pub fn translate(&self, from: &Host, to: &Host) -> Result<()> {
        let (from, to, via) = (from.address(), to.address(), self.hub.address());
        self.add_way(&format!(
            "add rule ip sterna_way out ip saddr {from} ip daddr {to} snat to {via}\n"
        ))
    }

    /// New connections from a host to this address of another one pass the proxy that is handed back, at the router, and
    /// come from there. Cuts between the two hosts do not hit them: block the proxy.
    pub fn lead_through_proxy(&self, from: &Host, to: SocketAddr) -> Result<Proxy> {
        let hub = self.hub.address();
        let proxy = self.hub.run(|| Proxy::start_on(hub, to))??;
        let (from, target, port) = (from.address(), to.ip(), to.port());
        self.add_way(&format!(
            "add rule ip sterna_way in ip saddr {from} ip daddr {target} tcp dport {port} dnat to {}\n",
            proxy.address()
        ))?;
        Ok(proxy)
    }

    /// Undoes both for new connections.
    pub fn straight_ways(&self) -> Result<()> {
        self.feed_router("table ip sterna_way\ndelete table ip sterna_way\n")
    }

    fn add_way(&self, rule: &str) -> Result<()> {
        // Adding a table or a chain twice is no error.
        self.feed_router(&format!(
            "table ip sterna_way {{\nchain in {{ type nat hook prerouting priority -100; }}\n\
             chain out {{ type nat hook postrouting priority 100; }}\n}}\n{rule}"
        ))
    }

    fn feed_router(&self, rules: &str) -> Result<()> {
        self.hub
            .run(|| tool::feed("nft", &["-f", "-"], rules))?
            .context("the ways of the router")?;
        Ok(())
    }
}
