//! What is secret is in no file beside the key, whatever was done with it.

use std::fs;
use std::path::Path;

use serde_json::json;
use sterna_model::{Role, Secrets};
use sterna_store::Idempotency;

use crate::common::{Place, at, group_name, service_name, spec};

/// Everything in a directory's files.
fn bytes_in(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for file in fs::read_dir(dir).expect("listed") {
        all.extend(fs::read(file.expect("listed").path()).expect("read"));
    }
    all
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn no_secret_stands_in_the_files() {
    let place = Place::new();
    let catalogue = place.open();
    let group = group_name("orders");
    let node = "redis-1.eu.example:6379".parse().expect("an address");
    let secrets = Secrets {
        password: Some("node-pa55word".to_owned()),
        sentinel_password: Some("sentinel-pa55word".to_owned()),
    };
    catalogue
        .services
        .create(spec("a"), secrets.clone(), at(0))
        .await
        .expect("created");
    let before = json!({"masterauth": "before-pa55word"});
    catalogue
        .nodes
        .save_before(&group, &node, before.clone())
        .await
        .expect("saved");
    let relay_secrets = catalogue
        .nodes
        .relay_secrets(&group, sterna_model::ShardId::STANDALONE)
        .await
        .expect("secrets");
    let relay_secret = relay_secrets.of(&service_name("a"));
    let (token, text) = catalogue
        .tokens
        .create("ann", Role::Admin, None, at(0))
        .await
        .expect("made");
    let key = "key-of-a-client";
    let fingerprint = "fingerprint-of-pa55word";
    catalogue
        .idempotency
        .begin(key, fingerprint, at(0))
        .await
        .expect("begun");
    catalogue
        .idempotency
        .finish(key, 201, &text)
        .await
        .expect("finished");

    // While it is open there is a write-ahead log too; afterwards everything is in the database.
    let open = bytes_in(&place.data_dir());
    drop(catalogue);
    let closed = bytes_in(&place.data_dir());
    for all in [open, closed] {
        assert!(holds(&all, "redis-1.eu.example"), "what is not secret is found");
        for secret in [
            "node-pa55word",
            "sentinel-pa55word",
            "before-pa55word",
            std::str::from_utf8(relay_secret.expose()).expect("hex digits"),
            &text,
            &text["sterna_".len()..],
            key,
            fingerprint,
        ] {
            assert!(!holds(&all, secret), "{secret}");
        }
    }

    let catalogue = place.open();
    assert_eq!(
        catalogue
            .services
            .secrets(&service_name("a"))
            .await
            .expect("unsealed"),
        secrets
    );
    assert_eq!(
        catalogue.nodes.before(&group, &node).await.expect("unsealed"),
        Some(before)
    );
    assert_eq!(
        catalogue
            .nodes
            .relay_secrets(&group, sterna_model::ShardId::STANDALONE)
            .await
            .expect("unsealed")
            .of(&service_name("a")),
        relay_secret
    );
    assert_eq!(
        catalogue.tokens.find(&text).await.expect("looked up"),
        Some(token)
    );
    let again = catalogue
        .idempotency
        .begin(key, fingerprint, at(1))
        .await
        .expect("begun");
    assert_eq!(
        again,
        Idempotency::Replay {
            status: 201,
            body: text
        }
    );
    assert!(!format!("{catalogue:?}").contains("pa55word"));
}
