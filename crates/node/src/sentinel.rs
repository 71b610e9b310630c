//! Asking Sentinels who the primary of a service is now.

use std::time::Duration;

use sterna_protocol::resp::Value;

use crate::address::NodeAddress;
use crate::client::{Client, ClientError};
use crate::connect::Dialer;

/// What a Sentinel knows about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The node that it holds for the primary.
    pub primary: NodeAddress,
    /// The replicas that it knows.
    pub replicas: Vec<NodeAddress>,
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

/// Asks the Sentinels in turn until one names the primary.
pub async fn find_watched(
    sentinels: &[Dialer],
    master_name: &str,
    command_timeout: Duration,
) -> Result<Watched, SentinelError> {
    let mut failures = Vec::new();
    for dialer in sentinels {
        match ask(dialer, master_name, command_timeout).await {
            Ok(watched) => return Ok(watched),
            Err(failure) => {
                tracing::debug!(sentinel = %dialer.address, error = %failure, "sentinel could not name the primary");
                failures.push((dialer.address.clone(), failure));
            }
        }
    }
    Err(SentinelError {
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
    // The replicas are a help, not a need: a Sentinel whose ACL hides them still names the primary.
    let replicas = match client.command(&["SENTINEL", "REPLICAS", master_name]).await {
        Ok(value) => value
            .as_array()
            .unwrap_or_default()
            .iter()
            .filter_map(replica)
            .collect(),
        Err(_) => Vec::new(),
    };
    Ok(Watched {
        primary,
        replicas,
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
