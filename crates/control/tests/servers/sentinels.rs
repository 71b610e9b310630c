//! Services with Sentinels of their own: whom these list, and what they do to a replica service.

use sterna_model::{AlertReason, GroupSettings, SentinelSpec, ServiceRole, Verdict};
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Server, wait_until};

use crate::common::{DEADLINE, Site, address, service};

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
    sentinel.pause().expect("it does not put that right");
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
