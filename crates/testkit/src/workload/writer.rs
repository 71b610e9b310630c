//! Writers in the background, which keep on through lost connections and refusals.

mod background;
mod sequence;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::{Command, Op, Workload};
use crate::client::{Client, Reply};
use background::{Background, Outcome};
pub use sequence::{Acknowledged, SequenceOptions, SequenceWriter};

/// How fast a writer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As fast as the server answers.
    Unlimited,
    /// So many steps per second.
    PerSecond(u32),
}

/// A workload that runs in the background.
#[derive(Debug)]
pub struct Writer {
    background: Background,
}

impl Workload {
    /// Runs the workload in the background until it is stopped or has made `ops_max` steps. Steps that are refused or
    /// whose connection breaks are counted as such and not repeated; then it connects anew.
    pub fn spawn(
        mut self,
        connect: impl Fn() -> Result<Client> + Send + 'static,
        rate: Rate,
        ops_max: u64,
    ) -> Result<Writer> {
        let connect = move |workload: &Self| -> Result<Client> {
            let mut client = connect()?;
            client.cmd(&["SELECT", &workload.database().to_string()])?;
            Ok(client)
        };
        let mut client: Option<Client> = None;
        let step = move || {
            let connected = match client.take() {
                Some(connected) => Ok(connected),
                None => connect(&self),
            };
            let mut connected = match connected {
                Ok(connected) => connected,
                Err(error) => return Outcome::Lost(format!("{error:#}")),
            };
            let op = self.next_op();
            match execute(&mut connected, &commands(op)) {
                Ok(None) => {
                    client = Some(connected);
                    Outcome::Acknowledged
                }
                Ok(Some(refusal)) => Outcome::Refused(refusal),
                Err(error) => Outcome::Lost(format!("{error:#}")),
            }
        };
        Ok(Writer {
            background: Background::start(step, rate, ops_max)?,
        })
    }
}

impl Writer {
    /// Steps that the server has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.background.acknowledged()
    }

    /// Waits until so many more steps are acknowledged.
    pub fn wait_acknowledged(&self, more: u64, deadline: Duration) -> Result<()> {
        self.background.wait_acknowledged(more, deadline)
    }

    /// What went wrong so far, by the first words of it, with how often.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.background.errors()
    }

    /// The longest time between two acknowledged steps so far.
    pub fn longest_gap(&self) -> Duration {
        self.background.longest_gap()
    }

    /// Stops after the step under way; steps acknowledged in all.
    pub fn stop(self) -> Result<u64> {
        self.background.stop()?;
        Ok(self.background.acknowledged())
    }
}

/// The commands of a step on one connection: what would block finds what it wants.
fn commands(op: Op) -> Vec<Command> {
    match op {
        Op::Commands(commands) => commands,
        Op::Served {
            before,
            blocked,
            served_by,
        } => vec![before, served_by, blocked],
    }
}

/// Whether a server took the step; the refusal when it did not.
fn execute(client: &mut Client, commands: &[Command]) -> Result<Option<String>> {
    let replies = client.pipeline(commands)?;
    Ok(replies.into_iter().find_map(|reply| match reply {
        Reply::Error(text) if is_refusal(&text) => Some(text),
        _ => None,
    }))
}

/// Errors that say that this server takes no writes now, and not that the command was odd.
fn is_refusal(error: &str) -> bool {
    const REFUSALS: [&str; 12] = [
        "READONLY",
        "LOADING",
        "NOREPLICAS",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "MOVED",
        "UNBLOCKED",
        "MISCONF",
        "OOM",
        "NOAUTH",
        "BUSY ",
        "EXECABORT",
    ];
    REFUSALS.iter().any(|start| error.starts_with(start))
}
