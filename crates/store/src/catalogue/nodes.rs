//! What is kept for the nodes of a group: the secrets with which they log in at the relay, and what they were before
//! they followed it. Both sealed, for both hold passwords.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::Value;
use sterna_model::{GroupName, ServiceName, ShardId};
use sterna_protocol::{NodeAddress, Secret};

use super::records::Records;
use super::values;
use crate::backend::Commit;
use crate::error::StoreError;

/// The secrets with which the nodes of a shard log in at the relay: one for each service, so that one that has left can
/// be told from the others.
#[derive(Clone)]
pub struct RelaySecrets {
    root: hmac::Key,
    shard: ShardId,
}

impl RelaySecrets {
    /// That of one service: 64 hex digits, always the same.
    pub fn of(&self, service: &ServiceName) -> Secret {
        let whose = format!("{}/{service}", self.shard);
        Secret::new(HEXLOWER.encode(hmac::sign(&self.root, whose.as_bytes()).as_ref()))
    }
}

impl fmt::Debug for RelaySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelaySecrets(…)")
    }
}

/// What is kept for the nodes of groups.
#[derive(Debug, Clone)]
pub struct Nodes {
    pub(super) records: Records,
}

impl Nodes {
    /// The secrets of a group's services at the relay, for one shard; what they are derived from is made once.
    pub async fn relay_secrets(&self, group: &GroupName, shard: ShardId) -> Result<RelaySecrets, StoreError> {
        let key = relay_secret_key(group);
        let made = self.records.seal(&key, &values::random_hex::<32>()?)?;
        let entry = self.records.made_once(&key, made).await?;
        let root: String = self.records.unseal(&entry)?;
        Ok(RelaySecrets {
            root: hmac::Key::new(hmac::HMAC_SHA256, root.as_bytes()),
            shard,
        })
    }

    /// What a node was before it joined the group, as it was saved.
    pub async fn before(&self, group: &GroupName, node: &NodeAddress) -> Result<Option<Value>, StoreError> {
        let key = before_key(group, node);
        let Some(entry) = self.records.get(&key).await? else {
            return Ok(None);
        };
        self.records.unseal(&entry).map(Some)
    }

    /// Keeps what a node was before it joined the group, in place of what was kept.
    pub async fn save_before(
        &self,
        group: &GroupName,
        node: &NodeAddress,
        before: Value,
    ) -> Result<(), StoreError> {
        let key = before_key(group, node);
        let mut commit = Commit::urgent();
        commit.put(&key, self.records.seal(&key, &before)?);
        self.records.commit(commit).await?;
        Ok(())
    }

    /// Forgets what a node was before it joined the group.
    pub async fn forget_before(&self, group: &GroupName, node: &NodeAddress) -> Result<(), StoreError> {
        let mut commit = Commit::urgent();
        commit.delete(&before_key(group, node));
        self.records.commit(commit).await?;
        Ok(())
    }
}

pub(super) fn relay_secret_key(group: &GroupName) -> String {
    format!("relay-secrets/{group}")
}

pub(super) fn before_prefix(group: &GroupName) -> String {
    format!("node-before/{group}/")
}

fn before_key(group: &GroupName, node: &NodeAddress) -> String {
    format!("{}{node}", before_prefix(group))
}
