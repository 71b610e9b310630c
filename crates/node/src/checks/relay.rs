//! The way from a target to the relay: its address there, TLS, and the login.

use sterna_model::Check;

use super::Pair;

pub(super) fn judge(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    replication_tls(pair, checks);
    let login = pair.target.config.get("masterauth").map(String::as_str);
    if login == Some("set") && !pair.continues() {
        let detail = "its own masteruser and masterauth will be put aside for the relay's";
        checks.push(Check::pass(pair.subject, "masterauth", detail));
    }
}

/// Whether the address that the target will be told can mean this machine to it.
pub(super) fn judge_address(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    const NAME: &str = "relay address";
    let relay = &pair.relay();
    let ip: Option<std::net::IpAddr> = relay.host.parse().ok();
    let problem = if ip.is_some_and(|ip| ip.is_unspecified()) {
        "is no address that anything can connect to"
    } else if (relay.host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()))
        && !pair.target.same_machine
    {
        "means the target itself, which is another machine"
    } else {
        checks.push(Check::pass(pair.subject, NAME, format!("it will follow {relay}")));
        return;
    };
    checks.push(Check::refuse(
        pair.subject,
        NAME,
        format!("it would be told to follow {relay}, which {problem}"),
        "give the address under which the target reaches this machine with --announce-addr",
    ));
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
