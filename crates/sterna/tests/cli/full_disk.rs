//! A gateway whose disk is full when it starts, or is filled by somebody else while it runs.

use sterna_harness::{Gateway, Setup};
use sterna_model::{AlertCode, AlertReason, FailoverObstacle, FailoverReadiness, GroupSettings};
use sterna_testkit::{Server, SmallDisk, digests_equal, wait_until};

use crate::support::DEADLINE;

/// What is stored, the smallest log, and some room.
const DISK_BYTES: u64 = 32 << 20;

#[test]
fn a_gateway_that_dies_and_finds_its_disk_full_goes_on_and_still_has_its_room_for_decisions() {
    starts_on_a_full_disk(Gateway::kill, true);
}

#[test]
fn a_gateway_that_stopped_and_finds_its_disk_full_goes_on_and_says_that_it_can_decide_nothing() {
    starts_on_a_full_disk(|gateway| gateway.stop().expect("stopped"), false);
}

/// Decisions have room of their own in the store, which whoever fills the disk can't take.
#[test]
fn a_disk_that_somebody_else_fills_keeps_no_group_from_changes_of_primary() {
    let disk = SmallDisk::mount(DISK_BYTES).expect("mounting a tmpfs is allowed");
    let (mut eu, us) = (Server::start(), Server::start());
    let gateway = stands_on(&disk, &eu, &us);
    disk.fill_up().expect("full");
    for to in ["us", "eu", "us", "eu"] {
        gateway.switchover(to).expect("switched over");
        gateway.wait_healthy().expect("healthy");
    }
    digests_equal(&eu, &us).expect("equal");
    eu.kill9();
    wait_until(DEADLINE, "the other takes over", || {
        us.client().cmd(&["SET", "after", "1"])
    });
    wait_for_alert(&gateway, Some(&AlertReason::StoreDisk { decisions: true }));
    // What is no decision waits for room.
    let refused = gateway
        .add_service("ap", us.address())
        .expect_err("no room")
        .to_string();
    assert!(refused.contains("disk is full"), "{refused}");
    disk.free().expect("there is room");
    gateway.add_service("ap", us.address()).expect("there is room");
    eu.restart().expect("it starts");
    gateway.wait_healthy().expect("healthy");
    digests_equal(&us, &eu).expect("equal");
}

fn wait_for_alert(gateway: &Gateway, wanted: Option<&AlertReason>) {
    wait_until(DEADLINE, "what the status says of the store's disk", || {
        let alerts = gateway.status().expect("its status").alerts;
        let mut reasons = alerts.into_iter().map(|alert| alert.reason);
        let found = reasons.find(|reason| reason.code() == AlertCode::StoreDisk);
        if found.as_ref() == wanted {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
}

fn stands_on(disk: &SmallDisk, eu: &Server, us: &Server) -> Gateway {
    let setup = Setup::new(env!("CARGO_BIN_EXE_sterna")).on(disk.path().join("data"));
    let gateway = Gateway::start(setup).expect("a gateway");
    for (name, node) in [("eu", eu), ("us", us)] {
        gateway.add_service(name, node.address()).expect("a service");
    }
    gateway
        .create_group(&["eu", "us"], &GroupSettings::default())
        .expect("a group");
    gateway
}

fn starts_on_a_full_disk(ends: impl FnOnce(&mut Gateway), decisions: bool) {
    let disk = SmallDisk::mount(DISK_BYTES).expect("mounting a tmpfs is allowed");
    let (eu, us) = (Server::start(), Server::start());
    let mut gateway = stands_on(&disk, &eu, &us);

    ends(&mut gateway);
    disk.fill_up().expect("full");
    gateway.start_again().expect("it starts");
    let mut client = eu.client();
    // It may have been shut while nobody acknowledged.
    wait_until(DEADLINE, "the primary to take writes", || {
        client.cmd(&["SET", "after", "1"])
    });
    digests_equal(&eu, &us).expect("equal");
    wait_for_alert(&gateway, Some(&AlertReason::StoreDisk { decisions }));
    let obstacle = (!decisions).then_some(FailoverObstacle::StoreFull);
    let expected = FailoverReadiness::of(obstacle);
    wait_until(DEADLINE, "what is said of a failover", || {
        let readiness = gateway.status().expect("its status").summary.failover;
        (readiness == expected).then_some(()).ok_or(readiness)
    });

    disk.free().expect("there is room");
    wait_for_alert(&gateway, None);
    gateway.wait_healthy().expect("healthy");
    gateway.switchover("us").expect("switched over");
    us.client().cmd(&["SET", "then", "1"]).expect("written");
    digests_equal(&us, &eu).expect("equal");
}
