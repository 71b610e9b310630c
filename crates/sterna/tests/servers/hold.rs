//! A primary whose history does not continue ours never overwrites the replica nodes by itself (I4).

use sterna_testkit::{Proxy, Server, digests_equal};

use crate::common::{Footprint, fill, full_syncs, get, replica_node, role, save};
use crate::support::{Link, url};

/// A primary that has written an RDB file, and knows its place in it after a restart.
fn persistent() -> Server {
    Server::builder()
        .config("save", "3600 1")
        .start()
        .expect("started")
}

/// The replica has all of what it had, and takes no writes.
#[track_caller]
fn is_left_alone(replica: &Server, before: &Footprint) {
    assert_eq!(*before, Footprint::of(replica));
    let refused = replica.client().raw(&["SET", "a", "b"]).expect("an answer");
    assert!(refused.text().starts_with("READONLY"), "{refused:?}");
}

#[test]
fn a_primary_that_came_back_empty_is_not_followed_until_a_person_says_so() {
    let (mut primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    digests_equal(&primary, &replica).expect("equal");
    let before = Footprint::of(&replica);
    primary.kill9();
    primary.restart().expect("restarted");
    let hold = link.wait_for("holding");
    let reason = hold["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("came back empty") && reason.contains("left as they are"),
        "{reason}"
    );
    fill(&primary, "new", 50);
    is_left_alone(&replica, &before);

    // Nor when the command is run again...
    assert_eq!(link.interrupt(), 0);
    link.start();
    link.wait_for("holding");
    is_left_alone(&replica, &before);
    assert_eq!(full_syncs(&primary), 0, "it was asked for a copy");
    assert_eq!(link.interrupt(), 0);

    // ...but when it is run with that one word.
    link.extra.push("--accept-new-history".to_owned());
    link.start();
    let started = link.wait_for("full-sync-started");
    assert!(
        started["reason"].as_str().expect("a reason").contains("accepted"),
        "{started}"
    );
    link.wait_for("replica-online");
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(get(&replica, "key:1"), None);
    assert_eq!(role(&replica), "slave");
}

#[test]
fn another_server_behind_the_address_is_not_followed_and_the_right_one_resumes_by_itself() {
    let (primary, stranger, replica) = (Server::start(), Server::start(), replica_node());
    fill(&primary, "key", 1000);
    fill(&stranger, "strange", 10);
    let proxy = Proxy::start(primary.address()).expect("a proxy");
    let mut link = Link::new(format!("redis://{}", proxy.address()), &[&replica]);
    link.start_and_follow();
    digests_equal(&primary, &replica).expect("equal");
    let before = Footprint::of(&replica);
    proxy.retarget(stranger.address());
    proxy.cut().expect("cut");
    let hold = link.wait_for("holding");
    let reason = hold["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("another server answers behind its name"),
        "{reason}"
    );
    is_left_alone(&replica, &before);
    fill(&primary, "meanwhile", 100);

    proxy.retarget(primary.address());
    proxy.cut().expect("cut");
    link.wait_for("resumed");
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!((full_syncs(&primary), full_syncs(&stranger)), (1, 0));
    assert_eq!(link.events("replica-gone").len(), 0, "the replica node noticed");
    assert_eq!(
        link.events("holding").len(),
        1,
        "said once: {}",
        link.process().tail()
    );
}

#[test]
fn a_primary_that_went_back_to_an_old_snapshot_is_not_followed_until_a_person_says_so() {
    let (mut primary, replica) = (persistent(), replica_node());
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    save(&primary);
    fill(&primary, "after-the-snapshot", 1000);
    digests_equal(&primary, &replica).expect("equal");
    let before = Footprint::of(&replica);
    primary.kill9();
    primary.restart().expect("restarted");
    let hold = link.wait_for("holding");
    let reason = hold["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("older snapshot") && reason.contains("bytes of writes"),
        "{reason}"
    );
    fill(&primary, "its-own", 50);
    is_left_alone(&replica, &before);
    assert!(get(&replica, "after-the-snapshot:999").is_some());
    assert_eq!(link.interrupt(), 0);

    link.extra.push("--accept-new-history".to_owned());
    link.start();
    link.wait_for("cut-back");
    link.wait_for("replica-online");
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(get(&replica, "after-the-snapshot:999"), None);
    assert!(get(&replica, "its-own:1").is_some());
}

#[test]
fn a_primary_that_was_restarted_in_order_is_followed_with_a_partial_resync() {
    let (mut primary, replica) = (persistent(), replica_node());
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    fill(&primary, "more", 1000);
    primary.stop_gracefully(true).expect("stopped");
    link.wait_for("lost");
    primary.restart().expect("restarted");
    let resumed = link.wait_for("resumed");
    assert!(resumed["new_history"].is_string(), "{resumed}");
    fill(&primary, "again", 1000);
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(link.events("holding").len(), 0);
    assert_eq!(
        link.events("replica-full-sync").len(),
        1,
        "{}",
        link.process().tail()
    );
    assert_eq!(full_syncs(&primary), 0);
}
