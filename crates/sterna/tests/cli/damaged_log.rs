//! A gateway that finds the files of a group's log damaged when it starts, or can't open a log at all.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use sterna_harness::{Gateway, Setup, succeeded};
use sterna_model::{
    AlertCode, AlertReason, FailoverObstacle, GroupReason, GroupSettings, GroupState, Operation,
    PrimaryVerdict,
};
use sterna_testkit::{Reply, Server, digests_equal, wait_until};

use crate::support::DEADLINE;

/// Replica nodes hold their data: they go on from where they are. The files are kept, and an alert says so for as long as they
/// lie there.
#[test]
fn a_group_whose_log_is_damaged_goes_on_without_a_copy() {
    let (mut eu, us) = (Server::start(), Server::start());
    let mut gateway = stands(&eu, &us);
    write(&eu, "before");
    digests_equal(&eu, &us).expect("equal");
    let copies = us.full_copies_taken();

    gateway.kill();
    damage(&gateway);
    gateway.start_again().expect("it starts");
    gateway.wait_healthy().expect("healthy");
    write(&eu, "after");
    digests_equal(&eu, &us).expect("equal");
    assert_eq!(us.full_copies_taken(), copies, "{}", us.log_tail());

    let AlertReason::LogDamaged { error, kept_in } = wait_for_alert(&gateway, AlertCode::LogDamaged) else {
        panic!("another reason")
    };
    assert!(error.contains("history.json"), "{error}");
    let kept = PathBuf::from(&kept_in[0]);
    assert_eq!(fs::read_to_string(kept.join("history.json")).expect("kept"), "{");
    assert!(kept.join("segments").is_dir());
    eu.kill9();
    wait_until(DEADLINE, "the other takes over", || {
        us.client().cmd(&["SET", "then", "1"])
    });
    eu.restart().expect("it starts");
    gateway.wait_healthy().expect("healthy");

    fs::remove_dir_all(kept).expect("removed");
    wait_until(DEADLINE, "the end of the alert", || {
        let alerts = gateway.status().expect("its status").alerts;
        if alerts.is_empty() {
            Ok(())
        } else {
            Err(format!("{alerts:?}"))
        }
    });
}

/// Nobody can tell what would be lost: a person decides.
#[test]
fn a_primary_that_died_with_the_log_is_left_to_a_person_who_can_force_a_failover() {
    let (mut eu, us) = (Server::start(), Server::start());
    let mut gateway = stands(&eu, &us);
    write(&eu, "before");
    digests_equal(&eu, &us).expect("equal");
    eu.kill9();
    gateway.kill();
    damage(&gateway);
    gateway.start_again().expect("it starts");
    let unknown = PrimaryVerdict::LeftToPeople(FailoverObstacle::LossUnknown);
    wait_until(DEADLINE, "the loss that nobody can tell", || {
        match gateway.status().expect("its status").summary.reason {
            GroupReason::Primary { verdict, .. } if verdict == unknown => Ok(()),
            reason => Err(reason),
        }
    });
    let refused = gateway
        .rest
        .post::<Operation>("/groups/orders/failover", &json!({}))
        .expect_err("refused");
    assert!(format!("{refused:#}").contains("--force"), "{refused:#}");
    let begun: Operation = gateway
        .rest
        .post("/groups/orders/failover", &json!({"force": true}))
        .expect("begun");
    succeeded(gateway.wait_operation(begun.id).expect("it ends")).expect("failed over");
    assert_eq!(
        us.client().cmd(&["EXISTS", "before"]).expect("read"),
        Reply::Int(1)
    );
    write(&us, "after");
    eu.restart().expect("it starts");
    gateway.wait_healthy().expect("healthy");
    digests_equal(&us, &eu).expect("equal");
}

/// What the replica nodes hold stands for the log.
#[test]
fn a_primary_that_came_back_empty_overwrites_nobody_though_the_log_is_lost() {
    let (mut eu, us) = (Server::start(), Server::start());
    let mut gateway = stands(&eu, &us);
    write(&eu, "before");
    digests_equal(&eu, &us).expect("equal");
    gateway.kill();
    damage(&gateway);
    eu.kill9();
    eu.restart().expect("it starts");
    assert_eq!(
        eu.client().cmd(&["DBSIZE"]).expect("asked"),
        Reply::Int(0),
        "it kept nothing"
    );
    gateway.start_again().expect("it starts");
    wait_until(DEADLINE, "the other to take over, or nobody", || {
        let status = gateway.status().expect("its status");
        let ended = [GroupState::Holding, GroupState::Healthy].contains(&status.summary.state);
        if ended { Ok(()) } else { Err(format!("{status:?}")) }
    });
    assert_eq!(
        us.client().cmd(&["EXISTS", "before"]).expect("read"),
        Reply::Int(1)
    );
}

/// It may hold what the primary lost. The primary is not shut for it.
#[test]
fn a_replica_that_does_not_say_what_it_holds_is_not_overwritten_by_an_empty_primary() {
    let (mut eu, us) = (Server::start(), Server::start());
    let mut gateway = stands(&eu, &us);
    write(&eu, "before");
    digests_equal(&eu, &us).expect("equal");
    gateway.kill();
    damage(&gateway);
    eu.kill9();
    eu.restart().expect("it starts");
    us.pause().expect("it stands still");
    gateway.start_again().expect("it starts");
    write(&eu, "alone");
    us.resume().expect("it goes on");
    wait_until(DEADLINE, "the primary to be held off", || {
        let status = gateway.status().expect("its status");
        if status.summary.state == GroupState::Holding {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    assert_eq!(
        us.client().cmd(&["EXISTS", "before"]).expect("read"),
        Reply::Int(1)
    );
}

/// There is nothing there that could be overwritten.
#[test]
fn a_replica_that_came_back_empty_with_the_log_lost_holds_up_nothing() {
    let (eu, mut us) = (Server::start(), Server::start());
    let mut gateway = stands(&eu, &us);
    write(&eu, "before");
    gateway.kill();
    damage(&gateway);
    us.kill9();
    us.restart().expect("it starts");
    gateway.start_again().expect("it starts");
    gateway.wait_healthy().expect("healthy");
    write(&eu, "after");
    digests_equal(&eu, &us).expect("equal");
}

/// Another log would not open either: the group is there, says why, and goes on when that is mended.
#[test]
fn a_group_that_can_not_be_taken_up_says_why_and_is_tried_again() {
    let (eu, us) = (Server::start(), Server::start());
    let mut gateway = stands(&eu, &us);
    gateway.stop().expect("stopped");
    let shard = shard_dir(&gateway);
    let away = gateway.data_dir().join("away");
    fs::rename(&shard, &away).expect("moved");
    fs::write(&shard, "in its place").expect("written");
    gateway.start_again().expect("it starts");

    let AlertReason::NotTakenUp { error } = wait_for_alert(&gateway, AlertCode::NotTakenUp) else {
        panic!("another reason")
    };
    assert!(error.contains("Not a directory"), "{error}");
    let status = gateway.status().expect("its status");
    assert_eq!(status.summary.reason, GroupReason::NotTakenUp { error });
    let refused = gateway.switchover("us").expect_err("refused");
    assert!(
        format!("{refused:#}").contains("can't be taken up"),
        "{refused:#}"
    );

    fs::remove_file(&shard).expect("removed");
    fs::rename(&away, &shard).expect("moved");
    gateway.wait_healthy().expect("healthy");
    gateway.switchover("us").expect("switched over");
}

fn stands(eu: &Server, us: &Server) -> Gateway {
    let gateway = Gateway::start(Setup::new(env!("CARGO_BIN_EXE_sterna"))).expect("a gateway");
    for (name, node) in [("eu", eu), ("us", us)] {
        gateway.add_service(name, node.address()).expect("a service");
    }
    gateway
        .create_group(&["eu", "us"], &GroupSettings::default())
        .expect("a group");
    gateway
}

/// It may be shut while nobody acknowledges.
fn write(server: &Server, key: &str) {
    let mut client = server.client();
    wait_until(DEADLINE, "the primary to take writes", || {
        client.cmd(&["SET", key, "1"])
    });
}

fn shard_dir(gateway: &Gateway) -> PathBuf {
    gateway.data_dir().join("groups/orders/shards/0")
}

fn damage(gateway: &Gateway) {
    let history = shard_dir(gateway).join(Path::new("log/history.json"));
    assert!(history.is_file());
    fs::write(history, "{").expect("written");
}

fn wait_for_alert(gateway: &Gateway, code: AlertCode) -> AlertReason {
    wait_until(DEADLINE, "the alert", || {
        let alerts = gateway.status().expect("its status").alerts;
        let mut reasons = alerts.into_iter().map(|alert| alert.reason);
        reasons.find(|reason| reason.code() == code).ok_or("none")
    })
}
