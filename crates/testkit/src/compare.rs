//! Whether two servers hold exactly the same data, and if not, which keys differ.

mod keys;

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::Client;
use crate::server::Server;
use crate::wait::{pause_for, try_wait_until};

/// How long a replica may take to reach its primary's offset.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(120);
/// How long two servers may go on changing under the comparison (keys that expire) before it gives up.
const SETTLE_DEADLINE: Duration = Duration::from_secs(60);
/// A digest goes over every byte.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(300);
/// When to look at a difference again.
const SECOND_LOOK: Duration = Duration::from_millis(300);
/// Differing keys that an error names.
const NAMED_MAX: usize = 20;
/// Up to this many keys, expiry times and consumer groups are compared too, which `DEBUG DIGEST` leaves out.
const DEEP_KEYS_MAX: u64 = 50_000;

/// Waits until the replica has reached its primary's offset, then compares all their data. The writers must have been
/// stopped. The error names the keys that differ.
pub fn digests_equal(primary: &Server, replica: &Server) -> Result<()> {
    equal_over(|| primary.connect(), || replica.connect())
}

/// [`digests_equal`] over connections that these make: anew when one was closed, as a gateway does where a node's role changed.
pub fn equal_over(primary: impl Fn() -> Result<Client>, replica: impl Fn() -> Result<Client>) -> Result<()> {
    let start = Instant::now();
    loop {
        let (mut primary, mut replica) = (primary()?, replica()?);
        match clients_equal(&mut primary, &mut replica) {
            Err(error) if error.is::<io::Error>() && start.elapsed() < SETTLE_DEADLINE => {}
            seen => return seen,
        }
    }
}

fn clients_equal(primary: &mut Client, replica: &mut Client) -> Result<()> {
    wait_same_offset(primary, replica, CATCH_UP_DEADLINE)?;
    let start = Instant::now();
    let mut seen = None;
    loop {
        let before = (offset(primary)?, offset(replica)?);
        let difference = difference(primary, replica)?;
        let at_rest = before == (offset(primary)?, offset(replica)?) && before.0 == before.1;
        match difference {
            None => return Ok(()),
            // Keys and fields expire while we look, some without a trace in the stream for a while. Only what both
            // servers show twice, at rest and in step, is a difference.
            Some(report) if at_rest => {
                if seen.as_ref() == Some(&report) {
                    bail!(
                        "{} and {} differ at offset {}:\n{report}",
                        primary.peer(),
                        replica.peer(),
                        before.0
                    );
                }
                seen = Some(report);
                pause_for(SECOND_LOOK);
            }
            Some(_) => {}
        }
        ensure!(
            start.elapsed() < SETTLE_DEADLINE,
            "{} and {} never rest; offsets {before:?}",
            primary.peer(),
            replica.peer()
        );
        wait_same_offset(primary, replica, CATCH_UP_DEADLINE)?;
    }
}

/// Compares all data of two servers as they are, whatever their offsets; for a service that was detached or promoted.
pub fn same_data(one: &mut Client, other: &mut Client) -> Result<()> {
    match difference(one, other)? {
        None => Ok(()),
        Some(report) => bail!("{} and {} differ:\n{report}", one.peer(), other.peer()),
    }
}

/// Waits until the replica's offset equals its primary's, as both say at one moment; an end of either connection ends the wait.
pub fn wait_same_offset(primary: &mut Client, replica: &mut Client, deadline: Duration) -> Result<u64> {
    let what = format!("{} to reach the offset of {}", replica.peer(), primary.peer());
    try_wait_until(deadline, &what, || match same_offset(primary, replica) {
        // Over a connection that has ended it is never seen.
        Err(error) if error.is::<io::Error>() => Ok(Err(error)),
        seen => seen.map(Ok),
    })?
}

fn same_offset(primary: &mut Client, replica: &mut Client) -> Result<u64> {
    let before = offset(primary)?;
    let reached = offset(replica)?;
    ensure!(before == reached, "primary at {before}, replica at {reached}");
    // A primary that moved on meanwhile would make this a coincidence.
    let after = offset(primary)?;
    ensure!(after == before, "the primary moves on: {before}, {after}");
    Ok(after)
}

/// The offset up to which a server has applied its history; for a replica that of its primary's stream.
pub fn offset(client: &mut Client) -> Result<u64> {
    let info = client.info("replication")?;
    let field = if info.get("role").is_some_and(|role| role == "slave") {
        // While the link is down there is no slave_repl_offset worth the name, and -1 or 0 stands there before.
        ensure!(
            info.get("master_link_status")
                .is_some_and(|status| status == "up"),
            "the link is down: {info:?}"
        );
        "slave_repl_offset"
    } else {
        "master_repl_offset"
    };
    let value = info
        .get(field)
        .with_context(|| format!("no {field} in {info:?}"))?;
    value.parse().with_context(|| format!("{field}:{value}"))
}

/// `None` when all is the same, else what differs.
fn difference(one: &mut Client, other: &mut Client) -> Result<Option<String>> {
    let digests = digests(one, other)?;
    let functions = (functions(one)?, functions(other)?);
    let keys = keys::databases(one)?.values().sum::<u64>();
    let deep = keys <= DEEP_KEYS_MAX;
    if digests.0 == digests.1 && functions.0 == functions.1 && !deep {
        return Ok(None);
    }
    let mut same = digests.0 == digests.1;
    let found = if !same || deep {
        keys::compare(one, other)?
    } else {
        keys::Found::default()
    };
    if found.is_empty() && (found.printed_otherwise > 0 || version(one)? != version(other)?) {
        same = true;
    }
    if same && functions.0 == functions.1 && found.is_empty() {
        return Ok(None);
    }
    let mut report = format!("digests {} and {}\n{found}", digests.0, digests.1);
    if functions.0 != functions.1 {
        write!(
            report,
            "functions differ: {} and {} bytes of listing",
            functions.0.len(),
            functions.1.len()
        )?;
    }
    Ok(Some(report))
}

/// Which program a server is.
fn version(client: &mut Client) -> Result<Vec<String>> {
    let mut info = client.info("server")?;
    Ok(["server_name", "redis_version", "valkey_version"]
        .iter()
        .filter_map(|field| info.remove(*field))
        .collect())
}

/// The digests of all data; both servers work at the same time.
fn digests(one: &mut Client, other: &mut Client) -> Result<(String, String)> {
    for client in [&mut *one, &mut *other] {
        client.set_timeout(DIGEST_TIMEOUT)?;
        client.send(&["DEBUG", "DIGEST"]);
        client.flush()?;
    }
    let replies = (one.receive()?, other.receive()?);
    for reply in [&replies.0, &replies.1] {
        ensure!(!reply.is_error(), "DEBUG DIGEST: {reply:?}");
    }
    Ok((replies.0.text(), replies.1.text()))
}

/// The function libraries with their code, sorted; empty where the server has none.
fn functions(client: &mut Client) -> Result<String> {
    let reply = client.raw(&["FUNCTION", "LIST", "WITHCODE"])?;
    let mut libraries: Vec<String> = reply
        .array()
        .iter()
        .map(|library| {
            library
                .array()
                .iter()
                .find_map(code)
                .unwrap_or_else(|| format!("{library:?}"))
        })
        .collect();
    libraries.sort_unstable();
    Ok(libraries.join("\n"))
}

/// The source of a library says all about it: `#!lua name=…` is its first line.
fn code(field: &crate::client::Reply) -> Option<String> {
    Some(field.text()).filter(|text| text.starts_with("#!"))
}
