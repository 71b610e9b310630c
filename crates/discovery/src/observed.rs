//! The groups as they are now, with since when they are so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sterna_protocol::sentinel::{Downtime, Event, MasterReport, ReplicaReport};

use crate::directory::{Directory, Endpoint, Entry, ReplicaEntry};
use crate::events;

/// A directory and its times. Every time here is how long the endpoint had been up at that moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    directory: Arc<Directory>,
    groups: BTreeMap<String, GroupTimes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct GroupTimes {
    primary: NodeTimes,
    replicas: BTreeMap<Endpoint, NodeTimes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NodeTimes {
    role_since: Duration,
    down_since: Option<Duration>,
}

impl Observed {
    /// The first one: everything is so since now.
    pub(crate) fn first(directory: Arc<Directory>, now: Duration) -> Self {
        Self::default().next(directory, now).0
    }

    /// The one after this, and what to publish about the difference.
    pub(crate) fn next(&self, directory: Arc<Directory>, now: Duration) -> (Self, Vec<Event>) {
        let events = events::between(&self.directory, &directory);
        let groups = directory
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), self.group_times(name, entry, now)))
            .collect();
        (Self { directory, groups }, events)
    }

    /// All groups, by name.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.directory.entries.values()
    }

    /// One group.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.directory.entries.get(name)
    }

    /// A group's primary, as the Sentinel protocol describes it.
    pub(crate) fn master<'a>(&self, entry: &'a Entry, now: Duration) -> MasterReport<'a> {
        let times = self.groups.get(&entry.name).map(|times| times.primary);
        let times = times.unwrap_or_else(|| NodeTimes::new(entry.down, now));
        MasterReport {
            name: &entry.name,
            host: &entry.primary.host,
            port: entry.primary.port,
            down: times.downtime(now),
            epoch: entry.epoch,
            replicas: entry.replicas.len(),
            down_after_ms: entry.down_after_ms,
            role_since: now.saturating_sub(times.role_since),
        }
    }

    /// A replica node, as the Sentinel protocol describes it.
    pub(crate) fn replica<'a>(
        &self,
        entry: &'a Entry,
        replica: &'a ReplicaEntry,
        now: Duration,
    ) -> ReplicaReport<'a> {
        let times = self
            .groups
            .get(&entry.name)
            .and_then(|times| times.replicas.get(&replica.endpoint));
        let times = times.copied().unwrap_or_else(|| NodeTimes::new(!replica.up, now));
        ReplicaReport {
            host: &replica.endpoint.host,
            port: replica.endpoint.port,
            down: times.downtime(now),
            offset: replica.offset,
            primary: (&entry.primary.host, entry.primary.port),
            down_after_ms: entry.down_after_ms,
            role_since: now.saturating_sub(times.role_since),
        }
    }

    fn group_times(&self, name: &str, entry: &Entry, now: Duration) -> GroupTimes {
        let known = self.groups.get(name);
        let same_primary = self
            .entry(name)
            .is_some_and(|before| before.primary == entry.primary);
        let primary = known.filter(|_| same_primary).map(|times| times.primary);
        let replicas = entry.replicas.iter().map(|replica| {
            let before = known.and_then(|times| times.replicas.get(&replica.endpoint));
            (
                replica.endpoint.clone(),
                NodeTimes::follow(before.copied(), !replica.up, now),
            )
        });
        GroupTimes {
            primary: NodeTimes::follow(primary, entry.down, now),
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
    use crate::directory::tests::{directory, entry};

    const SECOND: Duration = Duration::from_secs(1);

    fn observe(before: &Observed, entry: Entry, seconds: u32) -> Observed {
        before.next(Arc::new(directory([entry])), seconds * SECOND).0
    }

    fn master(observed: &Observed, seconds: u32) -> MasterReport<'_> {
        observed.master(observed.entry("m1").expect("m1 is there"), seconds * SECOND)
    }

    #[test]
    fn what_stays_keeps_its_time() {
        let first = observe(&Observed::default(), entry("m1", "a", &["b"]), 1);
        let mut down = entry("m1", "a", &["b"]);
        down.down = true;
        let second = observe(&first, down.clone(), 5);
        let third = observe(&second, down, 7);
        assert_eq!(master(&third, 9).down, Some(Downtime(4 * SECOND)));
        assert_eq!(master(&third, 9).role_since, 8 * SECOND);
        let back = observe(&third, entry("m1", "a", &["b"]), 10);
        assert_eq!(master(&back, 11).down, None);
    }

    #[test]
    fn another_primary_begins_anew() {
        let first = observe(&Observed::default(), entry("m1", "a", &["b"]), 1);
        let mut over = entry("m1", "b", &["a"]);
        over.replicas[0].up = false;
        let second = observe(&first, over, 5);
        assert_eq!(master(&second, 6).role_since, SECOND);
        let group = second.entry("m1").expect("m1 is there");
        let replica = second.replica(group, &group.replicas[0], 8 * SECOND);
        assert_eq!(replica.down, Some(Downtime(3 * SECOND)));
        assert_eq!(replica.primary, ("b", 6379));
    }
}
