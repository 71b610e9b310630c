//! Every route × no token, each role, an expired and a revoked token.

use std::collections::BTreeSet;

use serde_json::Value;
use sterna_model::Role;

use crate::fixture::Fixture;
use crate::http::Request;

const VIEWER: Option<Role> = Some(Role::Viewer);
const OPERATOR: Option<Role> = Some(Role::Operator);
const ADMIN: Option<Role> = Some(Role::Admin);

/// Method, path, the same with values, body, the least role, the status of who may. 503 is how a gateway that is stopping
/// answers: it was let in.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<Role>,
    u16,
);

/// Control was asked; what it said to it is its own.
const ASKED: u16 = 0;

const SPEC: &str = r#"{"name":"asia","nodes":["127.0.0.1:1"]}"#;
const GROUP_SPEC: &str = r#"{"name":"new","primary":"eu","replicas":["us"]}"#;

#[rustfmt::skip]
const CASES: [Case; 39] = [
    ("GET", "/healthz", "/healthz", "", None, 200),
    ("GET", "/readyz", "/readyz", "", None, 200),
    ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", "", None, 200),
    ("GET", "/metrics", "/metrics", "", VIEWER, 200),
    ("GET", "/api/v1/services", "/api/v1/services", "", VIEWER, 200),
    ("POST", "/api/v1/services", "/api/v1/services", SPEC, ADMIN, ASKED),
    ("GET", "/api/v1/services/{name}", "/api/v1/services/eu", "", VIEWER, 200),
    ("PUT", "/api/v1/services/{name}", "/api/v1/services/asia", SPEC, ADMIN, ASKED),
    ("DELETE", "/api/v1/services/{name}", "/api/v1/services/eu", "", ADMIN, ASKED),
    ("GET", "/api/v1/services/{name}/doctor", "/api/v1/services/eu/doctor?role=primary", "", VIEWER, 503),
    ("GET", "/api/v1/groups", "/api/v1/groups", "", VIEWER, 200),
    ("POST", "/api/v1/groups", "/api/v1/groups", GROUP_SPEC, ADMIN, 503),
    ("GET", "/api/v1/groups/{name}", "/api/v1/groups/orders", "", VIEWER, 200),
    ("PATCH", "/api/v1/groups/{name}", "/api/v1/groups/orders", r#"{"replicas":["us"]}"#, ADMIN, 503),
    ("DELETE", "/api/v1/groups/{name}", "/api/v1/groups/orders", "", ADMIN, 503),
    ("GET", "/api/v1/status", "/api/v1/status", "", VIEWER, 200),
    ("GET", "/api/v1/groups/{name}/status", "/api/v1/groups/orders/status", "", VIEWER, 200),
    ("GET", "/api/v1/groups/{name}/history", "/api/v1/groups/orders/history", "", VIEWER, 200),
    ("POST", "/api/v1/groups/{name}/switchover", "/api/v1/groups/orders/switchover", r#"{"to":"us"}"#, OPERATOR, 503),
    ("POST", "/api/v1/groups/{name}/failover", "/api/v1/groups/orders/failover", "", OPERATOR, 503),
    ("POST", "/api/v1/groups/{name}/pause", "/api/v1/groups/orders/pause", "", OPERATOR, 503),
    ("POST", "/api/v1/groups/{name}/resume", "/api/v1/groups/orders/resume", "", OPERATOR, 503),
    ("POST", "/api/v1/groups/{name}/accept-history", "/api/v1/groups/orders/accept-history", "", ADMIN, 503),
    ("POST", "/api/v1/groups/{name}/replicas", "/api/v1/groups/orders/replicas", r#"{"service":"us"}"#, ADMIN, 503),
    ("DELETE", "/api/v1/groups/{name}/replicas/{service}", "/api/v1/groups/orders/replicas/us", "", ADMIN, 503),
    ("POST", "/api/v1/groups/{name}/detach", "/api/v1/groups/orders/detach", r#"{"service":"us"}"#, ADMIN, 503),
    ("GET", "/api/v1/operations", "/api/v1/operations?group=orders&limit=1", "", VIEWER, 200),
    ("GET", "/api/v1/operations/{id}", "/api/v1/operations/1?wait_ms=1000", "", VIEWER, 200),
    ("POST", "/api/v1/operations/{id}/cancel", "/api/v1/operations/2/cancel", "", OPERATOR, 503),
    ("GET", "/api/v1/rescues", "/api/v1/rescues", "", VIEWER, 200),
    ("GET", "/api/v1/rescues/{id}", "/api/v1/rescues/1", "", VIEWER, 200),
    ("GET", "/api/v1/rescues/{id}/file", "/api/v1/rescues/9/file", "", ADMIN, 404),
    ("DELETE", "/api/v1/rescues/{id}", "/api/v1/rescues/9", "", ADMIN, 404),
    ("GET", "/api/v1/tokens", "/api/v1/tokens", "", ADMIN, 200),
    ("POST", "/api/v1/tokens", "/api/v1/tokens", r#"{"name":"new","role":"viewer"}"#, ADMIN, 201),
    ("GET", "/api/v1/tokens/self", "/api/v1/tokens/self", "", VIEWER, 200),
    ("DELETE", "/api/v1/tokens/{id}", "/api/v1/tokens/1", "", ADMIN, 200),
    ("GET", "/api/v1/audit", "/api/v1/audit", "", ADMIN, 200),
    ("GET", "/api/v1/events", "/api/v1/events", "", VIEWER, 200),
];

fn is_open(role: Option<Role>) -> bool {
    role.is_none()
}

/// The newest record of the audit.
async fn last_record(fixture: &Fixture) -> (String, String, String) {
    let records = fixture.catalogue.audit.newest(None, 1).await.unwrap();
    let record = &records[0];
    (
        record.actor.clone(),
        record.action.clone(),
        record.outcome.clone(),
    )
}

/// What the document says that a route asks for.
fn documented_role(document: &Value, method: &str, template: &str) -> Option<Role> {
    let operation = &document["paths"][template][method.to_ascii_lowercase()];
    let open = operation["security"].as_array().unwrap().is_empty();
    let description = operation["description"].as_str().unwrap();
    let named = |word: &str| description.contains(&format!("Role: {word}"));
    match (named("viewer"), named("operator"), named("admin")) {
        (true, false, false) => VIEWER,
        (false, true, false) => OPERATOR,
        (false, false, true) => ADMIN,
        (false, false, false) if open => None,
        other => panic!("{template}: {other:?}"),
    }
}

#[test]
fn every_route_is_tried_here_with_the_role_that_it_documents() {
    let document: Value = serde_json::from_str(&sterna_api::openapi()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert((method.to_ascii_uppercase(), path.clone()));
        }
    }
    let tried: BTreeSet<_> = CASES
        .iter()
        .map(|(method, template, ..)| ((*method).to_owned(), (*template).to_owned()))
        .collect();
    assert_eq!(tried, documented);
    for (method, template, _, _, role, _) in CASES {
        assert_eq!(
            documented_role(&document, method, template),
            role,
            "{method} {template}"
        );
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_valid_token() {
    let fixture = Fixture::new().await;
    let tokens = &fixture.tokens;
    let unknown = format!("sterna_{}", "x".repeat(43));
    for (method, _, path, body, role, _) in CASES {
        if is_open(role) {
            continue;
        }
        let request = Request::new(method, path).json(body);
        for token in [None, Some(&unknown), Some(&tokens.expired), Some(&tokens.revoked)] {
            let request = match token {
                None => request.clone(),
                Some(token) => request.clone().token(token),
            };
            let answer = fixture.send(request).await;
            assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            assert_eq!(answer.problem(), "unauthorized");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Bearer realm=\"sterna\""), "{answer:?}");
            assert_eq!(challenge.contains("invalid_token"), token.is_some(), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_role_opens_what_it_opens_and_no_more() {
    let fixture = Fixture::new().await;
    let by_role = [
        (Role::Viewer, &fixture.tokens.viewer, "viewer"),
        (Role::Operator, &fixture.tokens.operator, "operator"),
        (Role::Admin, &fixture.tokens.admin, "admin"),
    ];
    for (method, _, path, body, least, status) in CASES {
        for (role, token, name) in by_role {
            if path == "/api/v1/events" {
                // It never ends; its own tests read it.
                continue;
            }
            let answer = fixture.ask(token, method, path, body).await;
            if least.is_none_or(|least| role >= least) {
                let refused = [401, 403, 405, 408, 413, 415, 429, 500].contains(&answer.status);
                let as_told = status == ASKED || answer.status == status;
                assert!(as_told && !refused, "{method} {path} as {name}: {answer:?}");
                continue;
            }
            assert_eq!(answer.status, 403, "{method} {path} as {name}: {answer:?}");
            assert_eq!(answer.problem(), "forbidden");
            assert!(answer.header("www-authenticate").contains("insufficient_scope"));
            let (actor, _, outcome) = last_record(&fixture).await;
            assert_eq!(
                (actor.as_str(), outcome.as_str()),
                (name, "forbidden"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn refusals_are_recorded_with_the_name_of_the_token_where_there_is_one() {
    let fixture = Fixture::new().await;
    let request = Request::new("GET", "/api/v1/groups/orders");
    fixture.send(request.clone()).await;
    fixture.send(request.clone().token(&fixture.tokens.expired)).await;
    fixture.send(request.token(&fixture.tokens.revoked)).await;
    let records = fixture.catalogue.audit.newest(None, 10).await.unwrap();
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            (
                record.actor.as_str(),
                record.action.as_str(),
                record.target.as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("revoked", "group.read", "orders"),
            ("expired", "group.read", "orders"),
            ("-", "group.read", "orders"),
        ]
    );
    assert!(records.iter().all(|record| record.outcome == "unauthorized"));
}

#[tokio::test]
async fn changes_are_recorded_with_who_from_where_what_and_how_it_ended() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    fixture
        .ask(
            &fixture.tokens.operator,
            "POST",
            "/api/v1/groups/orders/failover",
            r#"{"to":"us","force":true}"#,
        )
        .await;
    fixture
        .ask(
            admin,
            "POST",
            "/api/v1/tokens",
            r#"{"name":"ci","role":"operator"}"#,
        )
        .await;
    fixture.ask(admin, "POST", "/api/v1/groups", GROUP_SPEC).await;
    fixture.ask(admin, "POST", "/api/v1/tokens", "{").await;
    fixture.ask(admin, "GET", "/api/v1/tokens", "").await;

    let answer = fixture.ask(admin, "GET", "/api/v1/audit?limit=4", "").await;
    let records = answer.json();
    let seen: Vec<[&str; 5]> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            ["actor", "remote", "action", "target", "outcome"].map(|name| record[name].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ["admin", "127.0.0.1", "token.create", "-", "bad-request"],
            ["admin", "127.0.0.1", "group.create", "new", "stopping"],
            ["admin", "127.0.0.1", "token.create", "ci", "ok"],
            ["operator", "127.0.0.1", "failover", "orders", "stopping"],
        ],
        "reading is not recorded"
    );
    let detail = records[3]["detail"].as_str().unwrap();
    assert!(detail.starts_with("to us, forced: "), "{detail}");
}
