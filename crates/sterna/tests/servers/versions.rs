//! Servers of different versions: a copy is written for the weakest of those that load it, and nobody is emptied for one
//! that it can't load.

use sterna_testkit::{Engine, Server, digests_equal, wait_until};

use crate::common::{Footprint, fill, get, refuses};
use crate::support::{DEADLINE, Link, url};

const REFUSED: i32 = 3;

/// One of the engines that `scripts/fetch-engines` brings.
#[expect(clippy::print_stderr, reason = "a test that skips itself says so")]
fn start(name: &str) -> Option<Server> {
    let Ok(engine) = Engine::named(name) else {
        eprintln!("skipped: run scripts/fetch-engines for {name}");
        return None;
    };
    let server = Server::builder().engine(engine).config("save", "3600 1");
    Some(server.start().expect("started"))
}

fn expire_a_field(server: &Server) {
    let mut client = server.client();
    client.cmd(&["HSET", "hash", "a", "1", "b", "2"]).expect("set");
    let command = ["HPEXPIREAT", "hash", "33177117420000", "FIELDS", "1", "b"];
    client.cmd(&command).expect("set");
}

/// Without an announced version a Valkey 9 writes a format that has no place for them, and its child fails.
#[test]
fn a_hash_field_that_expires_is_copied_from_a_valkey_9() {
    let (Some(primary), Some(replica)) = (start("valkey-9.1"), start("valkey-9.1")) else {
        return;
    };
    expire_a_field(&primary);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    digests_equal(&primary, &replica).expect("equal");
    let log = primary.log();
    assert!(!log.contains("SYNC failed"), "{log}");
}

#[test]
fn one_copy_of_a_valkey_9_is_for_the_oldest_of_its_replicas() {
    let (Some(primary), Some(new), Some(old)) =
        (start("valkey-9.1"), start("valkey-9.1"), start("valkey-8.1.1"))
    else {
        return;
    };
    fill(&primary, "key", 500);
    let mut link = Link::new(url(&primary), &[&new, &old]);
    link.start_and_follow();
    digests_equal(&primary, &new).expect("equal");
    digests_equal(&primary, &old).expect("equal");
    let checks = link.events("check");
    let told = |check: &serde_json::Value| {
        check["detail"]
            .as_str()
            .is_some_and(|text| text.contains("for all targets is RDB 11"))
    };
    assert!(checks.iter().any(told), "{checks:?}");
    // Fields that expire have no place in what the older one loads.
    assert_eq!(link.interrupt(), 0);
    expire_a_field(&primary);
    let other = start("valkey-8.1.1").expect("it is there");
    let words = ["hash fields that expire", "RDB 11"];
    refuses(
        Link::new(url(&primary), &[&other]),
        &[&primary, &other],
        REFUSED,
        &words,
    );
}

/// It can't load what the new version writes, and would be empty.
#[test]
fn a_primary_that_was_upgraded_first_holds_the_copy_until_the_replica_is_upgraded_too() {
    let (Some(mut primary), Some(mut replica)) = (start("redis-7.0.15"), start("redis-7.0.15")) else {
        return;
    };
    let Ok(new) = Engine::named("redis-8.0.2") else {
        return;
    };
    fill(&primary, "key", 500);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    digests_equal(&primary, &replica).expect("equal");
    let before = Footprint::of(&replica);
    link.process().pause().expect("paused");
    primary.stop_gracefully(true).expect("stopped");
    primary.upgrade(new.clone()).expect("upgraded");
    // Its backlog no longer reaches back to what the log holds.
    let mut client = primary.client();
    client
        .cmd(&["CONFIG", "SET", "repl-backlog-size", "16384"])
        .expect("set");
    client.cmd(&["SET", "large", &"x".repeat(100_000)]).expect("set");
    link.process().resume().expect("resumed");
    let held = link.wait_for("full-sync-held");
    assert_eq!(held["obstacle"]["obstacle"], "rdb-version", "{held}");
    let reason = held["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("Redis 8.0.2 writes RDB 12, Redis 7.0.15 loads up to RDB 10"),
        "{held}"
    );
    assert_eq!(
        before.data(),
        Footprint::of(&replica).data(),
        "the node was emptied"
    );
    replica.stop_gracefully(true).expect("stopped");
    replica.upgrade(new).expect("upgraded");
    wait_until(DEADLINE, "the upgraded node to have the copy", || {
        let found = get(&replica, "large").map(|value| value.len());
        (found == Some(100_000))
            .then_some(())
            .ok_or(link.process().tail())
    });
    digests_equal(&primary, &replica).expect("equal");
}
