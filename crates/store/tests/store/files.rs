//! The files: private, locked, and never made anew over what is there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use sterna_model::Secrets;
use sterna_store::{Sealer, StoreError};

use crate::common::{Place, at, service_name, spec};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o777
}

/// Why the store does not open, and that its files are left as they are.
#[track_caller]
fn refusal(place: &Place) -> String {
    let before = files(place);
    let error = place.try_open().expect_err("it is refused");
    assert_eq!(files(place), before, "{error}");
    assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
    error.to_string()
}

fn files(place: &Place) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for dir in [place.path(), &place.data_dir()] {
        for file in fs::read_dir(dir).expect("listed") {
            let file = file.expect("listed");
            if file.file_type().expect("known").is_file() {
                let name = file.file_name().into_string().expect("text");
                files.push((name, fs::read(file.path()).expect("read")));
            }
        }
    }
    files.sort();
    files
}

/// A store with a service, closed.
async fn used() -> Place {
    let place = Place::new();
    let catalogue = place.open();
    let secrets = Secrets {
        password: Some("pa55word".to_owned()),
        sentinel_password: None,
    };
    catalogue
        .services
        .create(spec("a"), secrets, at(0))
        .await
        .expect("created");
    place
}

#[tokio::test]
async fn only_the_owner_can_read() {
    let place = used().await;
    let _open = place.open();
    assert_eq!(mode(&place.data_dir()), 0o700);
    assert_eq!(mode(&place.key_file()), 0o600);
    let mut seen = 0;
    for file in fs::read_dir(place.data_dir()).expect("listed") {
        let path = file.expect("listed").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 3, "the database, its write-ahead log and the lock");
}

#[tokio::test]
async fn a_lock_is_no_link_and_no_file_of_others() {
    let place = used().await;
    let lock = place.data_dir().join("store.db.lock");
    let victim = place.path().join("victim");
    fs::write(&victim, "kept").expect("written");
    fs::remove_file(&lock).expect("removed");
    std::os::unix::fs::symlink(&victim, &lock).expect("linked");
    place.try_open().expect_err("it is refused");
    assert_eq!(fs::read(&victim).expect("there"), b"kept");
    fs::rename(&victim, &lock).expect("moved");
    let said = refusal(&place);
    assert!(said.contains("somebody else"), "{said}");
}

#[tokio::test]
async fn a_second_gateway_is_refused_until_the_first_has_ended() {
    let place = used().await;
    let first = place.open();
    let error = place.try_open().expect_err("it is refused").to_string();
    let who = format!("process {} has", std::process::id());
    assert!(error.contains(&who), "{error}");
    let also_first = first.clone();
    drop(first);
    assert!(place.try_open().is_err());
    drop(also_first);
    place.open();
}

#[tokio::test]
async fn a_damaged_database_is_left_as_it_is() {
    let place = used().await;
    let whole = fs::read(place.database()).expect("read");
    let halves = [&whole[..whole.len() / 2], &whole[..100], &[]];
    let mut overwritten = whole.clone();
    overwritten[4096..4196].fill(0xff);
    let mut no_header = whole.clone();
    no_header[..16].fill(b'?');
    for damaged in halves.into_iter().chain([&overwritten[..], &no_header]) {
        fs::write(place.database(), damaged).expect("written");
        let error = refusal(&place);
        assert!(
            error.contains("is damaged") && error.contains("backup"),
            "{error}"
        );
    }
    fs::write(place.database(), whole).expect("written");
    place.open();
}

#[tokio::test]
async fn a_lost_database_is_not_made_anew_over_its_log() {
    let place = used().await;
    fs::rename(place.database(), place.data_dir().join("store.db-wal")).expect("renamed");
    let error = refusal(&place);
    assert!(error.contains("is gone"), "{error}");
}

#[tokio::test]
async fn what_a_crash_left_of_a_new_database_is_no_harm() {
    let place = Place::new();
    fs::create_dir(place.data_dir()).expect("made");
    fs::write(place.data_dir().join("store.db.new"), "half").expect("written");
    fs::write(place.data_dir().join("store.db.new-journal"), "half").expect("written");
    drop(place.open());
    let names: Vec<_> = files(&place).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["key", "store.db", "store.db.lock"]);
}

#[tokio::test]
async fn a_newer_database_and_one_of_others_are_refused() {
    let place = used().await;
    let change = |pragma: &str, value: i32| {
        let connection = rusqlite::Connection::open(place.database()).expect("opened");
        connection.pragma_update(None, pragma, value).expect("set");
    };
    change("user_version", 1000);
    let error = refusal(&place);
    assert!(
        error.contains("newer version of sterna") && error.contains("1000"),
        "{error}"
    );
    change("user_version", 1);
    place.open();
    change("application_id", 1);
    let error = refusal(&place);
    assert!(error.contains("of another program"), "{error}");
}

#[tokio::test]
async fn a_key_file_that_others_may_read_is_refused() {
    let place = used().await;
    for wide in [0o640, 0o604, 0o620] {
        fs::set_permissions(place.key_file(), Permissions::from_mode(wide)).expect("set");
        let error = refusal(&place);
        let remedy = format!("chmod 600 {}", place.key_file().display());
        assert!(error.contains(&remedy), "{error}");
    }
    fs::set_permissions(place.key_file(), Permissions::from_mode(0o400)).expect("set");
    place.open();
}

#[tokio::test]
async fn the_wrong_key_file_and_none_are_refused() {
    let place = used().await;
    let key = fs::read(place.key_file()).expect("read");
    assert_eq!(key.len(), 32);
    fs::write(place.key_file(), [7; 32]).expect("written");
    assert!(refusal(&place).contains("is not the key file"));
    fs::write(place.key_file(), [7; 33]).expect("written");
    assert!(refusal(&place).contains("exactly 32 bytes"));
    fs::write(place.key_file(), [7; 31]).expect("written");
    assert!(refusal(&place).contains("exactly 32 bytes"));
    fs::remove_file(place.key_file()).expect("removed");
    assert!(refusal(&place).contains("is missing"));

    fs::write(place.key_file(), &key).expect("written");
    fs::set_permissions(place.key_file(), Permissions::from_mode(0o600)).expect("set");
    let catalogue = place.open();
    let secrets = catalogue
        .services
        .secrets(&service_name("a"))
        .await
        .expect("unsealed");
    assert_eq!(secrets.password.as_deref(), Some("pa55word"));
}

#[test]
fn a_sealed_value_opens_only_whole_and_in_its_place() {
    let place = Place::new();
    let sealer = Sealer::open_or_create(&place.key_file()).expect("made");
    let value = sealer.seal("secrets/a", b"pa55word").expect("sealed");
    assert_ne!(
        value,
        sealer.seal("secrets/a", b"pa55word").expect("sealed"),
        "nonces differ"
    );

    let again = Sealer::open_or_create(&place.key_file()).expect("read");
    assert_eq!(again.open("secrets/a", &value).expect("opened"), b"pa55word");
    assert!(
        matches!(again.open("secrets/b", &value), Err(StoreError::Unsealable { key }) if key == "secrets/b")
    );
    for byte in 0..value.len() {
        let mut changed = value.clone();
        changed[byte] ^= 1;
        assert!(again.open("secrets/a", &changed).is_err(), "byte {byte}");
        assert!(again.open("secrets/a", &value[..byte]).is_err(), "cut at {byte}");
    }
    let mut newer = value;
    newer[0] = 2;
    assert!(matches!(
        again.open("secrets/a", &newer),
        Err(StoreError::Damaged { .. })
    ));
}
