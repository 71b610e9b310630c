use std::time::Duration;

use sterna_model::{Operation, OperationId, OperationReason, Requester, ShardId};
use sterna_node::RelayEndpoint;

use super::*;
use crate::plan::health::Cause;
use crate::time::Now;

const NOW: Moment = Moment::at(Duration::from_secs(1000));

/// A group of `eu` and these replica services, of which nothing was looked at yet.
fn group(replicas: &[&str]) -> Known {
    let record = serde_json::json!({
        "name": "orders", "primary": "eu", "replicas": replicas,
        "settings": sterna_model::GroupSettings::default(), "epoch": 3,
        "primary_since": "2026-03-01T02:50:01Z", "created_at": "2026-01-01T00:00:00Z"
    });
    let relay = RelayEndpoint {
        announced: None,
        listen: "127.0.0.1:7801".parse().expect("an address"),
    };
    let record = serde_json::from_value(record).expect("a record");
    Known::new(record, ShardId::STANDALONE, Vec::new(), relay, NOW, now())
}

fn now() -> Now {
    Now {
        at: NOW,
        wall: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// An operation that changes nodes already.
fn under_way(known: &Known, kind: Kind, service: Option<&str>) -> Run {
    let reason = OperationReason::Requested {
        operation: kind,
        by: Requester::from("ann".to_owned()),
    };
    let operation = Operation {
        id: OperationId(7),
        service: service.map(|service| service.parse().expect("a name")),
        committed: true,
        ..Operation::begun(&known.record.name, known.record.epoch, kind, reason, now().wall)
    };
    Run::new(operation, &known.record, now())
}

fn next_of(known: &Known, run: &Run, verdict: &Verdict) -> Next {
    next(known, run, verdict, NOW)
}

fn release() -> Next {
    Next::Do(Step::Release {
        service: "us".parse().expect("a name"),
        promote: false,
    })
}

const LOST: Verdict = Verdict::FailOver(Cause::Refused {
    quiet_for: Duration::from_secs(1),
});

#[test]
fn a_join_that_is_cancelled_leaves_the_record_and_is_let_go() {
    let mut known = group(&["us"]);
    let mut run = under_way(&known, Kind::AddReplica, Some("us"));
    run.cancelled = true;
    let service = "us".parse().expect("a name");
    assert_eq!(
        next_of(&known, &run, &Verdict::Healthy),
        Next::Do(Step::Remove(service))
    );
    known.record.replicas.clear();
    // Also in a process that knows nothing of the cancellation, and where the primary is lost meanwhile.
    run.cancelled = false;
    for verdict in [Verdict::Healthy, LOST] {
        assert_eq!(next_of(&known, &run, &verdict), release());
    }
    // And where the group is to be deleted next: that would let go of the services in the record alone.
    (run.cancelled, run.makes_way_for_deletion) = (true, true);
    assert_eq!(next_of(&known, &run, &Verdict::Healthy), release());
}

#[test]
fn a_join_ends_at_once_for_a_deletion_and_for_a_failover() {
    let known = group(&["us"]);
    let mut run = under_way(&known, Kind::AddReplica, Some("us"));
    assert_eq!(next_of(&known, &run, &LOST), Next::Done(End::Preempted));
    (run.cancelled, run.makes_way_for_deletion) = (true, true);
    assert_eq!(
        next_of(&known, &run, &Verdict::Healthy),
        Next::Done(End::Cancelled)
    );
}

#[test]
fn a_creation_that_is_cancelled_lets_all_go_and_deletes_the_group() {
    let known = group(&["us"]);
    let mut run = under_way(&known, Kind::Create, None);
    run.cancelled = true;
    assert_eq!(
        next_of(&known, &run, &Verdict::Healthy),
        Next::Do(Step::ReleaseAll)
    );
    if let Course::Join { released, .. } = &mut run.course {
        *released = true;
    }
    assert_eq!(next_of(&known, &run, &Verdict::Healthy), Next::Do(Step::Delete));
}

/// Nobody would let the service go later.
#[test]
fn a_removal_goes_on_to_its_end_whatever_is_asked_for_meanwhile() {
    let known = group(&["ap"]);
    let mut run = under_way(&known, Kind::RemoveReplica, Some("us"));
    assert_eq!(next_of(&known, &run, &LOST), release());
    (run.cancelled, run.makes_way_for_deletion) = (true, true);
    assert_eq!(next_of(&known, &run, &Verdict::Healthy), release());
}

/// The failover waits for no more than that.
#[test]
fn a_cancellation_stands_where_the_primary_is_lost() {
    let known = group(&["us"]);
    let mut run = under_way(&known, Kind::AddReplica, Some("us"));
    run.cancelled = true;
    let service = "us".parse().expect("a name");
    assert_eq!(next_of(&known, &run, &LOST), Next::Do(Step::Remove(service)));
}
