//! Connecting and asking, and every way in which that fails.

use std::time::Duration;

use sterna_node::client::NodeRole;
use sterna_node::connect::Cause;
use sterna_node::{Client, ClientError, Dialer, NodeAddress, Role};
use sterna_testkit::{Server, reserve_port, wait_until};

use crate::scripted::{long_answers, says, silent};
use crate::{at, dialer, dialer_as};

async fn failure(dialer: &Dialer) -> ClientError {
    match Client::connect_with_timeout(dialer, Duration::from_millis(500)).await {
        Ok(_) => panic!("connected to {}", dialer.address),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_node_tells_what_it_is_and_takes_settings() {
    let server = Server::start();
    let mut client = Client::connect(&dialer(server.address()))
        .await
        .expect("connected");
    let info = client.info().await.expect("INFO");
    assert_eq!(info.role(), Ok(Role::Primary));
    assert_eq!(info.server().process_id, Some(server.pid()));
    let replication = info.replication().expect("a replication section");
    assert_eq!(replication.replid2, None);
    assert_eq!(replication.second_offset, None);
    assert_eq!(
        client.role().await.expect("ROLE"),
        NodeRole::Primary {
            offset: replication.offset,
            replicas: 0
        }
    );
    client
        .config_set("repl-backlog-size", "2097152")
        .await
        .expect("CONFIG SET");
    client.config_rewrite().await.expect("CONFIG REWRITE");
    let config = client.config_get("repl-backlog-size").await.expect("CONFIG GET");
    assert_eq!(
        config.get("repl-backlog-size").map(String::as_str),
        Some("2097152")
    );
    assert_eq!(
        client
            .config_get("no-such-setting")
            .await
            .expect("CONFIG GET")
            .len(),
        0
    );
    let error = client.command(&["NOSUCH"]).await.expect_err("no such command");
    assert_eq!(error.code(), Some("ERR"));
    assert_eq!(client.dbsize().await.expect("still in step"), 0);
}

#[tokio::test]
async fn a_primary_that_can_t_hand_over_takes_writes_at_once_and_has_let_its_blocked_clients_go() {
    let server = Server::start();
    let mut worker = server.client();
    worker.send(&["BRPOP", "jobs", "0"]);
    worker.flush().expect("sent");
    let mut other = server.client();
    sterna_testkit::wait_until(Duration::from_secs(60), "the worker to be blocked", || {
        other
            .info_field("clients", "blocked_clients")
            .ok()
            .filter(|count| count == "1")
    });
    let mut client = Client::connect(&dialer(server.address()))
        .await
        .expect("connected");
    let error = client
        .hand_over(&NodeAddress::new("192.0.2.1", 6379), 1000)
        .await
        .expect_err("nobody follows");
    assert_eq!(error.code(), Some("ERR"), "{error}");
    assert!(worker.receive().is_err(), "it was let go");
    let started = std::time::Instant::now();
    other.cmd(&["SET", "key", "value"]).expect("written");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "the pause was not ended"
    );
}

#[tokio::test]
async fn clients_are_let_go_and_what_belongs_to_replication_and_to_gateways_stays() {
    let primary = Server::start();
    let replica = primary.start_replica();
    replica.wait_link_up();
    let replicas = || {
        let role = primary.client().cmd(&["ROLE"]).expect("a role");
        role.array()[2].array().len()
    };
    // It is listed from its first acknowledgement on.
    wait_until(Duration::from_secs(20), "the replica to be listed", || {
        replicas() == 1
    });
    let (mut early, mut subscriber) = (primary.client(), primary.client());
    subscriber.cmd(&["SUBSCRIBE", "news"]).expect("subscribed");
    let at = dialer(primary.address());
    let mut other = Client::connect(&at).await.expect("another gateway");
    let mut client = Client::connect(&at).await.expect("connected");
    let id = client.id().await.expect("its id");
    let mut late = primary.client();

    let count = client.disconnect_clients(Some(id)).await.expect("allowed");
    assert!(count >= 2, "{count}");
    assert!(early.receive().is_err() && subscriber.receive().is_err());
    late.cmd(&["PING"]).expect("it came later");
    client.disconnect_clients(None).await.expect("allowed");
    assert!(late.receive().is_err());
    assert_eq!(client.disconnect_clients(None).await.expect("allowed"), 0);
    other.info().await.expect("it stays");
    assert_eq!(replicas(), 1);
    assert!(!replica.log().contains("accepted a Partial"), "its link was cut");
}

/// What an earlier one was given and has not arrived has no effect then.
#[tokio::test]
async fn whoever_does_a_work_displaces_who_began_it_before_and_nobody_else() {
    let server = Server::start();
    let connect = async || {
        Client::connect(&dialer(server.address()))
            .await
            .expect("connected")
    };
    let (mut earlier, mut other, mut latest) = (connect().await, connect().await, connect().await);
    earlier.displace("fence").await.expect("allowed");
    other.displace("role").await.expect("allowed");
    latest.displace("fence").await.expect("allowed");
    let closed = earlier.command(&["PING"]).await.expect_err("it was closed");
    assert!(!closed.leaves_usable(), "{closed}");
    for mut stays in [other, latest] {
        stays.command(&["PING"]).await.expect("it stays");
    }
}

#[tokio::test]
async fn a_node_is_made_a_replica_and_a_primary_again() {
    let (primary, server) = (Server::start(), Server::start());
    let mut client = Client::connect(&dialer(server.address()))
        .await
        .expect("connected");
    client
        .replica_of(&at(primary.address()))
        .await
        .expect("REPLICAOF");
    server.wait_link_up();
    let info = client.info().await.expect("INFO");
    let replication = info.replication().expect("a replication section");
    assert_eq!(replication.role, Role::Replica);
    assert_eq!(replication.primary, Some(at(primary.address())));
    assert!(replication.link_up);
    let old = replication.replid;

    client.replica_of_no_one().await.expect("REPLICAOF NO ONE");
    let replication = client
        .info()
        .await
        .expect("INFO")
        .replication()
        .expect("a replication section");
    assert_eq!(
        (replication.role, replication.replid2),
        (Role::Primary, Some(old))
    );
    assert_eq!(
        replication.second_offset,
        Some(replication.offset),
        "second_repl_offset is one more on the wire"
    );
}

#[tokio::test]
async fn logins_that_fail_say_why() {
    let server = Server::builder().password("right").start().expect("started");
    let address = server.address();
    Client::connect(&dialer_as(address, None, "right"))
        .await
        .expect("the right password");

    let error = failure(&dialer_as(address, None, "wrong")).await;
    assert!(
        matches!(&error, ClientError::Auth { user, .. } if user == "default"),
        "{error}"
    );
    let error = failure(&dialer_as(address, Some("nobody"), "wrong")).await;
    assert!(
        matches!(&error, ClientError::Auth { user, .. } if user == "nobody"),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
    let error = failure(&dialer(address)).await;
    assert!(matches!(error, ClientError::NoAuth { .. }), "{error}");

    let open = Server::start();
    let error = failure(&dialer_as(open.address(), None, "any")).await;
    assert!(
        error.to_string().contains("without any password configured"),
        "{error}"
    );
}

#[tokio::test]
async fn a_user_with_too_few_rights_is_told_which() {
    let server = Server::builder()
        .config("user", "weak on >pass -@all +ping")
        .start()
        .expect("started");
    let mut client = Client::connect(&dialer_as(server.address(), Some("weak"), "pass"))
        .await
        .expect("may PING");
    let error = client.info().await.expect_err("may not INFO");
    assert!(
        matches!(&error, ClientError::Permission { command, .. } if command == "INFO"),
        "{error}"
    );
    // Not even PING: the login alone makes the connection.
    let server = Server::builder()
        .config("user", "none on >pass -@all")
        .start()
        .expect("started");
    Client::connect(&dialer_as(server.address(), Some("none"), "pass"))
        .await
        .expect("logged in");
}

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let port = reserve_port().expect("a free port");
    let error = failure(&Dialer::new(NodeAddress::new("127.0.0.1", port.number()))).await;
    assert!(
        matches!(&error, ClientError::Connect(error) if matches!(error.cause, Cause::Refused)),
        "{error}"
    );

    let error = failure(&Dialer::new(NodeAddress::new("no-such-host.invalid", 6379))).await;
    assert!(
        matches!(&error, ClientError::Connect(error) if matches!(error.cause, Cause::NameNotFound(_))),
        "{error}"
    );

    let quiet = silent().await;
    let error = failure(&dialer(quiet.address)).await;
    assert!(
        matches!(&error, ClientError::Timeout { command, .. } if command == "PING"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_redis_is_recognised_by_its_first_bytes() {
    for (bytes, what) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n<html>"[..],
            "a web server",
        ),
        (b"\x15\x03\x03\x00\x02\x02\x46", "a TLS server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server"),
        (b"220 mail.example.com ESMTP\r\n", "a mail or FTP server"),
        (b"\xff\xff\xff\xff\xff", "something else"),
    ] {
        let server = says(bytes).await;
        let error = failure(&dialer(server.address)).await;
        assert!(
            matches!(&error, ClientError::NotRedis { what: found, .. } if *found == what),
            "{what}: {error}"
        );
        assert!(!error.to_string().contains('\r'), "{error}");
    }
}

/// What a node says costs no more memory than what an honest one could say.
#[tokio::test]
async fn an_answer_that_is_too_large_is_not_taken() {
    let server = long_answers(2 << 20).await;
    let mut client = Client::connect(&dialer(server.address)).await.expect("connected");
    client
        .command(&["CLIENT", "LIST"])
        .await
        .expect("there may be so many clients");
    let error = client.command(&["INFO"]).await.expect_err("2 MiB");
    let text = error.to_string();
    assert!(matches!(error, ClientError::Garbled { .. }), "{text}");
    assert!(text.contains("1048576"), "{text}");
}

#[tokio::test]
async fn an_answer_given_up_never_answers_the_next_command() {
    let server = Server::start();
    let mut client = Client::connect_with_timeout(&dialer(server.address()), Duration::from_millis(200))
        .await
        .expect("connected");
    server.pause().expect("paused");
    let error = client.command(&["ECHO", "first"]).await.expect_err("no answer");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    server.resume().expect("resumed");
    let error = client
        .command(&["ECHO", "second"])
        .await
        .expect_err("out of step");
    assert!(matches!(error, ClientError::Closed { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_is_given_up_for_another_protocol_with_nothing_lost() {
    let server = Server::start();
    let client = Client::connect(&dialer(server.address()))
        .await
        .expect("connected");
    let (stream, rest) = client.into_stream();
    assert_eq!(stream.peer_addr().expect("connected"), server.address());
    assert!(rest.is_empty() && !stream.is_tls());
}

#[tokio::test]
async fn a_refused_ping_is_judged_by_its_reason() {
    let denied = says(b"-DENIED Redis is running in protected mode because...\r\n").await;
    let error = failure(&dialer(denied.address)).await;
    assert!(matches!(error, ClientError::ProtectedMode { .. }), "{error}");
    let full = says(b"-ERR max number of clients reached\r\n").await;
    let error = failure(&dialer(full.address)).await;
    assert!(error.to_string().contains("max number of clients"), "{error}");
    for usable in [
        &b"-MISCONF Redis is configured to save RDB snapshots\r\n+OK\r\n"[..],
        b"-LOADING Redis is loading the dataset in memory\r\n+OK\r\n",
        b"+PONG\r\n-NOPERM this user has no permissions to run the 'client|setname' command\r\n",
    ] {
        let server = says(usable).await;
        Client::connect(&dialer(server.address)).await.expect("connected");
    }
}

#[test]
fn what_the_data_plane_awaits_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let dialer = Dialer::new(NodeAddress::new("db", 6379));
    is_send(&dialer.dial());
    is_send(&Client::connect(&dialer));
    is_send(&crate::upstream("redis://db").find_primary());
}
