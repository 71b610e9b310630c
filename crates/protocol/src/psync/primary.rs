//! The primary side of the handshake: how the relay answers a follower until and after its PSYNC.
//!
//! Once a follower has asked for the stream nothing may be answered any more: it would read the answer as stream.

use bytes::Bytes;

use super::wire::error_line;
use super::{Ack, Announcement, FollowerCommand, FollowerError, PsyncRequest, parse_follower};
use crate::Secret;
use crate::resp::Incoming;

/// How many wrong passwords a connection may try.
pub const AUTH_FAILURES_MAX: u32 = 3;

/// `CLIENT` subcommands that libraries send on connecting; they change nothing here.
const CLIENT_SUBCOMMANDS: [&str; 4] = ["setname", "setinfo", "no-evict", "no-touch"];

/// A question that only the caller has the numbers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `INFO` with the sections asked for, in lower case; none means the default ones. Answer with a bulk string.
    Info(Vec<String>),
    /// `ROLE`. Answer with its array.
    Role,
}

/// What the relay must do about what a follower sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrimaryAction {
    /// Write this.
    Reply(Bytes),
    /// Write the answer to this.
    Query(Query),
    /// Check this, then call [`PrimaryHandshake::secret_checked`] and do what it says, before anything else is read.
    CheckSecret {
        /// The ACL user, if one was named.
        user: Option<Bytes>,
        /// The password to check.
        secret: Secret,
    },
    /// Answer with `+CONTINUE`, `+FULLRESYNC`, newlines to hold it, or try-again.
    Psync {
        request: PsyncRequest,
        /// The follower is a primary that hands over to us with `FAILOVER`.
        failover: bool,
        /// What it told of itself.
        follower: Announcement,
    },
    /// How far the follower is.
    Ack(Ack),
    /// The follower is alive; nothing to answer.
    Alive,
    /// Write the reply, if any, and close.
    Close {
        /// The last words.
        reply: Bytes,
        /// Why, for the log.
        reason: String,
    },
}

/// One follower's connection.
#[derive(Debug)]
pub struct PrimaryHandshake {
    state: State,
    auth_required: bool,
    auth_failures: u32,
    follower: Announcement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NeedsAuth,
    Ready,
    /// PSYNC came: what is written from now on is the answer to it, and then the stream.
    Following,
}

impl PrimaryHandshake {
    /// A connection on which nothing was said yet.
    pub fn new(auth_required: bool) -> Self {
        let state = if auth_required {
            State::NeedsAuth
        } else {
            State::Ready
        };
        Self {
            state,
            auth_required,
            auth_failures: 0,
            follower: Announcement::default(),
        }
    }

    /// Decides about what the follower sent. Never fails: what can't be understood is answered with an error.
    pub fn on(&mut self, incoming: Incoming) -> PrimaryAction {
        let command = parse_follower(incoming);
        match self.state {
            State::NeedsAuth => unauthenticated(command),
            State::Ready => match command {
                Ok(command) => self.ready(command),
                Err(error) => PrimaryAction::Reply(error_line("ERR", &format!("Sterna relay: {error}"))),
            },
            State::Following => following(command),
        }
    }

    /// The outcome of [`PrimaryAction::CheckSecret`]: gives the answer, and closes after too many failures.
    pub fn secret_checked(&mut self, correct: bool) -> PrimaryAction {
        if correct {
            self.state = State::Ready;
            return ok();
        }
        self.auth_failures += 1;
        let reply = error_line("WRONGPASS", "invalid username-password pair or user is disabled.");
        if self.auth_failures < AUTH_FAILURES_MAX {
            return PrimaryAction::Reply(reply);
        }
        PrimaryAction::Close {
            reply,
            reason: format!("{} wrong passwords", self.auth_failures),
        }
    }

    /// The caller refused the PSYNC (with try-again): the follower may ask again on this connection.
    pub fn psync_refused(&mut self) {
        if self.state == State::Following {
            self.state = State::Ready;
        }
    }

    /// What the follower told of itself so far.
    pub fn follower(&self) -> &Announcement {
        &self.follower
    }

    fn ready(&mut self, command: FollowerCommand) -> PrimaryAction {
        match command {
            FollowerCommand::Newline | FollowerCommand::Ack(_) | FollowerCommand::GetAck => {
                PrimaryAction::Alive
            }
            FollowerCommand::Ping(None) => PrimaryAction::Reply(Bytes::from_static(b"+PONG\r\n")),
            FollowerCommand::Ping(Some(text)) => PrimaryAction::Reply(bulk(&text)),
            FollowerCommand::Auth { user, secret } if self.auth_required => {
                PrimaryAction::CheckSecret { user, secret }
            }
            // A follower that kept the password of its old primary is welcome where none is needed.
            FollowerCommand::Auth { .. } | FollowerCommand::Select(0) => ok(),
            FollowerCommand::Hello(_) => no_hello(),
            FollowerCommand::Announce(announcement) => {
                self.follower.merge(announcement);
                ok()
            }
            FollowerCommand::Psync { request, failover } => {
                self.state = State::Following;
                PrimaryAction::Psync {
                    request,
                    failover,
                    follower: self.follower.clone(),
                }
            }
            FollowerCommand::Info(sections) => PrimaryAction::Query(Query::Info(sections)),
            FollowerCommand::Role => PrimaryAction::Query(Query::Role),
            FollowerCommand::Command => PrimaryAction::Reply(Bytes::from_static(b"*0\r\n")),
            FollowerCommand::Client(subcommand) if CLIENT_SUBCOMMANDS.contains(&subcommand.as_str()) => ok(),
            FollowerCommand::Quit => quit(),
            FollowerCommand::Client(_) => unserved("client"),
            FollowerCommand::Select(_) => unserved("select"),
            FollowerCommand::Other(name) => unserved(&name),
        }
    }
}

fn unauthenticated(command: Result<FollowerCommand, FollowerError>) -> PrimaryAction {
    match command {
        // A server gives no answer to an ACK, whoever sends it.
        Ok(FollowerCommand::Newline | FollowerCommand::Ack(_)) => PrimaryAction::Alive,
        Ok(FollowerCommand::Auth { user, secret }) => PrimaryAction::CheckSecret { user, secret },
        Ok(FollowerCommand::Hello(_)) => no_hello(),
        Ok(FollowerCommand::Quit) => quit(),
        _ => PrimaryAction::Reply(error_line("NOAUTH", "Authentication required.")),
    }
}

fn following(command: Result<FollowerCommand, FollowerError>) -> PrimaryAction {
    let reason = match command {
        Ok(FollowerCommand::Ack(ack)) => return PrimaryAction::Ack(ack),
        Ok(FollowerCommand::Newline | FollowerCommand::GetAck) => return PrimaryAction::Alive,
        Ok(command) => format!("sent {:?} while following", command.name()),
        Err(error) => format!("sent what makes no sense while following: {error}"),
    };
    PrimaryAction::Close {
        reply: Bytes::new(),
        reason,
    }
}

fn ok() -> PrimaryAction {
    PrimaryAction::Reply(Bytes::from_static(b"+OK\r\n"))
}

fn quit() -> PrimaryAction {
    PrimaryAction::Close {
        reply: Bytes::from_static(b"+OK\r\n"),
        reason: "said QUIT".to_owned(),
    }
}

/// As servers before 6.0 answer, which makes every client library go on in RESP2 with AUTH.
fn no_hello() -> PrimaryAction {
    PrimaryAction::Reply(error_line("ERR", "unknown command 'HELLO'"))
}

fn unserved(name: &str) -> PrimaryAction {
    let text = format!(
        "this is a Sterna relay: it serves the replication stream to replica nodes and knows no {name:?}. \
         Write to the primary service, read from the replica nodes."
    );
    PrimaryAction::Reply(error_line("READONLY", &text))
}

fn bulk(text: &[u8]) -> Bytes {
    Bytes::from([format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat())
}

#[cfg(test)]
mod tests;
