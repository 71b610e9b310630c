//! The command line's form: usage errors, completions, manual pages.

use crate::gateway::sterna_in;

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for args in [
        &["switchover", "orders"][..],
        &["group", "create", "orders", "--primary", "eu"],
        &["service", "add", "Not-A-Name", "--url", "redis://a"],
        &["token", "create", "x", "--expires", "soon"],
        &["operation", "wait", "x"],
        &["status", "--output", "yaml"],
        &["serve", "--listen-api", "7800"],
    ] {
        let said = sterna_in(dir.path(), args, &[]).failed(2);
        assert!(said.starts_with("error: "), "{args:?}: {said}");
    }
}

#[test]
fn passwords_do_not_belong_on_the_command_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let args = ["service", "add", "eu", "--url", "redis://:hunter2@127.0.0.1:1"];
    let said = sterna_in(dir.path(), &args, &[]).failed(3);
    assert!(said.contains("--password-file FILE"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn every_shell_has_completions() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for shell in ["bash", "zsh", "fish"] {
        let script = sterna_in(dir.path(), &["completions", shell], &[]).good();
        for word in ["switchover", "token-file", "add-replica"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    sterna_in(dir.path(), &["man", "pages"], &[]).good();
    for page in [
        "sterna.1",
        "sterna-switchover.1",
        "sterna-service-add.1",
        "sterna-group-create.1",
    ] {
        let text = std::fs::read_to_string(dir.path().join("pages").join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
}
