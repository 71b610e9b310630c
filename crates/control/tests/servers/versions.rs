//! Nodes of another version than their primary.

use sterna_model::{AlertCode, CopyObstacle, GroupSettings, GroupState, NodeCondition};
use sterna_testkit::{Engine, Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, service};

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
