//! The gateway of the demo: `sterna replicate` as a person would run it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::claim::until;
use super::events::{Events, GatewayStatus};
use super::node::Node;
use super::process::{Afterwards, Process};

/// How to start the gateway, again and again.
#[derive(Debug)]
pub(super) struct GatewayRecipe {
    pub(super) sterna: PathBuf,
    pub(super) args: Vec<OsString>,
    place: PathBuf,
    /// The directory of its log, which outlives the process.
    pub(super) data_dir: PathBuf,
    afterwards: Afterwards,
    runs: u32,
}

impl GatewayRecipe {
    pub(super) fn new(
        place: &Path,
        relay_port: u16,
        (primary, replicas): (&Node, &[Node]),
        afterwards: Afterwards,
    ) -> anyhow::Result<Self> {
        let data_dir = place.join("gateway");
        let mut args: Vec<OsString> = ["replicate", "--output", "json"].map(OsString::from).into();
        args.extend(["--from".into(), primary.url().into()]);
        for replica in replicas {
            args.extend(["--to".into(), replica.url().into()]);
        }
        args.extend(["--data-dir".into(), data_dir.clone().into_os_string()]);
        args.extend(["--relay-addr".into(), format!("127.0.0.1:{relay_port}").into()]);
        args.extend(["--log-max-bytes".into(), "512MiB".into()]);
        Ok(Self {
            sterna: std::env::current_exe().context("the path of this program can't be found")?,
            args,
            place: place.to_owned(),
            data_dir,
            afterwards,
            runs: 0,
        })
    }

    /// Starts a gateway process.
    pub(super) fn start(&mut self) -> anyhow::Result<Gateway> {
        self.runs += 1;
        let stdout = self.place.join(format!("gateway-{}.jsonl", self.runs));
        let stderr = self.place.join(format!("gateway-{}.err", self.runs));
        let process = Process::spawn(&self.sterna, &self.args, (&stdout, &stderr), self.afterwards)?;
        Ok(Gateway {
            process,
            events: Events::open(&stdout)?,
            stdout,
            stderr,
        })
    }
}

/// A running gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    process: Process,
    pub(super) events: Events,
    /// The file that its events go to.
    pub(super) stdout: PathBuf,
    stderr: PathBuf,
}

impl Gateway {
    /// Waits until an event has come so often since the gateway started; returns the last of them.
    pub(super) async fn wait_for(&mut self, name: &str, count: usize) -> anyhow::Result<Value> {
        let what = format!("the gateway says {name:?} {count} times");
        self.wait(&what, move |events| {
            let found = events.named(name)?;
            let last = found
                .get(count - 1)
                .with_context(|| format!("{} so far", found.len()))?;
            Ok((*last).clone())
        })
        .await
    }

    /// How often it has begun to follow the primary, by a partial resync or a full copy.
    pub(super) fn followed(&mut self) -> anyhow::Result<usize> {
        Ok(self.events.count("resumed")? + self.events.count("full-sync-started")?)
    }

    /// Waits until it has begun so often; which of the two it was, the primary's counters tell.
    pub(super) async fn wait_until_it_follows(&mut self, times: usize) -> anyhow::Result<()> {
        let what = "the gateway follows the primary again";
        self.wait(what, |events| {
            let followed = events.count("resumed")? + events.count("full-sync-started")?;
            anyhow::ensure!(followed >= times, "it does not yet");
            Ok(())
        })
        .await
    }

    /// Waits for the next status that holds.
    pub(super) async fn wait_for_status(
        &mut self,
        what: &str,
        holds: impl Fn(&GatewayStatus) -> bool,
    ) -> anyhow::Result<GatewayStatus> {
        let before = self.events.status()?.0;
        self.wait(what, |events| {
            let (count, status) = events.status()?;
            anyhow::ensure!(count > before && holds(&status), "its last status: {status:?}");
            Ok(status)
        })
        .await
    }

    async fn wait<T>(
        &mut self,
        what: &str,
        look: impl Fn(&mut Events) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Self {
            process,
            events,
            stderr,
            ..
        } = self;
        until(what, async || {
            if let Some(status) = process.ended()? {
                let said = fs::read_to_string(&*stderr).unwrap_or_default();
                return Ok(Err(anyhow::anyhow!(
                    "the gateway ended with {status}: {}",
                    said.trim()
                )));
            }
            look(events).map(Ok)
        })
        .await?
    }

    /// `kill -9`.
    pub(super) fn kill9(self) {
        self.process.kill9();
    }

    /// Lets it run on after the demo.
    pub(super) fn leave(&mut self) {
        self.process.leave();
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }
}
