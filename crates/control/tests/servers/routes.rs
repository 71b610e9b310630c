//! What clients are told through discovery, against what is so.

use std::time::{Duration, Instant};

use sterna_model::{GroupPatch, GroupSettings, Route, SettingsPatch};
use sterna_testkit::{Server, wait_until};

use crate::common::{DEADLINE, Site, TestGateway, address, group, service};

fn route(gateway: &TestGateway) -> Option<Route> {
    gateway.routes.borrow().get(&group()).cloned()
}

fn wait_route(gateway: &TestGateway, what: &str, is: impl Fn(&Route) -> bool) -> Route {
    wait_until(DEADLINE, what, || {
        let route = route(gateway);
        route.clone().filter(&is).ok_or_else(|| format!("{route:#?}"))
    })
}

#[test]
fn the_primary_s_own_replicas_are_told_too_with_their_site_and_exactly_how_far_they_are() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let local = eu.start_replica();
    local.wait_link_up();
    gateway.add_service("eu", &[&eu, &local]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());

    let told = wait_route(gateway, "both to be told as up", |route| {
        route.replicas.len() == 2 && route.replicas.iter().all(|replica| replica.up)
    });
    let seen: Vec<_> = told
        .replicas
        .iter()
        .map(|replica| {
            let site = replica.site.as_ref().map_or("", |site| site.as_str());
            (replica.service.clone(), site, replica.address.clone())
        })
        .collect();
    assert_eq!(
        seen,
        [
            (service("eu"), "site-eu", address(&local)),
            (service("us"), "site-us", address(&us))
        ]
    );

    eu.client().cmd(&["SET", "key", "value"]).expect("written");
    wait_until(DEADLINE, "the offsets to be those of the nodes", || {
        let offsets = [&local, &us].map(|server| {
            let offset = server.client().info_field("replication", "slave_repl_offset");
            offset.expect("a replica").parse::<u64>().expect("a number")
        });
        let told = told.replicas.iter().map(|replica| replica.offset.get().get());
        let told: Vec<_> = told.collect();
        (told == offsets && offsets[0] > 0)
            .then_some(())
            .ok_or_else(|| format!("{told:?}, not {offsets:?}"))
    });
}

#[test]
fn a_failover_is_called_possible_where_one_would_happen_and_the_primary_down_after_the_time_for_it() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, mut us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let settings = GroupSettings {
        down_after_ms: 3000,
        ..GroupSettings::default()
    };
    gateway.create_group("eu", &["us"], settings);
    wait_route(gateway, "a failover to be possible", |route| {
        route.failover_possible
    });
    us.kill9();
    wait_route(gateway, "a failover not to be possible", |route| {
        !route.failover_possible
    });
    us.restart().expect("restarted");
    wait_route(gateway, "a failover to be possible again", |route| {
        route.failover_possible
    });
    gateway.change_group(GroupPatch {
        settings: SettingsPatch {
            automatic_failover: Some(false),
            ..SettingsPatch::default()
        },
        ..GroupPatch::default()
    });
    wait_route(gateway, "a failover to be left to people", |route| {
        !route.failover_possible
    });

    // It comes back with what it had: a PING of its own may have moved it by now.
    eu.client().cmd(&["SAVE"]).expect("saved");
    let killed = Instant::now();
    eu.kill9();
    let down = wait_route(gateway, "the primary to be called down", |route| {
        route.primary_down
    });
    // It was seen last a little before.
    assert!(killed.elapsed() >= Duration::from_millis(1500), "{down:#?}");
    assert_eq!(down.primary, address(&eu));
    eu.restart().expect("restarted");
    wait_route(gateway, "the primary to be called up", |route| {
        !route.primary_down
    });
}
