//! Job queues: no worker ends at a switchover, idle or busy, and no job that was taken stays undone, but the one that Celery
//! may have had in its hands.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sterna_testkit::process::Source;
use sterna_testkit::{Process, wait_until};

use crate::programs::{celery, program};
use crate::support::DEADLINE;
use crate::world::{GROUP, PASSWORD, World};

/// For how long jobs are asked for.
const SECONDS: u32 = 8;
/// Jobs that are done before anything happens.
pub(crate) const JOBS_BEFORE: usize = 20;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Queue {
    Celery,
    Rq,
    BullMq,
}

impl Queue {
    /// Celery takes a job off its list (`BRPOP`) before it keeps that it has it: one whose connection ends in between is lost
    /// to it, whatever ends it.
    pub(crate) fn lost_max(self) -> usize {
        match self {
            Self::Celery => 1,
            Self::Rq | Self::BullMq => 0,
        }
    }
}

/// A queue with its worker.
pub(crate) struct Jobs {
    pub(crate) queue: Queue,
    done: PathBuf,
    env: Vec<(&'static str, String)>,
    pub(crate) worker: Process,
}

impl Jobs {
    /// Starts the worker.
    pub(crate) fn start(world: &World, queue: Queue) -> Self {
        let done = world.gateway.dir.path().join(format!("{queue:?}.done"));
        let env = vec![
            ("DISCOVERY", world.gateway.discovery.clone()),
            ("GROUP", GROUP.to_owned()),
            ("PASSWORD", PASSWORD.to_owned()),
            ("DONE", done.to_string_lossy().into_owned()),
        ];
        let worker = worker(queue, &env);
        Self {
            queue,
            done,
            env,
            worker,
        }
    }

    /// Starts a worker again that has ended, as whatever supervises it does. Returns whether it had.
    pub(crate) fn supervise(&mut self) -> bool {
        let ended = !self.worker.is_running();
        if ended {
            self.worker = worker(self.queue, &self.env);
        }
        ended
    }

    /// Asks for jobs for so many seconds.
    pub(crate) fn ask(&self, seconds: u32) -> Process {
        let script = match self.queue {
            Queue::Celery => "jobs_celery.py",
            Queue::Rq => "jobs_rq.py",
            Queue::BullMq => "jobs_bullmq.js",
        };
        program(script, [seconds.to_string().as_str()], &pairs(&self.env))
    }

    /// The numbers of the jobs that were done.
    pub(crate) fn done(&self) -> BTreeSet<u64> {
        let text = std::fs::read_to_string(&self.done).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

fn worker(queue: Queue, env: &[(&'static str, String)]) -> Process {
    match queue {
        Queue::Celery => celery("jobs_celery", &pairs(env)),
        Queue::Rq => program("jobs_rq.py", ["worker"], &pairs(env)),
        Queue::BullMq => program("jobs_bullmq.js", ["worker"], &pairs(env)),
    }
}

fn pairs<'a>(env: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    env.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[test]
fn workers_of_job_queues_live_on_through_switchovers_and_do_every_job() {
    let world = World::start();
    let all = [Queue::Celery, Queue::Rq, Queue::BullMq].map(|queue| Jobs::start(&world, queue));
    let mut client = world.eu.client();
    wait_until(DEADLINE, "every worker to wait for a job", || {
        let blocked = client.info_field("clients", "blocked_clients").expect("INFO");
        (blocked.parse::<usize>().expect("a number") >= all.len())
            .then_some(())
            .ok_or(blocked)
    });
    world.switch_over("us");
    world.wait_healthy();

    let asking = all.each_ref().map(|jobs| jobs.ask(SECONDS));
    for jobs in &all {
        wait_until(DEADLINE, &format!("{:?} to do jobs", jobs.queue), || {
            (jobs.done().len() >= JOBS_BEFORE)
                .then_some(())
                .ok_or_else(|| jobs.worker.tail())
        });
    }
    world.switch_over("eu");
    for (jobs, asking) in all.iter().zip(asking) {
        let code = asking.exit_code(DEADLINE).expect("it ends");
        assert_eq!(code, 0, "{:?}: {}", jobs.queue, asking.tail());
        let taken: u64 = asking.text(Source::Stdout).trim().parse().expect("a number");
        wait_until(DEADLINE, &format!("{:?} to do every job", jobs.queue), || {
            let done = jobs.done();
            let missing: Vec<_> = (1..=taken).filter(|number| !done.contains(number)).collect();
            (missing.len() <= jobs.queue.lost_max())
                .then_some(())
                .ok_or_else(|| format!("{missing:?} of {taken} are not done\n{}", jobs.worker.tail()))
        });
        assert!(
            jobs.worker.is_running(),
            "{:?}: {}",
            jobs.queue,
            jobs.worker.tail()
        );
        println!("{:?}: {taken} jobs", jobs.queue);
    }
}
