//! One listening port for all shards of a gateway.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sterna_node::listen::{Descriptors, Limits, Place, Places, Purpose};
use sterna_node::{ListenError, Listener, ServerTls};
use sterna_protocol::Secret;
use tokio::net::TcpStream;

use super::session;
use super::socket::Socket;
use crate::shard::{FollowerId, LoginLimit, ShardHandle};

/// Connections that have not finished their handshake. For one more, the oldest of them is given up, of the address that has most:
/// half-open ones can't keep a replica node out.
const HANDSHAKES: Limits = Limits {
    all: 256,
    per_remote: 128,
    kept_for_loopback: 0,
    eighths: 1,
};
/// What the port is for.
const PURPOSE: Purpose = Purpose {
    name: "the relay",
    when_taken: "Nothing was changed; stop that process or choose another port with --relay-addr",
    send_buffer_bytes: None,
};

/// Where to listen and how.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS, where replica nodes use `tls-replication yes`.
    pub tls: Option<ServerTls>,
    /// The file descriptors that unfinished handshakes are part of.
    pub descriptors: Descriptors,
}

/// A shard that nodes may attach to, and the secrets that open it.
#[derive(Debug, Clone)]
pub struct ShardAccess {
    /// The shard; its name is the user name.
    pub shard: ShardHandle,
    /// Those who may attach.
    pub logins: Vec<Login>,
}

/// Nodes that may attach with one secret.
#[derive(Debug, Clone)]
pub struct Login {
    /// Whose they are: tells them from those with another secret.
    pub name: String,
    /// Their password.
    pub secret: Secret,
    /// How many nodes there are.
    pub nodes: usize,
}

impl Login {
    /// As many as there are nodes may follow, and two more: a connection that nobody has seen the end of is one as well.
    pub(super) fn limit(&self) -> LoginLimit {
        LoginLimit {
            name: self.name.clone(),
            connections_max: self.nodes.max(1) + 2,
        }
    }
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
    pub async fn start(settings: RelaySettings) -> Result<Self, ListenError> {
        let listener = Listener::bind(settings.listen, PURPOSE).await?;
        let address = listener.address();
        let shards = Shards::default();
        let task = tokio::spawn(accept(listener, settings, shards.clone()));
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

async fn accept(mut listener: Listener, settings: RelaySettings, shards: Shards) {
    let handshakes = Places::new(HANDSHAKES, settings.descriptors);
    let mut next_id = 1;
    loop {
        let (tcp, peer) = listener.accept().await;
        let id = FollowerId(next_id);
        next_id += 1;
        match handshakes.take(peer.ip()) {
            Ok(place) => {
                let tls = settings.tls.clone();
                tokio::spawn(serve(tcp, peer, id, tls, shards.clone(), place));
            }
            Err(full) => tracing::debug!(%peer, %full, "a relay connection was closed at once"),
        }
    }
}

async fn serve(
    tcp: TcpStream,
    peer: SocketAddr,
    id: FollowerId,
    tls: Option<ServerTls>,
    shards: Shards,
    mut handshake: Place,
) {
    let tcp = Socket::new(tcp);
    let ended = match tls {
        None => session::run(tcp, peer, id, shards, handshake).await,
        Some(tls) => {
            let accepted = tokio::select! {
                accepted = tls.accept(tcp, session::HANDSHAKE_MAX) => accepted,
                () = handshake.given_up() => return,
            };
            match accepted {
                Ok(stream) => session::run(stream, peer, id, shards, handshake).await,
                Err(reason) => Err(reason),
            }
        }
    };
    if let Err(reason) = ended {
        tracing::debug!(%peer, reason, "relay connection ended");
    }
}
