//! Entity tags, idempotency keys, and what else makes a request safe to send twice.

use sterna_model::{OperationState, Role};

use crate::fixture::Fixture;
use crate::http::{Answer, Request};

const TOKENS: &str = "/api/v1/tokens";
const CI: &str = r#"{"name":"ci","role":"viewer"}"#;

async fn with_key(fixture: &Fixture, token: &str, key: &str, path: &str, body: &str) -> Answer {
    let request = Request::new("POST", path).token(token).json(body);
    fixture.send(request.header("Idempotency-Key", key)).await
}

#[tokio::test]
async fn the_tag_of_an_answer_is_the_revision_that_a_change_may_ask_for() {
    let fixture = Fixture::new().await;
    for path in ["/api/v1/groups/orders", "/api/v1/services/spare"] {
        let answer = fixture.get(path).await;
        let tag = answer.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", answer.json()["revision"]));

        let delete = Request::new("DELETE", path).token(&fixture.tokens.admin);
        for (stale, status, kind) in [
            ("\"987654\"", 412, "precondition-failed"),
            ("\"not-ours\"", 412, "precondition-failed"),
            ("\"1\", \"2\"", 400, "bad-request"),
        ] {
            let answer = fixture.send(delete.clone().header("If-Match", stale)).await;
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (status, kind),
                "{path} {stale}"
            );
        }
    }
    let service = fixture.get("/api/v1/services/spare").await;
    let delete = Request::new("DELETE", "/api/v1/services/spare").token(&fixture.tokens.admin);
    let answer = fixture
        .send(delete.header("If-Match", service.header("etag")))
        .await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let group = fixture.get("/api/v1/groups/orders").await;
    for fresh in [group.header("etag"), "*"] {
        let delete = Request::new("DELETE", "/api/v1/groups/orders").token(&fixture.tokens.admin);
        let answer = fixture.send(delete.header("If-Match", fresh)).await;
        assert_eq!(
            answer.problem(),
            "stopping",
            "the tag {fresh} lets it through to control"
        );
    }
}

#[tokio::test]
async fn the_same_request_under_the_same_key_is_done_once() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    let before = fixture.catalogue.tokens.all().await.unwrap().len();
    let first = with_key(&fixture, admin, "key-1", TOKENS, CI).await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = with_key(&fixture, admin, "key-1", TOKENS, CI).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for header in ["content-type", "location", "cache-control"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
        assert_ne!(again.header(header), "", "{header}");
    }
    assert_eq!(fixture.catalogue.tokens.all().await.unwrap().len(), before + 1);

    let other = r#"{"name":"other","role":"viewer"}"#;
    let reused = with_key(&fixture, admin, "key-1", TOKENS, other).await;
    assert_eq!((reused.status, reused.problem().as_str()), (422, "key-reused"));
    let elsewhere = with_key(&fixture, admin, "key-1", "/api/v1/groups/orders/pause", "").await;
    assert_eq!(
        (elsewhere.status, elsewhere.problem().as_str()),
        (422, "key-reused")
    );
    assert_eq!(fixture.catalogue.tokens.all().await.unwrap().len(), before + 1);

    let outcomes: Vec<_> = fixture.catalogue.audit.newest(None, 4).await.unwrap();
    let outcomes: Vec<_> = outcomes.iter().map(|record| record.outcome.as_str()).collect();
    assert_eq!(outcomes, ["key-reused", "key-reused", "replayed", "ok"]);
}

#[tokio::test]
async fn a_key_belongs_to_the_token_that_used_it() {
    let fixture = Fixture::new().await;
    let (_, second_admin) = fixture
        .catalogue
        .tokens
        .create("second", Role::Admin, None, jiff::Timestamp::now())
        .await
        .unwrap();
    let first = with_key(&fixture, &fixture.tokens.admin, "shared", TOKENS, CI).await;
    assert_eq!(first.status, 201);
    let theirs = with_key(&fixture, &second_admin, "shared", TOKENS, CI).await;
    assert_eq!(
        (theirs.status, theirs.problem().as_str()),
        (409, "exists"),
        "not somebody else's answer"
    );
}

#[tokio::test]
async fn what_failed_may_be_tried_again_under_its_key() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    let taken = r#"{"name":"viewer","role":"viewer"}"#;
    let first = with_key(&fixture, admin, "k", TOKENS, taken).await;
    assert_eq!((first.status, first.problem().as_str()), (409, "exists"));
    let tokens = fixture.catalogue.tokens.all().await.unwrap();
    let viewer = tokens.iter().find(|token| token.name == "viewer").unwrap().id;
    let revoked = fixture
        .ask(admin, "DELETE", &format!("{TOKENS}/{viewer}"), "")
        .await;
    assert_eq!(revoked.status, 200);
    let second = with_key(&fixture, admin, "k", TOKENS, taken).await;
    assert_eq!(
        (second.status, second.header("idempotency-replayed")),
        (201, ""),
        "{second:?}"
    );
}

#[tokio::test]
async fn a_request_that_is_still_worked_on_is_not_begun_again() {
    let fixture = Fixture::new().await;
    let admin = fixture
        .catalogue
        .tokens
        .find(&fixture.tokens.admin)
        .await
        .unwrap()
        .unwrap();
    // As the first request does; its fingerprint does not matter while another has the key.
    let key = format!("{}/k", admin.id);
    fixture
        .catalogue
        .idempotency
        .begin(&key, "another", jiff::Timestamp::now())
        .await
        .unwrap();
    let answer = with_key(&fixture, &fixture.tokens.admin, "k", TOKENS, CI).await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "key-reused"));

    // Two at once: one is done, the other is told so, now or with the same answer.
    let (left, right) = tokio::join!(
        with_key(&fixture, &fixture.tokens.admin, "race", TOKENS, CI),
        with_key(&fixture, &fixture.tokens.admin, "race", TOKENS, CI)
    );
    let mut statuses = [left.status, right.status];
    statuses.sort_unstable();
    assert!(
        statuses == [201, 409] || statuses == [201, 201],
        "{left:?} {right:?}"
    );
    if statuses == [201, 201] {
        assert_eq!(left.body, right.body);
    } else {
        let loser = if left.status == 409 { left } else { right };
        assert_eq!(loser.problem(), "in-progress");
    }
}

#[tokio::test]
async fn keys_have_a_form() {
    let fixture = Fixture::new().await;
    for key in ["", &"k".repeat(129), "schlüssel"] {
        let answer = with_key(&fixture, &fixture.tokens.admin, key, TOKENS, CI).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "bad-request"),
            "{key:?}"
        );
    }
    let twice = Request::new("POST", TOKENS)
        .token(&fixture.tokens.admin)
        .json(CI)
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "b");
    assert_eq!(fixture.send(twice).await.status, 400);
    let longest = with_key(&fixture, &fixture.tokens.admin, &"k".repeat(128), TOKENS, CI).await;
    assert_eq!(longest.status, 201);
}

#[tokio::test]
async fn the_last_admin_is_not_locked_out() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    let own = fixture.ask(admin, "GET", "/api/v1/tokens/self", "").await.json();
    let path = format!("{TOKENS}/{}", own["id"]);
    let answer = fixture.ask(admin, "DELETE", &path, "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "refused"));
    let made = fixture
        .ask(
            admin,
            "POST",
            TOKENS,
            r#"{"name":"next","role":"admin","expires_in_seconds":3600}"#,
        )
        .await
        .json();
    let next = made["secret"].as_str().unwrap();
    assert_eq!(fixture.ask(next, "DELETE", &path, "").await.status, 200);
    assert_eq!(fixture.ask(admin, "GET", TOKENS, "").await.status, 401, "at once");
    assert_eq!(fixture.ask(next, "GET", TOKENS, "").await.status, 200);
}

#[tokio::test]
async fn waiting_for_an_operation_ends_with_it_or_with_the_time() {
    let fixture = Fixture::new().await;
    let began = std::time::Instant::now();
    let answer = fixture.get("/api/v1/operations/2?wait_ms=50").await;
    assert_eq!(answer.json()["state"], "running");
    assert!(began.elapsed().as_millis() >= 50);

    let end = async {
        let mut operation = fixture
            .catalogue
            .operations
            .get(sterna_model::OperationId(2))
            .await
            .unwrap();
        operation.state = OperationState::Succeeded;
        let operation = fixture.catalogue.operations.save(operation).await.unwrap();
        let kind = sterna_model::EventKind::Operation {
            operation: Box::new(operation),
        };
        fixture.fake.publish(crate::fixture::event(1, "orders", kind));
    };
    let (answer, ()) = tokio::join!(fixture.get("/api/v1/operations/2?wait_ms=60000"), end);
    assert_eq!(answer.json()["state"], "succeeded");
    assert!(began.elapsed().as_secs() < 30);
}
