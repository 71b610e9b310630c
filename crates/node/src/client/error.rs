//! What can go wrong between us and a node, told apart by what a person has to do about it.

use sterna_protocol::Credentials;
use sterna_protocol::resp::RespError;

use crate::address::NodeAddress;
use crate::connect::{Cause, ConnectError};
use crate::tls::TlsError;

/// A command got no usable answer. Unless the message says otherwise, nothing was changed on the node.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server ended the TLS session, as it does when it wants another client certificate.
    #[error("{address}: {source}")]
    Tls {
        address: NodeAddress,
        /// What it said.
        #[source]
        source: TlsError,
    },
    /// The login was refused.
    #[error("{address} refused the login as user {user:?}: {text}")]
    Auth {
        address: NodeAddress,
        /// As whom.
        user: String,
        /// What it said.
        text: String,
    },
    /// The node wants a login and no password was given.
    #[error("{address} wants a password and none was given")]
    NoAuth { address: NodeAddress },
    /// The node is in protected mode: it answers only clients on its own machine.
    #[error("{address} is in protected mode and answers only clients on its own machine")]
    ProtectedMode { address: NodeAddress },
    /// The user may not run the command.
    #[error("{address} does not let this user run {command}: {text}")]
    Permission {
        address: NodeAddress,
        command: String,
        /// What it said.
        text: String,
    },
    /// Something answers there, but neither Redis nor Valkey.
    #[error("what answers at {address} is {what}, not Redis or Valkey (it sent {found:?})")]
    NotRedis {
        address: NodeAddress,
        /// What it seems to be.
        what: &'static str,
        /// The beginning of what it sent.
        found: String,
    },
    /// The answer broke the protocol in the middle of a conversation.
    #[error("{address} sent something that is not RESP: {source}")]
    Garbled {
        address: NodeAddress,
        #[source]
        source: RespError,
    },
    /// The connection ended.
    #[error("the connection to {address} ended: {reason}")]
    Closed { address: NodeAddress, reason: String },
    /// No answer in time.
    #[error("{address} did not answer {command} within {after_ms} ms")]
    Timeout {
        address: NodeAddress,
        /// Which command; it may still take effect.
        command: String,
        /// The limit.
        after_ms: u64,
    },
    /// The node answered with an error.
    #[error("{address} answered {command} with the error: {text}")]
    Reply {
        address: NodeAddress,
        command: String,
        /// What it said, its code (`ERR`, `LOADING`…) first.
        text: String,
    },
    /// The node answered with something that the command should never give.
    #[error("{address} answered {command} with something unexpected: {problem}")]
    Unexpected {
        address: NodeAddress,
        command: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ClientError {
    /// What to do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.hint(),
            Self::Tls { .. } => "check the TLS settings of both sides",
            Self::Auth { .. } => {
                "check the user and the password, and that the user is `on` (ACL LIST on the node)"
            }
            Self::NoAuth { .. } => {
                "give the password with password-env=NAME or password-file=PATH in the URL"
            }
            Self::ProtectedMode { .. } => {
                "set a password (`requirepass`) on the node, or `bind` it to the right address with `protected-mode no`"
            }
            Self::Permission { .. } => "give the user the right with ACL SETUSER, or log in as another user",
            Self::NotRedis { .. } => {
                "check the host and the port; if that port speaks TLS, write rediss:// or valkeys://"
            }
            Self::Garbled { .. } => "check what stands between here and the node (a proxy, a wrong port)",
            Self::Closed { .. } => {
                "check the node's log; if that port speaks TLS, write rediss:// or valkeys://"
            }
            Self::Timeout { .. } => {
                "check whether the node is blocked by a long command, swapping or stopped"
            }
            Self::Reply { .. } | Self::Unexpected { .. } => {
                "see the node's log and documentation for this message"
            }
        }
    }

    /// The first word of an error answer, as `LOADING`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Reply { text, .. } => text.split(' ').next(),
            _ => None,
        }
    }

    /// Whether somebody answers at the address.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Connect(error) => matches!(error.cause, Cause::Tls(_)),
            Self::Closed { .. } | Self::Timeout { .. } => false,
            _ => true,
        }
    }

    /// Whether the node refused only the command and will answer others.
    pub fn leaves_usable(&self) -> bool {
        match self {
            Self::Permission { .. } => true,
            // With this the server closes the connection.
            Self::Reply { text, .. } => !text.contains("max number of clients"),
            _ => false,
        }
    }

    pub(super) fn from_reply(address: &NodeAddress, command: &str, text: &[u8]) -> Self {
        let text = printable(text);
        let address = address.clone();
        match text.split(' ').next() {
            Some("NOAUTH") => Self::NoAuth { address },
            Some("NOPERM") => Self::Permission {
                address,
                command: command.to_owned(),
                text,
            },
            Some("DENIED") => Self::ProtectedMode { address },
            _ => Self::Reply {
                address,
                command: command.to_owned(),
                text,
            },
        }
    }

    pub(super) fn from_auth_reply(address: &NodeAddress, credentials: &Credentials, text: &[u8]) -> Self {
        let text = printable(text);
        if text.starts_with("DENIED") {
            return Self::ProtectedMode {
                address: address.clone(),
            };
        }
        let user = credentials.user.clone().unwrap_or_else(|| "default".to_owned());
        Self::Auth {
            address: address.clone(),
            user,
            text,
        }
    }

    pub(super) fn not_redis(address: &NodeAddress, first: &[u8]) -> Self {
        let what = match first {
            [b'H', b'T', b'T', b'P', ..] | [b'<', ..] => "a web server",
            [0x15, 0x03, ..] => "a TLS server",
            [b'S', b'S', b'H', b'-', ..] => "an SSH server",
            [b'2', b'2', b'0', b' ', ..] => "a mail or FTP server",
            [_, _, _, 0, 10, ..] => "a MySQL server",
            _ => "something else",
        };
        let end = first
            .iter()
            .position(|byte| *byte == b'\r' || *byte == b'\n')
            .unwrap_or(first.len());
        Self::NotRedis {
            address: address.clone(),
            what,
            found: printable(&first[..end]),
        }
    }
}

/// Text from the network, bounded and on one line.
fn printable(text: &[u8]) -> String {
    let text = sterna_protocol::resp::without_arguments(text);
    let text = String::from_utf8_lossy(&text[..text.len().min(300)]);
    sterna_protocol::text::one_line(&text).into_owned()
}
