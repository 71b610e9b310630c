//! What the checks found, as data.

use std::fmt;

use serde::Serialize;

use crate::address::NodeAddress;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Fine.
    Pass,
    /// It will work, but something should be known or changed.
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

/// What a check is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The source service.
    From,
    /// One target node.
    To(NodeAddress),
    /// This machine.
    Here,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From => f.pad("from"),
            Self::To(address) => f.pad(&format!("to {address}")),
            Self::Here => f.pad("here"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One check and how it came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub subject: Subject,
    /// What was checked, in a word or two; stable, so that scripts can look for it: `reachable`, `tls`,
    /// `authenticated`, `permissions`, `engine`, `cluster mode`, `loading`, `role`, `backlog`, `RDB version`,
    /// `modules`, `topology`, `sentinel`, `relay address`, `empty`, `databases`, `memory`, `eviction`, `persistence`,
    /// `configuration`, `full copy`, `relay TLS`, `read-only`, `masterauth`, `data directory`, `disk room`.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    pub(super) fn pass(subject: &Subject, name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            subject: subject.clone(),
            name,
            verdict: Verdict::Pass,
            detail: detail.into(),
            advice: None,
        }
    }

    pub(super) fn warn(
        subject: &Subject,
        name: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self {
            subject: subject.clone(),
            name,
            verdict: Verdict::Warn,
            detail: detail.into(),
            advice,
        }
    }

    pub(super) fn refuse(
        subject: &Subject,
        name: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Refuse,
            ..Self::warn(subject, name, detail, advice)
        }
    }
}

/// All checks, in the order in which they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// The gravest verdict of all.
    pub fn verdict(&self) -> Verdict {
        self.checks
            .iter()
            .map(|check| check.verdict)
            .max()
            .unwrap_or(Verdict::Pass)
    }

    /// Whether replication must not start.
    pub fn is_refused(&self) -> bool {
        self.verdict() == Verdict::Refuse
    }
}
