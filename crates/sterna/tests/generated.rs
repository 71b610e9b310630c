//! The reference pages in `docs/` are what the program says of itself. `STERNA_UPDATE_DOCS=1` writes them anew.

use std::path::Path;
use std::process::Command;

#[test]
fn the_reference_pages_are_up_to_date() {
    for page in ["alerts", "cli", "config", "metrics"] {
        let output = Command::new(env!("CARGO_BIN_EXE_sterna"))
            .args(["docs", page])
            .output()
            .expect("it runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let now = String::from_utf8(output.stdout).expect("text");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/{page}.md"));
        if std::env::var_os("STERNA_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &now).expect("written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == now,
            "docs/{page}.md is out of date: run STERNA_UPDATE_DOCS=1 cargo test -p sterna --test generated"
        );
    }
}

#[test]
fn the_files_that_the_invariants_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/invariants.md")).expect("the page");
    let quoted = page.split('`').skip(1).step_by(2);
    let files: Vec<_> = quoted.filter(|text| text.starts_with("crates/")).collect();
    assert!(files.len() > 20, "{files:?}");
    let missing: Vec<_> = files.iter().filter(|file| !root.join(file).exists()).collect();
    assert!(missing.is_empty(), "docs/invariants.md names {missing:?}");
}
