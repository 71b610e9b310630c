//! What is done to a group in one run, from a seed.

use std::fmt;
use std::time::Duration;

use sterna_testkit::Rng;

use crate::operate::kept::Kept;

/// Whom a fault hits, decided when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// The primary of that moment.
    Primary,
    /// The service that was the primary at first.
    First,
}

/// A fault of a server or its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its host is cut off both ways.
    CutOff,
    /// What its host sends is dropped.
    Mute,
    /// What is sent to its host is dropped.
    Deaf,
    /// SIGSTOP, then SIGCONT.
    Freeze,
    /// SIGKILL, then a start from its own configuration file.
    Kill,
}

/// One thing that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A fault begins.
    Begin {
        episode: usize,
        fault: Fault,
        whom: Whom,
    },
    /// A fault ends.
    End { episode: usize },
    /// The gateway is killed.
    KillGateway,
    /// The gateway is stopped in good order.
    StopGateway,
    /// The gateway is started.
    StartGateway,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// For each service, what its server keeps; the first is the primary.
    pub(super) kept: Vec<Kept>,
    /// Actions, each after a time.
    pub(super) actions: Vec<(Duration, Action)>,
}

impl Plan {
    /// The plan of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let services = if rng.once_in(2) { 2 } else { 3 };
        let kept = (0..services).map(|_| match rng.below(3) {
            0 => Kept::Nothing,
            1 => Kept::AppendOnlyFile,
            _ => Kept::OlderFile,
        });
        let kept = kept.collect();
        // At which millisecond what is done; sorted afterwards.
        let mut actions: Vec<(u64, Action)> = Vec::new();
        let mut now = rng.below(1_500);
        for episode in 0..=rng.index(3) {
            let fault = match rng.below(6) {
                0 => Fault::CutOff,
                1 => Fault::Mute,
                2 => Fault::Deaf,
                3 => Fault::Freeze,
                _ => Fault::Kill,
            };
            let whom = if rng.once_in(4) {
                Whom::First
            } else {
                Whom::Primary
            };
            let lasts = length(&mut rng);
            actions.push((now, Action::Begin { episode, fault, whom }));
            actions.push((now + lasts, Action::End { episode }));
            // Some faults overlap.
            now += if rng.once_in(4) { lasts / 2 } else { lasts } + rng.below(6_000);
        }
        if rng.once_in(2) {
            let from = rng.below(now);
            let how = if rng.once_in(4) {
                Action::StopGateway
            } else {
                Action::KillGateway
            };
            actions.push((from, how));
            actions.push((from + rng.below(4_000), Action::StartGateway));
        }
        actions.sort_by_key(|(at, _)| *at);
        let mut before = 0;
        let actions = actions.into_iter().map(|(at, action)| {
            let wait = at - before;
            before = at;
            (Duration::from_millis(wait), action)
        });
        Self {
            kept,
            actions: actions.collect(),
        }
    }
}

/// How long a fault lasts, in milliseconds: too short to matter, about as long as a failover takes, or longer.
fn length(rng: &mut Rng) -> u64 {
    match rng.below(5) {
        0 => 50 + rng.below(1_000),
        1 => 1_000 + rng.below(2_000),
        2 => 3_000 + rng.below(3_500),
        _ => 5_500 + rng.below(4_500),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "services keep {:?};", self.kept)?;
        for (wait, action) in &self.actions {
            write!(f, " +{} ms {action:?};", wait.as_millis())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan_and_every_fault_ends() {
        for seed in 0..200 {
            let plan = Plan::of(seed);
            assert_eq!(plan, Plan::of(seed));
            let begun = |action: &Action| matches!(action, Action::Begin { .. });
            let ended = |action: &Action| matches!(action, Action::End { .. });
            let count =
                |is: fn(&Action) -> bool| plan.actions.iter().filter(|(_, action)| is(action)).count();
            assert!(count(begun) > 0);
            assert_eq!(count(begun), count(ended));
        }
    }
}
