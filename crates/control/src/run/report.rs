//! What a change of primary cost, from the times of its steps.

use sterna_model::{OperationKind, Phase, Rescue, StepName};

use super::Run;
use crate::time::Moment;

/// The waits and steps between a loss and the promotion, which are phases of their own where they occurred.
const BEFORE_PROMOTION: [StepName; 4] = [
    StepName::BlockWrites,
    StepName::AwaitLease,
    StepName::AwaitApply,
    StepName::Decide,
];

impl Run {
    /// Fills in what the steps took.
    pub(super) fn complete_report(&mut self) {
        let resyncs = self.resyncs;
        let times = self.phases();
        let Some(report) = &mut self.operation.report else {
            return;
        };
        (report.full_resyncs, report.partial_resyncs) = (resyncs.full, resyncs.partial);
        let Some((began, ends)) = times else { return };
        let ms = |from: Moment, to: Moment| to.since(from).as_secs_f64() * 1000.0;
        let mut last = began;
        report.phases.clear();
        for (name, end) in ends {
            let phase = Phase {
                name,
                ms: ms(last, end),
            };
            report.phases.push(phase);
            last = end;
        }
        report.rto_ms = ms(began, last);
    }

    /// Takes in that writes were saved which the log held of the old primary. That one may have more.
    pub(crate) fn rescued(&mut self, rescue: &Rescue) {
        let report = self.operation.report.as_mut();
        let of_it = report.filter(|report| report.history == Some(rescue.history));
        if let Some(report) = of_it {
            let rpo = &mut report.rpo;
            let bytes = rescue.to.bytes_since(rescue.from);
            rpo.bytes = rpo.bytes.max(bytes);
            rpo.bytes_max = rpo.bytes_max.map(|most| most.max(bytes));
            if rescue.from == report.divergence_offset {
                rpo.commands = rescue.summary.as_ref().map(|summary| summary.commands);
            }
            rpo.rescue = Some(rescue.id);
        }
    }

    /// When the time without writes began, and when each part of it ended, in order.
    fn phases(&self) -> Option<(Moment, Vec<(StepName, Moment)>)> {
        let planned = self.operation.kind == OperationKind::Switchover;
        let first = if planned {
            StepName::PauseWrites
        } else {
            StepName::Detect
        };
        let began = self
            .began(first)
            .or_else(|| self.began(StepName::StopFollowing))?;
        let mut ends = Vec::new();
        if planned {
            // Until the old primary stepped down.
            ends.push((StepName::AwaitStepDown, self.began(StepName::Decide)));
        } else {
            for name in [StepName::Detect, StepName::StopFollowing] {
                ends.push((name, self.done(name)));
            }
        }
        let occurred = |name: &StepName| self.began(*name).is_some();
        ends.extend(
            BEFORE_PROMOTION
                .into_iter()
                .filter(occurred)
                .chain([StepName::Promote, StepName::Follow])
                .map(|name| (name, self.done(name))),
        );
        let ended = ends.into_iter().filter_map(|(name, end)| Some((name, end?)));
        Some((began, ended.collect()))
    }
}
