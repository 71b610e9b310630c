//! A node whose configuration file a rewrite would break.

use sterna_model::{AlertReason, GroupSettings};
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site};

#[test]
fn a_node_that_a_rewrite_would_break_is_named_and_starts_again() {
    let site = Site::new();
    let gateway = &site.gateway;
    let dir = tempfile::tempdir().expect("a directory");
    let users = dir.path().join("users.conf");
    std::fs::write(&users, "user app on >secret ~* +@all\n").expect("written");
    let including = Server::builder().config("include", &users.display().to_string());
    let (eu, mut us) = (Server::start(), including.start().expect("started"));
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());

    let alert = wait_until(DEADLINE, "the alert", || {
        let status = gateway.status();
        let mut reasons = status.alerts.iter().map(|alert| alert.reason.clone());
        let found = reasons.find(|reason| matches!(reason, AlertReason::ConfigNotKept { .. }));
        found.ok_or_else(|| format!("{status:#?}"))
    });
    let text = alert.to_string();
    assert!(
        text.contains("users.conf") && text.contains("`min-replicas-to-write 1`"),
        "{text}"
    );

    us.restart().expect("it starts again");
    let port = gateway.relay_port.to_string();
    wait_until(DEADLINE, "the node to follow the relay again", || {
        let info = us.client().info("replication")?;
        let (to, up) = (info.get("master_port"), info.get("master_link_status"));
        anyhow::ensure!(to == Some(&port) && up.is_some_and(|up| up == "up"), "{info:?}");
        anyhow::Ok(())
    });
    eu.client().cmd(&["SET", "after", "1"]).expect("written");
    // Clients of a node that becomes a replica are let go when it is one, and so may the first of these be.
    wait_until(DEADLINE, "equal data", || digests_equal(&eu, &us));
}
