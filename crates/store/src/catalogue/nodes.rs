//! What is kept for the nodes of a group: the secret with which they log in at the relay, and what they were before
//! they followed it. Both sealed, for both hold passwords.

use serde_json::Value;
use sterna_model::GroupName;
use sterna_protocol::NodeAddress;

use super::{Catalogue, values};
use crate::error::StoreError;
use crate::seam::Commit;

impl Catalogue {
    /// The secret with which a group's replica nodes log in at the relay: 48 hex digits, made once.
    pub async fn relay_secret(&self, group: &GroupName) -> Result<String, StoreError> {
        let key = relay_secret_key(group);
        let made = self.sealer.seal(&key, values::random_hex::<24>()?.as_bytes())?;
        let entry = self.made_once(&key, made).await?;
        values::text(&key, self.sealer.open(&key, &entry.value)?)
    }

    /// What a node was before it joined the group, as it was saved.
    pub async fn node_before(
        &self,
        group: &GroupName,
        node: &NodeAddress,
    ) -> Result<Option<Value>, StoreError> {
        let key = before_key(group, node);
        let Some(entry) = self.store.get(&key).await? else {
            return Ok(None);
        };
        values::parse_bytes(&key, &self.sealer.open(&key, &entry.value)?).map(Some)
    }

    /// Keeps what a node was before it joined the group, in place of what was kept.
    pub async fn save_node_before(
        &self,
        group: &GroupName,
        node: &NodeAddress,
        before: Value,
    ) -> Result<(), StoreError> {
        let key = before_key(group, node);
        let mut commit = Commit::default();
        commit.put(&key, self.sealer.seal(&key, &values::json(&key, &before)?)?);
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Forgets what a node was before it joined the group.
    pub async fn forget_node_before(&self, group: &GroupName, node: &NodeAddress) -> Result<(), StoreError> {
        let mut commit = Commit::default();
        commit.delete(&before_key(group, node));
        self.store.commit(commit).await?;
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
