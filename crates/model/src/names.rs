//! Names, numbers and ids, each a type of its own.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// A text that can't be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} can't be the name of a {what}: a name has 1 to 63 {letters}, digits, `-`, `_` or `.`, and begins with a \
     letter or digit"
)]
pub struct InvalidName {
    /// What it should have named.
    pub what: &'static str,
    /// Which letters it may have.
    pub letters: &'static str,
    /// The text.
    pub text: String,
}

fn is_name(text: &str, is_letter: impl Fn(&u8) -> bool) -> bool {
    let first = |byte: &u8| is_letter(byte) || byte.is_ascii_digit();
    let inner = |byte: u8| first(&byte) || b"-_.".contains(&byte);
    text.len() <= NAME_BYTES_MAX && text.as_bytes().first().is_some_and(first) && text.bytes().all(inner)
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        name!($(#[$doc])* $type, $what, "lower-case letters", is_ascii_lowercase, "^[a-z0-9][a-z0-9._-]{0,62}$");
    };
    ($(#[$doc:meta])* $type:ident, $what:literal, $letters:literal, $is_letter:ident, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, pattern = $pattern)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_name(text, u8::$is_letter) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, letters: $letters, text: text.chars().take(80).collect() })
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A Redis or Valkey deployment in one place.
    ServiceName,
    "service"
);
name!(
    /// A replication group. Discovery gives it to clients as the master name, so that it may be what a Sentinel takes for one.
    GroupName,
    "group",
    "letters",
    is_ascii_alphabetic,
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
);
name!(
    /// Where a service runs: a region, cloud or data centre.
    SiteName,
    "site"
);

/// A node of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct NodeKey {
    /// Its service.
    pub service: ServiceName,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: NodeAddress,
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.service, self.address)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        number!($(#[$doc])* $type, u64);

        impl $type {
            /// The next one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
    };
    ($(#[$doc:meta])* $type:ident, $bits:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = $bits)]
        pub struct $type(pub $bits);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $type {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number!(
    /// A group's term: one more at each change of primary. What carries an older one is refused.
    Epoch
);
number!(
    /// The number of the commit that last changed a stored value, counted over the whole store, so that it grows with every
    /// change and is never used twice; the entity tag of `If-Match`.
    Revision
);
number!(
    /// An operation, numbered in the order of their beginning, in all groups.
    OperationId
);
number!(
    /// An API token.
    TokenId
);
number!(
    /// A rescue file.
    RescueId
);
number!(
    /// A shard of a service. All services of a group have the same shards, so that the number names the same part of the data
    /// in each of them.
    ShardId,
    u16
);

impl ShardId {
    /// The one shard of a standalone service.
    pub const STANDALONE: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_wherever_they_come_from() {
        for good in ["a", "orders-eu", "0", "a.b_c", &"x".repeat(63)] {
            assert!(good.parse::<ServiceName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<GroupName>().is_err(), "{bad}");
            assert!(serde_json::from_value::<SiteName>(bad.into()).is_err(), "{bad}");
        }
        // A Sentinel takes these for the name of a primary.
        for master in ["A", "MyMaster.eu", "mymaster"] {
            assert!(master.parse::<GroupName>().is_ok(), "{master}");
        }
        let error = "A".parse::<ServiceName>().expect_err("upper case");
        assert!(error.to_string().contains("lower-case letters"), "{error}");
    }
    #[test]
    fn a_shard_is_a_number_in_text_in_json_and_as_a_key() {
        assert_eq!("0".parse(), Ok(ShardId::STANDALONE));
        assert_eq!(ShardId(12).to_string(), "12");
        for bad in ["", "-1", "65536", "a"] {
            assert!(bad.parse::<ShardId>().is_err(), "{bad}");
        }
        let shards = std::collections::BTreeMap::from([(ShardId(2), "b"), (ShardId(10), "c")]);
        let json = serde_json::to_string(&shards).unwrap();
        assert_eq!(json, r#"{"2":"b","10":"c"}"#);
        assert_eq!(
            serde_json::from_str::<std::collections::BTreeMap<ShardId, &str>>(&json).unwrap(),
            shards
        );
    }
}
