//! TLS, passwords, limits, start and end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use sterna_discovery::{Discovery, DiscoveryError, Logins};
use sterna_node::sentinel::find_watched;
use sterna_node::{Dialer, ListenError, NodeAddress, ServerTls};
use sterna_protocol::Secret;
use sterna_protocol::resp::Value;
use sterna_testkit::{Client, TestTls};
use tokio::sync::watch;

use crate::support::{GROUP, ID, Running, route, routes, settings};
use crate::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn tls_is_spoken_with_those_who_trust_it_and_survives_those_who_do_not() {
    let tls = TestTls::generate().expect("certificates");
    let mut settings = settings();
    settings.tls = Some(ServerTls::new(&tls.server_cert, &tls.server_key, None).expect("the files fit"));
    settings.logins = Logins::with_default(Secret::new("hunter2"));
    let endpoint = Running::start(settings, route(1, 6001, 6002));

    let stranger = tls.client_trusting_wrong_ca().expect("a client");
    assert!(Client::connect_tls(endpoint.address, &stranger).is_err());
    let mut plain = TcpStream::connect(endpoint.address).expect("it listens");
    plain
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    plain.write_all(b"PING\r\n").expect("it can be written to");
    let mut alert = Vec::new();
    // What comes is a TLS alert, or the end: no answer to the command.
    drop(plain.read_to_end(&mut alert));
    assert!(!alert.starts_with(b"-") && !alert.starts_with(b"+"), "{alert:?}");

    let mut client = Client::connect_tls(endpoint.address, &tls.client().expect("a client")).expect("TLS");
    assert!(client.cmd(&["SENTINEL", "MYID"]).is_err());
    client.log_in(None, "hunter2").expect("the password is right");
    assert_eq!(client.cmd(&["SENTINEL", "MYID"]).expect("an answer").text(), ID);
}

#[test]
fn wrong_passwords_end_the_connection() {
    let mut settings = settings();
    settings.logins = Logins::with_default(Secret::new("hunter2"));
    let endpoint = Running::start(settings, route(1, 6001, 6002));
    let mut wire = Wire::connect(endpoint.address, 2);
    for _ in 0..3 {
        let answer = wire.ask("AUTH default guess");
        assert!(
            answer
                .as_error()
                .is_some_and(|text| text.starts_with("WRONGPASS"))
        );
    }
    assert_eq!(wire.try_next(), None);
    // Others are not punished for it.
    let mut wire = Wire::connect(endpoint.address, 2);
    assert!(matches!(wire.ask("HELLO 3 AUTH default hunter2"), Value::Map(_)));
}

#[test]
fn nonsense_ends_one_connection_and_no_other() {
    let endpoint = Running::start(settings(), route(1, 6001, 6002));
    let mut good = Wire::connect(endpoint.address, 2);
    good.ask("SUBSCRIBE +switch-master");
    let endless = "a".repeat(100_000);
    for bad in [
        &b"*1\r\n:1\r\n"[..],
        b"*99999999\r\n",
        b"*1\r\n$99999999999\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        endless.as_bytes(),
    ] {
        let mut stream = TcpStream::connect(endpoint.address).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        // It may be cut off before everything is written.
        drop(stream.write_all(bad));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut heard = Vec::new();
        drop(stream.read_to_end(&mut heard));
        assert!(heard.is_empty() || heard.starts_with(b"-ERR"), "{heard:?}");
    }
    endpoint.publish(route(2, 6002, 6001));
    assert!(matches!(good.next(), Value::Array(_)));
}

#[tokio::test]
async fn sterna_itself_finds_a_primary_at_it() {
    let mut settings = settings();
    settings.logins = Logins::with_default(Secret::new("hunter2"));
    let (sender, receiver) = watch::channel(routes(route(7, 6001, 6002)));
    let discovery = Discovery::start(settings, receiver)
        .await
        .expect("a port is free");
    // The last value stays when nobody tells a new one.
    drop(sender);
    let mut dialer = Dialer::new(NodeAddress::new("127.0.0.1", discovery.address().port()));
    dialer.credentials.password = Some(Secret::new("hunter2"));
    let watched = find_watched(&[dialer], GROUP, PATIENCE)
        .await
        .expect("the group is known");
    assert_eq!(watched.primary, NodeAddress::new("127.0.0.1", 6001));
    assert_eq!(watched.replicas, [NodeAddress::new("127.0.0.1", 6002)]);
    assert_eq!(watched.config_epoch, 7);
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said() {
    let (_sender, receiver) = watch::channel(Arc::default());
    let first = Discovery::start(settings(), receiver.clone())
        .await
        .expect("a port is free");
    let mut again = settings();
    again.listen = first.address();
    let error = Discovery::start(again.clone(), receiver.clone())
        .await
        .expect_err("the port is taken");
    let taken = matches!(error, DiscoveryError::Listen(ListenError::PortTaken { .. }));
    assert!(taken, "{error}");
    let mut bad = settings();
    bad.id = "me".to_owned();
    let error = Discovery::start(bad, receiver.clone()).await.expect_err("no id");
    assert!(matches!(error, DiscoveryError::BadId { .. }), "{error}");

    // It ends with its value: every connection, and the port is free again.
    let mut stream = tokio::net::TcpStream::connect(first.address())
        .await
        .expect("it listens");
    drop(first);
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest);
    drop(tokio::time::timeout(PATIENCE, read).await.expect("the end comes"));
    assert!(rest.is_empty());
    Discovery::start(again, receiver)
        .await
        .expect("the port is free again");
}
