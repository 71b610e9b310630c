//! Places and values for the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sterna_model::{
    Epoch, FailoverCause, Group, GroupName, GroupSettings, HistoryCause, HistoryEntry, Operation,
    OperationId, OperationKind, OperationReason, Revision, Secrets, ServiceName, ServiceSpec, ShardId,
    ShardTerm,
};
use sterna_store::{Catalogue, StoreError};
use tempfile::TempDir;

/// A place for a store, removed in the end.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a directory"),
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir().join("store.db")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    pub(crate) fn try_open(&self) -> Result<Catalogue, StoreError> {
        Catalogue::open(&self.data_dir(), &self.key_file())
    }

    pub(crate) fn open(&self) -> Catalogue {
        self.try_open().expect("the store opens")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

pub(crate) fn service_name(name: &str) -> ServiceName {
    name.parse().expect("a name")
}

pub(crate) fn group_name(name: &str) -> GroupName {
    name.parse().expect("a name")
}

pub(crate) fn spec(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: service_name(name),
        site: None,
        nodes: vec!["redis-1.eu.example:6379".parse().expect("an address")],
        sentinel: None,
        username: None,
        tls: None,
        client_addresses: Vec::new(),
        config_rewrite: sterna_model::ConfigRewrite::default(),
    }
}

pub(crate) fn group(name: &str) -> Group {
    Group {
        name: group_name(name),
        primary: service_name("a"),
        replicas: vec![service_name("b")],
        settings: GroupSettings::default(),
        epoch: Epoch(1),
        paused: false,
        shards: sterna_model::ShardRecord::standalone(),
        failed_over_at: None,
        primary_since: at(0),
        created_at: at(0),
        revision: Revision(0),
    }
}

pub(crate) fn operation(group: &str) -> Operation {
    let reason = OperationReason::PrimaryLost(FailoverCause::LostItsData);
    Operation {
        service: Some(service_name("b")),
        progress: Some(0.5),
        ..Operation::begun(
            &group_name(group),
            Epoch(1),
            OperationKind::Failover,
            reason,
            at(0),
        )
    }
}

pub(crate) fn term(group: &str, epoch: u64) -> HistoryEntry {
    HistoryEntry {
        group: group_name(group),
        epoch: Epoch(epoch),
        primary: service_name("a"),
        shards: BTreeMap::from([(ShardId::STANDALONE, ShardTerm::default())]),
        cause: HistoryCause::Failover,
        operation: Some(OperationId(epoch)),
        reason: OperationReason::PrimaryLost(FailoverCause::LostItsData),
        at: at(0),
    }
}

pub(crate) fn password(text: &str) -> Secrets {
    Secrets {
        password: Some(text.to_owned()),
        sentinel_password: None,
    }
}
