//! A line for each seed, and a table of all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::judge::{Afterwards, Judgement};
use super::plan::Plan;
use crate::operate::load::ms;
use crate::stats::{median, quantile};

/// What a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) judgement: Judgement,
    /// Changes of primary.
    pub(super) changes: usize,
    /// The longest time without an acknowledged write for a client that follows.
    pub(super) without_writes: Duration,
    pub(super) afterwards: Afterwards,
}

impl Outcome {
    /// Whether a person had to decide.
    pub(super) fn asked_a_person(&self) -> bool {
        matches!(self.afterwards, Afterwards::ByAPerson(_))
    }
}

/// The line of a seed.
pub(super) fn line(
    seed: u64,
    plan: &Plan,
    outcome: Option<&Outcome>,
    wrong: &[String],
    took: Duration,
) -> String {
    let mut line = format!("seed {seed:>4}: {plan}; ");
    if let Some(outcome) = outcome {
        let Judgement {
            acknowledged,
            lost,
            rescued,
            with_memory,
            by_sentinel,
            excepted,
            copies_for_want_of_a_log,
            ..
        } = &outcome.judgement;
        let mut words = vec![
            format!("{} changes of primary", outcome.changes),
            format!("{:.0} ms without writes", ms(outcome.without_writes)),
            format!("{lost} of {acknowledged} acknowledged writes lost, {rescued} rescued"),
        ];
        if *with_memory > 0 {
            words.push(format!("{with_memory} gone with a process"));
        }
        if *by_sentinel > 0 {
            words.push(format!("{by_sentinel} lost by the Sentinel"));
        }
        for (rule, (count, last)) in excepted {
            words.push(format!(
                "{count} late writes by {rule}, the last {:.0} ms late",
                ms(*last)
            ));
        }
        if *copies_for_want_of_a_log > 0 {
            words.push(format!(
                "{copies_for_want_of_a_log} full copies, as there was no log on the disk and its tail was too short"
            ));
        }
        words.push(match &outcome.afterwards {
            Afterwards::Healthy(after) => format!("healthy {:.1} s after", after.as_secs_f64()),
            Afterwards::ByAPerson(wanted) => format!("a person had to decide: {wanted}"),
            Afterwards::Stuck(_) => "stuck".to_owned(),
        });
        line.push_str(&words.join("; "));
        line.push_str("; ");
    }
    let verdict = if wrong.is_empty() { "ok" } else { "FAILED" };
    write!(line, "{verdict}; {:.0} s", took.as_secs_f64()).expect("a String takes all");
    for complaint in wrong {
        write!(line, "\n           {complaint}").expect("a String takes all");
    }
    line
}

/// What all seeds with something came to.
#[derive(Debug, Default)]
struct Row {
    seeds: usize,
    failed: usize,
    by_a_person: usize,
    changes: usize,
    without_writes_ms: Vec<f64>,
    lost: usize,
    rescued: usize,
    with_memory: usize,
    by_sentinel: usize,
}

/// All seeds, by situation and by fault.
#[derive(Debug, Default)]
pub(super) struct Summary {
    rows: BTreeMap<(u8, &'static str), Row>,
}

impl Summary {
    pub(super) fn add(&mut self, plan: &Plan, outcome: Option<&Outcome>, failed: bool) {
        let situations = plan.situations.map(|situation| (0, situation.words()));
        for key in situations
            .into_iter()
            .chain([(1, plan.fault.words()), (2, "all")])
        {
            let row = self.rows.entry(key).or_default();
            row.seeds += 1;
            row.failed += usize::from(failed);
            let Some(outcome) = outcome else { continue };
            row.by_a_person += usize::from(outcome.asked_a_person());
            row.changes += outcome.changes;
            row.without_writes_ms.push(ms(outcome.without_writes));
            row.lost += outcome.judgement.lost;
            row.rescued += outcome.judgement.rescued;
            row.with_memory += outcome.judgement.with_memory;
            row.by_sentinel += outcome.judgement.by_sentinel;
        }
    }

    /// As Markdown.
    pub(super) fn table(&self) -> String {
        let mut table = "| with | seeds | failed | a person decided | changes of primary | without writes, median | max | \
                         lost | rescued | with a process | by the Sentinel |\n\
                         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
            .to_owned();
        for ((_, words), row) in &self.rows {
            let seconds = |ms: f64| format!("{:.2} s", ms / 1e3);
            write!(
                table,
                "\n| {words} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.seeds,
                row.failed,
                row.by_a_person,
                row.changes,
                seconds(median(&row.without_writes_ms)),
                seconds(quantile(&row.without_writes_ms, 1.0)),
                row.lost,
                row.rescued,
                row.with_memory,
                row.by_sentinel
            )
            .expect("a String takes all");
        }
        table
    }
}
