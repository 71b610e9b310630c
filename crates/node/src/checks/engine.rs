//! Do the two sides run engines of which one can load what the other writes?

use super::Pair;
use crate::engine::Engine;
use sterna_model::{Check, Subject};

pub(super) fn judge(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    let target = pair.target.engine;
    let Some(source) = pair.source.map(|source| source.engine) else {
        checks.push(Check::pass(pair.subject, "engine", target.to_string()));
        return;
    };
    if source.kind != target.kind {
        checks.push(Check::refuse(
            pair.subject,
            "engine",
            format!("it is {target}, but the source is {source}: data formats and commands have grown apart"),
            format!("replicate to a {} service", source.kind),
        ));
        return;
    }
    checks.push(Check::pass(pair.subject, "engine", target.to_string()));
    checks.push(rdb(pair.subject, source, target));
    modules(pair, checks);
}

fn rdb(subject: &Subject, source: Engine, target: Engine) -> Check {
    const NAME: &str = "RDB version";
    if target.version >= source.version || same_line(source, target) {
        let version = source
            .rdb_version()
            .map_or_else(|| "newer".to_owned(), |version| format!("{version}"));
        return Check::pass(
            subject,
            NAME,
            format!("{target} loads what {source} writes (RDB {version})"),
        );
    }
    match (source.rdb_version(), target.rdb_version()) {
        (Some(written), Some(loaded)) if written <= loaded => Check::warn(
            subject,
            NAME,
            format!("RDB {written} can be loaded, but {target} is older than the source's {source}"),
            "upgrade the target first: a command that it does not know would make it differ from the source",
        ),
        (written, loaded) => {
            let show = |version: Option<u32>| version.map_or_else(|| "unknown".to_owned(), |v| v.to_string());
            Check::refuse(
                subject,
                NAME,
                format!(
                    "{source} writes RDB {}, {target} loads up to RDB {}: the copy could not be loaded",
                    show(written),
                    show(loaded)
                ),
                format!("upgrade the target to {source} or later"),
            )
        }
    }
}

/// Patch releases of one line write and understand the same.
fn same_line(one: Engine, other: Engine) -> bool {
    (one.version.major, one.version.minor) == (other.version.major, other.version.minor)
}

fn modules(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    let Some(source) = pair.source else { return };
    let here = pair.target.info.modules();
    let missing: Vec<_> = source
        .info
        .modules()
        .iter()
        .filter(|name| !here.contains(name))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        checks.push(Check::warn(
            pair.subject,
            "modules",
            format!("the source has modules that it lacks: {}", missing.join(", ")),
            "load them at the target too: keys of their types can't be loaded and their commands fail there",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineKind, Version};
    use sterna_model::Verdict;

    #[test]
    fn an_older_target_must_load_what_the_source_writes() {
        let judged = |kind, source: [u32; 3], target: [u32; 3]| {
            let engine = |[major, minor, patch]: [u32; 3]| Engine {
                kind,
                version: Version::new(major, minor, patch),
            };
            rdb(&Subject::From, engine(source), engine(target)).verdict
        };
        let (redis, valkey) = (EngineKind::Redis, EngineKind::Valkey);
        assert_eq!(judged(redis, [6, 2, 0], [8, 0, 2]), Verdict::Pass);
        assert_eq!(judged(redis, [7, 0, 15], [7, 0, 1]), Verdict::Pass);
        assert_eq!(judged(redis, [8, 0, 2], [7, 4, 0]), Verdict::Warn);
        assert_eq!(judged(redis, [7, 4, 0], [7, 2, 0]), Verdict::Refuse);
        assert_eq!(judged(redis, [99, 1, 0], [99, 0, 0]), Verdict::Refuse);
        assert_eq!(judged(redis, [99, 0, 0], [99, 1, 0]), Verdict::Pass);
        assert_eq!(judged(valkey, [8, 1, 1], [8, 0, 1]), Verdict::Warn);
        assert_eq!(judged(valkey, [9, 0, 0], [8, 1, 1]), Verdict::Refuse);
    }
}
