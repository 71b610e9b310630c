//! A primary whose history is no longer what it was: whether that is its own, with all of its data, or another.

use sterna_model::{GroupSettings, GroupState, OperationKind};
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, group, me};

/// Nobody followed it for longer than `repl-backlog-ttl`: it drops its backlog, and takes a new replication id.
#[test]
fn a_primary_that_took_a_new_id_while_the_gateway_was_away_stays_the_primary() {
    let site = Site::new();
    let (eu, us) = (Server::start(), Server::start());
    site.gateway.add_service("eu", &[&eu]);
    site.gateway.add_service("us", &[&us]);
    site.gateway.create_group("eu", &["us"], GroupSettings::default());
    // From which process it came is noted with what comes.
    eu.client().cmd(&["SET", "first", "1"]).expect("taken");
    assert_eq!(
        eu.client().cmd(&["WAIT", "1", "30000"]).expect("a number").text(),
        "1"
    );
    let id = |server: &Server| server.client().info_field("replication", "master_replid");
    let before = id(&eu).expect("an id");

    let stopped = site.stop();
    eu.client()
        .cmd(&["CONFIG", "SET", "repl-backlog-ttl", "1"])
        .expect("set");
    wait_until(DEADLINE, "a new id", || match id(&eu) {
        Ok(now) if now != before => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // Else it takes another each time that nobody has followed it for a second.
    let mut client = eu.client();
    client
        .cmd(&["CONFIG", "SET", "repl-backlog-ttl", "3600"])
        .expect("set");
    for number in 0..100 {
        client
            .cmd(&["SET", &format!("later:{number}"), "1"])
            .expect("taken");
    }

    let site = stopped.start();
    let gateway = &site.gateway;
    wait_until(DEADLINE, "the replica to have what was written meanwhile", || {
        let keys = us.client().info_field("keyspace", "db0")?;
        if keys.starts_with("keys=101,") {
            Ok(())
        } else {
            Err(anyhow::anyhow!("{keys}\n{:#?}", gateway.status()))
        }
    });
    let status = gateway.wait_state(GroupState::Healthy);
    assert_eq!(status.summary.epoch.0, 1, "{status:#?}");
    let operations = gateway.operations();
    let failed_over = operations
        .iter()
        .any(|operation| operation.kind == OperationKind::Failover);
    assert!(!failed_over, "{operations:#?}");
    digests_equal(&eu, &us).expect("equal");
}

/// It came back empty, and that is right: what the replica holds is to go.
#[test]
fn a_person_accepts_the_history_of_a_primary_on_which_replication_holds() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let settings = GroupSettings {
        automatic_failover: false,
        ..GroupSettings::default()
    };
    gateway.create_group("eu", &["us"], settings);
    eu.client().cmd(&["SET", "old", "1"]).expect("taken");
    let accept = |offered| {
        gateway.ask(move |control| async move { control.accept_history(group(), offered, me()).await })
    };
    let refused = accept(None).expect_err("it does not hold").to_string();
    assert!(refused.contains("does not hold"), "{refused}");

    eu.stop().expect("stopped");
    eu.restart().expect("restarted, and empty");
    let holds = gateway.wait_state(GroupState::Holding);
    let other = "0123456789abcdef0123456789abcdef01234567".parse().ok();
    let refused = accept(other).expect_err("another history").to_string();
    assert!(refused.contains("Nothing was changed"), "{refused}");
    assert_eq!(us.client().cmd(&["DBSIZE"]).expect("a number").text(), "1");

    accept(holds.offered_history()).expect("accepted");
    gateway.wait_state(GroupState::Healthy);
    eu.client().cmd(&["SET", "new", "1"]).expect("taken");
    digests_equal(&eu, &us).expect("equal");
    assert_eq!(gateway.status().summary.epoch.0, 1);
}
