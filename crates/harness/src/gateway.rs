//! `sterna serve` as a process, which may die and be started again on the same data and ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sterna_model::{
    Group, GroupSettings, GroupState, GroupStatus, HistoryEntry, Operation, OperationId, OperationKind,
    OperationState,
};
use sterna_testkit::process::Source;
use sterna_testkit::{Port, Process, reserve_port};
use tempfile::TempDir;

use crate::look::{DEADLINE, look_until};
use crate::rest::Rest;

/// The group's name, which clients ask discovery for.
pub const GROUP: &str = "orders";

/// How a gateway is started.
#[derive(Debug)]
pub struct Setup {
    binary: PathBuf,
    data: Option<PathBuf>,
    failpoint: Option<String>,
    log: Option<PathBuf>,
    relay: Ipv4Addr,
}

impl Setup {
    /// This program, on new data, listening on loopback.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            data: None,
            failpoint: None,
            log: None,
            relay: Ipv4Addr::LOCALHOST,
        }
    }

    /// In a data directory that is there.
    #[must_use]
    pub fn on(self, data: PathBuf) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// All that it says is added to this file, too.
    #[must_use]
    pub fn logging_to(self, log: PathBuf) -> Self {
        Self {
            log: Some(log),
            ..self
        }
    }

    /// With a relay that hosts of a private network reach.
    #[must_use]
    pub fn for_hosts(self) -> Self {
        Self {
            relay: Ipv4Addr::UNSPECIFIED,
            ..self
        }
    }

    /// Its first process kills itself at this failpoint.
    #[must_use]
    pub fn dying_at(self, failpoint: &str) -> Self {
        Self {
            failpoint: Some(failpoint.to_owned()),
            ..self
        }
    }
}

/// A gateway with its data, whether it runs or not. Its ports stay the same.
#[derive(Debug)]
pub struct Gateway {
    /// Its API.
    pub rest: Rest,
    setup: Setup,
    process: Option<Process>,
    /// What earlier processes said.
    said: String,
    data: PathBuf,
    api: Port,
    relay: Port,
    discovery: Port,
    _own: Option<TempDir>,
}

impl Gateway {
    /// Starts one, and waits until it listens.
    pub fn start(mut setup: Setup) -> Result<Self> {
        let (data, own) = if let Some(data) = setup.data.take() {
            (data, None)
        } else {
            let own = tempfile::tempdir()?;
            (own.path().join("data"), Some(own))
        };
        let mut gateway = Self {
            rest: Rest::new(0, ""),
            setup,
            process: None,
            said: String::new(),
            data,
            api: reserve_port()?,
            relay: reserve_port()?,
            discovery: reserve_port()?,
            _own: own,
        };
        gateway.start_again()?;
        let token = std::fs::read_to_string(gateway.data.join("admin-token"))?;
        gateway.rest = Rest::new(gateway.api.number(), token.trim());
        Ok(gateway)
    }

    /// Starts its process, and waits until it listens. Only the first one dies at a failpoint.
    pub fn start_again(&mut self) -> Result<()> {
        let local = |port: &Port| format!("127.0.0.1:{}", port.number());
        let data = self.data.to_str().context("a path in UTF-8")?;
        let (api, discovery) = (local(&self.api), local(&self.discovery));
        let relay = format!("{}:{}", self.setup.relay, self.relay.number());
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
        let failpoint = self.setup.failpoint.take();
        let env: Vec<_> = failpoint
            .iter()
            .map(|point| ("STERNA_FAILPOINT", point.as_str()))
            .collect();
        let process = match &self.setup.log {
            Some(log) => Process::spawn_logged(log, &self.setup.binary, &args, &env)?,
            None => Process::spawn(&self.setup.binary, &args, &env)?,
        };
        process.wait_for_line("  API ", DEADLINE)?;
        self.process = Some(process);
        Ok(())
    }

    /// `SIGKILL`, as when its machine loses its power.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
            self.keep_words(&process);
        }
    }

    /// `SIGTERM`, as an upgrade does it; returns when it has ended.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.sigterm()?;
            let code = process.exit_code(DEADLINE)?;
            self.keep_words(&process);
            ensure!(code == 0, "the gateway ended with {code}: {}", process.tail());
        }
        Ok(())
    }

    /// Where its process has ended by itself: its exit code, and all that it logged.
    pub fn take_dead(&mut self) -> Result<Option<(i32, String)>> {
        let Some(process) = self.process.take_if(|process| !process.is_running()) else {
            return Ok(None);
        };
        self.keep_words(&process);
        Ok(Some((process.exit_code(DEADLINE)?, process.text(Source::Stderr))))
    }

    /// Whether its process was started and not ended by us.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// All that its processes have logged.
    pub fn log(&self) -> String {
        let now = self.process.as_ref().map(|process| process.text(Source::Stderr));
        format!("{}{}", self.said, now.unwrap_or_default())
    }

    fn keep_words(&mut self, process: &Process) {
        self.said.push_str(&process.text(Source::Stderr));
        self.said.push_str("\n--- the process ended ---\n");
    }

    /// Its running process.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("the gateway is not running")
    }

    /// What its files take on the disk, in bytes.
    pub fn data_bytes(&self) -> Result<u64> {
        disk_bytes(&self.data)
    }

    /// Where its files are.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    pub fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api.number())
    }

    /// Where its relay listens.
    pub fn relay_port(&self) -> u16 {
        self.relay.number()
    }

    /// Where discovery listens.
    pub fn discovery(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.discovery.number()).into()
    }

    /// Registers a service of one node, in a site of its own.
    pub fn add_service(&self, name: &str, node: SocketAddr) -> Result<()> {
        let service = json!({
            "name": name,
            "site": format!("site-{name}"),
            "nodes": [node.to_string()],
        });
        let _: Value = self.rest.post("/services", &service)?;
        Ok(())
    }

    /// Makes the group, its primary service first, and waits until every service does its part.
    pub fn create_group(&self, services: &[&str], settings: &GroupSettings) -> Result<()> {
        let (primary, replicas) = services.split_first().context("a primary service")?;
        let group = json!({
            "name": GROUP, "primary": primary, "replicas": replicas, "settings": settings,
        });
        let made: Operation = self.rest.post("/groups", &group)?;
        succeeded(self.wait_operation(made.id)?)?;
        self.wait_healthy()?;
        Ok(())
    }

    /// Asks for a switchover and waits until it has ended well.
    pub fn switchover(&self, to: &str) -> Result<Operation> {
        let asked: Operation = self
            .rest
            .post(&format!("/groups/{GROUP}/switchover"), &json!({ "to": to }))?;
        succeeded(self.wait_operation(asked.id)?)
    }

    /// How the group is doing.
    pub fn status(&self) -> Result<GroupStatus> {
        self.rest.get(&format!("/groups/{GROUP}/status"))
    }

    /// The group as it is kept; none when there is none.
    pub fn group(&self) -> Result<Option<Group>> {
        self.rest.find(&format!("/groups/{GROUP}"))
    }

    /// Its primaries, the first one first.
    pub fn history(&self) -> Result<Vec<HistoryEntry>> {
        self.rest.get(&format!("/groups/{GROUP}/history"))
    }

    /// All operations, the newest first.
    pub fn operations(&self) -> Result<Vec<Operation>> {
        self.rest.get(&format!("/operations?group={GROUP}&limit=500"))
    }

    pub fn newest(&self, kind: OperationKind) -> Result<Option<Operation>> {
        let mut operations = self.operations()?.into_iter();
        Ok(operations.find(|operation| operation.kind == kind))
    }

    /// An operation as it is now.
    pub fn operation(&self, id: OperationId) -> Result<Operation> {
        self.rest.get(&format!("/operations/{id}"))
    }

    /// Waits until an operation is over, however it ends.
    pub fn wait_operation(&self, id: OperationId) -> Result<Operation> {
        let operation: Operation = self.rest.get(&format!("/operations/{id}?wait_ms=60000"))?;
        ensure!(operation.state.is_final(), "it does not end: {operation:#?}");
        Ok(operation)
    }

    /// Waits until there is an operation of a kind that was not cancelled, and until the newest one has ended well.
    pub fn wait_kind(&self, kind: OperationKind) -> Result<Operation> {
        let operation = look_until(&format!("a {kind:?}"), || {
            let found = self
                .operations()?
                .into_iter()
                .find(|operation| operation.kind == kind && operation.state != OperationState::Cancelled);
            found.context("there is none yet")
        })?;
        succeeded(self.wait_operation(operation.id)?)
    }

    /// Waits until every service does its part, every old primary is back, and nothing is under way.
    pub fn wait_healthy(&self) -> Result<GroupStatus> {
        look_until("the group to be healthy", || {
            let status = self.status()?;
            let former = self
                .group()?
                .map(|group| group.former_primaries().cloned().collect::<Vec<_>>())
                .unwrap_or_default();
            if status.summary.state == GroupState::Healthy
                && status.summary.operation.is_none()
                && former.is_empty()
            {
                return Ok(status);
            }
            bail!(
                "former primaries {former:?}, {status:#?}, {:#?}",
                self.operations()
            )
        })
    }
}

/// The operation, if it ended well.
pub fn succeeded(operation: Operation) -> Result<Operation> {
    ensure!(
        operation.state == OperationState::Succeeded,
        "{:?} ended {:?}: {:#?}",
        operation.kind,
        operation.state,
        operation
    );
    Ok(operation)
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
