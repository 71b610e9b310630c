//! Many at a time: nothing is given twice, and nobody overwrites what they did not see.

use std::collections::BTreeSet;

use sterna_model::{Epoch, Role};
use sterna_store::{Idempotency, StoreError};
use tokio::task::JoinSet;

use crate::common::{Place, at, group, operation, service_name, term};

const TASKS: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_created_at_once_have_different_numbers() {
    let place = Place::new();
    let catalogue = place.open();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let catalogue = catalogue.clone();
        tasks.spawn(async move { catalogue.operations.create(operation("g")).await });
    }
    let created = tasks.join_all().await;
    let ids: BTreeSet<_> = created
        .into_iter()
        .map(|operation| operation.expect("created").id.0)
        .collect();
    assert_eq!(ids, (1..=TASKS).collect());
    let kept = catalogue
        .operations
        .newest(None, None, 100)
        .await
        .expect("listed");
    assert_eq!(kept.len() as u64, TASKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_change_what_they_read_one_wins_each_time() {
    let place = Place::new();
    let catalogue = place.open();
    catalogue.groups.create(group("g")).await.expect("created");
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let catalogue = catalogue.clone();
        tasks.spawn(async move {
            let mut conflicts = 0u64;
            loop {
                let mut group = catalogue.groups.get(&group("g").name).await.expect("read");
                group.epoch = Epoch(group.epoch.0 + 1);
                let now = group.revision;
                match catalogue.groups.save(group).await {
                    Ok(saved) => {
                        assert!(saved.revision > now);
                        return conflicts;
                    }
                    Err(StoreError::Conflict { key, now: other }) => {
                        assert_eq!(key, "groups/g");
                        assert!(other > now);
                        conflicts += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    tasks.join_all().await;
    let group = catalogue.groups.get(&group("g").name).await.expect("read");
    assert_eq!(group.epoch, Epoch(1 + TASKS), "no change was lost");
}

#[tokio::test]
async fn a_decision_on_what_somebody_else_changed_changes_nothing() {
    let place = Place::new();
    let catalogue = place.open();
    let group = catalogue.groups.create(group("g")).await.expect("created");
    let seen = catalogue
        .operations
        .create(operation("g"))
        .await
        .expect("created");
    let changed = catalogue.operations.save(seen.clone()).await.expect("saved");

    let decided = catalogue
        .groups
        .change(group.clone(), Some(seen), Some(term("g", 2)))
        .await;
    assert!(matches!(decided, Err(StoreError::Conflict { key, .. }) if key.starts_with("operations/")));
    assert_eq!(catalogue.groups.get(&group.name).await.expect("read"), group);
    assert_eq!(catalogue.history.of(&group.name).await.expect("read"), []);

    let (group, changed) = catalogue
        .groups
        .change(group, Some(changed), Some(term("g", 2)))
        .await
        .expect("decided");
    let changed = changed.expect("the operation was part of it");
    assert_eq!(group.revision, changed.revision);
    assert_eq!(catalogue.groups.get(&group.name).await.expect("read"), group);
    assert_eq!(catalogue.operations.get(changed.id).await.expect("read"), changed);
    assert_eq!(
        catalogue.history.of(&group.name).await.expect("read"),
        [term("g", 2)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_once_is_the_same_for_all() {
    let place = Place::new();
    let catalogue = place.open();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let catalogue = catalogue.clone();
        tasks.spawn(async move {
            let secrets = catalogue
                .nodes
                .relay_secrets(&group("g").name, sterna_model::ShardId::STANDALONE)
                .await
                .expect("secrets");
            (
                secrets.of(&service_name("a")),
                catalogue.gateway_id().await.expect("an id"),
            )
        });
    }
    let mut made = tasks.join_all().await;
    made.dedup();
    assert_eq!(made.len(), 1, "{made:?}");
    let (secret, id) = made.first().expect("one");
    assert_eq!((secret.expose().len(), id.len()), (64, 40));
    let others = catalogue
        .nodes
        .relay_secrets(&group("h").name, sterna_model::ShardId::STANDALONE)
        .await
        .expect("secrets");
    assert_ne!(*secret, others.of(&service_name("a")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_equal_requests_and_names_at_once_one_is_first() {
    let place = Place::new();
    let catalogue = place.open();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let catalogue = catalogue.clone();
        tasks.spawn(async move {
            let begun = catalogue
                .idempotency
                .begin("key", "post", at(0))
                .await
                .expect("begun");
            let made = catalogue.tokens.create("ann", Role::Admin, None, at(0)).await;
            assert!(
                matches!(&made, Ok(_) | Err(StoreError::Exists { .. })),
                "{:?}",
                made.err()
            );
            (begun == Idempotency::Fresh, made.is_ok())
        });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.iter().filter(|(fresh, _)| *fresh).count(), 1);
    assert_eq!(done.iter().filter(|(_, made)| *made).count(), 1);
    assert_eq!(catalogue.tokens.all().await.expect("listed").len(), 1);
}

/// A process that is being started holds every file that is open here until it executes its program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_opens_again_while_processes_are_started() {
    let place = Place::new();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let starter = std::thread::spawn(move || {
        let mut started = 0u64;
        while stopped.try_recv().is_err() {
            let ended = std::process::Command::new("true").status().expect("it starts");
            assert!(ended.success());
            started += 1;
        }
        started
    });
    for _ in 0..200 {
        drop(place.open());
    }
    stop.send(()).expect("it listens");
    assert!(starter.join().expect("it ended") > 0);
}
