//! Each kind of value: kept, changed, listed, refused.

use serde_json::json;
use sterna_model::{
    Epoch, HistoryCause, OperationId, OperationState, Rescue, RescueId, RescueKind, Revision, Secrets,
    ShardId,
};
use sterna_protocol::Offset;
use sterna_store::StoreError;

use crate::common::{Place, at, group, group_name, operation, password, service_name, spec, term};

#[tokio::test]
async fn services_are_kept_with_their_passwords() {
    let place = Place::new();
    let catalogue = place.open();
    let made = catalogue
        .services
        .create(spec("b"), password("one"), at(1))
        .await
        .expect("created");
    assert!(made.has_password && made.revision > Revision(0) && made.created_at == at(1));
    assert_eq!(catalogue.services.get(&made.spec.name).await.expect("read"), made);
    let twice = catalogue.services.create(spec("b"), password("two"), at(2)).await;
    assert!(matches!(twice, Err(StoreError::Exists { what: "service", name }) if name == "b"));
    catalogue
        .services
        .create(spec("a"), Secrets::default(), at(3))
        .await
        .expect("created");
    let names: Vec<_> = catalogue
        .services
        .all()
        .await
        .expect("listed")
        .into_iter()
        .map(|one| one.spec.name)
        .collect();
    assert_eq!(names, [service_name("a"), service_name("b")]);

    let mut changed = spec("b");
    changed.username = Some("sterna".to_owned());
    let kept = catalogue
        .services
        .update(changed.clone(), None, None)
        .await
        .expect("updated");
    assert!(kept.has_password && kept.created_at == at(1) && kept.revision > made.revision);
    assert_eq!(kept.spec, changed);
    assert_eq!(
        catalogue.services.secrets(&changed.name).await.expect("unsealed"),
        password("one")
    );

    let stale = catalogue
        .services
        .update(spec("b"), Some(password("two")), Some(made.revision))
        .await;
    assert!(matches!(stale, Err(StoreError::Conflict { now, .. }) if now == kept.revision));
    assert_eq!(
        catalogue.services.secrets(&changed.name).await.expect("unsealed"),
        password("one")
    );
    let none = Some(Secrets::default());
    let kept = catalogue
        .services
        .update(spec("b"), none, Some(kept.revision))
        .await
        .expect("updated");
    assert!(!kept.has_password);
    assert_eq!(
        catalogue.services.secrets(&changed.name).await.expect("unsealed"),
        Secrets::default()
    );

    let stale = catalogue
        .services
        .delete(&changed.name, Some(made.revision))
        .await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })));
    catalogue
        .services
        .delete(&changed.name, Some(kept.revision))
        .await
        .expect("deleted");
    let missing = |gone: Option<StoreError>| {
        assert!(matches!(gone, Some(StoreError::NotFound { what: "service", name }) if name == "b"));
    };
    missing(catalogue.services.get(&changed.name).await.err());
    missing(catalogue.services.secrets(&changed.name).await.err());
    missing(catalogue.services.update(spec("b"), None, None).await.err());
    missing(catalogue.services.delete(&changed.name, None).await.err());
}

#[tokio::test]
async fn groups_go_with_what_belongs_to_them() {
    let place = Place::new();
    let catalogue = place.open();
    let name = group_name("g");
    assert!(matches!(
        catalogue.groups.get(&name).await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        catalogue.groups.save(group("g")).await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        catalogue.groups.delete(&group("g")).await,
        Err(StoreError::NotFound { .. })
    ));
    let made = catalogue.groups.create(group("g")).await.expect("created");
    let other = catalogue.groups.create(group("g.h")).await.expect("created");
    assert!(matches!(
        catalogue.groups.create(made.clone()).await,
        Err(StoreError::Exists { what: "group", .. })
    ));

    let saved = catalogue.groups.save(made.clone()).await.expect("saved");
    assert!(saved.revision > made.revision);
    assert!(matches!(
        catalogue.groups.save(made.clone()).await,
        Err(StoreError::Conflict { .. })
    ));
    assert_eq!(
        catalogue.groups.all().await.expect("listed"),
        [saved.clone(), other]
    );

    let node = "[::1]:6379".parse().expect("an address");
    for group in ["g", "g.h"] {
        catalogue.history.add(term(group, 1)).await.expect("added");
        catalogue
            .nodes
            .save_before(&group_name(group), &node, json!(1))
            .await
            .expect("saved");
    }
    let (of, standalone) = (service_name("a"), ShardId::STANDALONE);
    let secret = catalogue
        .nodes
        .relay_secrets(&name, standalone)
        .await
        .expect("made")
        .of(&of);
    let again = catalogue
        .nodes
        .relay_secrets(&name, standalone)
        .await
        .expect("kept");
    assert_eq!(again.of(&of), secret);
    assert_ne!(again.of(&service_name("b")), secret);
    let other_shard = catalogue
        .nodes
        .relay_secrets(&name, ShardId(1))
        .await
        .expect("kept");
    assert_ne!(other_shard.of(&of), secret);
    assert!(matches!(
        catalogue.groups.delete(&made).await,
        Err(StoreError::Conflict { .. })
    ));
    assert_eq!(catalogue.history.of(&name).await.expect("read").len(), 1);
    catalogue.groups.delete(&saved).await.expect("deleted");
    assert_eq!(catalogue.history.of(&name).await.expect("read"), []);
    assert_eq!(catalogue.nodes.before(&name, &node).await.expect("read"), None);
    assert_ne!(
        catalogue
            .nodes
            .relay_secrets(&name, standalone)
            .await
            .expect("made")
            .of(&of),
        secret
    );
    let other = group_name("g.h");
    assert_eq!(catalogue.history.of(&other).await.expect("read").len(), 1);
    assert_eq!(
        catalogue.nodes.before(&other, &node).await.expect("read"),
        Some(json!(1))
    );
    catalogue
        .nodes
        .forget_before(&other, &node)
        .await
        .expect("forgotten");
    assert_eq!(catalogue.nodes.before(&other, &node).await.expect("read"), None);
    assert!(matches!(
        catalogue.groups.save(saved).await,
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
                .operations
                .create(operation(group))
                .await
                .expect("created"),
        );
    }
    let ids = async |group: Option<&str>, before: Option<u64>, limit| -> Vec<u64> {
        let group = group.map(group_name);
        let listed = catalogue
            .operations
            .newest(group.as_ref(), before.map(OperationId), limit)
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
    let ended = catalogue.operations.save(ended).await.expect("saved");
    assert_eq!(catalogue.operations.get(ended.id).await.expect("read"), ended);
    let unfinished: Vec<_> = catalogue
        .operations
        .unfinished()
        .await
        .expect("listed")
        .into_iter()
        .map(|one| one.id.0)
        .collect();
    assert_eq!(unfinished, [1, 2, 3, 4, 5, 6]);
    assert!(matches!(
        catalogue.operations.save(operation("g")).await,
        Err(StoreError::NotFound { .. })
    ));
    let missing = catalogue.operations.get(OperationId(8)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { what: "operation", name }) if name == "8"));
}

#[tokio::test]
async fn an_operation_that_a_decision_ends_is_over() {
    let place = Place::new();
    let catalogue = place.open();
    let group = catalogue.groups.create(group("g")).await.expect("created");
    let mut operation = catalogue
        .operations
        .create(operation("g"))
        .await
        .expect("created");
    operation.state = OperationState::Failed;
    catalogue
        .groups
        .change(group, Some(operation), None)
        .await
        .expect("decided");
    assert_eq!(catalogue.operations.unfinished().await.expect("listed"), []);
}

#[tokio::test]
async fn history_grows_in_order_and_never_doubles() {
    let place = Place::new();
    let catalogue = place.open();
    for epoch in [1, 2, 10, 10] {
        catalogue.history.add(term("g", epoch)).await.expect("added");
    }
    let mut within = term("g", 2);
    within.cause = HistoryCause::WithinService;
    catalogue.history.add(within.clone()).await.expect("added");
    let node = |name: &str| Some(name.parse().expect("an address"));
    let standalone = ShardId::STANDALONE;
    within.shards.entry(standalone).or_default().node = node("redis-2.eu.example:6379");
    catalogue
        .history
        .add(within.clone())
        .await
        .expect("more is known");
    catalogue.history.add(within.clone()).await.expect("said again");
    let mut other = within.clone();
    other.shards.entry(standalone).or_default().node = node("redis-3.eu.example:6379");
    catalogue.history.add(other.clone()).await.expect("another node");
    let history = catalogue.history.of(&group_name("g")).await.expect("read");
    assert_eq!(
        history,
        [term("g", 1), term("g", 2), within, other, term("g", 10)]
    );
}

fn rescue(group: &str) -> Rescue {
    Rescue {
        id: RescueId(77),
        group: group_name(group),
        shard: ShardId::STANDALONE,
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
    let one = catalogue.rescues.add(rescue("g")).await.expect("added");
    let two = catalogue.rescues.add(rescue("h")).await.expect("added");
    assert_eq!((one.id, two.id), (RescueId(1), RescueId(2)));
    assert_eq!(catalogue.rescues.get(two.id).await.expect("read"), two);
    assert_eq!(
        catalogue.rescues.list(None).await.expect("listed"),
        [one.clone(), two.clone()]
    );
    assert_eq!(
        catalogue
            .rescues
            .list(Some(&group_name("g")))
            .await
            .expect("listed"),
        [one]
    );
    catalogue.rescues.delete(two.id).await.expect("deleted");
    assert!(matches!(
        catalogue.rescues.delete(two.id).await,
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        catalogue.rescues.get(two.id).await,
        Err(StoreError::NotFound { .. })
    ));
    drop(catalogue);
    let three = place.open().rescues.add(rescue("h")).await.expect("added");
    assert_eq!(three.id, RescueId(3));
}
