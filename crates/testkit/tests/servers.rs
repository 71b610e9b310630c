//! Servers start, stop, crash, come back and compare as the other crates' tests rely on.

use std::io;
use std::time::Duration;

use sterna_testkit::compare::{same_data, wait_same_offset};
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Client, Engine, Reply, Server, ServerError, TestTls, digests_equal, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// The default engine and all that `scripts/fetch-engines` brought.
fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::default()];
    engines.extend(Engine::installed());
    engines
}

#[test]
fn a_server_is_the_engine_that_was_asked_for() {
    for engine in engines() {
        let server = Server::builder().engine(engine.clone()).start().unwrap();
        let info = server.client().info("server").unwrap();
        let says = info
            .get("valkey_version")
            .or_else(|| info.get("redis_version"))
            .unwrap();
        assert_eq!(*says, engine.version.to_string());
        assert_eq!(info["process_id"], server.pid().to_string());
        assert_eq!(info["tcp_port"], server.port().to_string());
    }
}

#[test]
fn a_server_comes_back_on_its_port_with_its_rewritten_configuration() {
    let mut server = Server::builder()
        .config("maxmemory-policy", "allkeys-lru")
        .start()
        .unwrap();
    let (port, pid) = (server.port(), server.pid());
    let mut client = server.client();
    client
        .cmd(&["CONFIG", "SET", "min-replicas-max-lag", "7"])
        .unwrap();
    client.cmd(&["CONFIG", "REWRITE"]).unwrap();
    client.cmd(&["SET", "saved", "yes"]).unwrap();
    server.stop_gracefully(true).unwrap();
    assert!(!server.is_running());
    server.restart().unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    let mut client = server.client();
    assert_eq!(client.cmd(&["GET", "saved"]).unwrap().text(), "yes");
    assert_eq!(
        client
            .cmd(&["CONFIG", "GET", "min-replicas-max-lag"])
            .unwrap()
            .array()[1]
            .text(),
        "7"
    );
    assert_eq!(
        client
            .cmd(&["CONFIG", "GET", "maxmemory-policy"])
            .unwrap()
            .array()[1]
            .text(),
        "allkeys-lru"
    );

    client.cmd(&["SET", "lost", "yes"]).unwrap();
    server.kill9();
    assert!(!server.is_running());
    assert!(Client::connect(server.address()).is_err());
    server.restart().unwrap();
    assert_eq!(server.client().cmd(&["GET", "lost"]).unwrap(), Reply::Null);
}

#[test]
fn a_paused_server_answers_only_after_it_was_resumed() {
    let server = Server::start();
    let mut client = server.client();
    server.pause().unwrap();
    client.set_timeout(Duration::from_millis(200)).unwrap();
    assert!(client.cmd(&["PING"]).is_err(), "a stopped process answered");
    server.resume().unwrap();
    assert_eq!(server.client().cmd(&["PING"]).unwrap().text(), "PONG");
}

#[test]
fn a_refused_configuration_fails_with_what_the_server_said() {
    for engine in engines() {
        let error = Server::builder()
            .engine(engine)
            .config("maxmemory-policy", "nonsense")
            .start()
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("argument(s) must be one of the following"),
            "{text}"
        );
    }
}

#[test]
fn a_server_and_its_folder_are_gone_with_the_value() {
    let server = Server::start();
    let (address, dir, pid) = (server.address(), server.dir().to_owned(), server.pid());
    assert!(dir.is_dir());
    drop(server);
    assert!(Client::connect(address).is_err());
    assert!(!dir.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn passwords_users_and_tls_reach_clients_and_replicas() {
    let tls = TestTls::generate().unwrap();
    for engine in engines() {
        let builder = || Server::builder().engine(engine.clone()).tls(&tls);
        let primary = builder()
            .user("admin", "secret word".replace(' ', "-").as_str())
            .start()
            .unwrap();
        let replica = builder().password("other").replica_of(&primary).start().unwrap();
        replica.wait_link_up();
        primary.connect_tls().unwrap().cmd(&["SET", "a", "b"]).unwrap();
        digests_equal(&primary, &replica).unwrap();
        assert_eq!(
            replica.connect_tls().unwrap().cmd(&["GET", "a"]).unwrap().text(),
            "b"
        );

        let denied = Client::connect(primary.address())
            .unwrap()
            .cmd(&["GET", "a"])
            .unwrap_err();
        assert!(
            denied
                .downcast_ref::<ServerError>()
                .is_some_and(|error| error.0.starts_with("NOAUTH"))
        );
        let tls_address = ("127.0.0.1", primary.tls_port().unwrap());
        assert!(Client::connect_tls(tls_address, &tls.client_trusting_wrong_ca().unwrap()).is_err());
        let link = replica.client().info("replication").unwrap()["master_port"].clone();
        assert_eq!(
            link,
            primary.tls_port().unwrap().to_string(),
            "the link does not use TLS"
        );
    }
}

#[test]
fn a_server_that_asks_for_certificates_tells_them_apart() {
    let tls = TestTls::generate().unwrap();
    let server = Server::builder()
        .tls(&tls)
        .config("tls-auth-clients", "yes")
        .start()
        .unwrap();
    let right = tls.client_with_certificate().unwrap();
    assert_eq!(
        server
            .connect_tls_as(&right)
            .unwrap()
            .cmd(&["PING"])
            .unwrap()
            .text(),
        "PONG"
    );
    // With TLS 1.3 the refusal comes after the client's side of the handshake.
    for wrong in [
        tls.client().unwrap(),
        tls.client_with_wrong_certificate().unwrap(),
    ] {
        assert!(
            server
                .connect_tls_as(&wrong)
                .and_then(|mut client| client.cmd(&["PING"]))
                .is_err()
        );
    }
}

#[test]
fn equal_servers_are_equal_and_a_diverged_key_is_named() {
    for engine in engines() {
        let primary = Server::builder().engine(engine.clone()).start().unwrap();
        let replica = Server::builder()
            .engine(engine)
            .replica_of(&primary)
            .start()
            .unwrap();
        let mut client = primary.client();
        for number in 0..3000 {
            client.send(&["SET", &format!("key:{number}"), "value"]);
        }
        client.flush().unwrap();
        for _ in 0..3000 {
            assert!(client.receive().unwrap().is_ok());
        }
        replica.wait_link_up();
        digests_equal(&primary, &replica).unwrap();

        let mut other = replica.client();
        other.cmd(&["CONFIG", "SET", "replica-read-only", "no"]).unwrap();
        other.cmd(&["SELECT", "3"]).unwrap();
        other.cmd(&["RPUSH", "odd\r\n\0key", "x"]).unwrap();
        other.cmd(&["SELECT", "0"]).unwrap();
        other.cmd(&["PEXPIREAT", "key:7", "33177117420000"]).unwrap();
        let text = format!("{:#}", digests_equal(&primary, &replica).unwrap_err());
        assert!(text.contains("2 of 3001 keys differ"), "{text}");
        assert!(
            text.contains(r#"db3 "odd\r\n\x00key": missing | list of 1 items"#),
            "{text}"
        );
        assert!(text.contains(r#"db0 "key:7": string of 5 bytes"#), "{text}");
        assert!(text.contains("expires 33177117420000"), "{text}");
        assert!(same_data(&mut client, &mut other).is_err());
    }
}

/// Valkey's digests leave them out.
#[test]
fn fields_that_expire_at_different_times_differ() {
    for engine in engines().into_iter().filter(Engine::has_hash_field_ttl) {
        let start = || Server::builder().engine(engine.clone()).start().unwrap();
        let (one, other) = (start(), start());
        for (server, at) in [(&one, "33177117420000"), (&other, "33177117430000")] {
            let mut client = server.client();
            client.cmd(&["HSET", "hash", "a", "1", "b", "2"]).unwrap();
            client
                .cmd(&["HPEXPIREAT", "hash", at, "FIELDS", "1", "b"])
                .unwrap();
        }
        let text = format!(
            "{:#}",
            same_data(&mut one.client(), &mut other.client()).unwrap_err()
        );
        assert!(text.contains("fields expire b:33177117420000"), "{text}");
        let again = ["HPEXPIREAT", "hash", "33177117420000", "FIELDS", "1", "b"];
        other.client().cmd(&again).unwrap();
        same_data(&mut one.client(), &mut other.client()).unwrap();
    }
}

#[test]
fn many_differences_are_counted_but_not_all_named() {
    let (one, other) = (Server::start(), Server::start());
    let mut client = one.client();
    for number in 0..50 {
        client.cmd(&["SADD", &format!("set:{number}"), "member"]).unwrap();
    }
    let text = format!("{:#}", same_data(&mut client, &mut other.client()).unwrap_err());
    assert!(
        text.contains("50 of 50 keys differ") && text.contains("and 30 more"),
        "{text}"
    );
    assert_eq!(text.matches("missing").count(), 20, "{text}");
}

#[test]
fn lost_functions_and_stream_groups_are_differences() {
    let (one, other) = (Server::start(), Server::start());
    let (mut left, mut right) = (one.client(), other.client());
    let code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    left.cmd(&["FUNCTION", "LOAD", code]).unwrap();
    let text = format!("{:#}", same_data(&mut left, &mut right).unwrap_err());
    assert!(text.contains("functions differ"), "{text}");
    right.cmd(&["FUNCTION", "LOAD", code]).unwrap();
    same_data(&mut left, &mut right).unwrap();

    for client in [&mut left, &mut right] {
        client.cmd(&["XADD", "stream", "1-1", "field", "value"]).unwrap();
    }
    same_data(&mut left, &mut right).unwrap();
    left.cmd(&["XGROUP", "CREATE", "stream", "group", "0"]).unwrap();
    let text = format!("{:#}", same_data(&mut left, &mut right).unwrap_err());
    assert!(text.contains("1 of 1 keys differ"), "{text}");
}

#[test]
fn a_sentinel_fails_over_to_the_replica() {
    for engine in engines() {
        let mut primary = Server::builder().engine(engine.clone()).start().unwrap();
        let replica = Server::builder()
            .engine(engine.clone())
            .replica_of(&primary)
            .start()
            .unwrap();
        replica.wait_link_up();
        let sentinel = SentinelServer::start(engine, "service", &primary, 1).unwrap();
        assert_eq!(sentinel.primary_address().unwrap(), primary.address());
        // Sentinel learns of the replica from the primary's INFO, which it asks for now and then.
        wait_until(
            SOON,
            "the sentinel to know the replica",
            || -> Result<(), String> {
                let reply = sentinel
                    .connect()
                    .unwrap()
                    .cmd(&["SENTINEL", "REPLICAS", "service"])
                    .unwrap();
                let known = format!("{reply:?}");
                if known.contains(&replica.port().to_string()) {
                    Ok(())
                } else {
                    Err(known)
                }
            },
        );
        primary.kill9();
        wait_until(SOON, "the sentinel to promote the replica", || {
            let address = sentinel.primary_address().unwrap();
            if address == replica.address() {
                Ok(())
            } else {
                Err(format!("{address}\n{}", sentinel.log()))
            }
        });
    }
}

#[test]
fn offsets_are_not_waited_for_over_a_connection_that_ended() {
    let (primary, replica) = (Server::start(), Server::start());
    let (mut client, mut ended) = (primary.client(), replica.client());
    let id = ended.cmd(&["CLIENT", "ID"]).unwrap().text();
    replica.client().cmd(&["CLIENT", "KILL", "ID", &id]).unwrap();
    let error = wait_same_offset(&mut client, &mut ended, SOON).unwrap_err();
    assert!(error.is::<io::Error>(), "{error:#}");
}
