//! One listening port for all shards of a gateway.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sterna_node::ServerTls;
use sterna_protocol::Secret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::session;
use crate::shard::{FollowerId, ShardHandle};

/// Connections that have not finished their handshake; for one more, the oldest of them is given up, so that half-open
/// ones can't keep a replica node out.
const HANDSHAKES_MAX: usize = 256;
/// Pause after an accept that failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen and how.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS, where replica nodes use `tls-replication yes`.
    pub tls: Option<ServerTls>,
}

/// A shard that nodes may attach to, and the secrets that open it.
#[derive(Debug, Clone)]
pub struct ShardAccess {
    /// The shard; its name is the user name.
    pub shard: ShardHandle,
    /// The passwords, any of which does.
    pub secrets: Vec<Secret>,
}

/// The relay could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The port is taken.
    #[error(
        "the relay can't listen on {listen}: another process has that port. Nothing was changed; stop that process or \
         choose another port with --relay-addr"
    )]
    PortTaken {
        /// Where it should have listened.
        listen: SocketAddr,
    },
    /// Any other reason.
    #[error("the relay can't listen on {listen}: {source}")]
    Listen {
        /// Where it should have listened.
        listen: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// The listening side; ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shards: Shards,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Binds the port and starts to accept; shards are added with [`Relay::open`].
    pub async fn start(settings: RelaySettings) -> Result<Self, RelayError> {
        let listen = settings.listen;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => RelayError::PortTaken { listen },
            _ => RelayError::Listen { listen, source },
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shards = Shards::default();
        let task = tokio::spawn(accept(listener, settings.tls, shards.clone()));
        Ok(Self {
            address,
            shards,
            task,
        })
    }

    /// Lets nodes attach to a shard, by its name, with the given secrets and no others. Those that are attached stay.
    pub fn open(&self, access: ShardAccess) {
        self.shards.lock().insert(access.shard.name().to_owned(), access);
    }

    /// Lets no more nodes attach to the shard of this name; those that are attached stay.
    pub fn close(&self, name: &str) {
        self.shards.lock().remove(name);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The shards of a gateway by user name.
#[derive(Debug, Clone, Default)]
pub(super) struct Shards(Arc<Mutex<HashMap<String, ShardAccess>>>);

impl Shards {
    /// The shard of this name, if nodes may attach to it.
    pub(super) fn named(&self, name: &str) -> Option<ShardAccess> {
        self.lock().get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ShardAccess>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, tls: Option<ServerTls>, shards: Shards) {
    let handshakes = Handshakes::default();
    let next_id = AtomicU64::new(1);
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                let id = FollowerId(next_id.fetch_add(1, Ordering::Relaxed));
                tokio::spawn(serve(
                    tcp,
                    peer,
                    id,
                    tls.clone(),
                    shards.clone(),
                    handshakes.begin(id),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "the relay can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    tcp: TcpStream,
    peer: SocketAddr,
    id: FollowerId,
    tls: Option<ServerTls>,
    shards: Shards,
    mut handshake: Handshake,
) {
    drop(tcp.set_nodelay(true));
    let ended = match tls {
        None => session::run(tcp, peer, id, shards, handshake).await,
        Some(tls) => {
            let accepted = tokio::select! {
                accepted = tokio::time::timeout(session::HANDSHAKE_MAX, tls.acceptor().accept(tcp)) => accepted,
                () = handshake.given_up() => return,
            };
            match accepted {
                Ok(Ok(stream)) => session::run(stream, peer, id, shards, handshake).await,
                Ok(Err(error)) => Err(format!("TLS failed: {error}")),
                Err(_) => Err("TLS took too long".to_owned()),
            }
        }
    };
    if let Err(reason) = ended {
        tracing::debug!(%peer, reason, "relay connection ended");
    }
}

/// The connections that have not finished their handshake, the oldest first.
#[derive(Debug, Clone, Default)]
struct Handshakes(Arc<Mutex<BTreeMap<u64, oneshot::Sender<()>>>>);

impl Handshakes {
    /// Counts one more; the oldest is given up where there are too many.
    fn begin(&self, id: FollowerId) -> Handshake {
        let (keep, given_up) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.insert(id.0, keep);
        if waiting.len() > HANDSHAKES_MAX {
            drop(waiting.pop_first());
        }
        Handshake {
            id: id.0,
            all: self.clone(),
            given_up,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    id: u64,
    all: Handshakes,
    given_up: oneshot::Receiver<()>,
}

impl Handshake {
    /// Returns when this one has to make room for a newer one.
    pub(super) async fn given_up(&mut self) {
        // Nothing is ever sent: the other end is dropped.
        drop((&mut self.given_up).await);
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}
