//! The fields with which a Sentinel describes an instance, in the order in which a real one gives them.
//!
//! Clients pick fields by name, but some count on every one being there. Times are milliseconds since something
//! happened, as there.

use std::time::Duration;

use super::Answer;
use super::event::host_and_port;

/// How long an instance has been called down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Downtime(pub Duration);

/// The primary of a group.
#[derive(Debug, Clone, Copy)]
pub struct MasterReport<'a> {
    /// The group.
    pub name: &'a str,
    /// The primary's host.
    pub host: &'a str,
    /// The primary's port.
    pub port: u16,
    /// Set while it is down.
    pub down: Option<Downtime>,
    /// The group's epoch.
    pub epoch: u64,
    /// How many replica nodes the group has.
    pub replicas: usize,
    /// After how long without an answer an instance is called down, in milliseconds.
    pub down_after_ms: u64,
    /// How long it has been the primary, as far as is known.
    pub role_since: Duration,
}

/// A replica node.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaReport<'a> {
    pub host: &'a str,
    pub port: u16,
    /// Set while it is down.
    pub down: Option<Downtime>,
    /// Set while the primary is down: then it hears nothing either.
    pub primary_down: Option<Downtime>,
    /// Its replication offset.
    pub offset: u64,
    /// The service that it belongs to, which a real Sentinel knows nothing of.
    pub service: &'a str,
    /// Where that is.
    pub site: Option<&'a str>,
    /// Host and port of the group's primary.
    pub primary: (&'a str, u16),
    /// After how long without an answer an instance is called down, in milliseconds.
    pub down_after_ms: u64,
    /// How long it has been a replica, as far as is known.
    pub role_since: Duration,
}

/// The times that a real Sentinel has by default; nobody here counts down with them.
const FAILOVER_TIMEOUT_MS: u64 = 180_000;
const PARALLEL_SYNCS: u64 = 1;
/// There is one arbiter, whose own view decides.
const QUORUM: u64 = 1;
/// The priority of every replica node: which one takes over is not chosen by clients.
const PRIORITY: u64 = 100;

impl MasterReport<'_> {
    /// The answer to `SENTINEL MASTER`, an element of the one to `SENTINEL MASTERS`.
    pub fn answer(&self) -> Answer {
        let mut fields = Fields::default();
        fields.instance(self.name, self.host, self.port);
        let flags = match self.down {
            Some(_) => "s_down,o_down,master,disconnected",
            None => "master",
        };
        fields.state(flags, self.down, self.down_after_ms);
        if let Some(Downtime(down)) = self.down {
            fields.number("s-down-time", millis(down));
            fields.number("o-down-time", millis(down));
        }
        fields.number("down-after-milliseconds", self.down_after_ms);
        fields.role("master", self.role_since);
        fields.number("config-epoch", self.epoch);
        fields.number("num-slaves", self.replicas as u64);
        fields.number("num-other-sentinels", 0);
        fields.number("quorum", QUORUM);
        fields.number("failover-timeout", FAILOVER_TIMEOUT_MS);
        fields.number("parallel-syncs", PARALLEL_SYNCS);
        Answer::Map(fields.0)
    }

    /// The word of `status=` in `INFO`.
    pub fn status(&self) -> &'static str {
        if self.down.is_some() { "odown" } else { "ok" }
    }
}

impl ReplicaReport<'_> {
    /// An element of the answer to `SENTINEL REPLICAS`.
    pub fn answer(&self) -> Answer {
        let mut fields = Fields::default();
        fields.instance(&host_and_port(self.host, self.port), self.host, self.port);
        let flags = match self.down {
            Some(_) => "s_down,slave,disconnected",
            None => "slave",
        };
        fields.state(flags, self.down, self.down_after_ms);
        if let Some(Downtime(down)) = self.down {
            fields.number("s-down-time", millis(down));
        }
        fields.number("down-after-milliseconds", self.down_after_ms);
        fields.role("slave", self.role_since);
        let link_down = self.down.max(self.primary_down);
        let down_for = link_down.map_or(0, |Downtime(down)| millis(down));
        fields.number("master-link-down-time", down_for);
        let link = if link_down.is_some() { "err" } else { "ok" };
        fields.text("master-link-status", link);
        fields.text("master-host", self.primary.0);
        fields.number("master-port", self.primary.1.into());
        fields.number("slave-priority", PRIORITY);
        fields.number("slave-repl-offset", self.offset);
        fields.number("replica-announced", 1);
        fields.text("sterna-service", self.service);
        fields.text("sterna-site", self.site.unwrap_or_default());
        Answer::Map(fields.0)
    }
}

/// All values are strings, numbers too.
#[derive(Default)]
struct Fields(Vec<(Answer, Answer)>);

impl Fields {
    fn text(&mut self, name: &str, value: &str) {
        self.0.push((Answer::bulk(name), Answer::bulk(value)));
    }

    fn number(&mut self, name: &str, value: u64) {
        self.text(name, &value.to_string());
    }

    fn instance(&mut self, name: &str, host: &str, port: u16) {
        self.text("name", name);
        self.text("ip", host);
        self.number("port", port.into());
        // A real Sentinel has nothing here before it has asked the instance; a node's run id is not known here.
        self.text("runid", "");
    }

    /// What a real Sentinel knows of its own connection to the instance.
    fn state(&mut self, flags: &str, down: Option<Downtime>, down_after_ms: u64) {
        self.text("flags", flags);
        let silent = down.map_or(0, |Downtime(down)| millis(down).saturating_add(down_after_ms));
        self.number("link-pending-commands", 0);
        self.number("link-refcount", 1);
        self.number("last-ping-sent", silent);
        self.number("last-ok-ping-reply", silent);
        self.number("last-ping-reply", silent);
    }

    fn role(&mut self, role: &str, since: Duration) {
        self.number("info-refresh", 0);
        self.text("role-reported", role);
        self.number("role-reported-time", millis(since));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(answer: &'a Answer, name: &str) -> Option<&'a [u8]> {
        let Answer::Map(fields) = answer else {
            panic!("a report is a map");
        };
        fields.iter().find_map(|(key, value)| match value {
            Answer::Bulk(value) if *key == Answer::bulk(name) => Some(&value[..]),
            _ => None,
        })
    }

    fn master(down: Option<Downtime>) -> MasterReport<'static> {
        MasterReport {
            name: "m1",
            host: "10.0.0.1",
            port: 6379,
            down,
            epoch: 7,
            replicas: 2,
            down_after_ms: 1000,
            role_since: Duration::from_secs(5),
        }
    }

    #[test]
    fn a_primary_that_is_down_says_so_and_for_how_long() {
        let up = master(None).answer();
        assert_eq!(get(&up, "flags"), Some(&b"master"[..]));
        assert_eq!(get(&up, "s-down-time"), None);
        assert_eq!(get(&up, "config-epoch"), Some(&b"7"[..]));
        let down = master(Some(Downtime(Duration::from_millis(500)))).answer();
        assert_eq!(
            get(&down, "flags"),
            Some(&b"s_down,o_down,master,disconnected"[..])
        );
        assert_eq!(get(&down, "o-down-time"), Some(&b"500"[..]));
        assert_eq!(get(&down, "last-ok-ping-reply"), Some(&b"1500"[..]));
    }

    #[test]
    fn a_replica_names_its_primary_and_whether_it_hears_it() {
        let report = ReplicaReport {
            host: "::1",
            port: 6380,
            down: Some(Downtime(Duration::from_secs(1))),
            primary_down: None,
            offset: 42,
            service: "us",
            site: Some("us-east"),
            primary: ("10.0.0.1", 6379),
            down_after_ms: 1000,
            role_since: Duration::ZERO,
        };
        let answer = report.answer();
        assert_eq!(get(&answer, "name"), Some(&b"[::1]:6380"[..]));
        assert_eq!(get(&answer, "ip"), Some(&b"::1"[..]));
        assert_eq!(get(&answer, "flags"), Some(&b"s_down,slave,disconnected"[..]));
        assert_eq!(get(&answer, "master-link-status"), Some(&b"err"[..]));
        assert_eq!(get(&answer, "master-host"), Some(&b"10.0.0.1"[..]));
        assert_eq!(get(&answer, "slave-repl-offset"), Some(&b"42"[..]));
        assert_eq!(get(&answer, "sterna-service"), Some(&b"us"[..]));
        assert_eq!(get(&answer, "sterna-site"), Some(&b"us-east"[..]));
        let lonely = ReplicaReport {
            down: None,
            primary_down: Some(Downtime(Duration::from_secs(3))),
            site: None,
            ..report
        };
        let answer = lonely.answer();
        assert_eq!(get(&answer, "flags"), Some(&b"slave"[..]));
        assert_eq!(get(&answer, "master-link-status"), Some(&b"err"[..]));
        assert_eq!(get(&answer, "master-link-down-time"), Some(&b"3000"[..]));
        assert_eq!(get(&answer, "sterna-site"), Some(&b""[..]));
    }
}
