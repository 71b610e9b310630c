//! Services with Sentinels of their own: whom these list, and what they do to a replica service.

use std::time::Duration;

use sterna_model::{
    AlertReason, GroupSettings, GroupState, OperationKind, OperationReason, OperationState, RescueKind,
    SentinelSpec, ServiceRole, Verdict,
};
use sterna_testkit::server::SentinelServer;
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, address, group, service};

/// The ports of the replicas that the Sentinel lists.
fn listed(sentinel: &SentinelServer, name: &str) -> Vec<u16> {
    let replicas = sentinel
        .connect()
        .expect("connected")
        .cmd(&["SENTINEL", "REPLICAS", name]);
    let port = |entry: &sterna_testkit::Reply| {
        let fields = entry.array();
        let place = fields
            .iter()
            .position(|field| field.text() == "port")
            .expect("a port");
        fields[place + 1].text().parse().expect("a number")
    };
    replicas.expect("answered").array().iter().map(port).collect()
}

fn wait_listed(sentinel: &SentinelServer, name: &str, ports: &[u16]) {
    wait_until(DEADLINE, "the Sentinel's list", || {
        let listed = listed(sentinel, name);
        ports
            .iter()
            .all(|port| listed.contains(port))
            .then_some(())
            .ok_or(format!("{listed:?}"))
    });
}

#[test]
fn who_is_listed_by_a_sentinel_is_a_node_only_if_it_belongs() {
    let site = Site::new();
    let gateway = &site.gateway;
    let eu = Server::start();
    let local = eu.start_replica();
    let (mut dead, foreign) = (eu.start_replica(), eu.start_replica());
    let us = Server::start();
    for replica in [&local, &dead, &foreign] {
        replica.wait_link_up();
    }
    let sentinel = SentinelServer::start(eu.engine().clone(), "orders-eu", &eu, 1).expect("a Sentinel");
    wait_listed(
        &sentinel,
        "orders-eu",
        &[local.port(), dead.port(), foreign.port()],
    );
    let nodes = || {
        let found =
            gateway.ask(|control| async move { Ok(control.catalogue().services.get(&service("eu")).await?) });
        found.expect("a service").spec.nodes
    };

    // It is somebody else's by now, and another is gone.
    foreign.client().cmd(&["REPLICAOF", "NO", "ONE"]).expect("done");
    let other = Server::start();
    let to_other = ["REPLICAOF", "127.0.0.1", &other.port().to_string()];
    foreign.client().cmd(&to_other).expect("done");
    foreign.wait_link_up();
    // The Sentinel does not put that right, however long what follows takes.
    let no_more = ["ACL", "SETUSER", "default", "-replicaof", "-slaveof"];
    foreign.client().cmd(&no_more).expect("set");
    sentinel.pause().expect("it does not see the other go");
    dead.kill9();
    sentinel.resume().expect("awake");
    gateway.add_watched_service("eu", &[], &sentinel, "orders-eu");
    assert_eq!(nodes(), [address(&eu), address(&local)]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());

    // The relay follows the primary, too, and one that was proven stays though it is away.
    wait_listed(&sentinel, "orders-eu", &[gateway.relay_port]);
    local.pause().expect("away");
    let spec = SentinelSpec {
        nodes: vec![sterna_node::NodeAddress::new("127.0.0.1", sentinel.port())],
        master_name: "orders-eu".to_owned(),
        username: None,
        tls: false,
    };
    gateway.change_watched_service("eu", spec);
    assert_eq!(nodes(), [address(&eu), address(&local)]);
    local.resume().expect("awake");
}

#[test]
fn sentinels_that_fight_for_a_replica_service_are_named() {
    let site = Site::new();
    let gateway = &site.gateway;
    let eu = Server::start();
    let us = Server::start();
    let local = us.start_replica();
    local.wait_link_up();
    let sentinel = SentinelServer::start(us.engine().clone(), "orders-us", &us, 1).expect("a Sentinel");
    let mut asked = sentinel.connect().expect("connected");
    asked
        .cmd(&["SENTINEL", "SET", "orders-us", "failover-timeout", "1000"])
        .expect("set");
    wait_listed(&sentinel, "orders-us", &[local.port()]);
    gateway.add_service("eu", &[&eu]);
    gateway.add_watched_service("us", &[], &sentinel, "orders-us");

    let role = ServiceRole::Replica;
    let report = gateway
        .ask(|control| async move { control.doctor(service("us"), role).await })
        .expect("a report");
    let mut checks = report.checks.iter().filter(|check| check.name == "sentinel");
    let of_service = checks
        .find(|check| check.subject.to_string() == "us")
        .expect("a check");
    assert_eq!(of_service.verdict, Verdict::Warn, "{report:#?}");
    assert!(
        of_service
            .advice
            .as_ref()
            .is_some_and(|advice| advice.contains("SENTINEL REMOVE orders-us"))
    );

    gateway.create_group("eu", &["us"], GroupSettings::default());
    let told = wait_until(DEADLINE * 2, "the fight to be named", || {
        let status = gateway.status();
        let mut told = status.alerts.iter().map(|alert| alert.reason.clone());
        let found = told.find(|reason| matches!(reason, AlertReason::NodesTakenAway { .. }));
        found.ok_or_else(|| format!("{status:#?}\n{}", sentinel.log()))
    });
    assert!(told.to_string().contains("SENTINEL REMOVE orders-us"), "{told}");

    // With the advice followed, the service can still be changed, and the doctor is content.
    asked.cmd(&["SENTINEL", "REMOVE", "orders-us"]).expect("removed");
    gateway.wait_state(sterna_model::GroupState::Healthy);
    gateway.change_service("us", &[&us, &local]);
}

/// A primary with a replica of its own and a Sentinel, and a replica service.
struct Watched {
    eu: Server,
    local: Server,
    us: Server,
    sentinel: SentinelServer,
}

fn watched(gateway: &TestGateway) -> Watched {
    let (eu, us) = (Server::start(), Server::start());
    // Of the same engine: they change roles, and an older server can't load what a newer one sends.
    let local = Server::builder().replica_of(&eu).start().expect("a replica");
    local.wait_link_up();
    let sentinel = SentinelServer::start(eu.engine().clone(), "orders-eu", &eu, 1).expect("a Sentinel");
    wait_listed(&sentinel, "orders-eu", &[local.port()]);
    gateway.add_watched_service("eu", &[&eu, &local], &sentinel, "orders-eu");
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    Watched {
        eu,
        local,
        us,
        sentinel,
    }
}

/// A client that stays with a server, however long that takes to answer.
fn stays_with(server: &Server) -> SequenceWriter {
    let mut options = SequenceOptions::load("old", 500);
    options.timeout = Some(Duration::from_secs(20));
    let writer = SequenceWriter::start(options, server.connector()).expect("a writer");
    writer.wait_acknowledged(500, DEADLINE).expect("writes");
    writer
}

/// The group follows what the Sentinel promoted; what the client had acknowledged is there, or saved and counted.
fn followed(gateway: &TestGateway, watched: &Watched, writer: &SequenceWriter) {
    let Watched { eu, local, us, .. } = watched;
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    assert!(
        matches!(&failover.reason, OperationReason::PromotedWithinService(node) if node.address == address(local)),
        "{failover:#?}"
    );
    wait_until(DEADLINE, "the old primary to follow the new one", || {
        let at = eu
            .client()
            .info_field("replication", "master_port")
            .unwrap_or_default();
        (at == local.port().to_string()).then_some(()).ok_or(at)
    });
    eu.wait_link_up();
    writer.stop().expect("stopped");
    wait_until(DEADLINE, "nobody to be waited for any more", || {
        let status = gateway.wait_state(GroupState::Healthy);
        let record =
            gateway.ask(|control| async move { Ok(control.catalogue().groups.get(&group()).await?) });
        let left = record.expect("the group").former_primaries().count();
        (left == 0).then_some(()).ok_or_else(|| format!("{status:#?}"))
    });
    digests_equal(local, us).expect("equal");
    digests_equal(local, eu).expect("equal");
    let lost = writer.missing(&mut local.client()).expect("read back");
    let rescues = gateway.rescues();
    let saved = rescues
        .iter()
        .inspect(|rescue| assert_eq!(rescue.kind, RescueKind::Commands));
    let saved = saved.filter_map(|rescue| rescue.summary.as_ref());
    let most = saved.map(|summary| summary.commands).max().unwrap_or_default();
    let failover = gateway.operation(failover.id);
    assert!(most >= lost.len() as u64, "{lost:?} {rescues:#?}");
    let counted = failover.report.as_ref().and_then(|report| report.rpo.commands);
    assert!(counted.unwrap_or_default() >= lost.len() as u64, "{failover:#?}");
}

#[test]
fn what_a_failover_by_its_own_sentinels_leaves_behind_is_saved() {
    let site = Site::new();
    let watched = watched(&site.gateway);
    let writer = stays_with(&watched.eu);
    // Asked for by a person, so that the old primary lives, and goes on taking writes.
    let mut asked = watched.sentinel.connect().expect("connected");
    asked.cmd(&["SENTINEL", "FAILOVER", "orders-eu"]).expect("begun");
    followed(&site.gateway, &watched, &writer);
}

#[test]
fn what_an_old_primary_that_wakes_up_beside_its_sentinels_choice_has_alone_is_saved() {
    let site = Site::new();
    let watched = watched(&site.gateway);
    let writer = stays_with(&watched.eu);
    watched.eu.pause().expect("frozen");
    wait_until(DEADLINE, "the Sentinel's choice to be followed", || {
        let status = site.gateway.status();
        (status.summary.epoch.0 == 2)
            .then_some(())
            .ok_or_else(|| format!("{status:#?}"))
    });
    watched.eu.resume().expect("awake");
    followed(&site.gateway, &watched, &writer);
}

#[test]
fn a_local_replica_that_a_person_makes_a_primary_of_its_own_takes_nothing_over() {
    let site = Site::new();
    let watched = watched(&site.gateway);
    // The Sentinel makes it a replica again, after a while.
    watched
        .local
        .client()
        .cmd(&["REPLICAOF", "NO", "ONE"])
        .expect("done");
    wait_until(DEADLINE, "the Sentinel to put that right", || {
        let role = watched
            .local
            .client()
            .info_field("replication", "role")
            .unwrap_or_default();
        (role == "slave").then_some(()).ok_or(role)
    });
    let status = site.gateway.wait_state(GroupState::Healthy);
    assert_eq!(status.summary.epoch.0, 1, "{status:#?}");
    watched.eu.client().cmd(&["SET", "after", "1"]).expect("written");
}
