//! What clients rely on at a node beside its data: users, limits, modules, functions. None of it but the functions is replicated,
//! so a replica that takes over without it locks clients out or behaves in another way.
//!
//! One function reads it, another compares. Of an ACL user nothing is kept but a digest of its rules, and of that nothing is shown but
//! whether it is the same.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use sterna_protocol::resp::Value;

use crate::client::{Client, ClientError};
use crate::info::Info;

/// The settings that are compared, with what a difference means.
const SETTINGS: &[(&str, &str)] = &[
    ("maxclients", "clients beyond the smaller number are refused"),
    ("maxmemory", "it evicts or refuses writes at another size"),
    (
        "maxmemory-policy",
        "other keys are evicted, or writes are refused instead",
    ),
    (
        "notify-keyspace-events",
        "subscribers get other notifications, or none",
    ),
    (
        "proto-max-bulk-len",
        "values that one takes are refused by the other",
    ),
];

/// What clients rely on at one node. What could not be read is missing, and not compared.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// The ACL users, with a digest of their rules.
    users: Option<BTreeMap<String, u64>>,
    /// The users that clients are logged in as, with how many are.
    connected: Option<BTreeMap<String, usize>>,
    values: BTreeMap<&'static str, String>,
    modules: Vec<String>,
    /// The libraries of functions, with a digest of their code.
    functions: Option<BTreeMap<String, u64>>,
}

/// Something that clients rely on at one node and would miss at the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// An ACL user is not there.
    UserMissing { user: String, connections: usize },
    /// It has other rules or another password there.
    UserDiffers { user: String },
    /// A setting has another value.
    Setting {
        name: &'static str,
        meaning: &'static str,
        here: String,
        there: String,
    },
    /// A module is not loaded.
    ModuleMissing { module: String },
    /// A library of functions is not there, or is another.
    Functions { library: String },
}

/// Digests of rules are no secrets, but nobody needs to see them.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = self.users.as_ref().map(|users| users.keys().collect::<Vec<_>>());
        f.debug_struct("ClientSettings")
            .field("users", &users)
            .field("values", &self.values)
            .finish_non_exhaustive()
    }
}

impl ClientSettings {
    /// Asks a node. What its user may not ask is missing.
    pub async fn read(node: &mut Client, info: &Info) -> Result<Self, ClientError> {
        let mut values = BTreeMap::new();
        for (name, _) in SETTINGS {
            match node.config_get(name).await {
                Ok(mut found) => values.extend(found.remove(*name).map(|value| (*name, value))),
                Err(error) if error.leaves_usable() => {}
                Err(error) => return Err(error),
            }
        }
        let connected = match node.connected_users().await {
            Ok(connected) => Some(connected),
            Err(error) if error.leaves_usable() => None,
            Err(error) => return Err(error),
        };
        let users = node.ask(&["ACL", "LIST"]).await?;
        let functions = node.ask(&["FUNCTION", "LIST", "WITHCODE"]).await?;
        Ok(Self {
            users: users
                .as_array()
                .map(|lines| lines.iter().filter_map(user).collect()),
            connected,
            values,
            modules: info.modules().to_vec(),
            functions: functions
                .as_array()
                .map(|found| found.iter().filter_map(library).collect()),
        })
    }

    /// What clients of this node would miss at the other one. `follows`: the other one follows this one's data, so that it should have
    /// the same functions; before that they come with the copy.
    pub fn differences(&self, other: &Self, follows: bool) -> Vec<Difference> {
        let mut found = self.missing_users(other);
        if let (Some(here), Some(there)) = (&self.users, &other.users) {
            let differs =
                |(user, rules): &(&String, &u64)| there.get(*user).is_some_and(|other| other != *rules);
            let user = |(user, _): (&String, _)| Difference::UserDiffers { user: user.clone() };
            found.extend(here.iter().filter(differs).map(user));
        }
        for (name, meaning) in SETTINGS {
            if let (Some(here), Some(there)) = (self.values.get(name), other.values.get(name))
                && here != there
            {
                found.push(Difference::Setting {
                    name,
                    meaning,
                    here: here.clone(),
                    there: there.clone(),
                });
            }
        }
        let lacks = |module: &&String| !other.modules.contains(module);
        let module = |module: &String| Difference::ModuleMissing {
            module: module.clone(),
        };
        found.extend(self.modules.iter().filter(lacks).map(module));
        if let (Some(here), Some(there), true) = (&self.functions, &other.functions, follows) {
            let differs = |(library, code): &(&String, &u64)| there.get(*library) != Some(*code);
            let library = |(library, _): (&String, _)| Difference::Functions {
                library: library.clone(),
            };
            found.extend(here.iter().filter(differs).map(library));
        }
        found
    }

    /// The ACL users that the other node lacks, with how many clients are logged in as each here.
    pub fn missing_users(&self, other: &Self) -> Vec<Difference> {
        let (Some(here), Some(there)) = (&self.users, &other.users) else {
            return Vec::new();
        };
        let connections = |user: &String| {
            let connected = self.connected.as_ref();
            connected
                .and_then(|connected| connected.get(user))
                .copied()
                .unwrap_or(0)
        };
        let missing = here.keys().filter(|user| !there.contains_key(*user));
        missing
            .map(|user| Difference::UserMissing {
                user: user.clone(),
                connections: connections(user),
            })
            .collect()
    }
}

impl Difference {
    /// What to do about it at the other node.
    pub fn advice(&self) -> String {
        match self {
            Self::UserMissing { user, .. } | Self::UserDiffers { user } => format!(
                "give {user} the rules there that it has at the primary (ACL SETUSER, and ACL SAVE or the configuration file)"
            ),
            Self::Setting { name, here, .. } => {
                format!("CONFIG SET {name} \"{here}\" there, if that is meant to be the same")
            }
            Self::ModuleMissing { module } => format!("load the module {module} there too"),
            Self::Functions { library } => {
                format!(
                    "FUNCTION LOAD {library} at the primary again, if it stays different while the node follows"
                )
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserMissing { user, connections: 0 } => {
                write!(f, "it has no ACL user {user}, which the primary has")
            }
            Self::UserMissing { user, connections } => write!(
                f,
                "it has no ACL user {user}, as which {connections} of the primary's connections are logged in: they would be refused"
            ),
            Self::UserDiffers { user } => {
                write!(
                    f,
                    "its ACL user {user} has other rules, or another password, than at the primary"
                )
            }
            Self::Setting {
                name,
                meaning,
                here,
                there,
            } => {
                write!(f, "its {name} is {there:?}, the primary's {here:?}: {meaning}")
            }
            Self::ModuleMissing { module } => {
                write!(f, "it lacks the module {module}, which the primary has")
            }
            Self::Functions { library } => {
                write!(
                    f,
                    "its library of functions {library} is not the primary's, or is missing"
                )
            }
        }
    }
}

fn digest(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A line of `ACL LIST`: `user NAME RULE …`. What is the default is left out by some versions and written by others.
fn user(line: &Value) -> Option<(String, u64)> {
    let (name, rules) = line.as_text()?.strip_prefix("user ")?.split_once(' ')?;
    let rules: Vec<_> = rules
        .split(' ')
        .filter(|rule| !matches!(*rule, "sanitize-payload" | "resetchannels" | "alldbs"))
        .collect();
    Some((name.to_owned(), digest(rules.join(" ").as_bytes())))
}

/// An entry of `FUNCTION LIST WITHCODE`.
fn library(entry: &Value) -> Option<(String, u64)> {
    let pairs = entry.as_pairs()?;
    let field = |wanted: &str| {
        let found = pairs.iter().find(|(name, _)| name.as_text() == Some(wanted));
        found.map(|(_, value)| *value)
    };
    let name = field("library_name")?.as_text()?;
    Some((name.to_owned(), digest(field("library_code")?.as_bytes()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(users: &[(&str, u64)], connected: &[(&str, usize)]) -> ClientSettings {
        let users = users.iter().map(|(user, rules)| ((*user).to_owned(), *rules));
        let connected = connected.iter().map(|(user, count)| ((*user).to_owned(), *count));
        ClientSettings {
            users: Some(users.collect()),
            connected: Some(connected.collect()),
            ..ClientSettings::default()
        }
    }

    #[test]
    fn what_the_other_lacks_is_told_and_what_it_has_more_is_not() {
        let here = settings(&[("app", 1), ("ops", 2), ("same", 3)], &[("app", 4)]);
        let there = settings(&[("ops", 9), ("same", 3), ("more", 1)], &[]);
        let (user, connections) = ("app".to_owned(), 4);
        let missing = Difference::UserMissing { user, connections };
        let user = "ops".to_owned();
        assert_eq!(
            here.differences(&there, true),
            [missing, Difference::UserDiffers { user }]
        );
        // What could not be read says nothing.
        assert_eq!(here.differences(&ClientSettings::default(), true), Vec::new());
    }

    #[test]
    fn secrets_are_not_kept() {
        let line = Value::Bulk(b"user app on #2bb80d537b1d ~* &* +@all".to_vec().into());
        let (name, _) = user(&line).expect("a user");
        let settings = settings(&[(&name, user(&line).expect("a user").1)], &[]);
        assert!(!format!("{settings:?}").contains("2bb8"));
    }
}
