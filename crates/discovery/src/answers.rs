//! The answers to what clients ask about the groups.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sterna_model::Route;
use sterna_protocol::NodeAddress;
use sterna_protocol::sentinel::{Answer, Question, glob_matches};

use crate::observed::Observed;

/// The version that `HELLO` and `INFO` give: some libraries decide by it which commands they may send.
///
/// The endpoint knows what a Sentinel of this version knows. What it is itself stands in `sterna_version`.
pub(crate) const COMPATIBLE_VERSION: &str = "7.2.4";

const NO_SUCH_MASTER: &str = "ERR No such master with that name";

const HELP: [&str; 26] = [
    "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CKQUORUM <group>",
    "    Check whether a failover of the group is possible now.",
    "CONFIG GET <pattern> [<pattern> ...]",
    "    Show how this endpoint names itself and others.",
    "GET-MASTER-ADDR-BY-NAME <group>",
    "    Return host and port of the group's primary.",
    "IS-MASTER-DOWN-BY-ADDR <host> <port> <epoch> <runid>",
    "    Check whether the primary with this address is down. No vote is given.",
    "MASTER <group>",
    "    Show the state of the group's primary.",
    "MASTERS",
    "    Show all groups.",
    "MYID",
    "    Return the id of this endpoint.",
    "PENDING-SCRIPTS",
    "    Return an empty list: no scripts are run.",
    "REPLICAS <group>",
    "    Show the group's replica nodes. SLAVES is the same.",
    "SENTINELS <group>",
    "    Show the other Sentinels of the group.",
    "HELP",
    "    Print this help.",
    "PRIMARIES, PRIMARY, GET-PRIMARY-ADDR-BY-NAME and IS-PRIMARY-DOWN-BY-ADDR are known, too.",
    "Groups are changed with the sterna command or its API, not here.",
    "Channels: SUBSCRIBE +switch-master, or PSUBSCRIBE * for every event.",
];

/// What the endpoint knows of itself.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// 40 hexadecimal digits.
    pub(crate) id: String,
    /// How clients reach it, if that is not where it listens.
    pub(crate) announce: Option<NodeAddress>,
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The groups.
    pub(crate) observed: &'a Observed,
    /// How long the endpoint has been up.
    pub(crate) now: Duration,
    /// The endpoint.
    pub(crate) identity: &'a Identity,
    /// How many connections it has.
    pub(crate) connections: usize,
}

impl Facts<'_> {
    /// `ROLE`
    pub(crate) fn role(&self) -> Answer {
        let names = self
            .observed
            .routes()
            .map(|route| Answer::bulk(route.group.as_str()));
        Answer::Array(vec![Answer::bulk("sentinel"), Answer::Array(names.collect())])
    }

    /// `SENTINEL …`
    pub(crate) fn sentinel(&self, question: &Question) -> Answer {
        match question {
            Question::Masters => {
                let masters = self.observed.routes();
                Answer::Array(
                    masters
                        .map(|route| self.observed.master(route, self.now).answer())
                        .collect(),
                )
            }
            Question::Master(name) => self.of_group(name, |facts, route| {
                facts.observed.master(route, facts.now).answer()
            }),
            Question::Replicas(name) => self.of_group(name, |facts, route| {
                let replicas = route.replicas.iter();
                Answer::Array(
                    replicas
                        .map(|replica| facts.observed.replica(route, replica, facts.now).answer())
                        .collect(),
                )
            }),
            // One gateway, no other Sentinels.
            Question::Sentinels(name) => self.of_group(name, |_, _| Answer::Array(Vec::new())),
            Question::Address(name) => self.address(name),
            Question::Quorum(name) => self.of_group(name, |_, route| {
                if route.failover_possible {
                    Answer::Simple(
                        "OK 1 usable Sentinels. Quorum and failover authorization can be reached".to_owned(),
                    )
                } else {
                    Answer::Error(
                        "NOQUORUM 1 usable Sentinels. Sterna could not fail this group over now: no replica service is \
                         fit for it, or failover is off. See the group's status"
                            .to_owned(),
                    )
                }
            }),
            Question::MyId => Answer::bulk(&self.identity.id),
            Question::IsDown { host, port } => self.is_down(host, *port),
            Question::PendingScripts => Answer::Array(Vec::new()),
            Question::Config(patterns) => self.config(patterns),
            Question::Help => Answer::lines(&HELP),
        }
    }

    /// `INFO`, with the sections asked for; none means all.
    pub(crate) fn info(&self, sections: &[String]) -> Answer {
        let wants = |name: &str| {
            sections.is_empty()
                || sections
                    .iter()
                    .any(|word| word == name || matches!(word.as_str(), "default" | "all" | "everything"))
        };
        let mut parts = Vec::new();
        if wants("server") {
            parts.push(self.info_server());
        }
        if wants("clients") {
            parts.push(format!("# Clients\r\nconnected_clients:{}\r\n", self.connections));
        }
        if wants("sentinel") {
            parts.push(self.info_sentinel());
        }
        Answer::bulk(parts.join("\r\n"))
    }

    /// The fields of `HELLO`.
    pub(crate) fn hello(proto: i64, connection: u64) -> Answer {
        let id = i64::try_from(connection).unwrap_or(i64::MAX);
        let fields = [
            ("server", Answer::bulk("redis")),
            ("version", Answer::bulk(COMPATIBLE_VERSION)),
            ("proto", Answer::Integer(proto)),
            ("id", Answer::Integer(id)),
            ("mode", Answer::bulk("sentinel")),
            ("modules", Answer::Array(Vec::new())),
        ];
        Answer::Map(
            fields
                .into_iter()
                .map(|(name, value)| (Answer::bulk(name), value))
                .collect(),
        )
    }

    fn of_group(&self, name: &str, answer: impl FnOnce(&Self, &Route) -> Answer) -> Answer {
        match self.observed.route(name) {
            Some(route) => answer(self, route),
            None => Answer::Error(NO_SUCH_MASTER.to_owned()),
        }
    }

    /// A primary that is down is still the one to name, as long as no other one is decided.
    fn address(&self, name: &str) -> Answer {
        match self.observed.route(name) {
            Some(route) => Answer::Array(vec![
                Answer::bulk(&route.primary.host),
                Answer::bulk(route.primary.port.to_string()),
            ]),
            None => Answer::NullArray,
        }
    }

    fn is_down(&self, host: &str, port: u16) -> Answer {
        let down = self
            .observed
            .routes()
            .any(|route| route.primary_down && route.primary.host == host && route.primary.port == port);
        Answer::Array(vec![
            Answer::Integer(down.into()),
            Answer::bulk("*"),
            Answer::Integer(0),
        ])
    }

    fn config(&self, patterns: &[Bytes]) -> Answer {
        let announce = self.identity.announce.as_ref();
        let settings = [
            ("announce-hostnames", "yes".to_owned()),
            (
                "announce-ip",
                announce.map_or_else(String::new, |own| own.host.clone()),
            ),
            ("announce-port", announce.map_or(0, |own| own.port).to_string()),
            ("resolve-hostnames", "yes".to_owned()),
        ];
        let wanted = settings.into_iter().filter(|(name, _)| {
            patterns
                .iter()
                .any(|pattern| glob_matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
        });
        Answer::Map(
            wanted
                .map(|(name, value)| (Answer::bulk(name), Answer::bulk(value)))
                .collect(),
        )
    }

    fn info_server(&self) -> String {
        let seconds = self.now.as_secs();
        format!(
            "# Server\r\nredis_version:{COMPATIBLE_VERSION}\r\nredis_mode:sentinel\r\nsterna_version:{}\r\n\
             arch_bits:{}\r\nprocess_id:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{seconds}\r\n\
             uptime_in_days:{}\r\n",
            env!("CARGO_PKG_VERSION"),
            usize::BITS,
            std::process::id(),
            self.identity.id,
            self.identity.address.port(),
            seconds / 86_400,
        )
    }

    fn info_sentinel(&self) -> String {
        let mut text = format!(
            "# Sentinel\r\nsentinel_masters:{}\r\nsentinel_tilt:0\r\nsentinel_tilt_since_seconds:-1\r\n\
             sentinel_running_scripts:0\r\nsentinel_scripts_queue_length:0\r\nsentinel_simulate_failure_flags:0\r\n",
            self.observed.routes().len(),
        );
        for (index, route) in self.observed.routes().enumerate() {
            let master = self.observed.master(route, self.now);
            write!(
                text,
                "master{index}:name={},status={},address={}:{},slaves={},sentinels=1\r\n",
                master.name,
                master.status(),
                master.host,
                master.port,
                master.replicas,
            )
            .expect("a string takes any text");
        }
        text
    }
}
