//! How a client finds the primary: it asks discovery as it would ask a Sentinel.

use std::time::Duration;

use anyhow::Context as _;
use sterna_node::{Client, Dialer, NodeAddress};

use super::operator::GROUP;

/// A client waits so long for any answer.
pub(super) const ANSWER_MAX: Duration = Duration::from_millis(500);

/// `SENTINEL GET-MASTER-ADDR-BY-NAME`.
pub(super) async fn primary(discovery: &NodeAddress) -> anyhow::Result<NodeAddress> {
    let mut client = Client::connect_with_timeout(&Dialer::new(discovery.clone()), ANSWER_MAX).await?;
    let answer = client
        .command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])
        .await?;
    let parts: Vec<_> = answer
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| part.as_text())
        .collect();
    let [host, port] = parts[..] else {
        anyhow::bail!("discovery knows no primary of {GROUP}: {answer:?}");
    };
    Ok(NodeAddress::new(host, port.parse().context("a port")?))
}

/// A connection to the primary, which says of itself that it is one. Clients of Sentinels make sure of that, too.
pub(super) async fn connect(discovery: &NodeAddress) -> anyhow::Result<Client> {
    let dialer = Dialer::new(primary(discovery).await?);
    let mut client = Client::connect_with_timeout(&dialer, ANSWER_MAX).await?;
    let answer = client.command(&["ROLE"]).await?;
    let role = answer.as_array().and_then(|parts| parts.first()?.as_text());
    anyhow::ensure!(role == Some("master"), "{} is {role:?}", client.address());
    Ok(client)
}
