//! What can be set about the API, and the bounds that can't.

use std::net::SocketAddr;
use std::time::Duration;

use sterna_node::ServerTls;
use sterna_node::listen::{Descriptors, Limits};

pub use crate::limit::Rate;

/// The largest body of a request, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// The most header lines of a request.
pub(crate) const HEADERS_MAX: usize = 64;
/// The largest head of a request, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;
/// How many changing requests are worked on at once.
pub(crate) const CHANGES_MAX: u32 = 64;
/// How many listen to events at once.
pub(crate) const LISTENERS_MAX: usize = 64;
/// How many of them with one token.
pub(crate) const LISTENERS_OF_TOKEN_MAX: usize = 16;
/// How many of them from one address.
pub(crate) const LISTENERS_OF_REMOTE_MAX: usize = 32;
/// How many tokens are looked up at once.
pub(crate) const LOOKUPS_MAX: usize = 16;
/// The longest that a change may take, whether somebody waits for its answer or not. The store believes a request with an
/// idempotency key dead after 2 minutes; this is less.
pub(crate) const CHANGE_MAX: Duration = Duration::from_secs(110);
/// How long the API takes to end in good order, at most.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(5);
/// The longest that a request may wait for an operation to end.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);
/// The most entries of one page.
pub(crate) const PAGE_MAX: usize = 500;
/// Entries of a page where nothing is said.
pub(crate) const PAGE_DEFAULT: usize = 50;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TLS handshake, and the head of a request; so also how long a kept-alive connection may be idle.
    pub head: Duration,
    /// The body of a request.
    pub body: Duration,
    /// The answer. A change that takes longer goes on; only its answer is lost.
    pub answer: Duration,
    /// How long the other side may take nothing of what is written to it.
    pub write_stall: Duration,
    /// How often a listener is sent a sign of life, and its token looked at again.
    pub keep_alive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            write_stall: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// Where to listen and how.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Address and port; port 0 takes a free one. The configuration refuses other than loopback without TLS.
    pub listen: SocketAddr,
    /// TLS, where it is spoken.
    pub tls: Option<ServerTls>,
    /// Whether `/metrics` needs no token.
    pub metrics_public: bool,
    /// How often one token may ask.
    pub token_rate: Rate,
    /// How often one remote address may fail to show a valid token before it is only told to wait. A valid token is
    /// served all the same, so that a program with an old token does not lock out the people beside it; tokens carry 256
    /// bits, so guessing is no danger, only load.
    pub failed_login_rate: Rate,
    /// Open connections. One that has shown no valid token makes room for a newer one; where there is none, the newer one is
    /// closed at once.
    pub connections: Limits,
    /// The file descriptors that they are part of.
    pub descriptors: Descriptors,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl ApiSettings {
    /// The defaults: no TLS, `/metrics` with a token.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            metrics_public: false,
            token_rate: Rate {
                burst: 200,
                per_second: 50.0,
            },
            failed_login_rate: Rate {
                burst: 10,
                per_second: 1.0 / 6.0,
            },
            connections: Limits {
                all: 512,
                per_remote: 256,
                kept_for_loopback: 16,
                eighths: 2,
            },
            descriptors: Descriptors::bounded(usize::MAX),
            timeouts: Timeouts::default(),
        }
    }
}
