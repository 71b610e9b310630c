//! Requests that are malformed, oversized, slow or misdirected: each gets a clear answer, and none stops the others.

use std::time::{Duration, Instant};

use sterna_api::{ApiSettings, Timeouts};
use tokio::io::AsyncWriteExt;

use crate::fixture::{Fixture, settings};
use crate::http::{Http, Request};

/// Short times, so that slow requests are cut off soon.
fn hasty() -> ApiSettings {
    ApiSettings {
        timeouts: Timeouts {
            head: Duration::from_millis(300),
            body: Duration::from_millis(300),
            ..Timeouts::default()
        },
        ..settings()
    }
}

#[tokio::test]
async fn what_can_not_be_understood_is_told_apart() {
    let fixture = Fixture::new().await;
    let admin = &fixture.tokens.admin;
    let post = |path: &str| Request::new("POST", path).token(admin);
    let tokens = "/api/v1/tokens";
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    for (request, status, kind) in [
        (post(tokens).json("{"), 400, "bad-request"),
        (
            post(tokens).json(r#"{"name":"a","role":"viewer"}}"#),
            400,
            "bad-request",
        ),
        (post("/api/v1/services").json(&deep), 400, "bad-request"),
        (post(tokens).json("\u{0}"), 400, "bad-request"),
        (
            post(tokens).json(r#"{"name":"a","role":"viewer","extra":1}"#),
            422,
            "invalid",
        ),
        (post(tokens).json(r#"{"name":"a","role":"king"}"#), 422, "invalid"),
        (
            post(tokens).json(r#"{"name":"a b","role":"viewer"}"#),
            422,
            "invalid",
        ),
        (
            post(tokens).json(r#"{"name":"sterna","role":"viewer"}"#),
            422,
            "invalid",
        ),
        (post(tokens).json("[]"), 422, "invalid"),
        (post(tokens), 415, "unsupported-media-type"),
        (post(tokens).body("{}"), 415, "unsupported-media-type"),
        (
            post(tokens).header("Content-Type", "text/plain").body("{}"),
            415,
            "unsupported-media-type",
        ),
        (
            post("/api/v1/groups/orders/pause").body("x"),
            415,
            "unsupported-media-type",
        ),
        (
            post("/api/v1/groups/orders/pause").json(r#"{"x":1}"#),
            422,
            "invalid",
        ),
        (post("/api/v1/groups/-orders/pause"), 400, "bad-request"),
        (post("/api/v1/groups/orders%2F/pause"), 400, "bad-request"),
        (post("/api/v1/operations/first/cancel"), 400, "bad-request"),
        (post("/api/v1/operations/-1/cancel"), 400, "bad-request"),
        (
            Request::new("PUT", "/api/v1/services/eu")
                .token(admin)
                .json(r#"{"name":"us","nodes":["127.0.0.1:1"]}"#),
            422,
            "invalid",
        ),
    ] {
        let answer = fixture.send(request.clone()).await;
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        assert_eq!(answer.problem(), kind);
    }
    let misspelt =
        r#"{"name":"eu","nodes":["127.0.0.1:1"],"sentinel":{"nodes":[],"master_name":"m","usr":"x"}}"#;
    let answer = fixture.send(post("/api/v1/services").json(misspelt)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid"));
    assert_eq!(answer.json()["detail"], "there is no field `sentinel.usr`");
    for (path, status, kind) in [
        ("/api/v1/operations?limit=0", 400, "bad-request"),
        ("/api/v1/operations?limit=501", 400, "bad-request"),
        ("/api/v1/operations?limit=many", 400, "bad-request"),
        ("/api/v1/operations?colour=red", 400, "bad-request"),
        ("/api/v1/operations?group=-orders", 400, "bad-request"),
        ("/api/v1/operations/1?wait_ms=-1", 400, "bad-request"),
        ("/api/v1/services/eu/doctor", 400, "bad-request"),
        (
            "/api/v1/services/eu/doctor?role=former-primary",
            400,
            "bad-request",
        ),
        ("/api/v1/services/mars", 404, "not-found"),
        ("/api/v1/groups/mars", 404, "not-found"),
        ("/api/v1/groups/mars/status", 404, "not-found"),
        ("/api/v1/groups/mars/history", 404, "not-found"),
        ("/api/v1/operations/99", 404, "not-found"),
        ("/api/v1/rescues/99", 404, "not-found"),
        ("/api/v1/planets", 404, "no-such-route"),
        ("/api/v2/services", 404, "no-such-route"),
        ("/api/v1/services/", 404, "no-such-route"),
        ("/", 404, "no-such-route"),
    ] {
        let answer = fixture.get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(answer.problem(), kind, "{path}");
    }
}

#[tokio::test]
async fn a_method_that_does_nothing_is_refused_with_those_that_do() {
    let fixture = Fixture::new().await;
    for method in ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"] {
        let answer = fixture
            .ask(&fixture.tokens.admin, method, "/api/v1/tokens", "")
            .await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (405, "method-not-allowed")
        );
        let allowed = answer.header("allow");
        assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    }
}

#[tokio::test]
async fn every_answer_is_private_and_head_has_no_body() {
    let fixture = Fixture::new().await;
    for path in ["/api/v1/groups", "/nowhere", "/healthz", "/metrics"] {
        let answer = fixture.get(path).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let head = Request::new("HEAD", path).token(&fixture.tokens.viewer);
        let bodiless = fixture.send(head).await;
        assert_eq!(
            (bodiless.status, bodiless.body.as_str()),
            (answer.status, ""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_may_have_a_mebibyte_and_no_more() {
    let fixture = Fixture::new().await;
    let fits = format!(r#"{{"name":"{}"}}"#, "x".repeat((1 << 20) - 11));
    assert_eq!(fits.len(), 1 << 20);
    let answer = fixture
        .ask(&fixture.tokens.admin, "POST", "/api/v1/tokens", &fits)
        .await;
    assert_eq!(answer.status, 422, "it was read: {}", answer.status);

    let head = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nHost: sterna\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        fixture.tokens.admin
    );
    let announced = format!("{head}Content-Length: {}\r\n\r\n", (1 << 20) + 1);
    let mut http = Http::connect(fixture.api.address()).await;
    let answer = http.send_raw(announced.as_bytes()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "too-large"));

    // In chunks, nobody knows before.
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
    let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(17));
    let mut http = Http::connect(fixture.api.address()).await;
    let answer = http.send_raw(chunks.as_bytes()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "too-large"));
}

#[tokio::test]
async fn no_body_is_read_from_who_may_not() {
    let fixture = Fixture::new().await;
    // The body never comes.
    let text = "POST /api/v1/tokens HTTP/1.1\r\nHost: sterna\r\nContent-Length: 1000\r\n\r\n";
    let answer = Http::connect(fixture.api.address())
        .await
        .send_raw(text.as_bytes())
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let fixture = Fixture::with(hasty()).await;
    let text = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nHost: sterna\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{",
        fixture.tokens.admin
    );
    let answer = Http::connect(fixture.api.address())
        .await
        .send_raw(text.as_bytes())
        .await;
    assert_eq!((answer.status, answer.problem().as_str()), (408, "body-too-slow"));
}

#[tokio::test]
async fn a_head_that_drips_and_an_idle_connection_are_closed() {
    let fixture = Fixture::with(hasty()).await;
    let began = Instant::now();

    let mut dripping = Http::connect(fixture.api.address()).await;
    let drip = async {
        // Each byte comes in time; all of them do not.
        for byte in "GET /healthz HTTP/1.1\r\nHost: "
            .bytes()
            .chain(std::iter::repeat(b'x'))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if dripping.stream.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), drip)
        .await
        .expect("it is cut off");

    let mut silent = Http::connect(fixture.api.address()).await;
    assert_eq!(silent.rest().await, "");

    let mut kept_alive = Http::connect(fixture.api.address()).await;
    assert_eq!(kept_alive.send(Request::new("GET", "/healthz")).await.status, 200);
    assert_eq!(kept_alive.rest().await, "");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn garbage_is_answered_and_hurts_nobody() {
    let fixture = Fixture::new().await;
    let many = "X-More: x\r\n".repeat(100);
    let large = format!("X-Large: {}\r\n", "x".repeat(100_000));
    for bytes in [
        b"\r\n\r\n\r\n\0\0\0\0\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /healthz HTTP/3.0\r\n\r\n".to_vec(),
        b"GET /healthz HTTP/1.1\r\nHost sterna\r\n\r\n".to_vec(),
        b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"POST /api/v1/tokens HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
            .to_vec(),
        format!("GET /healthz HTTP/1.1\r\n{many}\r\n").into_bytes(),
        format!("GET /healthz HTTP/1.1\r\n{large}\r\n").into_bytes(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000)).into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        let mut http = Http::connect(fixture.api.address()).await;
        // The API may have closed before it has read everything.
        drop(http.stream.write_all(&bytes).await);
        drop(http.stream.shutdown().await);
        let answer = http.rest().await;
        assert!(!answer.contains(" 200 "), "{shown}: {answer}");
        assert_eq!(fixture.send(Request::new("GET", "/healthz")).await.status, 200, "{shown}");
    }
}

#[tokio::test]
async fn requests_can_follow_each_other_on_one_connection() {
    let fixture = Fixture::new().await;
    let mut http = Http::connect(fixture.api.address()).await;
    let request = Request::new("GET", "/api/v1/groups").token(&fixture.tokens.viewer);
    for _ in 0..3 {
        assert_eq!(http.send(request.clone()).await.status, 200);
    }
    let twice = request.text() + &Request::new("GET", "/healthz").text();
    let first = http.send_raw(twice.as_bytes()).await;
    assert!(first.body.contains("orders"), "{first:?}");
    let second = http.send_raw(b"").await;
    assert_eq!(second.body, "ok\n");
}
