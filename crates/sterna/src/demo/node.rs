//! A node of the demo: one stock server process with a configuration file of its own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use sterna_node::{Client, Dialer, Info, NodeAddress, Version};

use super::claim::until;
use super::process::{Afterwards, Process};

/// `DEBUG DIGEST` and `INFO` of a node that is busy may take a while.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Before Redis 7.0, `DEBUG` needed no permission, and the setting that gives it was an error.
const DEBUG_GUARDED: Version = Version::new(7, 0, 0);

/// The server program that the demo runs.
#[derive(Debug, Clone)]
pub(super) struct ServerProgram {
    path: PathBuf,
    /// As `Redis 7.0.15`.
    pub(super) name: String,
    version: Version,
}

impl ServerProgram {
    /// `STERNA_DEMO_SERVER`, or `redis-server` from `PATH`.
    pub(super) fn find() -> anyhow::Result<Self> {
        const HINT: &str = "hint: the demo runs real servers. Install one (Debian, Ubuntu: apt-get install \
                            redis-server; Fedora: dnf install valkey), or set STERNA_DEMO_SERVER to the path of a \
                            redis-server or valkey-server";
        let path = std::env::var_os("STERNA_DEMO_SERVER")
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| OsString::from("redis-server"));
        let output = Command::new(&path).arg("--version").output();
        let output = output
            .map_err(|error| anyhow::anyhow!("{} can't be run: {error}\n{HINT}", path.to_string_lossy()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (kind, version) = read_version(&text).with_context(|| {
            format!(
                "{} is neither a redis-server nor a valkey-server: asked for its version it said {:?}\n{HINT}",
                path.to_string_lossy(),
                text.chars().take(80).collect::<String>()
            )
        })?;
        Ok(Self {
            path: path.into(),
            name: format!("{kind} {version}"),
            version,
        })
    }
}

/// `Redis server v=7.0.15 sha=…`
fn read_version(text: &str) -> Option<(&str, Version)> {
    let kind = text
        .split_whitespace()
        .next()
        .filter(|word| matches!(*word, "Redis" | "Valkey"))?;
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some((kind, Version::parse(version)?))
}

/// A node, running or not. It keeps its directory and port over restarts.
#[derive(Debug)]
pub(super) struct Node {
    /// What the timeline calls it.
    pub(super) name: &'static str,
    pub(super) port: u16,
    program: ServerProgram,
    dir: PathBuf,
    afterwards: Afterwards,
    process: Option<Process>,
}

impl Node {
    /// Writes the configuration file and starts the server.
    pub(super) async fn start(
        program: &ServerProgram,
        name: &'static str,
        (place, port): (&Path, u16),
        afterwards: Afterwards,
    ) -> anyhow::Result<Self> {
        let dir = place.join(name);
        fs::create_dir(&dir).with_context(|| format!("{} can't be made", dir.display()))?;
        let mut config = format!(
            "bind 127.0.0.1\nport {port}\ndir {dir}\nlogfile {log}\n\
             # No snapshots on a schedule: the demo asks for them.\nsave 86400 1000000000\n\
             # By default a primary waits 5 s for more replicas before it starts a full copy.\n\
             repl-diskless-sync-delay 0\n\
             # Room for what an old primary wrote alone: a rescue reads it from there.\nrepl-backlog-size 64mb\n",
            dir = quoted(&dir),
            log = quoted(&dir.join("server.log")),
        );
        if program.version >= DEBUG_GUARDED {
            config.push_str("# DEBUG DIGEST proves that nodes are equal.\nenable-debug-command local\n");
        }
        fs::write(dir.join("server.conf"), config)?;
        let mut node = Self {
            name,
            port,
            program: program.clone(),
            dir,
            afterwards,
            process: None,
        };
        node.launch()?;
        node.loaded().await?;
        Ok(node)
    }

    /// Starts the process, with the configuration file as it is now.
    pub(super) fn launch(&mut self) -> anyhow::Result<()> {
        let output = self.dir.join("output.log");
        let process = Process::spawn(
            &self.program.path,
            &[self.dir.join("server.conf")],
            &[],
            (&output, &output),
            self.afterwards,
        )?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it has loaded its data and answers.
    pub(super) async fn loaded(&mut self) -> anyhow::Result<()> {
        let what = format!("{} answers on port {}", self.name, self.port);
        let dialer = self.dialer();
        let dir = self.dir.clone();
        let process = self.process.as_mut().context("it was not started")?;
        // A server that has ended, or is not ours, never becomes the one that we wait for.
        let answer = until(&what, async || {
            if let Some(status) = process.ended()? {
                return Ok(Err(format!(
                    "it ended with {status}; its log ends so:\n{}",
                    tail(&dir)
                )));
            }
            let info = Client::connect(&dialer).await?.info().await?;
            if info.server().process_id != Some(process.pid()) {
                return Ok(Err("another process answers there".to_owned()));
            }
            anyhow::ensure!(!info.persistence().loading, "it loads its data");
            Ok(Ok(()))
        });
        answer
            .await?
            .map_err(|why| anyhow::anyhow!("{} on port {} is not there: {why}", self.name, self.port))
    }

    /// `kill -9`.
    pub(super) fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    /// SIGSTOP: the process is there, its host accepts connections for it, and it does nothing.
    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        self.running()?.signal(Signal::STOP)
    }

    /// SIGCONT: it goes on as if nothing had happened.
    pub(super) fn thaw(&self) -> anyhow::Result<()> {
        self.running()?.signal(Signal::CONT)
    }

    fn running(&self) -> anyhow::Result<&Process> {
        let process = self.process.as_ref();
        process.with_context(|| format!("{} is not running", self.name))
    }

    /// Lets it run on after the demo.
    pub(super) fn leave(&mut self) {
        if let Some(process) = &mut self.process {
            process.leave();
        }
    }

    /// Its process id; none while it is down.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// `127.0.0.1:port`.
    pub(super) fn address(&self) -> NodeAddress {
        NodeAddress::new("127.0.0.1", self.port)
    }

    /// `redis://127.0.0.1:port`.
    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    fn dialer(&self) -> Dialer {
        Dialer::new(self.address())
    }

    /// A connection.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let mut client = Client::connect(&self.dialer()).await?;
        client.set_timeout(COMMAND_TIMEOUT);
        Ok(client)
    }

    /// `INFO`.
    pub(super) async fn info(&self) -> anyhow::Result<Info> {
        Ok(self.client().await?.info().await?)
    }

    /// How many full copies it has taken as a replica, by its own log.
    pub(super) fn full_copies_taken(&self) -> usize {
        // Redis says `from master`, Valkey `from primary`.
        let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
        log.matches("Full resync from ").count()
    }

    /// Size of the RDB file that it would load after a restart.
    pub(super) fn rdb_bytes(&self) -> u64 {
        fs::metadata(self.dir.join("dump.rdb")).map_or(0, |file| file.len())
    }
}

/// A path as a configuration file takes it, of a server or in TOML.
pub(super) fn quoted(path: &Path) -> String {
    format!(
        "\"{}\"",
        path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"")
    )
}

/// The last lines that the server wrote, to its log or before it had one.
fn tail(dir: &Path) -> String {
    const LINES: usize = 5;
    let read = |name| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let text = read("server.log") + &read("output.log");
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(read_version(redis), Some(("Redis", Version::new(7, 0, 15))));
        assert_eq!(read_version("Dragonfly v=1.2.3"), None);
        assert_eq!(read_version(""), None);
    }
}
