//! Asking Sentinels who the primary of a service is now.

pub mod listed;

use std::time::Duration;

use sterna_protocol::resp::Value;

use crate::address::NodeAddress;
use crate::client::{Client, ClientError};
use crate::connect::Dialer;
use crate::race::all_within_grace;

/// What a Sentinel knows about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The node that it holds for the primary.
    pub primary: NodeAddress,
    /// The replicas that it knows.
    pub replicas: Vec<NodeAddress>,
    /// The Sentinels' counter of failovers of this service.
    pub config_epoch: i64,
    /// They agree that the primary is down, or are replacing it.
    pub fails_over: bool,
    /// Which Sentinel said so.
    pub sentinel: NodeAddress,
}

/// No Sentinel could name the primary.
#[derive(Debug, thiserror::Error)]
#[error("no Sentinel could name the primary of {master_name:?}: {}", reasons(.failures))]
pub struct SentinelError {
    /// The name that was asked for.
    pub master_name: String,
    /// What each of them said.
    pub failures: Vec<(NodeAddress, SentinelFailure)>,
}

/// Why one Sentinel could not name the primary.
#[derive(Debug, thiserror::Error)]
pub enum SentinelFailure {
    /// It can't be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It watches no service of that name.
    #[error("it watches no service of that name; it knows {}", known(.0))]
    UnknownName(Vec<String>),
    /// A node, or something else, answers there.
    #[error(
        "what answers there is not a Sentinel but an ordinary node: write redis:// instead of redis+sentinel://"
    )]
    NotASentinel,
    /// Its answer makes no sense.
    #[error("its answer makes no sense: {0}")]
    Nonsense(String),
}

/// How long other Sentinels may still answer once one has: one that was cut off may name the old primary.
const RIVAL_GRACE: Duration = Duration::from_millis(500);

/// Asks all Sentinels at once. Where they disagree, the one with the highest configuration epoch is right.
pub async fn find_watched(
    sentinels: &[Dialer],
    master_name: &str,
    command_timeout: Duration,
) -> Result<Watched, SentinelError> {
    let asks = sentinels.iter().map(|dialer| {
        let (dialer, master_name) = (dialer.clone(), master_name.to_owned());
        async move { ask(&dialer, &master_name, command_timeout).await }
    });
    let mut best: Option<Watched> = None;
    let mut failures = Vec::new();
    for (index, answer) in all_within_grace(asks, RIVAL_GRACE).await {
        match answer {
            Ok(watched) => {
                if best
                    .as_ref()
                    .is_none_or(|known| watched.config_epoch > known.config_epoch)
                {
                    best = Some(watched);
                }
            }
            Err(failure) => failures.push((sentinels[index].address.clone(), failure)),
        }
    }
    best.ok_or_else(|| SentinelError {
        master_name: master_name.to_owned(),
        failures,
    })
}

async fn ask(dialer: &Dialer, master_name: &str, timeout: Duration) -> Result<Watched, SentinelFailure> {
    let mut client = Client::connect_with_timeout(dialer, timeout).await?;
    let answer = client
        .command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master_name])
        .await;
    let value = match answer {
        Ok(value) => value,
        Err(ClientError::Reply { text, .. }) if text.contains("unknown command") => {
            return Err(SentinelFailure::NotASentinel);
        }
        Err(error) => return Err(error.into()),
    };
    let Some(items) = value.as_array() else {
        let masters = client.command(&["SENTINEL", "MASTERS"]).await?;
        return Err(SentinelFailure::UnknownName(names(&masters)));
    };
    let primary = match items {
        [host, port] => address(host, port),
        _ => None,
    };
    let primary = primary.ok_or_else(|| SentinelFailure::Nonsense(format!("{value:?}")))?;
    // What follows is a help, not a need: a Sentinel whose ACL hides it still names the primary.
    let master = client.ask(&["SENTINEL", "MASTER", master_name]).await?;
    let config_epoch = field(&master, "config-epoch")
        .and_then(Value::as_int)
        .unwrap_or(0);
    let flags = field(&master, "flags")
        .and_then(Value::as_text)
        .unwrap_or_default();
    let fails_over = flags
        .split(',')
        .any(|flag| matches!(flag, "o_down" | "failover_in_progress"));
    let replicas = client.ask(&["SENTINEL", "REPLICAS", master_name]).await?;
    let replicas = replicas
        .as_array()
        .unwrap_or_default()
        .iter()
        .filter_map(replica)
        .collect();
    Ok(Watched {
        primary,
        replicas,
        config_epoch,
        fails_over,
        sentinel: dialer.address.clone(),
    })
}

fn address(host: &Value, port: &Value) -> Option<NodeAddress> {
    let host = host.as_text().filter(|host| !host.is_empty())?;
    let port = u16::try_from(port.as_int()?).ok().filter(|port| *port != 0)?;
    Some(NodeAddress::new(host, port))
}

fn field<'a>(entry: &'a Value, name: &str) -> Option<&'a Value> {
    entry
        .as_pairs()?
        .into_iter()
        .find(|(key, _)| key.as_text() == Some(name))
        .map(|(_, value)| value)
}

fn replica(entry: &Value) -> Option<NodeAddress> {
    address(field(entry, "ip")?, field(entry, "port")?)
}

fn names(masters: &Value) -> Vec<String> {
    masters
        .as_array()
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| field(entry, "name")?.as_text().map(str::to_owned))
        .collect()
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn reasons(failures: &[(NodeAddress, SentinelFailure)]) -> String {
    failures
        .iter()
        .map(|(address, failure)| format!("{address}: {failure}"))
        .collect::<Vec<_>>()
        .join("; ")
}
