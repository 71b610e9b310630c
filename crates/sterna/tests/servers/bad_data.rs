//! A primary that sends what can't be right: once is an accident that is repaired, again and again is said and ends.

use sterna_testkit::peers::{Psync, RdbForm, Session, rdb};
use sterna_testkit::{Direction, Engine, EngineKind, Proxy, ScriptedPrimary, Server, digests_equal};

use crate::common::{Footprint, ends_with, fill, fill_kib, full_syncs, get, replica_node, role};
use crate::support::{DEADLINE, Link};

const BAD_DATA: i32 = 6;
const HISTORY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Where the scripted primaries are, and their snapshots stand.
const AT: u64 = 100_000;
/// In a snapshot of 4 MiB; not early in it, where the answers to `INFO` pass too, on other connections.
const LATE_IN_THE_SNAPSHOT: u64 = 7 << 19;

/// A primary whose stream is silent, and its snapshots are up to the script.
fn primary(
    snapshot: impl Fn(&mut Session, &Psync) -> anyhow::Result<()> + Send + Sync + 'static,
) -> ScriptedPrimary {
    scripted(move |session, psync| {
        if psync.id == HISTORY {
            session.resume(HISTORY)?;
            return session.until_hang_up();
        }
        snapshot(session, psync)
    })
}

/// A primary with a backlog that continues whoever asks.
fn scripted(
    script: impl Fn(&mut Session, &Psync) -> anyhow::Result<()> + Send + Sync + 'static,
) -> ScriptedPrimary {
    saying(&[], script)
}

/// The same, with more that it says of itself.
fn saying(
    fields: &[(&str, &str)],
    script: impl Fn(&mut Session, &Psync) -> anyhow::Result<()> + Send + Sync + 'static,
) -> ScriptedPrimary {
    let mut builder = ScriptedPrimary::builder()
        .info("master_repl_offset", &AT.to_string())
        .info("repl_backlog_active", "1")
        .info("repl_backlog_first_byte_offset", "1");
    for (name, value) in fields {
        builder = builder.info(name, value);
    }
    let engine = Engine::default();
    if engine.kind == EngineKind::Valkey {
        builder = builder
            .info("server_name", "valkey")
            .info("valkey_version", &engine.version.to_string());
    }
    builder.start(script).expect("a scripted primary")
}

/// A snapshot of some size.
fn snapshot() -> Vec<u8> {
    let values: Vec<_> = (0..60_u8).map(|key| ([b'k', key], [key; 2000])).collect();
    let strings: Vec<_> = values.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    rdb::with_strings(rdb::VERSION, &strings)
}

/// The link ends as it must, and its target, which never got a copy, is what it was.
#[track_caller]
fn ends_and_gives_the_target_back(primary: &ScriptedPrimary, words: &[&str]) {
    let target = Server::builder()
        .engine(Engine::replica())
        .config("masterauth", "its-own")
        .config("masteruser", "somebody")
        .start()
        .expect("started");
    fill(&target, "precious", 100);
    let before = Footprint::of(&target);
    let from = format!("redis://{}", primary.address());
    let mut link = Link::new(from, &[&target]).with(&["--overwrite"]);
    link.start();
    ends_with(&link, BAD_DATA, words);
    assert_eq!(before, Footprint::of(&target), "the target was changed");
    assert_eq!(link.events("replica-online").len(), 0);
}

#[test]
fn a_snapshot_that_always_breaks_off_at_the_same_place() {
    for form in [RdbForm::Length, RdbForm::Mark(vec![b'e'; 40])] {
        let primary = primary(move |session, psync| {
            let rdb = snapshot();
            let header = match &form {
                RdbForm::Length => format!("${}\r\n", rdb.len()),
                RdbForm::Mark(mark) => format!("$EOF:{}\r\n", String::from_utf8_lossy(mark)),
            };
            let at = AT + 14 * psync.before as u64;
            session.send(format!("+FULLRESYNC {HISTORY} {at}\r\n{header}"))?;
            session.send(&rdb[..rdb.len() / 2])
        });
        ends_and_gives_the_target_back(&primary, &["snapshot", "breaks off"]);
    }
}

/// Nothing came of it at all: the primary is asked how it is.
#[test]
fn a_primary_that_closes_in_place_of_a_snapshot_and_why() {
    let primary = saying(&[("rdb_last_bgsave_status", "err")], |session, psync| {
        if psync.id == HISTORY {
            session.resume(HISTORY)?;
            return session.until_hang_up();
        }
        session.send(format!("+FULLRESYNC {HISTORY} {AT}\r\n"))
    });
    let words = [
        "breaks off after 0 bytes",
        "its background save failed. Its own log says why",
    ];
    ends_and_gives_the_target_back(&primary, &words);
}

#[test]
fn a_snapshot_whose_checksum_is_always_wrong() {
    for form in [RdbForm::Length, RdbForm::Mark(vec![b'e'; 40])] {
        let primary = primary(move |session, psync| {
            let mut rdb = snapshot();
            let middle = rdb.len() / 2;
            rdb[middle] ^= 1;
            session.full_resync(HISTORY, AT + 14 * psync.before as u64, &rdb, &form)?;
            session.until_hang_up()
        });
        ends_and_gives_the_target_back(&primary, &["bytes that can't be right", "checksum"]);
    }
}

#[test]
fn a_snapshot_that_is_none() {
    let primary = primary(|session, _| {
        session.full_resync(HISTORY, AT, b"<html>no RDB at all</html>", &RdbForm::Length)?;
        session.until_hang_up()
    });
    ends_and_gives_the_target_back(&primary, &["bytes that can't be right", "RDB"]);
}

#[test]
fn a_snapshot_without_the_announcement_of_one() {
    let primary = primary(|session, _| {
        session.send(format!("+FULLRESYNC {HISTORY} {AT}\r\n"))?;
        session.send("HTTP/1.1 400 Bad Request\r\n\r\n")?;
        session.until_hang_up()
    });
    ends_and_gives_the_target_back(&primary, &["bytes that can't be right", "HTTP/1.1"]);
}

#[test]
fn garbage_in_the_stream_reaches_no_replica() {
    let primary = scripted(|session, psync| {
        if psync.id != HISTORY {
            let rdb = rdb::with_strings(rdb::VERSION, &[(b"copied", b"1")]);
            session.full_resync(HISTORY, AT, &rdb, &RdbForm::Length)?;
            return session.until_hang_up();
        }
        session.resume(HISTORY)?;
        if psync.before == 0 {
            // When the replica has loaded its copy.
            session.wait_ack(AT, DEADLINE)?;
            session.send_command(&["SELECT", "0"])?;
            session.send_command(&["SET", "streamed", "1"])?;
        }
        session.send("*2\r\n$3\r\nDEL\r\n$999999999999\r\ncopied\r\n")?;
        session.until_hang_up()
    });
    let target = replica_node();
    let mut link = Link::new(format!("redis://{}", primary.address()), &[&target]);
    link.start();
    let words = ["bytes that can't be right", "offset", "was not touched by it"];
    ends_with(&link, BAD_DATA, &words);
    assert_eq!(link.events("replica-full-sync").len(), 1);
    assert_eq!(get(&target, "copied").as_deref(), Some("1"));
    assert_eq!(get(&target, "streamed").as_deref(), Some("1"));
    assert_eq!(role(&target), "slave", "it has the copy and stays a replica");
}

#[test]
fn a_byte_that_was_flipped_once_on_the_way_costs_one_more_copy() {
    let (primary, target) = (Server::start(), replica_node());
    fill_kib(&primary, "noise", 4096);
    fill(&target, "old", 10);
    let proxy = Proxy::start(primary.address()).expect("a proxy");
    proxy.corrupt_after(LATE_IN_THE_SNAPSHOT, Direction::ToClient);
    let mut link = Link::new(format!("redis://{}", proxy.address()), &[&target]).with(&["--overwrite"]);
    link.start_and_follow();
    assert_eq!(full_syncs(&primary), 2, "{}", link.process().tail());
    assert_eq!(link.events("full-sync-received").len(), 1);
    digests_equal(&primary, &target).expect("equal");
}

#[test]
fn a_connection_that_breaks_in_the_snapshot_costs_one_more_copy() {
    let (primary, target) = (Server::start(), replica_node());
    fill_kib(&primary, "noise", 4096);
    let proxy = Proxy::start(primary.address()).expect("a proxy");
    proxy.truncate_after(LATE_IN_THE_SNAPSHOT, Direction::ToClient);
    let mut link = Link::new(format!("redis://{}", proxy.address()), &[&target]);
    link.start_and_follow();
    assert_eq!(full_syncs(&primary), 2, "{}", link.process().tail());
    digests_equal(&primary, &target).expect("equal");
}
