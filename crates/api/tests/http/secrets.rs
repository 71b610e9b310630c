//! Passwords and tokens stand in no answer, no error and no record.

use crate::fixture::{Fixture, PASSWORD};
use crate::http::Request;

#[tokio::test]
async fn what_is_read_holds_no_secret() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    for path in [
        "/api/v1/services",
        "/api/v1/services/eu",
        "/api/v1/groups",
        "/api/v1/groups/orders",
        "/api/v1/status",
        "/api/v1/groups/orders/history",
        "/api/v1/operations",
        "/api/v1/rescues",
        "/api/v1/tokens",
        "/api/v1/tokens/self",
        "/api/v1/audit",
        "/api/v1/openapi.json",
        "/metrics",
    ] {
        let answer = fixture.ask(admin, "GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        let shown = format!("{answer:?}");
        assert!(!shown.contains(PASSWORD), "{path}: {shown}");
        assert!(!shown.contains(&admin["sterna_".len()..]), "{path}: {shown}");
    }
    let service = fixture.ask(admin, "GET", "/api/v1/services/eu", "").await;
    assert_eq!(service.json()["has_password"], true);
}

#[tokio::test]
async fn what_is_refused_is_refused_without_showing_a_secret() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    for body in [
        format!(r#"{{"name":"asia","nodes":["127.0.0.1:1"],"secrets":{{"password":"{PASSWORD}"}}}}"#),
        format!(r#"{{"name":"asia","nodes":["127.0.0.1:1"],"secrets":"{PASSWORD}"}}"#),
        format!(r#"{{"name":"asia","nodes":["127.0.0.1:1"],"secrets":["{PASSWORD}"]}}"#),
        format!(r#"{{"name":"asia","nodes":["127.0.0.1:1"],"password":"{PASSWORD}"}}"#),
        format!(r#"{{"name":"asia","nodes":["redis://me:{PASSWORD}@127.0.0.1:1"]}}"#),
        format!(r#"{{"name":"asia","nodes":["127.0.0.1:1"],"secrets":{{"password":"{PASSWORD}"}}"#),
    ] {
        for (method, path) in [("POST", "/api/v1/services"), ("PUT", "/api/v1/services/eu")] {
            let answer = fixture.ask(admin, method, path, &body).await;
            assert!(answer.status >= 400, "{answer:?}");
            answer.problem();
            assert!(!answer.body.contains(PASSWORD), "{body}: {answer:?}");
        }
    }
    for token in [
        &fixture.tokens.expired,
        &fixture.tokens.revoked,
        &fixture.tokens.viewer,
    ] {
        let answer = fixture.ask(token, "GET", "/api/v1/audit", "").await;
        assert!(!answer.body.contains(&token["sterna_".len()..]), "{answer:?}");
    }
    // A token where it does not belong.
    fixture
        .send(Request::new("GET", &format!("/api/v1/services?token={admin}")).token(admin))
        .await;
    let records = fixture.catalogue.audit.newest(None, 500).await.unwrap();
    assert!(records.len() >= 12);
    let records = format!("{records:?}");
    assert!(
        !records.contains(PASSWORD) && !records.contains(admin.as_str()),
        "{records}"
    );
}

#[tokio::test]
async fn a_tokens_text_is_shown_once() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    let body = r#"{"name":"ci","role":"viewer"}"#;
    let made = fixture.ask(admin, "POST", "/api/v1/tokens", body).await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("sterna_"));
    assert_eq!(
        fixture.ask(&secret, "GET", "/api/v1/groups", "").await.status,
        200
    );
    for path in ["/api/v1/tokens", "/api/v1/audit"] {
        let answer = fixture.ask(admin, "GET", path, "").await;
        assert!(answer.body.contains("\"ci\""), "{path}");
        assert!(!answer.body.contains(&secret), "{path}");
    }
}
