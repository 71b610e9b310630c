//! The driver around the shard: its channels, its clock, its end. Time is paused, and goes on when everybody waits.

use std::sync::Arc;
use std::time::Duration;

use sterna_log::sim::SimFs;
use sterna_model::LinkState;
use sterna_protocol::psync::PsyncRequest;
use tokio::sync::{mpsc, oneshot};

use super::rig::{settings, upstream};
use crate::shard::event::{
    Attach, Command, Event, FollowerEvent, FollowerId, LoginLimit, OUTBOX_MESSAGES_MAX, ToFollower,
};
use crate::shard::{ShardHandle, start};
use crate::status::Notice;
use crate::threads::DataThread;

fn attach(outbox: mpsc::Sender<ToFollower>) -> Event {
    Event::Attach(Attach {
        id: FollowerId(1),
        peer: ([127, 0, 0, 1], 1).into(),
        login: LoginLimit::none(),
        listening_port: 0,
        announced: None,
        takes_eof: true,
        version: None,
        request: PsyncRequest::Full,
        failover: false,
        outbox,
        attached: oneshot::channel().0,
    })
}

async fn stop(shard: &ShardHandle) {
    let (done, stopped) = oneshot::channel();
    assert!(shard.command(Command::Stop(done)).await);
    stopped.await.expect("it says when it has stopped");
    assert!(!shard.command(Command::AcceptNewHistory).await, "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_shard_without_a_primary_serves_keeps_nodes_waiting_and_stops() {
    let (shard, mut notices, _) = start(DataThread::current(), settings(), Arc::new(SimFs::new(1)), None)
        .await
        .expect("started");
    assert_eq!(
        (shard.name(), shard.status().borrow().link.clone()),
        ("test", LinkState::ServeOnly)
    );
    let (outbox, mut taken) = mpsc::channel(OUTBOX_MESSAGES_MAX);
    assert!(shard.events().send(attach(outbox)).await.is_ok());
    for _ in 0..3 {
        let newline = taken.recv().await.expect("while it waits");
        assert!(matches!(newline, ToFollower::Data(slices) if slices.concat() == b"\n"));
    }
    let mut status = shard.status();
    status
        .wait_for(|status| status.followers.len() == 1)
        .await
        .expect("alive");
    stop(&shard).await;
    assert!(matches!(taken.recv().await, Some(ToFollower::Close(_))));
    assert!(matches!(notices.recv().await, Some(Notice::FollowerGone { .. })));
    assert_eq!(notices.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_not_there_is_looked_for_again() {
    let (shard, mut notices, _) = start(
        DataThread::current(),
        settings(),
        Arc::new(SimFs::new(1)),
        Some(upstream()),
    )
    .await
    .expect("started");
    assert!(matches!(notices.recv().await, Some(Notice::Lost { .. })));
    let mut status = shard.status();
    status
        .wait_for(|status| status.counters.reconnects >= 3)
        .await
        .expect("alive");
    assert!(matches!(shard.status().borrow().link, LinkState::Retrying { .. }));
    stop(&shard).await;
}

#[tokio::test(start_paused = true)]
async fn two_shards_do_not_share_a_log() {
    let fs = SimFs::new(1);
    let (shard, ..) = start(DataThread::current(), settings(), Arc::new(fs.clone()), None)
        .await
        .expect("started");
    let error = start(DataThread::current(), settings(), Arc::new(fs.clone()), None)
        .await
        .expect_err("locked");
    assert!(error.to_string().contains("in use"), "{error}");
    stop(&shard).await;
    let (shard, ..) = start(DataThread::current(), settings(), Arc::new(fs), None)
        .await
        .expect("the lock is free once it has stopped");
    let gone = FollowerEvent::Gone(String::new());
    let id = FollowerId(7);
    assert!(
        shard
            .events()
            .send(Event::Follower { id, event: gone })
            .await
            .is_ok()
    );
    tokio::time::sleep(Duration::from_millis(60)).await;
    stop(&shard).await;
}
