//! Who may, who did, and what was asked twice: tokens, the audit, idempotency keys.

use jiff::SignedDuration;
use sterna_model::{AuditRecord, Role, TokenId};
use sterna_store::{Idempotency, StoreError};

use crate::common::{Place, at};

#[tokio::test]
async fn tokens_are_found_by_their_text_alone() {
    let place = Place::new();
    let catalogue = place.open();
    assert!(!catalogue.tokens.any().await.expect("looked"));
    let (ann, text) = catalogue
        .tokens
        .create("ann", Role::Admin, None, at(0))
        .await
        .expect("made");
    let ends = Some(at(60));
    let (bob, other) = catalogue
        .tokens
        .create("bob", Role::Viewer, ends, at(0))
        .await
        .expect("made");
    assert!(catalogue.tokens.any().await.expect("looked"));
    assert_eq!((text.len(), &text[..7]), (50, "sterna_"));
    assert_ne!(text, other);
    assert_eq!(
        catalogue.tokens.find(&text).await.expect("looked"),
        Some(ann.clone())
    );
    assert_eq!(
        catalogue.tokens.find(&other).await.expect("looked"),
        Some(bob.clone())
    );
    assert_eq!(
        catalogue.tokens.all().await.expect("listed"),
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
        assert_eq!(
            catalogue.tokens.find(wrong).await.expect("looked"),
            None,
            "{wrong}"
        );
    }

    let revoked = catalogue.tokens.revoke(ann.id, at(5)).await.expect("revoked");
    assert_eq!(revoked.revoked_at, Some(at(5)));
    assert_eq!(
        catalogue.tokens.revoke(ann.id, at(6)).await.expect("revoked"),
        revoked
    );
    assert_eq!(catalogue.tokens.find(&text).await.expect("looked"), Some(revoked));
    assert!(matches!(
        catalogue.tokens.revoke(TokenId(9), at(5)).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn the_name_of_a_token_is_free_when_it_has_ended() {
    let place = Place::new();
    let catalogue = place.open();
    let make = async |name: &str, second: i64| {
        catalogue
            .tokens
            .create(name, Role::Admin, Some(at(100)), at(second))
            .await
            .map(|(token, _)| token.id)
    };
    let first = make("ann", 0).await.expect("made");
    assert!(
        matches!(make("ann", 99).await, Err(StoreError::Exists { what: "token", name }) if name == "ann")
    );
    make("Ann/é", 0).await.expect("another name");
    let second = catalogue
        .tokens
        .create("ann", Role::Viewer, None, at(100))
        .await
        .expect("made")
        .0
        .id;
    assert!(second > first);
    assert!(make("ann", 101).await.is_err());
    catalogue.tokens.revoke(second, at(101)).await.expect("revoked");
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
        let id = catalogue.audit.append(record).await.expect("appended");
        assert_eq!(id.cast_signed(), number);
    }
    let ids = async |before, limit| -> Vec<u64> {
        catalogue
            .audit
            .newest(before, limit)
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
            .idempotency
            .begin(key, fingerprint, at(second))
            .await
            .expect("begun")
    };
    assert_eq!(begin("k", "one", 0).await, Idempotency::Fresh);
    assert_eq!(begin("k", "one", 1).await, Idempotency::InProgress);
    assert_eq!(begin("k", "two", 1).await, Idempotency::Mismatch);
    assert_eq!(begin("other", "two", 1).await, Idempotency::Fresh);
    catalogue
        .idempotency
        .finish("k", 202, "body")
        .await
        .expect("finished");
    catalogue
        .idempotency
        .abandon("k")
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

    catalogue.idempotency.abandon("k").await.expect("abandoned");
    catalogue
        .idempotency
        .abandon("k")
        .await
        .expect("abandoned already");
    catalogue
        .idempotency
        .finish("k", 202, "late")
        .await
        .expect("no longer there");
    assert_eq!(begin("k", "three", day).await, Idempotency::Fresh);
}
