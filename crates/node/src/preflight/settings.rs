//! Settings of the target that decide how it behaves as a replica, above all over its next restart.

use super::Pair;
use super::report::Check;

pub(super) fn judge(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    persistence(pair, checks);
    config_file(pair, checks);
    loading(pair, checks);
    replication_tls(pair, checks);
    let setting = |name: &str| pair.target.config.get(name).map(String::as_str);
    if setting("replica-read-only") == Some("no") {
        checks.push(Check::warn(
            pair.subject,
            "read-only",
            "as a replica it takes writes (replica-read-only no), which would make it differ from the source",
            "CONFIG SET replica-read-only yes at the target",
        ));
    }
    if setting("masterauth") == Some("set") && !pair.continues() {
        checks.push(Check::warn(
            pair.subject,
            "masterauth",
            "it has credentials for a primary of its own (masteruser, masterauth), which will be replaced",
            "note them down, if you want them back after a promotion",
        ));
    }
}

/// A replica finds its place again after a restart only from an RDB file.
fn persistence(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    const NAME: &str = "persistence";
    let setting = |name: &str| pair.target.config.get(name).map(String::as_str);
    let aof = pair.target.info.persistence().aof_enabled || setting("appendonly") == Some("yes");
    checks.push(if aof {
        Check::warn(
            pair.subject,
            NAME,
            "its append-only file is on: after each restart it needs a full copy",
            "if that matters, set `appendonly no` and `save` points at the target: an RDB keeps its place",
        )
    } else if setting("save") == Some("") {
        Check::warn(
            pair.subject,
            NAME,
            "it saves nothing to disk: after each restart it needs a full copy",
            "if that matters, CONFIG SET save \"3600 1 300 100 60 10000\" at the target",
        )
    } else {
        Check::pass(
            pair.subject,
            NAME,
            "RDB: after a restart it continues where it was",
        )
    });
}

fn config_file(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    const NAME: &str = "configuration";
    let info = &pair.target.info;
    checks.push(match (info.get("config_file"), info.server().config_file) {
        (_, Some(path)) => Check::pass(pair.subject, NAME, format!("kept in {path}")),
        (Some(_), None) => Check::warn(
            pair.subject,
            NAME,
            "it was started without a configuration file: after a restart it has forgotten whom to follow",
            "start it with a configuration file, an empty one will do",
        ),
        (None, None) => Check::warn(
            pair.subject,
            NAME,
            "it does not say where its configuration file is",
            "make sure that CONFIG REWRITE works there: else a restart makes it forget whom to follow",
        ),
    });
}

fn loading(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    const NAME: &str = "full copy";
    match pair.target.config.get("repl-diskless-load").map(String::as_str) {
        Some("swapdb") => checks.push(Check::pass(
            pair.subject,
            NAME,
            "repl-diskless-load swapdb: old data stays until the copy is loaded, with memory for both",
        )),
        Some(mode @ ("on-empty-db" | "flush-before-load")) => checks.push(Check::warn(
            pair.subject,
            NAME,
            format!("repl-diskless-load {mode}: it loads straight from the network, so a copy that breaks off leaves it empty"),
            "CONFIG SET repl-diskless-load disabled at the target, if it serves reads meanwhile",
        )),
        _ => {}
    }
}

/// `tls-replication` decides how the target speaks to its primary, which is the relay.
fn replication_tls(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    const NAME: &str = "relay TLS";
    let target = pair.target.config.get("tls-replication").map(String::as_str);
    match (target, pair.request.relay_tls) {
        (Some("yes"), false) => checks.push(Check::refuse(
            pair.subject,
            NAME,
            "it replicates over TLS (tls-replication yes), but the relay here speaks plain TCP",
            "give the relay a certificate, or CONFIG SET tls-replication no at the target",
        )),
        (Some("no"), true) => checks.push(Check::refuse(
            pair.subject,
            NAME,
            "it replicates over plain TCP (tls-replication no), but the relay here speaks TLS",
            "set tls-replication yes and tls-ca-cert-file at the target, or start the relay without TLS",
        )),
        (None, true) => checks.push(Check::warn(
            pair.subject,
            NAME,
            "it has no readable setting tls-replication, but the relay here speaks TLS",
            "make sure that the target is built with TLS and has tls-replication yes",
        )),
        (Some(_), true) => checks.push(Check::pass(pair.subject, NAME, "both sides speak TLS")),
        (_, false) => {}
    }
}
