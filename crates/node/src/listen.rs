//! A listening port: bound with words that tell what to do where it is taken, and accepted from whatever happens. [`Places`]
//! says how many connections it may serve at once.

mod descriptors;
mod places;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::socket;
pub use descriptors::Descriptors;
pub use places::{Full, Limits, Place, Places, Proof, remote};

/// Pause after an accept that failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// Who listens, as a subject: `the relay`.
    pub name: &'static str,
    /// What it means that somebody else has the port, and what to do; whole sentences.
    pub when_taken: &'static str,
    /// What the kernel may keep of what a peer does not read, for each connection; none leaves it to the system.
    pub send_buffer_bytes: Option<usize>,
}

/// A port could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody has it.
    #[error(
        "{} can't listen on {address}: another process has that port. {}",
        purpose.name,
        purpose.when_taken
    )]
    PortTaken {
        /// The port, and what it is for.
        address: SocketAddr,
        /// See `address`.
        purpose: Purpose,
    },
    /// Any other reason.
    #[error("{} can't listen on {address}: {source}", purpose.name)]
    Failed {
        /// The port, and what it is for.
        address: SocketAddr,
        /// See `address`.
        purpose: Purpose,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    name: &'static str,
    paused_until: Option<Instant>,
}

impl Listener {
    /// Binds a port; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, purpose: Purpose) -> Result<Self, ListenError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::PortTaken { address, purpose },
            _ => ListenError::Failed {
                address,
                purpose,
                source,
            },
        };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        if let Some(bytes) = purpose.send_buffer_bytes {
            // Accepted connections inherit it.
            sockopt::set_socket_send_buffer_size(&tcp, bytes).map_err(|error| failed(error.into()))?;
        }
        Ok(Self {
            address: tcp.local_addr().map_err(failed)?,
            tcp,
            name: purpose.name,
            paused_until: None,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, set up as every one is. An accept that fails is logged and tried again after a
    /// pause. It can be given up and called again: nothing is lost, and the pause is kept.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(until) = self.paused_until {
                sleep_until(until).await;
                self.paused_until = None;
            }
            match self.tcp.accept().await {
                Ok((tcp, peer)) => {
                    if let Err(error) = socket::prepare(&tcp) {
                        tracing::debug!(%error, %peer, listener = self.name, "a connection has no keepalive");
                    }
                    return (tcp, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, listener = self.name, "a connection can't be accepted");
                    self.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: Purpose = Purpose {
        name: "the relay",
        when_taken: "Stop that process.",
        send_buffer_bytes: Some(64 << 10),
    };

    #[tokio::test]
    async fn a_taken_port_is_told_with_what_to_do() {
        let mut first = Listener::bind(([127, 0, 0, 1], 0).into(), PURPOSE)
            .await
            .expect("a port is free");
        let error = Listener::bind(first.address(), PURPOSE)
            .await
            .expect_err("it is taken");
        let said = format!(
            "the relay can't listen on {}: another process has that port. Stop that process.",
            first.address()
        );
        assert_eq!(error.to_string(), said);
        let address = first.address();
        let (accepted, connected) = tokio::join!(first.accept(), TcpStream::connect(address));
        let client = connected.expect("it listens");
        assert_eq!(accepted.1, client.local_addr().expect("connected"));
        assert!(accepted.0.nodelay().expect("asked"));
        assert!(sockopt::socket_keepalive(&accepted.0).expect("asked"));
    }
}
