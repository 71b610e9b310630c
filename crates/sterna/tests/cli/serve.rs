//! `sterna serve` as a process: what it says, who may ask, how it ends.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use sterna_testkit::process::Source;

use crate::gateway::{Gateway, sterna_in};
use crate::support::DEADLINE;

#[test]
fn it_says_where_it_listens_makes_one_admin_token_and_stops_cleanly() {
    let gateway = Gateway::start();
    let token = gateway.token();
    let said = gateway.process.text(Source::Stdout);
    assert_eq!(said.matches(&token).count(), 1, "{said}");
    assert!(token.starts_with("sterna_"), "{said}");
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(gateway.token_file()), 0o600);
    assert_eq!(mode(gateway.dir.path().join("data/key")), 0o600);
    assert_eq!(
        gateway.run(&["status"]).good(),
        "there is no group yet; make one with `sterna group create`"
    );

    let (code, dir) = gateway.stop();
    assert_eq!(code, 0);
    let gateway = Gateway::start_in(dir, &[]);
    assert_eq!(gateway.token(), token, "the token is made once");
    assert!(!gateway.process.text(Source::Stdout).contains("sterna_"));
    gateway.run(&["token", "list"]).good();
}

#[test]
fn discovery_answers_beside_the_api() {
    let gateway = Gateway::start();
    let mut client = std::net::TcpStream::connect(&gateway.discovery).expect("it listens");
    client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    client
        .write_all(b"PING\r\nSENTINEL MASTERS\r\n")
        .expect("written");
    let mut answer = [0; 11];
    client.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+PONG\r\n*0\r\n");
}

#[test]
fn the_token_stands_in_no_log() {
    let gateway = Gateway::start();
    gateway.run(&["token", "list"]).good();
    let token = gateway.token();
    gateway.process.sigterm().expect("it runs");
    gateway.process.exit_code(DEADLINE).expect("it ends");
    let log = gateway.process.text(Source::Stderr);
    assert!(log.contains("stopped") && !log.contains(&token), "{log}");
}

#[test]
fn who_lost_every_token_gets_another() {
    let gateway = Gateway::start();
    let lost = gateway.token();
    let (_, dir) = gateway.stop();
    std::fs::remove_file(dir.path().join("data/admin-token")).expect("removed");
    let gateway = Gateway::start_in(dir, &["--new-admin-token"]);
    assert_ne!(gateway.token(), lost);
    let tokens = gateway.run(&["token", "list", "--output", "json"]).json();
    assert_eq!(tokens.as_array().map(Vec::len), Some(2), "{tokens}");
}

/// It would know no group, and their primaries would stay closed to writes.
#[test]
fn a_store_that_is_gone_is_not_made_anew_beside_what_its_groups_kept() {
    let (_, dir) = Gateway::start().stop();
    let log = dir.path().join("data/groups/orders/shards/0/log");
    std::fs::create_dir_all(log).expect("made");
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        drop(std::fs::remove_file(dir.path().join("data").join(name)));
    }
    let args = ["serve", "--data-dir", "data", "--listen-api", "127.0.0.1:0"];
    let said = sterna_in(dir.path(), &args, &[]).failed(5);
    assert!(
        said.contains("no store.db") && said.contains("--new-store"),
        "{said}"
    );
    let gateway = Gateway::start_in(dir, &["--new-store", "--new-admin-token"]);
    gateway.run(&["status"]).good();
}

#[test]
fn a_data_directory_that_every_user_can_write_to_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::set_permissions(&data, Permissions::from_mode(0o777)).expect("chmod");
    let args = ["serve", "--data-dir", "data", "--listen-api", "127.0.0.1:0"];
    let said = sterna_in(dir.path(), &args, &[]).failed(5);
    assert!(said.contains("chmod o-w") && said.contains("mode 0777"), "{said}");
    assert_eq!(std::fs::read_dir(&data).expect("listed").count(), 0);
    std::fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("chmod");
    Gateway::start_in(dir, &[]).run(&["status"]).good();
}

#[test]
fn a_second_gateway_on_the_same_data_is_refused() {
    let gateway = Gateway::start();
    let args = ["serve", "--data-dir", "data", "--listen-api", "127.0.0.1:0"];
    let said = sterna_in(gateway.dir.path(), &args, &[]).failed(5);
    assert!(said.contains("the catalogue can't be opened"), "{said}");
    gateway.run(&["status"]).good();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let gateway = Gateway::start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let taken = gateway.api.trim_start_matches("http://");
    let args = [
        "serve",
        "--listen-api",
        taken,
        "--listen-relay",
        "127.0.0.1:0",
        "--listen-discovery",
        "127.0.0.1:0",
    ];
    let said = sterna_in(dir.path(), &args, &[]).failed(5);
    assert!(
        said.contains(taken) && said.contains("another process has that port"),
        "{said}"
    );
}

#[test]
fn without_a_gateway_or_a_token_it_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let nowhere = [("STERNA_API", "http://127.0.0.1:9")];
    let said = sterna_in(dir.path(), &["status"], &nowhere).failed(4);
    assert!(said.contains("hint: start one with `sterna serve`"), "{said}");

    let gateway = Gateway::start();
    let api = [("STERNA_API", gateway.api.as_str())];
    let said = sterna_in(dir.path(), &["status"], &api).failed(7);
    for expected in [
        "--token-file: not given",
        "STERNA_TOKEN: not set",
        "sterna-data/admin-token: not there",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let wrong = [
        ("STERNA_API", gateway.api.as_str()),
        ("STERNA_TOKEN", "sterna_wrong"),
    ];
    let said = sterna_in(dir.path(), &["status"], &wrong).failed(7);
    assert!(said.contains("hint: the token came from STERNA_TOKEN"), "{said}");
    assert!(!said.contains("sterna_wrong"), "{said}");
}

#[test]
fn logs_are_json_where_that_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("c.toml"), "[log]\nformat = \"json\"\n").expect("written");
    let gateway = Gateway::start_in(dir, &["--config", "c.toml"]);
    gateway.process.sigint().expect("it runs");
    assert_eq!(gateway.process.exit_code(DEADLINE).expect("it ends"), 0);
    let log = gateway.process.text(Source::Stderr);
    assert!(!log.is_empty());
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string());
    }
}
