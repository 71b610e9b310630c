//! A node of the demo: a stock server, which the timeline calls by a name.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use sterna_testkit::{Client, Engine, EngineKind, Server};

/// What to do where there is no server program.
const HINT: &str = "hint: the demo runs real servers. Install one (Debian, Ubuntu: apt-get install redis-server; \
                    Fedora: dnf install valkey), or set STERNA_DEMO_SERVER to the path of a redis-server or \
                    valkey-server";

/// Asks a server program what it is.
pub(crate) fn engine(program: &str) -> anyhow::Result<Engine> {
    Engine::probe(&[program.to_owned()]).map_err(|error| anyhow::anyhow!("{error:#}\n{HINT}"))
}

/// `Redis 7.0.15`.
pub(crate) fn engine_name(engine: &Engine) -> String {
    let kind = match engine.kind {
        EngineKind::Redis => "Redis",
        EngineKind::Valkey => "Valkey",
    };
    format!("{kind} {}", engine.version)
}

/// A node, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
}

impl Node {
    /// Starts it in a folder of its own.
    pub(crate) fn start(engine: &Engine, name: &'static str, dir: &Path) -> anyhow::Result<Self> {
        let server = Server::builder()
            .engine(engine.clone())
            .in_dir(dir.join(name))
            // No snapshots on a schedule: the demo asks for them.
            .config("save", "86400 1000000000")
            // Room for what an old primary wrote alone: a rescue reads it from there.
            .config("repl-backlog-size", "64mb")
            .start()
            .with_context(|| format!("{name} can't be started"))?;
        Ok(Self { name, server })
    }

    /// A connection.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        self.server
            .connect_locally()
            .with_context(|| format!("no connection to {}", self.name))
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// How many full copies it has taken as a replica, by its own log.
    pub(crate) fn full_copies_taken(&self) -> usize {
        self.server.full_copies_taken()
    }

    /// How many full copies it has given as a primary since its start.
    pub(crate) fn full_copies_given(&self) -> anyhow::Result<u64> {
        Ok(self.client()?.info_field("stats", "sync_full")?.parse()?)
    }

    /// Size of the RDB file that it would load after a restart, in bytes.
    pub(crate) fn rdb_bytes(&self) -> u64 {
        fs::metadata(self.server.dir().join("dump.rdb")).map_or(0, |file| file.len())
    }
}
