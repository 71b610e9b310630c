//! An old primary that is frozen or cut off while a client stays with it.

use std::time::{Duration, Instant};

use sterna_model::{
    AlertReason, Certainty, FenceState, GroupSettings, GroupState, OperationKind, OperationState, RescueKind,
};
use sterna_testkit::{Engine, Net, Server, ShiftedClock, digests_equal, wait_until};

use crate::common::{DEADLINE, PATIENCE, Site, stays};

#[test]
fn what_a_frozen_primary_accepts_when_it_wakes_up_is_in_a_rescue_file() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let settings = GroupSettings::default();
    let lease = Duration::from_secs(u64::from(settings.lease_seconds));
    gateway.create_group("eu", &["us"], settings);

    let writer = stays("old", eu.connector());
    writer.wait_acknowledged(200, DEADLINE).expect("writes");
    let frozen = Instant::now();
    eu.pause().expect("frozen");
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert!(frozen.elapsed() >= lease, "promoted before the lease was over");
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    us.client()
        .cmd(&["SET", "new", "1"])
        .expect("the new primary takes writes");

    eu.resume().expect("awake");
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    writer.stop().expect("stopped");
    gateway.wait_state(GroupState::Healthy);
    digests_equal(&us, &eu).expect("equal");
    let lost = writer.missing(&mut us.client()).expect("read back");
    let rescues = gateway.rescues();
    let report = gateway.operation(failover.id).report.expect("a report");
    match rescues.as_slice() {
        [] => assert!(lost.is_empty(), "{lost:?}"),
        [rescue] => {
            assert_eq!(rescue.kind, RescueKind::Commands);
            assert_eq!(report.rpo.certainty, Certainty::Exact);
            assert_eq!(
                report.rpo.commands,
                rescue.summary.as_ref().map(|summary| summary.commands)
            );
            assert_eq!(report.rpo.commands, Some(lost.len() as u64), "{report:#?}");
        }
        more => panic!("{more:#?}"),
    }
}

#[test]
fn a_primary_that_is_cut_off_shuts_itself_before_another_takes_over() {
    let Some(net) = Net::or_skip(&["eu", "us"]) else {
        return;
    };
    let site = Site::for_hosts();
    let gateway = &site.gateway;
    let (eu_host, us_host) = (net.host("eu"), net.host("us"));
    let eu = Server::builder().on(&eu_host).start().expect("a server");
    let us = Server::builder().on(&us_host).start().expect("a server");
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let settings = GroupSettings::default();
    let lease = Duration::from_secs(u64::from(settings.lease_seconds));
    gateway.create_group("eu", &["us"], settings);

    let writer = stays("old", eu.connector_from(&eu_host, PATIENCE));
    writer.wait_acknowledged(200, DEADLINE).expect("writes");
    let cut = Instant::now();
    net.isolate(&eu_host, &[]).expect("cut off");
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert!(cut.elapsed() >= lease, "promoted before the lease was over");
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    let promoted = Instant::now();
    let last = writer
        .acknowledgements()
        .into_iter()
        .map(|ack| ack.at)
        .max()
        .expect("writes");
    assert!(
        last < promoted,
        "the old primary took a write {:?} after the promotion",
        last - promoted
    );
    us.client()
        .cmd(&["SET", "new", "1"])
        .expect("the new primary takes writes");

    net.heal_all().expect("healed");
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    writer.stop().expect("stopped");
    gateway.wait_state(GroupState::Healthy);
    let last_at_all = writer
        .acknowledgements()
        .into_iter()
        .map(|ack| ack.at)
        .max()
        .expect("writes");
    assert_eq!(
        last_at_all, last,
        "the old primary took a write after it was healed"
    );
    digests_equal(&us, &eu).expect("equal");
    let missing = writer.missing(&mut us.client()).expect("read back");
    let report = gateway.operation(failover.id).report.expect("a report");
    assert!(
        !missing.is_empty(),
        "the lease leaves seconds in which writes are taken"
    );
    assert_eq!(report.rpo.commands, Some(missing.len() as u64));
}

#[test]
fn a_primary_that_comes_back_empty_never_empties_its_replica_services() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (mut eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group(
        "eu",
        &["us"],
        GroupSettings {
            down_after_ms: 60_000,
            ..GroupSettings::default()
        },
    );
    let mut client = eu.client();
    for number in 0..100 {
        client
            .cmd(&["SET", &format!("key:{number}"), "value"])
            .expect("written");
    }
    sterna_testkit::compare::wait_same_offset(&mut client, &mut us.client(), DEADLINE).expect("copied");
    eu.kill9();
    eu.restart().expect("restarted, empty");
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    assert_eq!(us.client().cmd(&["DBSIZE"]).expect("answered").int(), Some(100));
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    digests_equal(&us, &eu).expect("equal");
    assert_eq!(eu.client().cmd(&["DBSIZE"]).expect("answered").int(), Some(100));
}

#[test]
fn a_primary_that_restarts_while_the_gateway_is_away_starts_shut() {
    let site = Site::new();
    let (mut eu, us) = (Server::start(), Server::start());
    site.gateway.stand(&[("eu", &eu), ("us", &us)]);
    let stopped = site.stop();
    eu.client()
        .cmd(&["SET", "meanwhile", "1"])
        .expect("the fence is lifted");
    eu.kill9();
    eu.restart().expect("it comes back");
    let refused = eu
        .client()
        .cmd(&["SET", "after", "1"])
        .expect_err("it starts shut");
    assert!(format!("{refused:#}").contains("NOREPLICAS"), "{refused:#}");
    drop(stopped);
}

/// As with a service without endpoints, or a port that is no longer forwarded: new connections are refused, and of the one
/// that stands nothing is heard. Its process lives.
#[test]
fn a_host_that_refuses_is_no_dead_primary_while_the_stream_has_not_ended() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let way = gateway.create_group_behind(&eu, &us);
    let writer = stays("old", eu.connector());
    writer.wait_acknowledged(200, DEADLINE).expect("writes");
    way.block();
    way.refuse();
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    let refused = eu.client().cmd(&["SET", "beside", "1"]).expect_err("it is shut");
    assert!(format!("{refused:#}").contains("NOREPLICAS"), "{refused:#}");
    writer.stop().expect("stopped");
}

/// It protects a failover that can't happen: with it, the primary would only depend on the gateway.
#[test]
fn the_fence_stands_while_somebody_is_fit_to_take_over() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, mut us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let asks_for = |wanted: &str| {
        wait_until(DEADLINE, "the fence to be as it should", || {
            let asked = eu.client().setting("min-replicas-to-write")?;
            if asked == wanted {
                Ok(())
            } else {
                Err(anyhow::anyhow!("{asked}: {:#?}", gateway.status()))
            }
        });
    };
    asks_for("1");

    us.stop().expect("killed");
    asks_for("0");
    wait_until(DEADLINE, "the status to say so", || {
        match gateway.status().shards[0].fence {
            FenceState::Lifted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // Should it die and another take over, it comes back closed.
    let kept = std::fs::read_to_string(eu.config_file()).expect("a configuration file");
    assert!(kept.contains("min-replicas-to-write 1"), "{kept}");

    us.restart().expect("started again");
    asks_for("1");
    wait_until(DEADLINE, "the status to say that, too", || {
        let fence = gateway.status().shards[0].fence;
        fence
            .is_in_place()
            .then_some(())
            .ok_or_else(|| format!("{fence:?}"))
    });
    gateway.wait_state(GroupState::Healthy);
}

/// Its lease runs on it.
#[test]
fn a_primary_whose_clock_is_set_back_is_named_and_stays() {
    let clock = ShiftedClock::new().expect("a clock");
    let site = Site::new();
    let gateway = &site.gateway;
    let eu = Server::builder()
        .engine(clock.engine(Engine::default()))
        .start()
        .expect("a server");
    let us = Server::start();
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let steps = || {
        let alerts = gateway.status().alerts;
        let step = alerts.into_iter().filter_map(|alert| match alert.reason {
            AlertReason::ClockStep { milliseconds } => Some(milliseconds),
            _ => None,
        });
        step.collect::<Vec<_>>()
    };
    assert_eq!(steps(), [0; 0]);
    clock.set(-30_000).expect("set");
    wait_until(DEADLINE, "the step to be named", || match steps()[..] {
        [step] if (step + 30_000).abs() < 1000 => Ok(()),
        ref other => Err(format!("{other:?}")),
    });
    assert_eq!(gateway.status().summary.epoch.0, 1);
}
