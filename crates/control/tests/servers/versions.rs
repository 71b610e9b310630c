//! Nodes of another version than their primary, and one that loads while it is told to do something else.

use std::time::{Duration, Instant};

use sterna_control::Change;
use sterna_model::{AlertCode, CopyObstacle, GroupSettings, GroupState, NodeCondition, OperationState};
use sterna_testkit::{Engine, Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, group, me, service};

/// One of the engines that `scripts/fetch-engines` brings.
#[expect(clippy::print_stderr, reason = "a test that skips itself says so")]
fn engine(name: &str) -> Option<Engine> {
    let found = Engine::named(name).ok();
    if found.is_none() {
        eprintln!("skipped: run scripts/fetch-engines for {name}");
    }
    found
}

fn start(engine: &Engine) -> Server {
    let server = Server::builder().engine(engine.clone()).config("save", "3600 1");
    server.start().expect("started")
}

fn keys(server: &Server) -> i64 {
    server
        .client()
        .cmd(&["DBSIZE"])
        .expect("a number")
        .int()
        .expect("a number")
}

/// It can't load what the new version writes: it is given nothing, keeps what it has, and everybody is told why.
#[test]
fn a_primary_that_was_upgraded_first_holds_the_copy_and_says_why() {
    let (Some(old), Some(new)) = (engine("redis-7.0.15"), engine("redis-8.0.2")) else {
        return;
    };
    let site = Site::new();
    let (mut eu, mut us) = (start(&old), start(&old));
    eu.client()
        .cmd(&["DEBUG", "POPULATE", "500", "key", "100"])
        .expect("filled");
    site.gateway.add_service("eu", &[&eu]);
    site.gateway.add_service("us", &[&us]);
    site.gateway.create_group("eu", &["us"], GroupSettings::default());
    digests_equal(&eu, &us).expect("equal");
    let stopped = site.stop();
    // Written while nobody follows, and more than its backlog holds.
    eu.stop_gracefully(true).expect("stopped");
    eu.upgrade(new.clone()).expect("upgraded");
    let mut client = eu.client();
    for (name, value) in [("repl-backlog-size", "16384"), ("min-replicas-to-write", "0")] {
        client.cmd(&["CONFIG", "SET", name, value]).expect("set");
    }
    client
        .cmd(&["SET", "large", &"x".repeat(100_000)])
        .expect("written");
    let site = stopped.start();
    let status = wait_until(DEADLINE, "the copy to be held", || {
        let status = site.gateway.status();
        let held = status
            .alerts
            .iter()
            .any(|alert| alert.code() == AlertCode::CopyHeld);
        if held {
            Ok(status)
        } else {
            Err(format!("{status:#?}"))
        }
    });
    let us_status = status.services.iter().find(|found| found.name == service("us"));
    let node = &us_status.expect("the service").nodes[0];
    let NodeCondition::CopyHeld(CopyObstacle::RdbVersion { written, loaded, .. }) = &node.condition else {
        panic!("{status:#?}");
    };
    assert_eq!((*written, *loaded), (Some(12), Some(10)));
    assert_eq!(keys(&us), 500, "the node was emptied");
    us.stop_gracefully(true).expect("stopped");
    us.upgrade(new).expect("upgraded");
    site.gateway.wait_state(GroupState::Healthy);
    digests_equal(&eu, &us).expect("equal");
}

/// A Valkey 9 loads in a thread, and its main thread waits for that when it is told to follow nobody.
#[test]
fn a_node_that_waits_for_the_rest_of_a_copy_answers_while_it_is_let_go() {
    let Some(engine) = engine("valkey-9.1") else {
        return;
    };
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us, ap) = (start(&engine), start(&engine), start(&engine));
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    gateway.create_group("eu", &["us", "ap"], GroupSettings::default());
    let mut client = eu.client();
    // Of no use to whoever compresses it.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from(state >> 58).unwrap_or(0))
    });
    let large: String = noise.take(200_000).collect();
    for number in 0..3 {
        client
            .cmd(&["SET", &format!("key:{number}"), &large])
            .expect("written");
    }
    // Everybody needs a copy, which begins and then does not come on for ten seconds.
    for (name, value) in [("rdb-key-save-delay", "10000000"), ("repl-backlog-size", "16384")] {
        client.cmd(&["CONFIG", "SET", name, value]).expect("set");
    }
    client.cmd(&["MULTI"]).expect("queued");
    client
        .cmd(&["CLIENT", "KILL", "TYPE", "replica"])
        .expect("queued");
    client.cmd(&["SET", "large", &large]).expect("queued");
    client.cmd(&["EXEC"]).expect("done");
    wait_until(DEADLINE, "the node to load", || {
        let info = ap.client().info("replication")?;
        let read = info.get("master_sync_read_bytes").map(String::as_str);
        anyhow::ensure!(read.is_some_and(|bytes| bytes != "0"), "{info:?}");
        anyhow::Ok(())
    });
    let begin = |change| gateway.ask(|control| async move { control.begin(group(), change, me()).await });
    let mut asking = ap.client();
    let detach = begin(Change::RemoveReplica {
        service: service("ap"),
        promote: true,
    });
    let detach = detach.expect("asked");
    let mut longest = Duration::ZERO;
    wait_until(DEADLINE, "the node to be let go", || {
        let asked = Instant::now();
        let answer = asking.raw(&["PING"]);
        longest = longest.max(asked.elapsed());
        answer?;
        let over = gateway.operation(detach.id).state;
        anyhow::ensure!(over.is_final(), "{over:?}");
        anyhow::Ok(())
    });
    assert_eq!(gateway.operation(detach.id).state, OperationState::Succeeded);
    assert!(
        longest < Duration::from_secs(2),
        "it answered nobody for {longest:?}"
    );
}
