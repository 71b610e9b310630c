//! A primary service that is lost, and the one that takes over.

use std::time::{Duration, Instant};

use sterna_control::Change;
use sterna_model::{
    Certainty, GroupSettings, GroupState, OperationKind, OperationResult, OperationState, StepName, StepState,
};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Proxy, Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, group, me, service};

/// A `SET` of a sequence's writer with a number of four digits takes so much of the stream.
const SET_BYTES: u64 = 37;

#[test]
fn a_killed_primary_is_replaced_and_loses_nothing_that_arrived() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us, ap) = (Server::start(), Server::start(), Server::start());
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    gateway.create_group("eu", &["us", "ap"], GroupSettings::default());

    let targets = [eu.connector(), us.connector()];
    let writer = SequenceWriter::start(SequenceOptions::load("seq", 2000), move || {
        targets[0]().or_else(|_| targets[1]())
    })
    .expect("a writer");
    writer.wait_acknowledged(1000, DEADLINE).expect("writes");
    let killed = Instant::now();
    eu.kill9();
    writer
        .wait_acknowledged_by(us.address(), killed, DEADLINE)
        .expect("writes at the new primary");
    writer.wait_acknowledged(500, DEADLINE).expect("more writes");
    writer.stop().expect("stopped");

    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    let report = failover.report.expect("a report");
    assert_eq!(report.to, service("us"));
    digests_equal(&us, &ap).expect("equal");
    assert_eq!(
        us.client().info_field("stats", "sync_full").expect("a number"),
        "0"
    );
    assert_eq!(report.full_resyncs, 0, "{report:#?}");

    eu.restart().expect("restarted");
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    gateway.wait_state(GroupState::Healthy);
    digests_equal(&us, &eu).expect("equal");
}

/// Its last writes were on their way here, and nobody else has them.
#[test]
fn a_report_says_how_much_a_far_primary_may_have_written_since_it_was_last_heard() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (Server::start(), Server::start());
    let way = Proxy::start(eu.address()).expect("a way");
    way.delay(Duration::from_millis(75));
    gateway.add_service_behind("eu", &way, &[]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let writer = SequenceWriter::start(SequenceOptions::load("seq", 1000), eu.connector()).expect("a writer");
    writer.wait_acknowledged(3000, DEADLINE).expect("writes");
    way.refuse();
    way.cut().expect("cut");
    eu.kill9();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    writer.stop().expect("stopped");
    let lost = writer.missing(&mut us.client()).expect("read back");
    assert!(!lost.is_empty(), "{failover:#?}");
    let report = failover.report.expect("a report");
    assert_eq!(report.rpo.certainty, Certainty::Estimate);
    let lost_bytes = u64::try_from(lost.len()).expect("not so many") * SET_BYTES;
    let most = report.rpo.bytes_max.expect("a bound");
    assert!(most >= lost_bytes, "{} writes were lost: {report:#?}", lost.len());
    assert!(report.rpo.seconds > 0.07, "{report:#?}");
}

#[test]
fn a_failover_that_a_person_asks_for_while_the_primary_is_well_loses_nothing() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let writer = SequenceWriter::start(SequenceOptions::load("seq", 2000), eu.connector()).expect("a writer");
    writer.wait_acknowledged(1000, DEADLINE).expect("writes");
    let asked = gateway.begin(Change::Failover {
        to: None,
        force: false,
    });
    let done = gateway.wait_operation(asked.id);
    assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
    writer.stop().expect("stopped");
    gateway.wait_kind(OperationKind::Rejoin);
    gateway.wait_state(GroupState::Healthy);
    assert_eq!(
        writer.missing(&mut us.client()).expect("read back"),
        Vec::<u64>::new()
    );
    digests_equal(&us, &eu).expect("equal");
    let report = gateway.operation(asked.id).report.expect("a report");
    assert_eq!(
        (report.rpo.bytes, report.rpo.certainty),
        (0, Certainty::Exact),
        "{report:#?}"
    );
    assert_eq!(
        us.client().info_field("stats", "sync_full").expect("a number"),
        "0"
    );
}

#[test]
fn a_primary_that_was_shut_in_an_earlier_failover_is_shut_again() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    for round in ["first", "second"] {
        let asked = gateway.begin(Change::Failover {
            to: None,
            force: false,
        });
        let done = gateway.wait_operation(asked.id);
        assert_eq!(done.state, OperationState::Succeeded, "{round}: {done:#?}");
        let shut = done
            .steps
            .iter()
            .any(|step| step.name == StepName::BlockWrites && step.state == StepState::Done);
        assert!(shut, "{round}: {done:#?}");
        gateway.wait_state(GroupState::Healthy);
        let asked = gateway.begin(Change::Switchover {
            to: service("eu"),
            allow_missing_users: false,
        });
        let back = gateway.wait_operation(asked.id);
        assert_eq!(back.state, OperationState::Succeeded, "{round}: {back:#?}");
        gateway.wait_state(GroupState::Healthy);
    }
}

#[test]
fn an_old_primary_that_restarts_with_its_data_continues_without_a_copy() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let mut client = eu.client();
    for number in 0..100 {
        client
            .cmd(&["SET", &format!("key:{number}"), "value"])
            .expect("written");
    }
    digests_equal(&eu, &us).expect("equal");
    // The child that sent the first copy may not have been noticed to be gone.
    wait_until(DEADLINE, "the primary to save", || client.cmd(&["SAVE"]));
    eu.kill9();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    us.client().cmd(&["SET", "after", "1"]).expect("written");
    let copies = |gateway: &crate::common::TestGateway| {
        let views = gateway.control.views();
        views[&group()].shard.borrow().counters.full_syncs_down
    };
    let before = copies(gateway);
    eu.restart().expect("restarted from its file");
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    digests_equal(&us, &eu).expect("equal");
    assert_eq!(copies(gateway), before, "{rejoin:#?}");
}

#[test]
fn a_lost_primary_goes_before_a_service_that_is_joining() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (Server::start(), Server::start());
    // It takes 6 s to load what it is sent.
    let ap = Server::builder()
        .config("key-load-delay", "20000")
        .start()
        .expect("a server");
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    let mut client = eu.client();
    for key in 0..300 {
        let key = format!("key:{key}");
        client.cmd(&["SET", &key, "value"]).expect("written");
    }
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let add = gateway
        .ask(|control| async move {
            control
                .begin(
                    group(),
                    Change::AddReplica {
                        service: service("ap"),
                        overwrite: false,
                    },
                    me(),
                )
                .await
        })
        .expect("asked");
    wait_until(DEADLINE, "ap to load its copy", || {
        let seen = gateway.operation(add.id);
        let copies = seen
            .steps
            .last()
            .is_some_and(|step| step.name == StepName::AwaitCopy);
        copies.then_some(()).ok_or_else(|| format!("{seen:#?}"))
    });
    eu.kill9();

    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    let add = gateway.operation(add.id);
    assert_eq!(add.state, OperationState::Failed, "{add:#?}");
    assert_eq!(add.result, Some(OperationResult::Preempted), "{add:#?}");
    us.client().cmd(&["SET", "after", "1"]).expect("us takes writes");
    eu.restart().expect("it comes back");
    gateway.wait_state(GroupState::Healthy);
    for follower in [&ap, &eu] {
        digests_equal(&us, follower).expect("equal");
    }
}
