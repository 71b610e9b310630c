//! Scripted peers against real servers: whatever they do by script, a real one takes for real.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sterna_testkit::client::encode;
use sterna_testkit::compare::wait_same_offset;
use sterna_testkit::peers::rdb;
use sterna_testkit::peers::replica::Acks;
use sterna_testkit::peers::{Answer, RdbForm};
use sterna_testkit::{Engine, EngineKind, ScriptedPrimary, ScriptedReplica, Server, WebServer, wait_until};

const SOON: Duration = Duration::from_secs(20);
const ID: &str = "00112233445566778899aabbccddeeff00112233";

fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::default()];
    engines.extend(Engine::installed());
    engines
}

fn command(args: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, args);
    bytes
}

#[test]
fn a_scripted_replica_gets_snapshot_and_stream_and_is_waited_for() {
    for engine in engines() {
        let server = Server::builder()
            .engine(engine)
            .password("secret")
            .start()
            .unwrap();
        let mut client = server.client();
        client.cmd(&["SET", "a", "1"]).unwrap();
        let mut replica = ScriptedReplica::builder(server.address())
            .login(None, "secret")
            .version("8.0.0")
            .connect()
            .unwrap();
        let Answer::FullResync { id, offset } = replica.psync_full().unwrap() else {
            panic!("no FULLRESYNC")
        };
        assert_eq!(client.info("replication").unwrap()["master_replid"], id);
        let snapshot = replica.read_rdb().unwrap();
        assert!(snapshot.starts_with(b"REDIS00") && rdb::is_sealed(snapshot));
        assert!(matches!(replica.received.form, Some(RdbForm::Mark(_))));

        let mut written = command(&["SELECT", "0"]);
        written.extend(command(&["SET", "b", "2"]));
        client.cmd(&["SET", "b", "2"]).unwrap();
        let came = replica.read_until(offset + written.len() as u64).unwrap();
        assert_eq!(
            came.escape_ascii().to_string(),
            written.escape_ascii().to_string()
        );

        // As an application says it: is my write in the other place?
        let held = replica.offset();
        let follower = replica.follow(Acks::Fixed(held), None);
        client.cmd(&["SET", "c", "3"]).unwrap();
        assert_eq!(client.cmd(&["WAIT", "1", "300"]).unwrap().int(), Some(0));
        follower.set_acks(Acks::Real);
        assert_eq!(client.cmd(&["WAIT", "1", "5000"]).unwrap().int(), Some(1));
        let replica = follower.stop().unwrap();
        assert!(
            replica
                .received
                .stream
                .windows(5)
                .any(|window| window == b"GETAC")
        );

        let held = replica.offset();
        drop(replica);
        client.cmd(&["SET", "d", "4"]).unwrap();
        let mut replica = ScriptedReplica::builder(server.address())
            .login(None, "secret")
            .connect()
            .unwrap();
        assert_eq!(
            replica.psync(&id, held).unwrap(),
            Answer::Continue { id: Some(id) }
        );
        assert!(
            replica
                .read_for(Duration::from_millis(100))
                .unwrap()
                .ends_with(&command(&["SET", "d", "4"]))
        );
    }
}

#[test]
fn a_snapshot_only_replica_gets_it_in_the_form_with_a_length_too() {
    let server = Server::builder()
        .config("repl-diskless-sync", "no")
        .start()
        .unwrap();
    server
        .client()
        .cmd(&["SET", "a", "x".repeat(300_000).as_str()])
        .unwrap();
    let mut replica = ScriptedReplica::builder(server.address())
        .snapshot_only()
        .connect()
        .unwrap();
    assert!(matches!(replica.psync_full().unwrap(), Answer::FullResync { .. }));
    assert!(rdb::is_sealed(replica.read_rdb().unwrap()));
    assert_eq!(replica.received.form, Some(RdbForm::Length));
}

#[test]
fn a_replica_node_gives_a_snapshot_at_an_offset_of_its_primarys_history() {
    for engine in engines() {
        let primary = Server::builder().engine(engine.clone()).start().unwrap();
        let node = Server::builder()
            .engine(engine.clone())
            .replica_of(&primary)
            .start()
            .unwrap();
        node.wait_link_up();
        primary.client().cmd(&["SET", "a", "1"]).unwrap();
        let held = wait_same_offset(&mut primary.client(), &mut node.client(), SOON).unwrap();
        let mut snapshot = ScriptedReplica::builder(node.address())
            .snapshot_only()
            .connect()
            .unwrap();
        let Answer::FullResync { id, offset } = snapshot.psync_full().unwrap() else {
            panic!("no FULLRESYNC")
        };
        assert_eq!(offset, held, "{}", engine.name);
        assert_eq!(id, primary.client().info("replication").unwrap()["master_replid"]);
        assert!(rdb::is_sealed(snapshot.read_rdb().unwrap()));
        // Whoever loads it can go on at the primary from there.
        let mut follower = ScriptedReplica::builder(primary.address()).connect().unwrap();
        assert_eq!(
            follower.psync(&id, offset).unwrap(),
            Answer::Continue { id: Some(id) }
        );
    }
}

#[test]
fn a_slow_replica_reads_at_its_pace_and_a_silent_one_lags() {
    let server = Server::start();
    let mut replica = ScriptedReplica::builder(server.address()).connect().unwrap();
    replica.psync_full().unwrap();
    replica.read_rdb().unwrap();
    let start = replica.offset();
    let follower = replica.follow(Acks::Silent, Some(0));
    server
        .client()
        .cmd(&["SET", "a", "x".repeat(100_000).as_str()])
        .unwrap();
    let behind = || server.client().info_field("replication", "slave0").unwrap();
    assert!(behind().contains(&format!("offset={start},")), "{}", behind());
    assert_eq!(follower.offset(), start);
    follower.set_pace(Some(200_000));
    let begin = Instant::now();
    follower.wait_offset(start + 100_000, SOON).unwrap();
    assert!(
        begin.elapsed() > Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
    server
        .client()
        .cmd(&["CLIENT", "KILL", "TYPE", "replica"])
        .unwrap();
    wait_until(SOON, "the follower to notice", || !follower.is_following());
    assert!(follower.received().unwrap().stream.len() >= 100_000);
}

#[test]
fn a_real_replica_takes_a_scripted_primary_for_real_in_both_forms() {
    for engine in engines() {
        for form in [RdbForm::Length, RdbForm::Mark(vec![b'm'; 40])] {
            let primary = ScriptedPrimary::builder()
                .start(move |session, psync| {
                    if psync.before == 0 {
                        let snapshot =
                            rdb::with_strings(rdb::VERSION, &[(b"old", b"snapshot"), (b"k\r\n\0", b"")]);
                        session.full_resync(ID, 1000, &snapshot, &form)?;
                        session.wait_ack(1000, SOON)?;
                        let mut stream = command(&["SELECT", "0"]);
                        stream.extend(command(&["SET", "new", "stream"]));
                        session.send_split(&stream, 7, Duration::from_millis(1))?;
                        session.wait_ack(1000 + stream.len() as u64, SOON)?;
                        session.reset();
                        Ok(())
                    } else {
                        session.resume(&psync.id)?;
                        session.until_hang_up()
                    }
                })
                .unwrap();
            let replica = Server::builder()
                .engine(engine.clone())
                .replica_of_address(primary.address())
                .start()
                .unwrap();
            primary.wait_psyncs(2, SOON).unwrap();
            replica.wait_link_up();
            let mut client = replica.client();
            for (key, value) in [(&b"old"[..], "snapshot"), (b"k\r\n\0", ""), (b"new", "stream")] {
                assert_eq!(client.cmd(&[b"GET", key]).unwrap().text(), value);
            }
            assert_eq!(client.cmd(&["DBSIZE"]).unwrap().int(), Some(3));
            let info = client.info("replication").unwrap();
            assert_eq!(info["master_replid"], ID);
            let sessions = primary.sessions();
            assert_eq!(sessions[0].outcome, Some(Ok(())));
            let lines = sessions[1].lines();
            let offset: u64 = info["slave_repl_offset"].parse().unwrap();
            assert!(lines.contains(&format!("PSYNC {ID} {}", offset + 1)), "{lines:?}");
        }
    }
}

/// And so says the unit scanner.
#[test]
fn a_real_replica_refuses_a_multi_inside_a_transaction_which_ends_with_its_exec() {
    for engine in engines() {
        let (before, after) = channel();
        let after = Mutex::new(after);
        let primary = ScriptedPrimary::builder()
            .start(move |session, psync| {
                if psync.before > 0 {
                    session.resume(&psync.id)?;
                    return session.until_hang_up();
                }
                let snapshot = rdb::with_strings(rdb::VERSION, &[(b"old", b"snapshot")]);
                session.full_resync(ID, 1000, &snapshot, &RdbForm::Length)?;
                session.wait_ack(1000, SOON)?;
                for args in [
                    &["SELECT", "0"][..],
                    &["SET", "whole", "1"],
                    &["MULTI"],
                    &["SET", "outer", "1"],
                    &["MULTI"],
                    &["SET", "inner", "1"],
                ] {
                    session.send(command(args))?;
                }
                after.lock().expect("sound").recv()?;
                session.send(command(&["EXEC"]))?;
                session.send(command(&["SET", "after", "1"]))?;
                session.until_hang_up()
            })
            .unwrap();
        let replica = Server::builder()
            .engine(engine.clone())
            .replica_of_address(primary.address())
            .start()
            .unwrap();
        let has = |key: &str| {
            let found = replica.client().cmd(&["EXISTS", key]).unwrap();
            found.int() == Some(1)
        };
        wait_until(SOON, "what came before", || {
            has("whole").then_some(()).ok_or("missing")
        });
        let offset = || -> u64 {
            let text = replica.client().info_field("replication", "slave_repl_offset");
            text.unwrap().parse().unwrap()
        };
        let whole: usize = [&["SELECT", "0"][..], &["SET", "whole", "1"]]
            .map(|args| command(args).len())
            .iter()
            .sum();
        // It has read the two MULTIs as well, or is about to.
        assert_eq!(offset(), 1000 + whole as u64);
        assert!(!has("outer") && !has("inner"));
        before.send(()).unwrap();
        wait_until(SOON, "what comes after", || {
            has("after").then_some(()).ok_or("missing")
        });
        // Both refuse it, and then the one goes on with the transaction, and the other refuses its EXEC as well.
        let refused = match engine.kind {
            EngineKind::Redis => "MULTI calls can not be nested",
            EngineKind::Valkey => "EXECABORT",
        };
        let log = replica.log();
        assert!(log.contains(refused), "{engine:?}: {log}");
        let goes_on = engine.kind == EngineKind::Redis;
        assert_eq!(
            (has("outer"), has("inner")),
            (goes_on, goes_on),
            "{engine:?}: {log}"
        );
        assert_eq!(primary.psyncs(), 1, "the link stands");
    }
}

#[test]
fn a_scripted_primary_can_answer_wrong_and_ask_for_a_password() {
    let primary = ScriptedPrimary::builder()
        .password("secret")
        .info("redis_version", "6.2.0")
        .start(|session, _| session.send("-NOMASTERLINK Can't SYNC while not connected with my master\r\n"))
        .unwrap();
    let address = primary.address();
    assert!(ScriptedReplica::builder(address).connect().is_err());
    assert!(
        ScriptedReplica::builder(address)
            .login(None, "wrong")
            .connect()
            .is_err()
    );
    let mut replica = ScriptedReplica::builder(address)
        .login(None, "secret")
        .connect()
        .unwrap();
    assert!(matches!(replica.psync_full().unwrap(), Answer::Error(text) if text.starts_with("NOMASTERLINK")));
    let mut client = sterna_testkit::Client::connect(address).unwrap();
    client.cmd(&["AUTH", "secret"]).unwrap();
    assert_eq!(client.info("").unwrap()["redis_version"], "6.2.0");

    let raw = ScriptedPrimary::builder()
        .start_raw(|session| session.send("+hello?\r\n"))
        .unwrap();
    assert!(
        ScriptedReplica::builder(raw.address())
            .connect()
            .is_ok_and(|_| false)
            || raw.psyncs() == 0
    );
}

#[test]
fn a_web_server_answers_anything_with_a_bad_request() {
    let server = WebServer::start().unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&command(&["PING"])).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.ends_with("</html>"),
        "{answer}"
    );
    let address = server.address();
    drop(server);
    wait_until(SOON, "it to be gone", || TcpStream::connect(address).is_err());
}

#[test]
fn made_up_snapshots_have_the_servers_own_checksum() {
    let server = Server::start();
    let mut replica = ScriptedReplica::builder(server.address()).connect().unwrap();
    replica.psync_full().unwrap();
    let mut real = replica.read_rdb().unwrap().to_vec();
    assert!(rdb::is_sealed(&real));
    real[20] ^= 1;
    assert!(!rdb::is_sealed(&real));
    assert!(rdb::is_sealed(&rdb::empty()));
}
