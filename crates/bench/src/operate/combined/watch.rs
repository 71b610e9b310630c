//! Looks at the group all the time: what operations say that they do, and every word of the reports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use sterna_harness::{GROUP, Rest};
use sterna_model::{Activity, Certainty, Operation, OperationId, OperationState, Report};

use super::judge::{Bound, Doing, Moment, Sample};

/// How often it looks; the API gives one token 50 answers a second.
const EVERY: Duration = Duration::from_millis(150);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) samples: Vec<Sample>,
    /// What the report of each operation that is over said, the first word first.
    pub(super) reports: BTreeMap<OperationId, Vec<Bound>>,
    /// Whom the service's Sentinel named as its primary, from when on; the first one first.
    pub(super) watched: Vec<(Moment, SocketAddr)>,
}

/// Looks until it is ended.
#[derive(Debug)]
pub(super) struct Watch {
    end: Sender<()>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    /// `watched` asks the service's Sentinel, where it has one.
    pub(super) fn start(
        rest: Rest,
        begin: Instant,
        watched: impl Fn() -> Option<SocketAddr> + Send + 'static,
    ) -> Result<Self> {
        let (end, ended) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let mut seen = Seen::default();
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    let path = format!("/operations?group={GROUP}&limit=20");
                    let operations: Result<Vec<Operation>> = rest.get(&path);
                    seen.add(begin.elapsed(), operations.ok());
                    if let Some(primary) = watched()
                        && seen.watched.last().is_none_or(|(_, last)| *last != primary)
                    {
                        seen.watched.push((begin.elapsed(), primary));
                    }
                }
                seen
            })?;
        Ok(Self { end, thread })
    }

    /// What was seen. Waits for the last answer.
    pub(super) fn end(self) -> Result<Seen> {
        drop(self.end);
        self.thread.join().map_err(|_| anyhow!("the watch panicked"))
    }
}

impl Seen {
    fn add(&mut self, at: Duration, operations: Option<Vec<Operation>>) {
        for operation in operations.iter().flatten() {
            if operation.state.is_final()
                && let Some(report) = &operation.report
            {
                let bound = bound(report);
                let words = self.reports.entry(operation.id).or_default();
                if words.last() != Some(&bound) {
                    words.push(bound);
                }
            }
        }
        let running = operations.map(|operations| {
            let running = operations
                .iter()
                .filter(|operation| operation.state == OperationState::Running);
            running
                .map(|operation| (operation.id.0, doing(operation)))
                .collect()
        });
        self.samples.push(Sample { at, running });
    }
}

fn bound(report: &Report) -> Bound {
    Bound {
        bytes: report.rpo.bytes,
        bytes_max: report.rpo.bytes_max,
        commands: report.rpo.commands,
        exact: report.rpo.certainty == Certainty::Exact,
    }
}

fn doing(operation: &Operation) -> Doing {
    match &operation.now {
        None => Doing::Nothing,
        Some(Activity::Step { step }) => Doing::Step(step.to_string()),
        Some(Activity::Retry { step, error }) => Doing::Retries(format!("{step}: {error}")),
        Some(Activity::Wait(wait)) => Doing::Waits(format!("{wait}")),
    }
}
