//! Sending a workload to a server.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Command, Op, Workload};
use crate::client::{Client, Reply};
use crate::wait::try_wait_until;

/// Commands and bytes that are sent before the replies are read.
const BATCH_COMMANDS: usize = 200;
const BATCH_BYTES: usize = 1 << 20;
/// How long a client may take to be seen as blocked.
const BLOCKED_DEADLINE: Duration = Duration::from_secs(10);

/// What random commands meet now and then. Any other error is a mistake of the workload or of the server.
const EXPECTED_ERRORS: [&str; 19] = [
    "WRONGTYPE",
    "BUSYGROUP",
    "BUSYKEY",
    "NOGROUP",
    "ERR no such key",
    "ERR value is not an integer or out of range",
    "ERR value is not a valid float",
    "ERR hash value is not",
    "ERR increment or decrement would overflow",
    "ERR increment would produce NaN or Infinity",
    "ERR resulting score is not a number",
    "ERR The ID specified in",
    "ERR The XGROUP subcommand requires the key to exist",
    "ERR source and destination objects are the same",
    "ERR index out of range",
    "ERR Library not found",
    "ERR Function not found",
    "ERR string exceeds maximum allowed size",
    "ERR value is out of range",
];

/// What a run has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Steps whose replies have all come.
    pub ops: u64,
    /// Commands sent.
    pub commands: u64,
    /// Error replies by their first words.
    pub errors: BTreeMap<String, u64>,
}

impl Workload {
    /// Executes so many steps. An error reply that random commands can't explain is an error.
    pub fn run(&mut self, client: &mut Client, ops: u64) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut batch = Batch::default();
        for _ in 0..ops {
            // The step may change what is selected for those after it.
            let database = self.database();
            match self.next_op() {
                Op::Commands(commands) => {
                    batch.add(client, commands);
                    summary.ops += 1;
                }
                Op::Served {
                    before,
                    blocked,
                    served_by,
                } => {
                    batch.settle(client, &mut summary)?;
                    serve(client, database, [&before, &blocked, &served_by], &mut summary)?;
                }
            }
            if batch.is_full() {
                batch.settle(client, &mut summary)?;
            }
        }
        batch.settle(client, &mut summary)?;
        Ok(summary)
    }
}

/// Commands whose replies are still to come.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, client: &mut Client, commands: Vec<Command>) {
        for command in commands {
            client.send(&command);
            self.bytes += command.iter().map(Vec::len).sum::<usize>();
            self.commands.push(command);
        }
    }

    fn is_full(&self) -> bool {
        self.commands.len() >= BATCH_COMMANDS || self.bytes >= BATCH_BYTES
    }

    fn settle(&mut self, client: &mut Client, summary: &mut Summary) -> Result<()> {
        client.flush()?;
        for command in self.commands.drain(..) {
            let reply = client.receive()?;
            summary.commands += 1;
            judge(&command, &reply, summary)?;
        }
        self.bytes = 0;
        Ok(())
    }
}

/// Lets a second connection block, then serves it from the first.
fn serve(client: &mut Client, database: u32, commands: [&Command; 3], summary: &mut Summary) -> Result<()> {
    let [before, blocked, served_by] = commands;
    let mut other = client.another()?;
    other.cmd(&["SELECT", &database.to_string()])?;
    judge(before, &client.raw(before)?, summary)?;
    other.send(blocked);
    other.flush()?;
    try_wait_until(
        BLOCKED_DEADLINE,
        "the second client to block",
        || -> Result<bool> { Ok(client.info_field("clients", "blocked_clients")? != "0") },
    )?;
    judge(served_by, &client.raw(served_by)?, summary)?;
    judge(blocked, &other.receive()?, summary)?;
    summary.commands += 3;
    summary.ops += 1;
    Ok(())
}

/// Counts what went wrong as expected, and fails for anything else.
fn judge(command: &Command, reply: &Reply, summary: &mut Summary) -> Result<()> {
    match reply {
        Reply::Error(text) if EXPECTED_ERRORS.iter().any(|start| text.starts_with(start)) => {
            *summary.errors.entry(kind_of(text)).or_default() += 1;
        }
        Reply::Error(text) => bail!("{text}: {}", describe(command)),
        Reply::Array(items) => {
            for item in items {
                judge(command, item, summary).context("inside")?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The first words of an error reply.
pub(super) fn kind_of(error: &str) -> String {
    error.split_whitespace().take(5).collect::<Vec<_>>().join(" ")
}

fn describe(command: &Command) -> String {
    let parts = command
        .iter()
        .take(12)
        .map(|arg| arg[..arg.len().min(60)].escape_ascii().to_string());
    parts.collect::<Vec<_>>().join(" ")
}
