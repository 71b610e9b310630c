//! The same failover published by a real Sentinel and by the endpoint.

use std::time::Duration;
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Engine, Server, wait_until};

use crate::support::{GROUP, Running, route, settings};
use crate::wire::{Wire, fields, message};

const DEADLINE: Duration = Duration::from_secs(60);
/// What only Sentinels among themselves have to do with, and the steps of a failover that is theirs.
const NOT_OURS: [&str; 9] = [
    "+try-failover",
    "+vote-for-leader",
    "+elected-leader",
    "+failover-state-select-slave",
    "+selected-slave",
    "+failover-state-send-slaveof-noone",
    "+failover-state-wait-promotion",
    "+failover-state-reconf-slaves",
    "-role-change",
];

/// From the loss of the primary to the old one as a replica. What a real Sentinel finds down next is a matter of chance.
const TOLD: usize = 7;

#[test]
fn a_failover_is_published_as_by_a_real_sentinel() {
    for resp in [2, 3] {
        let mut primary = Server::start();
        let replica = primary.start_replica();
        replica.wait_link_up();
        let sentinel = SentinelServer::start(Engine::default(), GROUP, &primary, 1).expect("a Sentinel");
        let mut wire = Wire::connect(sentinel.address(), 2);
        wait_until(DEADLINE, "the Sentinel to know the replica", || {
            let replicas = wire.ask("SENTINEL REPLICAS m1");
            match replicas.as_array() {
                Some([replica]) if fields(replica).contains(&("flags".to_owned(), "slave".to_owned())) => {
                    Ok(())
                }
                _ => Err(format!("{replicas:?}")),
            }
        });
        let (old, new) = (primary.port(), replica.port());
        let endpoint = Running::start(settings(), route(0, old, new));
        let (mut real, mut own) = (
            Wire::connect(sentinel.address(), resp),
            Wire::connect(endpoint.address, resp),
        );
        for wire in [&mut real, &mut own] {
            wire.ask("PSUBSCRIBE *");
        }

        primary.kill9();
        let real: Vec<_> = std::iter::repeat_with(|| message(&real.next()))
            .filter(|(channel, _)| !NOT_OURS.contains(&channel.as_str()))
            .take(TOLD)
            .collect();

        let mut down = route(0, old, new);
        down.primary_down = true;
        endpoint.publish(down);
        // What follows is published as a change to this.
        let mut heard = vec![message(&own.next()), message(&own.next())];
        let mut over = route(1, new, old);
        over.replicas[0].up = false;
        endpoint.publish(over);
        heard.extend((heard.len()..real.len()).map(|_| message(&own.next())));
        assert_eq!(heard, real);
        assert_eq!(
            heard[5],
            (
                "+switch-master".to_owned(),
                format!("m1 127.0.0.1 {old} 127.0.0.1 {new}")
            )
        );
    }
}

#[test]
fn who_hears_of_a_new_primary_and_asks_is_told_of_it() {
    let endpoint = Running::start(settings(), route(1, 6001, 6002));
    let mut listener = Wire::connect(endpoint.address, 2);
    listener.ask("SUBSCRIBE +switch-master");
    let mut asker = Wire::connect(endpoint.address, 2);
    for epoch in 2..200 {
        let (primary, replica) = if epoch % 2 == 0 {
            (6002, 6001)
        } else {
            (6001, 6002)
        };
        endpoint.publish(route(epoch, primary, replica));
        let (_, text) = message(&listener.next());
        assert_eq!(text, format!("m1 127.0.0.1 {replica} 127.0.0.1 {primary}"));
        let address = asker.ask("SENTINEL GET-MASTER-ADDR-BY-NAME m1");
        let port = address.as_array().and_then(|parts| parts.get(1)?.as_int());
        assert_eq!(port, Some(i64::from(primary)));
    }
}
