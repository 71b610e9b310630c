//! The listening port: one task that accepts and takes directories over, and one for each connection.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sterna_model::Routes;
use sterna_node::listen::{Descriptors, Full, Limits, Place, Places, Purpose};
use sterna_node::{ListenError, Listener, ServerTls};
use sterna_protocol::NodeAddress;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::answers::Identity;
use crate::connection::{self, UNTRUSTED_MAX};
use crate::logins::Logins;
use crate::session::Session;
use crate::shared::Shared;

/// How many connections there may be. One that has asked nothing of sense makes room for a newer one; where there is none, the newer
/// one is told so and closed. Each is a file descriptor of the gateway.
const CONNECTIONS: Limits = Limits {
    all: 4096,
    per_remote: 2048,
    kept_for_loopback: 16,
    eighths: 4,
};
/// What the port is for.
const PURPOSE: Purpose = Purpose {
    name: "the discovery endpoint",
    when_taken: "Replication is not affected, but clients would not find their primary here; stop that process or choose \
                 another discovery port",
    send_buffer_bytes: Some(64 << 10),
};
/// A refusal so long after the one before is told anew.
const REFUSALS_APART: Duration = Duration::from_secs(60);
/// Hexadecimal digits of an id.
const ID_LEN: usize = 40;

/// Where to listen, and how.
#[derive(Debug, Clone)]
pub struct DiscoverySettings {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS, where clients speak it to their Sentinels.
    pub tls: Option<ServerTls>,
    /// Who may ask.
    pub logins: Logins,
    /// How clients reach the endpoint, if that is not where it listens.
    pub announce: Option<NodeAddress>,
    /// What `SENTINEL MYID` answers: 40 hexadecimal digits that stay the same.
    pub id: String,
    /// The file descriptors that its connections are part of.
    pub descriptors: Descriptors,
}

/// The discovery endpoint could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// It has no port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The id is none.
    #[error(
        "the discovery endpoint's id must be {ID_LEN} hexadecimal digits in lower case, and this is not: {id:?}"
    )]
    BadId {
        /// What was given.
        id: String,
    },
}

/// The discovery endpoint; it ends, with all its connections, when this is dropped.
#[derive(Debug)]
pub struct Discovery {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Discovery {
    /// Binds the port and starts to answer from what `routes` holds now, and from every later value. When its sender
    /// is dropped, the last value stays.
    pub async fn start(
        settings: DiscoverySettings,
        routes: watch::Receiver<Arc<Routes>>,
    ) -> Result<Self, DiscoveryError> {
        Self::start_with(settings, routes, CONNECTIONS).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn start_with(
        settings: DiscoverySettings,
        mut routes: watch::Receiver<Arc<Routes>>,
        connections: Limits,
    ) -> Result<Self, DiscoveryError> {
        if !is_id(&settings.id) {
            return Err(DiscoveryError::BadId { id: settings.id });
        }
        let listener = Listener::bind(settings.listen, PURPOSE).await?;
        let address = listener.address();
        let identity = Identity {
            address,
            id: settings.id,
            announce: settings.announce,
        };
        let first = Arc::clone(&routes.borrow_and_update());
        let server = Server {
            listener,
            tls: settings.tls,
            logins: settings.logins,
            shared: Arc::new(Shared::new(identity, first)),
            connections: JoinSet::new(),
            places: Places::new(connections, settings.descriptors),
            refused_at: None,
            next_id: 1,
        };
        Ok(Self {
            address,
            task: tokio::spawn(server.run(routes)),
        })
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

struct Server {
    listener: Listener,
    tls: Option<ServerTls>,
    logins: Logins,
    shared: Arc<Shared>,
    connections: JoinSet<()>,
    places: Places,
    refused_at: Option<Instant>,
    next_id: u64,
}

impl Server {
    async fn run(mut self, mut routes: watch::Receiver<Arc<Routes>>) {
        let mut routes_live = true;
        loop {
            tokio::select! {
                // A new primary before new connections: who asks next shall hear of it.
                biased;
                changed = routes.changed(), if routes_live => match changed {
                    Ok(()) => self.shared.update(Arc::clone(&routes.borrow_and_update())),
                    Err(_) => routes_live = false,
                },
                Some(_) = self.connections.join_next() => {
                    self.shared.set_connections(self.connections.len());
                }
                (tcp, peer) = self.listener.accept() => self.accept(tcp, peer),
            }
        }
    }

    fn accept(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let place = match self.places.take(peer.ip()) {
            Ok(place) => place,
            Err(full) => {
                self.warn_of(peer, full);
                refuse(tcp, self.tls.is_some());
                return;
            }
        };
        let id = self.next_id;
        self.next_id += 1;
        let session = Session::new(id, peer, self.logins.clone(), self.shared.uptime());
        let (tls, shared) = (self.tls.clone(), Arc::clone(&self.shared));
        self.connections.spawn(async move {
            let reason = serve(tcp, tls, session, shared, place).await;
            tracing::debug!(%peer, reason, "discovery connection ended");
        });
        self.shared.set_connections(self.connections.len());
    }

    /// Once for each time that there are too many, not for each that is refused.
    fn warn_of(&mut self, peer: SocketAddr, full: Full) {
        let lately = self.refused_at.is_some_and(|at| at.elapsed() < REFUSALS_APART);
        if lately {
            tracing::debug!(%peer, %full, "a discovery connection was refused");
        } else {
            let connections = self.connections.len();
            tracing::warn!(%peer, %full, connections, "discovery connections are refused");
        }
        self.refused_at = Some(Instant::now());
    }
}

async fn serve(
    tcp: TcpStream,
    tls: Option<ServerTls>,
    session: Session,
    shared: Arc<Shared>,
    mut place: Place,
) -> String {
    let (since, proof) = (Instant::now(), place.proof().clone());
    let served = async {
        let Some(tls) = tls else {
            return connection::run(tcp, session, since, shared, proof).await;
        };
        match tls.accept(tcp, UNTRUSTED_MAX).await {
            Ok(stream) => connection::run(stream, session, since, shared, proof).await,
            Err(reason) => reason,
        }
    };
    tokio::select! {
        reason = served => reason,
        () = place.given_up() => "it had asked nothing of sense, and made room for another".to_owned(),
    }
}

/// Says why, as a server would, without waiting for anything. Over TLS there is nobody to talk to yet.
fn refuse(tcp: TcpStream, tls: bool) {
    if tls {
        return;
    }
    if let Ok(mut tcp) = tcp.into_std() {
        // It goes into the empty buffer of a new socket, or nowhere.
        drop(tcp.write(b"-ERR max number of clients reached\r\n"));
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ping(client: &mut TcpStream) -> String {
        client.write_all(b"PING\r\n").await.expect("written");
        let mut answer = [0; 7];
        client.read_exact(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so_and_room_is_used_again() {
        let settings = DiscoverySettings {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
            logins: Logins::default(),
            announce: None,
            id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            descriptors: Descriptors::bounded(usize::MAX),
        };
        let two = Limits {
            all: 2,
            per_remote: 2,
            ..CONNECTIONS
        };
        let (_sender, receiver) = watch::channel(Arc::default());
        let discovery = Discovery::start_with(settings, receiver, two)
            .await
            .expect("a port is free");
        let connect = || TcpStream::connect(discovery.address());
        let (mut first, mut second) = (
            connect().await.expect("it listens"),
            connect().await.expect("it listens"),
        );
        assert_eq!(ping(&mut first).await, "+PONG\r\n");
        assert_eq!(ping(&mut second).await, "+PONG\r\n");
        let mut refused = String::new();
        let mut third = connect().await.expect("it listens");
        third.read_to_string(&mut refused).await.expect("the end comes");
        assert_eq!(refused, "-ERR max number of clients reached\r\n");

        first.write_all(b"QUIT\r\n").await.expect("written");
        let mut goodbye = String::new();
        first.read_to_string(&mut goodbye).await.expect("the end comes");
        let mut fourth = connect().await.expect("it listens");
        assert_eq!(ping(&mut fourth).await, "+PONG\r\n");
        assert_eq!(ping(&mut second).await, "+PONG\r\n");
    }

    #[test]
    fn an_id_is_forty_small_hexadecimal_digits() {
        assert!(is_id("0123456789abcdef0123456789abcdef01234567"));
        for bad in [
            "",
            "0123456789abcdef0123456789abcdef0123456",
            "0123456789ABCDEF0123456789abcdef01234567",
            "g123456789abcdef0123456789abcdef01234567",
        ] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
