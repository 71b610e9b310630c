//! The groups as they are now, with since when they are so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sterna_model::{GroupName, Route, RouteReplica, Routes, SiteName};
use sterna_protocol::NodeAddress;
use sterna_protocol::sentinel::{Downtime, Event, MasterReport, ReplicaReport};

use crate::events;

/// The routes and their times. Every time here is how long the endpoint had been up at that moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    routes: Arc<Routes>,
    groups: BTreeMap<GroupName, GroupTimes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct GroupTimes {
    primary: NodeTimes,
    replicas: BTreeMap<NodeAddress, NodeTimes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NodeTimes {
    role_since: Duration,
    down_since: Option<Duration>,
}

impl Observed {
    /// The first one: everything is so since now.
    pub(crate) fn first(routes: Arc<Routes>, now: Duration) -> Self {
        Self::default().next(routes, now).0
    }

    /// The one after this, and what to publish about the difference.
    pub(crate) fn next(&self, routes: Arc<Routes>, now: Duration) -> (Self, Vec<Event>) {
        let events = events::between(&self.routes, &routes);
        let groups = routes
            .iter()
            .map(|(name, route)| (name.clone(), self.group_times(route, now)))
            .collect();
        (Self { routes, groups }, events)
    }

    /// All groups, by name.
    pub(crate) fn routes(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.routes.values()
    }

    /// One group.
    pub(crate) fn route(&self, name: &str) -> Option<&Route> {
        self.routes.get(name)
    }

    /// A group's primary, as the Sentinel protocol describes it.
    pub(crate) fn master<'a>(&self, route: &'a Route, now: Duration) -> MasterReport<'a> {
        let times = self.groups.get(&route.group).map(|times| times.primary);
        let times = times.unwrap_or_else(|| NodeTimes::new(route.primary_down, now));
        MasterReport {
            name: route.group.as_str(),
            host: &route.primary.host,
            port: route.primary.port,
            down: times.downtime(now),
            epoch: route.epoch.0,
            replicas: route.replicas.len(),
            down_after_ms: route.down_after_ms,
            role_since: now.saturating_sub(times.role_since),
        }
    }

    /// A replica node, as the Sentinel protocol describes it.
    pub(crate) fn replica<'a>(
        &self,
        route: &'a Route,
        replica: &'a RouteReplica,
        now: Duration,
    ) -> ReplicaReport<'a> {
        let times = self
            .groups
            .get(&route.group)
            .and_then(|times| times.replicas.get(&replica.address));
        let times = times.copied().unwrap_or_else(|| NodeTimes::new(!replica.up, now));
        ReplicaReport {
            host: &replica.address.host,
            port: replica.address.port,
            down: times.downtime(now),
            offset: replica.offset.get().get(),
            service: replica.service.as_str(),
            site: replica.site.as_ref().map(SiteName::as_str),
            primary_down: self.master(route, now).down,
            primary: (&route.primary.host, route.primary.port),
            down_after_ms: route.down_after_ms,
            role_since: now.saturating_sub(times.role_since),
        }
    }

    fn group_times(&self, route: &Route, now: Duration) -> GroupTimes {
        let known = self.groups.get(&route.group);
        let same_primary = self
            .routes
            .get(&route.group)
            .is_some_and(|before| before.primary == route.primary);
        let primary = known.filter(|_| same_primary).map(|times| times.primary);
        let replicas = route.replicas.iter().map(|replica| {
            let before = known.and_then(|times| times.replicas.get(&replica.address));
            (
                replica.address.clone(),
                NodeTimes::follow(before.copied(), !replica.up, now),
            )
        });
        GroupTimes {
            primary: NodeTimes::follow(primary, route.primary_down, now),
            replicas: replicas.collect(),
        }
    }
}

impl NodeTimes {
    fn new(down: bool, now: Duration) -> Self {
        Self {
            role_since: now,
            down_since: down.then_some(now),
        }
    }

    fn follow(before: Option<Self>, down: bool, now: Duration) -> Self {
        let Some(before) = before else {
            return Self::new(down, now);
        };
        Self {
            down_since: down.then(|| before.down_since.unwrap_or(now)),
            ..before
        }
    }

    fn downtime(self, now: Duration) -> Option<Downtime> {
        self.down_since.map(|since| Downtime(now.saturating_sub(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{route, routes};

    const SECOND: Duration = Duration::from_secs(1);

    fn observe(before: &Observed, route: Route, seconds: u32) -> Observed {
        before.next(Arc::new(routes([route])), seconds * SECOND).0
    }

    fn master(observed: &Observed, seconds: u32) -> MasterReport<'_> {
        observed.master(observed.route("m1").expect("m1 is there"), seconds * SECOND)
    }

    #[test]
    fn what_stays_keeps_its_time() {
        let first = observe(&Observed::default(), route("m1", "a", &["b"]), 1);
        let mut down = route("m1", "a", &["b"]);
        down.primary_down = true;
        let second = observe(&first, down.clone(), 5);
        let third = observe(&second, down, 7);
        assert_eq!(master(&third, 9).down, Some(Downtime(4 * SECOND)));
        assert_eq!(master(&third, 9).role_since, 8 * SECOND);
        let back = observe(&third, route("m1", "a", &["b"]), 10);
        assert_eq!(master(&back, 11).down, None);
    }

    #[test]
    fn another_primary_begins_anew() {
        let first = observe(&Observed::default(), route("m1", "a", &["b"]), 1);
        let mut over = route("m1", "b", &["a"]);
        over.replicas[0].up = false;
        let second = observe(&first, over, 5);
        assert_eq!(master(&second, 6).role_since, SECOND);
        let group = second.route("m1").expect("m1 is there");
        let replica = second.replica(group, &group.replicas[0], 8 * SECOND);
        assert_eq!(replica.down, Some(Downtime(3 * SECOND)));
        assert_eq!(replica.primary, ("b", 6379));
    }

    #[test]
    fn where_a_replica_is_is_read_from_the_route_as_it_is_now() {
        let told = route("m1", "a", &["b"]);
        let observed = observe(&Observed::default(), told.clone(), 1);
        told.replicas[0]
            .offset
            .set(sterna_protocol::Offset::new(12_345_679));
        let group = observed.route("m1").expect("m1 is there");
        let replica = observed.replica(group, &group.replicas[0], SECOND);
        assert_eq!(replica.offset, 12_345_679);
        let mut down = told;
        down.primary_down = true;
        let cut = observe(&observed, down, 2);
        let group = cut.route("m1").expect("m1 is there");
        let replica = cut.replica(group, &group.replicas[0], 5 * SECOND);
        assert_eq!(
            (replica.down, replica.primary_down),
            (None, Some(Downtime(3 * SECOND)))
        );
    }
}
