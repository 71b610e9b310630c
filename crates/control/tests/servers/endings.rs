//! Operations that once went on for ever: saving again what keys expire into, asking again for a node that loads its data, and
//! waiting for a word that was refused.

use std::time::Duration;

use sterna_control::Change;
use sterna_model::{
    Activity, GroupSettings, GroupState, Operation, OperationKind, OperationState, OperationWait,
};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Proxy, Server, wait_until};

use crate::common::{DEADLINE, Site, group, me};

/// Half of the way there and back.
const WAY: Duration = Duration::from_millis(60);
/// Keys that expire one after the other, one each millisecond, from when a failover can be over.
const EXPIRING: u32 = 50_000;
const EXPIRE_FROM_MS: u32 = 4_000;
/// How long a client that stays with a silent server waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let mut options = SequenceOptions::load("seq", 200);
    options.timeout = Some(PATIENCE);
    let writer = SequenceWriter::start(options, eu.connector()).expect("a writer");
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
    let rescues = gateway
        .ask(|control| async move { Ok(control.catalogue().rescues.list(Some(&group())).await?) })
        .expect("rescues");
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
    site.gateway.add_service("eu", &[&eu]);
    site.gateway.add_service("us", &[&us]);
    site.gateway.create_group("eu", &["us"], GroupSettings::default());
    // Its fence is lifted while there is nobody to fail over.
    let stopped = site.stop();
    eu.kill9();
    let site = stopped.start();
    let gateway = &site.gateway;
    let waits = wait_until(DEADLINE, "a failover that waits", || {
        let waiting = |operation: &Operation| operation.now == Some(Activity::Wait(OperationWait::Force));
        of_kind(gateway.operations(), OperationKind::Failover)
            .into_iter()
            .find(waiting)
    });
    let forced = Change::Failover {
        to: None,
        force: true,
    };
    let asked = gateway
        .ask(|control| async move { control.begin(group(), forced, me()).await })
        .expect("a failover");
    assert_ne!(asked.id, waits.id);
    let done = gateway.wait_operation(asked.id);
    assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
    assert_eq!(gateway.operation(waits.id).state, OperationState::Cancelled);
    us.client()
        .cmd(&["SET", "new", "1"])
        .expect("the new primary takes writes");
}

fn of_kind(operations: Vec<Operation>, kind: OperationKind) -> Vec<Operation> {
    let mut operations = operations;
    operations.retain(|operation| operation.kind == kind);
    operations
}
