//! What an old primary has alone, and who takes over, where a change of primary meets a second mishap.

use std::time::Duration;

use sterna_control::Change;
use sterna_model::{
    Activity, Certainty, Fencing, GroupSettings, GroupState, Operation, OperationKind, OperationState,
    StepName,
};
use sterna_testkit::{Proxy, Server, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, group, me, service};

/// Half of the way there and back, so that a rescue takes a while.
const FAR: Duration = Duration::from_millis(150);
/// A node that says nothing in the midst of a rescue is given up after twice this.
const SOON: Duration = Duration::from_secs(30);

fn without_fence() -> GroupSettings {
    GroupSettings {
        fencing: Fencing::None,
        failover_pause_seconds: 0,
        ..GroupSettings::default()
    }
}

/// Waits for a failover to this service that has come to its end.
fn fails_over_to(gateway: &TestGateway, to: &str, deadline: Duration) -> Operation {
    let is_it = |operation: &Operation| {
        let report = operation.report.as_ref();
        operation.kind == OperationKind::Failover
            && operation.state == OperationState::Succeeded
            && report.is_some_and(|report| report.to == service(to))
    };
    wait_until(deadline, &format!("a failover to {to}"), || {
        gateway.operations().into_iter().find(is_it)
    })
}

/// The primary is cut off and goes on taking writes; its local replica takes over again before it comes back.
#[test]
fn an_old_primary_is_still_awaited_when_another_node_of_its_service_has_taken_over() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let local = Server::builder().replica_of(&eu).start().expect("its replica");
    let way = Proxy::start(eu.address()).expect("a way");
    gateway.add_service_behind("eu", &way, &[&local]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], without_fence());
    way.block();
    fails_over_to(gateway, "us", DEADLINE);
    follows_relay(gateway, &local);
    eu.client().cmd(&["SET", "alone", "1"]).expect("it takes writes");
    // Once it is seen that the other node of the service has what the new primary has.
    let asked = wait_until(DEADLINE, "a failover back to be taken", || {
        let change = Change::Failover {
            to: Some(service("eu")),
            force: true,
        };
        gateway.ask(|control| async move { control.begin(group(), change, me()).await })
    });
    let back = gateway.wait_operation(asked.id);
    assert_eq!(back.state, OperationState::Succeeded, "{back:#?}");

    way.unblock();
    way.cut().expect("cut");
    wait_until(DEADLINE, "what it has alone to be saved", || {
        gateway.rescues().into_iter().find(|rescue| {
            rescue
                .summary
                .as_ref()
                .is_some_and(|summary| summary.first_keys == ["alone"])
        })
    });
    wait_until(DEADLINE, "it to follow", || {
        eu.client()
            .info_field("replication", "role")
            .is_ok_and(|role| role == "slave")
    });
}

#[test]
fn what_a_process_that_was_started_again_saved_does_not_count_what_the_one_before_lost() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (Server::start(), Server::start());
    let way = Proxy::start(eu.address()).expect("a way");
    gateway.add_service_behind("eu", &way, &[]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], without_fence());
    wait_until(DEADLINE, "the data to be saved", || {
        eu.client().cmd(&["SAVE"]).map(drop)
    });
    way.block();
    for number in 0..100 {
        let key = format!("lost:{number}");
        eu.client().cmd(&["SET", &key, "1"]).expect("written");
    }
    eu.kill9();
    let failover = fails_over_to(gateway, "us", DEADLINE);
    eu.restart().expect("started");
    eu.client().cmd(&["SET", "alone", "1"]).expect("written");
    way.unblock();
    way.cut().expect("cut");
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    let rescues = gateway.rescues();
    assert_eq!(rescues.len(), 1, "{rescues:#?}");
    let rpo = gateway.operation(failover.id).report.expect("a report").rpo;
    assert_ne!(rpo.certainty, Certainty::Exact, "{rpo:#?}");
    assert_eq!(rpo.rescue, Some(rescues[0].id));
}

#[test]
fn without_a_fence_too_nodes_are_after_a_restart_what_a_switchover_made_them() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, mut us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], without_fence());
    gateway.switch_over("us");
    gateway.wait_state(GroupState::Healthy);
    let stopped = site.stop();
    for (server, role) in [(&mut us, "master"), (&mut eu, "slave")] {
        server.kill9();
        server.restart().expect("started");
        assert_eq!(
            server.client().info_field("replication", "role").expect("a role"),
            role
        );
    }
    drop(stopped);
}

#[test]
fn a_node_that_can_not_be_promoted_is_passed_over() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us, asia) = (Server::start(), Server::start(), Server::start());
    let servers = [("eu", &eu), ("us", &us), ("asia", &asia)];
    for (name, server) in servers {
        gateway.add_service(name, &[server]);
    }
    let settings = GroupSettings {
        failover_pause_seconds: 0,
        ..GroupSettings::default()
    };
    gateway.create_group("eu", &["us", "asia"], settings);
    us.client()
        .cmd(&["ACL", "SETUSER", "default", "-replicaof", "-slaveof"])
        .expect("set");
    eu.kill9();
    fails_over_to(gateway, "asia", DEADLINE);
    asia.client()
        .cmd(&["SET", "new", "1"])
        .expect("the new primary takes writes");
}

#[test]
fn a_former_primary_comes_back_though_another_node_of_its_service_can_not_log_in() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (Server::start(), Server::start());
    let local = Server::builder().replica_of(&eu).start().expect("its replica");
    gateway.add_service("eu", &[&local, &eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    eu.kill9();
    fails_over_to(gateway, "us", DEADLINE);
    follows_relay(gateway, &local);
    let mut client = local.client();
    client
        .cmd(&["CONFIG", "SET", "masterauth", "wrong"])
        .expect("set");
    client
        .cmd(&["CLIENT", "KILL", "TYPE", "master"])
        .expect("cut off");
    eu.restart().expect("started");
    gateway.wait_state(GroupState::Healthy);
    for server in [&eu, &local] {
        follows_relay(gateway, server);
    }
}

#[test]
fn a_failover_does_not_wait_for_a_rescue() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, mut us, asia) = (Server::start(), Server::start(), Server::start());
    let way = Proxy::start(eu.address()).expect("a way");
    gateway.add_service_behind("eu", &way, &[]);
    gateway.add_service("us", &[&us]);
    gateway.add_service("asia", &[&asia]);
    gateway.create_group("eu", &["us", "asia"], without_fence());
    way.block();
    fails_over_to(gateway, "us", DEADLINE);
    eu.client().cmd(&["SET", "alone", "1"]).expect("it takes writes");
    way.delay(FAR);
    way.unblock();
    way.cut().expect("cut");
    wait_until(DEADLINE, "the rescue", || {
        let rescues = Some(Activity::Step {
            step: StepName::Rescue,
        });
        gateway
            .operations()
            .iter()
            .any(|operation| operation.now == rescues)
    });
    eu.pause().expect("frozen");
    us.kill9();
    fails_over_to(gateway, "asia", SOON);
    eu.resume().expect("awake");
    wait_until(DEADLINE, "what it has alone to be saved", || {
        gateway.rescues().len() == 1
    });
}

fn follows_relay(gateway: &TestGateway, server: &Server) {
    let relay = gateway.relay_port.to_string();
    wait_until(DEADLINE, "it to follow the relay", || {
        let mut client = server.client();
        let mut says = |field, wanted: &str| {
            client
                .info_field("replication", field)
                .is_ok_and(|value| value == wanted)
        };
        says("master_port", &relay) && says("master_link_status", "up")
    });
}
