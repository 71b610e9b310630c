//! Nodes that are not as they should be are put right, or reported.

use sterna_model::{
    FenceState, GroupSettings, GroupState, HistoryCause, LinkState, OperationKind, OperationReason,
    OperationState, RescueKind, ShardId,
};
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, address, group, me};

fn two(site: &Site) -> (Server, Server) {
    let (eu, us) = (Server::start(), Server::start());
    site.gateway.add_service("eu", &[&eu]);
    site.gateway.add_service("us", &[&us]);
    site.gateway.create_group("eu", &["us"], GroupSettings::default());
    eu.client().cmd(&["SET", "before", "1"]).expect("written");
    digests_equal(&eu, &us).expect("equal");
    (eu, us)
}

/// A primary, a replica of its own service, and the node of another service.
fn with_a_local_replica() -> (Server, Server, Server) {
    let eu = Server::start();
    let local = eu.start_replica();
    let us = Server::start();
    local.wait_link_up();
    (eu, local, us)
}

/// A write that all three hold when this returns.
fn write_everywhere(eu: &Server, local: &Server, us: &Server) {
    eu.client().cmd(&["SET", "before", "1"]).expect("written");
    digests_equal(eu, us).expect("equal");
    sterna_testkit::compare::wait_same_offset(&mut eu.client(), &mut local.client(), DEADLINE)
        .expect("equal");
}

fn follows_again(site: &Site, us: &Server) {
    let port = site.gateway.relay_port.to_string();
    wait_until(DEADLINE, "the node to follow the relay", || {
        let info = us.client().info("replication")?;
        let (to, up) = (info.get("master_port"), info.get("master_link_status"));
        anyhow::ensure!(to == Some(&port) && up.is_some_and(|up| up == "up"), "{info:?}");
        anyhow::Ok(())
    });
    site.gateway.wait_state(GroupState::Healthy);
}

#[test]
fn a_replica_node_that_somebody_made_writable_follows_again() {
    let site = Site::new();
    let (eu, us) = two(&site);
    us.client().cmd(&["REPLICAOF", "NO", "ONE"]).expect("done");
    follows_again(&site, &us);
    eu.client().cmd(&["SET", "after", "1"]).expect("written");
    digests_equal(&eu, &us).expect("equal");
    assert_eq!(
        eu.client().info_field("stats", "sync_full").expect("a number"),
        "1"
    );
}

#[test]
fn what_was_written_to_a_replica_node_that_somebody_made_writable_is_saved_first() {
    let site = Site::new();
    let (eu, us) = two(&site);
    // While paused nothing is put right.
    site.gateway
        .ask(|control| async move { control.set_paused(group(), true, me()).await })
        .expect("paused");
    let mut client = us.client();
    client.cmd(&["REPLICAOF", "NO", "ONE"]).expect("done");
    client
        .cmd(&["CONFIG", "SET", "min-replicas-to-write", "0"])
        .expect("set");
    client.cmd(&["SET", "stray", "1"]).expect("written");
    site.gateway
        .ask(|control| async move { control.set_paused(group(), false, me()).await })
        .expect("resumed");
    let rejoin = site.gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    follows_again(&site, &us);
    digests_equal(&eu, &us).expect("equal");
    let rescues = site.gateway.rescues();
    assert_eq!(rescues.len(), 1, "{rescues:#?}");
    assert_eq!(rescues[0].kind, RescueKind::Commands);
    let summary = rescues[0].summary.clone().expect("a summary");
    assert_eq!(
        (summary.commands, summary.first_keys),
        (1, vec!["stray".to_owned()])
    );
}

#[test]
fn a_replica_node_that_follows_somebody_else_is_brought_back() {
    let site = Site::new();
    let (eu, us) = two(&site);
    us.client()
        .cmd(&["REPLICAOF", "127.0.0.1", &eu.port().to_string()])
        .expect("done");
    follows_again(&site, &us);
    digests_equal(&eu, &us).expect("equal");
}

#[test]
fn a_promotion_within_the_primary_service_is_followed() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, local, us) = with_a_local_replica();
    gateway.add_service("eu", &[&eu, &local]);
    gateway.add_service("us", &[&us]);
    gateway.create_group(
        "eu",
        &["us"],
        GroupSettings {
            down_after_ms: 30_000,
            ..GroupSettings::default()
        },
    );
    let fence = gateway.status().shards[0].fence;
    assert!(
        matches!(fence, FenceState::InPlace { min_replicas: 2, .. }),
        "one of its own and the gateway: {fence:?}"
    );
    write_everywhere(&eu, &local, &us);
    eu.pause().expect("frozen");
    local.client().cmd(&["REPLICAOF", "NO", "ONE"]).expect("promoted");
    let status = wait_until(DEADLINE, "the promoted node to be followed", || {
        let status = gateway.status();
        if status.summary.epoch.0 == 2 && status.shards[0].link == LinkState::Streaming {
            Ok(status)
        } else {
            Err(format!("{status:#?}"))
        }
    });
    assert_eq!(status.needless_full_syncs(), 0);
    local.client().cmd(&["SET", "after", "1"]).expect("written");
    digests_equal(&local, &us).expect("equal");
    let history = gateway
        .ask(|control| async move { Ok(control.catalogue().history.of(&group()).await?) })
        .expect("history");
    assert_eq!(
        history.last().map(|entry| entry.cause),
        Some(HistoryCause::WithinService)
    );
    let nodes = history
        .iter()
        .map(|entry| entry.shards[&ShardId::STANDALONE].node.clone());
    let nodes: Vec<_> = nodes.collect();
    assert_eq!(nodes, [Some(address(&eu)), Some(address(&local))], "{history:#?}");
    eu.resume().expect("awake");
}

#[test]
fn a_services_own_sentinel_may_act_first() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, local, us) = with_a_local_replica();
    let sentinel = SentinelServer::start(eu.engine().clone(), "orders-eu", &eu, 1).expect("a Sentinel");
    gateway.add_watched_service("eu", &[&eu, &local], &sentinel, "orders-eu");
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    write_everywhere(&eu, &local, &us);

    eu.kill9();
    wait_until(DEADLINE, "the Sentinel's choice to be followed", || {
        let status = gateway.status();
        let followed = status.summary.epoch.0 == 2 && status.shards[0].link == LinkState::Streaming;
        followed.then_some(()).ok_or_else(|| format!("{status:#?}"))
    });
    let failovers = gateway.operations();
    let failovers = failovers
        .iter()
        .filter(|operation| operation.kind == OperationKind::Failover);
    for failover in failovers {
        assert!(
            matches!(failover.reason, OperationReason::PromotedWithinService(_)),
            "{failover:#?}"
        );
    }
    local.client().cmd(&["SET", "after", "1"]).expect("written");
    digests_equal(&local, &us).expect("equal");
}

#[test]
fn a_gateway_that_stops_lifts_the_fence_and_puts_it_back_when_it_starts() {
    let site = Site::new();
    let (eu, us) = two(&site);
    let min = |server: &Server| {
        let reply = server
            .client()
            .cmd(&["CONFIG", "GET", "min-replicas-to-write"])
            .expect("answered");
        reply.array()[1].text()
    };
    wait_until(DEADLINE, "the fence", || min(&eu) == "1");
    let site = {
        let stopped = site.stop();
        assert_eq!(min(&eu), "0");
        eu.client()
            .cmd(&["SET", "meanwhile", "1"])
            .expect("writes go on without the gateway");
        stopped.start()
    };
    site.gateway.wait_state(GroupState::Healthy);
    wait_until(DEADLINE, "the fence", || min(&eu) == "1");
    digests_equal(&eu, &us).expect("equal");
    assert_eq!(
        eu.client().info_field("stats", "sync_full").expect("a number"),
        "1"
    );
}

#[test]
fn a_local_replica_of_a_primary_that_never_returns_follows_the_new_one() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, local, us) = with_a_local_replica();
    gateway.add_service("eu", &[&eu, &local]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    write_everywhere(&eu, &local, &us);
    eu.kill9();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    us.client().cmd(&["SET", "after", "1"]).expect("written");
    let port = gateway.relay_port.to_string();
    wait_until(DEADLINE, "the local replica to follow the relay", || {
        let info = local.client().info("replication")?;
        anyhow::ensure!(
            info.get("master_port") == Some(&port),
            "{info:?}\n{:#?}",
            gateway.status()
        );
        anyhow::Ok(())
    });
    digests_equal(&us, &local).expect("equal");
    assert_eq!(
        us.client().info_field("stats", "sync_full").expect("a number"),
        "0"
    );
}
