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
        let detail = "it takes writes as a replica (replica-read-only no), which will be turned off";
        checks.push(Check::pass(pair.subject, "read-only", detail));
    }
    if setting("masterauth") == Some("set") && !pair.continues() {
        let detail = "its own masteruser and masterauth will be put aside for the relay's";
        checks.push(Check::pass(pair.subject, "masterauth", detail));
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

/// `tls-replication` decides how the target speaks to its primary, which is the relay. It is set to fit, where the
/// target has what TLS needs.
fn replication_tls(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    const NAME: &str = "relay TLS";
    let config = &pair.target.config;
    let has_ca = ["tls-ca-cert-file", "tls-ca-cert-dir"]
        .iter()
        .any(|name| config.get(*name).is_some_and(|path| !path.is_empty()));
    match (config.get("tls-replication").map(String::as_str), pair.request.relay_tls) {
        (Some("yes"), false) => checks.push(Check::warn(
            pair.subject,
            NAME,
            "it replicates over TLS (tls-replication yes); to follow the relay, which speaks plain TCP, this will be turned off",
            "give the relay a certificate with --relay-tls-cert and --relay-tls-key",
        )),
        (Some(_), true) if has_ca => {
            checks.push(Check::pass(pair.subject, NAME, "it verifies the relay by its own tls-ca-cert-file"));
        }
        (Some(_), true) => checks.push(Check::refuse(
            pair.subject,
            NAME,
            "the relay speaks TLS, but the target has no CA to verify it with",
            "set tls-cert-file, tls-key-file and tls-ca-cert-file at the target, or start the relay without TLS",
        )),
        (None, true) if config.is_empty() => checks.push(Check::warn(
            pair.subject,
            NAME,
            "the relay speaks TLS, and whether the target does can't be found out (CONFIG GET)",
            "make sure that the target is built with TLS and has a tls-ca-cert-file",
        )),
        (None, true) => checks.push(Check::refuse(
            pair.subject,
            NAME,
            "the relay speaks TLS, but the target is built without it",
            "start the relay without TLS, or run a target that is built with it",
        )),
        (_, false) => {}
    }
}
