//! Services that join, and groups that are made, with nodes that die for good meanwhile: a person can always end it.

use sterna_control::{Change, ControlError};
use sterna_model::{
    Activity, GroupSettings, GroupSpec, GroupState, Operation, OperationKind, OperationResult,
    OperationState, OperationWait, ReleasedAs, StepDetail, StepOutcome,
};
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, group, me, service};

/// So many keys, and how long a replica takes over each when it loads a copy, in microseconds: hours in all.
const KEYS: &str = "2000";
const LOAD_DELAY_US: &str = "10000000";

fn filled() -> Server {
    let server = Server::start();
    let populate = ["DEBUG", "POPULATE", KEYS];
    server.client().cmd(&populate).expect("filled");
    server
}

/// A replica that comes to the end of no copy, before it is started again.
fn slow() -> Server {
    let server = Server::start();
    let mut client = server.client();
    // It answers while it loads.
    for (name, value) in [
        ("key-load-delay", LOAD_DELAY_US),
        ("loading-process-events-interval-bytes", "1024"),
    ] {
        client.cmd(&["CONFIG", "SET", name, value]).expect("set");
    }
    server
}

/// It starts again, and takes no time to load. What made it slow may have been written to its configuration file.
fn starts_quick(server: &mut Server) {
    let config = std::fs::read_to_string(server.config_file()).expect("read");
    let is_quick = |line: &&str| !line.starts_with("key-load-delay");
    let quick: Vec<_> = config.lines().filter(is_quick).collect();
    std::fs::write(server.config_file(), quick.join("\n") + "\n").expect("written");
    server.restart().expect("it starts");
}

fn wait_for_copying(gateway: &TestGateway) {
    wait_until(DEADLINE, "the operation to wait for a copy", || {
        let views = gateway.control.views();
        let operation = views
            .get(&group())
            .and_then(|view| view.operation.borrow().clone());
        match operation.as_ref().and_then(|operation| operation.now.as_ref()) {
            Some(Activity::Wait(OperationWait::Copy { .. })) => Ok(()),
            _ => Err(format!("{operation:#?}")),
        }
    });
}

fn cancel(gateway: &TestGateway, operation: &Operation) -> Operation {
    let id = operation.id;
    gateway
        .ask(|control| async move { control.cancel(id, me()).await })
        .expect("it is taken back");
    gateway.wait_operation(id)
}

fn begin_creation(gateway: &TestGateway) -> Operation {
    let spec = GroupSpec {
        name: group(),
        primary: service("eu"),
        replicas: vec![service("us")],
        settings: GroupSettings::default(),
        overwrite: false,
    };
    gateway
        .ask(|control| async move { control.create_group(spec, me()).await })
        .expect("it begins")
}

fn wait_gone(gateway: &TestGateway) {
    wait_until(DEADLINE, "the group to be gone", || {
        gateway
            .control
            .views()
            .get(&group())
            .is_none()
            .then_some(())
            .ok_or("it is there")
    });
    let name = group();
    let stored = gateway.ask(|control| async move { Ok(control.catalogue().groups.get(&name).await?) });
    assert!(matches!(stored, Err(ControlError::Store(_))), "{stored:?}");
}

/// Nothing is left of the group at its primary.
fn takes_writes_alone(server: &Server) {
    let mut client = server.client();
    client.cmd(&["SET", "alone", "1"]).expect("it takes writes");
    assert_eq!(client.setting("min-replicas-to-write").expect("asked"), "0");
    wait_until(DEADLINE, "nobody to follow", || {
        let slaves = client.info_field("replication", "connected_slaves");
        if slaves.as_deref().is_ok_and(|slaves| slaves == "0") {
            Ok(())
        } else {
            Err(format!("{slaves:?}"))
        }
    });
}

#[test]
fn a_service_whose_node_died_while_it_joined_leaves_again_also_after_a_restart() {
    let site = Site::new();
    let (eu, us, mut ap) = (filled(), Server::start(), slow());
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        site.gateway.add_service(name, &[server]);
    }
    site.gateway.create_group("eu", &["us"], GroupSettings::default());
    let add = site.gateway.begin(Change::AddReplica {
        service: service("ap"),
        overwrite: false,
    });
    wait_for_copying(&site.gateway);
    ap.kill9();
    let site = site.stop().start();
    let gateway = &site.gateway;
    let ended = cancel(gateway, &add);
    assert_eq!(ended.state, OperationState::Cancelled, "{ended:#?}");
    let result = OperationResult::JoinTakenBack {
        service: service("ap"),
    };
    assert_eq!(ended.result, Some(result));
    gateway.wait_state(GroupState::Healthy);
    eu.client().cmd(&["SET", "key", "1"]).expect("it takes writes");

    // It comes back after all, and may join once more.
    starts_quick(&mut ap);
    let add = gateway.begin(Change::AddReplica {
        service: service("ap"),
        overwrite: true,
    });
    assert_eq!(gateway.wait_operation(add.id).state, OperationState::Succeeded);
    digests_equal(&eu, &ap).expect("equal");
}

#[test]
fn a_group_whose_replica_died_while_it_was_made_is_taken_back() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, mut us) = (filled(), slow());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let create = begin_creation(gateway);
    wait_for_copying(gateway);
    us.kill9();
    let ended = cancel(gateway, &create);
    assert_eq!(ended.state, OperationState::Cancelled, "{ended:#?}");
    assert_eq!(ended.result, Some(OperationResult::CreationTakenBack));
    wait_gone(gateway);
    takes_writes_alone(&eu);

    starts_quick(&mut us);
    gateway.create_group_again();
    digests_equal(&eu, &us).expect("equal");
}

#[test]
fn a_group_whose_replica_died_while_it_was_made_is_deleted() {
    let site = Site::new();
    let (eu, mut us) = (filled(), slow());
    site.gateway.add_service("eu", &[&eu]);
    site.gateway.add_service("us", &[&us]);
    let create = begin_creation(&site.gateway);
    wait_for_copying(&site.gateway);
    us.kill9();
    let site = site.stop().start();
    let gateway = &site.gateway;
    let delete = gateway.begin(Change::Delete);
    let deleted = gateway.wait_operation(delete.id);
    assert_eq!(deleted.state, OperationState::Succeeded, "{deleted:#?}");
    assert_eq!(gateway.operation(create.id).state, OperationState::Cancelled);
    wait_gone(gateway);
    takes_writes_alone(&eu);
}

/// A node that answers and does not do as it is told is left as it is, and named.
#[test]
fn a_service_leaves_whose_node_refuses_to_be_changed() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us, ap) = (Server::start(), Server::start(), Server::start());
    gateway.stand(&[("eu", &eu), ("us", &us), ("ap", &ap)]);
    ap.client()
        .cmd(&["ACL", "SETUSER", "default", "-config"])
        .expect("set");
    let remove = gateway.begin(Change::RemoveReplica {
        service: service("ap"),
        promote: false,
    });
    let removed = gateway.wait_operation(remove.id);
    assert_eq!(removed.state, OperationState::Succeeded, "{removed:#?}");
    let unchanged = removed.steps.iter().find_map(|step| match &step.detail {
        StepDetail::Outcome(StepOutcome::Released { nodes, .. }) => Some(&nodes[0].released),
        _ => None,
    });
    assert!(
        matches!(unchanged, Some(ReleasedAs::Unchanged { error }) if error.contains("NOPERM")),
        "{removed:#?}"
    );
    gateway.wait_state(GroupState::Healthy);
    let delete = gateway.begin(Change::Delete);
    assert_eq!(gateway.wait_kind(OperationKind::Delete).id, delete.id);
}
