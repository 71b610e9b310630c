//! The beginning of an RDB: magic, version and auxiliary fields.

use serde::{Deserialize, Serialize};

use crate::{Offset, ReplicationId};

/// How many bytes of an RDB are looked at for auxiliary fields.
pub const RDB_HEADER_BYTES_MAX: usize = 64 << 10;

/// Whose format an RDB is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RdbMagic {
    /// `REDIS` and four digits.
    Redis,
    /// `VALKEY` and three digits (RDB version 80 and later).
    Valkey,
}

/// What an RDB says about itself before its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdbHeader {
    /// Whose format it is.
    pub magic: RdbMagic,
    pub version: u32,
    /// The auxiliary fields in order, numbers as decimal text. Compressed ones (no server writes them) are left out.
    pub aux: Vec<(String, String)>,
    /// Whether the fields went on past [`RDB_HEADER_BYTES_MAX`] and were not read to their end.
    pub cut: bool,
}

impl RdbHeader {
    /// The first auxiliary field of this name.
    pub fn aux(&self, name: &str) -> Option<&str> {
        self.aux
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The version of the server that wrote it (`redis-ver` or `valkey-ver`).
    pub fn server_version(&self) -> Option<&str> {
        self.aux("valkey-ver").or_else(|| self.aux("redis-ver"))
    }

    /// The database the replication stream is in after this RDB; written where the RDB's maker is a replica.
    pub fn repl_stream_db(&self) -> Option<u32> {
        self.aux("repl-stream-db")?.parse().ok()
    }

    /// The history it is a snapshot of.
    pub fn repl_id(&self) -> Option<ReplicationId> {
        self.aux("repl-id")?.parse().ok()
    }

    /// Where in that history.
    pub fn repl_offset(&self) -> Option<Offset> {
        self.aux("repl-offset")?.parse().ok().map(Offset::new)
    }

    /// The memory its maker used, in bytes.
    pub fn used_mem_bytes(&self) -> Option<u64> {
        self.aux("used-mem")?.parse().ok()
    }

    /// When it was made, in seconds since 1970.
    pub fn ctime_s(&self) -> Option<u64> {
        self.aux("ctime")?.parse().ok()
    }
}
