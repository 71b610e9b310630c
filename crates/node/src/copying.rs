//! Who can load whose data: what a primary's full copy needs, what a node can load, and what stands between the two. A
//! node empties itself before it loads a copy, so that this is known before one is sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sterna_model::{CopyBreak, CopyObstacle};
use sterna_protocol::rdb::{RdbMagic, rdb_loadable};

use crate::client::Client;
use crate::connect::Dialer;
use crate::engine::{Engine, EngineKind, Version};
use crate::info::Info;
use crate::upstream::CandidateFailure;

/// From this version on Valkey writes the format that the replica announces to load, and has hash fields that expire.
const VALKEY_FORMAT_BY_REPLICA: Version = Version::new(9, 0, 0);
/// What Valkey writes for whoever announces less, or nothing.
const RDB_VERSION_COMMON: u32 = 11;
/// Modules that come with a server and have no data of their own.
const MODULES_WITHOUT_DATA: [&str; 1] = ["lua"];

/// What a primary's data set asks of a node that is to load it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyNeeds {
    /// What the primary runs.
    pub engine: Engine,
    /// How many databases, counted from db0, are in use.
    pub databases: u32,
    /// Some hash fields expire, at a Valkey.
    pub field_ttls: bool,
    pub modules: Vec<String>,
}

impl CopyNeeds {
    /// What a primary says of itself in `INFO`.
    pub fn of(engine: Engine, info: &Info) -> Self {
        let highest = info.keyspace().keys().max().copied();
        let modules = info.modules().iter();
        Self {
            engine,
            databases: highest.map_or(1, |highest| highest.saturating_add(1)),
            field_ttls: info.has_field_ttls(),
            modules: modules
                .filter(|name| !MODULES_WITHOUT_DATA.contains(&name.as_str()))
                .cloned()
                .collect(),
        }
    }

    /// The RDB version that it writes for a replica that announces `announced`, where it is known.
    pub fn rdb_version_for(&self, announced: Version) -> Option<u32> {
        let own = self.engine.rdb_version();
        if self.engine.kind != EngineKind::Valkey || self.engine.version < VALKEY_FORMAT_BY_REPLICA {
            return own;
        }
        if announced < VALKEY_FORMAT_BY_REPLICA {
            return Some(RDB_VERSION_COMMON);
        }
        let announced = Engine {
            kind: EngineKind::Valkey,
            version: announced,
        };
        match (own, announced.rdb_version()) {
            (Some(own), Some(loads)) => Some(own.min(loads)),
            (own, loads) => own.or(loads),
        }
    }
}

/// What a node can load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTarget {
    /// What it runs.
    pub engine: Engine,
    /// How many databases it has, where that is known.
    pub databases: Option<u32>,
    /// Its modules, where they are known.
    pub modules: Option<Vec<String>>,
}

impl CopyTarget {
    /// What a node that announced its version can load. Only Valkey announces one.
    pub fn announced(version: Version) -> Self {
        Self {
            engine: Engine {
                kind: EngineKind::Valkey,
                version,
            },
            databases: None,
            modules: None,
        }
    }

    /// Asks a node. One that may not say how many databases it has is taken as it is.
    pub async fn ask(dialer: &Dialer, timeout: Duration) -> Result<Self, CandidateFailure> {
        let mut client = Client::connect_with_timeout(dialer, timeout).await?;
        let info = client.info().await?;
        let engine = Engine::recognise(&info)?;
        let databases = match client.config_get("databases").await {
            Ok(found) => found.get("databases").and_then(|number| number.parse().ok()),
            Err(error) if error.leaves_usable() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            engine,
            databases,
            modules: Some(info.modules().to_vec()),
        })
    }
}

/// What stands against a full copy of this data set at this node, if the primary is asked to write it for that node.
pub fn obstacle(needs: &CopyNeeds, target: &CopyTarget) -> Option<CopyObstacle> {
    let (primary, node) = (needs.engine, target.engine);
    if primary.kind != node.kind {
        return Some(CopyObstacle::OtherEngine {
            primary: primary.to_string(),
            node: node.to_string(),
        });
    }
    if needs.field_ttls && node.version < VALKEY_FORMAT_BY_REPLICA {
        return Some(CopyObstacle::FieldTtls {
            primary: primary.to_string(),
            node: node.to_string(),
        });
    }
    let written = needs.rdb_version_for(node.version);
    let loads = primary.is_of_line_up_to(node)
        || written
            .zip(node.rdb_version())
            .is_some_and(|(written, loaded)| written <= loaded);
    if !loads {
        return Some(rdb_version(primary, node, written));
    }
    if let Some(has) = target.databases.filter(|has| *has < needs.databases) {
        let needed = needs.databases;
        return Some(CopyObstacle::Databases { needed, has });
    }
    let missing = missing_modules(needs, target);
    (!missing.is_empty()).then_some(CopyObstacle::Modules { missing })
}

/// What stands against a copy that is there already, by the format in its header too: it may have been written for others.
pub fn obstacle_of_copy(
    needs: Option<&CopyNeeds>,
    format: Option<(RdbMagic, u32)>,
    target: &CopyTarget,
) -> Option<CopyObstacle> {
    let node = target.engine;
    let of_format = format.and_then(|(magic, written)| {
        let Version { major, minor, patch } = node.version;
        let is_valkey = node.kind == EngineKind::Valkey;
        let loadable = rdb_loadable(is_valkey, (major, minor, patch), (magic, written));
        let newer = || needs.is_some_and(|needs| needs.engine.is_of_line_up_to(node));
        if loadable.unwrap_or_else(newer) {
            return None;
        }
        let written_by = match (needs, magic) {
            (Some(needs), _) => needs.engine.to_string(),
            (None, RdbMagic::Redis) => "the primary".to_owned(),
            (None, RdbMagic::Valkey) => "Valkey".to_owned(),
        };
        Some(CopyObstacle::RdbVersion {
            primary: written_by,
            node: node.to_string(),
            written: Some(written),
            loaded: node.rdb_version(),
        })
    });
    of_format.or_else(|| needs.and_then(|needs| obstacle(needs, target)))
}

/// The modules of the primary that a node lacks.
pub fn missing_modules(needs: &CopyNeeds, target: &CopyTarget) -> Vec<String> {
    let Some(here) = &target.modules else {
        return Vec::new();
    };
    let missing = needs.modules.iter().filter(|name| !here.contains(name));
    missing.cloned().collect()
}

/// Why a primary closed a connection on which a snapshot was to come: what it says of itself before and after.
pub fn why_broken_off(
    engine: Engine,
    announced: Option<Version>,
    before: &Info,
    after: Option<&Info>,
) -> CopyBreak {
    let limits = |info: &Info| {
        info.parsed::<u64>("client_output_buffer_limit_disconnections")
            .unwrap_or(0)
    };
    if after.is_some_and(|after| limits(after) > limits(before)) {
        return CopyBreak::BufferLimit;
    }
    let latest = after.unwrap_or(before);
    let format_by_replica = engine.kind == EngineKind::Valkey && engine.version >= VALKEY_FORMAT_BY_REPLICA;
    match announced.filter(|announced| *announced < VALKEY_FORMAT_BY_REPLICA) {
        Some(announced) if format_by_replica && latest.has_field_ttls() => {
            let announced = announced.to_string();
            return CopyBreak::FieldTtls { announced };
        }
        _ => {}
    }
    if latest.get("rdb_last_bgsave_status") == Some("err") {
        CopyBreak::SaveFailed
    } else {
        CopyBreak::Unknown
    }
}

fn rdb_version(primary: Engine, node: Engine, written: Option<u32>) -> CopyObstacle {
    CopyObstacle::RdbVersion {
        primary: primary.to_string(),
        node: node.to_string(),
        written,
        loaded: node.rdb_version(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: EngineKind = EngineKind::Redis;
    const VALKEY: EngineKind = EngineKind::Valkey;

    fn engine(kind: EngineKind, [major, minor, patch]: [u32; 3]) -> Engine {
        let version = Version::new(major, minor, patch);
        Engine { kind, version }
    }

    fn needs(kind: EngineKind, version: [u32; 3]) -> CopyNeeds {
        CopyNeeds {
            engine: engine(kind, version),
            databases: 1,
            field_ttls: false,
            modules: Vec::new(),
        }
    }

    fn target(kind: EngineKind, version: [u32; 3]) -> CopyTarget {
        CopyTarget {
            engine: engine(kind, version),
            databases: Some(16),
            modules: Some(Vec::new()),
        }
    }

    fn loads(kind: EngineKind, primary: [u32; 3], node: [u32; 3]) -> bool {
        obstacle(&needs(kind, primary), &target(kind, node)).is_none()
    }

    #[test]
    fn a_node_loads_what_its_own_line_and_older_ones_write_and_of_newer_ones_what_is_known() {
        assert!(loads(REDIS, [7, 0, 15], [7, 0, 1]));
        assert!(loads(REDIS, [7, 0, 15], [8, 0, 2]));
        assert!(loads(REDIS, [8, 0, 2], [7, 4, 0]), "both write RDB 12");
        assert!(!loads(REDIS, [8, 0, 2], [7, 0, 15]));
        assert!(loads(REDIS, [99, 0, 0], [99, 1, 0]));
        assert!(
            !loads(REDIS, [99, 1, 0], [99, 0, 0]),
            "what is not known is not sent"
        );
        assert!(loads(VALKEY, [8, 1, 1], [8, 0, 1]));
    }

    #[test]
    fn a_valkey_9_writes_what_the_node_loads_but_for_fields_that_expire() {
        assert!(loads(VALKEY, [9, 1, 2], [8, 1, 1]) && loads(VALKEY, [9, 1, 2], [7, 2, 5]));
        assert!(loads(VALKEY, [9, 2, 0], [9, 0, 0]));
        let new = needs(VALKEY, [9, 1, 2]);
        let rdb_for = |version| new.rdb_version_for(version);
        assert_eq!(rdb_for(Version::new(8, 1, 1)), Some(11));
        assert_eq!(rdb_for(Version::new(9, 0, 0)), Some(80));
        assert_eq!(rdb_for(Version::new(99, 0, 0)), Some(80));
        let expiring = CopyNeeds {
            field_ttls: true,
            ..new
        };
        let refused = obstacle(&expiring, &target(VALKEY, [8, 1, 1]));
        assert!(
            matches!(refused, Some(CopyObstacle::FieldTtls { .. })),
            "{refused:?}"
        );
        assert_eq!(obstacle(&expiring, &target(VALKEY, [9, 0, 0])), None);
    }

    #[test]
    fn databases_and_modules_must_be_there() {
        let needs = CopyNeeds {
            databases: 17,
            modules: vec!["bf".to_owned(), "json".to_owned()],
            ..needs(REDIS, [7, 0, 15])
        };
        let mut node = target(REDIS, [7, 0, 15]);
        assert_eq!(
            obstacle(&needs, &node),
            Some(CopyObstacle::Databases { needed: 17, has: 16 })
        );
        node.databases = Some(17);
        node.modules = Some(vec!["bf".to_owned()]);
        let missing = vec!["json".to_owned()];
        assert_eq!(obstacle(&needs, &node), Some(CopyObstacle::Modules { missing }));
        node.modules = Some(needs.modules.clone());
        assert_eq!(obstacle(&needs, &node), None);
        let other = target(VALKEY, [8, 1, 1]);
        assert!(matches!(
            obstacle(&needs, &other),
            Some(CopyObstacle::OtherEngine { .. })
        ));
    }

    #[test]
    fn a_copy_that_was_written_for_another_node_is_judged_by_its_header() {
        let new = needs(VALKEY, [9, 1, 2]);
        let (written_for_new, common) = ((RdbMagic::Valkey, 80), (RdbMagic::Redis, 11));
        let old = target(VALKEY, [8, 1, 1]);
        let judged = |needs, format| obstacle_of_copy(needs, Some(format), &old);
        assert!(matches!(
            judged(Some(&new), written_for_new),
            Some(CopyObstacle::RdbVersion {
                written: Some(80),
                loaded: Some(11),
                ..
            })
        ));
        assert!(judged(None, written_for_new).is_some());
        assert_eq!(judged(Some(&new), common), None);
        let unknown = target(REDIS, [99, 0, 0]);
        let of_unknown = needs(REDIS, [99, 0, 0]);
        let judged = |needs| obstacle_of_copy(needs, Some((RdbMagic::Redis, 99)), &unknown);
        assert_eq!(judged(Some(&of_unknown)), None);
        assert!(judged(None).is_some());
    }

    #[test]
    fn what_a_primary_says_tells_why_it_closed_the_connection() {
        let valkey = engine(VALKEY, [9, 1, 2]);
        let info = |text: &str| Info::parse(text.as_bytes());
        let old = Some(Version::new(8, 1, 1));
        let plain = info(
            "rdb_last_bgsave_status:ok\r\ndb0:keys=1,expires=0,avg_ttl=0,keys_with_volatile_items=0\r\n",
        );
        let expiring = info(
            "rdb_last_bgsave_status:ok\r\ndb0:keys=1,expires=0,avg_ttl=0,keys_with_volatile_items=1\r\n",
        );
        let announced = "8.1.1".to_owned();
        assert_eq!(
            why_broken_off(valkey, old, &expiring, None),
            CopyBreak::FieldTtls { announced }
        );
        let new = Some(Version::new(9, 0, 0));
        assert_eq!(why_broken_off(valkey, new, &expiring, None), CopyBreak::Unknown);
        let limited = info("client_output_buffer_limit_disconnections:1\r\n");
        assert_eq!(
            why_broken_off(valkey, new, &plain, Some(&limited)),
            CopyBreak::BufferLimit
        );
        let failed = info("rdb_last_bgsave_status:err\r\n");
        assert_eq!(
            why_broken_off(valkey, new, &plain, Some(&failed)),
            CopyBreak::SaveFailed
        );
    }
}
