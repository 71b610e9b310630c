//! The gateway as its own process, `sterna serve`, and a group of real servers behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sterna_model::{
    Group, GroupSettings, GroupState, GroupStatus, HistoryEntry, Operation, OperationId, OperationKind,
    OperationState,
};
use sterna_testkit::process::Source;
use sterna_testkit::{Port, Process, Server, digests_equal, reserve_port};
use tempfile::TempDir;

use super::rest::Rest;
use crate::gateway::binary;

/// Nothing here takes longer.
pub(super) const DEADLINE: Duration = Duration::from_secs(90);
/// The group's name, which clients ask discovery for.
pub(super) const GROUP: &str = "orders";
/// How often a state is asked for: the API gives one token 50 answers a second.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A gateway with its data, whether it runs or not. Its ports stay the same.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) rest: Rest,
    process: Option<Process>,
    /// What earlier processes said.
    said: String,
    data: PathBuf,
    api: Port,
    relay: Port,
    discovery: Port,
    _own: Option<TempDir>,
}

impl Site {
    /// Starts a gateway on new data.
    pub(super) fn start() -> Result<Self> {
        let own = tempfile::tempdir()?;
        let data = own.path().join("data");
        Self::start_on(data, Some(own))
    }

    /// Starts a gateway whose data directory is there.
    pub(super) fn start_on(data: PathBuf, own: Option<TempDir>) -> Result<Self> {
        let mut site = Self {
            rest: Rest::new(0, ""),
            process: None,
            said: String::new(),
            data,
            api: reserve_port()?,
            relay: reserve_port()?,
            discovery: reserve_port()?,
            _own: own,
        };
        site.start_gateway()?;
        let token = std::fs::read_to_string(site.data.join("admin-token"))?;
        site.rest = Rest::new(site.api.number(), token.trim());
        Ok(site)
    }

    /// Starts the process, and waits until it listens.
    pub(super) fn start_gateway(&mut self) -> Result<()> {
        let local = |port: &Port| format!("127.0.0.1:{}", port.number());
        let data = self.data.to_str().context("a path in UTF-8")?;
        let (api, discovery) = (local(&self.api), local(&self.discovery));
        // Hosts of a private network must reach it too.
        let relay = format!("{}:{}", Ipv4Addr::UNSPECIFIED, self.relay.number());
        let args = [
            "serve",
            "--data-dir",
            data,
            "--listen-api",
            &api,
            "--listen-relay",
            &relay,
            "--listen-discovery",
            &discovery,
        ];
        let process = Process::spawn(binary()?, &args, &[])?;
        process.wait_for_line("  API ", DEADLINE)?;
        self.process = Some(process);
        Ok(())
    }

    /// `SIGKILL`, as when its machine loses its power.
    pub(super) fn kill_gateway(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
            self.keep_words(&process);
        }
    }

    /// `SIGTERM`, as an upgrade does it; returns when it has ended.
    pub(super) fn stop_gateway(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.sigterm()?;
            let code = process.exit_code(DEADLINE)?;
            self.keep_words(&process);
            ensure!(code == 0, "the gateway ended with {code}: {}", process.tail());
        }
        Ok(())
    }

    /// Whether its process was started and not ended by us.
    pub(super) fn gateway_is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Processor time of the gateway, in seconds.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        self.running()?.cpu_seconds()
    }

    /// Memory of the gateway, in bytes.
    pub(super) fn rss_bytes(&self) -> Result<u64> {
        self.running()?.rss_bytes()
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("the gateway is not running")
    }

    /// What its files take on the disk, in bytes.
    pub(super) fn data_bytes(&self) -> Result<u64> {
        disk_bytes(&self.data)
    }

    /// All that its processes have logged.
    pub(super) fn log(&self) -> String {
        let now = self.process.as_ref().map(|process| process.text(Source::Stderr));
        format!("{}{}", self.said, now.unwrap_or_default())
    }

    fn keep_words(&mut self, process: &Process) {
        self.said.push_str(&process.text(Source::Stderr));
        self.said.push_str("\n--- the process ended ---\n");
    }

    /// Where discovery listens.
    pub(super) fn discovery(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.discovery.number()).into()
    }

    /// Registers a service of one node.
    pub(super) fn add_service(&self, name: &str, node: &Server) -> Result<()> {
        let service = json!({
            "name": name,
            "site": format!("site-{name}"),
            "nodes": [node.address().to_string()],
        });
        let _: Value = self.rest.post("/services", &service)?;
        Ok(())
    }

    /// Makes the group, and waits until every service does its part.
    pub(super) fn create_group(&self, services: &[&str], settings: &GroupSettings) -> Result<()> {
        let (primary, replicas) = services.split_first().context("a primary service")?;
        let group = json!({
            "name": GROUP, "primary": primary, "replicas": replicas, "settings": settings,
        });
        let made: Operation = self.rest.post("/groups", &group)?;
        succeeded(self.wait_operation(made.id)?)?;
        self.wait_healthy(DEADLINE)?;
        Ok(())
    }

    /// Asks for a switchover and waits until it is over.
    pub(super) fn switchover(&self, to: &str) -> Result<Operation> {
        let asked: Operation = self
            .rest
            .post(&format!("/groups/{GROUP}/switchover"), &json!({ "to": to }))?;
        succeeded(self.wait_operation(asked.id)?)
    }

    /// How the group is doing.
    pub(super) fn status(&self) -> Result<GroupStatus> {
        self.rest.get(&format!("/groups/{GROUP}/status"))
    }

    /// The group as it is kept.
    pub(super) fn group(&self) -> Result<Group> {
        self.rest.get(&format!("/groups/{GROUP}"))
    }

    /// Its primaries, the first one first.
    pub(super) fn history(&self) -> Result<Vec<HistoryEntry>> {
        self.rest.get(&format!("/groups/{GROUP}/history"))
    }

    /// All operations, the newest first.
    pub(super) fn operations(&self) -> Result<Vec<Operation>> {
        self.rest.get(&format!("/operations?group={GROUP}&limit=500"))
    }

    /// An operation as it is now.
    pub(super) fn operation(&self, id: OperationId) -> Result<Operation> {
        self.rest.get(&format!("/operations/{id}"))
    }

    /// Waits until an operation is over, however it ends.
    pub(super) fn wait_operation(&self, id: OperationId) -> Result<Operation> {
        let wait = DEADLINE.as_millis().min(60_000);
        let operation: Operation = self.rest.get(&format!("/operations/{id}?wait_ms={wait}"))?;
        ensure!(operation.state.is_final(), "it does not end: {operation:#?}");
        Ok(operation)
    }

    /// Waits until the newest operation of a kind has ended well.
    pub(super) fn wait_kind(&self, kind: OperationKind) -> Result<Operation> {
        let operation = look_until(DEADLINE, &format!("a {kind:?}"), || {
            let found = self
                .operations()?
                .into_iter()
                .find(|operation| operation.kind == kind && operation.state != OperationState::Cancelled);
            found.context("there is none yet")
        })?;
        succeeded(self.wait_operation(operation.id)?)
    }

    /// Waits until every service does its part, every old primary is back, and nothing is under way.
    pub(super) fn wait_healthy(&self, deadline: Duration) -> Result<GroupStatus> {
        look_until(deadline, "the group to be healthy", || {
            let status = self.status()?;
            let departed = self.group()?.departed;
            if status.state == GroupState::Healthy && status.operation.is_none() && departed.is_empty() {
                return Ok(status);
            }
            bail!("departed {departed:?}, {status:#?}")
        })
    }
}

fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += disk_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}

/// The operation, if it ended well.
pub(super) fn succeeded(operation: Operation) -> Result<Operation> {
    ensure!(
        operation.state == OperationState::Succeeded,
        "{:?} ended {:?}: {:#?}",
        operation.kind,
        operation.state,
        operation
    );
    Ok(operation)
}

/// Looks until there is what is looked for.
pub(super) fn look_until<T>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if begin.elapsed() > deadline => {
                return Err(error.context(format!("waited {} s for {what}", deadline.as_secs())));
            }
            Err(_) => pause(LOOK_EVERY),
        }
    }
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "faults last for a time, and between two looks at an API some passes"
)]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A server under its service's name.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) server: Server,
}

impl Node {
    pub(super) fn new(name: &str, server: Server) -> Self {
        Self {
            name: name.to_owned(),
            server,
        }
    }

    /// How often it was given a full copy in its life, as its own log says.
    pub(super) fn full_copies(&self) -> usize {
        self.server.log().matches("Full resync from").count()
    }

    /// How many full copies it has given itself.
    pub(super) fn copies_given(&self) -> Result<String> {
        self.server.connect_locally()?.info_field("stats", "sync_full")
    }
}

/// Whether all nodes hold exactly what the first one does. Nobody may be writing.
pub(super) fn all_equal(primary: &Server, nodes: &[Node]) -> Result<()> {
    for node in nodes {
        if node.server.port() != primary.port() {
            digests_equal(primary, &node.server).with_context(|| format!("{} differs", node.name))?;
        }
    }
    Ok(())
}
