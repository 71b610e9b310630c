//! Libraries as they come, with no setting of their own but where discovery is: nobody stays behind at a switchover.

use sterna_testkit::{Server, wait_until};

use crate::client::Client;
use crate::programs::program;
use crate::support::DEADLINE;
use crate::world::{GROUP, PASSWORD, World};
use crate::{fred_rs, redis_rs};

/// From start to end of a client.
const SECONDS: u32 = 15;
/// Writes a second, of each.
const RATE: u32 = 100;
/// Numbers that each has written before anything happens.
pub(crate) const NUMBERS_BEFORE: u64 = 100;
/// More than a client writes.
const NUMBERS_MAX: u64 = 4000;

/// The libraries.
pub(crate) const WRITERS: [&str; 8] = [
    "ioredis",
    "iovalkey",
    "redis",
    "redis-py",
    "redis-py-asyncio",
    "coredis",
    "redis-rs",
    "fred",
];

/// Starts a library, which writes, or reads, for so many seconds.
pub(crate) fn start(world: &World, library: &str, seconds: u32) -> Client {
    let (seconds, rate) = (seconds.to_string(), RATE.to_string());
    let prefix = prefix(library);
    let args = [
        ("--sentinel", world.gateway.discovery.as_str()),
        ("--master", GROUP),
        ("--password", PASSWORD),
        ("--prefix", &prefix),
        ("--rate", &rate),
        ("--seconds", &seconds),
    ];
    let args = args.into_iter().flat_map(|(name, value)| [name, value]);
    let script = match library {
        "redis-rs" => return Client::thread(args.map(str::to_owned).collect(), redis_rs::run),
        "fred" => return Client::thread(args.map(str::to_owned).collect(), fred_rs::run),
        "ioredis" | "iovalkey" | "redis" => "defaults.js",
        _ => "defaults.py",
    };
    let args = ["--library", library].into_iter().chain(args);
    Client::Program(program(script, args, &[]))
}

fn prefix(library: &str) -> String {
    format!("default:{library}:")
}

/// How many numbers of a library are there.
pub(crate) fn written(server: &Server, library: &str) -> u64 {
    let prefix = prefix(library);
    let commands: Vec<_> = (1..=NUMBERS_MAX)
        .map(|number| ["EXISTS".to_owned(), format!("{prefix}{number}")])
        .collect();
    let replies = server.client().pipeline(&commands).expect("it answers");
    replies.iter().filter(|reply| reply.int() == Some(1)).count() as u64
}

#[test]
fn libraries_with_their_default_settings_follow_a_switchover() {
    let world = World::start();
    let writers = WRITERS.map(|library| (library, start(&world, library, SECONDS)));
    let reader = start(&world, "redis-py-reader", SECONDS);
    for (library, _) in &writers {
        wait_until(DEADLINE, library, || {
            written(&world.eu, library) >= NUMBERS_BEFORE
        });
    }
    world.switch_over("us");
    let then = writers.each_ref().map(|(library, _)| written(&world.us, library));

    for ((library, client), then) in writers.into_iter().zip(then) {
        let report = client.report();
        println!("{report:?}");
        let acknowledged = report.acknowledged;
        assert!(acknowledged >= then + u64::from(RATE), "{then}: {report:?}");
        let there = written(&world.us, library);
        assert!(there >= acknowledged, "{there}: {report:?}");
    }
    let read = reader.report();
    println!("{read:?}");
    // Of the node that is the primary now, and then of the other one.
    assert!(read.primaries.len() > 1, "{read:?}");
    assert_eq!(
        read.primaries.last().map(String::as_str),
        Some("slave"),
        "{read:?}"
    );
}
