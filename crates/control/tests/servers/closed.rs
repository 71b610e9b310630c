//! What must take no writes, and what must go on taking them: replica nodes, old primaries while a group is paused or when it ends,
//! and the primary of a gateway that stops.

use sterna_control::Change;
use sterna_model::{Activity, Fencing, GroupSettings, OperationKind, OperationState, OperationWait};
use sterna_testkit::{Proxy, Server, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, group, me, refuses, service};

/// How long a node takes over each key that it loads, in microseconds.
const LOAD_DELAY_US: &str = "1000";
const KEYS: u32 = 15_000;

#[test]
fn a_replica_node_that_takes_writes_refuses_them_again() {
    let site = Site::new();
    let (eu, us) = (Server::start(), Server::start());
    site.gateway.stand(&[("eu", &eu), ("us", &us)]);
    let mut client = us.client();
    client
        .cmd(&["CONFIG", "SET", "replica-read-only", "no"])
        .expect("set");
    client.cmd(&["SET", "stray", "1"]).expect("written");
    wait_until(DEADLINE, "writes to be refused", || refuses(&us, "READONLY"));
    eu.client().cmd(&["SET", "after", "1"]).expect("written");
    wait_until(DEADLINE, "it to follow", || {
        us.client()
            .cmd(&["GET", "after"])
            .is_ok_and(|value| value.text() == "1")
    });
    assert_eq!(
        eu.client().info_field("stats", "sync_full").expect("a number"),
        "1"
    );
}

#[test]
fn an_old_primary_that_comes_back_while_the_group_is_paused_is_shut_and_stays_so_when_the_group_is_deleted() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let way = Proxy::start(eu.address()).expect("a way");
    gateway.add_service_behind("eu", &way, &[]);
    gateway.add_service("us", &[&us]);
    let settings = GroupSettings {
        fencing: Fencing::None,
        ..GroupSettings::default()
    };
    gateway.create_group("eu", &["us"], settings);
    way.block();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    set_paused(gateway, true);
    eu.client().cmd(&["SET", "alone", "1"]).expect("it is open");
    way.unblock();
    way.cut().expect("cut");
    wait_until(DEADLINE, "the old primary to be shut", || {
        refuses(&eu, "NOREPLICAS")
    });

    let deleted = gateway.wait_operation(gateway.begin(Change::Delete).id);
    assert_eq!(deleted.state, OperationState::Succeeded, "{deleted:#?}");
    refuses(&eu, "NOREPLICAS").expect("it stays shut");
    assert_eq!(
        eu.client().info_field("replication", "role").expect("a role"),
        "master"
    );
    us.client()
        .cmd(&["SET", "new", "1"])
        .expect("the primary takes writes");
}

#[test]
fn a_gateway_that_stops_while_a_service_joins_lifts_the_fence_first() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let asia = Server::builder()
        .config("key-load-delay", LOAD_DELAY_US)
        .start()
        .expect("a server");
    let keys: Vec<_> = (0..KEYS)
        .map(|number| ["SET".to_owned(), format!("key:{number}"), "1".to_owned()])
        .collect();
    eu.client().pipeline(&keys).expect("written");
    gateway.stand(&[("eu", &eu), ("us", &us)]);
    gateway.add_service("asia", &[&asia]);
    let joins = gateway.begin(Change::AddReplica {
        service: service("asia"),
        overwrite: false,
    });
    wait_until(DEADLINE, "the copy of what joins", || {
        matches!(
            gateway.operation(joins.id).now,
            Some(Activity::Wait(OperationWait::Copy { .. }))
        )
    });
    drop(site.stop());
    eu.client()
        .cmd(&["SET", "alone", "1"])
        .expect("it takes writes without the gateway");
}

fn set_paused(gateway: &TestGateway, paused: bool) {
    gateway
        .ask(|control| async move { control.set_paused(group(), paused, me()).await })
        .expect("it is paused");
}
