//! Services and their passwords.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_model::{Revision, Secrets, Service, ServiceName, ServiceSpec};

use super::records::{ATTEMPTS_MAX, Records, contended};
use super::values;
use crate::backend::{Commit, Entry};
use crate::error::StoreError;

const PREFIX: &str = "services/";

/// A service as it is kept.
#[derive(Serialize, Deserialize)]
struct Record {
    spec: ServiceSpec,
    #[serde(default)]
    has_password: bool,
    created_at: Timestamp,
}

/// Services and their passwords.
#[derive(Debug, Clone)]
pub struct Services {
    pub(super) records: Records,
}

impl Services {
    /// All services, by name.
    pub async fn all(&self) -> Result<Vec<Service>, StoreError> {
        self.records.all(PREFIX).await?.iter().map(service).collect()
    }

    /// One service; [`StoreError::NotFound`].
    pub async fn get(&self, name: &ServiceName) -> Result<Service, StoreError> {
        let found = self.records.get(&key(name)).await?;
        found.as_ref().map_or_else(|| Err(not_found(name)), service)
    }

    /// Registers a service; [`StoreError::Exists`].
    pub async fn create(
        &self,
        spec: ServiceSpec,
        secrets: Secrets,
        now: Timestamp,
    ) -> Result<Service, StoreError> {
        let key = key(&spec.name);
        let record = Record {
            spec,
            has_password: secrets.password.is_some(),
            created_at: now,
        };
        let mut commit = Commit::default();
        commit.create(&key, values::json(&key, &record)?);
        self.put_secrets(&mut commit, &record.spec.name, &secrets)?;
        match self.records.commit(commit).await {
            Ok(revision) => Ok(with_revision(record, revision)),
            Err(StoreError::Conflict { .. }) => Err(StoreError::Exists {
                what: "service",
                name: record.spec.name.to_string(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Changes a service; `None` keeps its passwords. [`StoreError::NotFound`]; [`StoreError::Conflict`] where it has
    /// not the revision that the caller saw.
    pub async fn update(
        &self,
        spec: ServiceSpec,
        secrets: Option<Secrets>,
        seen: Option<Revision>,
    ) -> Result<Service, StoreError> {
        let key = key(&spec.name);
        for _ in 0..ATTEMPTS_MAX {
            let before = self.get(&spec.name).await?;
            let record = Record {
                spec: spec.clone(),
                has_password: secrets
                    .as_ref()
                    .map_or(before.has_password, |secrets| secrets.password.is_some()),
                created_at: before.created_at,
            };
            let mut commit = Commit::default();
            commit.replace(
                &key,
                seen.unwrap_or(before.revision),
                values::json(&key, &record)?,
            );
            if let Some(secrets) = &secrets {
                self.put_secrets(&mut commit, &spec.name, secrets)?;
            }
            match self.records.commit(commit).await {
                Ok(revision) => return Ok(with_revision(record, revision)),
                Err(StoreError::Conflict { .. }) if seen.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&key))
    }

    /// Forgets a service and its passwords. [`StoreError::NotFound`]; [`StoreError::Conflict`] where it has not the
    /// revision that the caller saw. Whether a group needs it is for the caller to know.
    pub async fn delete(&self, name: &ServiceName, seen: Option<Revision>) -> Result<(), StoreError> {
        let key = key(name);
        for _ in 0..ATTEMPTS_MAX {
            let before = self.records.get(&key).await?.ok_or_else(|| not_found(name))?;
            let mut commit = Commit::default();
            commit.require(&key, seen.unwrap_or(before.revision));
            commit.delete(&key);
            commit.delete(&secrets_key(name));
            match self.records.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) if seen.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&key))
    }

    /// The passwords of a service, unsealed. [`StoreError::NotFound`], [`StoreError::Unsealable`].
    pub async fn secrets(&self, name: &ServiceName) -> Result<Secrets, StoreError> {
        let key = secrets_key(name);
        let entry = self.records.get(&key).await?.ok_or_else(|| not_found(name))?;
        self.records.unseal(&entry)
    }

    fn put_secrets(
        &self,
        commit: &mut Commit,
        name: &ServiceName,
        secrets: &Secrets,
    ) -> Result<(), StoreError> {
        let key = secrets_key(name);
        commit.put(&key, self.records.seal(&key, secrets)?);
        Ok(())
    }
}

fn key(name: &ServiceName) -> String {
    format!("{PREFIX}{name}")
}

fn secrets_key(name: &ServiceName) -> String {
    format!("secrets/{name}")
}

fn service(entry: &Entry) -> Result<Service, StoreError> {
    Ok(with_revision(values::parse(entry)?, entry.revision))
}

fn with_revision(record: Record, revision: Revision) -> Service {
    Service {
        spec: record.spec,
        has_password: record.has_password,
        created_at: record.created_at,
        revision,
    }
}

fn not_found(name: &ServiceName) -> StoreError {
    StoreError::NotFound {
        what: "service",
        name: name.to_string(),
    }
}
