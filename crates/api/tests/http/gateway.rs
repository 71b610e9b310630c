//! The whole of it: a gateway with real servers, asked by HTTP alone.

use serde_json::{Value, json};
use sterna_api::Api;
use sterna_control::{Gateway, GatewaySettings};
use sterna_model::{Event, EventKind, GroupState, GroupStatus, Role};
use sterna_node::listen::Descriptors;
use sterna_replication::{RelaySettings, SilenceLimits};
use sterna_store::Catalogue;
use sterna_testkit::Server;
use tempfile::TempDir;

use crate::events::Listener;
use crate::fixture::{PASSWORD, settings};
use crate::http::{Answer, Http, Request};

struct Whole {
    api: Api,
    gateway: Gateway,
    admin: String,
    _dir: TempDir,
}

impl Whole {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path(), &dir.path().join("key")).unwrap();
        let (_, admin) = catalogue
            .tokens
            .create("admin", Role::Admin, None, jiff::Timestamp::now())
            .await
            .unwrap();
        let relay = RelaySettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            descriptors: Descriptors::bounded(usize::MAX),
        };
        let gateway = GatewaySettings {
            data_dir: dir.path().to_owned(),
            relay,
            relay_announce: None,
            silence: SilenceLimits::default(),
            data_threads: std::num::NonZeroUsize::MIN,
        };
        let gateway = sterna_control::start(gateway, catalogue).await.unwrap();
        let api = Api::start(settings(), gateway.control()).await.unwrap();
        Self {
            api,
            gateway,
            admin,
            _dir: dir,
        }
    }

    async fn send(&self, request: Request) -> Answer {
        Http::connect(self.api.address())
            .await
            .send(request.token(&self.admin))
            .await
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(Request::new(method, &format!("/api/v1{path}")).json(&body))
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &Value::Null).await
    }

    /// Waits until the operation that was begun is over, and it must have succeeded.
    async fn done(&self, begun: Answer) -> Value {
        assert_eq!(begun.status, 202, "{begun:?}");
        let location = begun.header("location").to_owned();
        assert_eq!(location, format!("/api/v1/operations/{}", begun.json()["id"]));
        let ended = self
            .send(Request::new("GET", &format!("{location}?wait_ms=10000")))
            .await
            .json();
        assert_eq!(ended["state"], "succeeded", "{ended:#}");
        ended
    }
}

fn spec(name: &str, server: &Server, password: &str) -> Value {
    json!({ "name": name, "nodes": [server.address().to_string()], "secrets": { "password": password } })
}

async fn services(whole: &Whole, eu: &Server, us: &Server) {
    let refused = whole
        .ask("POST", "/services", &spec("eu", eu, "a-wrong-password"))
        .await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (502, "server-unreachable")
    );
    assert!(!refused.body.contains("a-wrong-password"), "{refused:?}");

    let made = whole.ask("POST", "/services", &spec("eu", eu, PASSWORD)).await;
    assert_eq!(
        (made.status, made.header("location")),
        (201, "/api/v1/services/eu"),
        "{made:?}"
    );
    assert!(!made.body.contains(PASSWORD));
    assert_eq!(made.json()["has_password"], true);
    let taken = whole.ask("POST", "/services", &spec("eu", eu, PASSWORD)).await;
    assert_eq!((taken.status, taken.problem().as_str()), (409, "exists"));
    assert_eq!(
        whole
            .ask("POST", "/services", &spec("us", us, PASSWORD))
            .await
            .status,
        201
    );

    // The password that is kept stays when none is given.
    let change = json!({ "name": "eu", "nodes": [eu.address().to_string()], "site": "frankfurt" });
    let put = |tag: &str| {
        let request = Request::new("PUT", "/api/v1/services/eu").json(&change.to_string());
        whole.send(request.header("If-Match", tag))
    };
    let changed = put(made.header("etag")).await;
    assert_eq!(
        (changed.status, &changed.json()["site"]),
        (200, &json!("frankfurt")),
        "{changed:?}"
    );
    assert_eq!(changed.json()["has_password"], true);
    assert_ne!(changed.header("etag"), made.header("etag"));
    let stale = put(made.header("etag")).await;
    assert_eq!(
        (stale.status, stale.problem().as_str()),
        (412, "precondition-failed")
    );

    let report = whole.get("/services/eu/doctor?role=primary").await;
    assert_eq!(report.status, 200, "{report:?}");
    assert!(!report.json()["checks"].as_array().unwrap().is_empty());
}

async fn settings_of_a_group(whole: &Whole) {
    let before = whole.get("/groups/orders").await;
    let patch = json!({ "settings": { "automatic_failover": false } });
    let patched = whole.ask("PATCH", "/groups/orders", &patch).await;
    assert_eq!(patched.status, 200, "{patched:?}");
    let second = json!({ "settings": { "failover_pause_seconds": 7 } });
    let request = Request::new("PATCH", "/api/v1/groups/orders").json(&second.to_string());
    let stale = whole
        .send(request.clone().header("If-Match", before.header("etag")))
        .await;
    assert_eq!(
        (stale.status, stale.problem().as_str()),
        (412, "precondition-failed")
    );
    let group = whole.get("/groups/orders").await;
    let fresh = whole.send(request.header("If-Match", group.header("etag"))).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    let settings = &fresh.json()["settings"];
    assert_eq!(settings["failover_pause_seconds"], 7);
    assert_eq!(settings["automatic_failover"], false, "what is left out stays");

    for (verb, paused) in [("pause", true), ("resume", false)] {
        let answer = whole
            .ask("POST", &format!("/groups/orders/{verb}"), &Value::Null)
            .await;
        assert_eq!(
            (answer.status, &answer.json()["paused"]),
            (200, &json!(paused)),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_group_is_made_switched_over_and_deleted_by_http_alone() {
    let secured = || Server::builder().password(PASSWORD).start().unwrap();
    let (eu, us) = (secured(), secured());
    let whole = Whole::start().await;
    services(&whole, &eu, &us).await;

    let mut listener = Listener::open(
        whole.api.address(),
        &whole.admin,
        "/api/v1/events?group=orders",
        None,
    )
    .await;
    let nobody = json!({ "name": "orders", "primary": "eu", "replicas": ["mars"] });
    let refused = whole.ask("POST", "/groups", &nobody).await;
    assert!([404, 422].contains(&refused.status), "{refused:?}");
    refused.problem();
    let spec = json!({ "name": "orders", "primary": "eu", "replicas": ["us"] });
    whole.done(whole.ask("POST", "/groups", &spec).await).await;
    let mut operations = 0;
    let mut status: Option<GroupStatus> = None;
    while !status
        .as_ref()
        .is_some_and(|status| status.summary.state == GroupState::Healthy && status.is_fenced())
    {
        let seen: Event = serde_json::from_value(listener.next().await.data).unwrap();
        match (seen.kind, &mut status) {
            (EventKind::Status { status: whole }, _) => status = Some(*whole),
            (EventKind::Change { change }, Some(status)) => assert!(change.apply(status), "{status:?}"),
            (EventKind::Operation { .. }, _) => operations += 1,
            (EventKind::Catalogue { .. } | EventKind::Repair { .. }, _) => {}
            (other @ EventKind::Change { .. }, None) => panic!("{other:?}"),
        }
    }
    assert!(operations > 0, "it was told of the operation");
    settings_of_a_group(&whole).await;

    let to_itself = whole
        .ask("POST", "/groups/orders/switchover", &json!({ "to": "eu" }))
        .await;
    assert!(
        to_itself.status == 409 || to_itself.status == 422,
        "{to_itself:?}"
    );
    let switched = whole
        .ask("POST", "/groups/orders/switchover", &json!({ "to": "us" }))
        .await;
    let switched = whole.done(switched).await;
    assert_eq!(switched["report"]["to"], "us", "{switched:#}");
    assert_eq!(whole.get("/groups/orders").await.json()["primary"], "us");
    assert_eq!(
        whole
            .get("/groups/orders/history")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let metrics = whole.send(Request::new("GET", "/metrics")).await.body;
    for line in [
        r#"sterna_full_syncs_total{group="orders",shard="0",direction="up"} 1"#,
        r#"sterna_operations_finished_total{kind="switchover",result="succeeded"} 1"#,
        r#"sterna_group_epoch{group="orders"} 2.0"#,
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}\n{metrics}");
    }

    whole
        .done(whole.ask("DELETE", "/groups/orders", &Value::Null).await)
        .await;
    assert_eq!(whole.get("/groups/orders").await.status, 404);
    let records = whole.get("/audit").await;
    assert!(!records.body.contains(PASSWORD));
    let actions: Vec<String> = records
        .json()
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|record| {
            format!(
                "{} {}",
                record["action"].as_str().unwrap(),
                record["outcome"].as_str().unwrap()
            )
        })
        .collect();
    for action in [
        "service.create ok",
        "group.create ok",
        "group.update ok",
        "switchover ok",
        "group.delete ok",
    ] {
        assert!(
            actions.iter().any(|other| other == action),
            "{action}: {actions:?}"
        );
    }
    whole.api.stop().await;
    whole.gateway.stop().await;
}
