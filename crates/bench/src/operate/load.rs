//! Clients: one kind that follows the group by discovery, one that stays with its server whatever happens.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use sterna_harness::{DEADLINE, Finder, Gateway};
use sterna_testkit::workload::{Acknowledged, Rate, SequenceOptions, SequenceWriter};
use sterna_testkit::{Client, Host, Server, try_wait_until};

/// Writes a second of the load under which changes of primary are measured.
pub(super) const LOAD_PER_SECOND: u32 = 5_000;
/// How long a client that follows waits for a server: for the connection, and for each answer. It is a part of the
/// outage where the old primary is silent.
pub(super) const CLIENT_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a client waits that stays with its server.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Load that follows the group.
pub(super) fn follows(site: &Gateway, prefix: &str, per_second: u32) -> Result<SequenceWriter> {
    follows_within(site, prefix, per_second, CLIENT_TIMEOUT)
}

/// Load that follows the group, and waits so long for each answer.
pub(super) fn follows_within(
    site: &Gateway,
    prefix: &str,
    per_second: u32,
    timeout: Duration,
) -> Result<SequenceWriter> {
    let finder = Finder::new(site.discovery(), CLIENT_TIMEOUT);
    let mut options = SequenceOptions::load(prefix, per_second);
    options.timeout = Some(timeout);
    SequenceWriter::start(options, move || finder.connect(CLIENT_TIMEOUT.min(timeout)))
}

/// A client on the host of its server (or beside it on loopback) that never goes elsewhere. One connection, which waits
/// long for each answer.
pub(super) fn stays(prefix: &str, server: &Server, per_second: u32) -> Result<SequenceWriter> {
    let options = SequenceOptions {
        timeout: Some(PATIENCE),
        batch_max: 8,
        ..SequenceOptions::new(prefix, Rate::PerSecond(per_second))
    };
    match server.host() {
        Some(host) => SequenceWriter::start(options, from(server, host)),
        None => SequenceWriter::start(options, server.connector()),
    }
}

fn from(server: &Server, host: &Host) -> impl Fn() -> Result<Client> + Send + Sync + 'static {
    server.connector_from(host, PATIENCE)
}

/// Waits for the first write after `since` that another server than `old` acknowledged.
pub(super) fn first_elsewhere(
    writer: &SequenceWriter,
    old: SocketAddr,
    since: Instant,
) -> Result<Acknowledged> {
    let mut from = since;
    try_wait_until(DEADLINE, "a write at the new primary", || {
        while let Some(write) = writer.first_acknowledged_after(from) {
            if write.by != old {
                return Ok(write);
            }
            from = write.at;
        }
        Err(format!("{:?}", writer.errors()))
    })
}

/// Milliseconds.
pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
