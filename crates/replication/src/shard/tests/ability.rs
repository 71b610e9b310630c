//! Who can load what: the version that a primary is told, and nodes that are given nothing because they could not load it.

use sterna_model::CopyObstacle;
use sterna_node::copying::CopyTarget;
use sterna_node::{Engine, EngineKind, Version};
use sterna_protocol::psync::PsyncRequest;
use tokio::sync::oneshot;

use super::node::Reply;
use super::rig::{A, Rig, needs, settings};
use super::world::{id, rdb};
use crate::shard::event::{Command, Event, FollowerEvent, FollowerId};
use crate::status::{Asked, FollowerState, Notice};

fn target(kind: EngineKind, major: u32, minor: u32) -> CopyTarget {
    CopyTarget {
        engine: Engine {
            kind,
            version: Version::new(major, minor, 0),
        },
        databases: Some(16),
        modules: Some(Vec::new()),
    }
}

/// A shard that streams from such a primary, and holds no snapshot.
fn of(kind: EngineKind, major: u32, minor: u32) -> Rig {
    let mut rig = Rig::with(settings());
    rig.needs = needs(kind, major, minor);
    rig.world.begin(id(A), 100);
    rig.begin(id(A));
    rig
}

/// The same, with nodes that can be asked.
fn asking(kind: EngineKind, major: u32, minor: u32) -> Rig {
    let mut rig = of(kind, major, minor);
    rig.command(Command::KnowNodes(Vec::new()));
    rig
}

fn announce(rig: &mut Rig, major: u32, minor: u32) -> FollowerId {
    let version = Some(Version::new(major, minor, 0));
    rig.attach_version(PsyncRequest::Full, true, false, version)
}

fn answered(rig: &mut Rig, id: FollowerId, asked: Asked) {
    rig.event(Event::Asked { id, asked });
    rig.advance(50);
}

/// The version that the primary is told on the second connection.
fn told(rig: &mut Rig) -> Option<Version> {
    let mut answer = rig.find_on_fetch(id(A), 100);
    answer.try_recv().expect("answered").expect("asked").version
}

fn held(rig: &Rig) -> Vec<Option<CopyObstacle>> {
    let followers = rig.status().followers;
    followers.into_iter().map(|follower| follower.held).collect()
}

#[test]
fn a_primary_is_told_the_lowest_version_among_the_nodes_that_need_its_copy() {
    let mut rig = of(EngineKind::Valkey, 9, 1);
    announce(&mut rig, 9, 1);
    announce(&mut rig, 8, 1);
    announce(&mut rig, 9, 0);
    assert_eq!(told(&mut rig), Some(Version::new(8, 1, 0)));
    // One that announces nothing is older than those that do.
    let mut rig = of(EngineKind::Valkey, 9, 1);
    announce(&mut rig, 9, 1);
    rig.attach(PsyncRequest::Full);
    assert_eq!(told(&mut rig), Some(Version::new(7, 2, 0)));
    // With nobody attached it is told its own, on the link too.
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    let asking = rig
        .find(id(A), None)
        .try_recv()
        .expect("answered")
        .expect("followed");
    assert_eq!(asking.version, None);
}

#[test]
fn a_link_that_comes_back_tells_the_version_of_the_weakest_node() {
    let mut rig = of(EngineKind::Valkey, 9, 1);
    announce(&mut rig, 9, 0);
    rig.break_link();
    let asking = rig
        .find(id(A), None)
        .try_recv()
        .expect("answered")
        .expect("followed");
    assert_eq!(asking.version, Some(Version::new(9, 0, 0)));
}

#[test]
fn fields_that_expire_hold_the_copy_of_an_old_node_and_not_of_a_new_one() {
    let mut rig = of(EngineKind::Valkey, 9, 1);
    rig.needs.field_ttls = true;
    let old = announce(&mut rig, 8, 1);
    // What the primary holds shows when it is asked.
    let mut answer = rig.find_on_fetch(id(A), 100);
    assert!(answer.try_recv().is_err(), "a fork that can only fail");
    assert!(rig.fetch.is_none() && rig.status().copy_error.is_none());
    rig.advance(20_000);
    assert!(rig.fetch.is_none(), "a fork every few seconds");
    assert!(matches!(held(&rig)[..], [Some(CopyObstacle::FieldTtls { .. })]));
    assert!(rig.told(|notice| matches!(notice, Notice::CopyHeld { .. })));
    let new = announce(&mut rig, 9, 1);
    assert_eq!(told(&mut rig), Some(Version::new(9, 1, 0)));
    rig.fetch = None;
    assert_eq!(rig.node(new).reply, Reply::None);
    assert_eq!(rig.node(old).reply, Reply::None);
}

#[test]
fn a_primary_that_was_upgraded_first_holds_the_copy_and_the_node_keeps_its_data() {
    let mut rig = asking(EngineKind::Redis, 8, 0);
    let node = rig.attach(PsyncRequest::Full);
    assert_eq!(rig.asked, [node]);
    rig.advance(5000);
    assert!(rig.fetch.is_none(), "what it can load is not known yet");
    answered(&mut rig, node, Ok(vec![target(EngineKind::Redis, 7, 0)]));
    assert!(rig.fetch.is_none());
    let held = held(&rig);
    let Some(CopyObstacle::RdbVersion { written, loaded, .. }) = &held[0] else {
        panic!("{held:?}");
    };
    assert_eq!((*written, *loaded), (Some(12), Some(10)));
    assert_eq!(rig.status().followers[0].state, FollowerState::Waiting);
    assert_eq!(rig.node(node).closed, None);
    // It was upgraded, and is asked again.
    rig.advance(5100);
    assert_eq!(rig.asked, [node, node]);
    answered(&mut rig, node, Ok(vec![target(EngineKind::Redis, 8, 0)]));
    rig.copy(id(A), &rdb(500));
    assert_eq!(&rig.node(node).snapshot[..], &rdb(500)[..]);
    assert!(
        rig.status()
            .followers
            .iter()
            .all(|follower| follower.held.is_none())
    );
}

#[test]
fn databases_modules_and_silence_hold_a_copy() {
    let mut rig = asking(EngineKind::Redis, 7, 0);
    rig.needs.databases = 20;
    rig.needs.modules = vec!["json".to_owned()];
    rig.break_link();
    rig.asked(id(A), None);
    rig.continued(None);
    let node = rig.attach(PsyncRequest::Full);
    let mut able = target(EngineKind::Redis, 7, 0);
    for _ in 0..2 {
        let times = rig.asked.len();
        answered(&mut rig, node, Err("down".to_owned()));
        assert_eq!(held(&rig), [None], "it is asked again first");
        rig.advance(300);
        assert_eq!(rig.asked.len(), times + 1);
    }
    let mut expects = |asked: Asked, what: fn(&CopyObstacle) -> bool| {
        answered(&mut rig, node, asked);
        let held = held(&rig);
        assert!(held[0].as_ref().is_some_and(what), "{held:?}");
        assert!(rig.fetch.is_none());
        rig.advance(5100);
    };
    expects(Err("down".to_owned()), |held| {
        matches!(held, CopyObstacle::NotAsked { .. })
    });
    expects(Ok(vec![able.clone()]), |held| {
        matches!(held, CopyObstacle::Databases { needed: 20, has: 16 })
    });
    able.databases = Some(32);
    expects(Ok(vec![able.clone()]), |held| {
        matches!(held, CopyObstacle::Modules { .. })
    });
    able.modules = Some(vec!["json".to_owned()]);
    answered(&mut rig, node, Ok(vec![able]));
    assert_eq!(held(&rig), [None]);
    assert!(rig.fetch.is_some());
}

/// One that others could load is at hand: it is given to them first, and then another is taken for the weak one.
#[test]
fn a_copy_that_was_written_for_others_is_not_given_to_a_node_that_can_not_load_it() {
    let mut rig = of(EngineKind::Valkey, 9, 1);
    let new = announce(&mut rig, 9, 1);
    rig.copy(id(A), &valkey_rdb(80));
    assert!(!rig.node(new).snapshot.is_empty());
    rig.node_event(new, FollowerEvent::Gone("gone".to_owned()));
    rig.nodes.remove(&new);
    let old = announce(&mut rig, 8, 1);
    rig.advance(11_000);
    assert_eq!(
        rig.node(old).reply,
        Reply::None,
        "it would empty itself for nothing"
    );
    assert_eq!(told(&mut rig), Some(Version::new(8, 1, 0)));
    assert_eq!(held(&rig), [None]);
}

#[test]
fn what_a_kept_copy_needs_is_known_after_a_restart() {
    let mut rig = of(EngineKind::Valkey, 9, 1);
    let new = announce(&mut rig, 9, 1);
    rig.copy(id(A), &valkey_rdb(80));
    rig.node_event(new, FollowerEvent::Gone("gone".to_owned()));
    rig.advance(2000);
    let mut rig = rig.restart(false);
    rig.needs = needs(EngineKind::Valkey, 9, 1);
    rig.asked(id(A), None);
    rig.continued(None);
    let new = announce(&mut rig, 9, 1);
    assert_eq!(&rig.node(new).snapshot[..], &valkey_rdb(80)[..]);
    let old = announce(&mut rig, 8, 1);
    assert_eq!(rig.node(old).reply, Reply::None);
}

#[test]
fn the_copy_of_a_node_that_is_told_to_follow_another_ends_and_no_other() {
    let mut rig = of(EngineKind::Redis, 7, 0);
    rig.listening_port = Some(6379);
    let (one, two) = (rig.attach(PsyncRequest::Full), rig.attach(PsyncRequest::Full));
    rig.copy(id(A), &rdb(500));
    let end = |rig: &mut Rig, node: Vec<std::net::SocketAddr>| {
        let (done, mut answer) = oneshot::channel();
        rig.command(Command::EndCopy { node, done });
        answer.try_recv().expect("answered at once");
    };
    rig.ack(two, 100);
    end(&mut rig, vec![([10, 1, 0, 1], 6379).into()]);
    assert!(rig.node(one).closed.is_some());
    assert_eq!(rig.node(two).closed, None, "it has loaded its copy");
}

/// An RDB of a Valkey 9.
fn valkey_rdb(version: u32) -> bytes::Bytes {
    super::world::rdb_of(&format!("VALKEY{version:03}"), 500)
}
