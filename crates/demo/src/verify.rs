//! Verification: a write made now arrives, replicas refuse writes, and all nodes hold exactly the same data.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use sterna_testkit::Client;
use sterna_testkit::fill::SHORT_LIVED_DB;

use crate::assert::{assert, until};
use crate::node::Node;
use crate::nodes::Nodes;

const MARK_KEY: &str = "demo:mark";

/// Writes something new to the primary and waits until these replica nodes show it.
pub(crate) fn write_arrives(primary: &Node, replicas: &[&Node], mark: &str) -> anyhow::Result<()> {
    primary.client()?.cmd(&["SET", MARK_KEY, mark])?;
    for replica in replicas {
        let what = format!("{} shows what was just written to {}", replica.name, primary.name);
        let mut client = replica.client()?;
        until(&what, || {
            let found = client.cmd(&["GET", MARK_KEY])?.text();
            ensure!(found == mark, "it shows {found:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Asserts that a node refuses writes of its own.
pub(crate) fn refuses_writes(node: &Node) -> anyhow::Result<()> {
    let answer = node.client()?.raw(&["SET", "demo:stray", "1"])?;
    assert(
        answer.is_error() && answer.text().starts_with("READONLY"),
        format!("{} refuses writes", node.name),
        format!("{answer:?}"),
    )
}

/// Keys in each database that has some.
pub(crate) fn keyspace(client: &mut Client) -> anyhow::Result<Vec<u64>> {
    let databases = client.info("keyspace")?.into_values().map(|fields| {
        let keys = fields.split(',').find_map(|field| field.strip_prefix("keys="));
        Ok(keys.with_context(|| fields.clone())?.parse()?)
    });
    databases.collect()
}

/// The primary alone decides what expires; each such decision moves the offset, so the short-lived keys must go first.
pub(crate) fn wait_for_expiry(primary: &mut Client) -> anyhow::Result<()> {
    primary.cmd(&["SELECT", &SHORT_LIVED_DB.to_string()])?;
    until("the short-lived keys of the primary expire", || {
        // By itself the server leaves the last keys of a table that was large alone for seconds; a SCAN removes what
        // it finds expired.
        primary.cmd(&["SCAN", "0", "COUNT", "1000000"])?;
        let left = primary.cmd(&["DBSIZE"])?.int();
        ensure!(left == Some(0), "{left:?} are left");
        Ok(())
    })
}

/// What all nodes agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Equality {
    pub(crate) offset: u64,
    pub(crate) digest: String,
    pub(crate) keys: u64,
    pub(crate) took: Duration,
}

/// Asserts that all nodes hold the same data at the same offset. Nothing may be writing any more.
pub(crate) fn equal(nodes: &Nodes, primary: &Node) -> anyhow::Result<Equality> {
    let mut client = primary.client()?;
    wait_for_expiry(&mut client)?;
    // A digest may take longer than it is from one ping to the next, and each ping moves the offset.
    let pings =
        |client: &mut Client, seconds| client.cmd(&["CONFIG", "SET", "repl-ping-replica-period", seconds]);
    pings(&mut client, "3600")?;
    let equality = until("all nodes rest at one offset", || compare(nodes, primary));
    pings(&mut client, "10")?;
    equality?
}

/// An outer error: the nodes are not at rest, and nothing is known. An inner one: at rest, they differ.
fn compare(nodes: &Nodes, primary: &Node) -> anyhow::Result<anyhow::Result<Equality>> {
    let started = Instant::now();
    let before = same_offset(nodes, primary)?;
    let digests = digests(nodes)?;
    let took = started.elapsed();
    let offset = same_offset(nodes, primary)?;
    ensure!(before == offset, "the offset moved from {before} to {offset}");
    let [eu, one, two] = &digests;
    let same = assert(
        eu == one && eu == two,
        "all nodes have the same DEBUG DIGEST",
        format!("eu {eu}, us-1 {one}, us-2 {two}, all at offset {offset}"),
    );
    let keys = keyspace(&mut primary.client()?)?.iter().sum();
    let digest = eu.clone();
    Ok(same.map(|()| Equality {
        offset,
        digest,
        keys,
        took,
    }))
}

/// Of all nodes at once: each takes a while.
fn digests(nodes: &Nodes) -> anyhow::Result<[String; 3]> {
    let digest =
        |node: &Node| -> anyhow::Result<String> { Ok(node.client()?.cmd(&["DEBUG", "DIGEST"])?.text()) };
    let [one, two, three] = thread::scope(|scope| {
        let asked = nodes.all().map(|node| scope.spawn(move || digest(node)));
        asked.map(|asked| asked.join().map_err(|_| anyhow!("a digest panicked")))
    });
    Ok([one??, two??, three??])
}

/// The one offset of all nodes, whose links are up.
fn same_offset(nodes: &Nodes, primary: &Node) -> anyhow::Result<u64> {
    let mut offset = None;
    for node in nodes.all() {
        let info = node.client()?.info("replication")?;
        let field = |name: &str| info.get(name).map(String::as_str).unwrap_or_default();
        let (role, name) = if node.server.port() == primary.server.port() {
            ("master", "master_repl_offset")
        } else {
            ensure!(field("master_link_status") == "up", "{} has no link", node.name);
            ("slave", "slave_repl_offset")
        };
        ensure!(field("role") == role, "{} is no {role}", node.name);
        let reached: u64 = field(name)
            .parse()
            .with_context(|| format!("INFO has no {name}"))?;
        let expected = *offset.get_or_insert(reached);
        ensure!(
            reached == expected,
            "{} is at offset {reached}, another at {expected}",
            node.name
        );
    }
    offset.context("there are no nodes")
}
