//! Key by key: value, type, expiry times of the key and of the fields of a hash, and the consumer groups of streams.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use super::NAMED_MAX;
use crate::client::{Client, Reply};

/// Keys that are looked at in one pipeline.
const BATCH: usize = 1000;

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Found {
    named: Vec<String>,
    total: u64,
    compared: u64,
    /// Sorted sets that are equal although their digests are not.
    pub(super) printed_otherwise: u64,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn add(&mut self, text: impl FnOnce() -> String) {
        self.total += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(text());
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} keys differ", self.total, self.compared)?;
        for line in &self.named {
            writeln!(f, "  {line}")?;
        }
        let unnamed = self.total - self.named.len() as u64;
        if unnamed > 0 {
            writeln!(f, "  and {unnamed} more")
        } else {
            Ok(())
        }
    }
}

/// All that is compared about a key.
#[derive(PartialEq, Eq)]
struct Entry {
    digest: String,
    kind: String,
    expires_ms: i64,
    /// Those of a hash's fields, which Valkey leaves out of its digests.
    field_ttls: String,
    groups: String,
}

/// The databases that hold keys, with their number of keys.
pub(super) fn databases(client: &mut Client) -> Result<BTreeMap<u32, u64>> {
    let mut found = BTreeMap::new();
    for (name, value) in client.info("keyspace")? {
        let Some(number) = name.strip_prefix("db") else {
            continue;
        };
        let keys = value.split(',').find_map(|field| field.strip_prefix("keys="));
        let keys = keys.with_context(|| format!("no number of keys in {value:?}"))?;
        found.insert(number.parse()?, keys.parse()?);
    }
    Ok(found)
}

/// Compares every key that either of the two has.
pub(super) fn compare(one: &mut Client, other: &mut Client) -> Result<Found> {
    let mut found = Found::default();
    let mut numbers: BTreeSet<u32> = databases(one)?.into_keys().collect();
    numbers.extend(databases(other)?.into_keys());
    for number in numbers {
        for client in [&mut *one, &mut *other] {
            client.cmd(&["SELECT", &number.to_string()])?;
        }
        let mut keys = scan(one)?;
        keys.extend(scan(other)?);
        let keys: Vec<Vec<u8>> = keys.into_iter().collect();
        for batch in keys.chunks(BATCH) {
            let entries = (entries(one, batch)?, entries(other, batch)?);
            for (key, (left, right)) in batch.iter().zip(entries.0.iter().zip(&entries.1)) {
                found.compared += 1;
                if left == right {
                    continue;
                }
                if is_equal_sorted_set([&mut *one, &mut *other], key, left, right)? {
                    found.printed_otherwise += 1;
                } else {
                    let sides = (describe(one, key, left)?, describe(other, key, right)?);
                    found.add(|| format!("db{number} \"{}\": {} | {}", key.escape_ascii(), sides.0, sides.1));
                }
            }
        }
    }
    for client in [one, other] {
        client.cmd(&["SELECT", "0"])?;
    }
    Ok(found)
}

/// Whether two sorted sets differ only in how their scores are printed, which is what digests are made of: versions print
/// more or fewer digits, and the sign of a zero is lost where a small sorted set is packed.
fn is_equal_sorted_set(clients: [&mut Client; 2], key: &[u8], left: &Entry, right: &Entry) -> Result<bool> {
    if left.kind != "zset" || right.kind != "zset" || left.expires_ms != right.expires_ms {
        return Ok(false);
    }
    let [one, other] = clients;
    Ok(scores(one, key)? == scores(other, key)?)
}

/// The members of a sorted set with their scores.
fn scores(client: &mut Client, key: &[u8]) -> Result<Vec<(Reply, f64)>> {
    let reply = client.cmd(&[b"ZRANGE".as_slice(), key, b"0", b"-1", b"WITHSCORES"])?;
    let pair = |pair: &[Reply]| Ok((pair[0].clone(), pair[1].text().parse()?));
    reply.array().chunks_exact(2).map(pair).collect()
}

/// All keys of the selected database.
fn scan(client: &mut Client) -> Result<BTreeSet<Vec<u8>>> {
    let mut keys = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = client.cmd(&["SCAN", &cursor, "COUNT", "1000"])?;
        let [next, page] = reply.array() else {
            anyhow::bail!("SCAN answered {reply:?}")
        };
        keys.extend(page.array().iter().filter_map(|key| Some(key.bytes()?.to_vec())));
        cursor = next.text();
        if cursor == "0" {
            return Ok(keys);
        }
    }
}

fn entries(client: &mut Client, keys: &[Vec<u8>]) -> Result<Vec<Entry>> {
    for key in keys {
        client.send(&[b"DEBUG", b"DIGEST-VALUE".as_slice(), key]);
        client.send(&[b"TYPE".as_slice(), key]);
        client.send(&[b"PEXPIRETIME".as_slice(), key]);
    }
    client.flush()?;
    let mut entries = Vec::with_capacity(keys.len());
    for _ in keys {
        let digest = client.receive()?;
        ensure!(!digest.is_error(), "DEBUG DIGEST-VALUE: {digest:?}");
        let kind = client.receive()?.text();
        // Before 7.0 there is no PEXPIRETIME; then nothing is compared.
        let expires_ms = client.receive()?.int().unwrap_or(-1);
        let digest = digest.array().first().map(Reply::text).unwrap_or_default();
        entries.push(Entry {
            digest,
            kind,
            expires_ms,
            field_ttls: String::new(),
            groups: String::new(),
        });
    }
    for (key, entry) in keys.iter().zip(&mut entries) {
        match entry.kind.as_str() {
            "stream" => entry.groups = groups(client, key)?,
            "hash" => entry.field_ttls = field_ttls(client, key)?,
            _ => {}
        }
    }
    Ok(entries)
}

/// Which fields of a hash expire, and when; empty where none does, and before Redis 7.4 and Valkey 9, where none can.
fn field_ttls(client: &mut Client, key: &[u8]) -> Result<String> {
    let mut fields: Vec<Vec<u8>> = client
        .cmd(&[b"HKEYS".as_slice(), key])?
        .array()
        .iter()
        .filter_map(|field| Some(field.bytes()?.to_vec()))
        .collect();
    fields.sort_unstable();
    let mut found = String::new();
    for batch in fields.chunks(BATCH) {
        let count = batch.len().to_string();
        let mut command = vec![b"HPEXPIRETIME".as_slice(), key, b"FIELDS", count.as_bytes()];
        command.extend(batch.iter().map(Vec::as_slice));
        let times = client.raw(&command)?;
        for (field, time) in batch.iter().zip(times.array()) {
            if let Some(at_ms) = time.int().filter(|at_ms| *at_ms >= 0) {
                write!(found, "{}:{at_ms} ", field.escape_ascii())?;
            }
        }
    }
    Ok(found)
}

/// A stream's groups with consumers and pending entries, without what native replication leaves a node's own: when a
/// consumer was last seen, the counter of entries read, and consumers with nothing pending (`XCLAIM` and `XAUTOCLAIM`
/// make one without telling the replicas).
fn groups(client: &mut Client, key: &[u8]) -> Result<String> {
    let reply = client.raw(&[b"XINFO".as_slice(), b"STREAM", key, b"FULL", b"COUNT", b"0"])?;
    let groups = field(&reply, "groups")
        .map(|groups| format!("{:?}", without_local(groups)))
        .unwrap_or_default();
    let last = field(&reply, "last-generated-id")
        .map(Reply::text)
        .unwrap_or_default();
    Ok(format!("last {last} {groups}"))
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a Reply> {
    let fields = reply.array();
    fields
        .chunks(2)
        .find(|pair| pair[0].text() == name)
        .and_then(|pair| pair.get(1))
}

fn without_local(reply: &Reply) -> Reply {
    const LOCAL: [&str; 4] = ["seen-time", "active-time", "entries-read", "lag"];
    let Reply::Array(items) = reply else {
        return reply.clone();
    };
    let mut kept = Vec::new();
    let mut items = items.iter();
    while let Some(item) = items.next() {
        let name = item.text();
        if LOCAL.contains(&name.as_str()) {
            items.next();
        } else if name == "consumers" {
            let busy = items
                .next()
                .map(Reply::array)
                .unwrap_or_default()
                .iter()
                .filter(|consumer| is_busy(consumer));
            kept.extend(busy.map(without_local));
        } else {
            kept.push(without_local(item));
        }
    }
    Reply::Array(kept)
}

fn is_busy(consumer: &Reply) -> bool {
    field(consumer, "pending").is_some_and(|pending| !pending.array().is_empty())
}

/// One side of a difference, in a few words.
fn describe(client: &mut Client, key: &[u8], entry: &Entry) -> Result<String> {
    if entry.kind == "none" {
        return Ok("missing".to_owned());
    }
    let (command, unit) = match entry.kind.as_str() {
        "string" => ("STRLEN", "bytes"),
        "list" => ("LLEN", "items"),
        "set" => ("SCARD", "members"),
        "zset" => ("ZCARD", "members"),
        "hash" => ("HLEN", "fields"),
        "stream" => ("XLEN", "entries"),
        _ => ("EXISTS", "key"),
    };
    let size = client.raw(&[command.as_bytes(), key])?.text();
    let mut text = format!("{} of {size} {unit}", entry.kind);
    if entry.kind == "string" {
        let start = client.raw(&[b"GETRANGE".as_slice(), key, b"0", b"39"])?;
        write!(text, " {start:?}")?;
    }
    if entry.kind == "zset" {
        let start = client.raw(&[b"ZRANGE".as_slice(), key, b"0", b"3", b"WITHSCORES"])?;
        write!(text, " {start:?}")?;
    }
    if entry.expires_ms >= 0 {
        write!(text, " expires {}", entry.expires_ms)?;
    }
    if !entry.field_ttls.is_empty() {
        write!(
            text,
            " fields expire {}",
            entry.field_ttls.chars().take(200).collect::<String>()
        )?;
    }
    if !entry.groups.is_empty() {
        write!(text, " {}", entry.groups.chars().take(200).collect::<String>())?;
    }
    write!(
        text,
        " digest {}",
        entry.digest.chars().take(8).collect::<String>()
    )?;
    Ok(text)
}
