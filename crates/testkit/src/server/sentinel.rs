//! A real Sentinel that watches a primary.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::Server;
use super::folder::Folder;
use super::instance::Instance;
use crate::client::Client;
use crate::engine::Engine;
use crate::net::Host;
use crate::port::reserve_port;

/// A running Sentinel.
#[derive(Debug)]
pub struct SentinelServer {
    instance: Instance,
    name: String,
}

impl SentinelServer {
    /// Starts a Sentinel that watches `primary` under `name`, calls it down after 1 s, and asks `quorum` Sentinels.
    pub fn start(engine: Engine, name: &str, primary: &Server, quorum: u32) -> Result<Self> {
        Self::launch(None, engine, name, primary, quorum)
    }

    /// [`SentinelServer::start`] on a host; the primary, and the other Sentinels, must be on hosts too.
    pub fn start_on(host: &Host, engine: Engine, name: &str, primary: &Server, quorum: u32) -> Result<Self> {
        Self::launch(Some(host), engine, name, primary, quorum)
    }

    fn launch(
        host: Option<&Host>,
        engine: Engine,
        name: &str,
        primary: &Server,
        quorum: u32,
    ) -> Result<Self> {
        let bind = match host {
            // The address that it tells others to find it at is that of its first interface.
            Some(host) => format!("{} 127.0.0.1\nsentinel announce-ip {0}", host.address()),
            None => "127.0.0.1".to_owned(),
        };
        let port = reserve_port()?;
        let mut config = format!(
            "port {}\nbind {bind}\nprotected-mode no\nsentinel monitor {name} {} {} {quorum}\n\
             sentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 10000\n",
            port.number(),
            primary.address().ip(),
            primary.port(),
        );
        if let Some(login) = &primary.instance.login {
            writeln!(config, "sentinel auth-pass {name} {}", login.password)?;
            if let Some(user) = &login.user {
                writeln!(config, "sentinel auth-user {name} {user}")?;
            }
        }
        let folder = Folder::temporary(port.number())?;
        let mut instance = Instance::new(engine, host.cloned(), port, folder, &config, &["--sentinel"])?;
        instance.launch()?;
        Ok(Self {
            instance,
            name: name.to_owned(),
        })
    }

    pub fn port(&self) -> u16 {
        self.instance.port.number()
    }

    /// Its port with `127.0.0.1`, or with the address of the host that it runs on.
    pub fn address(&self) -> SocketAddr {
        self.instance.address()
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<Client> {
        self.instance.connect()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.instance.log()
    }

    /// The address of the primary that it names now.
    pub fn primary_address(&self) -> Result<SocketAddr> {
        let reply = self
            .connect()?
            .cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.name])?;
        let [host, port] = reply.array() else {
            anyhow::bail!("{reply:?} is no address")
        };
        format!("{}:{}", host.text(), port.text())
            .parse()
            .with_context(|| format!("{reply:?}"))
    }

    /// `SIGKILL`.
    pub fn kill9(&mut self) {
        self.instance.kill9();
    }

    /// `SIGSTOP`.
    pub fn pause(&self) -> Result<()> {
        self.instance.pause()
    }

    /// `SIGCONT`.
    pub fn resume(&self) -> Result<()> {
        self.instance.resume()
    }
}
