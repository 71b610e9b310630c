//! Each kind of value: kept, changed, listed, refused.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use sterna_model::{
    AuditRecord, Epoch, HistoryCause, OperationId, OperationState, Rescue, RescueId, RescueKind, Revision,
    Role, Secrets, TokenId,
};
use sterna_protocol::Offset;
use sterna_store::{Catalogue, Commit, Idempotency, Sealer, SqliteStore, Store, StoreError, Write};

use crate::common::{Place, at, group, group_name, operation, service_name, spec, term};

fn password(text: &str) -> Secrets {
    Secrets {
        password: Some(text.to_owned()),
        sentinel_password: None,
    }
}

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
                fields.insert("from_the_future".to_owned(), json!({"x": [1]}));
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
async fn services_are_kept_with_their_passwords() {
    let place = Place::new();
    let catalogue = place.open();
    let made = catalogue
        .create_service(spec("b"), password("one"), at(1))
        .await
        .expect("created");
    assert!(made.has_password && made.revision > Revision(0) && made.created_at == at(1));
    assert_eq!(catalogue.service(&made.spec.name).await.expect("read"), made);
    let twice = catalogue.create_service(spec("b"), password("two"), at(2)).await;
    assert!(matches!(twice, Err(StoreError::Exists { what: "service", name }) if name == "b"));
    catalogue
        .create_service(spec("a"), Secrets::default(), at(3))
        .await
        .expect("created");
    let names: Vec<_> = catalogue
        .services()
        .await
        .expect("listed")
        .into_iter()
        .map(|one| one.spec.name)
        .collect();
    assert_eq!(names, [service_name("a"), service_name("b")]);

    let mut changed = spec("b");
    changed.username = Some("sterna".to_owned());
    let kept = catalogue
        .update_service(changed.clone(), None, None)
        .await
        .expect("updated");
    assert!(kept.has_password && kept.created_at == at(1) && kept.revision > made.revision);
    assert_eq!(kept.spec, changed);
    assert_eq!(
        catalogue.secrets(&changed.name).await.expect("unsealed"),
        password("one")
    );

    let stale = catalogue
        .update_service(spec("b"), Some(password("two")), Some(made.revision))
        .await;
    assert!(matches!(stale, Err(StoreError::Conflict { now, .. }) if now == kept.revision));
    assert_eq!(
        catalogue.secrets(&changed.name).await.expect("unsealed"),
        password("one")
    );
    let none = Some(Secrets::default());
    let kept = catalogue
        .update_service(spec("b"), none, Some(kept.revision))
        .await
        .expect("updated");
    assert!(!kept.has_password);
    assert_eq!(
        catalogue.secrets(&changed.name).await.expect("unsealed"),
        Secrets::default()
    );

    let stale = catalogue.delete_service(&changed.name, Some(made.revision)).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    catalogue
        .delete_service(&changed.name, Some(kept.revision))
        .await
        .expect("deleted");
    let missing = |gone: Option<StoreError>| {
        assert!(matches!(gone, Some(StoreError::NotFound { what: "service", name }) if name == "b"));
    };
    missing(catalogue.service(&changed.name).await.err());
    missing(catalogue.secrets(&changed.name).await.err());
    missing(catalogue.update_service(spec("b"), None, None).await.err());
    missing(catalogue.delete_service(&changed.name, None).await.err());
}

#[tokio::test]
async fn groups_go_with_what_belongs_to_them() {
    let place = Place::new();
    let catalogue = place.open();
    let name = group_name("g");
    assert!(matches!(
        catalogue.group(&name).await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        catalogue.save_group(group("g")).await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        catalogue.delete_group(&group("g")).await,
        Err(StoreError::NotFound { .. })
    ));
    let made = catalogue.create_group(group("g")).await.expect("created");
    let other = catalogue.create_group(group("g.h")).await.expect("created");
    assert!(matches!(
        catalogue.create_group(made.clone()).await,
        Err(StoreError::Exists { what: "group", .. })
    ));

    let saved = catalogue.save_group(made.clone()).await.expect("saved");
    assert!(saved.revision > made.revision);
    assert!(matches!(
        catalogue.save_group(made.clone()).await,
        Err(StoreError::Conflict { .. })
    ));
    assert_eq!(catalogue.groups().await.expect("listed"), [saved.clone(), other]);

    let node = "[::1]:6379".parse().expect("an address");
    for group in ["g", "g.h"] {
        catalogue.add_history(term(group, 1)).await.expect("added");
        catalogue
            .save_node_before(&group_name(group), &node, json!(1))
            .await
            .expect("saved");
    }
    let secret = catalogue.relay_secret(&name).await.expect("made");
    assert!(matches!(
        catalogue.delete_group(&made).await,
        Err(StoreError::Conflict { .. })
    ));
    assert_eq!(catalogue.history(&name).await.expect("read").len(), 1);
    catalogue.delete_group(&saved).await.expect("deleted");
    assert_eq!(catalogue.history(&name).await.expect("read"), []);
    assert_eq!(catalogue.node_before(&name, &node).await.expect("read"), None);
    assert_ne!(catalogue.relay_secret(&name).await.expect("made"), secret);
    let other = group_name("g.h");
    assert_eq!(catalogue.history(&other).await.expect("read").len(), 1);
    assert_eq!(
        catalogue.node_before(&other, &node).await.expect("read"),
        Some(json!(1))
    );
    catalogue
        .forget_node_before(&other, &node)
        .await
        .expect("forgotten");
    assert_eq!(catalogue.node_before(&other, &node).await.expect("read"), None);
    assert!(matches!(
        catalogue.save_group(saved).await,
        Err(StoreError::Conflict { now: Revision(0), .. })
    ));
}

#[tokio::test]
async fn operations_are_listed_newest_first_and_unfinished_ones_apart() {
    let place = Place::new();
    let catalogue = place.open();
    let mut last = None;
    for number in 0..7 {
        let group = if number % 3 == 0 { "rare" } else { "often" };
        last = Some(
            catalogue
                .create_operation(operation(group))
                .await
                .expect("created"),
        );
    }
    let ids = async |group: Option<&str>, before: Option<u64>, limit| -> Vec<u64> {
        let group = group.map(group_name);
        let listed = catalogue
            .operations(group.as_ref(), before.map(OperationId), limit)
            .await;
        listed
            .expect("listed")
            .into_iter()
            .map(|operation| operation.id.0)
            .collect()
    };
    assert_eq!(ids(None, None, 3).await, [7, 6, 5]);
    assert_eq!(ids(None, Some(5), 100).await, [4, 3, 2, 1]);
    assert_eq!(ids(Some("rare"), None, 1).await, [7]);
    assert_eq!(ids(Some("rare"), Some(7), 100).await, [4, 1]);
    assert_eq!(ids(Some("none"), None, 1).await, [0; 0]);
    assert_eq!(ids(None, None, 0).await, [0; 0]);
    assert_eq!(ids(None, None, usize::MAX).await.len(), 7);

    let mut ended = last.expect("seven");
    ended.state = OperationState::Succeeded;
    let ended = catalogue.save_operation(ended).await.expect("saved");
    assert_eq!(catalogue.operation(ended.id).await.expect("read"), ended);
    let unfinished: Vec<_> = catalogue
        .unfinished_operations()
        .await
        .expect("listed")
        .into_iter()
        .map(|one| one.id.0)
        .collect();
    assert_eq!(unfinished, [1, 2, 3, 4, 5, 6]);
    assert!(matches!(
        catalogue.save_operation(operation("g")).await,
        Err(StoreError::NotFound { .. })
    ));
    let missing = catalogue.operation(OperationId(8)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { what: "operation", name }) if name == "8"));
}

#[tokio::test]
async fn an_operation_that_a_decision_ends_is_over() {
    let place = Place::new();
    let catalogue = place.open();
    let group = catalogue.create_group(group("g")).await.expect("created");
    let mut operation = catalogue.create_operation(operation("g")).await.expect("created");
    operation.state = OperationState::Failed;
    catalogue
        .commit_change(group, operation, None)
        .await
        .expect("decided");
    assert_eq!(catalogue.unfinished_operations().await.expect("listed"), []);
}

#[tokio::test]
async fn history_grows_in_order_and_never_doubles() {
    let place = Place::new();
    let catalogue = place.open();
    for epoch in [1, 2, 10, 10] {
        catalogue.add_history(term("g", epoch)).await.expect("added");
    }
    let mut within = term("g", 2);
    within.cause = HistoryCause::WithinService;
    within.node = Some("redis-2.eu.example:6379".parse().expect("an address"));
    catalogue.add_history(within.clone()).await.expect("added");
    catalogue.add_history(within.clone()).await.expect("added");
    let history = catalogue.history(&group_name("g")).await.expect("read");
    assert_eq!(history, [term("g", 1), term("g", 2), within, term("g", 10)]);
}

fn rescue(group: &str) -> Rescue {
    Rescue {
        id: RescueId(77),
        group: group_name(group),
        service: service_name("a"),
        node: "redis-1.eu.example:6379".parse().expect("an address"),
        epoch: Epoch(1),
        kind: RescueKind::Commands,
        history: "0123456789abcdef0123456789abcdef01234567".parse().expect("an id"),
        from: Offset::new(100),
        to: Offset::new(200),
        bytes: 100,
        file: "g-1.resp".to_owned(),
        summary: None,
        saved_at: at(0),
    }
}

#[tokio::test]
async fn the_number_of_a_rescue_file_is_never_given_again() {
    let place = Place::new();
    let catalogue = place.open();
    let one = catalogue.add_rescue(rescue("g")).await.expect("added");
    let two = catalogue.add_rescue(rescue("h")).await.expect("added");
    assert_eq!((one.id, two.id), (RescueId(1), RescueId(2)));
    assert_eq!(catalogue.rescue(two.id).await.expect("read"), two);
    assert_eq!(
        catalogue.rescues(None).await.expect("listed"),
        [one.clone(), two.clone()]
    );
    assert_eq!(
        catalogue.rescues(Some(&group_name("g"))).await.expect("listed"),
        [one]
    );
    catalogue.delete_rescue(two.id).await.expect("deleted");
    assert!(matches!(
        catalogue.delete_rescue(two.id).await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        catalogue.rescue(two.id).await,
        Err(StoreError::NotFound { .. })
    ));
    drop(catalogue);
    let three = place.open().add_rescue(rescue("h")).await.expect("added");
    assert_eq!(three.id, RescueId(3));
}

#[tokio::test]
async fn tokens_are_found_by_their_text_alone() {
    let place = Place::new();
    let catalogue = place.open();
    assert!(!catalogue.has_tokens().await.expect("looked"));
    let (ann, text) = catalogue
        .create_token("ann", Role::Admin, None, at(0))
        .await
        .expect("made");
    let ends = Some(at(60));
    let (bob, other) = catalogue
        .create_token("bob", Role::Viewer, ends, at(0))
        .await
        .expect("made");
    assert!(catalogue.has_tokens().await.expect("looked"));
    assert_eq!((text.len(), &text[..7]), (50, "sterna_"));
    assert_ne!(text, other);
    assert_eq!(
        catalogue.token_of(&text).await.expect("looked"),
        Some(ann.clone())
    );
    assert_eq!(
        catalogue.token_of(&other).await.expect("looked"),
        Some(bob.clone())
    );
    assert_eq!(
        catalogue.tokens().await.expect("listed"),
        [ann.clone(), bob.clone()]
    );
    let mut wrong = text.clone().into_bytes();
    wrong[49] ^= 1;
    let wrong = String::from_utf8(wrong).expect("ASCII");
    for wrong in [
        "",
        "sterna_",
        "ann",
        &wrong,
        &text[..49],
        &format!("{text}A"),
        &text.to_uppercase(),
    ] {
        assert_eq!(catalogue.token_of(wrong).await.expect("looked"), None, "{wrong}");
    }

    let revoked = catalogue.revoke_token(ann.id, at(5)).await.expect("revoked");
    assert_eq!(revoked.revoked_at, Some(at(5)));
    assert_eq!(
        catalogue.revoke_token(ann.id, at(6)).await.expect("revoked"),
        revoked
    );
    assert_eq!(catalogue.token_of(&text).await.expect("looked"), Some(revoked));
    assert!(matches!(
        catalogue.revoke_token(TokenId(9), at(5)).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn the_name_of_a_token_is_free_when_it_has_ended() {
    let place = Place::new();
    let catalogue = place.open();
    let make = async |name: &str, second: i64| {
        catalogue
            .create_token(name, Role::Admin, Some(at(100)), at(second))
            .await
            .map(|(token, _)| token.id)
    };
    let first = make("ann", 0).await.expect("made");
    assert!(
        matches!(make("ann", 99).await, Err(StoreError::Exists { what: "token", name }) if name == "ann")
    );
    make("Ann/é", 0).await.expect("another name");
    let second = catalogue
        .create_token("ann", Role::Viewer, None, at(100))
        .await
        .expect("made")
        .0
        .id;
    assert!(second > first);
    assert!(make("ann", 101).await.is_err());
    catalogue.revoke_token(second, at(101)).await.expect("revoked");
    make("ann", 101).await.expect("made");
}

#[tokio::test]
async fn the_audit_is_read_newest_first() {
    let place = Place::new();
    let catalogue = place.open();
    for number in 1..=5 {
        let record = AuditRecord {
            id: 0,
            at: at(number),
            actor: "ann".to_owned(),
            remote: None,
            action: "group.create".to_owned(),
            target: format!("g{number}"),
            outcome: "ok".to_owned(),
            detail: None,
        };
        let id = catalogue.append_audit(record).await.expect("appended");
        assert_eq!(id.cast_signed(), number);
    }
    let ids = async |before, limit| -> Vec<u64> {
        catalogue
            .audit(before, limit)
            .await
            .expect("read")
            .into_iter()
            .map(|record| record.id)
            .collect()
    };
    assert_eq!(ids(None, 2).await, [5, 4]);
    assert_eq!(ids(Some(4), 100).await, [3, 2, 1]);
    assert_eq!(ids(Some(1), 100).await, [0; 0]);
    assert_eq!(ids(None, 0).await, [0; 0]);
}

#[tokio::test]
async fn a_request_that_is_sent_again_gets_the_first_answer() {
    let place = Place::new();
    let catalogue = place.open();
    let begin = async |key: &str, fingerprint: &str, second: i64| {
        catalogue
            .idempotency_begin(key, fingerprint, at(second))
            .await
            .expect("begun")
    };
    assert_eq!(begin("k", "one", 0).await, Idempotency::Fresh);
    assert_eq!(begin("k", "one", 1).await, Idempotency::InProgress);
    assert_eq!(begin("k", "two", 1).await, Idempotency::Mismatch);
    assert_eq!(begin("other", "two", 1).await, Idempotency::Fresh);
    catalogue
        .idempotency_finish("k", 202, "body")
        .await
        .expect("finished");
    catalogue
        .idempotency_abandon("k")
        .await
        .expect("nothing to abandon");
    let replay = Idempotency::Replay {
        status: 202,
        body: "body".to_owned(),
    };
    let day = SignedDuration::from_hours(24).as_secs();
    assert_eq!(begin("k", "one", 2).await, replay);
    assert_eq!(begin("k", "one", day - 1).await, replay);
    assert_eq!(begin("k", "two", 2).await, Idempotency::Mismatch);
    assert_eq!(begin("k", "two", day).await, Idempotency::Fresh);

    catalogue.idempotency_abandon("k").await.expect("abandoned");
    catalogue
        .idempotency_abandon("k")
        .await
        .expect("abandoned already");
    catalogue
        .idempotency_finish("k", 202, "late")
        .await
        .expect("no longer there");
    assert_eq!(begin("k", "three", day).await, Idempotency::Fresh);
}

#[tokio::test]
async fn what_a_newer_version_added_is_read_over() {
    let place = Place::new();
    let (catalogue, store) = with_store(&place);
    let mut spec = spec("a");
    spec.tls = Some(sterna_model::TlsSpec::default());
    let service = catalogue
        .create_service(spec, Secrets::default(), at(0))
        .await
        .expect("created");
    let group = catalogue.create_group(group("g")).await.expect("created");
    let mut operation = operation("g");
    operation.steps.push(sterna_model::Step {
        name: "fence".to_owned(),
        state: sterna_model::StepState::Done,
        reason: "done".to_owned(),
        started_at: at(0),
        finished_at: None,
    });
    let operation = catalogue.create_operation(operation).await.expect("created");
    for key in ["services/a", "groups/g", &format!("operations/{:020}", 1)] {
        from_the_future(&store, key).await;
    }
    let read = catalogue.service(&service.spec.name).await.expect("read");
    assert!(read.revision > service.revision, "the revision is the store's");
    assert_eq!(read.spec, service.spec);
    let read = catalogue.group(&group.name).await.expect("read");
    assert!(read.revision > group.revision);
    assert_eq!(read.settings, group.settings);
    let read = catalogue.operation(operation.id).await.expect("read");
    assert!(read.revision > operation.revision);
    assert_eq!(read.steps, operation.steps);
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_named_and_kept() {
    let place = Place::new();
    let (catalogue, store) = with_store(&place);
    let revision = catalogue
        .create_group(group("g"))
        .await
        .expect("created")
        .revision;
    let mut known = group("g");
    known.revision = revision;
    for damaged in [&b"{"[..], b"", b"{}", b"[1]", b"\xff", b"{\"name\": \"G\"}"] {
        put(&store, "groups/g", damaged).await;
        for error in [
            catalogue.group(&known.name).await.map(|_| ()),
            catalogue.groups().await.map(|_| ()),
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
        .create_operation(operation("g"))
        .await
        .expect_err("no number");
    assert!(matches!(error, StoreError::Damaged { key, .. } if key == "counters/operations"));

    catalogue
        .create_service(spec("a"), password("one"), at(0))
        .await
        .expect("created");
    catalogue
        .create_service(spec("b"), password("two"), at(0))
        .await
        .expect("created");
    let other = store.get("secrets/b").await.expect("read").expect("there").value;
    put(&store, "secrets/a", &other).await;
    let error = catalogue
        .secrets(&service_name("a"))
        .await
        .expect_err("moved from another service");
    assert!(matches!(error, StoreError::Unsealable { key } if key == "secrets/a"));
}
