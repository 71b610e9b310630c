//! The workload against real pairs of servers, replicated natively: what Sterna must match.
//!
//! `STERNA_SEED=<n>` runs another seed than the usual one.

use std::env;
use std::time::Duration;

use sterna_testkit::compare::{offset, wait_same_offset};
use sterna_testkit::fill::{fill_keys, fill_mixed, stream_sets};
use sterna_testkit::workload::{Options, Rate, SequenceWriter};
use sterna_testkit::{Engine, Server, Workload, digests_equal, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::default()];
    engines.extend(Engine::installed());
    engines
}

fn seed() -> u64 {
    env::var("STERNA_SEED").map_or(11, |text| text.parse().expect("STERNA_SEED is a number"))
}

/// A primary with a replica that is in step with it.
fn pair(primary: &Engine, replica: &Engine) -> (Server, Server) {
    let first = Server::builder()
        .engine(primary.clone())
        .start()
        .expect("a primary");
    let second = Server::builder()
        .engine(replica.clone())
        .replica_of(&first)
        .start()
        .expect("a replica");
    second.wait_link_up();
    (first, second)
}

#[test]
fn native_replicas_are_equal_after_the_whole_workload() {
    for engine in engines() {
        let (primary, replica) = pair(&engine, &engine);
        let mut workload = Workload::new(seed(), Options::for_engine(&engine));
        let summary = workload.run(&mut primary.client(), 20_000).unwrap();
        let wrong: u64 = summary.errors.values().sum();
        assert!(wrong < summary.commands / 8, "{}: {summary:?}", engine.name);
        digests_equal(&primary, &replica).unwrap_or_else(|error| panic!("{}: {error:#}", engine.name));
        let info = primary.client().info("").unwrap();
        assert_ne!(info["expired_keys"], "0", "nothing expired");
        assert!(
            info.keys().filter(|name| name.starts_with("db")).count() > 5,
            "{info:?}"
        );
        // One that comes later gets it all as a snapshot.
        let late = Server::builder()
            .engine(engine)
            .replica_of(&primary)
            .start()
            .unwrap();
        late.wait_link_up();
        digests_equal(&primary, &late).unwrap();
    }
}

#[test]
fn a_replica_of_the_engine_under_test_is_equal_to_its_primary() {
    let (old, new) = (Engine::default(), Engine::replica());
    let (primary, replica) = pair(&old, &new);
    let mut workload = Workload::new(seed(), Options::for_engines(&[&old, &new]));
    workload.run(&mut primary.client(), 20_000).unwrap();
    digests_equal(&primary, &replica).unwrap_or_else(|error| panic!("{} {}: {error:#}", old.name, new.name));
}

#[test]
fn big_values_reach_a_replica_whole() {
    let engine = Engine::default();
    let (primary, replica) = pair(&engine, &engine);
    let options = Options::for_engine(&engine).with_big_values(200 << 20);
    let mut workload = Workload::new(seed(), options);
    let mut client = primary.client();
    while offset(&mut client).unwrap() < 50 << 20 {
        workload.run(&mut client, 2000).unwrap();
    }
    digests_equal(&primary, &replica).unwrap();
}

#[test]
fn a_background_writer_goes_on_after_a_crash_and_stops() {
    let engine = Engine::default();
    let mut primary = Server::builder().password("secret").start().unwrap();
    let options = Options::for_engine(&engine);
    let writer = Workload::new(seed(), options)
        .spawn(primary.connector(), Rate::PerSecond(5000), u64::MAX)
        .unwrap();
    writer.wait_acknowledged(1000, SOON).unwrap();
    primary.kill9();
    wait_until(SOON, "the writer to notice", || !writer.errors().is_empty());
    primary.restart().unwrap();
    writer.wait_acknowledged(1000, SOON).unwrap();
    let acknowledged = writer.stop().unwrap();
    assert!(acknowledged >= 2000);
    // It has stopped: the database changes by expiry alone.
    let commands = || {
        primary
            .client()
            .info_field("commandstats", "cmdstat_multi")
            .unwrap_or_default()
    };
    assert_eq!(commands(), commands());
}

#[test]
fn a_writer_ends_at_its_cap_and_keeps_its_rate() {
    let primary = Server::start();
    let start = std::time::Instant::now();
    let writer = SequenceWriter::spawn("n", primary.connector(), Rate::PerSecond(1000), 300).unwrap();
    wait_until(SOON, "all writes", || writer.acknowledged() == 300);
    assert!(
        start.elapsed() >= Duration::from_millis(290),
        "{:?}",
        start.elapsed()
    );
    writer.stop().unwrap();
    assert_eq!(primary.client().cmd(&["DBSIZE"]).unwrap().int(), Some(300));
}

#[test]
fn lost_writes_and_the_outage_are_known_exactly() {
    let mut primary = Server::start();
    let writer = SequenceWriter::spawn("n", primary.connector(), Rate::Unlimited, u64::MAX).unwrap();
    writer.wait_acknowledged(100, SOON).unwrap();
    primary.client().cmd(&["SAVE"]).unwrap();
    writer.wait_acknowledged(50, SOON).unwrap();
    primary.kill9();
    let at_crash = writer.acknowledged();
    wait_until(SOON, "the writer to notice", || !writer.errors().is_empty());
    primary.restart().unwrap();
    writer.wait_acknowledged(10, SOON).unwrap();
    writer.stop().unwrap();
    let mut client = primary.client();
    let missing = writer.missing(&mut client).unwrap();
    let kept = client.cmd(&["DBSIZE"]).unwrap().int().unwrap();
    assert!(missing.len() >= 50, "what came after SAVE is lost: {missing:?}");
    assert_eq!(
        u64::try_from(kept).unwrap() + missing.len() as u64,
        writer.acknowledged()
    );
    assert!(at_crash >= 150 && writer.longest_gap() > Duration::from_millis(5));
}

#[test]
fn fillers_fill_what_they_say() {
    let engine = Engine::default();
    let (primary, replica) = pair(&engine, &engine);
    let mut client = primary.client();
    let filled = fill_keys(&mut client, 20_000, 100).unwrap();
    assert_eq!(filled.commands, 20_000);
    assert_eq!(client.cmd(&["DBSIZE"]).unwrap().int(), Some(20_000));
    assert_eq!(
        client.cmd(&["STRLEN", "key:000000019999"]).unwrap().int(),
        Some(100)
    );
    let streamed = stream_sets(&mut client, 10_000_000, 1000).unwrap();
    assert!((10_000_000..10_002_000).contains(&streamed.bytes), "{streamed:?}");
    let mixed = fill_mixed(&mut client, 10_000_000).unwrap();
    assert!((10_000_000..11_100_000).contains(&mixed.bytes), "{mixed:?}");
    for (kind, least) in [
        ("string", 1000),
        ("hash", 100),
        ("list", 100),
        ("set", 100),
        ("zset", 100),
        ("stream", 5),
    ] {
        let reply = client
            .cmd(&["SCAN", "0", "TYPE", kind, "COUNT", "100000"])
            .unwrap();
        assert!(reply.array()[1].array().len() > least, "few of {kind}");
    }
    wait_same_offset(&mut client, &mut replica.client(), SOON).unwrap();
    digests_equal(&primary, &replica).unwrap();
}
