//! A replication group without I/O: events go in with the time, effects come out.
//!
//! The state composes what is known ([`Known`]), the operation under way ([`Run`]) and the work under way ([`Work`]). It
//! takes one event at a time and then asks the planner for the one thing that is next. It waits for nothing: what the
//! store, the nodes and the shard do is asked for as an [`Effect`] and comes back as an [`Event`]. No channel, no clock,
//! no store: the driver has those, and so has the model, which explores this very type.

mod asks;
mod consequences;
mod events;
#[cfg(test)]
pub(crate) mod explored;
mod reading;
mod resolve;
mod steps;
mod storing;
mod work;

use std::time::Duration;

use sterna_model::{
    Activity, CatalogueItem, CopyProgress, EventKind, FailoverReadiness, Group, LinkState, Operation,
    OperationKind, OperationReason, OperationState, Rescue, ServiceName, ShardId,
};
use sterna_node::RelayEndpoint;
use sterna_replication::Handover;

use crate::job::{Job, Lift};
use crate::known::{Known, Signs};
use crate::plan::health::{self, Impairment, Verdict};
use crate::plan::{End, Next, Step, Wait, failover, fence, local_promotion, operation, record, upkeep};
use crate::run::{Course, Run};
use crate::time::{Moment, Now};
pub(crate) use events::{Answer, Ask, AskId, Commit, CommitKind, Effect, Event, Point, PointStep, Stored};
use reading::Reading;
use work::{Intent, Work};

/// After something failed nothing is tried again sooner.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How often it is looked whether a rescue file is too old.
const OLD_RESCUES_INTERVAL: Duration = Duration::from_secs(600);
/// A wait of a switchover is stored only once it has lasted so long: writes of clients wait meanwhile, and every commit
/// takes time.
const PAUSED_WAIT_STORED_AFTER: Duration = Duration::from_secs(30);
/// Everything about a group that decisions depend on.
#[derive(Debug, Clone)]
pub(crate) struct GroupState {
    known: Known,
    run: Option<Run>,
    verdict: Verdict,
    readiness: FailoverReadiness,
    work: Work,
    /// What a person asked for, and that begins when the operation under way has ended.
    asked_next: Option<(AskId, Ask)>,
    /// Nothing is decided before it is known how the services are reached.
    reading: Reading,
    retry_at: Option<Moment>,
    old_rescues_at: Moment,
    /// The group was deleted.
    ended: bool,
}

/// Where a group is taken up from: what the store has of it.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) record: Group,
    /// The shard that the state is of.
    pub(crate) shard: ShardId,
    pub(crate) operation: Option<Operation>,
    pub(crate) rescues: Vec<Rescue>,
}

impl GroupState {
    /// Takes a group up. `gateway_started`: when this process began.
    pub(crate) fn resume(
        kept: Kept,
        relay: RelayEndpoint,
        gateway_started: Moment,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let run = kept
            .operation
            .map(|operation| Run::new(operation, &kept.record, now));
        let mut state = Self {
            known: Known::new(kept.record, kept.shard, kept.rescues, relay, gateway_started, now),
            run,
            verdict: Verdict::Impaired(Impairment::NotLookedAt),
            readiness: FailoverReadiness::Unknown,
            work: Work::default(),
            asked_next: None,
            reading: Reading::default(),
            retry_at: None,
            old_rescues_at: now.at,
            ended: false,
        };
        state.known.link.handover = state
            .run
            .as_ref()
            .map_or(Handover::Refuse, Run::handover_at_start);
        let mut out = vec![Effect::OpenRelay(
            state.known.record.services().cloned().collect(),
        )];
        state.read_services(&mut out);
        (state, out)
    }

    /// Takes in one event and decides what is next.
    pub(crate) fn apply(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Tick => {}
            Event::Node(observation) => {
                let service = observation.node.service.clone();
                self.known.observed(*observation);
                if let Some(run) = &mut self.run {
                    run.looked_at(&service, &self.known);
                }
            }
            Event::Sentinels(view) => {
                let primary = &self.known.record.primary;
                self.known.sentinels.answered(view, primary, now.at);
            }
            Event::Link(seen) => self.known.linked(*seen),
            Event::PrimaryLost => {
                let primary = self.known.primary().map(|primary| self.known.node(primary));
                out.extend(primary.map(|node| Effect::Look(node.key.clone())));
            }
            Event::Resynced { full } => {
                if let Some(run) = &mut self.run {
                    let count = if full {
                        &mut run.resyncs.full
                    } else {
                        &mut run.resyncs.partial
                    };
                    *count += 1;
                }
            }
            Event::Room(room) => self.known.store_room = room,
            Event::Asked { ask, what } => self.asked(ask, what, now, &mut out),
            Event::ServiceChanged(service) => self.reading.changed(service),
            Event::Reached(services) => self.reading.ended(services),
            Event::Committed(result) => self.commit_ended(result, now, &mut out),
            Event::JobDone(result) => self.job_ended(result, now, &mut out),
        }
        self.reconcile(now, &mut out);
        out
    }

    /// When the primary was last heard from, as of the event that comes: they change many times a second, and nothing is
    /// decided for that alone.
    pub(crate) fn heard(&mut self, signs: Signs) {
        self.known.link.signs = signs;
    }

    /// What is known.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// The operation under way.
    pub(crate) fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// What is made of the primary.
    pub(crate) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Whether a failover would happen by itself.
    pub(crate) fn readiness(&self) -> FailoverReadiness {
        self.readiness
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.run.is_none() && self.work.is_idle()
    }

    /// Whether the group was deleted.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Before the gateway stops: no failover can happen without it, so the primary may go on without a lease. That is
    /// stored before it is done: a fence that is thought to be in place would be waited for.
    pub(crate) fn on_stop(&self) -> Option<(record::Change, Job)> {
        let primary = self.known.primary()?;
        // What waits for a copy looks after the fence itself when it goes on.
        let kind = self.run.as_ref().map(|run| run.operation.kind);
        let due = kind.is_none_or(operation::can_wait)
            && !self.work.begins()
            && !self.ended
            && self.known.shard().fence_in_place;
        let node = self.known.node(primary);
        let run = &node.info.as_ref().filter(|_| due)?.run_id;
        let lift = Job::LiftFence {
            node: node.key.clone(),
            run: run.clone(),
            lift: Lift::UntilRestart,
        };
        Some((record::fence(&self.known, false), lift))
    }

    /// Notes who follows the primary beside us, while that can be told.
    fn note_followers(&mut self, now: Now) {
        let Some(primary) = self.known.primary() else {
            return;
        };
        let Known { nodes, link, .. } = &mut self.known;
        let Some(info) = nodes[primary.0].fresh(now.at) else {
            return;
        };
        link.connections.observed(&info.run_id, &link.status.clients);
        if link.is_whole() && link.is_with(&nodes[primary.0].key.address) {
            self.known.kept_open_by_others = fence::may_be_kept_open(&self.known, primary);
        }
    }

    /// Decides what is next.
    fn reconcile(&mut self, now: Now, out: &mut Vec<Effect>) {
        let changing = self.run.as_ref().is_some_and(Run::changes_primary);
        let decided = self.run.as_ref().is_some_and(Run::has_decided);
        self.note_followers(now);
        let observation = health::primary_observation(&self.known, changing, now.at);
        let policy = health::failover_policy(&self.known, decided, now.at);
        if fence::protects(&self.known, now.at) {
            self.known.fit_at = Some(now.at);
        }
        self.verdict = health::evaluate(&observation, &policy);
        self.readiness = health::readiness(&observation, &policy);
        if local_promotion::is_to_be_asked(&self.known, now.at) && self.known.sentinels.ask(now.at) {
            out.push(Effect::AskSentinels(self.known.record.primary.clone()));
        }
        self.read_services(out);
        let retries = self.retry_at.is_some_and(|at| now.at < at);
        if self.ended || self.reading.is_under_way() || !self.work.is_idle() {
            if self.has_more_urgent_work() {
                out.push(Effect::StopJob);
            }
            return;
        }
        self.reading.take_over(&mut self.known);
        if retries {
            return;
        }
        self.retry_at = None;
        if self.run.is_none()
            && let Some((ask, what)) = self.asked_next.take()
        {
            return self.asked(ask, what, now, out);
        }
        let next = match &mut self.run {
            Some(run) if run.is_over() => return self.commit(Intent::Finish, now, out),
            Some(run) => {
                note_unfit(run, &self.known, now.at);
                operation::next(&self.known, run, &self.verdict, now.at)
            }
            None => {
                let look_for_old = now.at >= self.old_rescues_at;
                upkeep::next(&self.known, &self.verdict, look_for_old, now)
            }
        };
        match (next, self.run.is_some()) {
            (Next::Do(step), _) => self.begin(step, now, out),
            (Next::Wait(wait), true) => self.wait(wait, now, out),
            (Next::Done(end), true) => self.end(&end, now, out),
            (Next::Wait(_), false) => {}
            (Next::Done(_), false) => {
                if now.at >= self.old_rescues_at {
                    self.old_rescues_at = now.at.plus(OLD_RESCUES_INTERVAL);
                }
            }
        }
    }

    /// Whether what is done now may take hours, can be done again, and is in the way of what can't wait.
    fn has_more_urgent_work(&self) -> bool {
        let rescues = self
            .work
            .active()
            .is_some_and(|active| matches!(active.step, Step::Rescue { .. }));
        let cancelled = self.run.as_ref().is_some_and(|run| run.cancelled);
        rescues && (cancelled || matches!(self.verdict, Verdict::FailOver(_)))
    }

    /// Notes what the operation waits for; a wait is a step of its own in the record.
    fn wait(&mut self, wait: Wait, now: Now, out: &mut Vec<Effect>) {
        let progress = self.known.link.status.copy.and_then(CopyProgress::share);
        let Some(run) = &mut self.run else { return };
        if let Course::Switchover {
            paused_at: Some(_), ..
        } = run.course
            && now.at.since(run.began) <= PAUSED_WAIT_STORED_AFTER
        {
            run.operation.now = Some(Activity::Wait(wait));
            return;
        }
        if matches!(wait, Wait::Copy { .. }) {
            run.operation.progress = progress;
        }
        let step = wait.step();
        if run.waits(wait, now) {
            out.extend(self.run.as_ref().map(Effect::operation));
            self.commit(Intent::Wait(step), now, out);
        }
    }

    /// Ends the operation.
    fn end(&mut self, end: &End, now: Now, out: &mut Vec<Effect>) {
        if let Some(run) = &mut self.run {
            if *end == End::NotPromotable
                && run.promotion_refused
                && let Some(node) = self.known.primary()
            {
                self.known.nodes[node.0].not_promoted_at = Some(now.at);
            }
            run.ends(end.state(), end.result(&self.known), now);
            self.commit(Intent::Finish, now, out);
        }
    }

    /// The operation is stored as over: the group goes on without it.
    fn finished(&mut self, now: Now, out: &mut Vec<Effect>) {
        out.extend(self.run.as_ref().map(Effect::operation));
        let Some(run) = self.run.take() else { return };
        let over = run.operation;
        out.push(Effect::Audit {
            action: format!("{}.end", over.kind.as_str()),
            outcome: over.state.as_str(),
            detail: match &over.result {
                Some(result) => format!("operation {}: {result}", over.id),
                None => format!("operation {}", over.id),
            },
        });
        let undone = matches!(over.state, OperationState::Failed | OperationState::Cancelled);
        let deleted = matches!(
            run.course,
            Course::Join { deleted: true, .. } | Course::Delete { deleted: true, .. }
        );
        match over.kind {
            _ if deleted => {
                self.ended = true;
                self.answer_deletion(&over, out);
            }
            // Nothing was changed anywhere: there is no such group.
            OperationKind::Create if undone && !over.committed => {
                self.commit(Intent::Drop(Box::new(over)), now, out);
            }
            OperationKind::Failover | OperationKind::Switchover if undone => {
                // The old primary goes on: it is followed again, where it is not already.
                let link = &mut self.known.link;
                link.following &= link.status.link != LinkState::ServeOnly;
            }
            _ => {}
        }
        out.push(Effect::Publish(EventKind::Catalogue {
            what: CatalogueItem::Group,
            name: self.known.record.name.to_string(),
        }));
    }

    /// Lets the services of the group, and the one that joins it, be read where they changed.
    fn read_services(&mut self, out: &mut Vec<Effect>) {
        let record = &self.known.record;
        let joins = self.run.as_ref().and_then(|run| run.operation.service.as_ref());
        let joins = joins.filter(|joins| record.services().all(|service| service != *joins));
        if self.reading.is_due(record.services().chain(joins)) {
            out.push(Effect::Reach(self.reading.services().to_vec()));
        }
    }
}

/// An operation of this group.
fn new_operation(
    record: &Group,
    kind: OperationKind,
    service: Option<ServiceName>,
    reason: OperationReason,
    now: Now,
) -> Operation {
    Operation {
        service,
        ..Operation::begun(&record.name, record.epoch, kind, reason, now.wall)
    }
}

/// Notes since when the decided node is known to be unfit.
fn note_unfit(run: &mut Run, known: &Known, now: Moment) {
    let decided = known.primary().filter(|_| run.has_decided());
    let unfit = decided.is_some_and(|node| run.promotion_refused || failover::is_unfit(known, node, now));
    run.unfit_since = if unfit {
        run.unfit_since.or(Some(now))
    } else {
        None
    };
}
