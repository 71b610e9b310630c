//! What a shard is told when it starts. Everything is parsed and checked before it gets here.

use std::path::PathBuf;
use std::time::Duration;

use sterna_log::LogSettings;
use sterna_model::Acknowledge;
use sterna_node::RelayEndpoint;

/// Memory that a shard's hot tail may take, unless told otherwise, in bytes.
pub const TAIL_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;

/// The largest command or transaction of the stream, unless told otherwise, in bytes.
pub const UNIT_BYTES_MAX_DEFAULT: u64 = 1024 * 1024 * 1024;

/// Where the relay is found from the primary's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// A name or address; none means the address from which we connect.
    pub host: Option<String>,
    pub port: u16,
}

impl From<&RelayEndpoint> for Announce {
    fn from(relay: &RelayEndpoint) -> Self {
        match &relay.announced {
            Some(named) => Self {
                host: Some(named.host.clone()),
                port: named.port,
            },
            None => Self {
                host: (!relay.listen.ip().is_unspecified()).then(|| relay.listen.ip().to_string()),
                port: relay.listen.port(),
            },
        }
    }
}

/// What is done about a log whose files can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnusableLog {
    /// It is left as it is, and the shard does not start.
    Refuse,
    /// Its files are kept aside, and another begins in its place.
    KeepAside,
}

#[derive(Debug, Clone)]
pub struct ShardSettings {
    /// Name for logs and metrics, and the user name with which replica nodes attach.
    pub name: String,
    /// Directory of the replication log; nothing else may live in it.
    pub log_dir: PathBuf,
    /// What is done about it where its files can't be used.
    pub unusable_log: UnusableLog,
    /// Segment size and retention.
    pub log: LogSettings,
    /// Bytes of recent stream kept in memory.
    pub tail_bytes: u64,
    /// The largest unit of the stream, in bytes: one that is larger ends the link, and the log begins anew after it.
    pub unit_bytes_max: u64,
    /// When bytes are acknowledged to the primary.
    pub acknowledge: Acknowledge,
    /// A person said that a history which does not continue ours may overwrite the replica nodes: taken once.
    pub accept_new_history: bool,
    /// Where the relay is found, as announced to the primary, which can then hand over to it with `FAILOVER`.
    pub announce: Option<Announce>,
    /// The primary's writes depend on our acknowledgements: they are a lease, and only a primary that shows signs of
    /// life is given it.
    pub lease: bool,
    /// For how long who says nothing is waited for.
    pub silence: SilenceLimits,
}

/// For how long a peer that says nothing is waited for, whatever is on its way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilenceLimits {
    /// A primary: its stream, or the snapshot that it makes. It pings every `repl-ping-replica-period` (10 s unless set).
    pub primary: Duration,
    /// A replica node that follows the stream: it acknowledges once a second. Longer than this it holds up no `WAIT`.
    pub replica: Duration,
    /// A replica node that is given a full copy or loads it. Servers send newlines meanwhile, but not while they do one
    /// thing that takes long, as when they free a large key; and a copy that is given up begins anew.
    pub replica_loading: Duration,
}

impl Default for SilenceLimits {
    fn default() -> Self {
        Self {
            primary: Duration::from_secs(60),
            replica: Duration::from_secs(10),
            replica_loading: Duration::from_secs(300),
        }
    }
}

/// How often the log is synced to disk when nobody waits for it.
pub(crate) const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How often the primary hears an acknowledgement, as from any replica.
pub(crate) const ACK_INTERVAL: Duration = Duration::from_secs(1);
/// Unwritten stream is handed to the disk after this long...
pub(crate) const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// ...or when there is this much of it, in bytes.
pub(crate) const FLUSH_BYTES: u64 = 1024 * 1024;
/// So much may wait for the disk however small the tail is: more than [`FLUSH_BYTES`], because a part of a unit goes
/// to disk only when there is that much of it.
pub(crate) const UNWRITTEN_BYTES_MIN: u64 = 4 * FLUSH_BYTES;
/// Bytes handed to one follower's socket and not yet taken by it.
pub(crate) const IN_FLIGHT_BYTES_MAX: u64 = 1024 * 1024;
/// Recent bytes of an arriving snapshot kept in memory for the followers that keep up.
pub(crate) const SNAPSHOT_WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// A waiting follower hears a newline this often.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// A follower whose place another connection has taken is another node if it says something after this long, and gone if
/// it has said nothing for as long. A node acknowledges once a second.
pub(crate) const REPLACED_SILENCE_MAX: Duration = Duration::from_secs(2);
/// A connection that was let go has so long to take what it was handed.
pub(crate) const LET_GO_MAX: Duration = Duration::from_secs(5);
/// While the disk refuses writes, it is tried again this often.
pub(crate) const DISK_RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// A snapshot that failed is asked for again after this long, and twice as long each time...
pub(crate) const SNAPSHOT_PAUSE_MIN: Duration = Duration::from_secs(1);
/// ...up to this, so that the primary does not fork in a loop.
pub(crate) const SNAPSHOT_PAUSE_MAX: Duration = Duration::from_secs(10);
