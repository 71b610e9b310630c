//! Tokens, roles, the audit, and asking before what can't be undone.

use std::os::unix::fs::PermissionsExt as _;

use crate::gateway::Gateway;

#[test]
fn tokens_open_what_their_role_allows_until_they_are_revoked() {
    let gateway = Gateway::start();
    let viewer = gateway.run(&["token", "create", "grafana", "--expires", "30d"]);
    assert!(
        viewer.err.contains("token 2 (grafana, viewer) is shown once"),
        "{}",
        viewer.err
    );
    let viewer = viewer.good();
    let as_viewer = [("STERNA_TOKEN", viewer.as_str())];
    gateway.run_with(&["status"], &as_viewer).good();
    let said = gateway
        .run_with(&["token", "create", "mallory"], &as_viewer)
        .failed(7);
    assert!(said.starts_with("error: "), "{said}");
    let said = gateway.run_with(&["audit"], &as_viewer).failed(7);
    assert!(!said.contains(&viewer), "{said}");

    // Nobody is there to be asked.
    let said = gateway.run(&["token", "revoke", "2"]).failed(9);
    assert!(
        said.contains("revoke: token 2 (grafana, viewer) opens nothing"),
        "{said}"
    );
    assert!(said.contains("hint: add --yes"), "{said}");
    gateway.run_with(&["status"], &as_viewer).good();
    gateway.run(&["token", "revoke", "2", "--yes"]).good();
    gateway.run_with(&["status"], &as_viewer).failed(7);

    let listed = gateway.run(&["token", "list"]).good();
    assert!(
        listed.contains("grafana") && listed.contains("revoked"),
        "{listed}"
    );
    assert!(!listed.contains(&viewer));
    let audit = gateway.run(&["audit"]).good();
    assert!(
        audit.contains("token.revoke") && !audit.contains(&viewer),
        "{audit}"
    );
    let said = gateway.run(&["token", "revoke", "77", "--yes"]).failed(3);
    assert!(said.contains("there is no token 77"), "{said}");
}

#[test]
fn a_token_can_go_to_a_file_and_come_from_one() {
    let gateway = Gateway::start();
    let said = gateway.run(&[
        "token",
        "create",
        "ops",
        "--role",
        "operator",
        "--to",
        "ops-token",
    ]);
    assert!(!said.out.contains("sterna_") && !said.err.contains("sterna_"));
    said.good();
    let path = gateway.dir.path().join("ops-token");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    gateway.run(&["status", "--token-file", "ops-token"]).good();
    gateway.run(&["audit", "--token-file", "ops-token"]).failed(7);
    // The file is not written over, and no token is made that nobody could know.
    gateway
        .run(&["token", "create", "more", "--to", "ops-token"])
        .failed(5);
    let tokens = gateway.run(&["token", "list", "--output", "json"]).json();
    assert_eq!(tokens.as_array().map(Vec::len), Some(2), "{tokens}");
}

#[test]
fn json_is_the_answer_as_it_is() {
    let gateway = Gateway::start();
    let made = gateway
        .run(&["token", "create", "ci", "--role", "admin", "--output", "json"])
        .json();
    assert_eq!(made["token"]["role"], "admin");
    assert!(
        made["secret"]
            .as_str()
            .is_some_and(|text| text.starts_with("sterna_"))
    );
    assert_eq!(gateway.run(&["status", "--output", "json"]).good(), "[]");
    assert_eq!(gateway.run(&["service", "list", "--output", "json"]).good(), "[]");
    let audit = gateway.run(&["audit", "--output", "json", "--limit", "1"]).json();
    assert_eq!(audit[0]["action"], "token.create");
    assert_eq!(audit[0]["target"], "ci");
}
