//! Server-sent events.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use sterna_api::{ApiSettings, Timeouts};
use sterna_model::EventKind;
use tokio::io::AsyncWriteExt as _;

use crate::fixture::{Fixture, event, repair, settings, status};
use crate::http::{Http, Request};

/// One event as it came over the wire.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) kind: String,
    id: String,
    pub(crate) data: Value,
}

pub(crate) struct Listener(Http);

impl Listener {
    /// One that has the status of the fixture's group.
    async fn begin(fixture: &Fixture, path: &str, last_id: Option<&str>) -> Self {
        let address = fixture.api.address();
        let mut listener = Self::open(address, &fixture.tokens.viewer, path, last_id).await;
        if last_id.is_none() {
            listener.is_given_the_status().await;
        }
        listener
    }

    async fn is_given_the_status(&mut self) {
        let seen = self.next().await;
        assert_eq!(seen.kind, "status");
        assert_eq!(seen.data["status"]["failover"]["message"], "automatic");
    }

    pub(crate) async fn open(address: SocketAddr, token: &str, path: &str, last_id: Option<&str>) -> Self {
        let mut http = Http::connect(address).await;
        let mut request = Request::new("GET", path).token(token);
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        tokio::io::AsyncWriteExt::write_all(&mut http.stream, request.text().as_bytes())
            .await
            .unwrap();
        let (status, headers) = http.head().await;
        assert_eq!(status, 200, "{headers:?}");
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store");
        Self(http)
    }

    /// The next event that is not a sign of life. Each block ends with an empty line; chunk sizes stand between blocks.
    pub(crate) async fn next(&mut self) -> Seen {
        loop {
            let block = self.0.until("\n\n").await;
            let mut seen = Seen::default();
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("event", kind)) => kind.clone_into(&mut seen.kind),
                    Some(("id", id)) => id.clone_into(&mut seen.id),
                    Some(("data", data)) => seen.data = serde_json::from_str(data).unwrap(),
                    _ => {}
                }
            }
            if !seen.kind.is_empty() {
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn events_come_as_they_happen_and_only_those_of_the_group() {
    let fixture = Fixture::new().await;
    let mut all = Listener::begin(&fixture, "/api/v1/events", None).await;
    let mut orders = Listener::begin(&fixture, "/api/v1/events?group=orders", None).await;

    fixture.fake.publish(repair(1, "users"));
    let new_status = EventKind::Status {
        status: Box::new(status("orders")),
    };
    fixture.fake.publish(event(2, "orders", new_status));

    let seen = all.next().await;
    assert_eq!((seen.kind.as_str(), seen.id.as_str()), ("repair", "1"));
    assert_eq!(seen.data["service"], "us");
    assert_eq!(seen.data["group"], "users");
    for listener in [&mut all, &mut orders] {
        let seen = listener.next().await;
        assert_eq!((seen.kind.as_str(), seen.id.as_str()), ("status", "2"));
        assert_eq!(seen.data["status"]["state"], "healthy");
        let event: sterna_model::Event = serde_json::from_value(seen.data).unwrap();
        assert_eq!(event.id, 2);
    }
}

#[tokio::test]
async fn services_and_tokens_that_come_and_go_are_told() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    let mut listener = Listener::begin(&fixture, "/api/v1/events", None).await;
    let token = r#"{"name":"ci","role":"viewer"}"#;
    let made = fixture.ask(admin, "POST", "/api/v1/tokens", token).await.json();
    let revoke = format!("/api/v1/tokens/{}", made["token"]["id"]);
    for (method, path, what, name) in [
        ("GET", "/api/v1/tokens", "token", "ci"),
        ("DELETE", revoke.as_str(), "token", "ci"),
        ("DELETE", "/api/v1/services/spare", "service", "spare"),
    ] {
        let answer = fixture.ask(admin, method, path, "").await;
        assert!(answer.status < 300, "{answer:?}");
        let seen = listener.next().await;
        assert_eq!(seen.kind, "catalogue", "{seen:?}");
        assert_eq!(
            (&seen.data["what"], &seen.data["name"]),
            (&what.into(), &name.into())
        );
        assert!(!seen.data.to_string().contains(made["secret"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn who_is_too_slow_is_told_and_goes_on() {
    let fixture = Fixture::new().await;
    let mut listener = Listener::begin(&fixture, "/api/v1/events", None).await;
    // Nobody else runs while these are told, so the listener's queue runs over.
    for id in 1..=1000 {
        fixture.fake.publish(repair(id, "orders"));
    }
    let missed = listener.next().await;
    assert_eq!(missed.kind, "missed");
    let count = missed.data["missed"].as_u64().unwrap();
    assert!(count > 0);
    listener.is_given_the_status().await;
    let seen = listener.next().await;
    assert_eq!(seen.id, (count + 1).to_string(), "the first that was not missed");
    let mut last = seen;
    while last.id != "1000" {
        last = listener.next().await;
    }
    fixture.fake.publish(repair(1001, "orders"));
    assert_eq!(listener.next().await.id, "1001");
}

#[tokio::test]
async fn who_comes_back_is_told_that_it_may_have_missed_some() {
    let fixture = Fixture::new().await;
    let mut listener = Listener::begin(&fixture, "/api/v1/events", Some("7")).await;
    let seen = listener.next().await;
    assert_eq!(
        (seen.kind.as_str(), &seen.data["missed"]),
        ("missed", &Value::Null)
    );
    listener.is_given_the_status().await;
}

fn lively() -> ApiSettings {
    ApiSettings {
        timeouts: Timeouts {
            keep_alive: Duration::from_millis(50),
            ..Timeouts::default()
        },
        ..settings()
    }
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives() {
    let fixture = Fixture::with(lively()).await;
    let mut listener = Listener::begin(&fixture, "/api/v1/events", None).await;
    for _ in 0..3 {
        listener.0.until(":\n\n").await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let fixture = Fixture::with(lively()).await;
    let mut listener = Listener::begin(&fixture, "/api/v1/events", None).await;
    fixture.fake.publish(repair(1, "orders"));
    assert_eq!(listener.next().await.id, "1");
    let own = fixture.get("/api/v1/tokens/self").await.json();
    let revoked = fixture
        .ask(
            &fixture.tokens.admin,
            "DELETE",
            &format!("/api/v1/tokens/{}", own["id"]),
            "",
        )
        .await;
    assert_eq!(revoked.status, 200);
    listener.0.until("0\r\n\r\n").await;
    fixture.fake.publish(repair(2, "orders"));
    assert!(!listener.0.rest().await.contains("after"));
}

/// One that listens with this token, or what it is answered.
async fn listens(fixture: &Fixture, token: &str) -> Result<Http, u16> {
    let mut connection = Http::connect(fixture.api.address()).await;
    let request = Request::new("GET", "/api/v1/events").token(token);
    connection
        .stream
        .write_all(request.text().as_bytes())
        .await
        .unwrap();
    match connection.head().await.0 {
        200 => Ok(connection),
        status => Err(status),
    }
}

/// By token, and by address: here everybody is at one.
#[tokio::test]
async fn places_to_listen_are_limited_and_given_back() {
    let fixture = Fixture::new().await;
    let tokens = &fixture.tokens;
    let mut listeners = Vec::new();
    for token in [&tokens.viewer, &tokens.operator] {
        for _ in 0..16 {
            listeners.push(listens(&fixture, token).await.expect("a place"));
        }
        assert_eq!(listens(&fixture, token).await.err(), Some(503));
    }
    assert_eq!(listens(&fixture, &tokens.admin).await.err(), Some(503));
    let answer = fixture.get("/api/v1/events").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "overloaded"));
    assert_ne!(answer.header("retry-after"), "");
    drop(listeners);
    // The API sees the connections end when it gets to it.
    let all_gone = async {
        while !fixture
            .get("/metrics")
            .await
            .body
            .contains("sterna_api_listeners 0.0")
        {
            fixture.fake.publish(repair(1, "orders"));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_gone)
        .await
        .expect("the places are given back");
    Listener::begin(&fixture, "/api/v1/events", None).await;
}
