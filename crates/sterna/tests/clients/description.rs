//! The API keeps to its own description, whatever is asked of it: schemathesis makes requests out of `openapi.json`, right ones and
//! wrong ones, and judges the answers by it. Each role asks for everything, of a gateway with a group that stands.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sterna_harness::{Gateway, Setup};
use sterna_model::{GroupSettings, MadeToken, Role};
use sterna_testkit::process::Source;
use sterna_testkit::{Process, Server};

use crate::client::installed;

/// A few thousand requests of each role.
const DEADLINE: Duration = Duration::from_secs(180);
/// Requests for each way of asking, beside those that try the bounds of every parameter.
const EXAMPLES: &str = "20";
/// What is judged. What a request may be refused for is more than a schema can tell, and not judged.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// A server that can't be reached, and a gateway that stops, are no faults of the API.
const CONFIGURATION: &str =
    "[checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", \"502\", \"503\"]\n";

#[test]
fn it_is_kept_to_every_role() {
    let (eu, us) = (Server::start(), Server::start());
    let gateway = Gateway::start(Setup::new(env!("CARGO_BIN_EXE_sterna"))).expect("a gateway");
    for (name, node) in [("eu", &eu), ("us", &us)] {
        gateway.add_service(name, node.address()).expect("a service");
    }
    gateway
        .create_group(&["eu", "us"], &GroupSettings::default())
        .expect("a group");
    gateway.wait_healthy().expect("healthy");
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("schemathesis.toml"), CONFIGURATION).expect("written");
    fs::write(dir.path().join("openapi.json"), description(&gateway)).expect("written");
    // Who may do least begins: the others take the group apart.
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let wanted = json!({ "name": format!("as-{role:?}").to_lowercase(), "role": role });
        let made: MadeToken = gateway.rest.post("/tokens", &wanted).expect("a token");
        try_everything(&gateway, dir.path(), &made.secret);
    }
}

/// As the gateway gives it out, but for the word that a token is needed: each request has one, since the address of who often asks
/// without is made to wait.
fn description(gateway: &Gateway) -> String {
    let given = gateway.rest.bytes("/openapi.json").expect("its description");
    let mut description: Value = serde_json::from_slice(&given).expect("JSON");
    let paths = description["paths"].as_object_mut().expect("paths");
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flatten() {
        if let Some(operation) = operation.1.as_object_mut() {
            operation.remove("security");
        }
    }
    description.as_object_mut().expect("an object").remove("security");
    description.to_string()
}

fn try_everything(gateway: &Gateway, dir: &Path, token: &str) {
    let root = gateway.api_url();
    let authorization = format!("Authorization: Bearer {token}");
    let args = [
        "run",
        "openapi.json",
        "--url",
        &root,
        "--header",
        &authorization,
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        EXAMPLES,
        "--generation-deterministic",
        "--request-timeout",
        "10",
        // It does not end.
        "--exclude-path",
        "/api/v1/events",
    ]
    .map(str::to_owned);
    let tool = installed().join("python/bin/schemathesis");
    let run = Process::spawn_in(dir, tool, &args, &[("PYTHONDONTWRITEBYTECODE", "1")]).expect("it starts");
    let code = run.exit_code(DEADLINE).expect("it ends");
    assert_eq!(code, 0, "{}", run.text(Source::Stdout));
}
