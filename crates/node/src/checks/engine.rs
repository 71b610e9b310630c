//! Do the two sides run engines of which one can load what the other writes?

use super::Pair;
use super::observe::Node;
use crate::copying::{CopyNeeds, CopyTarget, missing_modules, obstacle};
use crate::engine::Engine;
use sterna_model::{Check, CopyObstacle, Subject};

pub(super) fn judge(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    let target = pair.target.engine;
    let Some(source) = pair.source else {
        checks.push(Check::pass(pair.subject, "engine", target.to_string()));
        return;
    };
    if source.engine.kind != target.kind {
        let source = source.engine;
        checks.push(Check::refuse(
            pair.subject,
            "engine",
            format!("it is {target}, but the source is {source}: data formats and commands have grown apart"),
            format!("replicate to a {} service", source.kind),
        ));
        return;
    }
    checks.push(Check::pass(pair.subject, "engine", target.to_string()));
    let needs = CopyNeeds::of(source.engine, &source.info);
    let here = CopyTarget {
        engine: target,
        // Judged with what else the source's databases need.
        databases: None,
        modules: Some(pair.target.info.modules().to_vec()),
    };
    checks.push(rdb(pair.subject, &needs, &here));
    checks.extend(modules(pair.subject, &needs, &here));
}

/// What the source writes is what it will be asked to write for this target.
fn rdb(subject: &Subject, needs: &CopyNeeds, target: &CopyTarget) -> Check {
    const NAME: &str = "RDB version";
    let (source, node) = (needs.engine, target.engine);
    let show = |version: Option<u32>| version.map_or_else(|| "unknown".to_owned(), |v| v.to_string());
    let written = needs.rdb_version_for(node.version);
    match obstacle(needs, target) {
        Some(CopyObstacle::FieldTtls { .. }) => Check::refuse(
            subject,
            NAME,
            format!(
                "the source holds hash fields that expire, which have no place in RDB {}, the newest that {node} loads: \
                 {source} could not write the copy",
                show(node.rdb_version())
            ),
            "upgrade the target to Valkey 9.0 or later",
        ),
        Some(CopyObstacle::RdbVersion { written, loaded, .. }) => Check::refuse(
            subject,
            NAME,
            format!(
                "{source} writes RDB {}, {node} loads up to RDB {}: the copy could not be loaded",
                show(written),
                show(loaded)
            ),
            format!("upgrade the target to {source} or later"),
        ),
        _ if source.is_of_line_up_to(node) => {
            let version = written.map_or_else(|| "newer".to_owned(), |version| version.to_string());
            let detail = format!("{node} loads what {source} writes for it (RDB {version})");
            Check::pass(subject, NAME, detail)
        }
        _ => Check::warn(
            subject,
            NAME,
            format!(
                "RDB {}, which the source writes for it, can be loaded, but {node} is older than the source's {source}",
                show(written)
            ),
            "upgrade the target first: a command that it does not know would make it differ from the source",
        ),
    }
}

/// One copy goes to all targets that need one, and the weakest of them decides what it is written in.
pub(super) fn one_for_all(source: &Node, targets: &[Engine]) -> Option<Check> {
    let needs = CopyNeeds::of(source.engine, &source.info);
    let weakest = targets.iter().min_by_key(|target| target.version)?;
    let written = |target: &Engine| needs.rdb_version_for(target.version);
    let differ = targets.iter().any(|target| written(target) != written(weakest));
    let version = written(weakest).filter(|_| differ)?;
    let detail = format!("the copy for all targets is RDB {version}, which {weakest} loads");
    Some(Check::pass(&Subject::From, "RDB version", detail))
}

/// Keys of their types can't be loaded without them, and some modules' own data neither.
fn modules(subject: &Subject, needs: &CopyNeeds, target: &CopyTarget) -> Option<Check> {
    let missing = missing_modules(needs, target);
    (!missing.is_empty()).then(|| {
        Check::refuse(
            subject,
            "modules",
            format!(
                "the source has modules that it lacks ({}): the copy could not be loaded, and their commands would fail",
                missing.join(", ")
            ),
            "load them at the target too",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineKind, Version};
    use sterna_model::Verdict;

    fn judged(kind: EngineKind, source: [u32; 3], target: [u32; 3], field_ttls: bool) -> Check {
        let engine = |[major, minor, patch]: [u32; 3]| Engine {
            kind,
            version: Version::new(major, minor, patch),
        };
        let needs = CopyNeeds {
            engine: engine(source),
            databases: 1,
            field_ttls,
            modules: Vec::new(),
        };
        let target = CopyTarget {
            engine: engine(target),
            databases: None,
            modules: Some(Vec::new()),
        };
        rdb(&Subject::From, &needs, &target)
    }

    #[test]
    fn an_older_target_must_load_what_the_source_writes() {
        let verdict = |kind, source, target| judged(kind, source, target, false).verdict;
        let (redis, valkey) = (EngineKind::Redis, EngineKind::Valkey);
        assert_eq!(verdict(redis, [6, 2, 0], [8, 0, 2]), Verdict::Pass);
        assert_eq!(verdict(redis, [7, 0, 15], [7, 0, 1]), Verdict::Pass);
        assert_eq!(verdict(redis, [8, 0, 2], [7, 4, 0]), Verdict::Warn);
        assert_eq!(verdict(redis, [7, 4, 0], [7, 2, 0]), Verdict::Refuse);
        assert_eq!(verdict(redis, [99, 1, 0], [99, 0, 0]), Verdict::Refuse);
        assert_eq!(verdict(redis, [99, 0, 0], [99, 1, 0]), Verdict::Pass);
        assert_eq!(verdict(valkey, [8, 1, 1], [8, 0, 1]), Verdict::Warn);
    }

    #[test]
    fn a_valkey_9_is_asked_for_what_the_target_loads() {
        let check = |target, field_ttls| judged(EngineKind::Valkey, [9, 1, 2], target, field_ttls);
        let (old, new) = (check([8, 1, 1], false), check([9, 1, 2], false));
        assert!(
            old.verdict == Verdict::Warn && old.detail.starts_with("RDB 11"),
            "{old:?}"
        );
        assert!(
            new.verdict == Verdict::Pass && new.detail.ends_with("(RDB 80)"),
            "{new:?}"
        );
        let old = check([8, 1, 1], true);
        assert!(
            old.verdict == Verdict::Refuse && old.detail.contains("fields that expire"),
            "{old:?}"
        );
        assert_eq!(check([9, 0, 0], true).verdict, Verdict::Warn);
    }

    #[test]
    fn a_missing_module_is_refused() {
        let needs = CopyNeeds {
            engine: Engine {
                kind: EngineKind::Redis,
                version: Version::new(8, 0, 2),
            },
            databases: 1,
            field_ttls: false,
            modules: vec!["vectorset".to_owned()],
        };
        let with = |modules: &[&str]| CopyTarget {
            engine: needs.engine,
            databases: None,
            modules: Some(modules.iter().map(|name| (*name).to_owned()).collect()),
        };
        let refused = modules(&Subject::From, &needs, &with(&[]));
        assert_eq!(refused.map(|check| check.verdict), Some(Verdict::Refuse));
        assert_eq!(modules(&Subject::From, &needs, &with(&["vectorset"])), None);
    }
}
