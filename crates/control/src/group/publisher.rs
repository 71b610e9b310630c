//! Tells people and clients how the group is doing, where that changed.

use std::collections::BTreeMap;
use std::time::Duration;

use sterna_log::KeptAside;
use sterna_model::{EventKind, GroupStatus, Operation, Route, ServiceName, StatusChange};
use tokio::sync::watch;

use super::alerts::AlertsSince;
use super::{routing, status};
use crate::access::Access;
use crate::state::GroupState;
use crate::time::{Moment, Now};

/// What is no change of state, figures above all, is told no more often than this.
const PACE: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Debug)]
pub(super) struct Publisher {
    status: watch::Sender<GroupStatus>,
    operation: watch::Sender<Option<Operation>>,
    route: watch::Sender<Option<Route>>,
    offsets: routing::Offsets,
    /// When the status was last looked at in full; none before the first time.
    looked_at: Option<Moment>,
    alerts: AlertsSince,
    /// What is kept aside of the group's log.
    aside: watch::Receiver<Vec<KeptAside>>,
}

impl Publisher {
    pub(super) fn new(state: &GroupState, aside: watch::Receiver<Vec<KeptAside>>, now: Now) -> Self {
        let operation = state.run().map(|run| run.operation.clone());
        Self {
            status: watch::Sender::new(status::starting(state, now)),
            operation: watch::Sender::new(operation),
            route: watch::Sender::new(None),
            offsets: routing::Offsets::new(),
            looked_at: None,
            alerts: AlertsSince::default(),
            aside,
        }
    }

    pub(super) fn receivers(
        &self,
    ) -> (
        watch::Receiver<GroupStatus>,
        watch::Receiver<Option<Operation>>,
        watch::Receiver<Option<Route>>,
    ) {
        (
            self.status.subscribe(),
            self.operation.subscribe(),
            self.route.subscribe(),
        )
    }

    /// What clients are told.
    pub(super) fn route(&self) -> watch::Receiver<Option<Route>> {
        self.route.subscribe()
    }

    /// Takes in how the group is now. Gives what is to be told of its status: all of it the first time, then what
    /// changed, and nothing where nothing did.
    pub(super) fn publish(
        &mut self,
        state: &GroupState,
        access: &BTreeMap<ServiceName, Access>,
        now: Now,
    ) -> Option<EventKind> {
        if let Some(route) = routing::route(state, access, &mut self.offsets, now.at) {
            self.route.send_if_modified(|known| {
                let changed = known.as_ref() != Some(&route);
                if changed {
                    *known = Some(route);
                }
                changed
            });
        }
        let operation = state.run().map(|run| &run.operation);
        self.operation.send_if_modified(|known| {
            let changed = known.as_ref() != operation;
            if changed {
                *known = operation.cloned();
            }
            changed
        });
        let record = &state.known().record;
        let (word, reason) = status::state(state, now.at);
        let (news, revision) = {
            let told = self.status.borrow();
            let news = told.summary.state != word
                || told.summary.epoch != record.epoch
                || told.summary.paused != record.paused
                || told.summary.operation != operation.map(|operation| operation.id);
            (news, told.revision + 1)
        };
        let first = self.looked_at.is_none();
        if !news && self.looked_at.is_some_and(|at| now.at.since(at) < PACE) {
            return None;
        }
        self.looked_at = Some(now.at);
        if news {
            tracing::info!(group = %record.name, state = word.as_str(), %reason, epoch = %record.epoch, "group");
        }
        let alerts = self
            .alerts
            .alerts(state, &sterna_node::tls::problems(), &self.aside.borrow(), now);
        let status = GroupStatus {
            revision,
            ..status::status(state, access, (word, reason), alerts, now)
        };
        let change = StatusChange::between(&self.status.borrow(), &status);
        let told = match change {
            _ if first => EventKind::Status {
                status: Box::new(status.clone()),
            },
            Some(change) => EventKind::Change {
                change: Box::new(change),
            },
            None => {
                // Round trips are another with every look: they are there for who asks, and nobody is woken for them.
                self.status.send_if_modified(|told| {
                    let (revision, at) = (told.revision, told.at);
                    *told = GroupStatus {
                        revision,
                        at,
                        ..status
                    };
                    false
                });
                return None;
            }
        };
        self.status.send_replace(status);
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use sterna_node::RelayEndpoint;
    use sterna_protocol::Offset;
    use sterna_replication::Status;

    use super::*;
    use crate::known::{KnownService, LinkObservation, Signs};
    use crate::observe::{NodeKey, Observation, Seldom};
    use crate::state::{Event, Kept};

    fn group() -> GroupState {
        let record = serde_json::from_value(serde_json::json!({
            "name": "orders", "primary": "eu", "replicas": ["us"],
            "settings": sterna_model::GroupSettings::default(), "epoch": 3,
            "primary_since": "2026-03-01T02:50:01Z", "created_at": "2026-01-01T00:00:00Z"
        }));
        let kept = Kept {
            record: record.expect("a record"),
            operation: None,
            rescues: Vec::new(),
            shard: sterna_model::ShardId::STANDALONE,
        };
        let relay = RelayEndpoint {
            announced: None,
            listen: "127.0.0.1:7801".parse().expect("an address"),
        };
        GroupState::resume(kept, relay, at(0).at, at(0)).0
    }

    /// Kept aside of its log.
    fn nothing() -> watch::Receiver<Vec<KeptAside>> {
        watch::channel(Vec::new()).1
    }

    fn at(ms: u64) -> Now {
        Now {
            at: Moment::at(Duration::from_secs(1000) + Duration::from_millis(ms)),
            wall: jiff::Timestamp::UNIX_EPOCH + Duration::from_millis(ms),
        }
    }

    fn received(state: &mut GroupState, end: u64, now: Now) {
        let status = Status {
            log_end: Offset::new(end),
            ..Status::default()
        };
        let seen = LinkObservation {
            status,
            signs: Signs::default(),
        };
        state.apply(Event::Link(Box::new(seen)), now);
    }

    #[test]
    fn a_group_whose_figures_stand_still_is_told_of_once() {
        let mut state = group();
        let mut publisher = Publisher::new(&state, nothing(), at(0));
        let access = BTreeMap::new();
        let first = publisher.publish(&state, &access, at(0));
        assert!(matches!(first, Some(EventKind::Status { .. })), "{first:?}");
        for ms in (10..60_000).step_by(10) {
            received(&mut state, 0, at(ms));
            assert_eq!(publisher.publish(&state, &access, at(ms)), None);
        }
    }

    /// A replica node says what it always says, and takes so long to.
    fn looked_at(state: &mut GroupState, node: &NodeKey, round_trip: Duration, now: Now) {
        let info = "role:slave\r\nmaster_host:eu\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
                    slave_repl_offset:10\r\nmaster_repl_offset:10\r\n\
                    master_replid:8c1b3a5f0d2e4c6b8a9f7e5d3c1b0a9f8e7d6c5b\r\n";
        let version = sterna_node::Version {
            major: 8,
            minor: 0,
            patch: 0,
        };
        let answer = sterna_node::ProbeAnswer {
            engine: sterna_node::Engine {
                kind: sterna_node::EngineKind::Redis,
                version,
            },
            info: sterna_node::Info::parse(info.as_bytes()),
            asked: tokio::time::Instant::now(),
            round_trip,
            local: None,
        };
        let seen = Observation::of(node.clone(), Ok(&answer), Seldom::default(), (now.at, now.at));
        state.apply(Event::Node(Box::new(seen)), now);
    }

    #[test]
    fn round_trips_are_there_for_who_asks_and_told_to_nobody() {
        let (mut state, access) = (group(), BTreeMap::new());
        let node = NodeKey {
            service: "us".parse().expect("a name"),
            address: "us:6379".parse().expect("an address"),
        };
        let service = KnownService {
            name: node.service.clone(),
            nodes: vec![node.address.clone()],
            watched_as: None,
        };
        state.apply(Event::Reached(vec![service]), at(0));
        let mut publisher = Publisher::new(&state, nothing(), at(0));
        publisher.publish(&state, &access, at(0));
        looked_at(&mut state, &node, Duration::from_millis(1), at(1000));
        let told = publisher.publish(&state, &access, at(1000));
        assert!(matches!(told, Some(EventKind::Change { .. })), "{told:?}");

        let (status, ..) = publisher.receivers();
        let before = status.borrow().revision;
        for second in 2..60 {
            let (now, round_trip) = (at(second * 1000), Duration::from_millis(second));
            looked_at(&mut state, &node, round_trip, now);
            assert_eq!(publisher.publish(&state, &access, now), None);
            assert!(!status.has_changed().expect("a publisher"));
            let shown = status.borrow();
            let figures = shown.services[1].nodes[0].figures;
            assert_eq!(figures.round_trip_seconds, Some(round_trip.as_secs_f64()));
            assert_eq!((figures.offset, shown.revision), (Some(Offset::new(10)), before));
        }
    }

    #[test]
    fn figures_that_move_are_told_once_a_second_and_alone() {
        let mut state = group();
        let mut publisher = Publisher::new(&state, nothing(), at(0));
        let access = BTreeMap::new();
        publisher.publish(&state, &access, at(0));
        let mut told = Vec::new();
        for ms in (10..=5000).step_by(10) {
            received(&mut state, ms, at(ms));
            told.extend(publisher.publish(&state, &access, at(ms)));
        }
        assert_eq!(told.len(), 5);
        for (event, revision) in told.iter().zip(2..) {
            let EventKind::Change { change } = event else {
                panic!("{event:?}")
            };
            assert!(change.is_figures_only(), "{change:?}");
            assert_eq!((change.revision, change.shard_figures.len()), (revision, 1));
        }
        assert_eq!(publisher.receivers().0.borrow().revision, 6);
    }
}
