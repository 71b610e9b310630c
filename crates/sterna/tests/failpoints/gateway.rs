//! `sterna serve` as a process that dies at a failpoint and is started again on the same data and ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sterna_model::{Group, GroupState, GroupStatus, HistoryEntry, Operation, OperationId, OperationKind};
use sterna_testkit::process::Source;
use sterna_testkit::{Port, Process, reserve_port, try_wait_until};
use tempfile::TempDir;

use crate::rest::Rest;

/// Nothing here takes longer, on a loaded machine either.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// The group's name, which clients ask discovery for.
pub(crate) const GROUP: &str = "orders";
/// A process that gets this signal ends with this code.
const KILLED: i32 = 128 + 9;
/// How often a state is asked for: the API gives one token 50 answers a second.
const LOOK_EVERY: Duration = Duration::from_millis(60);

/// A gateway with its data, whether it runs or not.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) rest: Rest,
    process: Option<Process>,
    /// What earlier processes said.
    said: String,
    data: PathBuf,
    api: Port,
    relay: Port,
    discovery: Port,
    _dir: TempDir,
}

impl Gateway {
    /// Starts one on new data. `failpoint` goes into its environment.
    pub(crate) fn start(failpoint: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut gateway = Self {
            rest: Rest::new(0, ""),
            process: None,
            said: String::new(),
            data: dir.path().join("data"),
            api: reserve_port()?,
            relay: reserve_port()?,
            discovery: reserve_port()?,
            _dir: dir,
        };
        gateway.launch(Some(failpoint))?;
        let token = std::fs::read_to_string(gateway.data.join("admin-token"))?;
        gateway.rest = Rest::new(gateway.api.number(), token.trim());
        Ok(gateway)
    }

    /// Starts it again, with no failpoint.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.launch(None)
    }

    fn launch(&mut self, failpoint: Option<&str>) -> Result<()> {
        let local = |port: &Port| format!("127.0.0.1:{}", port.number());
        let data = self.data.to_str().context("a path in UTF-8")?;
        let (api, relay, discovery) = (local(&self.api), local(&self.relay), local(&self.discovery));
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
        let env: Vec<_> = failpoint
            .into_iter()
            .map(|point| ("STERNA_FAILPOINT", point))
            .collect();
        let process = Process::spawn(env!("CARGO_BIN_EXE_sterna"), &args, &env)?;
        process.wait_for_line("  API ", DEADLINE)?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it has killed itself at its failpoint, and nowhere else; `false` where the newest operation of the kind
    /// ended without that. `known` is one that was over before.
    pub(crate) fn wait_death(
        &mut self,
        failpoint: &str,
        kind: OperationKind,
        known: Option<OperationId>,
    ) -> Result<bool> {
        let died = look_until("the gateway to die", || {
            if self.has_died() {
                return Ok(true);
            }
            let newest = self.newest(kind)?.context("the operation has not begun")?;
            ensure!(Some(newest.id) != known, "the operation has not begun");
            ensure!(newest.state.is_final(), "{newest:#?}");
            Ok(false)
        })?;
        if !died {
            return Ok(false);
        }
        let process = self.process.take().context("it was started")?;
        let code = process.exit_code(DEADLINE)?;
        let words = process.text(Source::Stderr);
        self.said.push_str(&words);
        self.said.push_str("\n--- the process ended ---\n");
        let last = words.lines().last().unwrap_or_default();
        ensure!(
            code == KILLED && last.contains("dying at the failpoint") && last.contains(failpoint),
            "it ended with {code} elsewhere; its last words are {last:?}"
        );
        Ok(true)
    }

    fn has_died(&self) -> bool {
        self.process.as_ref().is_none_or(|process| !process.is_running())
    }

    /// All that its processes have logged.
    pub(crate) fn log(&self) -> String {
        let now = self.process.as_ref().map(|process| process.text(Source::Stderr));
        format!("{}{}", self.said, now.unwrap_or_default())
    }

    /// Where discovery listens.
    pub(crate) fn discovery(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.discovery.number()).into()
    }

    /// How the group is doing.
    pub(crate) fn status(&self) -> Result<GroupStatus> {
        self.rest.get(&format!("/groups/{GROUP}/status"))
    }

    /// The group as it is kept; none when there is none.
    pub(crate) fn group(&self) -> Result<Option<Group>> {
        self.rest.find(&format!("/groups/{GROUP}"))
    }

    /// Its primaries, the first one first.
    pub(crate) fn history(&self) -> Result<Vec<HistoryEntry>> {
        self.rest.get(&format!("/groups/{GROUP}/history"))
    }

    /// All operations, the newest first.
    pub(crate) fn operations(&self) -> Result<Vec<Operation>> {
        self.rest.get(&format!("/operations?group={GROUP}&limit=500"))
    }

    /// The newest operation of a kind.
    pub(crate) fn newest(&self, kind: OperationKind) -> Result<Option<Operation>> {
        let mut operations = self.operations()?.into_iter();
        Ok(operations.find(|operation| operation.kind == kind))
    }

    /// Waits until an operation is over, however it ends.
    pub(crate) fn wait_operation(&self, id: OperationId) -> Result<Operation> {
        let operation: Operation = self.rest.get(&format!("/operations/{id}?wait_ms=60000"))?;
        ensure!(operation.state.is_final(), "it does not end: {operation:#?}");
        Ok(operation)
    }

    /// Waits until there is an operation of a kind, and until the newest one is over, however it ends.
    pub(crate) fn wait_kind(&self, kind: OperationKind) -> Result<Operation> {
        let begun = look_until(&format!("a {kind:?}"), || {
            self.newest(kind)?.context("there is none yet")
        })?;
        self.wait_operation(begun.id)
    }

    /// Waits until every service does its part, every old primary is back, and nothing is under way.
    pub(crate) fn wait_healthy(&self) -> Result<GroupStatus> {
        look_until("the group to be healthy", || {
            let status = self.status()?;
            let departed = self.group()?.map(|group| group.departed).unwrap_or_default();
            if status.state == GroupState::Healthy && status.operation.is_none() && departed.is_empty() {
                return Ok(status);
            }
            bail!("departed {departed:?}, {status:#?}, {:#?}", self.operations())
        })
    }

    /// Registers a service of one node.
    pub(crate) fn add_service(&self, name: &str, node: SocketAddr) -> Result<()> {
        let service = serde_json::json!({ "name": name, "nodes": [node.to_string()] });
        let _: Value = self.rest.post("/services", &service)?;
        Ok(())
    }
}

/// Looks until there is what is looked for.
pub(crate) fn look_until<T>(what: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let mut due = Instant::now();
    let mut last = String::new();
    try_wait_until(DEADLINE, what, || {
        if Instant::now() < due {
            return Err(last.clone());
        }
        let looked = look();
        due = Instant::now() + LOOK_EVERY;
        looked.map_err(|error| {
            last = format!("{error:#}");
            last.clone()
        })
    })
}
