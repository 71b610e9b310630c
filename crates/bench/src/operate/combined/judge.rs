//! What must hold after a run, from what clients were told, and what the group said of itself. No I/O: a run becomes an
//! [`Account`], and this gives what is wrong with it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A moment, as the time since the run began.
pub(super) type Moment = Duration;

/// A client may read an answer so long after it was given.
const READ_LATE: Duration = Duration::from_millis(100);
/// An operation may be without a word of what it does for so long.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// A step that has not come to anything ends within this, or says what is in its way.
const STEP_MAX: Duration = Duration::from_secs(20);

/// A write that was acknowledged to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    /// The index of the client.
    pub(super) writer: usize,
    pub(super) number: u64,
    pub(super) at: Moment,
    /// The index of the service whose node acknowledged it.
    pub(super) service: usize,
}

/// An acknowledged write that the primary does not have at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) write: Write,
    /// What it is in the primary's stream, in bytes.
    pub(super) bytes: u64,
    /// A rescue file has it.
    pub(super) rescued: bool,
}

/// How a term ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// By an operation with a report: what that said of the loss, the first word first.
    Reported(Vec<Bound>),
    /// By an operation without a report.
    Unreported,
}

/// What a report says of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) bytes: u64,
    /// The most that it may be; none where nobody can tell.
    pub(super) bytes_max: Option<u64>,
    pub(super) commands: Option<u64>,
    /// It was counted.
    pub(super) exact: bool,
}

impl Bound {
    /// No more than this was lost, as it says.
    fn most(self) -> Option<u64> {
        if self.exact {
            Some(self.bytes)
        } else {
            self.bytes_max.map(|most| most.max(self.bytes))
        }
    }
}

/// A service's time as the primary, as the group tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) epoch: u64,
    pub(super) service: usize,
    pub(super) from: Moment,
    /// When the next one was promoted.
    pub(super) to: Option<Moment>,
    pub(super) end: Option<End>,
}

/// Why a service may take writes after its term; what is said in docs/fencing.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// A frozen process that wakes up takes what its clients had sent before it looks at the time.
    Frozen,
    /// A clock that is set back lengthens the lease by as much.
    ClockSetBack,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frozen => "a frozen process that woke up",
            Self::ClockSetBack => "a clock that was set back",
        })
    }
}

/// From when to when a rule lets a service take writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) rule: Rule,
    pub(super) service: usize,
    pub(super) from: Moment,
    pub(super) until: Moment,
}

/// A time whose writes nobody can save: what was in the memory of a killed process alone, or what a Sentinel left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) why: GoneWhy,
    pub(super) service: usize,
    pub(super) from: Moment,
    pub(super) until: Moment,
}

/// Why a write can be in no rescue file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GoneWhy {
    /// It was in the memory of a process that was killed. The report says how much it may be.
    Memory,
    /// The service's own Sentinel promoted a node that lacked it, and had the other one overwritten, while the gateway saw
    /// nothing of that.
    Sentinel,
}

/// What an operation that is under way says it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    Step(String),
    /// It waits, and says for whom or what.
    Waits(String),
    /// A step can't be done, and it says what is in the way.
    Retries(String),
}

/// The operations under way at one moment; none where the gateway did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) at: Moment,
    pub(super) running: Option<Vec<(u64, Doing)>>,
}

/// How the group was after everything was healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It was healthy again so long after.
    Healthy(Duration),
    /// It waited for a person, and said so; it was healthy when that had decided.
    ByAPerson(String),
    /// It was not healthy, and what it said.
    Stuck(String),
}

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) services: Vec<String>,
    /// Of those that were acknowledged, in any order.
    pub(super) writes: Vec<Write>,
    /// In their order.
    pub(super) terms: Vec<Term>,
    pub(super) exceptions: Vec<Exception>,
    pub(super) lost: Vec<Lost>,
    pub(super) gone: Vec<Gone>,
    pub(super) samples: Vec<Sample>,
    pub(super) afterwards: Afterwards,
    /// How the nodes' data differ, if they do.
    pub(super) differences: Option<String>,
    /// Full copies given to nodes that held a part of the history already, as the gateway counts them.
    pub(super) copies_within_history: u64,
    /// Whether the gateway had no log and too short a tail to go on from.
    pub(super) nothing_to_go_on_from: bool,
}

/// What was counted, and what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) acknowledged: usize,
    pub(super) lost: usize,
    pub(super) rescued: usize,
    /// Lost with the memory of a killed process.
    pub(super) with_memory: usize,
    /// Lost by a Sentinel.
    pub(super) by_sentinel: usize,
    /// Writes after the end of a term, by the rule that allows them, with how long after its end the last one came.
    pub(super) excepted: BTreeMap<Rule, (usize, Duration)>,
    /// Full copies that only a log or a longer tail could have spared.
    pub(super) copies_for_want_of_a_log: u64,
    /// Everything that is wrong; empty for a good run.
    pub(super) wrong: Vec<String>,
}

/// Judges a run.
pub(super) fn judge(account: &Account) -> Judgement {
    let mut judgement = Judgement {
        acknowledged: account.writes.len(),
        lost: account.lost.len(),
        rescued: account.lost.iter().filter(|lost| lost.rescued).count(),
        ..Judgement::default()
    };
    one_writer(account, &mut judgement);
    saved(account, &mut judgement);
    reported(account, &mut judgement);
    operations_tell(&account.samples, &mut judgement.wrong);
    if let Afterwards::Stuck(said) = &account.afterwards {
        judgement.wrong.push(format!("stuck: {said}"));
    }
    if let Some(differences) = &account.differences {
        judgement.wrong.push(format!("data differ: {differences}"));
    }
    if account.nothing_to_go_on_from {
        judgement.copies_for_want_of_a_log = account.copies_within_history;
    } else if account.copies_within_history > 0 {
        let copies = account.copies_within_history;
        judgement
            .wrong
            .push(format!("{copies} needless full copies (I5)"));
    }
    judgement
}

/// Nobody took writes outside of its own terms, but by a rule (invariant I1).
fn one_writer(account: &Account, judgement: &mut Judgement) {
    let mut two: BTreeMap<usize, (usize, Write, Moment)> = BTreeMap::new();
    let mut early: BTreeMap<usize, usize> = BTreeMap::new();
    for write in &account.writes {
        let own = || account.terms.iter().filter(|term| term.service == write.service);
        let within = |term: &Term| {
            write.at >= term.from && term.to.is_none_or(|to| write.at <= to.saturating_add(READ_LATE))
        };
        if own().any(within) {
            continue;
        }
        let Some(ended) = own().filter_map(|term| term.to).filter(|to| *to < write.at).max() else {
            *early.entry(write.service).or_default() += 1;
            continue;
        };
        let after = write.at.saturating_sub(ended);
        let allows = |exception: &&Exception| {
            exception.service == write.service && (exception.from..=exception.until).contains(&write.at)
        };
        if let Some(exception) = account.exceptions.iter().find(allows) {
            let (count, last) = judgement.excepted.entry(exception.rule).or_default();
            *count += 1;
            *last = (*last).max(after);
        } else {
            let (count, last, _) = two.entry(write.service).or_insert((0, *write, ended));
            *count += 1;
            if write.at > last.at {
                *last = *write;
            }
        }
    }
    for (service, (count, last, ended)) in two {
        judgement.wrong.push(format!(
            "two writers: {} took {count} writes after another was promoted at {:.3} s, the last at {:.3} s; terms: {}",
            account.services[service],
            ended.as_secs_f64(),
            last.at.as_secs_f64(),
            told(account)
        ));
    }
    for (service, count) in early {
        judgement.wrong.push(format!(
            "two writers: {} took {count} writes before it was promoted; terms: {}",
            account.services[service],
            told(account)
        ));
    }
}

fn told(account: &Account) -> String {
    let terms = account.terms.iter().map(|term| {
        let (name, from) = (&account.services[term.service], term.from.as_secs_f64());
        format!("{} {name} from {from:.3} s on", term.epoch)
    });
    terms.collect::<Vec<_>>().join(", ")
}

/// Every lost write is in a rescue file, but for those that nobody could save (invariant I3).
fn saved(account: &Account, judgement: &mut Judgement) {
    let mut silent = Vec::new();
    for lost in account.lost.iter().filter(|lost| !lost.rescued) {
        match gone(account, lost) {
            Some(GoneWhy::Memory) => judgement.with_memory += 1,
            Some(GoneWhy::Sentinel) => judgement.by_sentinel += 1,
            None => silent.push(lost),
        }
    }
    if let (Some(first), Some(last)) = (silent.first(), silent.last()) {
        judgement.wrong.push(format!(
            "{} lost acknowledged writes are in no rescue file: from {} of writer {} at {:.3} s to {} of writer {} at \
             {:.3} s, the first of them by {}; terms: {}",
            silent.len(),
            first.write.number,
            first.write.writer,
            first.write.at.as_secs_f64(),
            last.write.number,
            last.write.writer,
            last.write.at.as_secs_f64(),
            account.services[first.write.service],
            told(account)
        ));
    }
}

fn gone(account: &Account, lost: &Lost) -> Option<GoneWhy> {
    // What a Sentinel leaves behind is its own, whatever became of the process.
    covering(account, lost).map(|gone| gone.why).max()
}

fn left_by_sentinel<'a>(account: &'a Account, lost: &Lost) -> Option<&'a Gone> {
    covering(account, lost).find(|gone| gone.why == GoneWhy::Sentinel)
}

fn covering<'a>(account: &'a Account, lost: &Lost) -> impl Iterator<Item = &'a Gone> {
    let (service, at) = (lost.write.service, lost.write.at);
    let covers = move |gone: &&Gone| gone.service == service && (gone.from..=gone.until).contains(&at);
    account.gone.iter().filter(covers)
}

/// What was lost of each term is in the report of its end, which never says less (invariant I3).
fn reported(account: &Account, judgement: &mut Judgement) {
    let mut of_terms: BTreeMap<usize, Vec<&Lost>> = BTreeMap::new();
    for lost in &account.lost {
        if gone(account, lost) == Some(GoneWhy::Sentinel) && !lost.rescued {
            continue;
        }
        let write = &lost.write;
        // The node that a Sentinel's failover left behind may take writes beside the new one, of the same service: they are of
        // the term that ended.
        let term_at = left_by_sentinel(account, lost).map_or(write.at, |gone| gone.from.min(write.at));
        let begun = |term: &Term| term.service == write.service && term.from <= term_at;
        match account.terms.iter().rposition(begun) {
            Some(term) => of_terms.entry(term).or_default().push(lost),
            None => judgement.wrong.push(format!(
                "{write:?} was lost, of a service that was never the primary"
            )),
        }
    }
    for (index, lost) in of_terms {
        let term = &account.terms[index];
        let what = format!(
            "{} acknowledged writes of {} in epoch {}",
            lost.len(),
            account.services[term.service],
            term.epoch
        );
        match &term.end {
            Some(End::Reported(bounds)) => compare(&what, term, &lost, bounds, &mut judgement.wrong),
            Some(End::Unreported) => judgement.wrong.push(format!(
                "{what} are lost, and the operation that ended it has no report"
            )),
            None => judgement.wrong.push(format!(
                "{what} are lost, and the term did not end: it is the primary still"
            )),
        }
    }
}

fn compare(what: &str, term: &Term, lost: &[&Lost], bounds: &[Bound], wrong: &mut Vec<String>) {
    let all: u64 = lost.iter().map(|lost| lost.bytes).sum();
    // What is taken after the end, by one of the rules, is not foreseen.
    let within = |lost: &&&Lost| term.to.is_none_or(|to| lost.write.at <= to);
    let foreseen: u64 = lost.iter().filter(within).map(|lost| lost.bytes).sum();
    let newest = bounds.len().saturating_sub(1);
    for (index, bound) in bounds.iter().enumerate() {
        let counted = bound.exact && index == newest;
        let bytes = if counted { all } else { foreseen };
        if let Some(most) = bound.most().filter(|most| *most < bytes) {
            wrong.push(format!(
                "{what} are lost, {bytes} bytes, and the report says at most {most}: {bound:?}, word {} of {}",
                index + 1,
                bounds.len()
            ));
        }
        if let Some(commands) = bound.commands.filter(|_| counted)
            && commands < lost.len() as u64
        {
            wrong.push(format!("{what} are lost, and the report counts {commands}"));
        }
    }
}

/// Every operation ends, or says for whom it waits.
fn operations_tell(samples: &[Sample], wrong: &mut Vec<String>) {
    // Since when each operation has been doing the same.
    let mut since: BTreeMap<u64, (Moment, &Doing, bool)> = BTreeMap::new();
    for sample in samples {
        let Some(running) = &sample.running else {
            since.clear();
            continue;
        };
        since.retain(|id, _| running.iter().any(|(running, _)| running == id));
        for (id, doing) in running {
            let known = since.entry(*id).or_insert((sample.at, doing, false));
            if known.1 != doing {
                *known = (sample.at, doing, false);
            }
            let most = match doing {
                Doing::Nothing => SILENT_MAX,
                Doing::Step(_) => STEP_MAX,
                Doing::Waits(_) | Doing::Retries(_) => continue,
            };
            let lasts = sample.at.saturating_sub(known.0);
            if lasts > most && !known.2 {
                known.2 = true;
                wrong.push(format!(
                    "operation {id} does not say for whom it waits: {doing:?} for {:.1} s",
                    lasts.as_secs_f64()
                ));
            }
        }
    }
}
