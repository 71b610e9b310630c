//! What to publish when one view of the groups follows another.
//!
//! In the order of a real Sentinel: the epoch, then what became of the primary, then its replica nodes.

use sterna_protocol::sentinel::{Event, EventKind, Subject};

use crate::directory::{Directory, Endpoint, Entry, ReplicaEntry};

/// The publications between `old` and `new`; none when only offsets differ.
pub(crate) fn between(old: &Directory, new: &Directory) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, entry) in &old.entries {
        if !new.entries.contains_key(name) {
            events.push(Event::about(EventKind::Unmonitor, primary_of(entry)));
        }
    }
    for (name, entry) in &new.entries {
        match old.entries.get(name) {
            Some(before) => changed(before, entry, &mut events),
            None => appeared(entry, &mut events),
        }
    }
    events
}

fn appeared(entry: &Entry, events: &mut Vec<Event>) {
    events.push(Event::about(EventKind::Monitor, primary_of(entry)));
    announce_replicas(entry, events);
    if entry.down {
        primary_down(entry, events);
    }
}

fn changed(old: &Entry, new: &Entry, events: &mut Vec<Event>) {
    if old.epoch != new.epoch {
        events.push(Event::new_epoch(new.epoch));
    }
    if old.primary != new.primary {
        switched(old, new, events);
        return;
    }
    match (old.down, new.down) {
        (false, true) => primary_down(new, events),
        (true, false) => {
            events.push(Event::about(EventKind::NotSubjectivelyDown, primary_of(new)));
            events.push(Event::about(EventKind::NotObjectivelyDown, primary_of(new)));
        }
        _ => {}
    }
    let is_gone = |replica: &ReplicaEntry| find(new, &replica.endpoint).is_none();
    if old.replicas.iter().any(is_gone) {
        // The only way in which a real Sentinel ever forgets a replica.
        events.push(Event::about(EventKind::ResetMaster, primary_of(new)));
        announce_replicas(new, events);
        return;
    }
    for replica in &new.replicas {
        let was_up = find(old, &replica.endpoint).map(|before| before.up);
        if was_up.is_none() {
            events.push(replica_event(EventKind::Replica, new, replica));
        }
        match (was_up.unwrap_or(true), replica.up) {
            (true, false) => events.push(replica_event(EventKind::SubjectivelyDown, new, replica)),
            (false, true) => events.push(replica_event(EventKind::NotSubjectivelyDown, new, replica)),
            _ => {}
        }
    }
}

/// Another primary: all replica nodes are announced anew, for they follow it from now on.
fn switched(old: &Entry, new: &Entry, events: &mut Vec<Event>) {
    if let Some(promoted) = find(old, &new.primary) {
        events.push(replica_event(EventKind::Promoted, old, promoted));
    }
    events.push(Event::about(EventKind::FailoverEnd, primary_of(old)));
    events.push(Event::switch_master(
        &new.name,
        (&old.primary.host, old.primary.port),
        (&new.primary.host, new.primary.port),
    ));
    announce_replicas(new, events);
    if new.down {
        primary_down(new, events);
    }
}

fn announce_replicas(entry: &Entry, events: &mut Vec<Event>) {
    for replica in &entry.replicas {
        events.push(replica_event(EventKind::Replica, entry, replica));
    }
    for replica in entry.replicas.iter().filter(|replica| !replica.up) {
        events.push(replica_event(EventKind::SubjectivelyDown, entry, replica));
    }
}

fn primary_down(entry: &Entry, events: &mut Vec<Event>) {
    events.push(Event::about(EventKind::SubjectivelyDown, primary_of(entry)));
    events.push(Event::about(EventKind::ObjectivelyDown, primary_of(entry)));
}

fn find<'a>(entry: &'a Entry, endpoint: &Endpoint) -> Option<&'a ReplicaEntry> {
    entry
        .replicas
        .iter()
        .find(|replica| replica.endpoint == *endpoint)
}

fn primary_of(entry: &Entry) -> Subject<'_> {
    Subject::Master {
        name: &entry.name,
        host: &entry.primary.host,
        port: entry.primary.port,
    }
}

fn replica_event(kind: EventKind, entry: &Entry, replica: &ReplicaEntry) -> Event {
    let subject = Subject::Replica {
        host: &replica.endpoint.host,
        port: replica.endpoint.port,
        name: &entry.name,
        primary: (&entry.primary.host, entry.primary.port),
    };
    Event::about(kind, subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::{directory, entry};

    fn published(old: &Directory, new: &Directory) -> Vec<String> {
        between(old, new)
            .into_iter()
            .map(|event| format!("{} {}", event.kind.channel(), event.message))
            .collect()
    }

    #[test]
    fn nothing_is_published_where_only_offsets_move() {
        let old = directory([entry("m1", "a", &["b", "c"])]);
        let mut new = old.clone();
        new.entries.get_mut("m1").expect("m1 is there").replicas[0].offset = 99;
        assert!(published(&old, &new).is_empty());
    }

    /// As Redis 7.0.15 says it, without what concerns a vote among Sentinels.
    #[test]
    fn a_failover_is_told_from_the_loss_to_the_new_primary() {
        let healthy = directory([entry("m1", "a", &["b"])]);
        let mut lost = healthy.clone();
        lost.entries.get_mut("m1").expect("m1 is there").down = true;
        assert_eq!(
            published(&healthy, &lost),
            ["+sdown master m1 a 6379", "+odown master m1 a 6379 #quorum 1/1"]
        );
        let mut over = entry("m1", "b", &["a"]);
        over.epoch += 1;
        over.replicas[0].up = false;
        assert_eq!(
            published(&lost, &directory([over])),
            [
                "+new-epoch 2",
                "+promoted-slave slave b:6379 b 6379 @ m1 a 6379",
                "+failover-end master m1 a 6379",
                "+switch-master m1 a 6379 b 6379",
                "+slave slave a:6379 a 6379 @ m1 b 6379",
                "+sdown slave a:6379 a 6379 @ m1 b 6379",
            ]
        );
        assert_eq!(
            published(&lost, &healthy),
            ["-sdown master m1 a 6379", "-odown master m1 a 6379"]
        );
    }

    #[test]
    fn groups_come_and_go() {
        let one = directory([entry("m1", "a", &["b"])]);
        assert_eq!(
            published(&Directory::default(), &one),
            [
                "+monitor master m1 a 6379 quorum 1",
                "+slave slave b:6379 b 6379 @ m1 a 6379"
            ]
        );
        assert_eq!(
            published(&one, &Directory::default()),
            ["-monitor master m1 a 6379"]
        );
    }

    #[test]
    fn replicas_come_fail_and_go() {
        let old = directory([entry("m1", "a", &["b"])]);
        let mut new = entry("m1", "a", &["b", "c"]);
        new.replicas[0].up = false;
        new.replicas[1].up = false;
        let new = directory([new]);
        assert_eq!(
            published(&old, &new),
            [
                "+sdown slave b:6379 b 6379 @ m1 a 6379",
                "+slave slave c:6379 c 6379 @ m1 a 6379",
                "+sdown slave c:6379 c 6379 @ m1 a 6379",
            ]
        );
        assert_eq!(
            published(&new, &old),
            [
                "+reset-master master m1 a 6379",
                "+slave slave b:6379 b 6379 @ m1 a 6379",
            ]
        );
    }
}
