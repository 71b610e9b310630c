//! Operations that once went on for ever: saving again what keys expire into, asking again for a node that loads its data, and
//! waiting for a word that was refused.

use std::time::Duration;

use sterna_control::Change;
use sterna_model::{
    Activity, GroupSettings, GroupState, Operation, OperationKind, OperationState, OperationWait,
};
use sterna_testkit::{Proxy, Server, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, service, stays};

/// Half of the way there and back.
const WAY: Duration = Duration::from_millis(60);
const FAR: Duration = Duration::from_millis(150);
/// Keys that expire one after the other, one each millisecond, from when a failover can be over.
const EXPIRING: u32 = 50_000;
const EXPIRE_FROM_MS: u32 = 4_000;
const FORCED: Change = Change::Failover {
    to: None,
    force: true,
};

/// So many keys, and how long a server takes over each when it loads them, in microseconds: some 15 s.
const KEYS: u32 = 15_000;
const LOAD_DELAY_US: &str = "1000";
/// It answers after so many bytes of what it loads.
const ANSWERS_EVERY: &str = "1024";

#[test]
fn keys_that_expire_at_a_shut_primary_are_not_saved_again_and_again() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let way = Proxy::start(eu.address()).expect("a way");
    way.delay(WAY);
    gateway.add_service_behind("eu", &way, &[]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let expiring: Vec<_> = (0..EXPIRING)
        .map(|number| {
            let after_ms = (EXPIRE_FROM_MS + number).to_string();
            ["SET", &format!("expiring:{number}"), "1", "PX", &after_ms].map(str::to_owned)
        })
        .collect();
    eu.client().pipeline(&expiring).expect("written");
    let writer = stays("seq", eu.connector());
    writer.wait_acknowledged(100, DEADLINE).expect("writes");
    way.block();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    way.unblock();
    way.cut().expect("cut");

    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    writer.stop().expect("stopped");
    let left = us.client().cmd(&["DBSIZE"]).expect("it answers").int();
    assert!(left.is_some_and(|left| left > 1000), "nothing expired meanwhile");
    let rescues = gateway.rescues();
    assert!(rescues.len() <= 2, "{rescues:#?}");
}

#[test]
fn an_old_primary_that_loads_for_long_is_waited_for_once() {
    let site = Site::new();
    let gateway = &site.gateway;
    let mut eu = Server::builder()
        .config("key-load-delay", LOAD_DELAY_US)
        .config("loading-process-events-interval-bytes", ANSWERS_EVERY)
        .start()
        .expect("a server");
    let beside = Server::builder()
        .replica_of(&eu)
        .start()
        .expect("a replica of its own");
    let us = Server::start();
    gateway.add_service("eu", &[&eu, &beside]);
    gateway.add_service("us", &[&us]);
    let keys: Vec<_> = (0..KEYS)
        .map(|number| ["SET".to_owned(), format!("key:{number}"), "1".to_owned()])
        .collect();
    eu.client().pipeline(&keys).expect("written");
    beside.wait_link_up();
    // The child that sent the first copy may not have been noticed to be gone.
    wait_until(DEADLINE, "the data to be saved", || {
        eu.client().cmd(&["SAVE"]).map(drop)
    });
    gateway.create_group("eu", &["us"], GroupSettings::default());
    eu.kill9();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    wait_until(DEADLINE, "the other node to follow", || {
        let role = beside.client().info_field("replication", "master_link_status");
        role.is_ok_and(|status| status == "up")
    });
    eu.restart().expect("started");
    gateway.wait_state(GroupState::Healthy);
    let rejoins = of_kind(gateway.operations(), OperationKind::Rejoin);
    assert!(rejoins.len() <= 3, "{rejoins:#?}");
}

#[test]
fn a_failover_that_waits_for_a_person_makes_way_for_what_the_person_says() {
    let site = Site::new();
    let (mut eu, us) = (Server::start(), Server::start());
    site.gateway.stand(&[("eu", &eu), ("us", &us)]);
    // Its fence is lifted while there is nobody to fail over.
    let stopped = site.stop();
    eu.kill9();
    let site = stopped.start();
    let gateway = &site.gateway;
    let waits = wait_for_waiting(gateway);
    let asked = gateway.begin(FORCED);
    assert_ne!(asked.id, waits.id);
    let done = gateway.wait_operation(asked.id);
    assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
    assert_eq!(gateway.operation(waits.id).state, OperationState::Cancelled);
    us.client()
        .cmd(&["SET", "new", "1"])
        .expect("the new primary takes writes");
}

/// The way to the target is long, so that it has not heard yet that it is to be the primary.
#[test]
fn a_switchover_whose_target_dies_after_the_decision_is_given_up_and_the_old_primary_takes_over_again() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, mut us) = (Server::start(), Server::start());
    let way = Proxy::start(us.address()).expect("a way");
    gateway.add_service("eu", &[&eu]);
    gateway.add_service_behind("us", &way, &[]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    eu.client().cmd(&["SET", "before", "1"]).expect("written");
    way.delay(FAR);
    let asked = gateway.begin(Change::Switchover {
        to: service("us"),
        allow_missing_users: false,
    });
    wait_until(DEADLINE, "the decision", || gateway.operation(asked.id).committed);
    way.refuse();
    way.cut().expect("cut");
    let promoted = us.client().info_field("replication", "role").expect("a role");
    assert_eq!(promoted, "slave", "it was promoted already");
    us.kill9();
    let given_up = gateway.wait_operation(asked.id);
    assert_eq!(given_up.state, OperationState::Failed, "{given_up:#?}");

    // Its fence was never seen: whether it may take writes is for a person to say.
    wait_for_waiting(gateway);
    let done = gateway.wait_operation(gateway.begin(FORCED).id);
    assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
    let report = done.report.expect("a report");
    assert_eq!((report.to, report.rpo.bytes), (service("eu"), 0));
    // Those of before were let go.
    let mut client = eu.client();
    client
        .cmd(&["SET", "after", "1"])
        .expect("the old primary takes writes");
    assert_eq!(client.cmd(&["DBSIZE"]).expect("answered").int(), Some(2));
}

/// Waits for a failover that began by itself and waits for a person.
fn wait_for_waiting(gateway: &TestGateway) -> Operation {
    wait_until(DEADLINE, "a failover that waits", || {
        let waiting = |operation: &Operation| operation.now == Some(Activity::Wait(OperationWait::Force));
        of_kind(gateway.operations(), OperationKind::Failover)
            .into_iter()
            .find(waiting)
    })
}

fn of_kind(operations: Vec<Operation>, kind: OperationKind) -> Vec<Operation> {
    let mut operations = operations;
    operations.retain(|operation| operation.kind == kind);
    operations
}
