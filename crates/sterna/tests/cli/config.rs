//! `sterna config`: what is wrong is refused with its place, before anything starts.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::gateway::sterna_in;

#[test]
fn the_environment_beats_the_file_which_beats_the_defaults() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = "data_dir = \"from-file\"\n\n[api]\nlisten = \"127.0.0.1:1\"\n";
    write(dir.path().join("sterna.toml"), text).expect("written");
    let args = ["config", "show", "--config", "sterna.toml", "--output", "json"];
    let env = [("STERNA_API_LISTEN", "127.0.0.1:2")];
    let shown: Value = sterna_in(dir.path(), &args, &env).json();
    let row = |path: &str| (shown[path]["value"].clone(), shown[path]["from"].clone());
    assert_eq!(row("data_dir"), ("from-file".into(), "sterna.toml:1".into()));
    assert_eq!(
        row("api.listen"),
        ("127.0.0.1:2".into(), "STERNA_API_LISTEN".into())
    );
    assert_eq!(row("key_file").0, Value::from("from-file/key"));
    assert_eq!(row("log.filter"), ("info".into(), "default".into()));
    // The variable that names the file means the same as the option.
    let shown = sterna_in(
        dir.path(),
        &["config", "show", "--output", "json"],
        &[("STERNA_CONFIG", "sterna.toml")],
    );
    assert_eq!(shown.json()["data_dir"]["value"], "from-file");
}

#[test]
fn unknown_fields_are_refused_with_their_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write(
        dir.path().join("c.toml"),
        "[log]\nformat = \"text\"\nfiltre = \"info\"\n",
    )
    .expect("written");
    for verb in [&["config", "check"][..], &["config", "show"], &["serve"]] {
        let mut args = verb.to_vec();
        args.extend(["--config", "c.toml"]);
        let said = sterna_in(dir.path(), &args, &[]).failed(5);
        assert!(
            said.contains("c.toml:3: there is no field log.filtre; did you mean log.filter?"),
            "{said}"
        );
    }
    let said = sterna_in(dir.path(), &["config", "check", "--config", "none.toml"], &[]).failed(5);
    assert!(said.contains("none.toml can't be read"), "{said}");
}

#[test]
fn a_key_that_others_can_read_and_an_open_port_keep_the_gateway_from_starting() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write(dir.path().join("key"), [7; 32]).expect("written");
    set_permissions(dir.path().join("key"), Permissions::from_mode(0o644)).expect("chmod");
    let env = [
        ("STERNA_KEY_FILE", "key"),
        ("STERNA_API_LISTEN", "0.0.0.0:0"),
        ("STERNA_DISCOVERY_LISTEN", "0.0.0.0:0"),
    ];
    for verb in [&["config", "check"][..], &["serve"]] {
        let said = sterna_in(dir.path(), verb, &env).failed(5);
        for expected in [
            "hint: chmod 600 key",
            "api.listen: 0.0.0.0:0 can be reached from other machines",
            "discovery.listen: 0.0.0.0:0 can be reached from other machines",
            "hint: set api.tls_cert and api.tls_key",
        ] {
            assert!(said.contains(expected), "{expected}\n{said}");
        }
    }
    assert!(
        !dir.path().join("sterna-data").exists(),
        "a refused start leaves nothing behind"
    );
}

#[test]
fn the_printed_default_file_is_good_and_says_nothing_new() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = sterna_in(dir.path(), &["config", "default"], &[]).good();
    write(dir.path().join("sterna.toml"), text).expect("written");
    let values = |args: &[&str]| {
        let shown = sterna_in(dir.path(), args, &[]).json();
        let Value::Object(shown) = shown else {
            panic!("{shown}");
        };
        let values = shown.into_iter().map(|(path, row)| (path, row["value"].clone()));
        values.collect::<Vec<_>>()
    };
    assert_eq!(
        values(&["config", "show", "--output", "json", "--config", "sterna.toml"]),
        values(&["config", "show", "--output", "json"])
    );
}

#[test]
fn a_misspelt_variable_is_noticed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let said = sterna_in(dir.path(), &["config", "check"], &[("STERNA_RELAY_LISTN", "x")]);
    assert!(
        said.err.contains("warning: STERNA_RELAY_LISTN sets no field"),
        "{}",
        said.err
    );
    assert_eq!(said.good(), "the configuration is good");
}
