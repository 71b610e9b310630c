//! A node of a group, as its owner knows it.

use std::net::IpAddr;
use std::time::Duration;

use sterna_node::Role;
use sterna_node::adopt::Kept;
use tokio::time::Instant;

use crate::observe::{Facts, Look, NodeKey, Probe, Trouble};
use crate::plan::health::Sign;

/// A look that is older than this says nothing any more.
const FRESH: Duration = Duration::from_secs(3);

/// A node that answered so short a time ago is not taken for one that is away.
const LATELY: Duration = Duration::from_secs(2);

/// What is known of a node.
#[derive(Debug)]
pub(crate) struct NodeState {
    pub(crate) key: NodeKey,
    pub(crate) probe: Probe,
    /// The last answer.
    pub(crate) facts: Option<Facts>,
    /// Why the last look failed, if it did.
    pub(crate) trouble: Option<Trouble>,
    looked_at: Option<Instant>,
    /// Since when every look has given the same sign.
    sign_since: Option<Instant>,
    /// When it last answered anything.
    answered_at: Option<Instant>,
    /// When it last answered as a primary that serves.
    pub(crate) served_at: Option<Instant>,
    /// It was shut to writes by us, in the life of this process of its, and nothing that opens it was begun since.
    pub(crate) shut_run: Option<String>,
    /// Whether its settings survive its restart.
    pub(crate) kept: Option<Kept>,
    /// The address under which it sees us.
    pub(crate) local: Option<IpAddr>,
    /// When something was last put right at it.
    pub(crate) repaired_at: Option<Instant>,
}

impl NodeState {
    pub(crate) fn new(key: NodeKey, probe: Probe) -> Self {
        Self {
            key,
            probe,
            facts: None,
            trouble: None,
            looked_at: None,
            sign_since: None,
            answered_at: None,
            served_at: None,
            shut_run: None,
            kept: None,
            local: None,
            repaired_at: None,
        }
    }

    /// Takes a look in.
    pub(crate) fn looked(&mut self, look: Look) {
        let before = self.sign();
        self.looked_at = Some(look.at);
        self.local = look.local.or(self.local);
        match look.seen {
            Ok(facts) => {
                if facts.is_primary() && !facts.loading {
                    self.served_at = Some(look.at);
                }
                self.trouble = None;
                self.facts = Some(facts);
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
        if self.sign().answers() {
            self.answered_at = Some(look.at);
        }
        if self.sign() != before || self.sign_since.is_none() {
            self.sign_since = Some(look.at);
        }
    }

    /// What the last look showed.
    pub(crate) fn sign(&self) -> Sign {
        match (&self.trouble, &self.facts) {
            (Some(Trouble::Refused(_)), _) => Sign::Refused,
            (Some(Trouble::Silent(_)), _) => Sign::Silent,
            (Some(Trouble::Denied(_)), _) => Sign::Denied,
            (None, None) => Sign::Unknown,
            (None, Some(facts)) if facts.loading => Sign::Loading,
            (None, Some(facts)) if facts.role == Role::Replica => Sign::Replica,
            (None, Some(_)) => Sign::Primary,
        }
    }

    /// Whether it answers, or did so a moment ago: a promotion closes a node's connections.
    pub(crate) fn answered_lately(&self, now: Instant) -> bool {
        self.answered_at
            .is_some_and(|at| now.saturating_duration_since(at) < LATELY)
    }

    /// For how long it has been the same.
    pub(crate) fn sign_for(&self, now: Instant) -> Duration {
        self.sign_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Its last answer, if that is of now.
    pub(crate) fn fresh(&self, now: Instant) -> Option<&Facts> {
        let fresh = self
            .looked_at
            .is_some_and(|at| now.saturating_duration_since(at) < FRESH);
        self.facts.as_ref().filter(|_| fresh && self.trouble.is_none())
    }

    /// Whether this process of it was shut to writes by us.
    pub(crate) fn is_shut(&self) -> bool {
        let run = self.facts.as_ref().map(|facts| &facts.run_id);
        self.shut_run.is_some() && self.shut_run.as_ref() == run
    }
}
