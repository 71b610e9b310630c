//! A service to follow: its candidates, and which of them is the primary at this moment.
//!
//! Asked anew at every reconnect, so that a failover inside the service, a changed DNS name or a replaced node is
//! found by itself.

use std::time::Duration;
use sterna_protocol::Credentials;

use crate::address::NodeAddress;
use crate::client::{COMMAND_TIMEOUT, Client, ClientError};
use crate::connect::{CONNECT_TIMEOUT, Dialer};
use crate::engine::{Engine, Unsupported};
use crate::info::{Info, InfoError, ReplicationInfo, Role};
use crate::race::all_within_grace;
use crate::secret::SecretError;
use crate::sentinel::{SentinelError, find_watched};
use crate::tls::{ClientTls, TlsError};
use crate::url::{Endpoints, ServiceUrl};

/// How long other candidates may still come forward as primary once one has: a rival must be seen, but a dead
/// candidate must not hold up a reconnect.
const RIVAL_GRACE: Duration = Duration::from_secs(1);

/// How to reach a service and find its primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where to look.
    pub endpoints: Endpoints,
    /// How to reach a node; the address in it stands for any.
    pub node: Dialer,
    /// How to reach a Sentinel, where there are some.
    pub sentinel: Option<Dialer>,
    /// Whether a node that was named alone is followed even if it is a replica: its stream is its primary's.
    pub takes_replica: bool,
    /// The limit of every command.
    pub command_timeout: Duration,
}

/// The node to follow, with a connection that is logged in.
///
/// It is a primary, except where the service was given by one address alone and a replica answers there: a
/// replica's stream is its primary's, so it can be followed too. `replication.role` says which.
#[derive(Debug)]
pub struct FoundPrimary {
    pub address: NodeAddress,
    /// How to open more connections to it.
    pub dialer: Dialer,
    /// What it runs.
    pub engine: Engine,
    /// The connection on which it was asked.
    pub client: Client,
    /// What it said.
    pub info: Info,
    /// Its replication section.
    pub replication: ReplicationInfo,
    /// Other nodes that also call themselves primary. More than none means that the service is split: say so.
    pub conflicts: Vec<NodeAddress>,
}

/// A service can't be reached as its URL says. Nothing was tried.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its TLS settings are of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A secret can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// No primary was found. Nothing was changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The Sentinels did not help.
    #[error(transparent)]
    Sentinel(#[from] SentinelError),
    /// None of the candidates is a primary that answers.
    #[error("no primary was found: {}", reasons(.0))]
    NoPrimary(Vec<(NodeAddress, CandidateFailure)>),
}

/// Why a candidate was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CandidateFailure {
    /// It can't be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It is neither Redis nor Valkey, or too old.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Its INFO lacks what replication needs.
    #[error(transparent)]
    Info(#[from] InfoError),
    #[error("it is a replica{}", of(.0.as_ref()))]
    Replica(Option<NodeAddress>),
}

impl FindError {
    /// The failure that a person has to act on: another engine or a refused login outranks a refused connection,
    /// which outranks "is a replica".
    pub fn most_telling(&self) -> Option<(&NodeAddress, &CandidateFailure)> {
        let Self::NoPrimary(failures) = self else {
            return None;
        };
        let weight = |failure: &CandidateFailure| match failure {
            CandidateFailure::Unsupported(_) | CandidateFailure::Info(_) => 3,
            CandidateFailure::Client(ClientError::Connect(_)) => 1,
            CandidateFailure::Client(_) => 2,
            CandidateFailure::Replica(_) => 0,
        };
        let mut best: Option<(&NodeAddress, &CandidateFailure)> = None;
        for (address, failure) in failures {
            if best.is_none_or(|(_, known)| weight(failure) > weight(known)) {
                best = Some((address, failure));
            }
        }
        best
    }

    /// A node that answers and is a replica, where nothing worse was found than nodes that can't be reached.
    pub fn answering_replica(&self) -> Option<&NodeAddress> {
        let Self::NoPrimary(failures) = self else {
            return None;
        };
        let is_harmless = |(_, failure): &(NodeAddress, CandidateFailure)| {
            matches!(
                failure,
                CandidateFailure::Replica(_) | CandidateFailure::Client(ClientError::Connect(_))
            )
        };
        let mut replicas = failures
            .iter()
            .filter(|(_, failure)| matches!(failure, CandidateFailure::Replica(_)));
        failures
            .iter()
            .all(is_harmless)
            .then(|| replicas.next().map(|(address, _)| address))
            .flatten()
    }
}

impl Upstream {
    /// Prepares for the service that the URL names: reads its TLS files, and its secrets where
    /// [`ServiceUrl::load_secrets`] has not done so.
    pub fn new(url: &ServiceUrl) -> Result<Self, UpstreamError> {
        let mut url = url.clone();
        url.load_secrets()?;
        let tls = url.tls.as_ref().map(ClientTls::new).transpose()?;
        let dialer = |tls: Option<ClientTls>, credentials| Dialer {
            address: url.endpoints.first().clone(),
            tls,
            credentials,
            connect_timeout: CONNECT_TIMEOUT,
        };
        let sentinel = url.sentinel.as_ref().map(|access| {
            let credentials = Credentials {
                user: access.user.clone(),
                password: access.password.clone(),
            };
            dialer(tls.clone().filter(|_| access.tls), credentials)
        });
        let credentials = Credentials {
            user: url.user.clone(),
            password: url.password.clone(),
        };
        Ok(Self {
            endpoints: url.endpoints.clone(),
            node: dialer(tls, credentials),
            sentinel,
            takes_replica: true,
            command_timeout: COMMAND_TIMEOUT,
        })
    }

    /// Looks at every candidate and returns the primary.
    ///
    /// Where several call themselves primary, the one with the most replicas attached is taken, then the one with
    /// the higher offset: a restarted old primary has neither. The others are reported as conflicts.
    pub async fn find_primary(&self) -> Result<FoundPrimary, FindError> {
        let candidates = self.candidates().await?;
        let takes_replica =
            self.takes_replica && matches!(self.endpoints, Endpoints::Nodes(_)) && candidates.len() == 1;
        let asks = candidates.iter().map(|address| {
            let dialer = self.node.at(address.clone());
            let timeout = self.command_timeout;
            async move {
                let found = ask(&dialer, timeout).await?;
                if found.replication.role == Role::Replica && !takes_replica {
                    return Err(CandidateFailure::Replica(found.replication.primary));
                }
                Ok(found)
            }
        });
        let mut primaries = Vec::new();
        let mut failures = Vec::new();
        for (index, answer) in all_within_grace(asks, RIVAL_GRACE).await {
            match answer {
                Ok(found) => primaries.push(found),
                Err(failure) => failures.push((candidates[index].clone(), failure)),
            }
        }
        primaries.sort_by_key(|found| {
            std::cmp::Reverse((found.replication.connected_replicas, found.replication.offset))
        });
        let mut primaries = primaries.into_iter();
        let mut best = primaries.next().ok_or(FindError::NoPrimary(failures))?;
        best.conflicts = primaries.map(|other| other.address).collect();
        if !best.conflicts.is_empty() {
            tracing::warn!(primary = %best.address, others = ?best.conflicts, "several nodes call themselves primary");
        }
        Ok(best)
    }

    /// The primary that the Sentinels name now; `None` where there are none to be asked.
    pub async fn named_primary(&self) -> Result<Option<NodeAddress>, SentinelError> {
        let Endpoints::Sentinel {
            sentinels,
            master_name,
        } = &self.endpoints
        else {
            return Ok(None);
        };
        let base = self.sentinel.as_ref().unwrap_or(&self.node);
        let dialers: Vec<_> = sentinels.iter().map(|address| base.at(address.clone())).collect();
        let watched = find_watched(&dialers, master_name, self.command_timeout).await?;
        Ok(Some(watched.primary))
    }

    /// The addresses to look at.
    async fn candidates(&self) -> Result<Vec<NodeAddress>, FindError> {
        Ok(match self.named_primary().await? {
            Some(primary) => vec![primary],
            None => self.endpoints.addresses().to_vec(),
        })
    }
}

/// Connects to a node and asks what it is and where it stands.
pub(crate) async fn ask(dialer: &Dialer, timeout: Duration) -> Result<FoundPrimary, CandidateFailure> {
    let mut client = Client::connect_with_timeout(dialer, timeout).await?;
    let info = client.info().await?;
    let engine = Engine::recognise(&info)?;
    let replication = info.replication()?;
    Ok(FoundPrimary {
        address: dialer.address.clone(),
        dialer: dialer.clone(),
        engine,
        client,
        info,
        replication,
        conflicts: Vec::new(),
    })
}

fn of(primary: Option<&NodeAddress>) -> String {
    primary
        .map(|primary| format!(" of {primary}"))
        .unwrap_or_default()
}

fn reasons(failures: &[(NodeAddress, CandidateFailure)]) -> String {
    failures
        .iter()
        .map(|(address, failure)| format!("{address}: {failure}"))
        .collect::<Vec<_>>()
        .join("; ")
}
