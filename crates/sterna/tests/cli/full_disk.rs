//! A gateway whose disk is full when it starts.

use sterna_harness::{Gateway, Setup};
use sterna_model::GroupSettings;
use sterna_testkit::{Server, SmallDisk, digests_equal, wait_until};

use crate::support::DEADLINE;

/// What is stored, the smallest log, and some room.
const DISK_BYTES: u64 = 32 << 20;

#[test]
fn a_gateway_that_dies_and_finds_its_disk_full_goes_on_and_changes_nothing_until_there_is_room() {
    starts_on_a_full_disk(Gateway::kill);
}

#[test]
fn a_gateway_that_stopped_and_finds_its_disk_full_goes_on() {
    starts_on_a_full_disk(|gateway| gateway.stop().expect("stopped"));
}

fn starts_on_a_full_disk(ends: impl FnOnce(&mut Gateway)) {
    let disk = SmallDisk::mount(DISK_BYTES).expect("mounting a tmpfs is allowed");
    let (eu, us) = (Server::start(), Server::start());
    let setup = Setup::new(env!("CARGO_BIN_EXE_sterna")).on(disk.path().join("data"));
    let mut gateway = Gateway::start(setup).expect("a gateway");
    for (name, node) in [("eu", &eu), ("us", &us)] {
        gateway.add_service(name, node.address()).expect("a service");
    }
    gateway
        .create_group(&["eu", "us"], &GroupSettings::default())
        .expect("a group");

    ends(&mut gateway);
    disk.fill_up().expect("full");
    gateway.start_again().expect("it starts");
    let mut client = eu.client();
    // It may have been shut while nobody acknowledged.
    wait_until(DEADLINE, "the primary to take writes", || {
        client.cmd(&["SET", "after", "1"])
    });
    digests_equal(&eu, &us).expect("equal");

    disk.free().expect("there is room");
    gateway.wait_healthy().expect("healthy");
    gateway.switchover("us").expect("switched over");
    us.client().cmd(&["SET", "then", "1"]).expect("written");
    digests_equal(&us, &eu).expect("equal");
}
