//! Looking at nodes: one task for each, which asks again and again and reports what it saw.
//!
//! A look is one `INFO`, and now and then a `CONFIG GET`. It decides nothing.

mod info;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sterna_node::connect::Cause;
use sterna_node::{Client, ClientError, Dialer, Probe, ProbeAnswer};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::time::{Clock, Moment};
pub(crate) use info::{Lease, NodeInfo, Seldom};
pub(crate) use sterna_model::NodeKey;

/// A primary is looked at this often, and every node during an operation.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A replica node that follows is looked at this often, and a primary whose answers the shard passes on: for its
/// settings.
pub(crate) const LOOK_INTERVAL_CALM: Duration = Duration::from_secs(1);
/// During a failover every node is looked at this often.
pub(crate) const LOOK_INTERVAL_CHANGE: Duration = Duration::from_millis(20);
/// While writes wait in a switchover, this often.
pub(crate) const LOOK_INTERVAL_URGENT: Duration = Duration::from_millis(5);
/// A node that does not answer is tried again this often.
pub(crate) const LOOK_INTERVAL_FAILED: Duration = Duration::from_millis(100);
/// Its settings are read this often.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(2);
/// One connection attempt, and one answer, may take so long.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a node could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbeError {
    /// No process listens at its host.
    Refused(String),
    /// It does not answer, or can't be reached.
    Silent(String),
    /// It answers, but not to us.
    Denied(String),
}

impl ProbeError {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Silent(text) | Self::Denied(text) => text,
        }
    }

    fn of(error: &ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Connect(connect) => match connect.cause {
                Cause::Refused => Self::Refused(text),
                Cause::Tls(_) => Self::Denied(text),
                _ => Self::Silent(text),
            },
            ClientError::Closed { .. } | ClientError::Timeout { .. } => Self::Silent(text),
            _ => Self::Denied(text),
        }
    }
}

/// What a look at a node showed, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProbeResult {
    /// It was not looked at yet.
    NotProbed,
    /// It answers and says that it is a primary.
    Primary,
    /// It answers and says that it is a replica.
    Replica,
    /// It answers, but loads its data.
    Loading,
    /// It answers, but not to us: wrong password, missing rights, another engine.
    Denied,
    /// Its host refuses the connection: no process listens there.
    Refused,
    /// It does not answer in time, or can't be reached.
    Silent,
}

impl ProbeResult {
    /// Whether a process that takes writes may stand behind this.
    pub(crate) fn answers(self) -> bool {
        matches!(self, Self::Primary | Self::Replica | Self::Loading | Self::Denied)
    }
}

/// What one look showed.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    pub(crate) node: NodeKey,
    /// When it was asked.
    pub(crate) asked: Moment,
    /// When it answered, or was given up.
    pub(crate) at: Moment,
    pub(crate) result: Result<NodeInfo, ProbeError>,
    /// The address under which the node sees this machine.
    pub(crate) local: Option<IpAddr>,
    /// How long the answer took.
    pub(crate) round_trip: Option<Duration>,
}

/// A task that looks at one node; ends when this is dropped.
#[derive(Debug)]
pub(crate) struct NodeWatch {
    task: AbortHandle,
    interval: watch::Sender<Duration>,
    now: Arc<Notify>,
}

impl Drop for NodeWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NodeWatch {
    /// Begins to look.
    pub(crate) fn start(
        node: NodeKey,
        dialer: Dialer,
        clock: Clock,
        observations: mpsc::Sender<Observation>,
    ) -> Self {
        let (interval, interval_out) = watch::channel(LOOK_INTERVAL);
        let now = Arc::new(Notify::new());
        let watcher = Watcher {
            node,
            probe: Probe::new(dialer, LOOK_TIMEOUT),
            clock,
            observations,
            read: None,
            followers_before: None,
        };
        let task = tokio::spawn(watcher.run(interval_out, Arc::clone(&now))).abort_handle();
        Self { task, interval, now }
    }

    /// Looks this often from now on.
    pub(crate) fn every(&self, interval: Duration) {
        self.interval.send_if_modified(|known| {
            let changed = *known != interval;
            *known = interval;
            changed
        });
    }

    /// Looks at once, at its settings as well.
    pub(crate) fn look_now(&self) {
        self.now.notify_one();
    }
}

/// What is read more seldom, and when it was.
#[derive(Debug, Clone)]
struct Read {
    at: Instant,
    seldom: Seldom,
}

struct Watcher {
    node: NodeKey,
    probe: Probe,
    clock: Clock,
    observations: mpsc::Sender<Observation>,
    read: Option<Read>,
    /// Who followed it at the last reading but one.
    followers_before: Option<Vec<u64>>,
}

impl Watcher {
    async fn run(mut self, mut interval: watch::Receiver<Duration>, now: Arc<Notify>) {
        loop {
            let observation = self.look().await;
            let failed = observation.result.is_err();
            if self.observations.send(observation).await.is_err() {
                return;
            }
            let wanted = *interval.borrow_and_update();
            let pause = if failed {
                wanted.clamp(LOOK_INTERVAL_FAILED / 5, LOOK_INTERVAL_FAILED)
            } else {
                wanted
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = now.notified() => self.read = None,
                Ok(()) = interval.changed() => {}
            }
        }
    }

    async fn look(&mut self) -> Observation {
        let asked = self.clock.now().at;
        let answer = self.ask().await;
        let at = self.clock.now().at;
        let seldom = self.read.as_ref().map(|read| read.seldom.clone());
        Observation::of(
            self.node.clone(),
            answer.as_ref(),
            seldom.unwrap_or_default(),
            (asked, at),
        )
    }

    async fn ask(&mut self) -> Result<ProbeAnswer, ClientError> {
        let answer = self.probe.ask().await?;
        let due = self
            .read
            .as_ref()
            .is_none_or(|read| read.at.elapsed() >= SETTINGS_INTERVAL);
        if let (true, Some(client)) = (due, self.probe.client()) {
            let lease = match client.config_get("min-replicas*").await {
                Ok(settings) => Lease::of(&settings),
                Err(error) if error.leaves_usable() => None,
                Err(error) => return Err(error),
            };
            let followers = match client.following_clients().await {
                Ok(clients) => Some(clients.iter().map(|client| client.id).collect()),
                Err(error) if error.leaves_usable() => None,
                Err(error) => return Err(error),
            };
            let followers = self.steady(followers);
            let seldom = Seldom { lease, followers };
            let at = Instant::now();
            self.read = Some(Read { at, seldom });
        }
        Ok(answer)
    }

    /// Those that were there at the reading before, too: one of ours that has just come, or is about to be gone, is not
    /// taken for somebody else's.
    fn steady(&mut self, followers: Option<Vec<u64>>) -> Option<Vec<u64>> {
        let before = std::mem::replace(&mut self.followers_before, followers.clone());
        let was = |id: &u64| before.as_ref().is_none_or(|before| before.contains(id));
        followers.map(|followers| followers.into_iter().filter(was).collect())
    }
}

impl Observation {
    /// What an answer shows, or that there was none; `seldom` is what was read last of that. With when it was asked for, and
    /// when it came or was given up.
    pub(crate) fn of(
        node: NodeKey,
        answer: Result<&ProbeAnswer, &ClientError>,
        seldom: Seldom,
        (asked, at): (Moment, Moment),
    ) -> Self {
        let result = match answer {
            Ok(answer) => NodeInfo::of(&answer.info, answer.engine, seldom).map_err(ProbeError::Denied),
            Err(error) => Err(ProbeError::of(error)),
        };
        let answer = answer.ok();
        Self {
            node,
            asked,
            at,
            result,
            local: answer.and_then(|answer| answer.local),
            round_trip: answer.map(|answer| answer.round_trip),
        }
    }
}

/// One look through a connection that is open already.
pub(crate) async fn look_at(node: NodeKey, client: &mut Client, clock: Clock) -> Observation {
    let asked = clock.now().at;
    let answer = ProbeAnswer::first(client).await;
    Observation::of(node, answer.as_ref(), Seldom::default(), (asked, clock.now().at))
}
