//! Which RDBs a server can load, so that none is sent to a follower that would refuse it, after it emptied itself.

use super::RdbMagic;

/// The first and last RDB version that Valkey takes for another project's and refuses (`rdb-version-check strict`).
const FOREIGN_TO_VALKEY: std::ops::RangeInclusive<u32> = 12..=79;

/// The highest RDB version that a server of this version loads; `None` where it is not known.
///
/// `server_version` is the engine's own: Valkey's `valkey_version`, not the `redis_version` it shows for old clients.
/// A lower version is not always loadable: see [`rdb_loadable`].
pub fn rdb_version_max(engine_is_valkey: bool, server_version: (u32, u32, u32)) -> Option<u32> {
    let (major, minor, _) = server_version;
    if engine_is_valkey {
        return match (major, minor) {
            (7, 2) | (8, 0..=1) => Some(11),
            (9, 0..=1) => Some(80),
            (9, 2) => Some(81),
            _ => None,
        };
    }
    match (major, minor) {
        (6, 0..=2) => Some(9),
        (7, 0) => Some(10),
        (7, 2) => Some(11),
        (7, 4) | (8, 0..=4) => Some(12),
        (8, 6) => Some(13),
        (8, 8) => Some(14),
        (8, 10) => Some(15),
        _ => None,
    }
}

/// Whether a server of this version loads an RDB of this format; `None` where it is not known.
pub fn rdb_loadable(
    engine_is_valkey: bool,
    server_version: (u32, u32, u32),
    (magic, version): (RdbMagic, u32),
) -> Option<bool> {
    // Both loaded all that came before the projects parted.
    let foreign = match (magic, engine_is_valkey) {
        (RdbMagic::Redis, true) => FOREIGN_TO_VALKEY.contains(&version),
        (RdbMagic::Valkey, false) => true,
        (RdbMagic::Redis, false) | (RdbMagic::Valkey, true) => false,
    };
    if foreign {
        return Some(false);
    }
    rdb_version_max(engine_is_valkey, server_version).map(|max| version <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_servers_have_a_version_and_others_none() {
        assert_eq!(rdb_version_max(false, (7, 0, 15)), Some(10));
        assert_eq!(rdb_version_max(true, (8, 1, 1)), Some(11));
        assert_eq!(rdb_version_max(true, (9, 0, 0)), Some(80));
        assert_eq!(rdb_version_max(false, (99, 0, 0)), None);
    }

    #[test]
    fn the_two_projects_refuse_each_other_s_newer_files() {
        let redis_8 = (RdbMagic::Redis, 12);
        let valkey_9 = (RdbMagic::Valkey, 80);
        let common = (RdbMagic::Redis, 11);
        assert_eq!(rdb_loadable(true, (9, 0, 0), redis_8), Some(false));
        assert_eq!(rdb_loadable(false, (8, 0, 2), redis_8), Some(true));
        assert_eq!(rdb_loadable(false, (99, 0, 0), valkey_9), Some(false));
        assert_eq!(rdb_loadable(true, (8, 1, 1), valkey_9), Some(false));
        assert_eq!(rdb_loadable(true, (9, 0, 0), common), Some(true));
        assert_eq!(rdb_loadable(false, (7, 0, 15), common), Some(false));
        assert_eq!(rdb_loadable(false, (99, 0, 0), common), None);
    }
}
