use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::Logins;
use crate::answers::Identity;
use crate::samples::{route, routes};
use crate::shared::CHANGES_QUEUED_MAX;
use sterna_model::Routes;
use sterna_node::listen::{Descriptors, Limits, Places};

/// What the pipe between the endpoint and its client holds.
const PIPE_BYTES: usize = 256;

fn groups(primary: &str, replica: &str) -> Arc<Routes> {
    Arc::new(routes([route("m1", primary, &[replica])]))
}

/// A client of an endpoint that knows the group m1 with its primary on `a`.
fn connect(password: Option<&str>) -> (DuplexStream, JoinHandle<String>, Arc<Shared>) {
    let identity = Identity {
        address: ([127, 0, 0, 1], 7802).into(),
        id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        announce: None,
    };
    let shared = Arc::new(Shared::new(identity, groups("a", "b")));
    let logins = password.map_or_else(Logins::default, |password| {
        Logins::with_default(sterna_protocol::Secret::new(password))
    });
    let peer: std::net::SocketAddr = ([127, 0, 0, 1], 5000).into();
    let session = Session::new(1, peer, logins, shared.uptime());
    let (ours, theirs) = duplex(PIPE_BYTES);
    let limits = Limits {
        all: 1,
        per_remote: 1,
        kept_for_loopback: 0,
        eighths: 8,
    };
    let places = Places::new(limits, Descriptors::bounded(usize::MAX));
    let proof = places.take(peer.ip()).expect("a place").proof().clone();
    let task = tokio::spawn(run(ours, session, Instant::now(), Arc::clone(&shared), proof));
    (theirs, task, shared)
}

async fn expect(client: &mut DuplexStream, text: &str) {
    let mut read = vec![0; text.len()];
    client.read_exact(&mut read).await.expect("the endpoint answers");
    assert_eq!(String::from_utf8_lossy(&read), text);
}

#[tokio::test]
async fn a_subscriber_hears_of_every_change_after_its_confirmation() {
    let (mut client, _task, shared) = connect(None);
    client
        .write_all(b"SUBSCRIBE +switch-master\r\n")
        .await
        .expect("written");
    expect(
        &mut client,
        "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n",
    )
    .await;
    for (primary, replica) in [("b", "a"), ("a", "b")] {
        shared.update(groups(primary, replica));
        let message = format!("m1 {replica} 6379 {primary} 6379");
        expect(
            &mut client,
            &format!("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$16\r\n{message}\r\n"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_dropped() {
    let (mut slow, task, shared) = connect(None);
    slow.write_all(b"PSUBSCRIBE *\r\n").await.expect("written");
    expect(&mut slow, "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n").await;
    for number in 0..=CHANGES_QUEUED_MAX + PIPE_BYTES {
        let (primary, replica) = if number % 2 == 0 { ("b", "a") } else { ("a", "b") };
        shared.update(groups(primary, replica));
        tokio::task::yield_now().await;
    }
    // It reads again, but what it missed is gone, and it can't know that: only a new connection helps.
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.expect("the end comes");
    let reason = task.await.expect("the connection ends in order");
    assert!(reason.contains("too slowly"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_at_all_is_dropped() {
    let (mut client, task, _shared) = connect(None);
    let flood = "SENTINEL MASTERS\r\n".repeat(PIPE_BYTES);
    let sent = tokio::time::timeout(WRITE_MAX * 2, client.write_all(flood.as_bytes())).await;
    assert!(
        !matches!(sent, Ok(Ok(()))),
        "the endpoint reads on while its answers are not read"
    );
    let reason = task.await.expect("the connection ends in order");
    assert!(reason.contains("reads nothing"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_log_in_is_dropped_in_time() {
    for (password, says) in [
        (Some("hunter2"), &b"PING\r\n"[..]),
        (None, b""),
        (None, b"*3\r\n$3\r\n"),
    ] {
        let (mut client, task, _shared) = connect(password);
        client.write_all(says).await.expect("written");
        let start = Instant::now();
        let reason = task.await.expect("the connection ends in order");
        assert!(reason.contains("nothing of sense in time"), "{reason}");
        assert_eq!(start.elapsed(), UNTRUSTED_MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_asked_may_be_idle() {
    let (mut client, task, _shared) = connect(None);
    client.write_all(b"PING\r\n").await.expect("written");
    expect(&mut client, "+PONG\r\n").await;
    tokio::time::sleep(UNTRUSTED_MAX * 100).await;
    assert!(!task.is_finished());
    client.write_all(b"PING\r\n").await.expect("written");
    expect(&mut client, "+PONG\r\n").await;
}

#[tokio::test]
async fn what_is_no_resp_or_too_large_is_answered_and_cut_off() {
    let oversized = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n", 1 << 30);
    for (says, answer) in [
        (
            oversized.as_str(),
            "-ERR Protocol error: a command (bytes) is over the limit of 65536",
        ),
        (
            "*65\r\n",
            "-ERR Protocol error: a command (arguments) is over the limit of 64",
        ),
        (
            "*2\r\n:AUTH hunter2\r\n",
            "-ERR Protocol error: expected an argument ($length)",
        ),
    ] {
        let (mut client, task, _shared) = connect(Some("hunter2"));
        client.write_all(says.as_bytes()).await.expect("written");
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.expect("the end comes");
        assert!(heard.starts_with(answer), "{heard}");
        let reason = task.await.expect("the connection ends in order");
        assert!(!format!("{heard}{reason}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    let (mut client, task, _shared) = connect(None);
    client
        .write_all(b"PING 1\r\nPING 2\r\n*1\r\n$4\r\nROLE\r\nQUIT\r\nPING 3\r\n")
        .await
        .expect("written");
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.expect("the end comes");
    assert_eq!(
        heard,
        "$1\r\n1\r\n$1\r\n2\r\n*2\r\n$8\r\nsentinel\r\n*1\r\n$2\r\nm1\r\n+OK\r\n"
    );
    assert_eq!(
        task.await.expect("the connection ends in order"),
        "it said goodbye"
    );
}
