//! Full copies of a primary whose writes depend on the gateway's acknowledgements.

use std::time::{Duration, Instant};

use sterna_control::Change;
use sterna_model::{
    Alert, AlertReason, FailoverObstacle, GroupSettings, GroupState, LinkState, OperationKind, OperationState,
};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Reply, Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, group, me};

/// How long a primary may be without a good replica when the connection to the gateway breaks.
const RECONNECTS: Duration = Duration::from_secs(2);

/// A primary with next to no room for replicas: a small backlog, and a limit for what piles up for one.
fn cramped() -> Server {
    Server::builder()
        .config("repl-backlog-size", "1mb")
        .config("client-output-buffer-limit", "replica 1mb 1mb 1")
        .start()
        .expect("a server")
}

/// Breaks the primary's connections to its replicas and writes so much that none of them can be continued.
fn outrun_the_backlog(primary: &Server) {
    let mut client = primary.client();
    // The group has made it larger.
    let small = ["CONFIG", "SET", "repl-backlog-size", "1048576"];
    client.cmd(&small).expect("set");
    client.cmd(&["MULTI"]).expect("queued");
    client
        .cmd(&["CLIENT", "KILL", "TYPE", "replica"])
        .expect("queued");
    let value = "x".repeat(3 << 20);
    client.cmd(&["SET", "large", &value]).expect("queued");
    client.cmd(&["EXEC"]).expect("done");
}

fn wait_for_a_copy(gateway: &TestGateway) {
    wait_until(DEADLINE, "a full copy to be under way", || {
        let status = gateway.status();
        status.shards[0]
            .copy
            .is_some()
            .then_some(())
            .ok_or(format!("{status:#?}"))
    });
}

#[test]
fn a_full_copy_refuses_no_write_and_piles_nothing_up_at_the_primary() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (cramped(), Server::start());
    eu.client()
        .cmd(&["DEBUG", "POPULATE", "2000", "key", "100"])
        .expect("filled");
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let mut client = eu.client();
    // It stands for a large data set: about six seconds.
    client
        .cmd(&["CONFIG", "SET", "rdb-key-save-delay", "3000"])
        .expect("set");
    outrun_the_backlog(&eu);
    wait_for_a_copy(gateway);
    assert_eq!(gateway.status().shards[0].link, LinkState::Streaming);
    let (mut number, value) = (0, "v".repeat(50_000));
    let broken = Instant::now();
    wait_until(DEADLINE, "the copy to end", || {
        number += 1;
        let reply = client.raw(&["SET", &format!("meanwhile:{}", number % 500), &value]);
        let reply = reply.expect("an answer");
        let refused = matches!(&reply, Reply::Error(_));
        assert!(
            !refused || broken.elapsed() < RECONNECTS,
            "write {number}: {reply:?}\n{}",
            eu.log_tail()
        );
        let copy = gateway.status().shards[0].copy;
        copy.is_none().then_some(()).ok_or(format!("{copy:?}"))
    });
    assert!(
        number > 100,
        "{number} writes of 50 kB are more than any room at the primary"
    );
    client
        .cmd(&["CONFIG", "SET", "rdb-key-save-delay", "0"])
        .expect("set");
    gateway.wait_state(GroupState::Healthy);
    digests_equal(&eu, &us).expect("equal");
    let log = eu.log();
    assert!(!log.contains("overcoming of output buffer limits"), "{log}");
}

/// The new primary is not of the history that the half copy was of; its own followers need one from it.
#[test]
fn a_primary_that_dies_while_it_is_copied_is_replaced_by_one_that_takes_writes_at_once() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us, ap) = (cramped(), Server::start(), Server::start());
    eu.client()
        .cmd(&["DEBUG", "POPULATE", "2000", "key", "100"])
        .expect("filled");
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    gateway.create_group("eu", &["us", "ap"], GroupSettings::default());
    digests_equal(&eu, &us).expect("equal");
    eu.client()
        .cmd(&["CONFIG", "SET", "rdb-key-save-delay", "30000"])
        .expect("set");
    outrun_the_backlog(&eu);
    wait_for_a_copy(gateway);
    eu.kill9();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    let report = failover.report.expect("a report");
    // What it wrote past what anybody holds is gone with it.
    assert!(report.rpo.bytes > 3 << 20, "{:?}", report.rpo);
    let new = if report.to.as_str() == "us" { &us } else { &ap };
    let mut options = SequenceOptions::load("new", 200);
    options.timeout = Some(Duration::from_secs(5));
    let writer = SequenceWriter::start(options, new.connector()).expect("a writer");
    writer
        .wait_acknowledged(200, DEADLINE)
        .expect("the new primary takes writes");
    writer.stop().expect("stopped");
    wait_until(DEADLINE, "both to follow", || digests_equal(&us, &ap));
}

/// What it lacks counts from what it has, not from where the log begins again.
#[test]
fn a_node_that_lacks_more_than_the_limit_is_promoted_by_a_person_alone() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (cramped(), Server::start());
    eu.client()
        .cmd(&["DEBUG", "POPULATE", "2000", "key", "100"])
        .expect("filled");
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let settings = GroupSettings {
        max_lag_on_failover_seconds: 2,
        ..GroupSettings::default()
    };
    gateway.create_group("eu", &["us"], settings);
    eu.client()
        .cmd(&["CONFIG", "SET", "rdb-key-save-delay", "30000"])
        .expect("set");
    outrun_the_backlog(&eu);
    wait_for_a_copy(gateway);
    let (broken, mut client) = (Instant::now(), eu.client());
    wait_until(DEADLINE, "the replica to lack three seconds", || {
        client.cmd(&["INCR", "counter"]).expect("written");
        let behind = broken.elapsed();
        (behind > Duration::from_secs(3))
            .then_some(())
            .ok_or(format!("{behind:?}"))
    });
    eu.kill9();
    wait_until(DEADLINE, "the loss to be left to a person", || {
        let status = gateway.status();
        let of_loss = |alert: &Alert| {
            matches!(
                alert.reason,
                AlertReason::PrimaryLost(FailoverObstacle::Loss { .. })
            )
        };
        let told = status.alerts.iter().any(of_loss);
        told.then_some(()).ok_or(format!("{status:#?}"))
    });
    let fail_over = |force| {
        gateway.ask(|control| async move {
            control
                .begin(group(), Change::Failover { to: None, force }, me())
                .await
        })
    };
    let refused = fail_over(false).expect_err("too much");
    assert!(
        refused.to_string().contains("max_lag_on_failover_seconds"),
        "{refused}"
    );
    let forced = gateway.wait_operation(fail_over(true).expect("forced").id);
    assert_eq!(forced.state, OperationState::Succeeded, "{forced:#?}");
    let report = forced.report.expect("a report");
    assert!(
        report.rpo.bytes > 3 << 20 && report.rpo.seconds > 2.0,
        "{:?}",
        report.rpo
    );
}
