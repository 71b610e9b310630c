//! Combined situations and faults: of each seed, two things that are so for a while, and a fault that comes into them, under
//! load.
//!
//! Then everything is healed. The group must be healthy in time, or say for whom it waits; nobody but the primary may have
//! taken writes, but by what docs/fencing.md says; every acknowledged write must be at the primary or in a rescue file, with
//! a report that says no less than was lost; all nodes must be equal. The judge has no I/O (`judge.rs`).

mod account;
mod acts;
mod clients;
mod healing;
mod judge;
mod plan;
mod summary;
mod watch;
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use sterna_harness::{DEADLINE, GROUP};

use super::campaign::{Run, leave_evidence};
use crate::print;
use clients::Clients;
use judge::{Account, Afterwards};
use plan::{Plan, Situation};
use summary::{Outcome, Summary};
use watch::Watch;
use world::World;

const WARM_UP_WRITES: u64 = 500;
/// Writes at the end, when all is well.
const LAST_WRITES: u64 = 300;

/// Which seeds, and what becomes of what was seen.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Seeds {
    /// How many seeds.
    #[arg(long = "seeds", default_value_t = 20)]
    count: u64,
    /// The first of them; a run of the same seed does the same.
    #[arg(long = "first-seed", default_value_t = 1)]
    first: u64,
    /// Where a run that failed, or that a person had to decide in, leaves its logs; a directory of the system's for temporary files otherwise.
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Tells what was done in each run.
    #[arg(long)]
    verbose: bool,
    /// Only tells what each seed would do.
    #[arg(long)]
    list: bool,
}

/// Runs them one after the other, whatever fails.
pub(super) fn run(seeds: &Seeds) -> Result<()> {
    if seeds.list {
        for seed in seeds.numbers() {
            let plan = Plan::of(seed);
            print(&format!("seed {seed:>4}: {plan}: {plan:?}"));
        }
        return Ok(());
    }
    let mut summary = Summary::default();
    let mut failed = Vec::new();
    for seed in seeds.numbers() {
        let plan = Plan::of(seed);
        let mut run = Run::new(seed);
        let began = Instant::now();
        let result = one(&plan, &mut run);
        let took = began.elapsed();
        if seeds.verbose {
            run.story
                .iter()
                .for_each(|line| print(&format!("          {line}")));
        }
        let wrong = match &result {
            Ok((outcome, _)) => outcome.judgement.wrong.clone(),
            Err(error) => vec![format!("the run broke off: {error:#}")],
        };
        let (outcome, account) = result.ok().unzip();
        print(&summary::line(seed, &plan, outcome.as_ref(), &wrong, took));
        let asked = outcome.as_ref().is_some_and(Outcome::asked_a_person);
        if !wrong.is_empty() {
            failed.push(seed);
        }
        if !wrong.is_empty() || asked {
            let dir = seeds.evidence_dir(seed);
            match keep_evidence(&dir, &run, &plan, &wrong, account.as_ref()) {
                Ok(()) => print(&format!("           evidence is in {}", dir.display())),
                Err(error) => print(&format!("           evidence can't be written: {error:#}")),
            }
        }
        summary.add(&plan, outcome.as_ref(), !wrong.is_empty());
    }
    print(&summary.table());
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "combined: {} of {} seeds failed: {failed:?}; repeat one with --first-seed SEED --seeds 1",
        failed.len(),
        seeds.count
    )
}

fn one(plan: &Plan, run: &mut Run) -> Result<(Outcome, Account)> {
    run.story.push(format!("{plan:?}"));
    let mut world = World::stand(plan.clone(), run)?;
    let mut clients = Clients::start(&world, plan.has(Situation::SmallBuffers))?;
    clients.following().wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    let watch = Watch::start(world.site()?.rest.clone(), world.begin, world.ask_sentinel())?;
    let done = acts::play(&mut world)?;
    let struck_at = done.struck_at;
    let afterwards = healing::wait(&world);
    world.note(&format!("afterwards: {afterwards:?}"));
    let took_writes = clients.following().wait_acknowledged(LAST_WRITES, DEADLINE);
    clients.stop()?;
    let seen = watch.end()?;
    let afterwards = match (afterwards, took_writes) {
        (Afterwards::Healthy(_) | Afterwards::ByAPerson(_), Err(error)) => {
            Afterwards::Stuck(format!("no writes though it is healthy: {error:#}"))
        }
        (afterwards, _) => afterwards,
    };
    // A digest keeps a server busy for long enough that somebody might promote another.
    world.sentinel = None;
    let _paused: Value = world
        .site()?
        .rest
        .post(&format!("/groups/{GROUP}/pause"), &json!({}))?;
    let account = account::account(&world, &clients, done, &seen, afterwards)?;
    let outcome = Outcome {
        judgement: judge::judge(&account),
        changes: account.terms.len().saturating_sub(1),
        without_writes: clients.following().longest_gap_since(world.begin + struck_at),
        afterwards: account.afterwards.clone(),
    };
    Ok((outcome, account))
}

impl Seeds {
    fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.count
    }

    fn evidence_dir(&self, seed: u64) -> PathBuf {
        let parent = self.evidence.clone().unwrap_or_else(std::env::temp_dir);
        parent.join(format!("combined-{}-seed{seed}", std::process::id()))
    }
}

fn keep_evidence(
    dir: &Path,
    run: &Run,
    plan: &Plan,
    wrong: &[String],
    account: Option<&Account>,
) -> Result<()> {
    let error = anyhow::anyhow!("{plan}\n{}", wrong.join("\n"));
    leave_evidence(dir, run, &error)?;
    if let Some(account) = account {
        fs::write(dir.join("account"), told(account))?;
    }
    Ok(())
}

/// What the judge was given, writes by spans: a client at a service, without a gap of more than 100 ms.
fn told(account: &Account) -> String {
    const GAP: Duration = Duration::from_millis(100);
    let mut text = format!(
        "services {:?}\nterms {:#?}\nexceptions {:#?}\ngone {:#?}\n",
        account.services, account.terms, account.exceptions, account.gone
    );
    let mut writes: Vec<_> = account.writes.iter().collect();
    writes.sort_by_key(|write| (write.writer, write.service, write.at));
    for span in writes.chunk_by(|one, other| {
        (one.writer, one.service) == (other.writer, other.service) && other.at.saturating_sub(one.at) <= GAP
    }) {
        let (first, last) = (span[0], span[span.len() - 1]);
        let line = format!(
            "writer {} at {}: {:.3} s to {:.3} s, {} writes, {} to {}\n",
            first.writer,
            account.services[first.service],
            first.at.as_secs_f64(),
            last.at.as_secs_f64(),
            span.len(),
            first.number,
            last.number
        );
        text.push_str(&line);
    }
    for lost in &account.lost {
        writeln!(text, "lost {lost:?}").expect("a String takes all");
    }
    let mut before = None;
    for sample in account
        .samples
        .iter()
        .filter(|sample| before.replace(&sample.running) != Some(&sample.running))
    {
        writeln!(text, "{:.3} s {:?}", sample.at.as_secs_f64(), sample.running).expect("a String takes all");
    }
    text
}
