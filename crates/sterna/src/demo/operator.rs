//! The operator: `sterna` verbs as child processes, as a person would type them.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use sterna_model::{GroupStatus, Operation, OperationId, OperationKind, OperationState};

use super::claim::{claim, until_every};
use super::gateway::Gateway;
use super::process::{Afterwards, Process};
use super::timeline::Timeline;

/// The replication group of the demo, which clients ask discovery for.
pub(super) const GROUP: &str = "orders";

/// How often it is looked whether a command has ended.
const END_INTERVAL: Duration = Duration::from_millis(5);
/// How often the gateway is asked what is going on: each time is a process.
const ASK_INTERVAL: Duration = Duration::from_millis(150);

/// Runs commands against the gateway.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) sterna: PathBuf,
    dir: PathBuf,
    api: String,
    config: PathBuf,
    afterwards: Afterwards,
    runs: Cell<u32>,
}

/// What a command printed.
#[derive(Debug)]
struct Said {
    /// On stdout.
    data: String,
    /// On stderr.
    words: String,
}

impl Operator {
    /// One who has the gateway's URL and its configuration file.
    pub(super) fn new(
        sterna: &Path,
        place: &Path,
        gateway: &Gateway,
        afterwards: Afterwards,
    ) -> anyhow::Result<Self> {
        let dir = place.join("operator");
        fs::create_dir(&dir).with_context(|| format!("{} can't be made", dir.display()))?;
        Ok(Self {
            sterna: sterna.to_owned(),
            dir,
            api: gateway.api.clone(),
            config: gateway.config.clone(),
            afterwards,
            runs: Cell::new(0),
        })
    }

    /// What a person says first, so that the commands find the gateway and its admin token.
    pub(super) fn exports(&self) -> String {
        format!(
            "export STERNA_API={} STERNA_CONFIG={}",
            self.api,
            super::farewell::quoted(&self.config)
        )
    }

    /// Runs a command, and shows it with the first lines of what it says.
    pub(super) async fn show(
        &self,
        args: &[&str],
        lines_max: usize,
        timeline: &Timeline,
    ) -> anyhow::Result<()> {
        timeline.row("operator", &format!("$ sterna {}", args.join(" ")));
        let said = self.run(args).await?;
        timeline.quote(&format!("{}{}", said.words, said.data), lines_max);
        Ok(())
    }

    /// Runs a command without a word of it, and returns its JSON.
    pub(super) async fn read<T: DeserializeOwned>(&self, args: &[&str]) -> anyhow::Result<T> {
        let args: Vec<_> = args.iter().copied().chain(["--output", "json"]).collect();
        let said = self.run(&args).await?;
        let parsed = serde_json::from_str(&said.data);
        parsed.with_context(|| format!("`sterna {}` printed {:?}", args.join(" "), said.data))
    }

    /// How the group is doing.
    pub(super) async fn status(&self) -> anyhow::Result<GroupStatus> {
        self.read(&["status", GROUP]).await
    }

    /// Waits until the group's status holds.
    pub(super) async fn wait_for_status(
        &self,
        what: &str,
        holds: impl Fn(&GroupStatus) -> bool,
    ) -> anyhow::Result<GroupStatus> {
        until_every(ASK_INTERVAL, what, async || {
            let status = self.status().await?;
            anyhow::ensure!(holds(&status), "{:?}: {}", status.state, status.reason);
            Ok(status)
        })
        .await
    }

    /// The newest operation so far.
    pub(super) async fn newest(&self) -> anyhow::Result<OperationId> {
        let list: Vec<Operation> = self.read(&["operation", "list", "--limit", "1"]).await?;
        Ok(list.first().map_or(OperationId(0), |operation| operation.id))
    }

    /// Waits until the next operation of that kind after another is over, and claims that it succeeded.
    pub(super) async fn next_operation(
        &self,
        kind: OperationKind,
        after: OperationId,
    ) -> anyhow::Result<Operation> {
        let what = format!("a {kind:?} begins");
        let begun = until_every(ASK_INTERVAL, &what, async || {
            let list: Vec<Operation> = self.read(&["operation", "list"]).await?;
            let mut newer = list
                .into_iter()
                .filter(|operation| operation.id > after && operation.kind == kind);
            newer.next().context("none has begun")
        });
        let id = begun.await?.id.to_string();
        let over: Operation = self.read(&["operation", "wait", &id]).await?;
        claim(
            over.state == OperationState::Succeeded,
            format!("operation {id}, a {kind:?}, succeeds"),
            format!("{over:?}"),
        )?;
        Ok(over)
    }

    /// An operation as it is now.
    pub(super) async fn operation(&self, id: OperationId) -> anyhow::Result<Operation> {
        self.read(&["operation", "show", &id.to_string()]).await
    }

    async fn run(&self, args: &[&str]) -> anyhow::Result<Said> {
        let run = self.runs.get() + 1;
        self.runs.set(run);
        let file = |kind: &str| self.dir.join(format!("{run}.{kind}"));
        let (stdout, stderr) = (file("out"), file("err"));
        let env: [(&str, &OsStr); 2] = [
            ("STERNA_API", self.api.as_ref()),
            ("STERNA_CONFIG", self.config.as_os_str()),
        ];
        let mut process = Process::spawn(&self.sterna, args, &env, (&stdout, &stderr), self.afterwards)?;
        let command = format!("sterna {}", args.join(" "));
        let status = until_every(END_INTERVAL, &format!("`{command}` ends"), async || {
            process.ended()?.context("it runs")
        })
        .await?;
        let said = Said {
            data: fs::read_to_string(&stdout)?,
            words: fs::read_to_string(&stderr)?,
        };
        claim(
            status.success(),
            format!("`{command}` succeeds"),
            format!("{status}: {}{}", said.words, said.data.trim_end()),
        )?;
        for path in [stdout, stderr] {
            drop(fs::remove_file(path));
        }
        Ok(said)
    }
}
