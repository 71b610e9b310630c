//! The primary freezes while a client stays with it: failover after the lease, and the rescue of what it took alone.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use bytes::BytesMut;
use sterna_harness::{GROUP, absent, keys};
use sterna_model::{Operation, OperationKind, Rescue, RescueKind};
use sterna_protocol::resp::{CommandReader, Incoming};
use sterna_testkit::workload::SequenceWriter;

use crate::assert::{DEADLINE, assert};
use crate::change::{self, Change};
use crate::killed::how_it_came_back;
use crate::node::Node;
use crate::nodes::{Demo, ORDERS};
use crate::stale_client::{self, Answers, StaleClient};
use crate::units::{count, took};
use crate::verify;

/// The second client sends so many writes at the moment of the freeze. The server stops while it carries them out, or
/// has them before it when it wakes up: it takes them before it looks whether its lease has run out.
const BURST: u64 = 300;
/// The rescue file, as the operator exports it.
const EXPORTED: &str = "rescued.resp";

/// SIGSTOP of the primary, failover, SIGCONT, rescue, rejoin.
pub(crate) fn freeze(demo: &Demo, application: &SequenceWriter) -> anyhow::Result<Change> {
    let Demo {
        nodes,
        gateway,
        timeline,
        ..
    } = demo;
    let (eu, new) = (&nodes.eu, &nodes.us[0]);
    verify::wait_for_expiry(&mut eu.client()?)?;
    let newest = gateway.newest(OperationKind::Rejoin)?.map(|rejoin| rejoin.id);
    let copies = eu.full_copies_taken();
    let lost_before = missing_orders(eu, application)?;
    let direct = StaleClient::start(eu.server.address())?;
    direct.wait_acknowledged(100)?;
    timeline.row(
        "write",
        "a second client writes to eu directly: it asks nobody, and does not wait for answers",
    );
    let frozen = Instant::now();
    direct.burst(BURST)?;
    eu.server.pause()?;
    timeline.row(
        "freeze",
        &format!(
            "SIGSTOP of eu, pid {}: its host still accepts connections, and what is sent waits there",
            eu.server.pid()
        ),
    );
    let back = application.wait_acknowledged_by(new.server.address(), frozen, DEADLINE)?;
    timeline.proven(
        "followed",
        &format!(
            "{} after the freeze the first order is acknowledged by us-1. Nobody can know what a silent primary does: us-1 was promoted only when eu's lease had surely run out",
            took(back.at - frozen)
        ),
    );
    application.wait_acknowledged(200, DEADLINE)?;
    let gap = application.longest_gap_since(frozen);
    let failover = gateway.wait_kind(OperationKind::Failover)?;
    change::tell(&failover, timeline)?;

    let woken = Instant::now();
    eu.server.resume()?;
    timeline.row(
        "wake up",
        "SIGCONT of eu: it takes what waits in its sockets for the writes of a primary",
    );
    gateway.wait_healthy()?;
    let rejoin = gateway.wait_kind(OperationKind::Rejoin)?;
    assert(
        Some(rejoin.id) > newest,
        "eu rejoins once more",
        format!("{rejoin:?}"),
    )?;
    let all = woken.elapsed();
    let how = how_it_came_back(eu.full_copies_taken() - copies);
    verify::refuses_writes(eu)?;
    timeline.proven(
        "rejoined",
        &format!(
            "{} after its awakening eu is a replica of us, {how}, after what only it had was saved",
            took(all)
        ),
    );
    let answers = direct.stop()?;
    let missing = Missing {
        direct: missing_direct(new, &answers)?,
        orders: missing_orders(new, application)?
            .difference(&lost_before)
            .copied()
            .collect(),
    };
    timeline.row("count", &tell_answers(&answers, &missing));
    let failover = gateway.operation(failover.id)?;
    rescued(demo, &failover, &missing)?;
    Ok(Change {
        what: "primary frozen",
        report: change::report(&failover)?.clone(),
        lost: missing.count(),
        lost_orders: missing.orders.len() as u64,
        gap,
        rejoined: how,
    })
}

/// Acknowledged writes that the new primary does not have.
#[derive(Debug)]
struct Missing {
    /// Those of the client that stayed with the old primary.
    direct: BTreeSet<u64>,
    /// Those of the application.
    orders: BTreeSet<u64>,
}

impl Missing {
    fn count(&self) -> u64 {
        (self.direct.len() + self.orders.len()) as u64
    }
}

fn missing_orders(node: &Node, application: &SequenceWriter) -> anyhow::Result<BTreeSet<u64>> {
    Ok(application.missing(&mut node.client()?)?.into_iter().collect())
}

fn missing_direct(node: &Node, answers: &Answers) -> anyhow::Result<BTreeSet<u64>> {
    let written = keys(stale_client::PREFIX, &answers.acknowledged);
    let missing = absent(&mut node.client()?, &written)?;
    Ok(numbers(stale_client::PREFIX, &missing))
}

/// The numbers n of the keys `<prefix>:<n>`.
fn numbers(prefix: &str, keys: &[String]) -> BTreeSet<u64> {
    let numbers = keys
        .iter()
        .filter_map(|key| key.strip_prefix(prefix)?.strip_prefix(':')?.parse().ok());
    numbers.collect()
}

fn tell_answers(answers: &Answers, missing: &Missing) -> String {
    let refusal = answers.refusal.as_deref().unwrap_or_default();
    let word = refusal.split(' ').next().unwrap_or_default();
    format!(
        "the second client sent {}: {} acknowledged, {} refused ({word})\n\
         of those acknowledged {} are not at us-1; of the application's orders {}",
        count(answers.sent),
        count(answers.acknowledged.len() as u64),
        count(answers.refused),
        count(missing.direct.len() as u64),
        count(missing.orders.len() as u64),
    )
}

/// Asserts that the rescue file holds exactly the acknowledged writes that are missing, and beside them nothing but what
/// the application had sent and given up on.
fn rescued(demo: &Demo, failover: &Operation, missing: &Missing) -> anyhow::Result<()> {
    let Demo {
        gateway,
        operator,
        timeline,
        ..
    } = demo;
    let report = change::report(failover)?;
    let all: Vec<Rescue> = gateway.rest.get(&format!("/rescues?group={GROUP}"))?;
    let mut ours = all
        .into_iter()
        .filter(|rescue| report.rpo.rescue == Some(rescue.id));
    let Some(rescue) = ours.next() else {
        assert(
            missing.count() == 0,
            "every acknowledged write that is missing is in a rescue file",
            format!("no rescue file, and {missing:?}"),
        )?;
        timeline.proven(
            "rescued",
            "nothing: eu shut itself before it took a write of its own",
        );
        return Ok(());
    };
    operator.show(&["rescue", "list"], 6, timeline)?;
    let id = rescue.id.to_string();
    operator.show(&["rescue", "show", &id], 16, timeline)?;
    let exported = demo.dir.join(EXPORTED);
    let to = exported.to_string_lossy();
    operator.show(&["rescue", "export", &id, "--to", &to], 2, timeline)?;
    let keys = keys_in(&fs::read(&exported)?)?;
    let unanswered = compare(&rescue, &keys, missing)?;
    let commands = keys.len() as u64;
    assert(
        report.rpo.commands == Some(commands),
        "the failover's report says how many commands were left behind",
        format!("{:?}, and {commands} in the file", report.rpo),
    )?;
    let given_up = match unanswered {
        0 => String::new(),
        n => format!(" + {n} that the application sent and got no answer to"),
    };
    timeline.proven(
        "rescued",
        &format!(
            "{} commands in the file = the {} acknowledged writes that are missing{given_up}\n\
             the report of operation {} now says: RPO {}",
            count(commands),
            count(missing.count()),
            failover.id,
            change::rpo(report),
        ),
    );
    Ok(())
}

/// Compares what the file holds with what is missing; returns how many other orders it holds.
fn compare(rescue: &Rescue, keys: &[String], missing: &Missing) -> anyhow::Result<usize> {
    let (direct, orders) = (numbers(stale_client::PREFIX, keys), numbers(ORDERS, keys));
    let found = || {
        format!(
            "{} direct writes and {} orders among {} keys in {rescue:?}; {missing:?}",
            direct.len(),
            orders.len(),
            keys.len()
        )
    };
    let summary = rescue.summary.as_ref().map(|summary| summary.commands);
    assert(
        rescue.kind == RescueKind::Commands && summary == Some(keys.len() as u64),
        "the file holds as many commands as its summary says",
        found(),
    )?;
    assert(
        direct == missing.direct && orders.is_superset(&missing.orders),
        "the file holds every acknowledged write that is missing, and no other of the second client",
        found(),
    )?;
    assert(
        direct.len() + orders.len() == keys.len(),
        "nothing else is in the file but orders",
        found(),
    )?;
    Ok(orders.len() - missing.orders.len())
}

/// The key of every whole `SET` in a file of commands.
fn keys_in(file: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut reader = CommandReader::new();
    let mut input = BytesMut::from(file);
    let mut keys = Vec::new();
    while let Some(incoming) = reader.next(&mut input)? {
        let Incoming::Command(args) = incoming else {
            continue;
        };
        match &args[..] {
            [name, ..] if name.eq_ignore_ascii_case(b"SELECT") => {}
            [name, key, _] if name.eq_ignore_ascii_case(b"SET") => {
                keys.push(String::from_utf8_lossy(key).into_owned());
            }
            other => anyhow::bail!("the rescue file holds {other:?}, which nobody wrote"),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_commands_are_read() {
        let file = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nset\r\n$8\r\ndirect:7\r\n$1\r\nx\r\n";
        assert_eq!(keys_in(file).unwrap(), ["direct:7"]);
        assert_eq!(keys_in(&file[..file.len() - 3]).unwrap(), [""; 0]);
        assert!(keys_in(b"*1\r\n$8\r\nFLUSHALL\r\n").is_err());
    }
}
