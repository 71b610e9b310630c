//! Checks: what was found at a node, or between two, before anything is touched there.

use std::fmt;

use serde::{Deserialize, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

use crate::{ServiceName, ServiceRole};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Fine.
    Pass,
    /// It works, but something should be known or changed.
    Warn,
    /// Replication must not start like this.
    Refuse,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        })
    }
}

/// What a check is about; a text as data: `from`, `to db:6379`, `here`, the address of a node or the name of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Subject {
    /// The service that is copied.
    From,
    /// A node that is to copy it.
    To(NodeAddress),
    /// This machine.
    Here,
    /// A node of a service that is looked at by itself.
    Node(NodeAddress),
    /// Such a service as a whole.
    Service(ServiceName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From => f.pad("from"),
            Self::To(address) => f.pad(&format!("to {address}")),
            Self::Here => f.pad("here"),
            Self::Node(address) => f.pad(&address.to_string()),
            Self::Service(name) => f.pad(name.as_str()),
        }
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl TryFrom<String> for Subject {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = |text: &str| text.parse::<NodeAddress>();
        match text.as_str() {
            "from" => Ok(Self::From),
            "here" => Ok(Self::Here),
            text => match text.strip_prefix("to ") {
                Some(target) => address(target).map(Self::To),
                None => match text.parse() {
                    Ok(name) => return Ok(Self::Service(name)),
                    Err(_) => address(text).map(Self::Node),
                },
            }
            .map_err(|_| format!("{text:?} is nothing that a check is about")),
        }
    }
}

/// One check and how it came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What it is about: `from`, `to db:6379`, `here`, the address of a node or the name of a service.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// What was checked, in a word or two; stable, so that scripts can look for it. Of a node: `reachable`, `tls`,
    /// `authenticated`, `permissions`, `cluster mode`, `loading`, `engine`, `configuration`. Of one that is to be a
    /// primary: `role`, `backlog`, `fence`, `memory`. Of one that is to be a replica: `role`, `empty`, `eviction`,
    /// `persistence`, `full copy`, `read-only`. Of the two together: `RDB version`, `modules`, `topology`, `sentinel`,
    /// `relay address`, `databases`, `memory`, `relay TLS`, `masterauth`, `client settings`. Of a service: `nodes`, `sentinel`. Of this machine:
    /// `data directory`, `disk room`.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it; nothing where all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    /// All is well.
    pub fn pass(subject: &Subject, name: &str, detail: impl Into<String>) -> Self {
        Self {
            subject: subject.clone(),
            name: name.to_owned(),
            verdict: Verdict::Pass,
            detail: detail.into(),
            advice: None,
        }
    }

    /// It works, and `advice` says what would be better.
    pub fn warn(subject: &Subject, name: &str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            advice: Some(advice.into()),
            ..Self::pass(subject, name, detail)
        }
    }

    /// It must not be done, and `advice` says what to change.
    pub fn refuse(
        subject: &Subject,
        name: &str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Refuse,
            ..Self::warn(subject, name, detail, advice)
        }
    }
}

/// The gravest verdict of all; nothing stands against it where nothing was checked.
pub fn verdict(checks: &[Check]) -> Verdict {
    let verdicts = checks.iter().map(|check| check.verdict);
    verdicts.max().unwrap_or(Verdict::Pass)
}

/// Whether a service is fit for a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoctorReport {
    /// The service.
    pub service: ServiceName,
    /// The role that it was looked at for.
    pub role: ServiceRole,
    /// Check by check, in the order in which they are shown.
    pub checks: Vec<Check>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_is_about_is_read_back() {
        let node = NodeAddress::new("db", 6380);
        for subject in [
            Subject::From,
            Subject::To(node.clone()),
            Subject::Here,
            Subject::Node(node),
            Subject::Service("eu".parse().expect("a name")),
        ] {
            assert_eq!(Subject::try_from(subject.to_string()), Ok(subject));
        }
        assert!(Subject::try_from("to nobody at all".to_owned()).is_err());
    }

    #[test]
    fn the_gravest_verdict_counts() {
        let subject = Subject::Here;
        let pass = Check::pass(&subject, "engine", "Redis");
        let warn = Check::warn(&subject, "backlog", "small", "raise it");
        let refuse = Check::refuse(&subject, "role", "none", "make one");
        assert_eq!(verdict(&[]), Verdict::Pass);
        assert_eq!(verdict(&[warn.clone(), pass.clone()]), Verdict::Warn);
        assert_eq!(verdict(&[pass, refuse, warn]), Verdict::Refuse);
    }
}
