//! Replica nodes, each at its own pace: a slow one, a late one, one that was away, one that was killed.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use sterna_testkit::{Engine, Proxy, Server, digests_equal, reserve_port, wait_until};

use crate::common::{fill, fill_kib, full_syncs, offset, replica_node, save, wait_log_reaches};
use crate::support::{DEADLINE, Link, url};

fn relay(link: &Link) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, link.relay_port).into()
}

/// A node that a person attaches with REPLICAOF, by way of `at`.
fn attach_by_hand(link: &Link, at: SocketAddr) -> Server {
    let builder = Server::builder()
        .engine(Engine::replica())
        .replica_of_address(at)
        .config("masteruser", "sterna");
    let builder = builder.config("masterauth", &link.secret());
    builder.start().expect("started")
}

/// The newest status.
fn status(link: &Link) -> Value {
    link.events("status").pop().expect("a status")
}

/// Waits until a status says so.
fn wait_status(link: &Link, what: &str, says: impl Fn(&Value) -> bool) -> Value {
    wait_until(DEADLINE, what, || {
        let status = status(link);
        if says(&status) { Ok(status) } else { Err(status) }
    })
}

#[test]
fn a_slow_replica_does_not_hold_up_a_quick_one_nor_take_memory() {
    const TAIL: u64 = 1 << 20;
    let (primary, quick) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let mut link = Link::new(url(&primary), &[&quick]).with(&["--tail-bytes", "1MiB"]);
    link.start_and_follow();
    let far = Proxy::start(relay(&link)).expect("a proxy");
    let slow = attach_by_hand(&link, far.address());
    slow.wait_link_up();
    far.throttle(Some(256 << 10));
    fill_kib(&primary, "noise", 24 << 10);
    digests_equal(&primary, &quick).expect("equal");
    let behind = wait_status(&link, "one up to date and one behind", |status| {
        let replicas = status["replicas"].as_array().expect("a list");
        let lags: Vec<_> = replicas
            .iter()
            .filter_map(|replica| replica["lag_bytes"].as_u64())
            .collect();
        lags.len() == 2 && lags.contains(&0) && lags.iter().any(|lag| *lag > 8 << 20)
    });
    assert!(
        behind["lag_bytes"].as_u64() > Some(8 << 20),
        "the slowest one counts: {behind}"
    );
    let held = behind["memory_bytes"].as_u64().expect("a number");
    assert!(held <= TAIL + (4 << 20), "{held} bytes in memory");
    far.throttle(None);
    digests_equal(&primary, &slow).expect("equal");
    let caught_up = wait_status(&link, "no lag", |status| status["lag_bytes"] == 0);
    assert!(
        caught_up["counters"]["disk_read_bytes"].as_u64() > Some(8 << 20),
        "{caught_up}"
    );
    assert_eq!(link.events("replica-full-sync").len(), 2);
    assert_eq!(link.events("replica-gone").len(), 0);
    assert_eq!(full_syncs(&primary), 1, "one copy for both");
}

#[test]
fn a_target_that_is_added_later_gets_a_copy_and_the_first_one_continues() {
    let (primary, first, second) = (Server::start(), replica_node(), replica_node());
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&first]);
    link.start_and_follow();
    fill(&primary, "more", 1000);
    digests_equal(&primary, &first).expect("equal");
    assert_eq!(link.interrupt(), 0);
    fill(&primary, "away", 1000);
    link.to.push(url(&second));
    link.start_and_follow();
    fill(&primary, "again", 1000);
    digests_equal(&primary, &first).expect("equal");
    digests_equal(&primary, &second).expect("equal");
    assert_eq!(link.events("replica-resumed").len(), 1);
    assert_eq!(link.events("replica-full-sync").len(), 1);
    assert_eq!(
        full_syncs(&primary),
        1,
        "the copy kept here serves the second one too"
    );
}

#[test]
fn a_target_that_was_away_for_longer_than_the_memory_reaches_resumes_from_disk() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let mut link = Link::new(url(&primary), &[&replica]).with(&["--tail-bytes", "1MiB"]);
    let far = Proxy::start(relay(&link)).expect("a proxy");
    link.extra
        .extend(["--announce-addr".to_owned(), far.address().to_string()]);
    link.start_and_follow();
    far.refuse();
    far.cut().expect("cut");
    fill_kib(&primary, "noise", 16 << 10);
    wait_log_reaches(&link, offset(&primary));
    assert!(status(&link)["memory_bytes"].as_u64() <= Some(5 << 20));
    far.accept().expect("it listens");
    link.wait_for("replica-resumed");
    digests_equal(&primary, &replica).expect("equal");
    wait_status(&link, "what was read from disk", |status| {
        status["counters"]["disk_read_bytes"].as_u64() > Some(12 << 20)
    });
    assert_eq!(link.events("replica-full-sync").len(), 1);
    assert_eq!(full_syncs(&primary), 1);
}

#[test]
fn a_target_that_was_killed_resumes_from_its_own_rdb() {
    let primary = Server::start();
    let mut replica = Server::builder()
        .engine(Engine::replica())
        .config("save", "3600 1")
        .start()
        .expect("started");
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    digests_equal(&primary, &replica).expect("equal");
    save(&replica);
    fill(&primary, "after-its-snapshot", 1000);
    digests_equal(&primary, &replica).expect("equal");
    replica.kill9();
    link.wait_for("replica-gone");
    fill(&primary, "away", 1000);
    replica.restart().expect("restarted");
    link.wait_for("replica-resumed");
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(link.events("replica-full-sync").len(), 1);
    assert_eq!(full_syncs(&primary), 1);
}

#[test]
fn a_target_that_lost_its_data_gets_a_copy_again() {
    let (primary, mut replica) = (Server::start(), replica_node());
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    fill(&primary, "more", 1000);
    replica.kill9();
    // The copy that it loaded is its dump file, and it would continue from that.
    std::fs::remove_file(replica.dir().join("dump.rdb")).expect("removed");
    replica.restart().expect("restarted");
    link.wait_for_count("replica-full-sync", 2);
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(full_syncs(&primary), 1, "the copy kept here serves again");
}

#[test]
fn a_target_that_comes_with_a_new_connection_replaces_the_one_that_the_network_lost() {
    let (primary, first) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let mut link = Link::new(url(&primary), &[&first]);
    link.start_and_follow();
    let far = Proxy::start(relay(&link)).expect("a proxy");
    let node = attach_by_hand(&link, far.address());
    node.wait_link_up();
    wait_status(&link, "both to follow", |status| {
        let replicas = status["replicas"].as_array().expect("a list");
        replicas.len() == 2 && replicas.iter().all(|replica| replica["state"] == "streaming")
    });
    // Nothing of the old connection comes through any more, not even its end.
    far.block();
    let (host, port) = (relay(&link).ip().to_string(), relay(&link).port().to_string());
    node.client()
        .cmd(&["REPLICAOF", &host, &port])
        .expect("REPLICAOF");
    let gone = link.wait_for("replica-gone");
    let reason = gone["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("come with a new connection"), "{gone}");
    fill(&primary, "more", 100);
    digests_equal(&primary, &node).expect("equal");
    wait_status(&link, "two of them, and no lag", |status| {
        status["lag_bytes"] == 0 && status["replicas"].as_array().is_some_and(|all| all.len() == 2)
    });
}

#[test]
fn a_replica_of_a_target_follows_along() {
    let (primary, replica) = (Server::start(), replica_node());
    let below = replica.start_replica();
    below.wait_link_up();
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    fill(&primary, "more", 1000);
    digests_equal(&primary, &replica).expect("equal");
    digests_equal(&replica, &below).expect("equal");
}

#[test]
fn a_relay_on_another_port_continues_the_targets_of_the_old_one() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(link.interrupt(), 0);
    fill(&primary, "away", 1000);
    let port = reserve_port().expect("a free port");
    link.relay_port = port.number();
    link.start();
    link.wait_for("replica-resumed");
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(link.events("replica-full-sync").len(), 0);
    let follows = replica
        .client()
        .info_field("replication", "master_port")
        .expect("INFO");
    assert_eq!(follows, port.number().to_string());
}
