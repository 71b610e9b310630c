//! The main job: a copy, kept up to date, resumed, promoted.

use sterna_testkit::{Server, digests_equal};

use crate::common::replica_node;
use crate::support::{Link, run, url};

fn fill(server: &Server, prefix: &str, keys: usize) {
    let mut client = server.client();
    let commands: Vec<_> = (0..keys)
        .map(|key| vec!["SET".to_owned(), format!("{prefix}:{key}"), "x".repeat(key % 300)])
        .collect();
    client.pipeline(&commands).expect("writes");
}

#[test]
fn a_copy_is_made_and_kept_up_to_date() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "before", 5000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    fill(&primary, "after", 5000);
    digests_equal(&primary, &replica).expect("equal");
    assert!(
        replica
            .client()
            .raw(&["SET", "a", "b"])
            .expect("an answer")
            .is_error(),
        "the replica takes writes"
    );
    assert_eq!(link.interrupt(), 0);
}

#[test]
fn after_ctrl_c_and_after_kill_9_it_resumes_with_a_partial_resync() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "before", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    fill(&primary, "while", 1000);
    assert_eq!(link.interrupt(), 0);
    fill(&primary, "away", 1000);
    link.start();
    link.wait_for("resumed");
    link.wait_for("replica-resumed");
    digests_equal(&primary, &replica).expect("equal");
    fill(&primary, "again", 1000);
    link.kill9();
    fill(&primary, "killed", 1000);
    link.start();
    link.wait_for("replica-resumed");
    digests_equal(&primary, &replica).expect("equal");
    assert_eq!(link.events("full-sync-started").len(), 0);
    assert_eq!(
        primary.client().info_field("stats", "sync_full").expect("INFO"),
        "1"
    );
}

#[test]
fn a_promoted_replica_has_everything_and_takes_writes() {
    let (mut primary, replica) = (Server::start(), replica_node());
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    fill(&primary, "data", 2000);
    digests_equal(&primary, &replica).expect("equal");
    primary.kill9();
    assert_eq!(link.interrupt(), 0);
    let data = link.data_dir().to_str().expect("a path");
    let (code, out, err) = run(&["promote", "--to", &url(&replica), "--data-dir", data]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("missing       nothing"), "{out}");
    replica.client().cmd(&["SET", "a", "b"]).expect("it takes writes");
    assert_eq!(
        replica.client().cmd(&["DBSIZE"]).expect("an answer").int(),
        Some(2001)
    );
}
