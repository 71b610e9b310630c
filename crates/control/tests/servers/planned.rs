//! What operators do to nodes, and say of them: restarts, and who is never to be promoted.

use std::time::Instant;

use sterna_control::Change;
use sterna_model::{
    FailoverObstacle, FailoverReadiness, GroupSettings, GroupState, OperationKind, OperationState,
};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, address, group, me, service};

#[test]
fn among_the_nodes_of_a_service_the_lower_priority_wins_and_none_is_never() {
    let site = Site::new();
    let gateway = &site.gateway;
    let with = |priority| {
        Server::builder()
            .config("replica-priority", priority)
            .start()
            .expect("a server")
    };
    let (mut eu, never, second, first) = (Server::start(), with("0"), with("50"), with("10"));
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&never, &second, &first]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    eu.kill9();
    let failover = gateway.wait_kind(OperationKind::Failover);
    let report = failover.report.expect("a report");
    assert_eq!(report.to_node, address(&first));
}

#[test]
fn a_node_that_is_never_to_be_promoted_is_promoted_by_a_person_alone() {
    let site = Site::new();
    let gateway = &site.gateway;
    let mut eu = Server::start();
    let us = Server::builder()
        .config("replica-priority", "0")
        .start()
        .expect("a server");
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let never = FailoverReadiness::of(Some(FailoverObstacle::NeverPromoted));
    wait_until(DEADLINE, "that nothing would happen by itself", || {
        let status = gateway.status();
        if status.summary.failover == never {
            Ok(())
        } else {
            Err(format!("{status:#?}"))
        }
    });
    eu.kill9();
    gateway.wait_state(GroupState::PrimaryDown);
    let asked = gateway
        .ask(|control| async move {
            let change = Change::Failover {
                to: Some(service("us")),
                force: false,
            };
            control.begin(group(), change, me()).await
        })
        .expect("a failover");
    let done = gateway.wait_operation(asked.id);
    assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
    us.client().cmd(&["SET", "there", "1"]).expect("taken");
}

/// It waits until its replicas have everything, so that nothing is left behind; nor is it afterwards in its append-only file.
#[test]
fn a_primary_that_is_restarted_in_order_leaves_no_write_behind() {
    let site = Site::new();
    let gateway = &site.gateway;
    let mut eu = Server::builder()
        .config("appendonly", "yes")
        .config("appendfsync", "always")
        .start()
        .expect("a server");
    let us = Server::start();
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let (at_eu, at_us, routes) = (eu.connector(), us.connector(), gateway.routes.clone());
    let eu_port = eu.port();
    let writer = SequenceWriter::start(SequenceOptions::load("seq", 2000), move || {
        let port = routes.borrow().values().next().map(|route| route.primary.port);
        if port == Some(eu_port) { at_eu() } else { at_us() }
    })
    .expect("a writer");
    writer.wait_acknowledged(1000, DEADLINE).expect("writes");
    let stopped = Instant::now();
    eu.stop_gracefully(false).expect("stopped");
    eu.restart().expect("restarted");
    writer
        .wait_acknowledged_by(us.address(), stopped, DEADLINE)
        .unwrap_or_else(|error| panic!("{error:#}: {:#?}", gateway.status()));
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    writer.stop().expect("stopped");
    gateway.wait_state(GroupState::Healthy);
    let missing = writer.missing(&mut us.client()).expect("read back");
    assert!(missing.is_empty(), "{missing:?}");
    digests_equal(&us, &eu).expect("equal");
}
