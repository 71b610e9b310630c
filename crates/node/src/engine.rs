//! Which engine a node runs: Redis or Valkey, or one of the others that speak their protocol and are refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::info::Info;

/// The two engines that replicate by PSYNC as Sterna knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Redis,
    Valkey,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
        })
    }
}

/// A server version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// As the 7 of 7.0.15.
    pub major: u32,
    /// As the 0 of 7.0.15.
    pub minor: u32,
    /// As the 15 of 7.0.15.
    pub patch: u32,
}

impl Version {
    /// A version from its parts.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads `7.0.15`; what follows the third number is passed over, a missing third number is 0.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?;
        let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
        let patch: String = parts
            .next()
            .unwrap_or("0")
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        Some(Self::new(major, minor.parse().ok()?, patch.parse().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// An engine that Sterna works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Redis or Valkey.
    pub kind: EngineKind,
    /// Its own version, not the one that it claims compatibility with.
    pub version: Version,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.version)
    }
}

/// A server that Sterna refuses to work with, and how it was recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("this is {name} ({evidence}): {reason}")]
pub struct Unsupported {
    pub name: String,
    /// The field that says so.
    pub evidence: String,
    /// Why that rules it out.
    pub reason: String,
}

/// The oldest versions whose replication Sterna knows.
const REDIS_MIN: Version = Version::new(7, 0, 0);
const VALKEY_MIN: Version = Version::new(7, 2, 0);

/// Fields that only one other engine reports, and the engine.
const TELLTALE_FIELDS: &[(&str, &str)] = &[
    ("dragonfly_version", "Dragonfly"),
    ("garnet_version", "Garnet"),
    ("kvrocks_version", "Apache Kvrocks"),
    ("pika_version", "Pika"),
    ("redict_version", "Redict"),
    ("upstash_version", "Upstash"),
    ("rlec_version", "Redis Enterprise"),
    // KeyDB reports a Redis version and no name of its own; these come from its MVCC and storage layers.
    ("mvcc_depth", "KeyDB"),
    ("storage_provider", "KeyDB"),
];

/// What the `os` or `executable` field of a managed service or renamed engine contains.
const TELLTALE_TEXTS: &[(&str, &str, &str)] = &[
    ("executable", "keydb-server", "KeyDB"),
    ("executable", "dragonfly", "Dragonfly"),
    ("os", "Amazon ElastiCache", "Amazon ElastiCache"),
    ("os", "Amazon MemoryDB", "Amazon MemoryDB"),
];

impl Engine {
    /// Tells from `INFO` what runs there.
    pub fn recognise(info: &Info) -> Result<Self, Unsupported> {
        if let Some(other) = other_engine(info) {
            return Err(other);
        }
        let engine = Self::read(info).ok_or_else(|| Unsupported {
            name: "an unknown server".to_owned(),
            evidence: match info.get("redis_version") {
                Some(version) => format!("redis_version:{}", version.chars().take(60).collect::<String>()),
                None => "INFO has no redis_version".to_owned(),
            },
            reason: "only Redis and Valkey replicate in the way that Sterna relies on".to_owned(),
        })?;
        let oldest = match engine.kind {
            EngineKind::Redis => REDIS_MIN,
            EngineKind::Valkey => VALKEY_MIN,
        };
        if engine.version < oldest {
            return Err(Unsupported {
                name: engine.to_string(),
                evidence: "its version".to_owned(),
                reason: format!(
                    "Sterna needs {} {}.{} or later",
                    engine.kind, oldest.major, oldest.minor
                ),
            });
        }
        Ok(engine)
    }

    fn read(info: &Info) -> Option<Self> {
        if info.get("server_name") == Some("valkey") || info.get("valkey_version").is_some() {
            let version = Version::parse(info.get("valkey_version")?)?;
            return Some(Self {
                kind: EngineKind::Valkey,
                version,
            });
        }
        let version = Version::parse(info.get("redis_version")?)?;
        Some(Self {
            kind: EngineKind::Redis,
            version,
        })
    }

    /// Whether this is of the other's line or an older one: newer versions load what older ones write, and the patch
    /// releases of one line write and understand the same.
    pub fn is_of_line_up_to(self, other: Self) -> bool {
        let line = |engine: Self| (engine.version.major, engine.version.minor);
        line(self) <= line(other)
    }

    /// The highest RDB version that it writes and loads, where that is known.
    pub fn rdb_version(&self) -> Option<u32> {
        let Version { major, minor, patch } = self.version;
        sterna_protocol::rdb::rdb_version_max(self.kind == EngineKind::Valkey, (major, minor, patch))
    }
}

fn other_engine(info: &Info) -> Option<Unsupported> {
    let not_ours = |name: &str, field: &str, value: &str| Unsupported {
        name: name.to_owned(),
        evidence: format!("{field}:{}", value.chars().take(60).collect::<String>()),
        reason: "Sterna replicates between self-managed Redis or between self-managed Valkey services only"
            .to_owned(),
    };
    if info.is_sentinel() {
        return Some(Unsupported {
            name: "a Sentinel".to_owned(),
            evidence: "redis_mode:sentinel".to_owned(),
            reason: "write redis+sentinel://host:port/master-name to have it asked for the primary"
                .to_owned(),
        });
    }
    for (field, name) in TELLTALE_FIELDS {
        if let Some(value) = info.get(field) {
            return Some(not_ours(name, field, value));
        }
    }
    for (field, text, name) in TELLTALE_TEXTS {
        if let Some(value) = info.get(field).filter(|value| value.contains(text)) {
            return Some(not_ours(name, field, value));
        }
    }
    // Old Dragonfly reported `redis_version:df-v1.0.0`.
    if let Some(version) = info
        .get("redis_version")
        .filter(|version| version.starts_with("df-"))
    {
        return Some(not_ours("Dragonfly", "redis_version", version));
    }
    match info.get("server_name") {
        None | Some("" | "redis" | "valkey") => None,
        Some(name) => Some(not_ours(name, "server_name", name)),
    }
}
