//! Real client libraries find the primary at the endpoint, write, and go on by themselves when it changes.
//!
//! The libraries come from their registries, through `scripts/clients`, which these tests run first.

#![expect(
    clippy::print_stdout,
    reason = "the gaps that clients saw are to be seen, too"
)]

mod client;
mod numbers;
mod redis_rs;
mod replicas;
mod report;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use client::{Client, Library};
use sterna_model::Route;
use sterna_node::ServerTls;
use sterna_protocol::Secret;
use sterna_testkit::{Server, TestTls, wait_until};
use support::{GROUP, Running, route, settings};

const RATE: u32 = 200;
/// Numbers that a client writes before its primary goes.
const NUMBERS_BEFORE: u32 = 200;
/// From start to end of a client, which every step of a test must fit into.
const SECONDS: u32 = 6;
/// After how long without an answer a client gives a primary up.
const TIMEOUT_MS: u32 = 1000;
/// How long after the decision a client may still be without its primary. Libraries took 10 to 130 ms.
const LATE_MS_MAX: f64 = 900.0;
/// How long a failover takes: the primary is dead and called down, and no other one is there.
const WITHOUT_PRIMARY: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_secs(30);
const SENTINEL_PASSWORD: &str = "sentinel-password";
const NODE_PASSWORD: &str = "node-password";

/// How the primary changes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// The old primary is killed, called down for some time, and the replica promoted.
    Failover,
    /// Nothing is lost: the old primary stops writes, the replica has them all and is promoted, the old one follows it.
    Switchover,
    /// The old primary hangs; only a client's own timeout, or an event, tells.
    Frozen,
}

#[test]
fn redis_py_follows_a_failover() {
    follow(Library::RedisPy, Change::Failover, 2);
}

#[test]
fn redis_py_follows_a_switchover() {
    follow(Library::RedisPy, Change::Switchover, 3);
}

#[test]
fn redis_py_leaves_a_frozen_primary_at_its_timeout() {
    follow(Library::RedisPy, Change::Frozen, 2);
}

#[test]
fn ioredis_follows_a_failover() {
    follow(Library::IoRedis, Change::Failover, 2);
}

#[test]
fn ioredis_follows_a_switchover() {
    follow(Library::IoRedis, Change::Switchover, 3);
}

#[test]
fn ioredis_leaves_a_frozen_primary_at_the_event() {
    // Its own timeout is longer than what it is given here: it was the event that told it.
    follow(Library::IoRedis, Change::Frozen, 2);
}

#[test]
fn redis_rs_follows_a_failover() {
    follow(Library::RedisRs, Change::Failover, 2);
}

#[test]
fn redis_rs_follows_a_switchover() {
    follow(Library::RedisRs, Change::Switchover, 3);
}

#[test]
fn redis_rs_leaves_a_frozen_primary_at_its_timeout() {
    follow(Library::RedisRs, Change::Frozen, 2);
}

#[test]
fn redis_py_follows_host_names_told_over_tls() {
    let tls = TestTls::generate().expect("certificates");
    follow_over(Library::RedisPy, Change::Switchover, 3, Some(&tls));
}

#[test]
fn ioredis_follows_host_names_told_over_tls() {
    let tls = TestTls::generate().expect("certificates");
    follow_over(Library::IoRedis, Change::Switchover, 2, Some(&tls));
}

fn follow(library: Library, change: Change, resp: u8) {
    follow_over(library, change, resp, None);
}

/// With TLS to the endpoint, nodes have a host name there, too.
fn follow_over(library: Library, change: Change, resp: u8, tls: Option<&TestTls>) {
    let host = if tls.is_some() { "localhost" } else { "127.0.0.1" };
    let group = |epoch, primary: &Server, replica: &Server| {
        let mut group: Route = route(epoch, primary.port(), replica.port());
        host.clone_into(&mut group.primary.host);
        host.clone_into(&mut group.replicas[0].address.host);
        group
    };
    let server = || {
        Server::builder()
            .password(NODE_PASSWORD)
            .config("masterauth", NODE_PASSWORD)
    };
    let mut first = server().start().expect("a server");
    let second = server().replica_of(&first).start().expect("a server");
    second.wait_link_up();
    let mut settings = settings();
    settings.logins = sterna_discovery::Logins::with_default(Secret::new(SENTINEL_PASSWORD));
    settings.tls =
        tls.map(|tls| ServerTls::new(&tls.server_cert, &tls.server_key, None).expect("the files fit"));
    let endpoint = Running::start(settings, group(1, &first, &second));

    let client = Client::start(library, arguments(endpoint.address, resp, tls));
    wait_for_number(&first, NUMBERS_BEFORE);
    match change {
        Change::Failover => {
            first.kill9();
            let mut down = group(1, &first, &second);
            down.primary_down = true;
            endpoint.publish(down);
            take_time(WITHOUT_PRIMARY);
            promote(&second);
        }
        Change::Frozen => {
            first.pause().expect("it can be stopped");
            promote(&second);
        }
        Change::Switchover => hand_over(&first, &second),
    }
    let mut over = group(2, &second, &first);
    over.replicas[0].up = change == Change::Switchover;
    endpoint.publish(over);
    let report = client.report();

    println!("{library:?} {change:?}: {report:?}");
    let ports: Vec<u16> = report
        .primaries
        .iter()
        .filter_map(|primary| primary.rsplit(':').next()?.parse().ok())
        .collect();
    assert_eq!(ports, [first.port(), second.port()], "{report:?}");
    assert!(
        report.acknowledged > u64::from(NUMBERS_BEFORE + RATE),
        "{report:?}"
    );
    let unavoidable_ms = match (change, library) {
        (Change::Failover, _) => WITHOUT_PRIMARY.as_secs_f64() * 1000.0,
        // They hear nothing of the event, and wait for an answer.
        (Change::Frozen, Library::RedisPy | Library::RedisRs) => f64::from(TIMEOUT_MS),
        (Change::Frozen, Library::IoRedis) | (Change::Switchover, _) => 0.0,
    };
    assert!(report.longest_gap_ms - unavoidable_ms < LATE_MS_MAX, "{report:?}");
    let missing = missing(&second, report.last_number);
    println!(
        "{library:?} {change:?}: {} of {} acknowledged writes are missing",
        missing.len(),
        report.acknowledged
    );
    match change {
        Change::Switchover => assert!(missing.is_empty(), "{missing:?}"),
        // What the dead primary had not sent yet; a client that writes one by one has a few in flight at most.
        Change::Failover | Change::Frozen => assert!(missing.len() < 10, "{missing:?}"),
    }
}

fn arguments(endpoint: SocketAddr, resp: u8, tls: Option<&TestTls>) -> Vec<String> {
    let mut args: Vec<String> = [
        ("--sentinel", endpoint.to_string()),
        ("--master", GROUP.to_owned()),
        ("--rate", RATE.to_string()),
        ("--seconds", SECONDS.to_string()),
        ("--timeout-ms", TIMEOUT_MS.to_string()),
        ("--resp", resp.to_string()),
        ("--password", NODE_PASSWORD.to_owned()),
        ("--sentinel-password", SENTINEL_PASSWORD.to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect();
    if let Some(tls) = tls {
        args.push("--sentinel-ca".to_owned());
        args.push(tls.ca_cert.to_string_lossy().into_owned());
    }
    args
}

#[expect(
    clippy::disallowed_methods,
    reason = "this stands for the time that a decision takes"
)]
fn take_time(time: Duration) {
    thread::sleep(time);
}

fn promote(server: &Server) {
    server
        .client()
        .cmd(&["REPLICAOF", "NO", "ONE"])
        .expect("a replica can be promoted");
}

fn hand_over(from: &Server, to: &Server) {
    let mut old = from.client();
    old.cmd(&["CLIENT", "PAUSE", "5000", "WRITE"])
        .expect("writes can be paused");
    let offset = old.info_field("replication", "master_repl_offset").expect("INFO");
    wait_until(DEADLINE, "the replica to have everything", || {
        let reached = to
            .client()
            .info_field("replication", "master_repl_offset")
            .expect("INFO");
        if reached == offset { Ok(()) } else { Err(reached) }
    });
    promote(to);
    let (host, port) = ("127.0.0.1", to.port().to_string());
    old.cmd(&["REPLICAOF", host, &port]).expect("it can follow");
    old.cmd(&["CLIENT", "UNPAUSE"]).expect("the pause can end");
}

fn wait_for_number(server: &Server, number: u32) {
    let mut client = server.client();
    let key = format!("seq:{number}");
    wait_until(DEADLINE, "the client to write", || {
        client
            .cmd(&["EXISTS", &key])
            .ok()
            .and_then(|reply| reply.int())
            .filter(|found| *found == 1)
    });
}

/// Which of the acknowledged numbers the server doesn't have.
fn missing(server: &Server, last: u64) -> Vec<u64> {
    let mut client = server.client();
    let commands: Vec<[String; 2]> = (1..=last)
        .map(|number| ["EXISTS".to_owned(), format!("seq:{number}")])
        .collect();
    let replies = client.pipeline(&commands).expect("the new primary answers");
    (1..=last)
        .zip(replies)
        .filter(|(_, reply)| reply.int() != Some(1))
        .map(|(number, _)| number)
        .collect()
}
