//! What a node says about itself in `INFO`, typed.

mod replication;

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

pub use replication::{AttachedReplica, ReplicationInfo, Role};

/// The module by which Valkey 9.1 runs Lua scripts, linked in: no data is of it, and servers without it run them all the same.
const SCRIPTS_OF_VALKEY: &str = "lua";

/// The fields of an `INFO` answer. What a server does not report is `None`, never a guess.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    text: String,
    /// Sorted by name. A node is asked several times a second: nothing is allocated for a field.
    fields: Vec<Field>,
    /// The one field that repeats, once for each loaded module.
    modules: Vec<String>,
}

/// Where a field's name and value stand in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

/// A field of `INFO` that is missing or not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("INFO has {} for {field}", found.as_ref().map_or_else(|| "nothing".to_owned(), |text| format!("{text:?}")))]
pub struct InfoError {
    pub field: &'static str,
    /// What stands there.
    pub found: Option<String>,
}

/// The server process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// 40 hexadecimal digits that are new at every start of the process.
    pub run_id: Option<String>,
    pub process_id: Option<u32>,
    /// How long it has been running, in seconds.
    pub uptime_s: Option<u64>,
    /// What its wall clock shows, in microseconds since 1970.
    pub clock_micros: Option<u64>,
    /// The Redis version, or the one that it claims compatibility with.
    pub redis_version: Option<String>,
    /// Its operating system.
    pub os: Option<String>,
    /// The path of its executable.
    pub executable: Option<String>,
    /// Its configuration file; `None` where it was started without one.
    pub config_file: Option<String>,
    pub tcp_port: Option<u16>,
}

/// Memory use and its limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Bytes in use.
    pub used_bytes: Option<u64>,
    /// Of them, bytes that hold data.
    pub dataset_bytes: Option<u64>,
    /// The limit in bytes; `None` means that there is none.
    pub maxmemory_bytes: Option<u64>,
    /// What happens at the limit, as `noeviction`.
    pub policy: Option<String>,
    /// Physical memory of its machine in bytes.
    pub system_bytes: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersistenceInfo {
    /// It loads a data set and answers little.
    pub loading: bool,
    /// The append-only file is on.
    pub aof_enabled: bool,
    /// A background save runs.
    pub rdb_bgsave_in_progress: bool,
}

impl Info {
    /// Takes every `name:value` line. Headings, empty and foreign lines are passed over; of a name that repeats the last
    /// line counts.
    pub fn parse(text: &[u8]) -> Self {
        let text = sterna_protocol::text::lines(&String::from_utf8_lossy(text)).into_owned();
        let (mut fields, mut modules) = (Vec::new(), Vec::new());
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let (at, shown) = (start, line.trim_end());
            start += line.len();
            let Some(colon) = shown.find(':').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let (name, value) = (&shown[..colon], &shown[colon + 1..]);
            match value.strip_prefix("name=") {
                Some(module) if name == "module" => {
                    let module = module.split(',').next().unwrap_or(module);
                    if module != SCRIPTS_OF_VALKEY {
                        modules.push(module.to_owned());
                    }
                }
                _ => fields.push(Field {
                    name: at..at + colon,
                    value: at + colon + 1..at + shown.len(),
                }),
            }
        }
        fields.reverse();
        fields.sort_by(|one, other| text[one.name.clone()].cmp(&text[other.name.clone()]));
        fields.dedup_by(|one, other| text[one.name.clone()] == text[other.name.clone()]);
        Self {
            text,
            fields,
            modules,
        }
    }

    /// A field as the server wrote it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = self
            .fields
            .binary_search_by(|field| self.text[field.name.clone()].cmp(name));
        place
            .ok()
            .map(|place| &self.text[self.fields[place].value.clone()])
    }

    /// A field as a number or other typed value, `None` where it is missing or not one.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).and_then(|text| text.parse().ok())
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|field| (&self.text[field.name.clone()], &self.text[field.value.clone()]))
    }

    /// The replication section.
    pub fn replication(&self) -> Result<ReplicationInfo, InfoError> {
        replication::parse(self)
    }

    /// The node's role.
    pub fn role(&self) -> Result<Role, InfoError> {
        replication::role(self)
    }

    /// The server section.
    pub fn server(&self) -> ServerInfo {
        let text = |name| self.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        ServerInfo {
            run_id: text("run_id"),
            process_id: self.parsed("process_id"),
            uptime_s: self.parsed("uptime_in_seconds"),
            clock_micros: self.parsed("server_time_usec"),
            redis_version: text("redis_version"),
            os: text("os"),
            executable: text("executable"),
            config_file: text("config_file"),
            tcp_port: self.parsed("tcp_port"),
        }
    }

    /// Whether the process is about to end and waits until every replica has acknowledged everything (Redis 7.0 and later).
    pub fn shuts_down(&self) -> bool {
        self.get("shutdown_in_milliseconds").is_some()
    }

    /// How many commands were answered with `-READONLY` since the process began: clients that want to write to a replica.
    pub fn writes_refused(&self) -> u64 {
        let errors = self.get("errorstat_READONLY");
        let count = errors.and_then(|errors| errors.strip_prefix("count=")?.parse().ok());
        count.unwrap_or(0)
    }

    /// The memory section.
    pub fn memory(&self) -> MemoryInfo {
        MemoryInfo {
            used_bytes: self.parsed("used_memory"),
            dataset_bytes: self.parsed("used_memory_dataset"),
            maxmemory_bytes: self.parsed("maxmemory").filter(|bytes| *bytes != 0),
            policy: self.get("maxmemory_policy").map(str::to_owned),
            system_bytes: self.parsed("total_system_memory").filter(|bytes| *bytes != 0),
        }
    }

    /// The persistence section.
    pub fn persistence(&self) -> PersistenceInfo {
        let flag = |name| self.get(name) == Some("1");
        PersistenceInfo {
            loading: flag("loading") || flag("async_loading"),
            aof_enabled: flag("aof_enabled"),
            rdb_bgsave_in_progress: flag("rdb_bgsave_in_progress"),
        }
    }

    /// Whether the node is a member of a Redis Cluster.
    pub fn cluster_enabled(&self) -> bool {
        self.get("cluster_enabled") == Some("1")
    }

    /// The names of the loaded modules, but for what Valkey 9.1 runs scripts with.
    pub fn modules(&self) -> &[String] {
        &self.modules
    }

    /// Whether what answers is a Sentinel.
    pub fn is_sentinel(&self) -> bool {
        self.get("redis_mode") == Some("sentinel") || self.get("server_mode") == Some("sentinel")
    }

    /// Whether a Valkey holds hash fields that expire. Redis does not say.
    pub fn has_field_ttls(&self) -> bool {
        self.fields().any(|(name, value)| {
            let mut parts = value.split(',');
            let keys = parts.find_map(|part| part.strip_prefix("keys_with_volatile_items="));
            name.starts_with("db") && keys.is_some_and(|keys| keys != "0")
        })
    }

    /// The databases that hold keys, with the number of keys.
    pub fn keyspace(&self) -> BTreeMap<u32, u64> {
        self.fields()
            .filter_map(|(name, value)| {
                let database = name.strip_prefix("db")?.parse().ok()?;
                let keys = value
                    .split(',')
                    .find_map(|part| part.strip_prefix("keys="))?
                    .parse()
                    .ok()?;
                Some((database, keys))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
