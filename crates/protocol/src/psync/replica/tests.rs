use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn id() -> ReplicationId {
    ID.parse().expect("the id is well-formed")
}

fn config() -> ReplicaConfig {
    ReplicaConfig {
        credentials: Credentials::default(),
        listening_port: 7801,
        announce_address: None,
        version: None,
        asks_client_id: false,
        rdb_only: false,
        position: PsyncRequest::Resume {
            id: id(),
            held: Offset::new(41),
        },
    }
}

/// Feeds what a primary says and gives the last event of each piece.
fn converse(config: ReplicaConfig, says: &[&str]) -> Result<Vec<ReplicaEvent>, HandshakeError> {
    let mut handshake = ReplicaHandshake::new(config);
    assert_eq!(handshake.start(), "*1\r\n$4\r\nPING\r\n");
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for piece in says {
        input.extend_from_slice(piece.as_bytes());
        while let Some(event) = handshake.feed(&mut input)? {
            events.push(event);
        }
    }
    Ok(events)
}

fn inline(events: &[ReplicaEvent]) -> Vec<String> {
    let text = |bytes: &Bytes| {
        let mut input = BytesMut::from(&bytes[..]);
        let mut reader = crate::resp::CommandReader::new();
        let mut lines = Vec::new();
        while let Ok(Some(crate::resp::Incoming::Command(args))) = reader.next(&mut input) {
            lines.push(
                args.iter()
                    .map(|arg| String::from_utf8_lossy(arg))
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        }
        lines.join("; ")
    };
    events
        .iter()
        .map(|event| match event {
            ReplicaEvent::Send(bytes) => text(bytes),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_resync_is_asked_for_after_the_introduction() {
    let config = ReplicaConfig {
        credentials: Credentials {
            user: Some("sterna".to_owned()),
            password: Some(Secret::new("s3cret")),
        },
        announce_address: Some("10.0.0.7".to_owned()),
        version: Some("8.0.0".to_owned()),
        rdb_only: true,
        position: PsyncRequest::Full,
        ..config()
    };
    let full = format!("+FULLRESYNC {ID} 99\r\n");
    let events = converse(
        config,
        &[
            "-NOAUTH Authentication required.\r\n",
            "+OK\r\n+OK\r\n-ERR no\r\n+OK\r\n+OK\r\n+OK\r\n",
            &full,
        ],
    );
    assert_eq!(
        inline(&events.expect("the primary answers well")),
        [
            "AUTH sterna s3cret; REPLCONF listening-port 7801; REPLCONF ip-address 10.0.0.7; \
             REPLCONF capa eof capa psync2; REPLCONF version 8.0.0; REPLCONF rdb-only 1",
            "PSYNC ? -1",
            &format!("FullResync {{ id: {ID}, offset: 99 }}"),
        ]
    );
}

#[test]
fn the_stream_after_continue_stays_in_the_input() {
    let mut handshake = ReplicaHandshake::new(config());
    handshake.start();
    let mut input =
        BytesMut::from(format!("+PONG\r\n+OK\r\n+OK\r\n\n\n+CONTINUE {ID}\r\n\n*1\r\n").as_bytes());
    let events: Vec<_> =
        std::iter::from_fn(|| handshake.feed(&mut input).expect("the primary answers well")).collect();
    assert_eq!(
        inline(&events),
        [
            "REPLCONF listening-port 7801; REPLCONF capa eof capa psync2",
            &format!("PSYNC {ID} 42"),
            "KeepWaiting",
            "KeepWaiting",
            &format!("Continue {{ id: Some({ID}) }}"),
        ]
    );
    assert_eq!(input, "\n*1\r\n");
    assert_eq!(handshake.feed(&mut input), Ok(None));
}

#[test]
fn not_now_is_told_from_never() {
    let after_ok = |reply: &str| converse(config(), &["+PONG\r\n", "+OK\r\n+OK\r\n", reply]);
    let last = |reply| after_ok(reply).ok().and_then(|mut events| events.pop());
    assert_eq!(
        last("-NOMASTERLINK Can't SYNC while not connected with my master\r\n"),
        Some(ReplicaEvent::TryAgain(
            "NOMASTERLINK Can't SYNC while not connected with my master".to_owned()
        ))
    );
    assert!(matches!(
        last("-LOADING Redis is loading\r\n"),
        Some(ReplicaEvent::TryAgain(_))
    ));
    assert_eq!(last("+CONTINUE\r\n"), Some(ReplicaEvent::Continue { id: None }));

    let error = |reply| after_ok(reply).expect_err("the primary refuses");
    assert!(matches!(
        error("-NOPERM no permissions\r\n"),
        HandshakeError::Permission { .. }
    ));
    assert!(matches!(
        error("-NOAUTH Authentication required.\r\n"),
        HandshakeError::Auth { .. }
    ));
    assert!(matches!(
        error("-ERR unknown command 'PSYNC'\r\n"),
        HandshakeError::PsyncUnsupported { .. }
    ));
    assert!(matches!(
        error("-ERR whatever\r\n"),
        HandshakeError::Refused { .. }
    ));
    assert!(matches!(
        error("+FULLRESYNC nonsense 1\r\n"),
        HandshakeError::Unexpected { .. }
    ));
    assert!(matches!(error(":1\r\n"), HandshakeError::NotRedis { .. }));
}

#[test]
fn refused_authentication_and_rdb_only_end_the_handshake() {
    let auth = ReplicaConfig {
        credentials: Credentials {
            user: None,
            password: Some(Secret::new("wrong")),
        },
        ..config()
    };
    let error = converse(
        auth,
        &["+PONG\r\n", "-WRONGPASS invalid username-password pair\r\n"],
    );
    assert!(matches!(error, Err(HandshakeError::Auth { command: "AUTH", .. })));
    let rdb_only = ReplicaConfig {
        rdb_only: true,
        ..config()
    };
    let error = converse(
        rdb_only,
        &[
            "+PONG\r\n",
            "+OK\r\n+OK\r\n-ERR Unrecognized REPLCONF option: rdb-only\r\n",
        ],
    );
    assert!(matches!(error, Err(HandshakeError::RdbOnlyRefused { .. })));
}

#[test]
fn a_web_server_is_recognised_from_its_first_byte() {
    let error = converse(config(), &["HTTP/1.1 400 Bad Request"]).expect_err("that is no RESP");
    assert_eq!(
        error.to_string(),
        "the peer is not a Redis or Valkey server: expected a reply to PING, found \"HTTP/1.1 400 Bad Request\""
    );
}

#[test]
fn continue_is_no_answer_to_a_full_request() {
    let config = ReplicaConfig {
        position: PsyncRequest::Full,
        ..config()
    };
    let error = converse(config, &["+PONG\r\n", "+OK\r\n+OK\r\n", "+CONTINUE\r\n"]);
    assert!(matches!(error, Err(HandshakeError::Unexpected { .. })));
}

#[test]
fn the_number_of_the_connection_is_known_before_it_asks_to_follow() {
    let config = ReplicaConfig {
        asks_client_id: true,
        ..config()
    };
    let answers = ["+PONG\r\n", ":57\r\n+OK\r\n+OK\r\n", "+CONTINUE\r\n"];
    assert_eq!(
        inline(&converse(config.clone(), &answers).expect("the primary answers well")),
        [
            "CLIENT ID; REPLCONF listening-port 7801; REPLCONF capa eof capa psync2",
            "ClientId(57)",
            &format!("PSYNC {ID} 42"),
            "Continue { id: None }",
        ]
    );
    let refuses = ["+PONG\r\n", "-NOPERM no\r\n+OK\r\n+OK\r\n", "+CONTINUE\r\n"];
    let events = converse(config, &refuses).expect("it goes on without");
    assert_eq!(events.last(), Some(&ReplicaEvent::Continue { id: None }));
}
