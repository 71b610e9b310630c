//! Makes a node a replica of a relay, a primary, or what it was before, and gives every node of a group the settings that it
//! needs.
//!
//! What a node was before is looked at first and kept by the caller, because it holds settings that only the node knows.

use serde::{Deserialize, Serialize};
use sterna_model::ConfigRewrite;
use sterna_protocol::Secret;

use crate::address::NodeAddress;
use crate::backlog;
use crate::client::{Client, ClientError};
use crate::config_file::{self, ConfigFile};
use crate::info::{InfoError, Role};

/// What is changed at the nodes of a group, or of a link's targets, whatever it was.
const RAISED: [&str; 5] = [
    "replica-read-only",
    "repl-backlog-size",
    "repl-backlog-ttl",
    "min-replicas-to-write",
    "min-replicas-max-lag",
];

/// What a node was before it was adopted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalSettings {
    /// Its address as it was given.
    pub address: String,
    /// `masteruser` and `masterauth`.
    pub masteruser: String,
    /// See `masteruser`.
    #[serde(with = "sterna_protocol::secret::exposed")]
    pub masterauth: Secret,
    /// `tls-replication`.
    pub tls_replication: Option<String>,
    /// Settings that are changed while it is in, and their values.
    #[serde(default)]
    pub raised: Vec<(String, String)>,
    /// What it was a replica of, if it was one.
    pub replica_of: Option<(String, u16)>,
}

impl OriginalSettings {
    /// Whether the node follows this relay already, and logs in there as it should.
    pub fn follows(&self, relay: &RelayAccess) -> bool {
        let known = self.masteruser == relay.user && self.masterauth == relay.secret;
        let followed = self.replica_of.as_ref();
        let is_there =
            |(host, port): &(String, u16)| *host == relay.address.host && *port == relay.address.port;
        known && followed.is_some_and(is_there)
    }
}

/// The relay that a node shall follow, and how it logs in there.
#[derive(Debug, Clone)]
pub struct RelayAccess {
    /// Where the node finds it.
    pub address: NodeAddress,
    /// The user name: the shard's.
    pub user: String,
    /// The password.
    pub secret: Secret,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Whether a node keeps its settings over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigPersistence {
    /// They are in its configuration file.
    InFile,
    /// A person writes them there, and has said so.
    ByHand,
    /// They are not.
    UntilRestart(NotKept),
}

/// Settings that stand in the running node alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotKept {
    /// Why they are not in its configuration file, and what to do about it.
    pub error: String,
    /// The lines that a person can write at the end of that file instead.
    pub by_hand: Vec<String>,
}

/// A node was pointed at the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Whether it was a primary before.
    pub was_primary: bool,
    /// Whether that outlives its restart.
    pub settings: ConfigPersistence,
}

/// A node could not be adopted. Its data is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It refused a command.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It says of itself what makes no sense.
    #[error(transparent)]
    Info(#[from] InfoError),
}

/// Looks at what a node is now.
pub async fn read_settings(node: &mut Client) -> Result<OriginalSettings, AdoptError> {
    let replication = node.info().await?.replication()?;
    let replica_of = match (replication.role, replication.primary) {
        (Role::Replica, Some(primary)) => Some((primary.host, primary.port)),
        _ => None,
    };
    let mut raised = Vec::new();
    for name in RAISED {
        raised.extend(get(node, name).await?.map(|value| (name.to_owned(), value)));
    }
    Ok(OriginalSettings {
        address: node.address().to_string(),
        masteruser: get(node, "masteruser").await?.unwrap_or_default(),
        masterauth: Secret::new(get(node, "masterauth").await?.unwrap_or_default()),
        tls_replication: get(node, "tls-replication").await?,
        raised,
        replica_of,
    })
}

/// Sets how the node logs in to the relay, without making it follow: what `FAILOVER TO` needs before it is given.
pub async fn configure_login(node: &mut Client, relay: &RelayAccess) -> Result<(), ClientError> {
    node.config_set("masteruser", &relay.user).await?;
    node.config_set("masterauth", relay.secret.expose()).await?;
    let tls = get(node, "tls-replication").await?;
    if relay.tls {
        node.config_set("tls-replication", "yes").await?;
    } else if tls.as_deref() == Some("yes") {
        node.config_set("tls-replication", "no").await?;
    }
    Ok(())
}

/// Points the node at the relay, unless it already follows it.
pub async fn follow(
    node: &mut Client,
    relay: &RelayAccess,
    rewrite: ConfigRewrite,
) -> Result<Followed, AdoptError> {
    let before = read_settings(node).await?;
    node.config_set("replica-read-only", "yes").await?;
    // It helps those who follow this node after its promotion, and nobody else.
    drop(raise_backlog(node).await);
    if !before.follows(relay) {
        configure_login(node, relay).await?;
        node.replica_of(&relay.address).await?;
    }
    Ok(Followed {
        was_primary: before.replica_of.is_none(),
        settings: rewrite_config(node, rewrite).await,
    })
}

/// Gives a primary what every node of a group needs, so that a short loss of the connection costs no full copy.
pub async fn prepare(node: &mut Client, rewrite: ConfigRewrite) -> Result<(), AdoptError> {
    if raise_backlog(node).await? {
        rewrite_config(node, rewrite).await;
    }
    Ok(())
}

/// Gives a node back the settings that it had. Its role and its login stay.
pub async fn put_back(node: &mut Client, before: &OriginalSettings) -> Result<(), ClientError> {
    for (name, value) in &before.raised {
        node.config_set(name, value).await?;
    }
    Ok(())
}

/// Puts the login to the relay back to what it was. The node's role stays.
pub async fn forget_relay(node: &mut Client, before: Option<&OriginalSettings>) -> Result<(), ClientError> {
    let (user, secret) = before.map_or(("", &b""[..]), |before| {
        (before.masteruser.as_str(), before.masterauth.expose())
    });
    node.config_set("masteruser", user).await?;
    node.config_set("masterauth", secret).await?;
    if let Some(tls) = before.and_then(|before| before.tls_replication.as_deref()) {
        node.config_set("tls-replication", tls).await?;
    }
    Ok(())
}

/// Makes the node a primary with its old settings.
pub async fn release(
    node: &mut Client,
    before: Option<&OriginalSettings>,
    rewrite: ConfigRewrite,
) -> Result<ConfigPersistence, ClientError> {
    node.replica_of_no_one().await?;
    forget_relay(node, before).await?;
    if let Some(before) = before {
        put_back(node, before).await?;
    }
    Ok(rewrite_config(node, rewrite).await)
}

/// Undoes [`follow`] at a node that never got any data: it becomes exactly what it was.
pub async fn restore(
    node: &mut Client,
    before: &OriginalSettings,
    rewrite: ConfigRewrite,
) -> Result<ConfigPersistence, ClientError> {
    forget_relay(node, Some(before)).await?;
    put_back(node, before).await?;
    match &before.replica_of {
        None => node.replica_of_no_one().await?,
        Some((host, port)) => node.replica_of(&NodeAddress::new(host.clone(), *port)).await?,
    }
    Ok(rewrite_config(node, rewrite).await)
}

/// Writes the node's settings to its configuration file, unless that would keep it from starting, or from starting with them.
pub async fn rewrite_config(node: &mut Client, rewrite: ConfigRewrite) -> ConfigPersistence {
    if rewrite == ConfigRewrite::Never {
        return ConfigPersistence::ByHand;
    }
    let outcome = try_rewrite(node, rewrite).await;
    outcome.unwrap_or_else(|error| ConfigPersistence::UntilRestart(NotKept::because(error.to_string())))
}

async fn try_rewrite(node: &mut Client, rewrite: ConfigRewrite) -> Result<ConfigPersistence, ClientError> {
    let info = node.info().await?;
    let file = ConfigFile::of(node, &info, true).await?;
    let path = file.path.as_deref().unwrap_or_default();
    let error = match file.refusal(rewrite) {
        Some(risk) => format!("{risk}. So it is not rewritten; {}", risk.advice(path)),
        None => match node.config_rewrite().await {
            Ok(()) => return Ok(ConfigPersistence::InFile),
            Err(error) => error.to_string(),
        },
    };
    if file.path.is_none() {
        return Ok(ConfigPersistence::UntilRestart(NotKept::because(error)));
    }
    let lines = config_file::by_hand(node).await?;
    let is_primary = info.role().is_ok_and(|role| role == Role::Primary);
    if is_primary && file.keeps(lines.iter().map(|(name, value)| (*name, value.as_str()))) {
        return Ok(ConfigPersistence::InFile);
    }
    let by_hand = lines
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    Ok(ConfigPersistence::UntilRestart(NotKept { error, by_hand }))
}

impl NotKept {
    fn because(error: String) -> Self {
        let by_hand = Vec::new();
        Self { error, by_hand }
    }
}

async fn get(node: &mut Client, name: &str) -> Result<Option<String>, ClientError> {
    Ok(node.config_get(name).await?.remove(name))
}

/// Makes the backlog as large as a group needs it, and lets it stay while nobody follows. Returns whether anything was
/// changed.
async fn raise_backlog(node: &mut Client) -> Result<bool, AdoptError> {
    let info = node.info().await?;
    let wanted = backlog::wanted(backlog::rate(&info, &info.replication()?));
    let size = get(node, "repl-backlog-size").await?;
    let too_small = size
        .and_then(|text| text.parse::<u64>().ok())
        .is_some_and(|size| size < wanted);
    if too_small {
        node.config_set("repl-backlog-size", &wanted.to_string()).await?;
    }
    let ends = get(node, "repl-backlog-ttl").await?.is_some_and(|ttl| ttl != "0");
    if ends {
        node.config_set("repl-backlog-ttl", "0").await?;
    }
    Ok(too_small || ends)
}
