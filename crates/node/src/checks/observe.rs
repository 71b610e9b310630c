//! Asking a node everything that the checks need, once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sterna_model::ConfigRewrite;

use super::Purpose;
use super::rights::{self, Right};
use crate::address::NodeAddress;
use crate::client::{CONNECTION_NAME, Client, ClientError};
use crate::client_settings::ClientSettings;
use crate::config_file::ConfigFile;
use crate::connect::Dialer;
use crate::engine::Engine;
use crate::info::{Info, ReplicationInfo};
use crate::upstream::{CandidateFailure, FindError, FoundPrimary, Upstream, ask};

/// How many primaries above a source that is itself a replica are looked at.
const CHAIN_HOPS_MAX: usize = 8;

/// Settings that the checks read.
const SETTINGS: &[&str] = &[
    "databases",
    "appendonly",
    "save",
    "repl-diskless-load",
    "replica-ignore-maxmemory",
    "replica-read-only",
    "tls-replication",
    "tls-ca-cert-file",
    "tls-ca-cert-dir",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "repl-backlog-size",
    "repl-backlog-ttl",
    // A secret: only whether it is set is kept.
    "masterauth",
];

/// What source and target need to be allowed.
const SOURCE_COMMANDS: &[&[&str]] = &[
    &["PSYNC", "?", "-1"],
    &["REPLCONF", "ACK", "0"],
    &["PING"],
    &["INFO"],
];
const TARGET_COMMANDS: &[&[&str]] = &[
    &["REPLICAOF", "NO", "ONE"],
    &["CONFIG", "GET", "databases"],
    &["CONFIG", "SET", "masteruser", "x"],
    &["CONFIG", "REWRITE"],
    &["INFO"],
];
/// What every node of a group needs to be allowed, which may be either one day.
const MEMBER_COMMANDS: &[&[&str]] = &[
    &["PSYNC", "?", "-1"],
    &["REPLCONF", "ACK", "0"],
    &["PING"],
    &["REPLICAOF", "NO", "ONE"],
    &["FAILOVER", "ABORT"],
    // How its clients are let go when it is no longer what they came for.
    &["CLIENT", "SETNAME", CONNECTION_NAME],
    &["CLIENT", "ID"],
    &["CLIENT", "LIST"],
    &["CLIENT", "KILL", "ID", "0"],
    &["CLIENT", "PAUSE", "0", "WRITE"],
    &["CLIENT", "UNPAUSE"],
    &["CONFIG", "GET", "databases"],
    &["CONFIG", "SET", "masteruser", "x"],
    &["CONFIG", "REWRITE"],
    &["INFO"],
];

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Plain,
    Verified,
    Unverified,
}

/// A node as it was seen.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: NodeAddress,
    pub(super) engine: Engine,
    pub(super) info: Info,
    pub(super) replication: ReplicationInfo,
    /// The settings that could be read, by name.
    pub(super) config: BTreeMap<String, String>,
    /// What clients rely on at it beside its data.
    pub(super) client_settings: ClientSettings,
    /// Its configuration file, where it let us look.
    pub(super) config_file: Option<ConfigFile>,
    /// Whether a person wants that to be rewritten.
    pub(super) config_rewrite: ConfigRewrite,
    /// As whom we are logged in.
    pub(super) user: String,
    /// What that user may do, by command.
    pub(super) rights: Vec<(String, Right)>,
    /// Whether the fence can be set at it; missing where no fence is wanted.
    pub(super) fence: Option<Result<(), String>>,
    pub(super) protection: Protection,
    /// Whether it runs on this machine, so that loopback addresses mean the same to it.
    pub(super) same_machine: bool,
    /// Our own address, as it sees it.
    pub(super) seen_from: Option<IpAddr>,
    /// Round-trip of one command, in microseconds.
    pub(super) round_trip_us: u128,
    /// Sentinels that watch it.
    pub(super) sentinels: u64,
    /// Nodes that also call themselves primary of the same service.
    pub(super) conflicts: Vec<NodeAddress>,
    /// The primaries above it, nearest first, where it is a replica.
    pub(super) chain: Vec<Hop>,
}

impl Node {
    /// Whether it evicts nothing as a replica. Missing means a version before 5.0 or a setting that can't be read: the
    /// default is to ignore the limit.
    pub(super) fn ignores_maxmemory(&self) -> bool {
        let setting = self.config.get("replica-ignore-maxmemory");
        setting.is_none_or(|value| value != "no")
    }
}

/// A primary above the source.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) address: NodeAddress,
    /// Its process; `None` where it could not be asked.
    pub(super) run_id: Option<String>,
}

/// Why a node could not be seen.
#[derive(Debug)]
pub(super) struct Unseen {
    /// Which address it is about.
    pub(super) address: Option<NodeAddress>,
    /// The failure to act on, where it is that of one node.
    pub(super) failure: Option<CandidateFailure>,
    /// Everything that was tried.
    pub(super) text: String,
}

pub(super) async fn source(upstream: &Upstream, purpose: Purpose) -> Result<Node, Unseen> {
    let found = upstream.find_primary().await.map_err(unseen)?;
    let chain = chain(&found, upstream.command_timeout).await;
    // A primary that is not fenced may be one at which nothing can be set.
    let commands = match purpose {
        Purpose::Group { fenced: true } => MEMBER_COMMANDS,
        Purpose::Group { fenced: false } | Purpose::Link => SOURCE_COMMANDS,
    };
    let mut node = look(found, commands, purpose).await.map_err(unseen_client)?;
    node.chain = chain;
    Ok(node)
}

pub(super) async fn target(dialer: &Dialer, timeout: Duration, purpose: Purpose) -> Result<Node, Unseen> {
    let found = ask(dialer, timeout).await.map_err(|failure| Unseen {
        address: Some(dialer.address.clone()),
        text: failure.to_string(),
        failure: Some(failure),
    })?;
    let commands = match purpose {
        Purpose::Group { .. } => MEMBER_COMMANDS,
        Purpose::Link => TARGET_COMMANDS,
    };
    look(found, commands, purpose).await.map_err(unseen_client)
}

fn unseen(error: FindError) -> Unseen {
    let text = error.to_string();
    let address = error.most_telling().map(|(address, _)| address.clone());
    let failure = match error {
        FindError::NoPrimary(failures) => failures
            .into_iter()
            .find(|(at, _)| Some(at) == address.as_ref())
            .map(|(_, failure)| failure),
        FindError::Sentinel(_) => None,
    };
    Unseen {
        address,
        failure,
        text,
    }
}

fn unseen_client(error: ClientError) -> Unseen {
    Unseen {
        address: None,
        text: error.to_string(),
        failure: Some(error.into()),
    }
}

async fn look(found: FoundPrimary, commands: &[&[&str]], purpose: Purpose) -> Result<Node, ClientError> {
    let FoundPrimary {
        address,
        dialer,
        engine,
        mut client,
        info,
        replication,
        conflicts,
    } = found;
    let started = Instant::now();
    // An ACL that forbids PING still answers it, and only the time counts here.
    client.ask(&["PING"]).await?;
    let round_trip_us = started.elapsed().as_micros();
    let protection = match &dialer.tls {
        None => Protection::Plain,
        Some(tls) if tls.is_verified() => Protection::Verified,
        Some(_) => Protection::Unverified,
    };
    let seen_from = client.stream().local_addr().ok().map(|local| local.ip());
    let same_machine = match client.stream().peer_addr() {
        Ok(peer) => peer.ip().is_loopback() || seen_from == Some(peer.ip()),
        Err(_) => false,
    };
    let config = config(&mut client).await?;
    let client_settings = ClientSettings::read(&mut client, &info).await?;
    let config_file = match ConfigFile::of(&mut client, &info, false).await {
        Ok(file) => Some(file),
        Err(error) if error.leaves_usable() => None,
        Err(error) => return Err(error),
    };
    let sentinels = sentinels(&mut client).await?;
    let user = match client.ask(&["ACL", "WHOAMI"]).await?.as_text() {
        Some(user) => user.to_owned(),
        None => dialer
            .credentials
            .user
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
    };
    let rights = rights::ask_all(&mut client, &user, commands).await?;
    let fence = match purpose {
        Purpose::Group { fenced: true } => Some(fence(&mut client).await),
        Purpose::Group { fenced: false } | Purpose::Link => None,
    };
    Ok(Node {
        address,
        engine,
        info,
        replication,
        config,
        client_settings,
        config_file,
        config_rewrite: ConfigRewrite::default(),
        user,
        rights,
        fence,
        protection,
        same_machine,
        seen_from,
        round_trip_us,
        sentinels,
        conflicts,
        chain: Vec::new(),
    })
}

/// The settings, one by one: a pattern for several is not known before 7.0, and `*` would fetch secrets.
async fn config(client: &mut Client) -> Result<BTreeMap<String, String>, ClientError> {
    let mut config = BTreeMap::new();
    for name in SETTINGS {
        match client.config_get(name).await {
            Ok(found) => config.extend(found),
            Err(ClientError::Permission { .. } | ClientError::Reply { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    if let Some(secret) = config.get_mut("masterauth") {
        *secret = if secret.is_empty() {
            String::new()
        } else {
            "set".to_owned()
        };
    }
    Ok(config)
}

/// Sets what the fence needs to what it is: whether it can be set shows in no other way at a managed service.
async fn fence(client: &mut Client) -> Result<(), String> {
    const NAME: &str = "min-replicas-max-lag";
    let set = async {
        match client.config_get(NAME).await?.remove(NAME) {
            Some(value) => client.config_set(NAME, &value).await.map(|()| true),
            None => Ok(false),
        }
    };
    match set.await {
        Ok(true) => Ok(()),
        Ok(false) => Err("CONFIG GET gives nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Every Sentinel that watches a node subscribes to this channel of it.
async fn sentinels(client: &mut Client) -> Result<u64, ClientError> {
    let answer = client.ask(&["PUBSUB", "NUMSUB", "__sentinel__:hello"]).await?;
    let count = answer
        .as_array()
        .and_then(|items| items.get(1))
        .and_then(sterna_protocol::resp::Value::as_int);
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

async fn chain(found: &FoundPrimary, timeout: Duration) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut next = found.replication.primary.clone();
    while let Some(address) = next.take() {
        let above = ask(&found.dialer.at(address.clone()), timeout).await.ok();
        let run_id = above.as_ref().and_then(|node| node.info.server().run_id);
        next = above.and_then(|node| node.replication.primary);
        let is_loop = run_id.is_some() && hops.iter().any(|hop: &Hop| hop.run_id == run_id);
        hops.push(Hop { address, run_id });
        if is_loop || hops.len() >= CHAIN_HOPS_MAX {
            break;
        }
    }
    hops
}
