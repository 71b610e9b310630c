//! Which RDB versions a server can load.

/// The highest RDB version that a server of this version loads; `None` where it is not known.
pub fn rdb_version_max(engine_is_valkey: bool, server_version: (u32, u32, u32)) -> Option<u32> {
    let (major, minor, _) = server_version;
    match (engine_is_valkey, major, minor) {
        (false, 6, 0..=2) => Some(9),
        (false, 7, 0) => Some(10),
        (false, 7, 2) => Some(11),
        (false, 7, 4) | (false, 8, 0) => Some(12),
        (true, 7, 2) | (true, 8, 0..=1) => Some(11),
        (true, 9, 0) => Some(80),
        _ => None,
    }
}
