//! Values as other versions, and accidents, leave them.

use std::sync::Arc;

use serde_json::{Value, json};
use sterna_model::{Secrets, ShardId, Step, StepDetail, StepName, StepPurpose, StepState, TlsSpec};
use sterna_store::{Catalogue, Commit, Sealer, SqliteStore, Store, StoreError, Write};

use crate::common::{Place, at, group, operation, password, service_name, spec};

/// A catalogue, and the store under it.
fn with_store(place: &Place) -> (Catalogue, Arc<dyn Store>) {
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&place.path().join("store.db")).expect("it opens"));
    let sealer = Sealer::open_or_create(&place.key_file()).expect("made");
    (Catalogue::new(Arc::clone(&store), sealer), store)
}

async fn put(store: &Arc<dyn Store>, key: &str, value: &[u8]) {
    let write = Write::Put {
        key: key.to_owned(),
        value: value.to_vec(),
    };
    let commit = Commit {
        urgent: false,
        conditions: Vec::new(),
        writes: vec![write],
    };
    store.commit(commit).await.expect("committed");
}

/// Adds fields that no version knows to a stored value, on every level.
async fn from_the_future(store: &Arc<dyn Store>, key: &str) {
    fn add(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(add);
                // The shards of a group are no record with fields but a table, by their numbers.
                let is_table = fields.keys().any(|key| key.parse::<ShardId>().is_ok());
                if !is_table {
                    fields.insert("from_the_future".to_owned(), json!({"x": [1]}));
                }
            }
            Value::Array(values) => values.iter_mut().for_each(add),
            _ => {}
        }
    }
    let entry = store.get(key).await.expect("read").expect("there");
    let mut value = serde_json::from_slice(&entry.value).expect("JSON");
    add(&mut value);
    put(store, key, value.to_string().as_bytes()).await;
}

#[tokio::test]
async fn what_a_newer_version_added_is_read_over() {
    let place = Place::new();
    let (catalogue, store) = with_store(&place);
    let mut spec = spec("a");
    spec.tls = Some(TlsSpec::default());
    let service = catalogue
        .services
        .create(spec, Secrets::default(), at(0))
        .await
        .expect("created");
    let group = catalogue.groups.create(group("g")).await.expect("created");
    let mut operation = operation("g");
    operation.steps.push(Step {
        name: StepName::PlaceFence,
        state: StepState::Done,
        detail: StepDetail::Purpose(StepPurpose::PlaceFence),
        started_at: at(0),
        finished_at: None,
    });
    let operation = catalogue.operations.create(operation).await.expect("created");
    for key in ["services/a", "groups/g", &format!("operations/{:020}", 1)] {
        from_the_future(&store, key).await;
    }
    let read = catalogue.services.get(&service.spec.name).await.expect("read");
    assert!(read.revision > service.revision, "the revision is the store's");
    assert_eq!(read.spec, service.spec);
    let read = catalogue.groups.get(&group.name).await.expect("read");
    assert!(read.revision > group.revision);
    assert_eq!(read.settings, group.settings);
    let read = catalogue.operations.get(operation.id).await.expect("read");
    assert!(read.revision > operation.revision);
    assert_eq!(read.steps, operation.steps);
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_named_and_kept() {
    let place = Place::new();
    let (catalogue, store) = with_store(&place);
    let revision = catalogue
        .groups
        .create(group("g"))
        .await
        .expect("created")
        .revision;
    let mut known = group("g");
    known.revision = revision;
    for damaged in [&b"{"[..], b"", b"{}", b"[1]", b"\xff", b"{\"name\": \"G\"}"] {
        put(&store, "groups/g", damaged).await;
        for error in [
            catalogue.groups.get(&known.name).await.map(|_| ()),
            catalogue.groups.all().await.map(|_| ()),
        ] {
            assert!(
                matches!(error, Err(StoreError::Damaged { key, .. }) if key == "groups/g"),
                "{damaged:?}"
            );
        }
        let kept = store.get("groups/g").await.expect("read").expect("there");
        assert_eq!(kept.value, damaged);
    }
    put(&store, "counters/operations", b"\"x\"").await;
    let error = catalogue
        .operations
        .create(operation("g"))
        .await
        .expect_err("no number");
    assert!(matches!(error, StoreError::Damaged { key, .. } if key == "counters/operations"));

    catalogue
        .services
        .create(spec("a"), password("one"), at(0))
        .await
        .expect("created");
    catalogue
        .services
        .create(spec("b"), password("two"), at(0))
        .await
        .expect("created");
    let other = store.get("secrets/b").await.expect("read").expect("there").value;
    put(&store, "secrets/a", &other).await;
    let error = catalogue
        .services
        .secrets(&service_name("a"))
        .await
        .expect_err("moved from another service");
    assert!(matches!(error, StoreError::Unsealable { key } if key == "secrets/a"));
}
