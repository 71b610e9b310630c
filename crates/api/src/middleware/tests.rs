//! The middleware in front of handlers that panic, hang, and are slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use jiff::Timestamp;
use sterna_control::FakeControl;
use sterna_model::{AuditRecord, Role};
use sterna_store::Catalogue;
use tempfile::TempDir;
use tokio::sync::Notify;
use tower_service::Service as _;

use super::*;
use crate::settings::{ApiSettings, CHANGES_MAX, Timeouts};
use crate::shared::Shared;

const RULE: RouteRule = RouteRule::new(Access::Role(Role::Operator), "test");

/// Begun, and what a slow handler waits for.
#[derive(Debug, Default)]
struct Slow {
    begun: Notify,
    go_on: Notify,
    times: AtomicU32,
}

struct Fixture {
    app: App,
    catalogue: Catalogue,
    router: Router,
    token: String,
    slow: Arc<Slow>,
    _dir: TempDir,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(dir.path(), &dir.path().join("key")).unwrap();
    let (_, token) = catalogue
        .tokens
        .create("me", Role::Operator, None, Timestamp::now())
        .await
        .unwrap();
    let fake = FakeControl::new(catalogue.clone(), dir.path().to_owned());
    let settings = ApiSettings {
        timeouts: Timeouts {
            answer: Duration::from_millis(100),
            ..Timeouts::default()
        },
        ..ApiSettings::new("127.0.0.1:0".parse().unwrap())
    };
    let app = Arc::new(Shared::new(settings, fake.control(), String::new()));
    let slow = Arc::new(Slow::default());
    let waiting = Arc::clone(&slow);
    let state = RuleState {
        app: Arc::clone(&app),
        rule: RULE,
    };
    let router = Router::new()
        .route("/panic", get(panics).post(panics))
        .route("/hang", get(std::future::pending::<StatusCode>))
        .route(
            "/slow",
            post(async move || {
                waiting.times.fetch_add(1, Ordering::Relaxed);
                waiting.begun.notify_one();
                waiting.go_on.notified().await;
                StatusCode::CREATED
            }),
        )
        .route_layer(from_fn_with_state(state, apply_rule));
    Fixture {
        app,
        catalogue,
        router,
        token,
        slow,
        _dir: dir,
    }
}

async fn panics() -> StatusCode {
    panic!("a fault of the test's own")
}

impl Fixture {
    fn request(&self, method: Method, path: &str) -> Request {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(idempotency::KEY, "key")
            .body(Body::empty())
            .unwrap()
    }

    fn send(&self, method: Method, path: &str) -> impl Future<Output = Response> + 'static {
        let request = self.request(method, path);
        let mut router = self.router.clone();
        async move { router.call(request).await.unwrap() }
    }

    /// The first record of the audit, as soon as there is one.
    async fn recorded(&self) -> AuditRecord {
        let look = async {
            loop {
                if let Some(record) = self.catalogue.audit.newest(None, 1).await.unwrap().pop() {
                    return record;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), look)
            .await
            .expect("it is recorded")
    }
}

fn outcome(response: &Response) -> (u16, &'static str) {
    let outcome = response.extensions().get::<Outcome>();
    (
        response.status().as_u16(),
        outcome.map_or("ok", |outcome| outcome.word),
    )
}

#[tokio::test]
async fn a_panic_is_an_answer_and_recorded() {
    let fixture = fixture().await;
    let answer = fixture.send(Method::GET, "/panic").await;
    assert_eq!(outcome(&answer), (500, "internal"));
    let answer = fixture.send(Method::POST, "/panic").await;
    assert_eq!(outcome(&answer), (500, "internal"));
    assert_eq!(fixture.recorded().await.outcome, "internal");
    assert_eq!(fixture.app.changes.available_permits(), CHANGES_MAX as usize);
}

#[tokio::test]
async fn what_hangs_is_given_up() {
    let fixture = fixture().await;
    let answer = fixture.send(Method::GET, "/hang").await;
    assert_eq!(outcome(&answer), (504, "took-too-long"));
}

#[tokio::test]
async fn a_change_goes_on_when_its_answer_came_too_late() {
    let fixture = fixture().await;
    let answer = fixture.send(Method::POST, "/slow").await;
    assert_eq!(outcome(&answer), (504, "took-too-long"));
    let meanwhile = fixture.send(Method::POST, "/slow").await;
    assert_eq!(outcome(&meanwhile), (409, "in-progress"));
    fixture.slow.go_on.notify_one();
    let done = async {
        loop {
            let records = fixture.catalogue.audit.newest(None, 10).await.unwrap();
            if records.iter().any(|record| record.outcome == "ok") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done)
        .await
        .expect("it is finished");
    let again = fixture.send(Method::POST, "/slow").await;
    assert_eq!(outcome(&again), (201, "replayed"));
    assert_eq!(fixture.slow.times.load(Ordering::Relaxed), 1, "it was done once");
}

#[tokio::test]
async fn a_change_goes_on_when_whoever_asked_for_it_hangs_up() {
    let fixture = fixture().await;
    let asked = tokio::spawn(fixture.send(Method::POST, "/slow"));
    fixture.slow.begun.notified().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    fixture.slow.go_on.notify_one();
    let record = fixture.recorded().await;
    assert_eq!((record.actor.as_str(), record.outcome.as_str()), ("me", "ok"));
    let all = fixture.app.changes.acquire_many(CHANGES_MAX);
    let all = tokio::time::timeout(Duration::from_secs(10), all).await;
    drop(all.expect("its place is given back").unwrap());
}

#[tokio::test]
async fn no_more_changes_are_begun_than_may_be_under_way() {
    let fixture = fixture().await;
    let permits = fixture.app.changes.try_acquire_many(CHANGES_MAX).unwrap();
    let answer = fixture.send(Method::POST, "/slow").await;
    assert_eq!(outcome(&answer), (503, "overloaded"));
    drop(permits);
    assert_eq!(fixture.slow.times.load(Ordering::Relaxed), 0);
}
