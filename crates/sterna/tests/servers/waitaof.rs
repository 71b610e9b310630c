//! What `WAITAOF` at the primary means (I6): synced to this gateway's disk, or to those of the replica nodes.

use std::time::{Duration, Instant};

use sterna_testkit::{Engine, Server, digests_equal};

use crate::common::get;
use crate::support::{Link, url};

/// `WAITAOF` came with Redis 7.2 and Valkey 7.2.
const ENGINES: [&str; 2] = ["redis-8.0.2", "valkey-9.1"];

/// Those of the engines that `scripts/fetch-engines` has brought.
#[expect(clippy::print_stderr, reason = "a test that skips itself says so")]
fn engines() -> impl Iterator<Item = Engine> {
    ENGINES.into_iter().filter_map(|name| {
        let engine = Engine::named(name).ok();
        if engine.is_none() {
            eprintln!("skipped: run scripts/fetch-engines for {name}");
        }
        engine
    })
}

fn start(engine: &Engine, config: &[(&str, &str)]) -> Server {
    let builder = Server::builder().engine(engine.clone());
    let builder = config
        .iter()
        .fold(builder, |builder, (name, value)| builder.config(name, value));
    builder.start().expect("started")
}

/// Writes a key and waits until a replica has it on disk; how many have.
fn set_and_wait_aof(primary: &Server, key: &str, timeout_ms: &str) -> i64 {
    let mut client = primary.client();
    client.cmd(&["SET", key, "1"]).expect("written");
    let counts = client.cmd(&["WAITAOF", "0", "1", timeout_ms]).expect("WAITAOF");
    counts.array()[1].int().expect("a number")
}

#[test]
fn it_is_answered_when_the_gateway_has_synced_it() {
    for engine in engines() {
        let (primary, replica) = (start(&engine, &[]), start(&engine, &[]));
        let mut link = Link::new(url(&primary), &[&replica]).with(&["--acknowledge", "gateway"]);
        link.start_and_follow();
        let start = Instant::now();
        for round in 0..10 {
            assert_eq!(set_and_wait_aof(&primary, &format!("key:{round}"), "10000"), 1);
        }
        // With the acknowledgement once a second alone it would take about 10 s.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        digests_equal(&primary, &replica).expect("equal");
    }
}

#[test]
fn by_default_it_is_answered_when_the_replica_nodes_have_synced_it_and_never_where_they_have_no_aof() {
    for engine in engines() {
        let aof = [("appendonly", "yes"), ("appendfsync", "everysec")];
        let (primary, replica) = (start(&engine, &[]), start(&engine, &aof));
        let mut link = Link::new(url(&primary), &[&replica]);
        link.start_and_follow();
        for round in 0..3 {
            let key = format!("key:{round}");
            assert_eq!(set_and_wait_aof(&primary, &key, "10000"), 1);
            assert_eq!(get(&replica, &key).as_deref(), Some("1"), "{key}");
        }
        let set = ["CONFIG", "SET", "appendonly", "no"];
        replica.client().cmd(&set).expect("set");
        assert_eq!(set_and_wait_aof(&primary, "no-aof", "2500"), 0);
        let waited = primary.client().cmd(&["WAIT", "1", "10000"]).expect("WAIT");
        assert_eq!(waited.int().expect("a number"), 1, "it has applied it");
    }
}
