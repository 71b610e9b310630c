//! Random workload, random faults: after every round the data is equal and nothing was copied twice.
//!
//! `make campaign SEEDS=50`. A few seeds run with the ordinary tests. A failure names its seed;
//! `STERNA_CAMPAIGN_FIRST=<seed> STERNA_CAMPAIGN_SEEDS=1` runs that one again.

#![expect(clippy::print_stderr, reason = "a long run shows how far it is")]

mod support;

use std::time::{Duration, Instant};

use sterna_testkit::workload::{Options, Rate, Writer};
use sterna_testkit::{Engine, Proxy, Rng, Server, Workload, digests_equal, wait_until};
use support::{DEADLINE, Link};

/// Faults per seed.
const ROUNDS: usize = 6;
/// Steps of the workload around each fault.
const STEPS_AROUND: u64 = 150;
/// Steps per second, so that the machine has time for the faults.
const STEPS_PER_SECOND: u32 = 1500;
/// A writer stops by itself after so many steps.
const STEPS_MAX: u64 = 200_000;

/// What is done to the system in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    GatewayKilled,
    ReplicaKilled,
    UpstreamCut,
    DownstreamCut,
    UpstreamBlocked,
    DownstreamBlocked,
    GatewayPaused,
    ReplicaPaused,
    PrimaryPaused,
}

const FAULTS: [Fault; 9] = [
    Fault::GatewayKilled,
    Fault::ReplicaKilled,
    Fault::UpstreamCut,
    Fault::DownstreamCut,
    Fault::UpstreamBlocked,
    Fault::DownstreamBlocked,
    Fault::GatewayPaused,
    Fault::ReplicaPaused,
    Fault::PrimaryPaused,
];

struct World {
    primary: Server,
    replicas: Vec<Server>,
    upstream: Proxy,
    downstream: Proxy,
    link: Link,
}

impl World {
    fn start(rng: &mut Rng) -> Self {
        let primary = Server::builder()
            .config("repl-diskless-sync-delay", "0")
            .config("repl-backlog-size", "256mb")
            .start()
            .expect("a primary");
        let replica = || {
            let builder = Server::builder()
                .engine(Engine::replica())
                .config("repl-timeout", "60");
            builder.config("save", "3600 1").start().expect("a replica")
        };
        let replicas = vec![replica(), replica()];
        let upstream = Proxy::start(primary.address()).expect("a proxy");
        let link = Link::new(
            format!("redis://{}", upstream.address()),
            &[&replicas[0], &replicas[1]],
        );
        let relay = format!("127.0.0.1:{}", link.relay_port)
            .parse()
            .expect("an address");
        let downstream = Proxy::start(relay).expect("a proxy");
        let tail = *rng.pick(&[&"64KiB", &"1MiB", &"16MiB"]);
        let acknowledge = *rng.pick(&[&"gateway", &"replica"]);
        let announce = downstream.address().to_string();
        let mut link = link.with(&[
            "--announce-addr",
            &announce,
            "--tail-bytes",
            tail,
            "--acknowledge",
            acknowledge,
        ]);
        link.start_and_follow();
        Self {
            primary,
            replicas,
            upstream,
            downstream,
            link,
        }
    }

    fn write(&self, seed: u64) -> Writer {
        let engines = [&Engine::default(), &Engine::replica()];
        let address = self.primary.address();
        let connect = move || sterna_testkit::Client::connect(address);
        Workload::new(seed, Options::for_engines(&engines))
            .spawn(connect, Rate::PerSecond(STEPS_PER_SECOND), STEPS_MAX)
            .expect("a writer")
    }

    fn strike(&mut self, fault: Fault, rng: &mut Rng) {
        let which = rng.index(2);
        let pause = Duration::from_millis(100 + rng.below(1200));
        match fault {
            Fault::GatewayKilled => {
                self.link.kill9();
                self.link.start();
            }
            Fault::ReplicaKilled => {
                // A node that restarts continues only from an RDB that has its offset.
                self.replicas[which].client().cmd(&["SAVE"]).expect("it saves");
                self.replicas[which].kill9();
                self.replicas[which].restart().expect("it starts again");
            }
            Fault::UpstreamCut => self.upstream.cut().expect("cut"),
            Fault::DownstreamCut => self.downstream.cut().expect("cut"),
            Fault::UpstreamBlocked => {
                self.upstream.block();
                hold(pause);
                self.upstream.unblock();
            }
            Fault::DownstreamBlocked => {
                self.downstream.block();
                hold(pause);
                self.downstream.unblock();
            }
            Fault::GatewayPaused => {
                self.link.process().pause().expect("paused");
                hold(pause);
                self.link.process().resume().expect("resumed");
            }
            Fault::ReplicaPaused => {
                self.replicas[which].pause().expect("paused");
                hold(pause);
                self.replicas[which].resume().expect("resumed");
            }
            Fault::PrimaryPaused => {
                self.primary.pause().expect("paused");
                hold(pause);
                self.primary.resume().expect("resumed");
            }
        }
    }

    /// Full copies that were made, as the servers themselves tell.
    fn full_copies(&self) -> (String, Vec<usize>) {
        let up = self
            .primary
            .client()
            .info_field("stats", "sync_full")
            .expect("INFO");
        let down = self.replicas.iter().map(Server::full_copies_taken).collect();
        (up, down)
    }
}

/// The fault lasts so long: its length is the fault, there is nothing to await.
fn hold(pause: Duration) {
    let until = Instant::now() + pause;
    wait_until(DEADLINE, "the fault has lasted", || Instant::now() >= until);
}

#[test]
fn equal_data_and_no_needless_copy_after_every_fault() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| {
            text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
        })
    };
    let (first, seeds) = (
        number("STERNA_CAMPAIGN_FIRST", 1),
        number("STERNA_CAMPAIGN_SEEDS", 2),
    );
    let started = Instant::now();
    let mut rounds = 0;
    for seed in first..first + seeds {
        rounds += campaign(seed);
    }
    let seconds = started.elapsed().as_secs();
    eprintln!(
        "campaign: {seeds} seeds, {rounds} rounds in {seconds} s: digests equal after every round, 0 needless full syncs"
    );
}

fn campaign(seed: u64) -> usize {
    let mut rng = Rng::new(seed);
    let mut world = World::start(&mut rng);
    let mut struck = Vec::new();
    for round in 0..ROUNDS {
        let writer = world.write(seed * 1000 + round as u64);
        writer
            .wait_acknowledged(STEPS_AROUND, DEADLINE)
            .expect("it writes before the fault");
        let fault = FAULTS[rng.index(FAULTS.len())];
        struck.push(fault);
        world.strike(fault, &mut rng);
        writer
            .wait_acknowledged(STEPS_AROUND, DEADLINE)
            .expect("it writes after the fault");
        writer.stop().expect("it stops");
        for (index, replica) in world.replicas.iter().enumerate() {
            if let Err(error) = digests_equal(&world.primary, replica) {
                panic!(
                    "seed {seed}, round {round}, after {struck:?}: replica {index} differs: {error:#}\n{}\n{}",
                    world.link.process().tail(),
                    replica.log_tail()
                );
            }
        }
        let copies = world.full_copies();
        assert_eq!(
            copies,
            ("1".to_owned(), vec![1, 1]),
            "seed {seed}, round {round}, after {struck:?}: a full copy that was not needed\n{}",
            world.link.process().tail()
        );
    }
    eprintln!("campaign: seed {seed} {struck:?}");
    ROUNDS
}
