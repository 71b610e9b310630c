//! How often, how many, and from where.

use std::time::Duration;

use sterna_api::{ApiSettings, Rate};
use sterna_node::listen::Limits;
use tokio::io::AsyncWriteExt;

use crate::fixture::{Fixture, settings};
use crate::http::{Http, Request};

fn rare(burst: u32) -> Rate {
    Rate {
        burst,
        per_second: 0.01,
    }
}

#[tokio::test]
async fn a_token_that_asks_too_often_waits_and_others_do_not() {
    let fixture = Fixture::with(ApiSettings {
        token_rate: rare(3),
        ..settings()
    })
    .await;
    for _ in 0..3 {
        assert_eq!(fixture.get("/api/v1/groups").await.status, 200);
    }
    let answer = fixture.get("/api/v1/groups").await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (429, "too-many-requests")
    );
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=101).contains(&wait), "{wait}");
    assert_eq!(
        fixture
            .ask(&fixture.tokens.admin, "GET", "/api/v1/groups", "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn failed_logins_are_slowed_and_not_recorded_without_end() {
    let fixture = Fixture::with(ApiSettings {
        failed_login_rate: rare(5),
        ..settings()
    })
    .await;
    let guess = |n: usize| {
        let token = format!("sterna_{n:043}");
        Request::new("GET", "/api/v1/groups").token(&token)
    };
    let mut statuses = Vec::new();
    for n in 0..20 {
        statuses.push(fixture.send(guess(n)).await.status);
    }
    assert_eq!(statuses[..5], [401; 5]);
    assert_eq!(statuses[5..], [429; 15]);
    assert_eq!(fixture.catalogue.audit.newest(None, 100).await.unwrap().len(), 5);
    // The people beside them go on.
    assert_eq!(fixture.get("/api/v1/groups").await.status, 200);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_gets_them_back() {
    let fixture = Fixture::with(ApiSettings {
        connections: Limits {
            per_remote: 2,
            ..settings().connections
        },
        ..settings()
    })
    .await;
    let address = fixture.api.address();
    let health = || Request::new("GET", "/api/v1/groups").token(&fixture.tokens.viewer);
    let mut first = Http::connect(address).await;
    let mut second = Http::connect(address).await;
    assert_eq!(first.send(health()).await.status, 200);
    assert_eq!(second.send(health()).await.status, 200);
    let mut third = Http::connect(address).await;
    assert_eq!(third.rest().await, "", "closed without a word");
    drop(first);
    // The place is free as soon as the API has seen that; until then a connection is closed without an answer.
    let served = async {
        loop {
            let mut next = Http::connect(address).await;
            drop(next.stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await);
            if next.rest().await.contains("200 OK") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served)
        .await
        .expect("the place is given back");
    assert_eq!(second.send(health()).await.status, 200);
}

#[tokio::test]
async fn half_a_head_makes_room_for_who_shows_a_token() {
    let fixture = Fixture::with(ApiSettings {
        connections: Limits {
            all: 2,
            per_remote: 2,
            ..settings().connections
        },
        ..settings()
    })
    .await;
    let address = fixture.api.address();
    let mut known = Http::connect(address).await;
    let ask = || Request::new("GET", "/api/v1/groups").token(&fixture.tokens.viewer);
    assert_eq!(known.send(ask()).await.status, 200);
    let mut half = Http::connect(address).await;
    half.stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHos")
        .await
        .unwrap();
    assert_eq!(fixture.send(ask()).await.status, 200);
    assert_eq!(half.rest().await, "", "it made room");
    assert_eq!(
        known.send(ask()).await.status,
        200,
        "and who showed a token did not"
    );
}

#[tokio::test]
async fn it_ends_in_good_order() {
    let fixture = Fixture::new().await;
    let address = fixture.api.address();
    let viewer = fixture.tokens.viewer.clone();
    let mut idle = Http::connect(address).await;
    assert_eq!(idle.send(Request::new("GET", "/healthz")).await.status, 200);
    let mut listening = Http::connect(address).await;
    let listen = Request::new("GET", "/api/v1/events").token(&viewer);
    listening
        .stream
        .write_all(listen.text().as_bytes())
        .await
        .unwrap();
    assert_eq!(listening.head().await.0, 200);
    // The status of the fixture's group, in a chunk of its own.
    listening.until("\n\n\r\n").await;
    let mut waiting = Http::connect(address).await;
    let wait = Request::new("GET", "/api/v1/operations/2?wait_ms=60000").token(&viewer);
    waiting.stream.write_all(wait.text().as_bytes()).await.unwrap();
    // Accepted after the others, so that those are under way when this is answered.
    assert_eq!(fixture.get("/api/v1/groups").await.status, 200);

    let began = std::time::Instant::now();
    fixture.api.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(idle.rest().await, "");
    assert_eq!(listening.rest().await, "0\r\n\r\n");
    assert!(
        waiting.rest().await.contains("\"state\":\"running\""),
        "it is answered"
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_port_is_free_again_when_the_api_is_dropped() {
    let fixture = Fixture::new().await;
    let address = fixture.api.address();
    let taken = sterna_api::Api::start(ApiSettings::new(address), fixture.fake.control()).await;
    let error = taken.unwrap_err().to_string();
    assert!(error.contains("another process has that port"), "{error}");

    let mut open = Http::connect(address).await;
    assert_eq!(open.send(Request::new("GET", "/healthz")).await.status, 200);
    drop(fixture);
    assert_eq!(open.rest().await, "", "its connections end too");
}
