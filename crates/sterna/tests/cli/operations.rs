//! Verbs that change something: what is said before, while and after, and what a script is told.

use serde_json::{Value, json};

use crate::scripted::{Reply, ScriptedApi};

const HISTORY: &str = "8c1b3a5f0d2e4c6b8a9f7e5d3c1b0a9f8e7d6c5b";

/// A healthy group of `eu` and `us`.
pub(crate) fn status(group: &str, state: &str, epoch: u64) -> Value {
    json!({
        "group": group, "revision": epoch, "state": state, "epoch": epoch, "paused": false, "reason": { "code": "in-order" },
        "failover": { "code": "automatic" },
        "services": [
            { "name": "eu", "site": null, "role": "primary", "ok": true,
              "condition": { "code": "takes-writes", "local_replicas": 0 }, "nodes": [] },
            { "name": "us", "site": null, "role": "replica", "ok": true, "condition": { "code": "follows" }, "nodes": [
                { "address": "us:6379", "shard": 0, "role": "replica", "condition": { "code": "follows" },
                  "figures": { "offset": 1, "lag_bytes": 1_234, "lag_seconds": 0.5 } } ] },
        ],
        "shards": [
            { "shard": 0, "primary_node": "eu:6379", "link": { "code": "streaming" },
              "fence": { "code": "in-place", "lease_seconds": 3, "min_replicas": 1, "links": 1, "others": 0, "counts_others": false }, "history": HISTORY,
              "needless_full_syncs": 0,
              "figures": { "unreplicated_bytes": 1_234, "unreplicated_seconds": 0.5, "log_start": 1, "log_end": 2,
                           "log_bytes": 3, "stream_bytes": 4 } } ],
        "alerts": [], "at": format!("2026-03-01T03:00:{epoch:02}Z")
    })
}

fn detail(step: &str, state: &str) -> Value {
    match (step, state) {
        (_, "failed") => json!({ "code": "failed", "error": "us:6379 does not answer" }),
        ("await-copy", _) => json!({ "code": "wait", "wait": "copy", "service": "us", "address": "us:6379" }),
        (step, _) => json!({ "code": "purpose", "purpose": step }),
    }
}

fn operation(kind: &str, state: &str, steps: &[(&str, &str)]) -> Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|(name, state)| {
            json!({ "name": name, "state": state, "detail": detail(name, state),
                    "started_at": "2026-03-01T03:00:00Z", "finished_at": (*state != "running").then_some("2026-03-01T03:00:00.250Z") })
        })
        .collect();
    json!({
        "id": 7, "group": "orders", "kind": kind, "state": state, "service": "us", "requested_by": "ops",
        "reason": { "code": "requested", "operation": kind, "by": "ops" }, "epoch": 1, "steps": steps,
        "now": { "code": "step", "step": "attach" }, "created_at": "2026-03-01T03:00:00Z"
    })
}

fn switched() -> Value {
    let mut done = operation(
        "switchover",
        "succeeded",
        &[("check", "done"), ("pause-writes", "done")],
    );
    done["result"] =
        json!({ "code": "primary-changed", "service": "us", "address": "redis.us.example:6379", "epoch": 4 });
    done["report"] = json!({
        "shard": 0, "reason": { "code": "requested", "operation": "switchover", "by": "ops" }, "from": "eu", "from_node": "eu:6379", "to": "us", "to_node": "us:6379", "epoch": 2,
        "history": HISTORY, "divergence_offset": 90,
        "rpo": { "bytes": 0, "commands": 0, "seconds": 0.0, "certainty": "exact" },
        "rto_ms": 42.0, "phases": [ { "name": "await-apply", "ms": 40.0 }, { "name": "promote", "ms": 2.0 } ],
        "partial_resyncs": 1, "full_resyncs": 0
    });
    done
}

const SHOW: &str = "GET /operations/7?wait_ms=250";

pub(crate) fn switchover() -> ScriptedApi {
    ScriptedApi::start(|request, before| match (request.line.as_str(), before) {
        ("GET /groups/orders/status", _) => Reply::Json(200, status("orders", "healthy", 1)),
        ("POST /groups/orders/switchover", _) => Reply::Json(202, operation("switchover", "running", &[])),
        (SHOW, 0) => Reply::Json(200, operation("switchover", "running", &[("check", "running")])),
        (SHOW, 1) => Reply::Json(
            200,
            operation(
                "switchover",
                "running",
                &[("check", "done"), ("pause-writes", "running")],
            ),
        ),
        (SHOW, _) => Reply::Json(200, switched()),
        _ => Reply::Json(404, json!({ "title": "no such thing", "status": 404 })),
    })
}

#[test]
fn a_switchover_says_what_it_does_shows_its_steps_and_reports() {
    let api = switchover();
    let said = api.run(&["switchover", "orders", "--to", "us", "--yes"]);
    insta::assert_snapshot!("switchover_words", said.err);
    insta::assert_snapshot!("switchover_report", said.good());
    let asked = &api.with_line("POST /groups/orders/switchover")[0];
    assert_eq!(asked.body, json!({ "to": "us" }));
    assert_eq!(asked.headers["authorization"], "Bearer sterna_test");
    assert_eq!(asked.headers["idempotency-key"].len(), 32);
}

#[test]
fn for_programs_the_last_answer_is_all_there_is() {
    let api = switchover();
    let said = api.run(&["switchover", "orders", "--to", "us", "--yes", "--output", "json"]);
    assert!(!said.err.contains("pause-writes"), "{}", said.err);
    assert_eq!(said.json(), switched());
}

#[test]
fn nobody_has_to_wait() {
    let api = switchover();
    let said = api.run(&["switchover", "orders", "--to", "us", "--yes", "--no-wait"]);
    assert_eq!(said.good(), "7");
    assert!(api.with_line(SHOW).is_empty());
}

#[test]
fn without_a_yes_nothing_is_asked_of_the_gateway() {
    let api = ScriptedApi::start(|request, _| match request.line.as_str() {
        "GET /services/us" => Reply::Tagged("1", json!({})),
        "GET /rescues/3" => Reply::Json(
            200,
            json!({ "id": 3, "group": "orders", "shard": 0, "service": "eu", "node": "eu:6379", "epoch": 1, "kind": "snapshot",
                    "history": HISTORY, "from": 1, "to": 2, "bytes": 5, "file": "r", "saved_at": "2026-03-01T03:00:00Z" }),
        ),
        _ => Reply::Json(200, status("orders", "healthy", 1)),
    });
    for args in [
        &["switchover", "orders", "--to", "us"][..],
        &["failover", "orders"],
        &["failover", "orders", "--to", "us", "--force"],
        &["detach", "orders", "us"],
        &["group", "remove-replica", "orders", "us"],
        &["group", "delete", "orders"],
        &["rescue", "delete", "3"],
        &["service", "remove", "us"],
    ] {
        let said = api.run(args).failed(9);
        assert!(
            said.contains("Nothing was changed\nhint: add --yes"),
            "{args:?}: {said}"
        );
        let named =
            said.contains("1.2 KiB, 0.5 s") || said.contains("No write is lost") || said.contains("5 B");
        assert!(named, "{args:?} does not say what could be lost: {said}");
    }
    let changes: Vec<_> = api
        .requests()
        .into_iter()
        .filter(|request| !request.line.starts_with("GET "))
        .collect();
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn an_operation_that_fails_or_is_cancelled_has_an_exit_code_of_its_own() {
    for (state, expected) in [
        (
            "failed",
            "operation 7 failed: nothing was changed at any node: no node",
        ),
        (
            "cancelled",
            "operation 7 was cancelled: nothing was changed at any node: no node",
        ),
    ] {
        let api = ScriptedApi::start(move |request, _| match request.line.as_str() {
            SHOW => {
                let mut ended = operation("add-replica", state, &[("await-copy", "failed")]);
                ended["result"] = json!({ "code": "not-fit", "checks": "no node answers" });
                Reply::Json(200, ended)
            }
            _ => Reply::Json(202, operation("add-replica", "running", &[])),
        });
        let said = api.run(&["group", "add-replica", "orders", "us"]).failed(8);
        assert!(said.contains(expected), "{said}");
        assert!(
            said.contains("FAILED") && said.contains("us:6379 does not answer"),
            "{said}"
        );
        let asked = &api.with_line("POST /groups/orders/replicas")[0];
        assert_eq!(asked.body, json!({ "service": "us", "overwrite": false }));
    }
}

#[test]
fn a_refusal_is_told_with_its_hint() {
    let api = ScriptedApi::start(|_, _| {
        Reply::Json(
            409,
            json!({ "type": "/problems/busy", "title": "Another operation is under way", "status": 409,
                    "detail": "operation 5 of group orders is under way", "operation": 5 }),
        )
    });
    let said = api.run(&["group", "add-replica", "orders", "us"]).failed(3);
    assert_eq!(
        said,
        "error: operation 5 of group orders is under way\nhint: wait for it with `sterna operation wait 5`, or end it \
         with `sterna operation cancel 5`"
    );
}

#[test]
fn a_change_whose_answer_was_lost_is_asked_for_again_with_the_same_key() {
    const LINE: &str = "POST /groups/orders/pause";
    let api = ScriptedApi::start(|request, before| match (request.line.as_str(), before) {
        (LINE, 0) => Reply::HangUp,
        _ => Reply::Json(200, json!({})),
    });
    let said = api.run(&["pause", "orders"]).good();
    assert!(said.contains("sterna resume orders"), "{said}");
    let keys: Vec<_> = api
        .with_line(LINE)
        .into_iter()
        .map(|request| request.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn waiting_outlives_a_gateway_that_is_away_for_a_moment() {
    let api = ScriptedApi::start(|request, before| match (request.line.as_str(), before) {
        (SHOW, 0) => Reply::Json(200, operation("create", "running", &[("await-copy", "running")])),
        (SHOW, 1) => Reply::HangUp,
        (SHOW, 2) => Reply::Json(503, json!({ "title": "stopping", "status": 503 })),
        _ => Reply::Json(200, operation("create", "succeeded", &[("await-copy", "done")])),
    });
    let said = api.run(&["operation", "wait", "7"]);
    assert_eq!(
        said.err.matches("the gateway does not answer").count(),
        1,
        "{}",
        said.err
    );
    assert!(said.err.contains("done    await-copy"), "{}", said.err);
    said.good();
}

#[test]
fn waiting_can_be_given_up() {
    let api = ScriptedApi::start(|_, _| Reply::Json(200, operation("create", "running", &[])));
    let said = api.run(&["operation", "wait", "7", "--timeout", "0"]).failed(1);
    assert!(
        said.contains("operation 7 is still under way: makes a node a replica of the relay"),
        "{said}"
    );
}

#[test]
fn updates_are_bound_to_what_was_read_and_leave_the_rest() {
    let service = json!({ "name": "eu", "site": "old", "nodes": ["a:1"], "has_password": true,
                          "created_at": "2026-03-01T03:00:00Z", "revision": 4 });
    let group = json!({ "name": "orders", "primary": "eu", "replicas": ["us", "ap"], "settings": { "lease_seconds": 9 },
                        "epoch": 1, "primary_since": "2026-03-01T03:00:00Z", "created_at": "2026-03-01T03:00:00Z" });
    let api = ScriptedApi::start(move |request, _| match request.line.split_once(' ') {
        Some((_, "/services/eu")) => Reply::Tagged("4", service.clone()),
        _ => Reply::Tagged("6", group.clone()),
    });
    api.run(&["service", "update", "eu", "--site", "new"]).good();
    let put = &api.with_line("PUT /services/eu")[0];
    assert_eq!(put.headers["if-match"], "\"4\"");
    assert_eq!(put.body, json!({ "name": "eu", "site": "new", "nodes": ["a:1"] }));

    let args = [
        "group",
        "update",
        "orders",
        "--down-after-ms",
        "2000",
        "--prefer",
        "ap,us",
    ];
    api.run(&args).good();
    let patch = &api.with_line("PATCH /groups/orders")[0];
    assert_eq!(patch.headers["if-match"], "\"6\"");
    assert_eq!(patch.body["replicas"], json!(["ap", "us"]));
    assert_eq!(patch.body["settings"], json!({ "down_after_ms": 2000 }));

    let said = api.run(&["group", "update", "orders"]).failed(3);
    assert!(said.contains("nothing to change was named"), "{said}");
    api.run(&["group", "update", "orders", "--lease-seconds", "9"])
        .good();
    assert_eq!(
        api.with_line("PATCH /groups/orders").len(),
        1,
        "it was like that already"
    );
}

#[test]
fn a_rescue_file_is_exported_whole() {
    let rescue = json!({ "id": 3, "group": "orders", "shard": 0, "service": "eu", "node": "eu:6379", "epoch": 1, "kind": "commands",
                         "history": HISTORY, "from": 1, "to": 2, "bytes": 5, "file": "../../escape.resp",
                         "saved_at": "2026-03-01T03:00:00Z" });
    let api = ScriptedApi::start(move |request, _| match request.line.as_str() {
        "GET /rescues/3/file" => Reply::File(b"hello".to_vec()),
        _ => Reply::Json(200, rescue.clone()),
    });
    assert_eq!(api.run(&["rescue", "export", "3", "--to", "-"]).good(), "hello");
    assert_eq!(api.run(&["rescue", "export", "3"]).good(), "escape.resp (5 B)");
    assert_eq!(
        std::fs::read(api.dir().join("escape.resp")).expect("readable"),
        b"hello"
    );
    let said = api.run(&["rescue", "export", "3"]).failed(5);
    assert!(said.contains("is there already"), "{said}");
}

#[test]
fn what_is_no_gateway_is_told_apart() {
    let api = ScriptedApi::start(|_, _| Reply::Json(404, json!("not here")));
    let said = api.run(&["status"]).failed(3);
    assert!(said.contains("is that the API of a Sterna gateway?"), "{said}");
    let api = ScriptedApi::start(|_, _| Reply::Json(200, json!({ "hello": "world" })));
    let said = api.run(&["status"]).failed(1);
    assert!(said.contains("can't be understood"), "{said}");
}
