//! Whoever else follows the primary neither opens nor closes it; and the gateway knows itself among them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sterna_model::{
    FailoverObstacle, FenceState, GroupReason, GroupSettings, GroupState, OperationKind, OperationState,
    PrimaryVerdict,
};
use sterna_testkit::peers::{Acks, Follower, ScriptedReplica};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Proxy, Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, refuses};

/// A lease of three seconds, and what the server takes to see that it is over.
const LEASE: Duration = Duration::from_secs(5);

/// Waits until the primary asks for so many good replicas and has as many.
fn wait_for_fence(primary: &Server, min_replicas: &str) {
    wait_until(DEADLINE, "the fence to count on its own links", || {
        let mut client = primary.client();
        let asked = client.setting("min-replicas-to-write")?;
        let good = client.info_field("replication", "min_slaves_good_slaves")?;
        if asked == min_replicas && good >= asked {
            Ok(())
        } else {
            Err(anyhow::anyhow!("{good} of {asked}"))
        }
    });
}

/// Somebody else's follower of a primary, without a port.
fn reader_of(primary: &Server) -> Follower {
    let mut reader = ScriptedReplica::builder(primary.address())
        .listening_port(0)
        .connect()
        .expect("connected");
    reader.psync_full().expect("a full copy");
    reader.read_rdb().expect("a snapshot");
    reader.follow(Acks::Real, None)
}

/// Lets a lease that nobody renews from here on end for certain.
fn wait_out_the_lease() {
    let began = Instant::now();
    wait_until(DEADLINE, "the lease to be over", || {
        let passed = began.elapsed();
        (passed > LEASE + LEASE)
            .then_some(())
            .ok_or(format!("{passed:?}"))
    });
}

fn fails_over(gateway: &TestGateway) {
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
}

#[test]
fn a_follower_without_a_port_does_not_keep_a_primary_open_that_is_cut_off() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let reader = reader_of(&eu);
    let way = gateway.create_group_behind(&eu, &us);
    wait_for_fence(&eu, "2");
    way.block();
    fails_over(gateway);
    refuses(&eu, "NOREPLICAS").expect("it is shut");
    us.client()
        .cmd(&["SET", "new", "1"])
        .expect("the new primary takes writes");
    drop(reader);
}

/// It has come, and the primary does not ask for one more yet: no other connection of the gateway gets there.
#[test]
fn a_primary_that_somebody_may_keep_open_is_left_to_a_person() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let way = gateway.create_group_behind(&eu, &us);
    wait_for_fence(&eu, "1");
    way.refuse();
    let reader = reader_of(&eu);
    wait_until(DEADLINE, "the gateway to know of it", || {
        let fence = gateway.status().shards[0].fence;
        matches!(
            fence,
            FenceState::InPlace {
                others: 1,
                counts_others: true,
                ..
            }
        )
        .then_some(())
        .ok_or_else(|| format!("{fence:?}"))
    });
    way.block();
    way.accept().expect("a port");
    wait_out_the_lease();
    let status = gateway.wait_state(GroupState::PrimaryDown);
    assert!(
        matches!(
            &status.summary.reason,
            GroupReason::Primary {
                verdict: PrimaryVerdict::LeftToPeople(FailoverObstacle::Unfenced),
                ..
            }
        ),
        "{status:#?}"
    );
    assert_eq!(status.summary.epoch.0, 1);
    eu.client()
        .cmd(&["SET", "kept", "open"])
        .expect("the reader is enough for it");
    way.unblock();
    wait_for_fence(&eu, "2");
    gateway.wait_state(GroupState::Healthy);
    digests_equal(&eu, &us).expect("equal");
    drop(reader);
}

#[test]
fn a_local_replica_that_hangs_closes_nothing() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let local = Server::builder().replica_of(&eu).start().expect("a replica");
    gateway.add_service("eu", &[&eu, &local]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    wait_for_fence(&eu, "2");
    let writer = SequenceWriter::start(SequenceOptions::load("seq", 500), eu.connector()).expect("a writer");
    local.pause().expect("frozen");
    wait_out_the_lease();
    writer.stop().expect("stopped");
    assert!(writer.errors().is_empty(), "{:?}", writer.errors());
    assert!(
        writer.longest_gap() < Duration::from_secs(1),
        "{:?}",
        writer.longest_gap()
    );
    local.resume().expect("awake");
}

#[test]
fn a_local_replica_that_comes_back_does_not_open_a_primary_that_is_cut_off() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let local = Server::builder().replica_of(&eu).start().expect("a replica");
    let way = Proxy::start(eu.address()).expect("a way");
    gateway.add_service_behind("eu", &way, &[&local]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    // It can't be told that it is this node, known by another port, that follows: one link too many.
    wait_for_fence(&eu, "3");
    local.pause().expect("frozen");
    way.block();
    local.resume().expect("awake");
    fails_over(gateway);
    refuses(&eu, "NOREPLICAS").expect("it is shut");
}

/// As behind `docker -p`: the primary lists the gateway under an address that it does not know of itself.
#[test]
fn a_gateway_behind_a_translation_of_addresses_knows_itself_and_switches_over() {
    let site = Site::for_hosts();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let way = Proxy::start(eu.address()).expect("a way");
    way.come_from(IpAddr::from([127, 0, 0, 9]));
    gateway.add_service_behind("eu", &way, &[]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    wait_for_fence(&eu, "1");
    eu.client().cmd(&["SET", "key", "1"]).expect("written");
    gateway.switch_over("us");
    wait_until(DEADLINE, "both to be equal", || digests_equal(&us, &eu));
}
