//! A failover inside the primary service: the link follows the promoted node with a partial resync.

use std::time::Duration;

use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Engine, Proxy, Server, digests_equal, wait_until};

use crate::common::{fill, full_syncs, info_number, offset, replica_node, role, wait_log_reaches};
use crate::support::{DEADLINE, Link};

const NAME: &str = "orders";

fn sentinel_of(primary: &Server) -> SentinelServer {
    let sentinel = SentinelServer::start(Engine::default(), NAME, primary, 1).expect("a Sentinel");
    wait_until(DEADLINE, "the Sentinel to know the replica", || {
        let known = sentinel.connect()?.cmd(&["SENTINEL", "REPLICAS", NAME])?;
        // It asks the replica for its state before it would promote it.
        let text = format!("{known:?}");
        anyhow::ensure!(text.contains("master-link-status\", \"ok\""), "{text}");
        anyhow::Ok(())
    });
    sentinel
}

fn sentinel_url(sentinel: &SentinelServer) -> String {
    format!("redis+sentinel://{}/{NAME}", sentinel.address())
}

/// How long a process has been up, in whole seconds, tells a promoted node from one that restarted.
fn wait_grown_up(local: &Server) {
    wait_until(DEADLINE, "the replica to have been up for a while", || {
        info_number(local, "server", "uptime_in_seconds") >= 4
    });
}

/// Waits until the link follows this node.
fn wait_follows(link: &Link, node: &Server) {
    let what = format!("the link to follow {}", node.address());
    wait_until(DEADLINE, &what, || {
        let last = link.events("status").pop();
        let follows = last.as_ref().is_some_and(|status| {
            status["state"] == "streaming" && status["primary"] == node.address().to_string()
        });
        if follows {
            Ok(())
        } else {
            Err(format!("{last:?}\n{}", link.process().tail()))
        }
    });
}

/// The replica node asked again, was told the new id, and got no other copy than its first.
fn assert_learned_new_id(link: &Link, primary: &Server, replica: &Server) {
    let id = |node: &Server| {
        node.client()
            .info_field("replication", "master_replid")
            .expect("an id")
    };
    wait_until(DEADLINE, "the replica node to know the new id", || {
        id(primary) == id(replica)
    });
    assert_eq!(
        link.events("replica-full-sync").len(),
        1,
        "{}",
        link.process().tail()
    );
}

#[test]
fn a_promoted_replica_among_several_addresses_is_followed_without_a_copy() {
    let mut primary = Server::start();
    let (local, replica) = (primary.start_replica(), replica_node());
    local.wait_link_up();
    fill(&primary, "key", 1000);
    let from = format!("redis://{},{}", primary.address(), local.address());
    let mut link = Link::new(from, &[&replica]);
    link.start_and_follow();
    fill(&primary, "more", 1000);
    digests_equal(&primary, &local).expect("equal");
    primary.kill9();
    local.client().cmd(&["REPLICAOF", "NO", "ONE"]).expect("promoted");
    wait_follows(&link, &local);
    fill(&local, "after", 1000);
    digests_equal(&local, &replica).expect("equal");
    assert_eq!(full_syncs(&local), 0);
    assert_learned_new_id(&link, &local, &replica);
    assert_eq!(link.events("holding").len(), 0);
}

#[test]
fn a_failover_by_sentinel_is_followed_without_a_copy() {
    let mut primary = Server::start();
    let (local, replica) = (primary.start_replica(), replica_node());
    local.wait_link_up();
    fill(&primary, "key", 1000);
    let sentinel = sentinel_of(&primary);
    let mut link = Link::new(sentinel_url(&sentinel), &[&replica]);
    link.start_and_follow();
    fill(&primary, "more", 1000);
    digests_equal(&primary, &local).expect("equal");
    primary.kill9();
    wait_follows(&link, &local);
    fill(&local, "after", 1000);
    digests_equal(&local, &replica).expect("equal");
    assert_eq!(full_syncs(&local), 0);
    assert_learned_new_id(&link, &local, &replica);
}

#[test]
fn a_planned_failover_moves_the_link_off_the_old_primary_which_lives_on() {
    let primary = Server::start();
    let (local, replica) = (primary.start_replica(), replica_node());
    local.wait_link_up();
    fill(&primary, "key", 1000);
    let sentinel = sentinel_of(&primary);
    let mut link = Link::new(sentinel_url(&sentinel), &[&replica]);
    link.start_and_follow();
    digests_equal(&primary, &local).expect("equal");
    wait_grown_up(&local);
    sentinel
        .connect()
        .expect("connected")
        .cmd(&["SENTINEL", "FAILOVER", NAME])
        .expect("a failover");
    wait_follows(&link, &local);
    fill(&local, "after", 1000);
    digests_equal(&local, &replica).expect("equal");
    // Sentinel tells the old primary of it about 10 s later; writes to it until then are lost.
    assert_eq!(role(&primary), "master");
    assert_eq!(link.events("holding").len(), 0);
    // Sentinel's own PUBLISHes are in the old primary's stream: a replica node that was sent one after the promotion
    // needs a copy, and only then.
    let cut = link.events("cut-back").len();
    assert_eq!(
        link.events("replica-full-sync").len(),
        1 + cut,
        "{}",
        link.process().tail()
    );
}

/// A primary, and its local replica behind a proxy that can keep the last writes from it.
fn service() -> (Server, Proxy, Server) {
    let primary = Server::start();
    let proxy = Proxy::start(primary.address()).expect("a proxy");
    let local = Server::builder()
        .engine(Engine::replica())
        .replica_of_address(proxy.address())
        .start()
        .expect("started");
    local.wait_link_up();
    fill(&primary, "key", 1000);
    digests_equal(&primary, &local).expect("equal");
    wait_grown_up(&local);
    (primary, proxy, local)
}

/// Writes that reach the log and not the local replica, which is promoted after the primary's death.
fn lose_the_tail(link: &Link, mut primary: Server, proxy: &Proxy, local: &Server) {
    proxy.block();
    fill(&primary, "lost", 500);
    wait_log_reaches(link, offset(&primary));
    primary.kill9();
    proxy.refuse();
    proxy.cut().expect("cut");
    local.client().cmd(&["REPLICAOF", "NO", "ONE"]).expect("promoted");
}

#[test]
fn a_log_ahead_of_the_promoted_node_is_cut_back_and_a_replica_that_had_not_passed_continues() {
    let (primary, proxy, local) = service();
    let replica = replica_node();
    let from = format!("redis://{},{}", primary.address(), local.address());
    let mut link = Link::new(from, &[&replica]);
    let relay = (std::net::Ipv4Addr::LOCALHOST, link.relay_port).into();
    let far = Proxy::start(relay).expect("a proxy");
    link.extra
        .extend(["--announce-addr".to_owned(), far.address().to_string()]);
    link.start_and_follow();
    far.block();
    lose_the_tail(&link, primary, &proxy, &local);
    let cut = link.wait_for("cut-back");
    assert!(cut["bytes"].as_u64() > Some(500), "{cut}");
    far.cut().expect("cut");
    far.unblock();
    link.wait_for("replica-resumed");
    fill(&local, "after", 100);
    digests_equal(&local, &replica).expect("equal");
    assert_eq!(full_syncs(&local), 0);
    assert_eq!(link.events("replica-full-sync").len(), 1, "the first copy only");
}

#[test]
fn a_replica_that_had_passed_the_promoted_node_gets_a_full_copy_and_it_is_said() {
    let (primary, proxy, local) = service();
    let replica = replica_node();
    let from = format!("redis://{},{}", primary.address(), local.address());
    let mut link = Link::new(from, &[&replica]);
    link.start_and_follow();
    lose_the_tail(&link, primary, &proxy, &local);
    link.wait_for("cut-back");
    let gone = link.wait_for("replica-gone");
    assert!(
        gone["reason"]
            .as_str()
            .expect("a reason")
            .contains("needs a full copy"),
        "{gone}"
    );
    link.wait_for_count("replica-online", 2);
    fill(&local, "after", 100);
    digests_equal(&local, &replica).expect("equal");
    assert_eq!(link.events("replica-full-sync").len(), 2);
    assert_eq!(full_syncs(&local), 0, "the snapshot kept here served");
}

#[test]
fn a_log_that_stands_still_while_the_service_has_no_primary_says_so_and_waits() {
    let mut primary = Server::start();
    let (local, replica) = (primary.start_replica(), replica_node());
    local.wait_link_up();
    let from = format!("redis://{},{}", primary.address(), local.address());
    let mut link = Link::new(from, &[&replica]);
    link.start_and_follow();
    primary.kill9();
    let lost = wait_until(Duration::from_secs(10), "the search for a primary", || {
        let lost = link.events("lost").into_iter();
        lost.filter_map(|event| event["reason"].as_str().map(str::to_owned))
            .find(|reason| reason.contains("no primary was found"))
    });
    assert!(
        lost.contains("it is a replica of") && lost.contains("refused"),
        "{lost}"
    );
    local.client().cmd(&["REPLICAOF", "NO", "ONE"]).expect("promoted");
    wait_follows(&link, &local);
    digests_equal(&local, &replica).expect("equal");
}
