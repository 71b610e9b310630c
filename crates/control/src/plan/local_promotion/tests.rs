//! Whom somebody else made the primary, case by case.

use sterna_model::{FailoverCause, FormerPrimary, Operation, OperationKind, OperationReason, ShardId};
use sterna_node::{Engine, EngineKind, Info, NodeAddress, ProbeAnswer, RelayEndpoint, Version};
use sterna_protocol::ReplicationId;

use super::*;
use crate::known::{KnownService, SentinelView};
use crate::observe::{NodeKey, Observation, ProbeError, Seldom};
use crate::plan::failover;
use crate::run::Run;
use crate::time::Now;

const HISTORY: &str = "8c1b3a5f0d2e4c6b8a9f7e5d3c1b0a9f8e7d6c5b";
const OF_ITS_OWN: &str = "1111111111111111111111111111111111111111";
const NO_HISTORY: &str = "0000000000000000000000000000000000000000";
const SHARED: u64 = 900;

fn at(ms: u64) -> Now {
    Now {
        at: Moment::at(Duration::from_secs(1000) + Duration::from_millis(ms)),
        wall: jiff::Timestamp::UNIX_EPOCH + Duration::from_millis(ms),
    }
}

fn node(name: &str) -> NodeKey {
    NodeKey {
        service: "eu".parse().expect("a name"),
        address: format!("{name}:6379").parse().expect("an address"),
    }
}

fn history() -> ReplicationId {
    HISTORY.parse().expect("an id")
}

/// `eu` has the group's primary, `old`, and another node, `local`; its Sentinels watch it.
fn known() -> Known {
    let record = serde_json::from_value(serde_json::json!({
        "name": "orders", "primary": "eu", "replicas": ["us"],
        "settings": sterna_model::GroupSettings::default(), "epoch": 3,
        "primary_since": "1970-01-01T00:00:00Z", "created_at": "1970-01-01T00:00:00Z"
    }));
    let relay = RelayEndpoint {
        announced: None,
        listen: "127.0.0.1:7801".parse().expect("an address"),
    };
    let shard = ShardId::STANDALONE;
    let mut known = Known::new(
        record.expect("a record"),
        shard,
        Vec::new(),
        relay,
        at(0).at,
        at(0),
    );
    known.record.shard_mut(shard).primary_node = Some(node("old").address);
    known.link.status.history = Some(history());
    known.reached(&[KnownService {
        name: node("old").service,
        nodes: vec![node("old").address, node("local").address],
        watched_as: Some("orders-eu".to_owned()),
    }]);
    known
}

/// It says that it is a primary in this history, after another one.
fn is_primary(known: &mut Known, name: &str, history: &str, previous: &str, ms: u64) {
    let info = format!(
        "role:master\r\nmaster_replid:{history}\r\nmaster_replid2:{previous}\r\nmaster_repl_offset:1000\r\n\
         second_repl_offset:{}\r\nconnected_slaves:0\r\n",
        SHARED + 1
    );
    let answer = ProbeAnswer {
        engine: Engine {
            kind: EngineKind::Redis,
            version: Version {
                major: 8,
                minor: 0,
                patch: 0,
            },
        },
        info: Info::parse(info.as_bytes()),
        asked: tokio::time::Instant::now(),
        round_trip: Duration::ZERO,
        local: None,
    };
    let times = (at(ms).at, at(ms).at);
    known.observed(Observation::of(node(name), Ok(&answer), Seldom::default(), times));
}

fn is_away(known: &mut Known, name: &str, ms: u64) {
    known.observed(Observation {
        node: node(name),
        asked: at(ms).at,
        at: at(ms).at,
        result: Err(ProbeError::Silent("no answer".to_owned())),
        local: None,
        round_trip: None,
    });
}

/// Both nodes are primaries.
fn two_primaries() -> Known {
    let mut known = known();
    is_primary(&mut known, "old", HISTORY, NO_HISTORY, 0);
    is_primary(&mut known, "local", OF_ITS_OWN, HISTORY, 0);
    known
}

fn say(known: &mut Known, primary: NodeAddress, fail_over: bool, ms: u64) {
    let view = SentinelView {
        service: node("old").service,
        primary,
        fail_over,
    };
    let service = known.record.primary.clone();
    known.sentinels.answered(view, &service, at(ms).at);
}

/// The other node, with what it shares.
const LOCAL: Promoted = Promoted {
    node: NodeId(1),
    divergence_offset: Offset::new(SHARED),
};

#[test]
fn beside_a_primary_that_serves_the_sentinels_word_decides() {
    let mut known = two_primaries();
    assert!(is_to_be_asked(&known, at(0).at));
    assert_eq!(seen(&known, at(0).at), None);
    say(&mut known, node("old").address, false, 0);
    assert_eq!(seen(&known, at(0).at), None);
    say(&mut known, node("local").address, false, 0);
    assert_eq!(seen(&known, at(0).at), Some(LOCAL));
    assert_eq!(
        seen(&known, at(5_000).at),
        None,
        "what was seen long ago says nothing"
    );
}

#[test]
fn a_promotion_is_believed_once_the_old_primary_has_not_been_one_for_a_while() {
    let mut known = two_primaries();
    is_away(&mut known, "old", 100);
    assert_eq!(seen(&known, at(400).at), None);
    assert_eq!(seen(&known, at(700).at), Some(LOCAL));
}

#[test]
fn one_that_was_made_a_primary_long_before_takes_nothing_over_when_the_old_one_is_lost() {
    let mut known = known();
    for ms in (0..=20_000).step_by(1_000) {
        is_primary(&mut known, "local", OF_ITS_OWN, HISTORY, ms);
        is_primary(&mut known, "old", HISTORY, NO_HISTORY, ms);
    }
    is_away(&mut known, "old", 20_100);
    assert_eq!(seen(&known, at(20_700).at), None);
    say(&mut known, node("local").address, false, 20_700);
    assert_eq!(
        seen(&known, at(20_700).at),
        Some(LOCAL),
        "unless the Sentinels say so"
    );
}

#[test]
fn what_does_not_continue_the_history_took_nothing_over() {
    let mut known = known();
    is_away(&mut known, "old", 0);
    is_primary(&mut known, "local", OF_ITS_OWN, NO_HISTORY, 0);
    assert_eq!(seen(&known, at(700).at), None);
}

#[test]
fn one_that_came_back_empty_is_left_to_its_sentinels_while_they_replace_it() {
    let grace = Duration::from_secs(45);
    let mut known = known();
    is_primary(&mut known, "old", OF_ITS_OWN, NO_HISTORY, 0);
    assert_eq!(time_left(&known, grace, at(0).at), None, "it has its data");
    known.link.lost_data = true;
    assert_eq!(
        time_left(&known, grace, at(0).at),
        Some(grace),
        "they are asked first"
    );
    assert_eq!(time_left(&known, grace, at(2_000).at), None, "they say nothing");
    say(&mut known, node("old").address, true, 2_000);
    let left = Duration::from_secs(43);
    assert_eq!(time_left(&known, grace, at(2_000).at), Some(left));
    say(&mut known, node("old").address, false, 2_000);
    assert_eq!(time_left(&known, grace, at(2_000).at), None);
    // Once they name it, the node that has the data is followed.
    is_primary(&mut known, "local", OF_ITS_OWN, HISTORY, 2_000);
    assert_eq!(seen(&known, at(2_000).at), None);
    say(&mut known, node("local").address, true, 2_000);
    assert_eq!(seen(&known, at(2_000).at), Some(LOCAL));
}

#[test]
fn an_old_primary_that_comes_back_takes_nothing_over() {
    let mut known = two_primaries();
    is_away(&mut known, "old", 100);
    let shard = known.record.shard_mut(ShardId::STANDALONE);
    shard.former_primaries.push(FormerPrimary {
        service: node("local").service,
        node: node("local").address,
        history: history(),
        divergence_offset: Offset::new(SHARED),
        selected_db: None,
        epoch: sterna_model::Epoch(2),
        operation: sterna_model::OperationId(1),
    });
    assert_eq!(seen(&known, at(700).at), None);
}

#[test]
fn what_the_sentinels_name_is_shut_where_the_group_goes_on_elsewhere() {
    let mut known = known();
    is_away(&mut known, "old", 0);
    is_primary(&mut known, "local", OF_ITS_OWN, NO_HISTORY, 700);
    say(&mut known, node("local").address, false, 700);
    assert_eq!(seen(&known, at(700).at), None, "it holds something else");
    let lost = OperationReason::PrimaryLost(FailoverCause::Silent {
        quiet_for: Duration::from_secs(1),
    });
    let operation = Operation::begun(
        &known.record.name,
        known.record.epoch,
        OperationKind::Failover,
        lost,
        at(700).wall,
    );
    let run = Run::new(operation, &known.record, at(700));
    let input = failover::observe(&known, &run, at(700).at).expect("the primary is known");
    assert_eq!(input.open_beside, [LOCAL.node]);
}
