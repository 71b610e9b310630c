//! Libraries and job queues with the settings that they have by themselves, when the primary is killed, and when it freezes
//! and wakes up: nobody stays behind, and what is missing then is counted in the failover's report. A worker that ends is
//! started again, as by whatever supervises it, and does every job.

use sterna_model::Operation;
use sterna_testkit::{Process, wait_until};

use crate::client::Client;
use crate::defaults::{self, WRITERS};
use crate::jobs::{JOBS_BEFORE, Jobs, Queue};
use crate::support::DEADLINE;
use crate::world::World;

/// From start to end of a client: a lease that runs out, a failover and a rejoin on a loaded machine fit into it.
const SECONDS: u32 = 25;
/// So many more writes each has had acknowledged when it ends.
const NUMBERS_AFTER: u64 = 100;

/// All of them at work.
struct Everybody {
    writers: Vec<(&'static str, Client)>,
    jobs: Vec<Jobs>,
    asking: Vec<Process>,
}

impl Everybody {
    fn start(world: &World) -> Self {
        let jobs = [Queue::Celery, Queue::Rq, Queue::BullMq].map(|queue| Jobs::start(world, queue));
        let writers = WRITERS.map(|library| (library, defaults::start(world, library, SECONDS)));
        let asking = jobs.iter().map(|jobs| jobs.ask(SECONDS / 2)).collect();
        for (library, _) in &writers {
            wait_until(DEADLINE, library, || {
                defaults::written(&world.eu, library) >= defaults::NUMBERS_BEFORE
            });
        }
        for jobs in &jobs {
            wait_until(DEADLINE, "jobs to be done", || {
                (jobs.done().len() >= JOBS_BEFORE)
                    .then_some(())
                    .ok_or_else(|| jobs.worker.tail())
            });
        }
        Self {
            writers: writers.into(),
            jobs: jobs.into(),
            asking,
        }
    }

    /// Each goes on at the new primary; what is missing there was left behind by this failover, and counted.
    fn went_on(self, world: &World, failover: &Operation) {
        let counted = failover.report.as_ref().and_then(|report| report.rpo.commands);
        let left_behind = counted.unwrap_or_default();
        let then: Vec<_> = self
            .writers
            .iter()
            .map(|(library, _)| defaults::written(&world.us, library))
            .collect();
        let mut missing = 0;
        for ((library, client), then) in self.writers.into_iter().zip(then) {
            let report = client.report();
            println!("{report:?}");
            let acknowledged = report.acknowledged;
            assert!(acknowledged >= then + NUMBERS_AFTER, "{then}: {report:?}");
            missing += acknowledged.saturating_sub(defaults::written(&world.us, library));
        }
        assert!(missing <= left_behind, "{missing}: {failover:#?}");
        for (mut jobs, asking) in self.jobs.into_iter().zip(self.asking) {
            jobs.finish(&asking, left_behind);
        }
        println!("{missing} acknowledged writes missing, {left_behind} left behind as the report says");
    }
}

#[test]
fn libraries_and_queues_go_on_when_the_primary_is_killed() {
    let mut world = World::start();
    let everybody = Everybody::start(&world);
    world.eu.kill9();
    let failover = world.wait_failover();
    world.eu.restart().expect("restarted");
    world.wait_healthy();
    let failover = world.operation(failover.id);
    everybody.went_on(&world, &failover);
}

/// Their connections to it stand all the while, and nobody has a time-out by itself.
#[test]
fn libraries_and_queues_go_on_when_a_frozen_primary_wakes_up() {
    let world = World::start();
    let everybody = Everybody::start(&world);
    world.eu.pause().expect("frozen");
    let failover = world.wait_failover();
    // It wakes up when the other one has been the primary for a while: this library gives a silent server up by itself.
    let before = defaults::written(&world.us, "redis-py");
    wait_until(DEADLINE, "writes at the new primary", || {
        defaults::written(&world.us, "redis-py") >= before + NUMBERS_AFTER
    });
    world.eu.resume().expect("awake");
    world.wait_healthy();
    let failover = world.operation(failover.id);
    everybody.went_on(&world, &failover);
}
