//! A node's configuration file: may it be rewritten, and what would its next restart make of it?
//!
//! `CONFIG REWRITE` knows the main file only. What an included file defines, or the command line, it writes a second time: with an ACL user
//! or a module there twice the node does not start any more (measured on Redis 7.0 and Valkey 8.1). And a setting of an included
//! file that stands below the rewritten one wins over it. So a node is looked at before. No command shows whether a
//! file includes others: that is seen where the node runs on this machine and its files can be read. Elsewhere what could
//! stand in an included file counts as if it did, unless a person says otherwise.

mod process;
mod read;
mod settings;

use std::collections::BTreeMap;
use std::fmt;

use sterna_model::ConfigRewrite;
use sterna_protocol::resp::Value;

use crate::client::{Client, ClientError};
use crate::info::Info;
use read::{ConfigFiles, Line};

/// What is known of a node's configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its path on the node's machine; none where the node was started without one.
    pub path: Option<String>,
    /// Why a rewrite of it would do harm, if it would.
    pub risk: Option<RewriteRisk>,
    /// Why it could not be read from here, if it could not.
    pub unread: Option<String>,
    files: Option<ConfigFiles>,
}

/// What a rewrite of a node's configuration file would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteRisk {
    /// The node would not start any more: an included file defines these ACL users, and they would be there twice.
    UsersTwice { users: Vec<String>, included: String },
    /// The node would not start any more: these modules are loaded by an included file or by the command line, and would be loaded
    /// twice.
    ModulesTwice { modules: Vec<String> },
    /// It would start without these settings: those of an included file win over what is rewritten.
    Overridden { settings: Vec<String>, included: String },
    /// It has ACL users or modules, and whether its file includes others can't be seen.
    Unseen {
        users: Vec<String>,
        modules: Vec<String>,
        /// Why not.
        reason: String,
    },
}

/// What of a configuration would be written twice where another file defines it.
#[derive(Debug, Default)]
struct Defined {
    /// The ACL users, where they do not stand in an ACL file.
    users: Vec<String>,
    /// The modules that were loaded from a path.
    modules: Vec<String>,
}

impl ConfigFile {
    /// Looks at a node's. With `running` the settings are to be kept as they are now; without, any values may be set later.
    pub async fn of(node: &mut Client, info: &Info, running: bool) -> Result<Self, ClientError> {
        let mut found = Self {
            path: info.server().config_file,
            risk: None,
            unread: None,
            files: None,
        };
        let Some(path) = found.path.clone() else {
            return Ok(found);
        };
        let defined = Defined {
            users: users(node).await?,
            modules: modules(node, info).await?,
        };
        let values = if running { Some(values(node).await?) } else { None };
        match files(node, info, path).await? {
            Ok(files) => {
                found.risk = judge(&files, &defined, values.as_ref());
                found.files = Some(files);
            }
            Err(reason) => {
                let nothing = defined.users.is_empty() && defined.modules.is_empty();
                found.unread = Some(reason.clone());
                found.risk = (!nothing).then_some(RewriteRisk::Unseen {
                    users: defined.users,
                    modules: defined.modules,
                    reason,
                });
            }
        }
        Ok(found)
    }

    /// What stands against a rewrite, where a person has said this of it.
    pub fn refusal(&self, rewrite: ConfigRewrite) -> Option<&RewriteRisk> {
        let allowed = |risk: &RewriteRisk| {
            rewrite == ConfigRewrite::Always && matches!(risk, RewriteRisk::Unseen { .. })
        };
        self.risk.as_ref().filter(|risk| !allowed(risk))
    }

    /// Whether its files, as they stand, give the node these settings at its restart. False where that can't be seen.
    pub fn keeps<'a>(&self, lines: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
        self.files
            .as_ref()
            .is_some_and(|files| settings::keep(files, lines))
    }
}

/// The settings of the group that a person can write to the file of a node by hand, as they are now.
pub async fn by_hand(node: &mut Client) -> Result<Vec<(&'static str, String)>, ClientError> {
    let mut lines = Vec::new();
    for name in settings::BY_HAND {
        lines.extend(
            node.config_get(name)
                .await?
                .remove(name)
                .map(|value| (name, value)),
        );
    }
    Ok(lines)
}

fn judge(
    files: &ConfigFiles,
    defined: &Defined,
    running: Option<&BTreeMap<&'static str, String>>,
) -> Option<RewriteRisk> {
    let names = |lines: &[&Line]| {
        let mut names: Vec<_> = lines
            .iter()
            .filter_map(|line| line.args.first().cloned())
            .collect();
        names.sort();
        names.dedup();
        names
    };
    let included = |lines: &[&Line]| lines.first().map(|line| files.names[line.file].clone());
    let of = |name: &str| {
        files
            .lines
            .iter()
            .filter(move |line| line.name == name)
            .collect::<Vec<_>>()
    };
    let users: Vec<_> = of("user").into_iter().filter(|line| line.is_included()).collect();
    if let Some(included) = included(&users) {
        let users = names(&users);
        return Some(RewriteRisk::UsersTwice { users, included });
    }
    let loads: Vec<_> = of("loadmodule")
        .into_iter()
        .filter(|line| !line.is_included())
        .collect();
    let in_main = names(&loads);
    let modules: Vec<_> = defined
        .modules
        .iter()
        .filter(|path| !in_main.contains(path))
        .cloned()
        .collect();
    if !modules.is_empty() {
        return Some(RewriteRisk::ModulesTwice { modules });
    }
    let winners = settings::overriding(files, |name| {
        running.map(|running| running.get(name).map_or("", String::as_str))
    });
    let settings = winners.iter().map(|line| line.name.clone()).collect();
    included(&winners).map(|included| RewriteRisk::Overridden { settings, included })
}

/// The values that the node has now.
async fn values(node: &mut Client) -> Result<BTreeMap<&'static str, String>, ClientError> {
    let mut values = BTreeMap::new();
    for name in settings::names() {
        values.extend(
            node.config_get(name)
                .await?
                .remove(name)
                .map(|value| (name, value)),
        );
    }
    Ok(values)
}

/// The ACL users that a rewrite would write down: those beside a `default` that is as it always is, or has a password from
/// `requirepass`. None where there is an ACL file: they stay in that.
async fn users(node: &mut Client) -> Result<Vec<String>, ClientError> {
    let file = node.config_get("aclfile").await?.remove("aclfile");
    if file.is_some_and(|file| !file.is_empty()) {
        return Ok(Vec::new());
    }
    let answer = node.ask(&["ACL", "LIST"]).await?;
    let Some(lines) = answer.as_array() else {
        // Who logs in under a name of its own is one.
        let me = node.ask(&["ACL", "WHOAMI"]).await?;
        let me = me.as_text().filter(|user| *user != "default");
        return Ok(me.map(str::to_owned).into_iter().collect());
    };
    let mut users = Vec::new();
    for line in lines.iter().filter_map(Value::as_text) {
        let Some((name, rules)) = line.strip_prefix("user ").and_then(|line| line.split_once(' ')) else {
            continue;
        };
        if name != "default" || !is_plain(rules, node.config_get("requirepass").await?.get("requirepass")) {
            users.push(name.to_owned());
        }
    }
    Ok(users)
}

/// Whether these are the rules of a `default` that nobody has defined as a user, as far as that can be told. Valkey
/// says `sanitize-payload`, which is the default, of every user.
fn is_plain(rules: &str, requirepass: Option<&String>) -> bool {
    let rules: Vec<_> = rules
        .split(' ')
        .filter(|rule| *rule != "sanitize-payload")
        .collect();
    match rules[..] {
        ["on", "nopass", "~*", "&*", "+@all"] => true,
        ["on", password, "~*", "&*", "+@all"] if password.starts_with('#') => {
            requirepass.is_some_and(|password| !password.is_empty())
        }
        _ => false,
    }
}

/// The modules that a rewrite would write down, by their paths: before Redis 7.0, which does not say them, it writes none.
async fn modules(node: &mut Client, info: &Info) -> Result<Vec<String>, ClientError> {
    let answer = node.ask(&["MODULE", "LIST"]).await?;
    let Some(entries) = answer.as_array() else {
        return Ok(info.modules().to_vec());
    };
    Ok(entries.iter().filter_map(path_of_module).collect())
}

/// Where a module of `MODULE LIST` was loaded from; none for one that is linked in, as Redis 8's vector sets, which have no path, and
/// the scripts of Valkey 9.1, whose path is their name.
fn path_of_module(entry: &Value) -> Option<String> {
    let pairs = entry.as_pairs()?;
    let text = |wanted| {
        let mut pairs = pairs.iter();
        pairs
            .find(|(name, _)| name.as_text() == Some(wanted))
            .and_then(|(_, value)| value.as_text())
    };
    let path = text("path").filter(|path| !path.is_empty() && text("name") != Some(path));
    path.map(str::to_owned)
}

/// The node's files, or why they can't be read.
async fn files(
    node: &mut Client,
    info: &Info,
    path: String,
) -> Result<Result<ConfigFiles, String>, ClientError> {
    let answer = node.ask(&["CLIENT", "INFO"]).await?;
    if let Some(error) = answer.as_error() {
        return Ok(Err(format!("it answers CLIENT INFO with: {error}")));
    }
    let text = answer
        .as_bytes()
        .map(|text| String::from_utf8_lossy(text))
        .unwrap_or_default();
    let field = |name: &str| {
        let mut words = text.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let elsewhere = || Err("it does not run on this machine".to_owned());
    let (Some(process_id), Some(server), Some(client)) =
        (info.server().process_id, field("laddr"), field("addr"))
    else {
        return Ok(elsewhere());
    };
    let looked = tokio::task::spawn_blocking(move || match process::here(process_id, server, client) {
        Some(process) => read::read(&process, &path),
        None => elsewhere(),
    });
    Ok(looked.await.unwrap_or_else(|error| Err(error.to_string())))
}

impl fmt::Display for RewriteRisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsersTwice { users, included } => write!(
                f,
                "{included}, which its configuration file includes, defines ACL users ({}): CONFIG REWRITE would write them a second \
                 time, and the node would not start any more",
                users.join(", ")
            ),
            Self::ModulesTwice { modules } => write!(
                f,
                "modules ({}) are loaded by the command line or an included file: CONFIG REWRITE would write them a second \
                 time, and the node would not start any more",
                modules.join(", ")
            ),
            Self::Overridden { settings, included } => write!(
                f,
                "{included}, which its configuration file includes, sets {} and stands below: it would win over what CONFIG REWRITE \
                 writes",
                settings.join(", ")
            ),
            Self::Unseen {
                users,
                modules,
                reason,
            } => {
                let counted = |names: &[String], what: &str| {
                    (!names.is_empty()).then(|| format!("{what} ({})", names.join(", ")))
                };
                let has = [counted(users, "ACL users"), counted(modules, "modules")];
                let has: Vec<_> = has.into_iter().flatten().collect();
                write!(
                    f,
                    "it has {}, and whether they stand in an included file can't be seen from here ({reason}): if they do, CONFIG \
                     REWRITE would write them a second time, and the node would not start any more",
                    has.join(" and ")
                )
            }
        }
    }
}

impl RewriteRisk {
    /// What a person does about it, so that the gateway can write the file itself.
    pub fn advice(&self, path: &str) -> String {
        match self {
            Self::UsersTwice { included, .. } => {
                format!("move the users from {included} to {path} or to an ACL file (aclfile)")
            }
            Self::ModulesTwice { .. } => format!("put the loadmodule lines into {path} and nowhere else"),
            Self::Overridden { included, settings } => {
                format!(
                    "take {} out of {included}, or put its include at the top of {path}",
                    settings.join(", ")
                )
            }
            Self::Unseen { users, .. } => format!(
                "if they stand in {path} itself, CONFIG REWRITE there once, and say `sterna service update NAME --config-rewrite always` \
                 for the times to come; if not, move them there{}",
                if users.is_empty() {
                    ""
                } else {
                    ", or the users to an ACL file (aclfile)"
                }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_user_that_nobody_defined_is_none() {
        let password = "secret".to_owned();
        assert!(is_plain("on nopass ~* &* +@all", None));
        assert!(is_plain("on #2bb8 ~* &* +@all", Some(&password)));
        assert!(is_plain("on nopass sanitize-payload ~* &* +@all", None));
        // Of `user default …` lines.
        assert!(!is_plain(
            "on sanitize-payload #2bb8 ~* &* +@all",
            Some(&String::new())
        ));
        assert!(!is_plain("off nopass ~* &* +@all", None));
    }
}
