//! Connections that are there to be counted: they stand and fall with the link.

use std::time::Duration;

use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::rig::{A, B, Rig, broken, settings};
use super::world::{id, set};
use crate::lineage::Lineage;
use crate::shard::event::{Command, Event};
use crate::source::{FullResyncAnswer, Purpose, SourceEvent};

/// A shard that is to keep so many connections.
fn keeping(links: usize) -> Rig {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.event(Event::Command(Command::KeepLinks(links)));
    rig
}

/// The connections beside the link.
fn beside(rig: &Rig) -> Vec<u64> {
    let lease = rig
        .connections
        .iter()
        .filter(|(_, connection)| connection.purpose == Purpose::Lease);
    lease.map(|(attempt, _)| *attempt).collect()
}

fn report(rig: &mut Rig, attempt: u64, event: SourceEvent) {
    rig.event(Event::Source { attempt, event });
}

/// One of them finds a primary; returns what it is told.
fn find(rig: &mut Rig, attempt: u64, history: ReplicationId) -> Result<PsyncRequest, String> {
    let (reply, mut answer) = oneshot::channel();
    let lineage = Lineage {
        id: history,
        offset: Offset::new(12_345),
        previous: None,
        process: None,
        uptime: Duration::from_secs(3600),
        backlog_from: Some(Offset::ZERO),
    };
    let peer = "10.0.0.1:6379".to_owned();
    let needs = rig.needs.clone();
    report(
        rig,
        attempt,
        SourceEvent::Found {
            peer,
            lineage,
            needs,
            reply,
        },
    );
    let asking = answer.try_recv().expect("answered at once");
    asking.map(|asking| asking.position)
}

#[test]
fn each_takes_the_stream_from_where_the_primary_is_and_acknowledges_with_the_link() {
    let mut rig = keeping(3);
    let links = beside(&rig);
    assert_eq!(links.len(), 2);
    for link in &links {
        let held = Offset::new(12_345);
        assert_eq!(
            find(&mut rig, *link, id(A)),
            Ok(PsyncRequest::Resume { id: id(A), held })
        );
        report(&mut rig, *link, SourceEvent::Identified { client: 50 + link });
        report(&mut rig, *link, SourceEvent::Continued { id: None });
    }
    let status = rig.status();
    assert_eq!(status.lease_links, 2);
    assert_eq!(
        status.clients,
        links.iter().map(|link| 50 + link).collect::<Vec<_>>()
    );
    for link in &links {
        rig.connections
            .get_mut(link)
            .expect("it stands")
            .acks
            .mark_unchanged();
    }
    rig.advance(1500);
    for link in &links {
        let acks = &rig.connections[link].acks;
        assert!(acks.has_changed().expect("the link stands"), "{link}");
    }
    rig.event(Event::Command(Command::KeepLinks(1)));
    assert_eq!((beside(&rig).len(), rig.status().lease_links), (0, 0));
}

#[test]
fn they_end_with_the_link_and_come_back_with_it() {
    let mut rig = keeping(2);
    let first = beside(&rig);
    rig.link_event(SourceEvent::Ended(broken()));
    assert!(beside(&rig).is_empty());
    rig.asked(id(A), None);
    rig.continued(None);
    let again = beside(&rig);
    assert!(again.len() == 1 && again != first, "{again:?}");
}

#[test]
fn one_that_breaks_is_opened_again_after_a_pause() {
    let mut rig = keeping(2);
    let first = beside(&rig)[0];
    report(&mut rig, first, SourceEvent::Ended(broken()));
    rig.connections.remove(&first);
    rig.advance(500);
    assert!(beside(&rig).is_empty());
    rig.advance(1000);
    assert_eq!(beside(&rig).len(), 1);
}

#[test]
fn another_history_is_not_followed_and_a_copy_not_taken() {
    let mut rig = keeping(2);
    let link = beside(&rig)[0];
    assert!(find(&mut rig, link, id(B)).is_err());
    assert!(find(&mut rig, link, id(A)).is_ok());
    let (reply, mut answer) = oneshot::channel();
    let offset = Offset::new(7);
    report(
        &mut rig,
        link,
        SourceEvent::FullResync {
            id: id(A),
            offset,
            reply,
        },
    );
    assert!(matches!(answer.try_recv(), Ok(FullResyncAnswer::Refuse(_))));
    assert_eq!(rig.status().lease_links, 0);
}

/// Its `PSYNC` may arrive whatever becomes of the connection, and counts there as a sign from here.
#[test]
fn the_lease_may_have_been_renewed_for_as_long_as_one_asks() {
    let mut rig = keeping(2);
    let link = beside(&rig)[0];
    let until_now = |rig: &Rig| rig.status().renewed_at == Some(rig.now.mono);
    rig.advance(200);
    assert!(!until_now(&rig));
    assert!(find(&mut rig, link, id(A)).is_ok());
    rig.advance(200);
    assert!(until_now(&rig));
    report(&mut rig, link, SourceEvent::Ended(broken()));
    assert!(until_now(&rig));
    rig.advance(200);
    assert!(!until_now(&rig));
}

/// It would wait for them until its `shutdown-timeout`, ten seconds.
#[test]
fn a_primary_that_shuts_down_is_not_kept_waiting() {
    let mut rig = keeping(3);
    rig.link_event(SourceEvent::ShutsDown);
    assert!(beside(&rig).is_empty());
    rig.advance(2000);
    assert!(beside(&rig).is_empty());
    // It was called off.
    rig.advance(2000);
    assert_eq!(beside(&rig).len(), 2);
}
