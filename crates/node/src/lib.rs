//! Everything about talking to one Redis or Valkey node as a client, and the checks before replication starts.
//!
//! - [`address`], [`url`]: how a person names nodes and services; [`secret`]: where passwords are read from;
//! - [`tls`], [`connect`]: opening connections; [`client`]: a small client; [`info`], [`engine`]: what a node is;
//! - [`listen`]: ports that others connect to; [`socket`]: how every connection is set up;
//! - [`probe`]: asking a node again and again; [`sentinel`], [`upstream`]: which node of a service is the primary now;
//! - [`copying`]: whose data a node can load; [`config_file`]: may its configuration file be rewritten?
//! - [`client_settings`]: what clients rely on at a node beside its data;
//! - [`checks`]: is a node fit for a role, and can this source be copied to these targets?

pub mod adopt;
mod backlog;
pub mod checks;
pub mod client;
pub mod client_settings;
pub mod config_file;
pub mod connect;
pub mod copying;
pub mod engine;
pub mod files;
pub mod info;
pub mod listen;
pub mod probe;
mod race;
mod relay_endpoint;
pub mod secret;
pub mod sentinel;
pub mod socket;
pub mod tls;
pub mod upstream;
pub mod url;

pub use client::{Client, ClientError};
pub use connect::{ConnectError, Dialer, Stream};
pub use engine::{Engine, EngineKind, Unsupported, Version};
pub use info::{Info, ReplicationInfo, Role};
pub use listen::{ListenError, Listener};
pub use probe::{Probe, ProbeAnswer};
pub use relay_endpoint::RelayEndpoint;
pub use secret::LoadedSecret;
pub use sterna_protocol::address::{self, NodeAddress};
pub use tls::{ClientTls, ServerTls, TlsError, TlsSettings};
pub use upstream::{FindError, FoundPrimary, Upstream};
pub use url::{Endpoints, ServiceUrl};
