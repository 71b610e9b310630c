//! What `WAIT` at the primary means (I6): applied by the replica nodes, or on this gateway's disk.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use sterna_testkit::{Proxy, ScriptedReplica, Server, SmallDisk, digests_equal};

use crate::common::{fill, fill_kib, get, replica_node, role};
use crate::support::{Link, run, url};

/// Writes a key and waits until so many replicas have it; returns how many have.
fn set_and_wait(primary: &Server, key: &str, timeout_ms: &str) -> i64 {
    let mut client = primary.client();
    client.cmd(&["SET", key, "1"]).expect("written");
    let count = client.cmd(&["WAIT", "1", timeout_ms]).expect("WAIT");
    count.int().expect("a number")
}

#[test]
fn by_default_wait_means_that_the_replica_node_has_applied_it() {
    let (primary, replica) = (Server::start(), replica_node());
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    for round in 0..20 {
        let key = format!("key:{round}");
        assert_eq!(set_and_wait(&primary, &key, "10000"), 1);
        assert_eq!(get(&replica, &key).as_deref(), Some("1"), "{key}");
    }
    replica.pause().expect("paused");
    assert_eq!(set_and_wait(&primary, "paused", "300"), 0);
    replica.resume().expect("resumed");
    assert_eq!(set_and_wait(&primary, "resumed", "10000"), 1);
    assert_eq!(get(&replica, "resumed").as_deref(), Some("1"));
}

#[test]
fn with_two_replica_nodes_the_slower_one_counts() {
    let (primary, quick, slow) = (Server::start(), replica_node(), replica_node());
    let mut link = Link::new(url(&primary), &[&quick, &slow]);
    link.start_and_follow();
    assert_eq!(set_and_wait(&primary, "both", "10000"), 1);
    slow.pause().expect("paused");
    assert_eq!(set_and_wait(&primary, "one", "300"), 0);
    assert_eq!(
        get(&quick, "one").as_deref(),
        Some("1"),
        "the quick one is not held up"
    );
    slow.resume().expect("resumed");
    assert_eq!(set_and_wait(&primary, "again", "10000"), 1);
    assert_eq!(get(&slow, "again").as_deref(), Some("1"));
}

/// The kernels at both ends take megabytes for a node that takes nothing.
#[test]
fn a_replica_node_that_hangs_holds_up_wait_no_longer_than_the_limit_though_bytes_are_on_their_way() {
    let (primary, quick, hangs) = (Server::start(), replica_node(), replica_node());
    let mut link = Link::new(url(&primary), &[&quick, &hangs]);
    link.start_and_follow();
    assert_eq!(set_and_wait(&primary, "both", "10000"), 1);
    hangs.pause().expect("paused");
    let start = Instant::now();
    let mut round = 0;
    let held_up = loop {
        fill_kib(&primary, &format!("noise:{round}"), 512);
        round += 1;
        if set_and_wait(&primary, "held", "500") == 1 {
            break start.elapsed();
        }
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{}",
            link.process().tail()
        );
    };
    // Not by a failure of its connection: that would have been at once.
    assert!(held_up >= Duration::from_secs(8), "{held_up:?}");
    link.wait_for("replica-gone");
    // It was given up, and continues when it is back.
    hangs.resume().expect("resumed");
    link.wait_for("replica-resumed");
    digests_equal(&primary, &hangs).expect("equal");
    assert_eq!(set_and_wait(&primary, "again", "10000"), 1);
    assert_eq!(get(&hangs, "again").as_deref(), Some("1"));
}

/// Whoever knows the link's secret can say what it likes: what it was never sent it can't have.
#[test]
fn a_follower_that_acknowledges_the_future_satisfies_no_wait() {
    let (primary, mut replica) = (Server::start(), replica_node());
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    let relay = (Ipv4Addr::LOCALHOST, link.relay_port).into();
    let builder = ScriptedReplica::builder(relay).login(Some("sterna"), &link.secret());
    let mut liar = builder.connect().expect("let in");
    liar.psync_full().expect("answered");
    liar.read_rdb().expect("a snapshot");
    liar.ack(liar.offset()).expect("sent");
    link.wait_for_count("replica-online", 2);
    replica.kill9();
    link.wait_for("replica-gone");
    liar.ack(1 << 62).expect("sent");
    link.wait_for_count("replica-gone", 2);
    assert_eq!(set_and_wait(&primary, "key", "1500"), 0);
}

#[test]
fn wait_is_answered_at_once_and_not_with_the_next_second() {
    let (primary, replica) = (Server::start(), replica_node());
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    let start = Instant::now();
    for round in 0..20 {
        assert_eq!(set_and_wait(&primary, &format!("key:{round}"), "10000"), 1);
    }
    // Acknowledging once a second alone would take about 10 s.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn acknowledged_by_the_gateway_is_in_its_log_whatever_dies_then() {
    let (mut primary, replica) = (Server::start(), replica_node());
    let mut link = Link::new(url(&primary), &[&replica]).with(&["--acknowledge", "gateway"]);
    let relay = (Ipv4Addr::LOCALHOST, link.relay_port).into();
    let far = Proxy::start(relay).expect("a proxy");
    link.extra
        .extend(["--announce-addr".to_owned(), far.address().to_string()]);
    link.start_and_follow();
    fill(&primary, "key", 100);
    digests_equal(&primary, &replica).expect("equal");

    // The replica node hears nothing any more, and still WAIT is satisfied.
    far.block();
    for round in 0..10 {
        assert_eq!(
            set_and_wait(&primary, &format!("acknowledged:{round}"), "10000"),
            1
        );
    }
    link.kill9();
    primary.kill9();
    assert_eq!(get(&replica, "acknowledged:0"), None);

    // The log alone brings it to the replica node.
    far.cut().expect("cut");
    far.unblock();
    let data = link.data_dir().to_str().expect("a path");
    let (code, out, err) = run(&["promote", "--to", &url(&replica), "--data-dir", data]);
    assert_eq!(code, 0, "{out}{err}");
    for round in 0..10 {
        assert_eq!(
            get(&replica, &format!("acknowledged:{round}")).as_deref(),
            Some("1")
        );
    }
    assert_eq!(role(&replica), "master");
}

#[test]
fn what_a_full_disk_did_not_take_is_not_acknowledged_by_the_gateway() {
    let (primary, replica) = (Server::start(), replica_node());
    let disk = SmallDisk::mount(16 << 20).expect("mounting a tmpfs is allowed");
    let link = Link::new(url(&primary), &[&replica]).with(&["--acknowledge", "gateway"]);
    let mut link = link.data_at(disk.path().join("data"));
    link.start_and_follow();
    assert_eq!(set_and_wait(&primary, "before", "10000"), 1);
    disk.fill_up().expect("filled");
    fill_kib(&primary, "noise", 4096);
    link.wait_for("disk-failed");
    assert_eq!(set_and_wait(&primary, "full", "300"), 0);
    disk.free().expect("freed");
    link.wait_for("disk-recovered");
    assert_eq!(set_and_wait(&primary, "after", "10000"), 1);
}
