//! A gateway's API on loopback, with the real store behind it and something in it.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use sterna_api::{Api, ApiSettings, Rate};
use sterna_control::FakeControl;
use sterna_model::{
    Epoch, Event, EventKind, FailoverReadiness, FenceState, Group, GroupName, GroupReason, GroupState,
    GroupStatus, HistoryCause, HistoryEntry, LinkState, NodeCondition, NodeFigures, NodeRole, NodeStatus,
    Operation, OperationId, OperationKind, OperationReason, OperationState, Requester, Rescue, RescueId,
    RescueKind, Revision, Role, Secrets, ServiceCondition, ServiceName, ServiceRole, ServiceSpec,
    ServiceStatus, ShardFigures, ShardId, ShardStatus, StatusSummary,
};
use sterna_protocol::{Offset, ReplicationId};
use sterna_store::Catalogue;
use tempfile::TempDir;

use crate::http::{Answer, Http, Request};

/// The password of all services: it must stand in no answer.
pub(crate) const PASSWORD: &str = "hunter2-of-the-nodes";
/// The name of the group.
pub(crate) const GROUP: &str = "orders";

/// Who may ask.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) viewer: String,
    pub(crate) operator: String,
    pub(crate) admin: String,
    pub(crate) expired: String,
    pub(crate) revoked: String,
}

/// Everything.
pub(crate) struct Fixture {
    pub(crate) api: Api,
    pub(crate) fake: FakeControl,
    pub(crate) catalogue: Catalogue,
    pub(crate) tokens: Tokens,
    dir: TempDir,
}

/// Settings that slow nobody down.
pub(crate) fn settings() -> ApiSettings {
    let free = Rate {
        burst: 100_000,
        per_second: 100_000.0,
    };
    ApiSettings {
        token_rate: free,
        failed_login_rate: free,
        ..ApiSettings::new("127.0.0.1:0".parse().unwrap())
    }
}

impl Fixture {
    /// Three services, a group of two of them, a running and an ended operation, history, a rescue file, five tokens.
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    /// With other settings.
    pub(crate) async fn with(settings: ApiSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path(), &dir.path().join("sterna.key")).unwrap();
        let tokens = make_tokens(&catalogue).await;
        fill(&catalogue).await;
        let fake = FakeControl::new(catalogue.clone(), dir.path().join("rescues"));
        fake.show(status(GROUP), sterna_replication::Status::default());
        let api = Api::start(settings, fake.control()).await.unwrap();
        Self {
            api,
            fake,
            catalogue,
            tokens,
            dir,
        }
    }

    /// Sends a request with the token.
    pub(crate) async fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        self.send(Request::new(method, path).token(token).json(body))
            .await
    }

    /// Reads with the viewer's token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::new("GET", path).token(&self.tokens.viewer))
            .await
    }

    /// Where the file of the rescue lies.
    pub(crate) fn rescue_file(&self) -> PathBuf {
        self.dir.path().join("rescues/orders-1.resp")
    }

    /// Sends any request on a connection of its own.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        Http::connect(self.api.address()).await.send(request).await
    }
}

async fn make_tokens(catalogue: &Catalogue) -> Tokens {
    let now = Timestamp::now();
    let make = async |name: &str, role, ends| catalogue.tokens.create(name, role, ends, now).await.unwrap();
    let expired = make("expired", Role::Admin, Some(now - SignedDuration::from_secs(1))).await;
    let revoked = make("revoked", Role::Admin, None).await;
    catalogue.tokens.revoke(revoked.0.id, now).await.unwrap();
    Tokens {
        viewer: make("viewer", Role::Viewer, None).await.1,
        operator: make("operator", Role::Operator, None).await.1,
        admin: make("admin", Role::Admin, None).await.1,
        expired: expired.1,
        revoked: revoked.1,
    }
}

async fn fill(catalogue: &Catalogue) {
    let now = Timestamp::now();
    for name in ["eu", "us", "spare"] {
        let secrets = Secrets {
            password: Some(PASSWORD.to_owned()),
            sentinel_password: None,
        };
        catalogue.services.create(spec(name), secrets, now).await.unwrap();
    }
    let shard = sterna_model::ShardRecord {
        primary_node: Some("127.0.0.1:1".parse().unwrap()),
        fence_in_place: true,
        former_primaries: vec![],
    };
    let group = Group {
        name: GROUP.parse().unwrap(),
        primary: service("eu"),
        replicas: vec![service("us")],
        settings: sterna_model::GroupSettings::default(),
        epoch: Epoch(3),
        paused: false,
        shards: [(sterna_model::ShardId::STANDALONE, shard)].into(),
        failed_over_at: None,
        primary_since: now,
        created_at: now,
        revision: Revision(0),
    };
    catalogue.groups.create(group).await.unwrap();
    for state in [OperationState::Succeeded, OperationState::Running] {
        catalogue.operations.create(operation(state)).await.unwrap();
    }
    let entry = HistoryEntry {
        group: GROUP.parse().unwrap(),
        epoch: Epoch(3),
        primary: service("eu"),
        shards: [(
            sterna_model::ShardId::STANDALONE,
            sterna_model::ShardTerm::default(),
        )]
        .into(),
        cause: HistoryCause::Created,
        operation: Some(OperationId(1)),
        reason: requested(OperationKind::Create),
        at: now,
    };
    catalogue.history.add(entry).await.unwrap();
    let rescue = Rescue {
        id: RescueId(0),
        group: GROUP.parse().unwrap(),
        shard: sterna_model::ShardId::STANDALONE,
        service: service("us"),
        node: "127.0.0.1:1".parse().unwrap(),
        epoch: Epoch(2),
        kind: RescueKind::Commands,
        history: ReplicationId::from_bytes(&[b'a'; 40]).unwrap(),
        from: Offset::new(1),
        to: Offset::new(2),
        bytes: 14,
        file: "orders-1.resp".to_owned(),
        summary: None,
        saved_at: now,
    };
    catalogue.rescues.add(rescue).await.unwrap();
}

/// A service that nobody runs.
pub(crate) fn spec(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: service(name),
        site: None,
        nodes: vec!["127.0.0.1:1".parse().unwrap()],
        sentinel: None,
        username: None,
        tls: None,
        client_addresses: vec![],
        config_rewrite: sterna_model::ConfigRewrite::default(),
    }
}

fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

/// An operation of the group.
pub(crate) fn operation(state: OperationState) -> Operation {
    let (kind, group) = (OperationKind::Switchover, GROUP.parse().unwrap());
    Operation {
        state,
        service: Some(service("us")),
        ..Operation::begun(&group, Epoch(3), kind, requested(kind), Timestamp::now())
    }
}

/// Somebody asked for it.
fn requested(operation: OperationKind) -> OperationReason {
    OperationReason::Requested {
        operation,
        by: Requester::Token("operator".to_owned()),
    }
}

/// An event of a group.
pub(crate) fn event(id: u64, group: &str, kind: EventKind) -> Event {
    Event {
        id,
        at: Timestamp::now(),
        group: Some(group.parse().unwrap()),
        kind,
    }
}

/// A node that is let follow again.
pub(crate) fn repair(id: u64, group: &str) -> Event {
    let kind = EventKind::Repair {
        service: service("us"),
        address: "127.0.0.1:1".parse().unwrap(),
    };
    event(id, group, kind)
}

/// A group that is well.
pub(crate) fn status(group: &str) -> GroupStatus {
    let node = NodeStatus {
        address: "127.0.0.1:1".parse().unwrap(),
        shard: ShardId::STANDALONE,
        role: NodeRole::Replica,
        condition: NodeCondition::Follows,
        engine: None,
        figures: NodeFigures {
            offset: Some(Offset::new(90)),
            lag_bytes: Some(10),
            lag_seconds: Some(0.5),
            round_trip_seconds: Some(0.002),
        },
    };
    let service = ServiceStatus {
        name: service("us"),
        site: None,
        role: ServiceRole::Replica,
        ok: true,
        condition: ServiceCondition::Follows,
        nodes: vec![node],
    };
    let shard = ShardStatus {
        shard: ShardId::STANDALONE,
        primary_node: None,
        link: LinkState::Streaming,
        copy: None,
        copy_error: None,
        fence: FenceState::InPlace {
            lease_seconds: 3,
            min_replicas: 1,
            links: 1,
            others: 0,
            counts_others: false,
        },
        history: None,
        disk_error: None,
        needless_full_syncs: 0,
        figures: ShardFigures {
            unreplicated_bytes: 10,
            unreplicated_seconds: 0.5,
            log_start: Offset::new(1),
            log_end: Offset::new(100),
            log_bytes: 100,
            stream_bytes: 100,
        },
    };
    let group: GroupName = group.parse().unwrap();
    GroupStatus {
        group,
        revision: 1,
        summary: StatusSummary {
            state: GroupState::Healthy,
            reason: GroupReason::InOrder,
            epoch: Epoch(3),
            paused: false,
            failover: FailoverReadiness::Automatic,
            operation: None,
        },
        services: vec![service],
        shards: vec![shard],
        alerts: vec![],
        at: Timestamp::now(),
    }
}
