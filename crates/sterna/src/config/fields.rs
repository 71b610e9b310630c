//! The fields of the configuration, each with its meaning and default: the one place from which the reader, `sterna
//! config` and the reference page know them.

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A path; relative ones begin where the gateway is started.
    Path,
    /// `ip:port`.
    Address,
    /// `host` or `host:port`.
    Node,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// Text.
    Text,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Section and name, with a dot between them.
    pub(crate) path: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// The default; none means that it is not set, or follows from another field.
    pub(crate) default: Option<&'static str>,
    /// An example, for fields that have no default.
    pub(crate) example: &'static str,
    /// What it means.
    pub(crate) doc: &'static str,
}

/// The sections, in the order of the reference, and what they are about.
pub(crate) const SECTIONS: [(&str, &str); 6] = [
    ("", "Where things are kept, and how much of the machine is used."),
    (
        "api",
        "The REST API, for `sterna`'s own verbs, for programs and for metrics.",
    ),
    ("relay", "The port that replica nodes replicate from."),
    (
        "discovery",
        "The port that speaks the Sentinel protocol, so that clients follow a change of primary by themselves.",
    ),
    (
        "replication",
        "For how long nodes that say nothing are waited for. Connections that the network lost are noticed by it.",
    ),
    ("log", "What the gateway says of its work, on stderr."),
];

const TLS_CERT: &str = "Certificate chain (PEM). With it, connections are TLS only. TLS files that change are read again within \
                        seconds; what is connected stays.";
const TLS_KEY: &str = "Its private key (PEM), readable by the gateway's user alone.";

/// Every field.
pub(crate) const FIELDS: [Field; 27] = [
    Field {
        path: "data_dir",
        kind: Kind::Path,
        default: Some("sterna-data"),
        example: "/var/lib/sterna",
        doc: "Catalogue, replication logs and rescue files. One gateway at a time; it needs as much space as the \
              groups' logs may take.",
    },
    Field {
        path: "key_file",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/key",
        doc: "The key with which passwords are sealed in the catalogue; made at the first start, mode 0600. By default \
              `key` in the data directory. Elsewhere, a copy of the data directory alone opens no password.",
    },
    Field {
        path: "data_threads",
        kind: Kind::Number,
        default: None,
        example: "4",
        doc: "Threads that the shards are spread over: one shard has one of them and is limited by one core. By default \
              as many as the machine has cores.",
    },
    Field {
        path: "api.listen",
        kind: Kind::Address,
        default: Some("127.0.0.1:7800"),
        example: "0.0.0.0:7800",
        doc: "Where the API listens. Beyond loopback it needs TLS, or `allow_plaintext_remote`.",
    },
    Field {
        path: "api.tls_cert",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/api.crt",
        doc: TLS_CERT,
    },
    Field {
        path: "api.tls_key",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/api.key",
        doc: TLS_KEY,
    },
    Field {
        path: "api.tls_client_ca",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/clients-ca.crt",
        doc: "Demand client certificates signed by this authority (PEM), beside the token.",
    },
    Field {
        path: "api.allow_plaintext_remote",
        kind: Kind::Flag,
        default: Some("false"),
        example: "true",
        doc: "Listen beyond loopback without TLS: tokens and passwords of services cross the network readable by \
              everybody on the way. For a network that is encrypted by other means, or a proxy that does TLS.",
    },
    Field {
        path: "api.metrics_public",
        kind: Kind::Flag,
        default: Some("false"),
        example: "true",
        doc: "Serve /metrics without a token.",
    },
    Field {
        path: "relay.listen",
        kind: Kind::Address,
        default: Some("0.0.0.0:7801"),
        example: "10.1.2.3:7801",
        doc: "Where the relay listens. Everywhere by default, because the replica nodes are other machines and would \
              not find it on loopback; it gives nothing to anybody without the secret of a service in the group, \
              which only the gateway and the service's nodes know. Keep the port from the internet all the same.",
    },
    Field {
        path: "relay.announce",
        kind: Kind::Node,
        default: None,
        example: "gateway.eu.example:7801",
        doc: "Where replica nodes find the relay, if it is not the address from which the gateway reaches them (NAT, a \
              load balancer).",
    },
    Field {
        path: "relay.tls_cert",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/relay.crt",
        doc: "Certificate chain (PEM). With it, replica nodes connect over TLS only (`tls-replication yes` is set there); \
              without it, the data cross the network in the clear, as with plain Redis replication.",
    },
    Field {
        path: "relay.tls_key",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/relay.key",
        doc: TLS_KEY,
    },
    Field {
        path: "relay.tls_client_ca",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/nodes-ca.crt",
        doc: "Demand client certificates signed by this authority (PEM) from replica nodes.",
    },
    Field {
        path: "discovery.enabled",
        kind: Kind::Flag,
        default: Some("true"),
        example: "false",
        doc: "Whether to serve discovery.",
    },
    Field {
        path: "discovery.listen",
        kind: Kind::Address,
        default: Some("127.0.0.1:7802"),
        example: "0.0.0.0:7802",
        doc: "Where discovery listens. Beyond loopback it needs TLS, or `allow_plaintext_remote`: who can change what \
              clients are told can lead their writes elsewhere.",
    },
    Field {
        path: "discovery.announce",
        kind: Kind::Node,
        default: None,
        example: "gateway.eu.example:7802",
        doc: "The address under which clients find discovery, where it is not the one it listens on.",
    },
    Field {
        path: "discovery.password_file",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/discovery-password",
        doc: "File with the password that clients must give (their Sentinel password). Mode 0600.",
    },
    Field {
        path: "discovery.users_file",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/discovery-users",
        doc: "File with further users that may ask, `NAME:PASSWORD` a line. Without `password_file` nobody may ask as \
              `default`. Mode 0600.",
    },
    Field {
        path: "discovery.tls_cert",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/discovery.crt",
        doc: TLS_CERT,
    },
    Field {
        path: "discovery.tls_key",
        kind: Kind::Path,
        default: None,
        example: "/etc/sterna/discovery.key",
        doc: TLS_KEY,
    },
    Field {
        path: "discovery.allow_plaintext_remote",
        kind: Kind::Flag,
        default: Some("false"),
        example: "true",
        doc: "Listen beyond loopback without TLS, for clients that speak none to Sentinels.",
    },
    Field {
        path: "replication.primary_silence_seconds",
        kind: Kind::Number,
        default: Some("60"),
        example: "30",
        doc: "A primary that sends nothing for so long is connected to anew, 5 to 3600 s. More than the \
              `repl-ping-replica-period` of the nodes (10 s), at which a primary without writes shows that it is there.",
    },
    Field {
        path: "replication.replica_silence_seconds",
        kind: Kind::Number,
        default: Some("10"),
        example: "30",
        doc: "A replica node that follows and does not acknowledge for so long is dropped, whatever is on its way to it, 3 \
              to 3600 s. Until then it holds up `WAIT` at the primary where the group's `acknowledge` is `replica`. One \
              that was only busy comes back by itself and continues where it was.",
    },
    Field {
        path: "replication.replica_loading_silence_seconds",
        kind: Kind::Number,
        default: Some("300"),
        example: "900",
        doc: "A replica node that is given a full copy, or loads it, is dropped when it has said and taken nothing for so \
              long, 30 to 86400 s. It holds up no `WAIT`; what it had of the copy is sent anew. Raise it where a node with \
              a very slow disk, or with keys of many gigabytes, is dropped while it loads.",
    },
    Field {
        path: "log.filter",
        kind: Kind::Text,
        default: Some("info"),
        example: "info,sterna_replication=debug",
        doc: "Which messages are written: a level (error, warn, info, debug, trace), or levels by part of the program.",
    },
    Field {
        path: "log.format",
        kind: Kind::Text,
        default: Some("text"),
        example: "json",
        doc: "`text` for people, `json` for programs: one object per line.",
    },
];

impl Field {
    /// The field of that path.
    pub(crate) fn find(path: &str) -> Option<&'static Self> {
        FIELDS.iter().find(|field| field.path == path)
    }

    /// The section, empty for fields at the top.
    pub(crate) fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The name within its section.
    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it. The one for the log is the one that every other verb heeds, too.
    pub(crate) fn variable(&self) -> String {
        if self.path == "log.filter" {
            return "STERNA_LOG".to_owned();
        }
        format!("STERNA_{}", self.path.replace('.', "_").to_ascii_uppercase())
    }

    /// A value as TOML writes it.
    pub(crate) fn toml(&self, value: &str) -> String {
        match self.kind {
            Kind::Flag | Kind::Number => value.to_owned(),
            // A JSON string is a TOML basic string.
            _ => serde_json::Value::from(value).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_belongs_to_a_section_and_stands_once() {
        for (index, field) in FIELDS.iter().enumerate() {
            assert!(
                SECTIONS.iter().any(|(name, _)| *name == field.section()),
                "{}",
                field.path
            );
            assert!(FIELDS[..index].iter().all(|other| other.path != field.path));
            assert!(!field.doc.is_empty() && !field.example.is_empty());
        }
    }

    #[test]
    fn variables_follow_from_paths() {
        let field = Field::find("api.tls_client_ca").expect("a field");
        assert_eq!(field.variable(), "STERNA_API_TLS_CLIENT_CA");
        assert_eq!((field.section(), field.name()), ("api", "tls_client_ca"));
        assert_eq!(
            Field::find("data_dir").expect("a field").variable(),
            "STERNA_DATA_DIR"
        );
    }
}
