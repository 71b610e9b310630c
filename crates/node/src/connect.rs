//! Opening a connection to a node: names resolved anew each time, every address tried, TLS on top where asked for.

mod stream;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sterna_protocol::Credentials;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub use stream::Stream;

use crate::address::NodeAddress;
use crate::socket;
use crate::tls::{ClientTls, TlsError};

/// How long one connection attempt may take where nothing else is said.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A name may resolve to many addresses; no more than these are tried in one attempt.
const ADDRESSES_TRIED_MAX: usize = 8;

/// Everything needed to reach one node, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialer {
    /// Where it listens.
    pub address: NodeAddress,
    /// Set when it speaks TLS.
    pub tls: Option<ClientTls>,
    /// As whom to log in.
    pub credentials: Credentials,
    /// The longest that name, TCP and TLS may take, each.
    pub connect_timeout: Duration,
}

impl Dialer {
    /// A dialer without TLS and credentials.
    pub fn new(address: NodeAddress) -> Self {
        Self {
            address,
            tls: None,
            credentials: Credentials::default(),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// The same way of connecting, to another address.
    #[must_use]
    pub fn at(&self, address: NodeAddress) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    /// Resolves the name and connects to the first of its addresses that answers. Does not log in.
    pub async fn dial(&self) -> Result<Stream, ConnectError> {
        let addresses = self.resolve().await?;
        let tcp = self.connect_any(&addresses).await?;
        let prepared = socket::prepare(&tcp);
        prepared.map_err(|source| self.failed(Cause::Io(source)))?;
        let Some(tls) = &self.tls else {
            return Ok(Stream::Plain(tcp));
        };
        let tls_failed = |error| self.failed(Cause::Tls(error));
        let name = tls.name_for(&self.address.host).map_err(tls_failed)?;
        let handshake = tls.connector().connect(name, tcp);
        match tokio::time::timeout(self.connect_timeout, handshake).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(tls_failed(handshake_error(&error))),
            Err(_) => Err(tls_failed(TlsError::NoAnswer {
                waited_ms: millis(self.connect_timeout),
            })),
        }
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let lookup = tokio::net::lookup_host((self.address.host.as_str(), self.address.port));
        match tokio::time::timeout(self.connect_timeout, lookup).await {
            Ok(Ok(found)) => {
                let addresses: Vec<_> = found.collect();
                if addresses.is_empty() {
                    return Err(self.failed(Cause::NameNotFound("it has no address".to_owned())));
                }
                Ok(addresses)
            }
            Ok(Err(error)) => Err(self.failed(Cause::NameNotFound(error.to_string()))),
            Err(_) => Err(self.failed(Cause::NameNotFound(format!(
                "the name servers gave no answer within {} ms",
                millis(self.connect_timeout)
            )))),
        }
    }

    /// Tries the addresses in turn; each gets its share of the time that is left.
    async fn connect_any(&self, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let deadline = Instant::now() + self.connect_timeout;
        let mut failures = Vec::new();
        let (tried, untried) = addresses.split_at(addresses.len().min(ADDRESSES_TRIED_MAX));
        for (place, address) in tried.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(tried.len() - place).unwrap_or(u32::MAX);
            match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => failures.push(Cause::from_connect(error)),
                Err(_) => failures.push(Cause::TimedOut(millis(self.connect_timeout))),
            }
        }
        if !untried.is_empty() {
            failures.push(Cause::Untried(untried.len()));
        }
        Err(self.failed(Cause::of_all(failures)))
    }

    fn failed(&self, cause: Cause) -> ConnectError {
        ConnectError {
            address: self.address.clone(),
            cause,
        }
    }
}

/// A connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("can't connect to {address}: {cause}")]
pub struct ConnectError {
    pub address: NodeAddress,
    /// Why not.
    #[source]
    pub cause: Cause,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The name does not resolve.
    #[error("the name does not resolve ({0})")]
    NameNotFound(String),
    /// Nothing listens there, at any address that the name has.
    #[error("the connection was refused")]
    Refused,
    /// Nothing answered.
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    /// The name has more addresses than are tried, and those that were refuse.
    #[error("it has {0} more addresses, which were not tried; the others refuse")]
    Untried(usize),
    /// There is no way there.
    #[error("the host can't be reached ({0})")]
    Unreachable(String),
    /// TLS failed on top of a working connection.
    #[error(transparent)]
    Tls(TlsError),
    /// Anything else.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl ConnectError {
    /// What to do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self.cause {
            Cause::NameNotFound(_) => "check the spelling of the host and this machine's DNS",
            Cause::Refused => {
                "check that the server runs, listens on this address (`bind`) and port, and that this is the right port"
            }
            Cause::TimedOut(_) => {
                "check firewalls and security groups between here and there, and the address"
            }
            Cause::Untried(_) => "give it a name with fewer addresses, of which one is the server's",
            Cause::Unreachable(_) => "check the routes and the network between here and there",
            Cause::Tls(_) => "check the TLS settings of both sides",
            Cause::Io(_) => "check this machine's network and limits",
        }
    }
}

impl Cause {
    /// Why none of a name's addresses could be reached, of which there is one at least. That one refuses says nothing of
    /// another that is silent.
    fn of_all(mut causes: Vec<Self>) -> Self {
        let silent = causes.iter().position(|cause| !matches!(cause, Self::Refused));
        match silent {
            Some(place) => causes.swap_remove(place),
            None => causes.pop().unwrap_or(Self::Refused),
        }
    }

    fn from_connect(error: io::Error) -> Self {
        use io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::Unreachable("the kernel gave up".to_owned()),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
                Self::Unreachable(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

fn handshake_error(error: &io::Error) -> TlsError {
    TlsError::from_io(error).unwrap_or_else(|| match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => TlsError::ClosedInHandshake,
        _ => TlsError::Other(error.to_string()),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_where_all_of_its_addresses_refuse() {
        let timed_out = || Cause::TimedOut(1000);
        for causes in [
            vec![timed_out(), Cause::Refused],
            vec![Cause::Refused, timed_out()],
        ] {
            assert!(matches!(Cause::of_all(causes), Cause::TimedOut(_)));
        }
        let all = vec![Cause::Refused, Cause::Refused];
        assert!(matches!(Cause::of_all(all), Cause::Refused));
    }

    #[tokio::test]
    async fn a_name_with_more_addresses_than_are_tried_is_not_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let dialer = Dialer::new(NodeAddress::new("many".to_owned(), address.port()));
        for (addresses, is_refused) in [(ADDRESSES_TRIED_MAX, true), (ADDRESSES_TRIED_MAX + 1, false)] {
            let error = dialer.connect_any(&vec![address; addresses]).await.unwrap_err();
            assert_eq!(matches!(error.cause, Cause::Refused), is_refused, "{error}");
        }
    }
}
