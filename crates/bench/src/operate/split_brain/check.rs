//! What must hold after a run, from what clients were told and what the group says of itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use sterna_harness::{Gateway, Rescues, absent, keys};
use sterna_testkit::Server;
use sterna_testkit::workload::{Acknowledged, SequenceWriter};

use super::runner::{Frozen, Killed};
use crate::operate::nodes::Node;
use crate::operate::results::Losses;

/// A process that wakes up takes what was queued, and what comes before it has noticed that its replica is gone: it
/// counts them at the latest when its lease is over, once a second.
const AWAKE_MAX: Duration = Duration::from_secs(2);
/// A primary that nobody copies any more goes on for its lease of 3 s and up to 2.1 s; what it takes in that time is in
/// its memory alone.
const ALONE_MAX: Duration = Duration::from_millis(5_500);

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    instant: Instant,
    wall: Timestamp,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self {
            instant: Instant::now(),
            wall: Timestamp::now(),
        }
    }

    fn instant(self, wall: Timestamp) -> Result<Instant> {
        let later: Duration = wall
            .duration_since(self.wall)
            .try_into()
            .context("a promotion before the run began")?;
        Ok(self.instant + later)
    }
}

/// A term of a group: who, and from which promotion to which.
#[derive(Debug, Clone)]
pub(super) struct Term {
    epoch: u64,
    node: usize,
    from: Instant,
    to: Option<Instant>,
}

/// The terms as the group's history and operations tell them.
pub(super) fn terms(site: &Gateway, nodes: &[Node], clocks: Clocks) -> Result<Vec<Term>> {
    let operations = site.operations()?;
    let mut terms: Vec<Term> = Vec::new();
    for entry in site.history()? {
        let node = nodes.iter().position(|node| node.name == entry.primary.as_str());
        let from = match entry.operation {
            Some(id) if entry.epoch.0 > 1 => {
                let operation = operations.iter().find(|operation| operation.id == id);
                let operation = operation.context("the operation of a term")?;
                let promoted = operation
                    .steps
                    .iter()
                    .find(|step| step.name == sterna_model::StepName::Promote);
                clocks.instant(promoted.context("a promotion")?.started_at)?
            }
            _ => clocks.instant,
        };
        if let Some(last) = terms.last_mut() {
            ensure!(
                last.epoch < entry.epoch.0,
                "epochs do not rise: {last:?}, {entry:?}"
            );
            last.to = Some(from);
        }
        terms.push(Term {
            epoch: entry.epoch.0,
            node: node.context("a primary that is no service")?,
            from,
            to: None,
        });
    }
    Ok(terms)
}

/// What the checks counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Writes that a frozen process took when it woke up after another was promoted.
    pub(super) queued: u64,
    /// How long after its awakening the last of them was taken.
    pub(super) queued_until: Duration,
    /// Lost writes.
    pub(super) losses: Losses,
}

/// Nobody took writes outside of its own term, but for a frozen process that woke up (invariant I1).
pub(super) fn one_writer(
    nodes: &[Node],
    terms: &[Term],
    frozen: &[Frozen],
    writes: &[Acknowledged],
    counted: &mut Counted,
) -> Result<()> {
    for write in writes {
        let node = nodes.iter().position(|node| node.server.address() == write.by);
        let node = node.context("a write at an unknown node")?;
        let own = |term: &&Term| term.node == node;
        let within = |term: &Term| write.at >= term.from && term.to.is_none_or(|to| write.at <= to);
        if terms.iter().filter(own).any(within) {
            continue;
        }
        let ended = terms.iter().filter(own).filter_map(|term| term.to);
        let ended = ended.filter(|to| *to < write.at).max();
        let ended = ended.with_context(|| {
            format!(
                "{} took {} before it was promoted",
                nodes[node].name, write.number
            )
        })?;
        let woke = frozen
            .iter()
            .filter(|time| time.node == node && time.from <= ended);
        let woke = woke
            .map(|time| time.until)
            .find(|until| *until > ended && write.at >= *until && write.at <= *until + AWAKE_MAX);
        let woke = woke.with_context(|| {
            format!(
                "two writers: {} took write {} {:?} after another was promoted; terms: {}",
                nodes[node].name,
                write.number,
                write.at - ended,
                told(nodes, terms)
            )
        })?;
        counted.queued += 1;
        counted.queued_until = counted.queued_until.max(write.at - woke);
    }
    Ok(())
}

fn told(nodes: &[Node], terms: &[Term]) -> String {
    let begin = terms.first().map(|term| term.from);
    let terms = terms.iter().map(|term| {
        let since = begin.map_or(Duration::ZERO, |begin| term.from - begin);
        format!(
            "{} {} from {:.3} s on",
            term.epoch,
            nodes[term.node].name,
            since.as_secs_f64()
        )
    });
    terms.collect::<Vec<_>>().join(", ")
}

/// Every acknowledged write is at the primary or in a rescue file, but for what was in the memory of a killed process
/// alone (invariant I3).
pub(super) fn no_silent_loss(
    site: &Gateway,
    nodes: &[Node],
    primary: &Server,
    killed: &[Killed],
    writers: &[(String, SequenceWriter)],
    counted: &mut Counted,
) -> Result<()> {
    let rescued = Rescues::load(site)?;
    for (prefix, writer) in writers {
        let done = writer.acknowledgements();
        let numbers: Vec<u64> = done.iter().map(|write| write.number).collect();
        let lost = absent(&mut primary.connect_locally()?, &keys(prefix, &numbers))?;
        let nowhere = rescued.without(&lost)?;
        counted.losses.lost += lost.len() as u64;
        counted.losses.rescued += (lost.len() - nowhere.len()) as u64;
        let silent: Vec<&Acknowledged> = done
            .iter()
            .filter(|write| nowhere.contains(&format!("{prefix}:{}", write.number)))
            .filter(|write| !went_with_a_process(nodes, killed, &done, write))
            .collect();
        ensure!(
            silent.is_empty(),
            "{} acknowledged writes are neither at the primary nor in any of {} rescue files, {prefix}: {silent:?}; \
             killed: {killed:?}",
            silent.len(),
            rescued.len()
        );
    }
    Ok(())
}

fn went_with_a_process(
    nodes: &[Node],
    killed: &[Killed],
    writes: &[Acknowledged],
    lost: &Acknowledged,
) -> bool {
    killed.iter().any(|kill| {
        let here = nodes[kill.node].server.address();
        let newest = writes
            .iter()
            .rfind(|write| write.by == here && write.at <= kill.until);
        here == lost.by
            && lost.at <= kill.until
            && kill.gone_from.is_some_and(|gone_from| lost.at >= gone_from)
            && newest.is_some_and(|newest| newest.at <= lost.at + ALONE_MAX)
    })
}
