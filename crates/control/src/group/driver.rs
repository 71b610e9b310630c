//! The task of a group: takes the next event, hands it to the state, does what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sterna_log::KeptAside;
use sterna_model::{GroupName, GroupStatus, Operation, Route, ServiceName};
use sterna_replication::{Command, Login, Notice, ShardAccess, Status};
use sterna_store::{RelaySecrets, Room, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::executor::{Executor, Shard};
use super::publisher::Publisher;
use super::repeats::Repeats;
use super::replies::{Replies, ReplyTo};
use super::services::{self, Services};
use super::{commits, pace};
use crate::access::Access;
use crate::context::Context;
use crate::error::ControlError;
use crate::handle::GroupRequest;
use crate::job::{JobError, JobReport};
use crate::known::{LinkObservation, SentinelView, Signs};
use crate::observe::{NodeInfo, Observation};
use crate::plan::{NodeId, fence};
use crate::state::{Ask, Effect, Event, GroupState, Point, Stored};

/// Looks on their way to the group.
const OBSERVATIONS_MAX: usize = 256;
/// Ends of work on their way to the group: of a job, of a commit, of a reading of services, of questions to Sentinels.
const ENDS_MAX: usize = 8;
/// A gateway that stops does not wait longer for a primary.
const LIFT_MAX: Duration = Duration::from_secs(3);

/// Work came to an end.
#[derive(Debug)]
enum Ended {
    Commit(Result<Box<Stored>, StoreError>),
    Job(Result<Box<JobReport>, JobError>),
    Reached(BTreeMap<ServiceName, Access>),
    Sentinels(SentinelView),
}

/// Drives a group's state.
pub(super) struct Driver {
    context: Arc<Context>,
    name: GroupName,
    state: GroupState,
    shard: Shard,
    secrets: Arc<RelaySecrets>,
    services: Services,
    replies: Replies,
    publisher: Publisher,
    repeats: Repeats,
    /// Whose nodes may attach, from when it is known which these are and how to ask them what they can load.
    may_attach: Vec<ServiceName>,
    observations: mpsc::Receiver<Observation>,
    ends: mpsc::Sender<Ended>,
    ends_in: mpsc::Receiver<Ended>,
    store_room: watch::Receiver<Room>,
    /// How many connections to the primary the shard was told to keep.
    links: u32,
    /// Ends the job under way.
    job: Option<AbortHandle>,
}

impl Driver {
    pub(super) fn new(
        context: Arc<Context>,
        state: GroupState,
        shard: Shard,
        secrets: RelaySecrets,
        aside: watch::Receiver<Vec<KeptAside>>,
    ) -> Self {
        let (observations_out, observations) = mpsc::channel(OBSERVATIONS_MAX);
        let (ends, ends_in) = mpsc::channel(ENDS_MAX);
        let now = context.clock.now();
        Self {
            name: state.known().record.name.clone(),
            publisher: Publisher::new(&state, aside, now),
            services: Services::new(observations_out, context.clock),
            store_room: context.store_room.clone(),
            context,
            state,
            shard,
            secrets: Arc::new(secrets),
            replies: Replies::default(),
            repeats: Repeats::default(),
            may_attach: Vec::new(),
            observations,
            ends,
            ends_in,
            links: 1,
            job: None,
        }
    }

    /// How the group is doing, what it is doing, and where its nodes are, as that changes.
    pub(super) fn receivers(
        &self,
    ) -> (
        watch::Receiver<GroupStatus>,
        watch::Receiver<Option<Operation>>,
        watch::Receiver<Option<Route>>,
    ) {
        self.publisher.receivers()
    }

    /// Runs until the group is deleted or the gateway stops.
    pub(super) async fn run(
        mut self,
        effects: Vec<Effect>,
        mut requests: mpsc::Receiver<GroupRequest>,
        mut notices: mpsc::Receiver<Notice>,
        mut stop: oneshot::Receiver<()>,
    ) {
        // What the log holds is known before anything is decided.
        self.shard.status.mark_changed();
        self.store_room.mark_changed();
        self.execute(effects);
        while !self.state.has_ended() {
            let tick = pace::tick(&self.state);
            let event = tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(ended) = self.ends_in.recv() => {
                    self.take_in_link();
                    self.ended(ended).await
                }
                Some(seen) = self.observations.recv() => Event::Node(Box::new(seen)),
                Ok(()) = self.shard.looks.changed() => match self.look_event() {
                    Some(event) => event,
                    None => continue,
                },
                Some(notice) = notices.recv() => match notice_event(&notice) {
                    Some(event) => event,
                    None => continue,
                },
                request = requests.recv() => match request {
                    Some(request) => self.requested(request),
                    None => break,
                },
                Ok(()) = self.shard.status.changed() => self.link_event(),
                Ok(()) = self.store_room.changed() => Event::Room(*self.store_room.borrow_and_update()),
                () = tokio::time::sleep(tick) => Event::Tick,
            };
            let signs = self.signs(&self.shard.status.borrow());
            let now = self.context.clock.now();
            self.state.heard(signs);
            let effects = self.state.apply(event, now);
            self.execute(effects);
            self.pace();
            self.keep_links().await;
            if let Some(told) = self.publisher.publish(&self.state, self.services.access(), now) {
                self.context.tell(Some(&self.name), told);
            }
        }
        requests.close();
        while let Ok(request) = requests.try_recv() {
            request.refuse(|| ControlError::Stopping);
        }
        self.leave().await;
    }

    async fn ended(&mut self, ended: Ended) -> Event {
        match ended {
            Ended::Commit(result) => Event::Committed(result),
            Ended::Job(result) => {
                self.repeats.ends(result.is_ok(), self.context.clock.now().at);
                Event::JobDone(result)
            }
            Ended::Sentinels(view) => Event::Sentinels(view),
            Ended::Reached(access) => {
                let services = self.services.reached(access);
                let nodes = self.services.dialers().collect();
                // It has ended if this fails.
                self.shard.handle.command(Command::KnowNodes(nodes)).await;
                self.open_relay();
                Event::Reached(services)
            }
        }
    }

    /// What work brought about at the shard is known before it is known that the work ended: else it would be begun again, and held
    /// back as what is repeated.
    fn take_in_link(&mut self) {
        if self.shard.status.has_changed().is_ok_and(|changed| changed) {
            let event = self.link_event();
            let effects = self.state.apply(event, self.context.clock.now());
            self.execute(effects);
        }
    }

    fn link_event(&mut self) -> Event {
        let status = self.shard.status.borrow_and_update().clone();
        let signs = self.signs(&status);
        Event::Link(Box::new(LinkObservation { status, signs }))
    }

    /// What the shard saw of the primary that it follows, where that is the group's primary.
    fn look_event(&mut self) -> Option<Event> {
        let look = self.shard.looks.borrow_and_update().clone()?;
        let known = self.state.known();
        let node = known.node(known.primary()?);
        if node.key.address != look.address {
            return None;
        }
        let answer = look.answer.as_deref().map_err(|error| &**error);
        // It does not read settings: what the group's own look found still stands.
        let seldom = node.info.as_ref().map(NodeInfo::seldom).unwrap_or_default();
        let clock = &self.context.clock;
        let times = (clock.moment(look.asked), clock.now().at);
        let seen = Observation::of(node.key.clone(), answer, seldom, times);
        Some(Event::Node(Box::new(seen)))
    }

    fn signs(&self, status: &Status) -> Signs {
        let moment = |at: Option<Instant>| at.map(|at| self.context.clock.moment(at));
        Signs {
            alive: moment(status.alive_at),
            renewed: moment(status.renewed_at),
            asked: moment(status.primary_asked_at),
        }
    }

    fn requested(&mut self, request: GroupRequest) -> Event {
        let (what, reply) = match request {
            GroupRequest::ServiceChanged(service) => return Event::ServiceChanged(service),
            GroupRequest::Begin {
                change,
                actor,
                missing_users,
                reply,
            } => {
                let by = actor.name;
                let ask = Ask::Begin {
                    change,
                    by,
                    missing_users,
                };
                (ask, ReplyTo::Operation(reply))
            }
            GroupRequest::Update {
                patch,
                expected,
                reply,
            } => (Ask::Update { patch, expected }, ReplyTo::Group(reply)),
            GroupRequest::SetPaused { paused, actor, reply } => {
                tracing::info!(group = %self.name, paused, by = actor.name, "paused or resumed");
                (Ask::SetPaused(paused), ReplyTo::Group(reply))
            }
            GroupRequest::AcceptHistory {
                offered,
                actor,
                reply,
            } => {
                tracing::warn!(group = %self.name, ?offered, by = actor.name, "the primary's history is accepted");
                (Ask::AcceptHistory(offered), ReplyTo::Group(reply))
            }
            GroupRequest::Cancel {
                operation,
                actor,
                reply,
            } => {
                tracing::info!(group = %self.name, %operation, by = actor.name, "cancel");
                (Ask::Cancel(operation), ReplyTo::Operation(reply))
            }
        };
        let ask = self.replies.register(reply);
        Event::Asked { ask, what }
    }

    fn execute(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Commit(commit) => {
                    let context = Arc::clone(&self.context);
                    self.spawn(async move {
                        Ended::Commit(commits::store(&context, *commit).await.map(Box::new))
                    });
                }
                Effect::Job { job, point } => {
                    let executor = self.executor();
                    let context = Arc::clone(&self.context);
                    let pause = self.repeats.begins(&job, context.clock.now().at);
                    let work = tokio::spawn(async move {
                        tokio::time::sleep(pause).await;
                        let at = |place| point.map(|point| Point { place, ..point });
                        commits::pass(&context, at("before"));
                        let result = executor.run(*job).await;
                        commits::pass(&context, at("after"));
                        result.map(Box::new)
                    });
                    self.job = Some(work.abort_handle());
                    self.spawn(async move { Ended::Job(work.await.unwrap_or(Err(JobError::Stopped))) });
                }
                Effect::StopJob => {
                    if let Some(job) = &self.job {
                        job.abort();
                    }
                }
                Effect::Reach(names) => {
                    let context = Arc::clone(&self.context);
                    self.spawn(async move { Ended::Reached(services::read(&context, names).await) });
                }
                Effect::OpenRelay(services) => {
                    self.may_attach = services;
                    self.open_relay();
                }
                Effect::AskSentinels(service) => self.ask_sentinels(&service),
                Effect::Look(node) => self.services.look(&node),
                Effect::AcceptHistory => {
                    let shard = self.shard.handle.clone();
                    // It has ended if this fails.
                    tokio::spawn(async move { shard.command(Command::AcceptNewHistory).await });
                }
                Effect::Answer { ask, answer } => self.replies.answer(&self.name, ask, answer),
                Effect::Publish(kind) => self.context.tell(Some(&self.name), kind),
                Effect::Audit {
                    action,
                    outcome,
                    detail,
                } => {
                    let (context, name) = (Arc::clone(&self.context), self.name.clone());
                    tokio::spawn(async move {
                        context.note(&action, name.as_str(), outcome, Some(detail)).await;
                    });
                }
            }
        }
    }

    fn ask_sentinels(&self, service: &ServiceName) {
        let Some(access) = self.services.access().get(service).cloned() else {
            return;
        };
        let ends = self.ends.clone();
        tokio::spawn(async move {
            match services::sentinel_view(&access).await {
                // The group has ended if nobody takes it.
                Ok(Some(view)) => drop(ends.send(Ended::Sentinels(view)).await),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(service = %access.service.spec.name, %error, "its Sentinels do not answer");
                }
            }
        });
    }

    fn spawn(&self, work: impl Future<Output = Ended> + Send + 'static) {
        let ends = self.ends.clone();
        // The group has ended if nobody takes it.
        tokio::spawn(async move { drop(ends.send(work.await).await) });
    }

    fn executor(&self) -> Executor {
        Executor {
            context: Arc::clone(&self.context),
            clock: self.context.clock,
            group: self.name.clone(),
            epoch: self.state.known().record.epoch.0,
            access: Arc::clone(self.services.access()),
            secrets: Arc::clone(&self.secrets),
            shard: self.shard.clone(),
            route: self.publisher.route(),
        }
    }

    /// Lets the nodes of these services attach, and nobody else's: one that was away when its service left does not
    /// follow again.
    fn open_relay(&self) {
        if self.may_attach.is_empty() || self.services.access().is_empty() {
            return;
        }
        self.context.relay.open(ShardAccess {
            shard: self.shard.handle.clone(),
            logins: self
                .may_attach
                .iter()
                .map(|service| self.login(service))
                .collect(),
        });
    }

    fn login(&self, service: &ServiceName) -> Login {
        let nodes = self
            .services
            .access()
            .get(service)
            .map_or(0, |access| access.nodes().count());
        Login {
            name: service.to_string(),
            secret: self.secrets.of(service),
            nodes,
        }
    }

    /// Nodes whose state decides about the next step are looked at all the time.
    fn pace(&self) {
        for (place, node) in self.state.known().nodes.iter().enumerate() {
            let interval = pace::look_interval(&self.state, NodeId(place));
            self.services.look_every(&node.key, interval);
        }
    }

    /// Tells the shard how many connections to the primary it is to keep.
    async fn keep_links(&mut self) {
        let links = fence::links(self.state.known());
        if links != self.links {
            self.links = links;
            let links = usize::try_from(links).unwrap_or(1);
            self.shard.handle.command(Command::KeepLinks(links)).await;
        }
    }

    /// The gateway stops, or the group was deleted.
    async fn leave(self) {
        if let Some((unfenced, lift)) = self.state.on_stop() {
            let stored = self.context.catalogue.groups.save(unfenced.group).await;
            match stored {
                Ok(_) => {
                    let lifting = Box::pin(self.executor().run(lift));
                    let lifted = tokio::time::timeout(LIFT_MAX, lifting).await;
                    tracing::info!(group = %self.name, ?lifted, "the fence is lifted while the gateway is away");
                }
                Err(error) => tracing::warn!(group = %self.name, %error, "the fence stays in place"),
            }
        }
        if self.state.has_ended() {
            self.context.relay.close(self.shard.handle.name());
        }
        let (done, stopped) = oneshot::channel();
        if self.shard.handle.command(Command::Stop(done)).await {
            drop(stopped.await);
        }
        if self.state.has_ended() {
            drop(tokio::fs::remove_dir_all(self.context.group_dir(&self.name)).await);
        }
    }
}

fn notice_event(notice: &Notice) -> Option<Event> {
    match notice {
        Notice::Lost { .. } => Some(Event::PrimaryLost),
        Notice::FollowerFullSync { .. } => Some(Event::Resynced { full: true }),
        Notice::FollowerResumed { .. } => Some(Event::Resynced { full: false }),
        _ => None,
    }
}
