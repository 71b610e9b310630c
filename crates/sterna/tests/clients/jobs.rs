//! Job queues: no idle worker ends at a switchover, and no job that was taken stays undone, but the one that a busy worker may
//! have had in its hands. A busy worker of rq or Celery may end, and is started again.

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
    /// Celery takes a job off its list (`BRPOP`) before it keeps that it has it; rq moves it to another list (`BLMOVE`), and after a
    /// minute there it counts as failed. One whose connection ends before the answer is lost to it, whatever ends it.
    fn lost_max(self) -> u64 {
        match self {
            Self::Celery | Self::Rq => 1,
            Self::BullMq => 0,
        }
    }

    /// Whether its worker ends at an error in the midst of a job, wherever its server is: a write that is answered `-READONLY`,
    /// or whose connection closes, as each server answers that steps down.
    fn ends_at_errors(self) -> bool {
        matches!(self, Self::Celery | Self::Rq)
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

    /// Asks for jobs for so many seconds.
    pub(crate) fn ask(&self, seconds: u32) -> Process {
        let script = match self.queue {
            Queue::Celery => "jobs_celery.py",
            Queue::Rq => "jobs_rq.py",
            Queue::BullMq => "jobs_bullmq.js",
        };
        program(script, [seconds.to_string().as_str()], &pairs(&self.env))
    }

    /// Waits until every job is done that `asking` took, but so many that were left behind. A worker that has ended is started
    /// again first, as whatever supervises it does, and may have lost the job in its hands.
    pub(crate) fn finish(&mut self, asking: &Process, left_behind: u64) {
        let queue = self.queue;
        let code = asking.exit_code(DEADLINE).expect("it ends");
        assert_eq!(code, 0, "{queue:?}: {}", asking.tail());
        let taken: u64 = asking.text(Source::Stdout).trim().parse().expect("a number");
        let ended = !self.worker.is_running();
        if ended {
            assert!(queue.ends_at_errors(), "{queue:?}: {}", self.worker.tail());
            self.worker = worker(queue, &self.env);
        }
        let may_lack = queue.lost_max() + u64::from(ended) + left_behind;
        wait_until(DEADLINE, &format!("{queue:?} to do every job"), || {
            let done = self.done();
            let undone: Vec<_> = (1..=taken).filter(|number| !done.contains(number)).collect();
            (undone.len() as u64 <= may_lack)
                .then_some(())
                .ok_or_else(|| format!("{undone:?} of {taken} are not done\n{}", self.worker.tail()))
        });
        let lived = if ended {
            "ended, and was started again"
        } else {
            "lived on"
        };
        println!("{queue:?}: {taken} jobs, its worker {lived}");
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
    let mut all = [Queue::Celery, Queue::Rq, Queue::BullMq].map(|queue| Jobs::start(&world, queue));
    let mut client = world.eu.client();
    wait_until(DEADLINE, "every worker to wait for a job", || {
        let blocked = client.info_field("clients", "blocked_clients").expect("INFO");
        (blocked.parse::<usize>().expect("a number") >= all.len())
            .then_some(())
            .ok_or(blocked)
    });
    world.switch_over("us");
    world.wait_healthy();
    for jobs in &all {
        assert!(
            jobs.worker.is_running(),
            "{:?}: {}",
            jobs.queue,
            jobs.worker.tail()
        );
    }

    let asking = all.each_ref().map(|jobs| jobs.ask(SECONDS));
    for jobs in &all {
        wait_until(DEADLINE, &format!("{:?} to do jobs", jobs.queue), || {
            (jobs.done().len() >= JOBS_BEFORE)
                .then_some(())
                .ok_or_else(|| jobs.worker.tail())
        });
    }
    world.switch_over("eu");
    for (jobs, asking) in all.iter_mut().zip(asking) {
        jobs.finish(&asking, 0);
    }
}
