//! The address of one node: a host name or IP address, and a port.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::text;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The port of a Redis or Valkey node where none is given.
pub const DEFAULT_PORT: u16 = 6379;

/// The port of a Sentinel where none is given.
pub const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// Where a node listens. The host stays a name: it is resolved anew at each connection.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddress {
    /// A DNS name or an IP address, IPv6 without its brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl NodeAddress {
    /// An address from its parts. The host is on one line, whoever named it.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let host = match text::one_line(&host) {
            Cow::Owned(safe) => safe,
            Cow::Borrowed(_) => host,
        };
        Self { host, port }
    }

    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, InvalidAddress> {
        let invalid = |reason| InvalidAddress {
            text: text.to_owned(),
            reason,
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest
                .split_once(']')
                .ok_or_else(|| invalid("the `]` is missing"))?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(invalid("what stands in brackets is not an IPv6 address"));
            }
            match after {
                "" => (host, None),
                _ => (
                    host,
                    Some(
                        after
                            .strip_prefix(':')
                            .ok_or_else(|| invalid("`:` must follow the `]`"))?,
                    ),
                ),
            }
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(invalid(
                        "an IPv6 address is written in brackets, as in [::1]:6379",
                    ));
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(invalid("the host is missing"));
        }
        if !host
            .chars()
            .all(|c| c.is_ascii_graphic() && !"/@?#[]\"\\".contains(c))
        {
            return Err(invalid("that is not a host name"));
        }
        let port = match port {
            None => default_port,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(invalid("the port is a number from 1 to 65535")),
                Ok(port) => port,
            },
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl FromStr for NodeAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, DEFAULT_PORT)
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        f.pad(&text)
    }
}

impl fmt::Debug for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for NodeAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {reason}; write host:port, as in db.example.com:6379")]
pub struct InvalidAddress {
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_print_the_same() {
        for (text, host, port, printed) in [
            ("db", "db", 6379, "db:6379"),
            (
                "db.example.com:7000",
                "db.example.com",
                7000,
                "db.example.com:7000",
            ),
            ("127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"),
            ("[::1]", "::1", 6379, "[::1]:6379"),
            ("[fe80::2]:65535", "fe80::2", 65535, "[fe80::2]:65535"),
        ] {
            let address: NodeAddress = text.parse().expect(text);
            assert_eq!(address, NodeAddress::new(host, port));
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse::<NodeAddress>(), Ok(address));
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        for (text, reason) in [
            ("", "host is missing"),
            (":6379", "host is missing"),
            ("db:0", "1 to 65535"),
            ("db:65536", "1 to 65535"),
            ("db:", "1 to 65535"),
            ("::1:6379", "in brackets"),
            ("[::1", "`]` is missing"),
            ("[::1]6379", "`:` must follow"),
            ("[db]:1", "not an IPv6"),
            ("a b:1", "not a host name"),
        ] {
            let error = text.parse::<NodeAddress>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
