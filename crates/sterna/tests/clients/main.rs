//! The whole way of an application: real client libraries write through the gateway's discovery endpoint, and go on by
//! themselves when the primary is changed on purpose, and when it is killed; libraries as they come (`defaults`), and the
//! workers of job queues (`jobs`), also when the primary freezes (`lost`).
//!
//! The client programs are those of `crates/discovery/tests/clients`; their libraries come through `scripts/clients`,
//! which this runs first. All of them write to the same group at the same time, so that they see the same changes. How
//! long each was without a primary is printed, not judged: `cargo test -p sterna --test clients -- --nocapture`.

#![expect(
    clippy::print_stdout,
    reason = "how long clients were without a primary is to be seen, too"
)]

#[path = "../../../discovery/tests/clients/client.rs"]
mod client;
mod defaults;
mod description;
mod fleet;
mod fred_rs;
#[expect(dead_code, reason = "shared with the tests of the command line")]
#[path = "../cli/gateway.rs"]
mod gateway;
mod jobs;
mod lost;
#[path = "../../../discovery/tests/clients/numbers.rs"]
mod numbers;
mod programs;
#[path = "../../../discovery/tests/clients/redis_rs.rs"]
mod redis_rs;
#[path = "../../../discovery/tests/clients/report.rs"]
mod report;
#[path = "../support/mod.rs"]
mod support;
mod world;

use fleet::{Ended, Fleet};
use sterna_model::{Certainty, Operation};
use world::World;

/// What a change of primary was for those who wrote meanwhile.
struct Change {
    operation: Operation,
    clients: Vec<Ended>,
    /// Acknowledged writes that the new primary does not have.
    missing: usize,
}

#[test]
fn real_clients_follow_a_switchover_and_an_automatic_failover() {
    let mut world = World::start();
    let switched = switchover(&world);
    world.wait_healthy();
    let failed_over = failover(&mut world);
    for (name, change) in [("switchover", &switched), ("failover", &failed_over)] {
        for client in &change.clients {
            println!("{name}: {:?}", client.report);
        }
    }
    print_table(&switched, &failed_over);
}

/// Nothing may be lost, and nobody has to be told anything.
fn switchover(world: &World) -> Change {
    let fleet = Fleet::start(world, "planned");
    fleet.wait_for_writes(&world.eu);
    let operation = world.switch_over("us");
    let clients = fleet.ended();
    for client in &clients {
        client.assert_went_on(&world.eu, &world.us);
        let missing = client.missing(&world.us);
        assert!(missing.is_empty(), "{}: {missing:?}", client.report.client);
    }
    let report = operation.report.as_ref().expect("a change of primary has one");
    assert_eq!(
        (report.rpo.commands, report.rpo.certainty, report.full_resyncs),
        (Some(0), Certainty::Exact, 0),
        "{report:#?}"
    );
    Change {
        operation,
        clients,
        missing: 0,
    }
}

/// The primary, which is `us` by now, dies; nobody asks for anything.
fn failover(world: &mut World) -> Change {
    let fleet = Fleet::start(world, "killed");
    fleet.wait_for_writes(&world.us);
    world.us.kill9();
    let clients = fleet.ended();
    let operation = world.wait_failover();
    let mut missing = Vec::new();
    for client in &clients {
        client.assert_went_on(&world.us, &world.eu);
        missing.extend(client.missing(&world.eu));
    }
    // A server writes to its replicas before it answers the client of the same write, and what a killed process has
    // written still arrives: here, too, nothing is to be expected. If it is, the report must have counted it.
    let report = operation.report.as_ref().expect("a change of primary has one");
    let counted = report.rpo.commands == u64::try_from(missing.len()).ok();
    assert!(missing.is_empty() || counted, "{missing:?} {report:#?}");
    Change {
        operation,
        clients,
        missing: missing.len(),
    }
}

fn print_table(switched: &Change, failed_over: &Change) {
    println!("| longest time between two acknowledged writes | switchover | failover |");
    println!("| --- | --- | --- |");
    for (first, second) in switched.clients.iter().zip(&failed_over.clients) {
        let (first, second) = (&first.report, &second.report);
        println!(
            "| {} | {:.0} ms | {:.0} ms |",
            first.client, first.longest_gap_ms, second.longest_gap_ms
        );
    }
    println!(
        "| acknowledged writes missing | {} | {} |",
        switched.missing, failed_over.missing
    );
    let without_primary = |change: &Change| change.operation.report.as_ref().map(|report| report.rto_ms);
    println!(
        "| without a primary, as the operation's report says | {:.0} ms | {:.0} ms |",
        without_primary(switched).unwrap_or_default(),
        without_primary(failed_over).unwrap_or_default()
    );
}
