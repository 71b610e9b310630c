//! A real process that is killed while it commits, and what it leaves behind.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use sterna_model::Revision;
use sterna_store::{Commit, SqliteStore, Store, Write};
use tempfile::TempDir;

/// The database to write to, in the process that is to be killed.
const PATH_VARIABLE: &str = "STERNA_STORE_KILLED_PATH";

const ROUNDS: usize = 8;

fn put(key: String, value: &[u8]) -> Write {
    Write::Put {
        key,
        value: value.to_vec(),
    }
}

/// Not a test of its own: what the process does that [`a_killed_process_loses_nothing_that_was_acknowledged`] kills.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Ok(path) = std::env::var(PATH_VARIABLE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let store = SqliteStore::open(Path::new(&path)).expect("it opens");
    let mut out = std::io::stdout();
    let start = runtime.block_on(store.commit(Commit::default())).expect("read").0;
    for number in start + 1.. {
        // Two values in each commit, of all sizes, so that one without the other would show.
        let value = vec![b'x'; usize::try_from(number * 977 % 9000).expect("small")];
        let commit = Commit {
            urgent: false,
            conditions: vec![(format!("a/{number:020}"), Revision(0))],
            writes: vec![
                put(format!("a/{number:020}"), &value),
                put(format!("b/{number:020}"), &value),
            ],
        };
        let revision = runtime.block_on(store.commit(commit)).expect("committed");
        assert_eq!(revision, Revision(number));
        writeln!(out, "kept {number}").expect("told");
        out.flush().expect("told");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("store.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([
                "killed::child_that_commits_until_it_is_killed",
                "--exact",
                "--nocapture",
            ])
            .env(PATH_VARIABLE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut wanted = 5 + round * 13;
        let mut read = |line: Option<std::io::Result<String>>| -> bool {
            let Some(line) = line else { return false };
            let line = line.expect("text");
            if let Some((_, number)) = line.rsplit_once("kept ") {
                // The last line may be cut off in the middle of a number: then it is only a smaller one.
                acknowledged = number.parse().unwrap_or(0).max(acknowledged);
                wanted = wanted.saturating_sub(1);
            }
            wanted > 0
        };
        while read(lines.next()) {}
        child.kill().expect("killed");
        for line in lines {
            read(Some(line));
        }
        child.wait().expect("ended");

        let store = SqliteStore::open(&path).expect("it opens");
        let last = runtime.block_on(store.commit(Commit::default())).expect("read").0;
        assert!(
            last >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, {last} is kept"
        );
        for half in ["a/", "b/"] {
            let kept = runtime
                .block_on(store.list(half, None, false, usize::MAX))
                .expect("listed");
            let revisions: Vec<_> = kept.iter().map(|entry| entry.revision.0).collect();
            assert_eq!(revisions, (1..=last).collect::<Vec<_>>(), "round {round}");
        }
    }
    assert!(acknowledged > 100, "it was killed while it worked");
}
