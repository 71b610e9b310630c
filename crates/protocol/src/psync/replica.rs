//! The replica side of the handshake: how a source asks a primary node for its stream.
//!
//! As a server's own replica does it: PING; then AUTH and the REPLCONFs in one piece; then PSYNC. Only an error to
//! AUTH ends it, and one to `rdb-only`, without which the request that follows would mean something else.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::HandshakeError;
use super::answer::{Answer, Besides, reply_error, take_answer};
use super::wire::command;
use crate::line::LineReader;
use crate::{Credentials, Offset, ReplicationId, Secret};

/// How long a reply line of the handshake may be.
pub const HANDSHAKE_LINE_BYTES_MAX: usize = 4 << 10;

/// From where to get the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PsyncRequest {
    /// `PSYNC ? -1`: an RDB, then the stream after it.
    Full,
    /// The stream after what is held.
    Resume {
        /// The history.
        id: ReplicationId,
        /// What is held of it: the wire asks for the byte after.
        held: Offset,
    },
}

/// What a source says of itself and asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// As whom to log in first.
    pub credentials: Credentials,
    /// The port that the primary shows for us, 0 for none.
    pub listening_port: u16,
    /// The address that the primary shows for us, if not the connection's.
    pub announce_address: Option<String>,
    /// The server version to announce: that of the weakest follower.
    pub version: Option<String>,
    /// Ask under which number the primary lists this connection.
    pub asks_client_id: bool,
    /// Ask for nothing but a snapshot (Redis 7.0 and later).
    pub rdb_only: bool,
    /// From where to go on.
    pub position: PsyncRequest,
}

/// What the handshake came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaEvent {
    /// Write this to the primary.
    Send(Bytes),
    /// The number under which the primary lists this connection (`CLIENT LIST`). `PSYNC` has not been sent yet.
    ClientId(u64),
    /// The primary is alive and asks for patience.
    KeepWaiting,
    /// The primary can't answer now, in its own words: close and come back later.
    TryAgain(String),
    /// The stream follows from the position asked for; `id` is the history's name from now on, if it was told.
    Continue {
        /// The (new) name of the history.
        id: Option<ReplicationId>,
    },
    /// An RDB transfer follows, and then the stream after `offset`.
    FullResync {
        /// The history.
        id: ReplicationId,
        /// What the RDB holds of it.
        offset: Offset,
    },
}

/// One handshake on one connection.
#[derive(Debug)]
pub struct ReplicaHandshake {
    config: ReplicaConfig,
    /// What is sent and not answered yet, oldest first.
    unanswered: VecDeque<Sent>,
    lines: LineReader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Ping,
    Auth,
    ClientId,
    Announcement,
    RdbOnly,
    Psync,
}

impl Sent {
    const fn command(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Auth => "AUTH",
            Self::ClientId => "CLIENT ID",
            Self::Announcement => "REPLCONF",
            Self::RdbOnly => "REPLCONF rdb-only",
            Self::Psync => "PSYNC",
        }
    }
}

impl ReplicaHandshake {
    /// A handshake that has not begun.
    pub fn new(config: ReplicaConfig) -> Self {
        Self {
            config,
            unanswered: VecDeque::new(),
            lines: LineReader::default(),
        }
    }

    /// What to send first.
    pub fn start(&mut self) -> Bytes {
        self.unanswered = VecDeque::from([Sent::Ping]);
        command(&["PING"])
    }

    /// Takes the next event off the front of `input`; call it until it gives `None`. After [`ReplicaEvent::Continue`]
    /// or [`ReplicaEvent::FullResync`] the rest of `input` is the stream's or the transfer's.
    pub fn feed(&mut self, input: &mut BytesMut) -> Result<Option<ReplicaEvent>, HandshakeError> {
        while let Some(&sent) = self.unanswered.front() {
            let besides = match sent {
                Sent::Psync => Besides::EmptyLine,
                Sent::ClientId => Besides::Number,
                _ => Besides::Nothing,
            };
            let Some(answer) = take_answer(&mut self.lines, input, sent.command(), besides)? else {
                return Ok(None);
            };
            if answer == Answer::Newline {
                return Ok(Some(ReplicaEvent::KeepWaiting));
            }
            self.unanswered.pop_front();
            if let Some(event) = self.answered(sent, &answer)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn answered(&mut self, sent: Sent, answer: &Answer) -> Result<Option<ReplicaEvent>, HandshakeError> {
        match (sent, answer) {
            (_, Answer::TryAgain(reason)) => {
                self.unanswered.clear();
                return Ok(Some(ReplicaEvent::TryAgain(reason.clone())));
            }
            (Sent::Psync, Answer::Ok(line)) => return self.psync_answered(line).map(Some),
            (Sent::ClientId, Answer::Number(id)) => return Ok(Some(ReplicaEvent::ClientId(*id))),
            (_, Answer::Error(reply)) => refused(sent, reply)?,
            (_, Answer::Ok(_) | Answer::Number(_) | Answer::Newline) => {}
        }
        Ok(match sent {
            Sent::Ping => Some(ReplicaEvent::Send(self.introduction())),
            _ if self.unanswered.is_empty() => {
                self.unanswered.push_back(Sent::Psync);
                Some(ReplicaEvent::Send(self.psync()))
            }
            _ => None,
        })
    }

    /// AUTH and the REPLCONFs, in one piece.
    fn introduction(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        let mut push = |sent: Sent, args: &[&[u8]]| {
            crate::resp::encode_command(&mut out, args);
            self.unanswered.push_back(sent);
        };
        let Credentials { user, password } = &self.config.credentials;
        let password = password.as_ref().map(Secret::expose);
        match (user, password) {
            (Some(user), _) => push(
                Sent::Auth,
                &[b"AUTH", user.as_bytes(), password.unwrap_or_default()],
            ),
            (None, Some(password)) => push(Sent::Auth, &[b"AUTH", password]),
            (None, None) => {}
        }
        if self.config.asks_client_id {
            push(Sent::ClientId, &[b"CLIENT", b"ID"]);
        }
        if self.config.listening_port != 0 {
            let port = self.config.listening_port.to_string();
            push(
                Sent::Announcement,
                &[b"REPLCONF", b"listening-port", port.as_bytes()],
            );
        }
        if let Some(address) = &self.config.announce_address {
            push(
                Sent::Announcement,
                &[b"REPLCONF", b"ip-address", address.as_bytes()],
            );
        }
        push(
            Sent::Announcement,
            &[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"],
        );
        if let Some(version) = &self.config.version {
            push(Sent::Announcement, &[b"REPLCONF", b"version", version.as_bytes()]);
        }
        if self.config.rdb_only {
            push(Sent::RdbOnly, &[b"REPLCONF", b"rdb-only", b"1"]);
        }
        out.freeze()
    }

    fn psync(&self) -> Bytes {
        match self.config.position {
            PsyncRequest::Full => command(&["PSYNC", "?", "-1"]),
            PsyncRequest::Resume { id, held } => {
                command(&["PSYNC", id.as_str(), &held.wire_next().to_string()])
            }
        }
    }

    fn psync_answered(&self, line: &Bytes) -> Result<ReplicaEvent, HandshakeError> {
        let unexpected = || HandshakeError::Unexpected {
            command: "PSYNC",
            expected: "+FULLRESYNC id offset, or +CONTINUE [id] where one was asked for",
            found: crate::Excerpt::of(line),
        };
        let id = |word: &str| word.parse::<ReplicationId>().map_err(|_| unexpected());
        let text = std::str::from_utf8(line).map_err(|_| unexpected())?;
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let resumes = self.config.position != PsyncRequest::Full;
        match &words[..] {
            ["+FULLRESYNC", name, offset] => {
                let offset = offset.parse().map_err(|_| unexpected())?;
                Ok(ReplicaEvent::FullResync {
                    id: id(name)?,
                    offset: Offset::new(offset),
                })
            }
            ["+CONTINUE"] if resumes => Ok(ReplicaEvent::Continue { id: None }),
            ["+CONTINUE", name] if resumes => Ok(ReplicaEvent::Continue { id: Some(id(name)?) }),
            _ => Err(unexpected()),
        }
    }
}

/// Whether the handshake can go on after this error reply.
fn refused(sent: Sent, reply: &str) -> Result<(), HandshakeError> {
    let reply = reply.to_owned();
    match sent {
        Sent::Ping if reply.starts_with("NOAUTH") || reply.starts_with("NOPERM") => Ok(()),
        // Older servers know fewer announcements, and these are only for show; not everybody may ask for a number.
        Sent::Announcement | Sent::ClientId => Ok(()),
        Sent::Auth => Err(HandshakeError::Auth {
            command: sent.command(),
            reply,
        }),
        Sent::RdbOnly => Err(HandshakeError::RdbOnlyRefused { reply }),
        Sent::Ping | Sent::Psync => Err(reply_error(sent.command(), reply)),
    }
}

#[cfg(test)]
mod tests;
