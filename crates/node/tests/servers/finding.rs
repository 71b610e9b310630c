//! Which node of a service is the primary: by addresses and by real Sentinels.

use std::time::Duration;

use sterna_node::upstream::CandidateFailure;
use sterna_node::{Client, FindError, Role};
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Engine, Server, reserve_port, wait_until};

use crate::scripted::sentinel_server;
use crate::{at, dialer, upstream};

#[tokio::test]
async fn of_several_addresses_the_primary_is_taken() {
    let primary = Server::start();
    let replica = primary.start_replica();
    replica.wait_link_up();
    let down = reserve_port().expect("a free port");
    let url = format!(
        "redis://127.0.0.1:{},{},{}",
        down.number(),
        replica.address(),
        primary.address()
    );
    let found = upstream(&url).find_primary().await.expect("a primary");
    assert_eq!((found.address, found.conflicts.len()), (at(primary.address()), 0));
    assert_eq!(found.replication.replicas.len(), 1);
}

#[tokio::test]
async fn of_two_primaries_the_one_with_replicas_is_taken_and_the_other_reported() {
    let (stale, primary) = (Server::start(), Server::start());
    let replica = primary.start_replica();
    replica.wait_link_up();
    let url = format!("redis://{},{}", stale.address(), primary.address());
    let found = upstream(&url).find_primary().await.expect("a primary");
    assert_eq!(found.address, at(primary.address()));
    assert_eq!(found.conflicts, [at(stale.address())]);
}

#[tokio::test]
async fn a_replica_is_followed_only_where_it_is_the_one_address() {
    let primary = Server::start();
    let (one, two) = (primary.start_replica(), primary.start_replica());
    one.wait_link_up();
    two.wait_link_up();
    let found = upstream(&format!("redis://{}", one.address()))
        .find_primary()
        .await
        .expect("the replica");
    assert_eq!(found.replication.role, Role::Replica);
    let error = upstream(&format!("redis://{},{}", one.address(), two.address()))
        .find_primary()
        .await
        .expect_err("two replicas");
    let FindError::NoPrimary(failures) = &error else {
        panic!("{error}")
    };
    assert!(
        failures
            .iter()
            .all(|(_, failure)| matches!(failure, CandidateFailure::Replica(Some(_)))),
        "{error}"
    );
}

#[tokio::test]
async fn every_candidate_has_its_reason() {
    let locked = Server::builder().password("secret").start().expect("started");
    let down = reserve_port().expect("a free port");
    let url = format!("redis://127.0.0.1:{},{}", down.number(), locked.address());
    let error = upstream(&url).find_primary().await.expect_err("no primary");
    let text = error.to_string();
    assert!(
        text.contains("refused") && text.contains("wants a password"),
        "{text}"
    );
    let (address, _) = error.most_telling().expect("a reason");
    assert_eq!(*address, at(locked.address()));
}

#[tokio::test]
async fn sentinels_name_the_primary_and_a_failover_is_followed() {
    let mut primary = Server::start();
    let replica = primary.start_replica();
    replica.wait_link_up();
    let sentinel = SentinelServer::start(Engine::default(), "orders", &primary, 1).expect("a Sentinel");
    let down = reserve_port().expect("a free port");
    let service = upstream(&format!(
        "redis+sentinel://127.0.0.1:{},{}/orders",
        down.number(),
        sentinel.address()
    ));
    let found = service.find_primary().await.expect("a primary");
    assert_eq!(found.address, at(primary.address()));

    // The Sentinel must know the replica before it can promote it.
    wait_until(
        Duration::from_secs(30),
        "the Sentinel to know the replica",
        || {
            let replicas = sentinel
                .connect()
                .and_then(|mut client| client.cmd(&["SENTINEL", "REPLICAS", "orders"]));
            replicas.is_ok_and(|replicas| !replicas.array().is_empty())
        },
    );
    primary.kill9();
    wait_until(Duration::from_secs(60), "the failover", || {
        sentinel
            .primary_address()
            .is_ok_and(|address| address == replica.address())
    });
    let found = service.find_primary().await.expect("the new primary");
    assert_eq!(found.address, at(replica.address()));
    assert!(found.replication.replid2.is_some());
}

#[tokio::test]
async fn sentinels_that_can_not_help_say_why() {
    let primary = Server::start();
    let sentinel = SentinelServer::start(Engine::default(), "orders", &primary, 1).expect("a Sentinel");
    let find = async |url: String| {
        upstream(&url)
            .find_primary()
            .await
            .expect_err("no primary")
            .to_string()
    };

    let text = find(format!("redis+sentinel://{}/order", sentinel.address())).await;
    assert!(text.contains("it knows orders"), "{text}");
    let text = find(format!("redis+sentinel://{}/orders", primary.address())).await;
    assert!(text.contains("not a Sentinel"), "{text}");
    let text = find(format!("redis://{}", sentinel.address())).await;
    assert!(text.contains("this is a Sentinel"), "{text}");

    let mut client = Client::connect(&dialer(sentinel.address()))
        .await
        .expect("connected");
    client
        .command(&["ACL", "SETUSER", "default", ">secret"])
        .await
        .expect("a password");
    client
        .command(&["ACL", "SETUSER", "default", "resetpass", ">secret"])
        .await
        .expect("a password");
    drop(client);
    let text = find(format!("redis+sentinel://{}/orders", sentinel.address())).await;
    assert!(text.contains("wants a password"), "{text}");
    let url = format!(
        "redis+sentinel://{}/orders?sentinel-password=secret",
        sentinel.address()
    );
    upstream(&url).find_primary().await.expect("with the password");
}

#[tokio::test]
async fn of_sentinels_that_disagree_the_later_epoch_is_right() {
    let (old, new) = (Server::start(), Server::start());
    let behind = sentinel_server(old.address(), 3).await;
    let ahead = sentinel_server(new.address(), 4).await;
    for sentinels in [[&behind, &ahead], [&ahead, &behind]] {
        let url = format!(
            "redis+sentinel://{},{}/orders",
            sentinels[0].address, sentinels[1].address
        );
        let found = upstream(&url).find_primary().await.expect("a primary");
        assert_eq!(found.address, at(new.address()));
    }
}
