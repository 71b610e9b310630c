use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sterna_protocol::psync::{
    HandshakeError, PrimaryAction, PrimaryHandshake, PsyncRequest, ReplicaConfig, ReplicaEvent,
    ReplicaHandshake, continue_with, full_resync, try_again,
};
use sterna_protocol::resp::{CommandReader, Incoming};
use sterna_protocol::{Credentials, Offset, ReplicationId, Secret};

use super::pieces::{cuts, damage, damaged};

fn id() -> impl Strategy<Value = ReplicationId> {
    "[0-9a-f]{40}".prop_map(|text| text.parse().expect("forty digits are an id"))
}

fn request() -> impl Strategy<Value = PsyncRequest> {
    prop_oneof![
        Just(PsyncRequest::Full),
        (id(), any::<u32>()).prop_map(|(id, held)| PsyncRequest::Resume {
            id,
            held: Offset::new(u64::from(held))
        }),
    ]
}

fn config() -> impl Strategy<Value = ReplicaConfig> {
    let word = "[a-zA-Z0-9.]{1,12}";
    let credentials =
        (prop::option::of(word), prop::option::of(word)).prop_map(|(user, password)| Credentials {
            user,
            password: password.map(Secret::new),
        });
    (
        credentials,
        any::<u16>(),
        prop::option::of(word),
        prop::option::of(word),
        any::<bool>(),
        request(),
    )
        .prop_map(
            |(credentials, listening_port, announce_address, version, rdb_only, position)| ReplicaConfig {
                credentials,
                listening_port,
                announce_address,
                version,
                asks_client_id: false,
                rdb_only,
                position,
            },
        )
}

/// Feeds a replica what a primary says, not caring what it asks; gives its events, and an error without its excerpt.
fn hear(
    config: &ReplicaConfig,
    pieces: &[&[u8]],
) -> (
    Vec<ReplicaEvent>,
    Option<std::mem::Discriminant<HandshakeError>>,
    Bytes,
) {
    let mut handshake = ReplicaHandshake::new(config.clone());
    handshake.start();
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match handshake.feed(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(std::mem::discriminant(&error)), Bytes::new()),
            }
        }
    }
    (events, None, input.freeze())
}

fn script() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => Just(Bytes::from_static(b"+OK\r\n")),
        1 => Just(Bytes::from_static(b"\n")),
        1 => Just(Bytes::from_static(b"-ERR unknown command\r\n")),
        1 => id().prop_map(continue_with),
        1 => (id(), any::<u32>()).prop_map(|(id, offset)| full_resync(id, Offset::new(u64::from(offset)))),
        1 => "[a-z ]{0,20}".prop_map(|reason| try_again(&reason)),
        1 => prop::collection::vec(any::<u8>(), 0..30).prop_map(Bytes::from),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

/// What both sides come to when they talk to each other.
fn converse(config: &ReplicaConfig, answer: &Bytes) -> (ReplicaEvent, PrimaryAction) {
    let mut replica = ReplicaHandshake::new(config.clone());
    let credentials = &config.credentials;
    let mut primary = PrimaryHandshake::new(*credentials != Credentials::default());
    let mut reader = CommandReader::new();
    let mut to_primary = BytesMut::from(&replica.start()[..]);
    let mut to_replica = BytesMut::new();
    let mut asked = None;
    loop {
        while let Some(incoming) = reader.next(&mut to_primary).expect("a replica sends commands") {
            let mut action = primary.on(incoming);
            if let PrimaryAction::CheckSecret { secret, .. } = &action {
                assert_ne!(*credentials, Credentials::default(), "who has none sends none");
                assert_eq!(*secret, credentials.password.clone().unwrap_or_default());
                action = primary.secret_checked(true);
            }
            match action {
                PrimaryAction::Reply(bytes) => to_replica.extend_from_slice(&bytes),
                action @ PrimaryAction::Psync { .. } => {
                    asked = Some(action);
                    to_replica.extend_from_slice(answer);
                }
                other => panic!("{other:?}"),
            }
        }
        match replica
            .feed(&mut to_replica)
            .expect("the relay speaks the protocol")
        {
            Some(ReplicaEvent::Send(bytes)) => to_primary.extend_from_slice(&bytes),
            Some(event) => return (event, asked.expect("the replica asked")),
            None => panic!("both sides wait"),
        }
    }
}

proptest! {
    #[test]
    fn both_sides_understand_each_other(config in config(), new_id in id(), offset in any::<u32>()) {
        let offset = Offset::new(u64::from(offset));
        let (answer, expected) = match config.position {
            PsyncRequest::Full => (full_resync(new_id, offset), ReplicaEvent::FullResync { id: new_id, offset }),
            PsyncRequest::Resume { .. } => (continue_with(new_id), ReplicaEvent::Continue { id: Some(new_id) }),
        };
        let (event, action) = converse(&config, &answer);
        prop_assert_eq!(event, expected);
        let PrimaryAction::Psync { request, failover: false, follower } = action else {
            return Err(TestCaseError::fail("no plain PSYNC"));
        };
        prop_assert_eq!(request, config.position);
        prop_assert_eq!(follower.listening_port, Some(config.listening_port).filter(|port| *port != 0));
        prop_assert_eq!(follower.address, config.announce_address);
        prop_assert_eq!(follower.version, config.version);
        prop_assert_eq!(follower.rdb_only, config.rdb_only.then_some(true));
        prop_assert!(follower.eof && follower.psync2);
    }

    #[test]
    fn a_replica_hears_the_same_in_any_pieces(
        config in config(), script in script(), damage in damage(), cuts in cuts(),
    ) {
        let script = damaged(script, &damage);
        prop_assert_eq!(hear(&config, &cuts.pieces(&script)), hear(&config, &[&script]));
    }

    #[test]
    fn an_unauthenticated_follower_gets_nothing(commands in prop::collection::vec(command(), 0..12)) {
        let mut primary = PrimaryHandshake::new(true);
        for command in commands {
            let action = primary.on(command);
            prop_assert!(
                !matches!(action, PrimaryAction::Psync { .. } | PrimaryAction::Query(_) | PrimaryAction::Ack(_)),
                "{action:?}"
            );
        }
    }

    #[test]
    fn nothing_is_answered_after_psync(commands in prop::collection::vec(command(), 0..12)) {
        let mut primary = PrimaryHandshake::new(false);
        let mut follows = false;
        for command in commands {
            let action = primary.on(command);
            if follows {
                let silent = match &action {
                    PrimaryAction::Ack(_) | PrimaryAction::Alive => true,
                    PrimaryAction::Close { reply, .. } => reply.is_empty(),
                    _ => false,
                };
                prop_assert!(silent, "{action:?}");
            }
            follows |= matches!(action, PrimaryAction::Psync { .. });
        }
    }
}

fn command() -> impl Strategy<Value = Incoming> {
    let known = prop::sample::select(vec![
        "PING",
        "INFO replication",
        "ROLE",
        "PSYNC ? -1",
        "PSYNC ? -1 FAILOVER",
        "REPLCONF ACK 12",
        "REPLCONF capa eof",
        "REPLCONF ACK",
        "AUTH a",
        "AUTH a b",
        "QUIT",
        "HELLO 3",
        "SELECT 0",
        "COMMAND",
        "CLIENT SETNAME x",
        "SET a b",
    ]);
    let noise = prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..10).prop_map(Bytes::from),
        1..5,
    );
    prop_oneof![
        Just(Incoming::Newline),
        known.prop_map(|line| Incoming::Command(line.split(' ').map(Bytes::from).collect())),
        noise.prop_map(Incoming::Command),
    ]
}
