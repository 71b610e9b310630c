//! Real servers: each on a free port of 127.0.0.1 or of a host of a private network, in a folder of its own, gone with
//! the [`Server`].

mod builder;
mod folder;
mod instance;
mod sentinel;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

pub use builder::ServerBuilder;
pub use sentinel::SentinelServer;

use crate::client::{Client, ClientTls};
use crate::engine::Engine;
use crate::net::Host;
use crate::port::Port;
use crate::wait::{try_wait_until, wait_until};
use instance::{Instance, logged_in};

/// How long a replica may take to get in step by itself.
const SYNC_DEADLINE: Duration = Duration::from_secs(60);

/// A running (or stopped, or paused) server.
#[derive(Debug)]
pub struct Server {
    instance: Instance,
    tls: Option<TlsSide>,
}

/// The TLS listener of a server, and how to talk to it.
#[derive(Debug)]
struct TlsSide {
    port: Port,
    client: ClientTls,
}

impl Server {
    /// A server of the default engine with nothing but the testkit's own settings.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder()
            .start()
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// A replica of this server, on the engine that `STERNA_ENGINE_REPLICA` names.
    #[track_caller]
    #[must_use]
    pub fn start_replica(&self) -> Self {
        Self::builder()
            .engine(Engine::replica())
            .replica_of(self)
            .start()
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Settings for a new server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    /// The engine it runs.
    pub fn engine(&self) -> &Engine {
        &self.instance.engine
    }

    /// The plain-text port.
    pub fn port(&self) -> u16 {
        self.instance.port.number()
    }

    /// The plain-text port with `127.0.0.1`, or with the address of the host that it runs on.
    pub fn address(&self) -> SocketAddr {
        self.instance.address()
    }

    /// The host that it runs on, when built with [`ServerBuilder::on`].
    pub fn host(&self) -> Option<&Host> {
        self.instance.host.as_ref()
    }

    /// The TLS port, when built with [`ServerBuilder::tls`].
    pub fn tls_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|side| side.port.number())
    }

    /// The server's process id; panics while it is down.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.instance
            .child
            .as_ref()
            .expect("the server is down and has no process")
            .id()
    }

    /// Its working folder: configuration, log, RDB and AOF files.
    pub fn dir(&self) -> &Path {
        self.instance.dir()
    }

    /// Its configuration file, which `CONFIG REWRITE` rewrites.
    pub fn config_file(&self) -> &Path {
        &self.instance.config_file
    }

    /// The whole log so far.
    pub fn log(&self) -> String {
        self.instance.log()
    }

    /// How many full copies it has begun to take as a replica in its life, by its own log.
    pub fn full_copies_taken(&self) -> usize {
        let log = self.log();
        // Redis says `from master`, Valkey `from primary`; where Redis 8.6 takes one from another over two connections, neither.
        let begun = [
            "Full resync from ",
            "PSYNC is not possible, initialize RDB channel",
        ];
        begun.iter().map(|text| log.matches(text).count()).sum()
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        self.instance.log_tail()
    }

    /// A connection, logged in; panics when there is none to be had.
    #[track_caller]
    pub fn client(&self) -> Client {
        self.connect().unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// A connection, logged in.
    pub fn connect(&self) -> Result<Client> {
        self.instance.connect()
    }

    /// A connection that no fault of a network hits, logged in: made on the server's own host, by its loopback
    /// interface. [`Server::stop`], [`Server::restart`] and [`Server::wait_link_up`] work through such ones.
    pub fn connect_locally(&self) -> Result<Client> {
        self.instance.connect_locally()
    }

    /// Makes connections from a host, logged in; each, and whatever it is used for, gives up after `timeout`. For
    /// threads of their own.
    pub fn connector_from(
        &self,
        host: &Host,
        timeout: Duration,
    ) -> impl Fn() -> Result<Client> + Send + Sync + 'static {
        let (host, address, login) = (host.clone(), self.address(), self.instance.login.clone());
        move || logged_in(host.connect_within(address, timeout)?, login.as_ref())
    }

    /// Makes connections, logged in, for as long as anything listens on the port; for threads of their own.
    pub fn connector(&self) -> impl Fn() -> Result<Client> + Send + Sync + 'static {
        let (address, login) = (self.address(), self.instance.login.clone());
        move || logged_in(Client::connect(address)?, login.as_ref())
    }

    /// A connection to the TLS port, logged in.
    pub fn connect_tls(&self) -> Result<Client> {
        let side = self.tls.as_ref().context("the server has no TLS port")?;
        self.connect_tls_as(&side.client)
    }

    /// [`Server::connect_tls`] with other certificates.
    pub fn connect_tls_as(&self, tls: &ClientTls) -> Result<Client> {
        let side = self.tls.as_ref().context("the server has no TLS port")?;
        self.instance.log_in(Client::connect_tls(
            (self.address().ip(), side.port.number()),
            tls,
        )?)
    }

    /// `SIGKILL`, as when the machine loses its power.
    pub fn kill9(&mut self) {
        self.instance.kill9();
    }

    /// Ends it at once and in order, without saving and without waiting for replicas.
    pub fn stop(&mut self) -> Result<()> {
        self.instance.shutdown(&["SHUTDOWN", "NOSAVE", "NOW", "FORCE"])
    }

    /// Ends it as `SIGTERM` would: waits for its replicas first. `save` writes an RDB in any case.
    pub fn stop_gracefully(&mut self, save: bool) -> Result<()> {
        self.instance
            .shutdown(&["SHUTDOWN", if save { "SAVE" } else { "NOSAVE" }])
    }

    /// Starts a server that was stopped again, with another engine: same port, same folder, same configuration.
    pub fn upgrade(&mut self, engine: Engine) -> Result<()> {
        self.instance.engine = engine;
        self.restart()
    }

    /// Starts it again (stopping it first when it runs) in the same folder, on the same port, with its configuration
    /// file as it is now.
    pub fn restart(&mut self) -> Result<()> {
        if self.is_running() {
            self.stop()?;
        }
        self.instance.launch()
    }

    /// Whether its process is there (a paused one is).
    pub fn is_running(&mut self) -> bool {
        self.instance.is_running()
    }

    /// `SIGSTOP`: the machine hangs.
    pub fn pause(&self) -> Result<()> {
        self.instance.pause()
    }

    /// `SIGCONT`: it goes on.
    pub fn resume(&self) -> Result<()> {
        self.instance.resume()
    }

    /// Waits until its link to its own primary is up and its first sync is over; panics after 60 s.
    #[track_caller]
    pub fn wait_link_up(&self) {
        wait_until(SYNC_DEADLINE, "master_link_status:up", || -> Result<()> {
            // One that was opened before may be closed by a gateway, as the node becomes a replica.
            let info = self.connect_locally()?.info("replication")?;
            anyhow::ensure!(
                info.get("master_link_status")
                    .is_some_and(|status| status == "up"),
                "{info:?}"
            );
            Ok(())
        });
    }

    /// Waits until the log holds `text`.
    pub fn wait_for_log(&self, text: &str, deadline: Duration) -> Result<()> {
        try_wait_until(deadline, &format!("{text:?} in the log"), || {
            let log = self.log();
            if log.contains(text) {
                Ok(())
            } else {
                Err(instance::tail(&log))
            }
        })
    }
}
