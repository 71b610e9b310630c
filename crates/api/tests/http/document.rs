//! `docs/openapi.json` is what the API says of itself. `STERNA_UPDATE_DOCS=1` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::fixture::Fixture;
use crate::http::Request;

#[test]
fn the_checked_in_document_is_up_to_date() {
    let now = sterna_api::openapi();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("STERNA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == now,
        "docs/openapi.json is out of date: run STERNA_UPDATE_DOCS=1 cargo test -p sterna-api document"
    );
}

#[tokio::test]
async fn it_is_served_to_anybody() {
    let fixture = Fixture::new().await;
    let answer = fixture.send(Request::new("GET", "/api/v1/openapi.json")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.body, sterna_api::openapi());
}

/// All values of `$ref`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let ("$ref", Value::String(target)) = (name.as_str(), value) {
                    found.insert(target);
                }
                references(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_complete() {
    let document: Value = serde_json::from_str(&sterna_api::openapi()).unwrap();
    assert_eq!(
        document["openapi"].as_str().map(|version| &version[..3]),
        Some("3.1")
    );
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    let tags: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let which = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{which}");
            assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{which}");
            assert!(operation["summary"].is_string(), "{which}");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{which}");
            for (status, answer) in answers.iter().filter(|(status, _)| !status.starts_with('2')) {
                let shared = answer["$ref"]
                    .as_str()
                    .and_then(|target| document.pointer(&target[1..]));
                let answer = shared.unwrap_or(answer);
                let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{which} {status}");
            }
            let open = operation["security"].as_array().unwrap().is_empty();
            assert_eq!(answers.contains_key("401"), !open, "{which}");
        }
    }
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}
