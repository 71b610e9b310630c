use super::*;
use crate::Offset;

fn say(handshake: &mut PrimaryHandshake, line: &str) -> PrimaryAction {
    let args = line
        .split(' ')
        .map(|word| Bytes::copy_from_slice(word.as_bytes()))
        .collect();
    handshake.on(Incoming::Command(args))
}

fn reply(handshake: &mut PrimaryHandshake, line: &str) -> String {
    match say(handshake, line) {
        PrimaryAction::Reply(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_follower_announces_itself_and_follows() {
    let mut handshake = PrimaryHandshake::new(false);
    assert_eq!(reply(&mut handshake, "PING"), "+PONG\r\n");
    for line in [
        "REPLCONF listening-port 6380",
        "REPLCONF ip-address 10.1.2.3",
        "REPLCONF capa eof capa psync2",
        "REPLCONF version 8.1.1",
        "REPLCONF rdb-channel 1",
    ] {
        assert_eq!(reply(&mut handshake, line), "+OK\r\n");
    }
    let follower = Announcement {
        listening_port: Some(6380),
        address: Some("10.1.2.3".to_owned()),
        eof: true,
        psync2: true,
        version: Some("8.1.1".to_owned()),
        rdb_only: None,
    };
    assert_eq!(handshake.follower(), &follower);
    assert_eq!(
        say(&mut handshake, "PSYNC ? -1"),
        PrimaryAction::Psync {
            request: PsyncRequest::Full,
            failover: false,
            follower
        }
    );
    assert_eq!(handshake.on(Incoming::Newline), PrimaryAction::Alive);
    assert_eq!(
        say(&mut handshake, "REPLCONF ACK 5 FACK 4"),
        PrimaryAction::Ack(Ack {
            applied: Offset::new(5),
            synced: Some(Offset::new(4))
        })
    );
}

#[test]
fn nothing_is_answered_into_the_stream() {
    for line in [
        "PING",
        "INFO",
        "REPLCONF capa eof",
        "PSYNC ? -1",
        "REPLCONF ACK x",
        "GET a",
    ] {
        let mut handshake = PrimaryHandshake::new(false);
        say(&mut handshake, "PSYNC ? -1");
        match say(&mut handshake, line) {
            PrimaryAction::Close { reply, .. } => assert!(reply.is_empty()),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn a_refused_psync_may_be_repeated() {
    let mut handshake = PrimaryHandshake::new(false);
    say(&mut handshake, "PSYNC ? -1");
    handshake.psync_refused();
    assert!(matches!(
        say(&mut handshake, "PSYNC ? -1"),
        PrimaryAction::Psync { .. }
    ));
}

#[test]
fn without_the_secret_nothing_is_told() {
    let mut handshake = PrimaryHandshake::new(true);
    for line in [
        "PING",
        "PSYNC ? -1",
        "PSYNC x",
        "INFO",
        "ROLE",
        "REPLCONF capa eof",
        "SET a b",
    ] {
        assert_eq!(
            reply(&mut handshake, line),
            "-NOAUTH Authentication required.\r\n"
        );
    }
    let check = PrimaryAction::CheckSecret {
        user: None,
        secret: Secret::new("s3cret"),
    };
    assert_eq!(say(&mut handshake, "AUTH s3cret"), check);
    assert_eq!(
        reply(&mut handshake, "INFO"),
        "-NOAUTH Authentication required.\r\n"
    );
    assert!(matches!(handshake.secret_checked(true), PrimaryAction::Reply(_)));
    assert_eq!(reply(&mut handshake, "PING"), "+PONG\r\n");
}

#[test]
fn guessing_passwords_ends_the_connection() {
    let mut handshake = PrimaryHandshake::new(true);
    for _ in 1..AUTH_FAILURES_MAX {
        say(&mut handshake, "AUTH guess");
        assert!(matches!(handshake.secret_checked(false), PrimaryAction::Reply(_)));
    }
    say(&mut handshake, "AUTH guess");
    assert!(matches!(
        handshake.secret_checked(false),
        PrimaryAction::Close { .. }
    ));
}

#[test]
fn clients_are_told_where_they_are() {
    let mut handshake = PrimaryHandshake::new(false);
    let answer = reply(&mut handshake, "SET a b");
    assert!(answer.starts_with("-READONLY this is a Sterna relay"), "{answer}");
    assert!(reply(&mut handshake, "HELLO 3").starts_with("-ERR unknown command"));
    assert_eq!(reply(&mut handshake, "CLIENT SETNAME x"), "+OK\r\n");
    assert_eq!(reply(&mut handshake, "PING hi"), "$2\r\nhi\r\n");
    assert!(reply(&mut handshake, "PSYNC nonsense 1").starts_with("-ERR Sterna relay: expected PSYNC"));
    let sections = vec!["replication".to_owned()];
    assert_eq!(
        say(&mut handshake, "INFO Replication"),
        PrimaryAction::Query(Query::Info(sections))
    );
    assert_eq!(say(&mut handshake, "ROLE"), PrimaryAction::Query(Query::Role));
}
