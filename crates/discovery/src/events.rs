//! What to publish when one view of the groups follows another.
//!
//! In the order of a real Sentinel: the epoch, then what became of the primary, then its replica nodes.

use sterna_model::{Route, RouteReplica, Routes};
use sterna_protocol::NodeAddress;
use sterna_protocol::sentinel::{Event, EventKind, Subject};

/// The publications between `old` and `new`; none when only offsets differ.
pub(crate) fn between(old: &Routes, new: &Routes) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, route) in old {
        if !new.contains_key(name) {
            events.push(Event::about(EventKind::Unmonitor, primary_of(route)));
        }
    }
    for (name, route) in new {
        match old.get(name) {
            Some(before) => changed(before, route, &mut events),
            None => appeared(route, &mut events),
        }
    }
    events
}

fn appeared(route: &Route, events: &mut Vec<Event>) {
    events.push(Event::about(EventKind::Monitor, primary_of(route)));
    announce_replicas(route, events);
    if route.primary_down {
        primary_down(route, events);
    }
}

fn changed(old: &Route, new: &Route, events: &mut Vec<Event>) {
    if old.epoch != new.epoch {
        events.push(Event::new_epoch(new.epoch.0));
    }
    if old.primary != new.primary {
        switched(old, new, events);
        return;
    }
    match (old.primary_down, new.primary_down) {
        (false, true) => primary_down(new, events),
        (true, false) => {
            events.push(Event::about(EventKind::NotSubjectivelyDown, primary_of(new)));
            events.push(Event::about(EventKind::NotObjectivelyDown, primary_of(new)));
        }
        _ => {}
    }
    let is_gone = |replica: &RouteReplica| find(new, &replica.address).is_none();
    if old.replicas.iter().any(is_gone) {
        // The only way in which a real Sentinel ever forgets a replica.
        events.push(Event::about(EventKind::ResetMaster, primary_of(new)));
        announce_replicas(new, events);
        return;
    }
    for replica in &new.replicas {
        let was_up = find(old, &replica.address).map(|before| before.up);
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
fn switched(old: &Route, new: &Route, events: &mut Vec<Event>) {
    if let Some(promoted) = find(old, &new.primary) {
        events.push(replica_event(EventKind::Promoted, old, promoted));
    }
    events.push(Event::about(EventKind::FailoverEnd, primary_of(old)));
    events.push(Event::switch_master(
        new.group.as_str(),
        (&old.primary.host, old.primary.port),
        (&new.primary.host, new.primary.port),
    ));
    announce_replicas(new, events);
    if new.primary_down {
        primary_down(new, events);
    }
}

fn announce_replicas(route: &Route, events: &mut Vec<Event>) {
    for replica in &route.replicas {
        events.push(replica_event(EventKind::Replica, route, replica));
    }
    for replica in route.replicas.iter().filter(|replica| !replica.up) {
        events.push(replica_event(EventKind::SubjectivelyDown, route, replica));
    }
}

fn primary_down(route: &Route, events: &mut Vec<Event>) {
    events.push(Event::about(EventKind::SubjectivelyDown, primary_of(route)));
    events.push(Event::about(EventKind::ObjectivelyDown, primary_of(route)));
}

fn find<'a>(route: &'a Route, address: &NodeAddress) -> Option<&'a RouteReplica> {
    route.replicas.iter().find(|replica| replica.address == *address)
}

fn primary_of(route: &Route) -> Subject<'_> {
    Subject::Master {
        name: route.group.as_str(),
        host: &route.primary.host,
        port: route.primary.port,
    }
}

fn replica_event(kind: EventKind, route: &Route, replica: &RouteReplica) -> Event {
    let subject = Subject::Replica {
        host: &replica.address.host,
        port: replica.address.port,
        name: route.group.as_str(),
        primary: (&route.primary.host, route.primary.port),
    };
    Event::about(kind, subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{route, routes};

    fn published(old: &Routes, new: &Routes) -> Vec<String> {
        between(old, new)
            .into_iter()
            .map(|event| format!("{} {}", event.kind.channel(), event.message))
            .collect()
    }

    #[test]
    fn nothing_is_published_where_only_offsets_move() {
        let old = routes([route("m1", "a", &["b", "c"])]);
        let new = routes([route("m1", "a", &["b", "c"])]);
        new["m1"].replicas[0].offset.set(sterna_protocol::Offset::new(99));
        assert_eq!(old, new);
        assert!(published(&old, &new).is_empty());
    }

    /// As Redis 7.0.15 says it, without what concerns a vote among Sentinels.
    #[test]
    fn a_failover_is_told_from_the_loss_to_the_new_primary() {
        let healthy = routes([route("m1", "a", &["b"])]);
        let mut lost = healthy.clone();
        lost.get_mut("m1").expect("m1 is there").primary_down = true;
        assert_eq!(
            published(&healthy, &lost),
            ["+sdown master m1 a 6379", "+odown master m1 a 6379 #quorum 1/1"]
        );
        let mut over = route("m1", "b", &["a"]);
        over.epoch = over.epoch.next();
        over.replicas[0].up = false;
        assert_eq!(
            published(&lost, &routes([over])),
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
        let one = routes([route("m1", "a", &["b"])]);
        assert_eq!(
            published(&Routes::default(), &one),
            [
                "+monitor master m1 a 6379 quorum 1",
                "+slave slave b:6379 b 6379 @ m1 a 6379"
            ]
        );
        assert_eq!(published(&one, &Routes::default()), ["-monitor master m1 a 6379"]);
    }

    #[test]
    fn replicas_come_fail_and_go() {
        let old = routes([route("m1", "a", &["b"])]);
        let mut new = route("m1", "a", &["b", "c"]);
        new.replicas[0].up = false;
        new.replicas[1].up = false;
        let new = routes([new]);
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
