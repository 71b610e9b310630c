//! Which of the addresses that Sentinels list are nodes of the service?
//!
//! `SENTINEL REPLICAS` keeps whoever once followed the primary, for ever: nodes that are long gone, the relay of a gateway, and
//! addresses that belong to somebody else by now. A node of the service answers to the service's login and shares the history of
//! its primary as a replica, or is about to: it follows a node that does. Who has become a primary of its own is none.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use sterna_protocol::ReplicationId;

use crate::address::NodeAddress;
use crate::connect::Dialer;
use crate::info::{ReplicationInfo, Role};
use crate::race::all_within_grace;
use crate::upstream::{CandidateFailure, ask};

/// How long others may still answer once one has: a dead one answers never.
const GRACE: Duration = Duration::from_secs(2);

/// What a listed address turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A node of the service.
    Node,
    /// One that is known under this address already.
    SameAs(NodeAddress),
    /// Somebody else answers there: another service's node, a relay, another program.
    Foreign(String),
    /// Nobody answers.
    Silent(String),
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("it is a node of the service"),
            Self::SameAs(address) => write!(f, "it is {address}"),
            Self::Foreign(reason) | Self::Silent(reason) => f.write_str(reason),
        }
    }
}

/// Asks every listed address who it is. `known` is a node of the service that answers; `service` is how its nodes are reached.
pub async fn identify(
    listed: &[NodeAddress],
    known: &NodeAddress,
    service: &Dialer,
    timeout: Duration,
) -> Result<Vec<(NodeAddress, Listed)>, CandidateFailure> {
    let anchor = ask(&service.at(known.clone()), timeout).await?;
    let asks = listed.iter().map(|address| {
        let dialer = service.at(address.clone());
        async move { ask(&dialer, timeout).await }
    });
    let mut answers = all_within_grace(asks, GRACE).await.into_iter().peekable();
    let mut processes = vec![(anchor.info.server().run_id, known.clone())];
    let mut found = Vec::new();
    for (index, address) in listed.iter().enumerate() {
        let answer = answers.next_if(|(at, _)| *at == index);
        let what = match answer {
            None => Listed::Silent("it does not answer".to_owned()),
            Some((_, Err(CandidateFailure::Client(error)))) if !error.is_answer() => {
                Listed::Silent(error.to_string())
            }
            Some((_, Err(failure))) => Listed::Foreign(failure.to_string()),
            Some((_, Ok(node))) => {
                let process = node.info.server().run_id;
                let same = processes
                    .iter()
                    .find(|(known, _)| known.is_some() && *known == process);
                match same {
                    Some((_, same)) if same != address => Listed::SameAs(same.clone()),
                    Some(_) => Listed::Node,
                    None if belongs(&node.replication, known, &anchor.replication) => {
                        processes.push((process, address.clone()));
                        Listed::Node
                    }
                    None => Listed::Foreign(other(&node.replication)),
                }
            }
        };
        found.push((address.clone(), what));
    }
    Ok(found)
}

fn belongs(node: &ReplicationInfo, known: &NodeAddress, anchor: &ReplicationInfo) -> bool {
    let histories = |of: &ReplicationInfo| -> BTreeSet<ReplicationId> {
        [Some(of.replid), of.replid2].into_iter().flatten().collect()
    };
    let shares = !histories(node).is_disjoint(&histories(anchor));
    node.role == Role::Replica && (shares || node.primary.as_ref() == Some(known))
}

fn other(node: &ReplicationInfo) -> String {
    let what = match &node.primary {
        Some(primary) => format!("a replica of {primary}"),
        None => "a primary".to_owned(),
    };
    format!("{what} answers there, with another history ({})", node.replid)
}
