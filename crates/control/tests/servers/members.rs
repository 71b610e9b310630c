//! Services that join and leave, and groups that end.

use sterna_control::Change;
use sterna_model::{GroupSettings, GroupSpec, GroupState, OperationState};
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site, group, me, service};

fn role(server: &Server) -> String {
    server.client().info_field("replication", "role").expect("a role")
}

#[test]
fn a_service_joins_one_leaves_and_one_becomes_a_primary_of_its_own() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us, ap) = (Server::start(), Server::start(), Server::start());
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    gateway.create_group("eu", &["us"], GroupSettings::default());
    eu.client().cmd(&["SET", "key", "1"]).expect("written");

    let add = gateway
        .ask(|control| async move {
            control
                .begin(
                    group(),
                    Change::AddReplica {
                        service: service("ap"),
                        overwrite: false,
                    },
                    me(),
                )
                .await
        })
        .expect("asked");
    assert_eq!(gateway.wait_operation(add.id).state, OperationState::Succeeded);
    gateway.wait_state(GroupState::Healthy);
    digests_equal(&eu, &ap).expect("equal");

    let detach = gateway
        .ask(|control| async move {
            control
                .begin(
                    group(),
                    Change::RemoveReplica {
                        service: service("ap"),
                        promote: true,
                    },
                    me(),
                )
                .await
        })
        .expect("asked");
    let detach = gateway.wait_operation(detach.id);
    assert_eq!(detach.state, OperationState::Succeeded, "{detach:#?}");
    assert_eq!(role(&ap), "master");
    ap.client().cmd(&["SET", "own", "1"]).expect("it takes writes");
    gateway.wait_state(GroupState::Healthy);

    let last = gateway.ask(|control| async move {
        control
            .begin(
                group(),
                Change::RemoveReplica {
                    service: service("us"),
                    promote: false,
                },
                me(),
            )
            .await
    });
    let refused = last.expect_err("the last one stays").to_string();
    assert!(refused.contains("last replica service"), "{refused}");

    let add = gateway
        .ask(|control| async move {
            control
                .begin(
                    group(),
                    Change::AddReplica {
                        service: service("ap"),
                        overwrite: true,
                    },
                    me(),
                )
                .await
        })
        .expect("asked");
    let add = gateway.wait_operation(add.id);
    assert_eq!(add.state, OperationState::Succeeded, "{add:#?}");
    digests_equal(&eu, &ap).expect("equal");
    let remove = gateway
        .ask(|control| async move {
            control
                .begin(
                    group(),
                    Change::RemoveReplica {
                        service: service("us"),
                        promote: false,
                    },
                    me(),
                )
                .await
        })
        .expect("asked");
    assert_eq!(gateway.wait_operation(remove.id).state, OperationState::Succeeded);
    assert_eq!(role(&us), "slave");
    assert_eq!(us.client().cmd(&["GET", "key"]).expect("read").text(), "1");
    eu.client().cmd(&["SET", "later", "1"]).expect("written");
    wait_until(DEADLINE, "the link to be down", || {
        us.client()
            .info_field("replication", "master_link_status")
            .is_ok_and(|link| link == "down")
    });
}

#[test]
fn services_that_change_while_a_group_is_made_do_not_hold_it_up() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us, ap) = (Server::start(), Server::start(), Server::start());
    let services = [("eu", &eu), ("us", &us), ("ap", &ap)];
    for (name, server) in services {
        gateway.add_service(name, &[server]);
    }
    let spec = GroupSpec {
        name: group(),
        primary: service("eu"),
        replicas: vec![service("us"), service("ap")],
        settings: GroupSettings::default(),
        overwrite: false,
    };
    let made = gateway
        .ask(|control| async move { control.create_group(spec, me()).await })
        .expect("a group");
    // Each change lets the gateway forget what it saw of the service's nodes, in whatever step it is.
    for (name, server) in services.iter().cycle().take(12) {
        gateway.change_service(name, &[server]);
    }
    let made = gateway.wait_operation(made.id);
    assert_eq!(made.state, OperationState::Succeeded, "{made:#?}");
    gateway.wait_state(GroupState::Healthy);
    eu.client().cmd(&["SET", "key", "1"]).expect("written");
    for replica in [&us, &ap] {
        wait_until(DEADLINE, "the write to arrive", || {
            replica
                .client()
                .cmd(&["GET", "key"])
                .is_ok_and(|value| value.text() == "1")
        });
        digests_equal(&eu, replica).expect("equal");
    }
}

#[test]
fn a_node_that_was_away_when_its_service_left_does_not_follow_again() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us, mut ap) = (Server::start(), Server::start(), Server::start());
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    gateway.create_group("eu", &["us", "ap"], GroupSettings::default());
    ap.kill9();
    let remove = gateway
        .ask(|control| async move {
            control
                .begin(
                    group(),
                    Change::RemoveReplica {
                        service: service("ap"),
                        promote: false,
                    },
                    me(),
                )
                .await
        })
        .expect("asked");
    let remove = gateway.wait_operation(remove.id);
    assert_eq!(remove.state, OperationState::Succeeded, "{remove:#?}");
    eu.client().cmd(&["SET", "later", "1"]).expect("written");

    ap.restart().expect("it comes back");
    ap.wait_for_log("WRONGPASS", DEADLINE).expect("it is turned away");
    assert_eq!(ap.client().cmd(&["GET", "later"]).expect("read").bytes(), None);
    gateway.wait_state(GroupState::Healthy);
    digests_equal(&eu, &us).expect("equal");
}

#[test]
fn a_service_with_data_is_not_overwritten_unless_that_is_said() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    us.client().cmd(&["SET", "own", "1"]).expect("written");
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let spec = GroupSpec {
        name: group(),
        primary: service("eu"),
        replicas: vec![service("us")],
        settings: GroupSettings::default(),
        overwrite: false,
    };
    let asked = gateway
        .ask(|control| async move { control.create_group(spec, me()).await })
        .expect("asked");
    let failed = gateway.wait_operation(asked.id);
    assert_eq!(failed.state, OperationState::Failed, "{failed:#?}");
    assert_eq!(us.client().cmd(&["GET", "own"]).expect("read").text(), "1");
    assert_eq!(role(&us), "master");
    wait_until(DEADLINE, "the group to be gone", || {
        gateway
            .ask(|control| async move { Ok(control.catalogue().groups.all().await?.is_empty()) })
            .expect("an answer")
    });
}

#[test]
fn a_group_is_deleted_and_its_services_stay_as_they_are() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    eu.client().cmd(&["SET", "key", "1"]).expect("written");
    digests_equal(&eu, &us).expect("equal");
    let asked = gateway
        .ask(|control| async move { control.begin(group(), Change::Delete, me()).await })
        .expect("asked");
    let done = gateway.wait_operation(asked.id);
    assert_eq!(done.state, OperationState::Succeeded, "{done:#?}");
    eu.client()
        .cmd(&["SET", "free", "1"])
        .expect("it takes writes without the gateway");
    assert_eq!((role(&eu).as_str(), role(&us).as_str()), ("master", "slave"));
    assert_eq!(us.client().cmd(&["GET", "key"]).expect("read").text(), "1");
    wait_until(DEADLINE, "the view to be gone", || {
        gateway.control.views().is_empty()
    });
    gateway.create_group_again();
    digests_equal(&eu, &us).expect("equal");
}

/// Every node is given a backlog that a short loss of the connection does not outrun, the primary too, and gets back what it
/// had when it leaves.
#[test]
fn every_node_is_prepared_when_it_joins_and_given_back_what_it_had() {
    let site = Site::new();
    let gateway = &site.gateway;
    let small = || {
        let server = Server::builder()
            .config("repl-backlog-size", "2mb")
            .config("repl-backlog-ttl", "60");
        server.start().expect("started")
    };
    let (eu, us, ap) = (small(), small(), small());
    let local = Server::builder()
        .config("repl-backlog-size", "2mb")
        .config("repl-backlog-ttl", "60")
        .replica_of(&eu)
        .start()
        .expect("started");
    gateway.add_service("eu", &[&eu, &local]);
    gateway.add_service("us", &[&us]);
    gateway.add_service("ap", &[&ap]);
    gateway.create_group("eu", &["us", "ap"], GroupSettings::default());
    let settings = |server: &Server| {
        let get = |name| {
            server
                .client()
                .cmd(&["CONFIG", "GET", name])
                .expect("settings")
                .array()[1]
                .text()
        };
        (get("repl-backlog-size"), get("repl-backlog-ttl"))
    };
    let pair = |size: &str, ttl: &str| (size.to_owned(), ttl.to_owned());
    let all = [&eu, &local, &us, &ap];
    for server in all {
        wait_until(DEADLINE, "the node to be prepared", || {
            let found = settings(server);
            (found == pair("67108864", "0"))
                .then_some(())
                .ok_or(format!("{found:?}"))
        });
    }
    let detach = gateway
        .ask(|control| async move {
            let (service, promote) = (service("ap"), true);
            control
                .begin(group(), Change::RemoveReplica { service, promote }, me())
                .await
        })
        .expect("asked");
    assert_eq!(gateway.wait_operation(detach.id).state, OperationState::Succeeded);
    assert_eq!(settings(&ap), pair("2097152", "60"));
    gateway.wait_state(GroupState::Healthy);
    let delete = gateway
        .ask(|control| async move { control.begin(group(), Change::Delete, me()).await })
        .expect("asked");
    assert_eq!(gateway.wait_operation(delete.id).state, OperationState::Succeeded);
    for server in all {
        assert_eq!(settings(server), pair("2097152", "60"));
        let lag = server.client().cmd(&["CONFIG", "GET", "min-replicas-max-lag"]);
        assert_eq!(lag.expect("settings").array()[1].text(), "10");
    }
}
