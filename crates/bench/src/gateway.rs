//! The gateway under test, and the servers on both sides of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sterna_testkit::{Client, Port, Process, Server, reserve_port, try_wait_until};
use tempfile::TempDir;

/// Nothing measured here takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// A primary that never drops a slow replica and begins full syncs at once.
pub(crate) fn primary() -> Result<Server> {
    Server::builder()
        .config("repl-diskless-sync-delay", "0")
        .config("repl-backlog-size", "1gb")
        .config("client-output-buffer-limit", "replica 0 0 0")
        .start()
}

/// A node that may become a replica.
pub(crate) fn node() -> Result<Server> {
    Server::builder().start()
}

/// A running gateway between a primary and a target.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    _data: TempDir,
    _port: Port,
}

impl Gateway {
    /// Starts it; returns at once.
    pub(crate) fn start(primary: &Server, target: &Server, extra: &[&str]) -> Result<Self> {
        let (data, port) = (tempfile::tempdir()?, reserve_port()?);
        let (from, to) = (
            format!("redis://{}", primary.address()),
            format!("redis://{}", target.address()),
        );
        let relay = format!("127.0.0.1:{}", port.number());
        let dir = data.path().to_str().context("a path in UTF-8")?;
        let mut args = vec![
            "replicate",
            "--from",
            &from,
            "--to",
            &to,
            "--data-dir",
            dir,
            "--relay-addr",
            &relay,
        ];
        args.extend(extra);
        let process = Process::spawn(binary()?, &args, &[])?;
        Ok(Self {
            process,
            _data: data,
            _port: port,
        })
    }
}

/// The `sterna` beside this program.
pub(crate) fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("sterna");
    anyhow::ensure!(
        path.exists(),
        "{} is missing: build it with `cargo build --release -p sterna`",
        path.display()
    );
    Ok(path)
}

/// How much of the stream a node has.
pub(crate) fn offset(client: &mut Client) -> Result<u64> {
    Ok(client.info_field("replication", "master_repl_offset")?.parse()?)
}

/// Waits until the replica's link is up and it has all that the primary has.
pub(crate) fn wait_equal(primary: &mut Client, replica: &mut Client) -> Result<()> {
    try_wait_until(
        DEADLINE,
        "the replica has everything",
        || -> Result<(), String> {
            let info = replica.info("replication").map_err(|error| error.to_string())?;
            let there = info.get("master_repl_offset").cloned().unwrap_or_default();
            let here = offset(primary).map_err(|error| error.to_string())?.to_string();
            let up = info
                .get("master_link_status")
                .is_some_and(|status| status == "up");
            if up && there == here {
                Ok(())
            } else {
                Err(format!("link up: {up}, {there} of {here}"))
            }
        },
    )
}
