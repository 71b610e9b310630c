//! What a follower says to the relay, as types.

use bytes::Bytes;

use super::{Ack, FollowerError, PsyncRequest};
use crate::Secret;
use crate::resp::Incoming;
use crate::{Excerpt, Offset, ReplicationId};

/// How much of the name of an unknown command is kept.
const NAME_CHARS_MAX: usize = 64;

/// What a follower told of itself with `REPLCONF`; what it didn't tell is `None` or false.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announcement {
    /// The port it serves clients on.
    pub listening_port: Option<u16>,
    /// The address it wants to be known by.
    pub address: Option<String>,
    /// It takes EOF-marked transfers.
    pub eof: bool,
    /// It takes a new id in `+CONTINUE`.
    pub psync2: bool,
    /// Its server version (Valkey 8 and later tell it).
    pub version: Option<String>,
    /// It wants a snapshot and no stream.
    pub rdb_only: Option<bool>,
}

impl Announcement {
    /// Adds what the follower told later.
    pub fn merge(&mut self, later: Self) {
        self.listening_port = later.listening_port.or(self.listening_port);
        self.address = later.address.or(self.address.take());
        self.eof |= later.eof;
        self.psync2 |= later.psync2;
        self.version = later.version.or(self.version.take());
        self.rdb_only = later.rdb_only.or(self.rdb_only);
    }
}

/// A command that a follower, or a curious client, sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerCommand {
    /// A bare newline: alive, and busy loading.
    Newline,
    /// `PING [text]`
    Ping(Option<Bytes>),
    /// `AUTH [user] secret`
    Auth {
        /// The ACL user.
        user: Option<Bytes>,
        /// The password.
        secret: Secret,
    },
    /// `HELLO …`, its arguments.
    Hello(Vec<Bytes>),
    /// `REPLCONF` with any of listening-port, ip-address, capa, version, rdb-only; other options are ignored.
    Announce(Announcement),
    /// `REPLCONF ACK offset [FACK offset]`
    Ack(Ack),
    /// `REPLCONF GETACK *`
    GetAck,
    /// `PSYNC id offset [FAILOVER]`
    Psync {
        request: PsyncRequest,
        /// The sender is a primary that hands over to us with `FAILOVER`.
        failover: bool,
    },
    /// `INFO [section…]`, lower case.
    Info(Vec<String>),
    /// `ROLE`
    Role,
    /// `COMMAND …`
    Command,
    /// `CLIENT subcommand …`, the subcommand in lower case.
    Client(String),
    /// `SELECT db`
    Select(u32),
    /// `QUIT`
    Quit,
    /// Anything else: its name in lower case, bounded.
    Other(String),
}

impl FollowerCommand {
    /// The command's name, without anything that could be secret or long.
    pub fn name(&self) -> &str {
        match self {
            Self::Newline => "newline",
            Self::Ping(_) => "ping",
            Self::Auth { .. } => "auth",
            Self::Hello(_) => "hello",
            Self::Announce(_) | Self::Ack(_) | Self::GetAck => "replconf",
            Self::Psync { .. } => "psync",
            Self::Info(_) => "info",
            Self::Role => "role",
            Self::Command => "command",
            Self::Client(_) => "client",
            Self::Select(_) => "select",
            Self::Quit => "quit",
            Self::Other(name) => name,
        }
    }
}

/// Understands what a follower sent.
pub fn parse_follower(incoming: Incoming) -> Result<FollowerCommand, FollowerError> {
    let Incoming::Command(args) = incoming else {
        return Ok(FollowerCommand::Newline);
    };
    let Some((name, args)) = args.split_first() else {
        return Err(wrong("a command", &args));
    };
    let name = lower(name);
    match (name.as_str(), args) {
        ("ping", []) => Ok(FollowerCommand::Ping(None)),
        ("ping", [text]) => Ok(FollowerCommand::Ping(Some(text.clone()))),
        ("auth", [secret]) => Ok(FollowerCommand::Auth {
            user: None,
            secret: Secret::new(secret.as_ref()),
        }),
        ("auth", [user, secret]) => Ok(FollowerCommand::Auth {
            user: Some(user.clone()),
            secret: Secret::new(secret.as_ref()),
        }),
        // No excerpt: it could show a password.
        ("auth", _) => Err(wrong("AUTH [user] password", &[])),
        ("hello", args) => Ok(FollowerCommand::Hello(args.to_vec())),
        ("replconf", args) => replconf(args),
        ("psync", args) => psync(args),
        ("info", sections) => Ok(FollowerCommand::Info(
            sections.iter().map(|section| lower(section)).collect(),
        )),
        ("role", []) => Ok(FollowerCommand::Role),
        ("command", _) => Ok(FollowerCommand::Command),
        ("client", [subcommand, ..]) => Ok(FollowerCommand::Client(lower(subcommand))),
        ("select", [db]) => number(db)
            .map(FollowerCommand::Select)
            .ok_or_else(|| wrong("SELECT with a database number", args)),
        ("quit", _) => Ok(FollowerCommand::Quit),
        _ => Ok(FollowerCommand::Other(name)),
    }
}

/// `ACK offset`, and what may come after it; what later versions add is ignored.
fn ack(applied: &Bytes, rest: &[[Bytes; 2]]) -> Option<Ack> {
    let synced = rest.iter().find(|[option, _]| lower(option) == "fack");
    let synced = match synced {
        Some([_, offset]) => Some(Offset::new(number(offset)?)),
        None => None,
    };
    let applied = Offset::new(number(applied)?);
    Some(Ack { applied, synced })
}

fn replconf(args: &[Bytes]) -> Result<FollowerCommand, FollowerError> {
    let (pairs, []) = args.as_chunks::<2>() else {
        return Err(wrong("REPLCONF with pairs of option and value", args));
    };
    if let [[option, applied], rest @ ..] = pairs
        && lower(option) == "ack"
    {
        return ack(applied, rest)
            .map(FollowerCommand::Ack)
            .ok_or_else(|| wrong("REPLCONF ACK with an offset, and FACK with another", args));
    }
    let mut announcement = Announcement::default();
    for [option, value] in pairs {
        match lower(option).as_str() {
            "getack" => return Ok(FollowerCommand::GetAck),
            "listening-port" => {
                let port = number(value).ok_or_else(|| wrong("REPLCONF listening-port with a port", args))?;
                announcement.listening_port = Some(port);
            }
            "ip-address" => {
                announcement.address = Some(text(value, "REPLCONF ip-address with an address", args)?);
            }
            "version" => announcement.version = Some(text(value, "REPLCONF version with a version", args)?),
            "rdb-only" => match number::<u8>(value) {
                Some(flag @ 0..=1) => announcement.rdb_only = Some(flag == 1),
                _ => return Err(wrong("REPLCONF rdb-only with 0 or 1", args)),
            },
            // Yes to this would promise an RDB without data.
            "rdb-filter-only" => return Err(wrong("no rdb-filter-only, which a relay can't serve", args)),
            "capa" => match lower(value).as_str() {
                "eof" => announcement.eof = true,
                "psync2" => announcement.psync2 = true,
                _ => {}
            },
            _ => {}
        }
    }
    Ok(FollowerCommand::Announce(announcement))
}

fn psync(args: &[Bytes]) -> Result<FollowerCommand, FollowerError> {
    let wrong = || {
        wrong(
            "PSYNC with ? -1, or with an id and the offset of the next byte",
            args,
        )
    };
    let (id, next, failover) = match args {
        [id, next] => (id, next, false),
        [id, next, flag] if flag.eq_ignore_ascii_case(b"failover") => (id, next, true),
        _ => return Err(wrong()),
    };
    let request = if &id[..] == b"?" {
        number::<i64>(next)
            .map(|_| PsyncRequest::Full)
            .ok_or_else(wrong)?
    } else {
        let id = ReplicationId::from_bytes(id).map_err(|_| wrong())?;
        let held = number(next).and_then(Offset::from_wire_next).ok_or_else(wrong)?;
        PsyncRequest::Resume { id, held }
    };
    Ok(FollowerCommand::Psync { request, failover })
}

fn wrong(expected: &'static str, args: &[Bytes]) -> FollowerError {
    FollowerError {
        expected,
        found: Excerpt::of(&args.join(&b' ')),
    }
}

fn lower(word: &[u8]) -> String {
    String::from_utf8_lossy(word)
        .chars()
        .take(NAME_CHARS_MAX)
        .collect::<String>()
        .to_ascii_lowercase()
}

fn text(value: &[u8], expected: &'static str, args: &[Bytes]) -> Result<String, FollowerError> {
    let text = std::str::from_utf8(value).map_err(|_| wrong(expected, args))?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(wrong(expected, args));
    }
    Ok(text.to_owned())
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<FollowerCommand, FollowerError> {
        let args = line
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect();
        parse_follower(Incoming::Command(args))
    }

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_server_s_own_lines_are_understood() {
        let announced = parse("REPLCONF capa eof capa psync2 capa dual-channel").expect("a server says so");
        assert_eq!(
            announced,
            FollowerCommand::Announce(Announcement {
                eof: true,
                psync2: true,
                ..Announcement::default()
            })
        );
        assert_eq!(
            parse("replconf ack 12 fack 10"),
            Ok(FollowerCommand::Ack(Ack {
                applied: Offset::new(12),
                synced: Some(Offset::new(10))
            }))
        );
        assert_eq!(
            parse("REPLCONF ACK 12"),
            Ok(FollowerCommand::Ack(Offset::new(12).into()))
        );
        let id = ID.parse().expect("the id is well-formed");
        assert_eq!(
            parse(&format!("psync {ID} 42 FAILOVER")),
            Ok(FollowerCommand::Psync {
                request: PsyncRequest::Resume {
                    id,
                    held: Offset::new(41)
                },
                failover: true
            })
        );
        assert_eq!(
            parse("PSYNC ? -1"),
            Ok(FollowerCommand::Psync {
                request: PsyncRequest::Full,
                failover: false
            })
        );
        assert_eq!(
            parse("REPLCONF new-option 1"),
            Ok(FollowerCommand::Announce(Announcement::default()))
        );
        assert_eq!(parse("SET a b"), Ok(FollowerCommand::Other("set".to_owned())));
    }

    #[test]
    fn what_would_be_a_guess_is_an_error() {
        for bad in [
            "REPLCONF capa",
            "REPLCONF listening-port 65536",
            "REPLCONF ACK -1",
            "REPLCONF ACK 1 FACK x",
            "REPLCONF rdb-filter-only functions",
            "PSYNC ? x",
            "PSYNC 0123 5",
            &format!("PSYNC {ID} 0"),
            &format!("PSYNC {ID} 5 OTHER"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_error_shows_a_password() {
        let error = parse("AUTH a hunter2 b").expect_err("AUTH takes two arguments at most");
        assert!(!error.to_string().contains("hunter2"));
        assert!(!format!("{:?}", parse("AUTH hunter2")).contains("hunter2"));
    }
}
