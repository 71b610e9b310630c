//! What a server is started with.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::folder::Folder;
use super::instance::{Instance, Login};
use super::{Server, TlsSide};
use crate::engine::{Engine, Version};
use crate::net::Host;
use crate::port::reserve_port;
use crate::tls::TestTls;

/// Ports that another program took between our look and the server's start are given up for new ones.
const START_TRIES: usize = 5;

/// Settings of a server to be started.
#[derive(Debug, Clone)]
#[must_use = "nothing runs before start()"]
pub struct ServerBuilder {
    engine: Option<Engine>,
    host: Option<Host>,
    dir: Option<PathBuf>,
    config: Vec<(String, String)>,
    login: Option<Login>,
    primary: Option<Primary>,
    tls: Option<TestTls>,
    tls_replication: bool,
}

#[derive(Debug, Clone)]
struct Primary {
    host: String,
    port: u16,
    tls_port: Option<u16>,
    login: Option<Login>,
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            engine: None,
            host: None,
            dir: None,
            config: Vec::new(),
            login: None,
            primary: None,
            tls: None,
            tls_replication: false,
        }
    }

    /// The engine; [`Engine::default`] otherwise.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Runs on this host, and is reached by its address there (and by loopback from within).
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Works in this folder, which stays when the server goes; a temporary one otherwise.
    pub fn in_dir(mut self, dir: PathBuf) -> Self {
        self.dir = Some(dir);
        self
    }

    /// A line of the configuration file, after the testkit's own, so that it wins. Quote the value as there.
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Requires a password (`requirepass`), which the testkit's clients and replicas then use.
    pub fn password(mut self, password: &str) -> Self {
        self.login = Some(Login {
            user: None,
            password: password.to_owned(),
        });
        self.config("requirepass", password)
    }

    /// Adds an ACL user with full rights and turns the default user off.
    pub fn user(mut self, user: &str, password: &str) -> Self {
        self.login = Some(Login {
            user: Some(user.to_owned()),
            password: password.to_owned(),
        });
        self.config("user", "default off")
            .config("user", &format!("{user} on >{password} ~* &* +@all"))
    }

    /// Replicates from another server; over TLS when both have it.
    pub fn replica_of(mut self, primary: &Server) -> Self {
        self.primary = Some(Primary {
            host: primary.address().ip().to_string(),
            port: primary.port(),
            tls_port: primary.tls_port(),
            login: primary.instance.login.clone(),
        });
        self
    }

    /// Replicates from whatever listens there, such as a relay or a proxy.
    pub fn replica_of_address(mut self, address: SocketAddr) -> Self {
        self.primary = Some(Primary {
            host: address.ip().to_string(),
            port: address.port(),
            tls_port: Some(address.port()),
            login: None,
        });
        self
    }

    /// Cluster mode, with a node timeout of 2 s.
    pub fn cluster(self) -> Self {
        self.config("cluster-enabled", "yes")
            .config("cluster-config-file", "nodes.conf")
            .config("cluster-node-timeout", "2000")
    }

    /// A TLS port with these certificates beside the plain one; client certificates are optional. Replication uses
    /// TLS too.
    pub fn tls(mut self, tls: &TestTls) -> Self {
        self.tls = Some(tls.clone());
        self.tls_replication = true;
        self
    }

    /// [`ServerBuilder::tls`] where replication stays in plain text.
    pub fn tls_for_clients_only(mut self, tls: &TestTls) -> Self {
        self.tls = Some(tls.clone());
        self.tls_replication = false;
        self
    }

    /// Starts the server and waits until it answers. The error holds the end of its log.
    pub fn start(self) -> Result<Server> {
        let mut tries = 1;
        loop {
            match self.try_start() {
                Err(error) if tries < START_TRIES && port_was_taken(&error) => tries += 1,
                result => return result,
            }
        }
    }

    fn try_start(&self) -> Result<Server> {
        if let (Some(host), Some(primary)) = (&self.host, &self.primary) {
            ensure!(
                host.namespace().is_none() || primary.host != "127.0.0.1",
                "a primary on 127.0.0.1 can't be reached from host {}: start it on a host too",
                host.name()
            );
        }
        let engine = self.engine.clone().unwrap_or_default();
        let port = reserve_port()?;
        let tls = match &self.tls {
            Some(tls) => Some(TlsSide {
                port: reserve_port()?,
                client: tls.client()?,
            }),
            None => None,
        };
        let config = self.config_text(&engine, port.number(), tls.as_ref());
        let folder = match &self.dir {
            Some(dir) => Folder::lasting(dir)?,
            None => Folder::temporary(port.number())?,
        };
        let mut instance = Instance::new(engine, self.host.clone(), port, folder, &config, &[])?;
        instance.login.clone_from(&self.login);
        instance.launch()?;
        Ok(Server { instance, tls })
    }

    fn config_text(&self, engine: &Engine, port: u16, tls: Option<&TlsSide>) -> String {
        let bind = self
            .host
            .as_ref()
            .map_or_else(String::new, |host| format!(" {}", host.address()));
        let mut text = format!(
            "port {port}\nbind 127.0.0.1{bind}\nprotected-mode no\ndaemonize no\nsave \"\"\nappendonly no\n\
             repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n"
        );
        let mut line = |key: &str, value: &str| writeln!(text, "{key} {value}").expect("a String takes all");
        if engine.version >= Version(7, 0, 0) {
            line("enable-debug-command", "yes");
        }
        if let (Some(tls), Some(side)) = (&self.tls, tls) {
            line("tls-port", &side.port.number().to_string());
            line("tls-cert-file", &tls.server_cert.to_string_lossy());
            line("tls-key-file", &tls.server_key.to_string_lossy());
            line("tls-ca-cert-file", &tls.ca_cert.to_string_lossy());
            line("tls-auth-clients", "optional");
            if self.tls_replication {
                line("tls-replication", "yes");
            }
        }
        if let Some(primary) = &self.primary {
            let over_tls = self.tls.is_some() && self.tls_replication;
            let port = primary.tls_port.filter(|_| over_tls).unwrap_or(primary.port);
            line("replicaof", &format!("{} {port}", primary.host));
            if let Some(login) = &primary.login {
                line("masterauth", &login.password);
                if let Some(user) = &login.user {
                    line("masteruser", user);
                }
            }
        }
        for (key, value) in &self.config {
            line(key, value);
        }
        text
    }
}

fn port_was_taken(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("Address already in use") || text.contains(super::instance::FOREIGN)
}
