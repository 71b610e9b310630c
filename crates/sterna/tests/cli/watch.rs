//! `sterna status --watch` where no terminal is: a line for each change, across a gateway's restart.

use serde_json::{Value, json};
use sterna_testkit::Process;
use sterna_testkit::process::Source;

use crate::operations::status;
use crate::scripted::{Reply, ScriptedApi};
use crate::support::{DEADLINE, sterna};

fn event(status: &Value) -> Value {
    json!({ "id": 1, "at": "2026-03-01T03:00:00Z", "group": status["group"], "kind": "status", "status": status })
}

/// Healthy at first; the first stream tells of the loss of the primary and ends; then it is well again.
fn api() -> ScriptedApi {
    ScriptedApi::start(|request, before| match (request.line.as_str(), before) {
        ("GET /events", 0) => Reply::Events(vec![
            event(&status("orders", "healthy", 1)),
            event(&status("orders", "primary-down", 2)),
        ]),
        ("GET /events", _) => Reply::Events(vec![json!({ "missed": 3 })]),
        ("GET /status", 0..=1) => Reply::Json(200, json!([status("orders", "healthy", 1)])),
        ("GET /status", 2) => Reply::HangUp,
        _ => Reply::Json(200, json!([status("orders", "healthy", 3)])),
    })
}

fn watch(api: &ScriptedApi, output: &str) -> Process {
    let args = ["status", "--watch", "--output", output];
    let env = [("STERNA_API", api.address()), ("STERNA_TOKEN", "sterna_test")];
    Process::spawn_in(api.dir(), sterna(), &args, &env).expect("sterna starts")
}

#[test]
fn each_change_is_a_line_also_across_a_restart_of_the_gateway() {
    let api = api();
    let process = watch(&api, "table");
    for expected in [
        "orders  healthy",
        "healthy -> primary-down",
        "primary-down -> healthy",
    ] {
        process
            .wait_for_line(expected, DEADLINE)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
    process.kill9();
    let lines = process.text(Source::Stdout);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let words = process.text(Source::Stderr);
    assert!(words.contains("trying again until it answers"), "{words}");
}

#[test]
fn for_programs_each_status_is_a_line() {
    let api = api();
    let process = watch(&api, "json");
    process
        .wait_for_line("primary-down", DEADLINE)
        .unwrap_or_else(|error| panic!("{error:#}"));
    process.kill9();
    let lines = process.text(Source::Stdout);
    let states: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .map(|status| status["state"].clone())
        .collect();
    assert!(states.contains(&json!("healthy")), "{states:?}");
}
