//! Health, readiness, metrics, rescue files.

use std::collections::{BTreeMap, BTreeSet};

use sterna_api::ApiSettings;
use sterna_model::{EventKind, OperationId, OperationKind, OperationState, Report};

use crate::fixture::{Fixture, event, operation, settings};
use crate::http::Request;

#[tokio::test]
async fn a_gateway_is_ready_once_it_has_taken_up_its_groups() {
    let fixture = Fixture::new().await;
    let ready = || fixture.send(Request::new("GET", "/readyz"));
    assert_eq!(
        (ready().await.status, ready().await.body.as_str()),
        (200, "ready\n")
    );
    fixture.fake.set_ready(false);
    let answer = ready().await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "not-ready"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("taken up"));
    assert_eq!(fixture.send(Request::new("GET", "/healthz")).await.body, "ok\n");
}

#[tokio::test]
async fn metrics_say_how_groups_are_doing() {
    let fixture = Fixture::new().await;
    let ended = EventKind::Operation {
        operation: Box::new(operation(OperationState::Succeeded)),
    };
    let mut failover = operation(OperationState::Succeeded);
    failover.id = OperationId(7);
    failover.kind = OperationKind::Failover;
    failover.report = Some(report());
    let failed_over = EventKind::Operation {
        operation: Box::new(failover),
    };
    fixture.fake.publish(event(0, "orders", failed_over));
    // News of an operation that ended already does not count it again.
    for id in 1..=2 {
        fixture.fake.publish(event(id, "orders", ended.clone()));
    }
    fixture.send(Request::new("GET", "/api/v1/groups")).await;
    let answer = fixture.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        r#"sterna_group_state{group="orders",state="healthy"} 1.0"#,
        r#"sterna_group_state{group="orders",state="primary-down"} 0.0"#,
        r#"sterna_group_epoch{group="orders"} 3.0"#,
        r#"sterna_group_unreplicated_bytes{group="orders"} 10.0"#,
        r#"sterna_group_unreplicated_seconds{group="orders"} 0.5"#,
        r#"sterna_group_fence_in_place{group="orders"} 1.0"#,
        r#"sterna_group_alerts{group="orders",severity="critical"} 0.0"#,
        r#"sterna_service_ok{group="orders",service="us",role="replica"} 1.0"#,
        r#"sterna_node_lag_bytes{group="orders",service="us",node="127.0.0.1:1"} 10.0"#,
        r#"sterna_node_lag_seconds{group="orders",service="us",node="127.0.0.1:1"} 0.5"#,
        r#"sterna_node_round_trip_seconds{group="orders",service="us",node="127.0.0.1:1"} 0.002"#,
        r#"sterna_full_syncs_total{group="orders",shard="0",direction="down"} 0"#,
        r#"sterna_invariant_violations_total{group="orders",shard="0",invariant="I5"} 0"#,
        r#"sterna_operations_finished_total{kind="switchover",result="succeeded"} 1"#,
        r#"sterna_api_requests_total{action="group.list",status="401"} 1"#,
        r#"sterna_group_last_failover_rto_seconds{group="orders"} 1.25"#,
        r#"sterna_group_last_failover_rpo_bytes{group="orders"} 4096.0"#,
        "sterna_ready 1.0",
    ] {
        assert!(
            answer.body.lines().any(|other| other == line),
            "{line}\n{}",
            answer.body
        );
    }
    follows_the_conventions(&answer.body);
    // Every metric that is shown is described, and the other way round.
    let reference = sterna_api::metrics_reference();
    for line in answer
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(reference.contains(&format!("| `{name}` | {kind} |")), "{name}");
    }
}

/// What `promtool check metrics` looks at: every sample is described before it comes, once, with a help text; counters, and
/// they alone, end in `_total`; base units, and no types in names.
fn follows_the_conventions(text: &str) {
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            assert!(helped.insert(name) && !help.is_empty(), "{line}");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            assert!(typed.insert(name, kind).is_none(), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            let parts: Vec<_> = name.split('_').collect();
            let odd = [
                "ms",
                "millis",
                "milliseconds",
                "kb",
                "mb",
                "percent",
                "minutes",
                "gauge",
                "counter",
            ];
            assert!(!parts.iter().any(|part| odd.contains(part)), "{line}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(helped.contains(name) && typed.contains_key(name), "{line}");
            assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(typed.len() > 20, "{typed:?}");
}

#[tokio::test]
async fn open_metrics_are_given_to_who_asks_for_them() {
    let fixture = Fixture::with(ApiSettings {
        metrics_public: true,
        ..settings()
    })
    .await;
    let request =
        Request::new("GET", "/metrics").header("Accept", "application/openmetrics-text;version=1.0.0");
    let answer = fixture.send(request).await;
    let media_type = answer.header("content-type");
    assert!(
        media_type.starts_with("application/openmetrics-text"),
        "{media_type}"
    );
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
}

fn report() -> Report {
    serde_json::from_value(serde_json::json!({
        "shard": 0, "reason": { "code": "primary-lost", "cause": "lost-its-data" }, "from": "eu", "from_node": "127.0.0.1:1",
        "to": "us", "to_node": "127.0.0.1:2",
        "epoch": 4, "history": null, "divergence_offset": 10,
        "rpo": { "bytes": 4096, "seconds": 0.5, "certainty": "exact" },
        "rto_ms": 1250.0, "phases": [], "partial_resyncs": 1, "full_resyncs": 0
    }))
    .unwrap()
}

#[tokio::test]
async fn metrics_can_be_opened_to_everybody() {
    let fixture = Fixture::with(ApiSettings {
        metrics_public: true,
        ..settings()
    })
    .await;
    assert_eq!(fixture.send(Request::new("GET", "/metrics")).await.status, 200);
    assert_eq!(
        fixture.send(Request::new("GET", "/api/v1/groups")).await.status,
        401
    );
}

#[tokio::test]
async fn a_group_that_was_not_taken_up_yet_has_no_status_yet() {
    let fixture = Fixture::new().await;
    let mut group = fixture
        .catalogue
        .groups
        .get(&"orders".parse().unwrap())
        .await
        .unwrap();
    group.name = "young".parse().unwrap();
    fixture.catalogue.groups.create(group).await.unwrap();
    let answer = fixture.get("/api/v1/groups/young/status").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "not-ready"));
    assert_eq!(
        fixture.get("/api/v1/groups/young/history").await.json(),
        serde_json::json!([])
    );
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let fixture = Fixture::new().await;
    let ids = |answer: crate::http::Answer| -> Vec<u64> {
        let operations = answer.json();
        let all = operations.as_array().unwrap().iter();
        all.map(|operation| operation["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(fixture.get("/api/v1/operations").await), [2, 1]);
    assert_eq!(ids(fixture.get("/api/v1/operations?limit=1").await), [2]);
    assert_eq!(ids(fixture.get("/api/v1/operations?limit=1&before=2").await), [1]);
    assert_eq!(ids(fixture.get("/api/v1/operations?group=mars").await), [0; 0]);
}

#[tokio::test]
async fn a_rescue_file_can_be_taken_away_and_then_deleted() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    let path = "/api/v1/rescues/1/file";
    let missing = fixture.ask(admin, "GET", path, "").await;
    assert_eq!((missing.status, missing.problem().as_str()), (500, "damaged"));

    let file = fixture.rescue_file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // More than is read at once.
    let commands = "*1\r\n$4\r\nPING\r\n".repeat(50_000);
    std::fs::write(&file, &commands).unwrap();
    let answer = fixture.ask(admin, "GET", path, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == commands, "byte by byte");
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"orders-us-rescue-1.resp\""
    );
    let records = fixture.catalogue.audit.newest(None, 1).await.unwrap();
    assert_eq!(
        (records[0].action.as_str(), records[0].target.as_str()),
        ("rescue.export", "1"),
        "who takes data away is recorded"
    );

    for status in [204, 404] {
        let answer = fixture.ask(admin, "DELETE", "/api/v1/rescues/1", "").await;
        assert_eq!(answer.status, status);
    }
    assert!(!file.exists());
    assert_eq!(fixture.get("/api/v1/rescues").await.json(), serde_json::json!([]));
}
