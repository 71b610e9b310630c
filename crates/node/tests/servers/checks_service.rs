//! The checks of a service by itself: what the doctor says of its nodes.

use sterna_model::{Check, ConfigRewrite, ServiceRole, Verdict, verdict};
use sterna_node::checks::{CopyRequest, Purpose, copy, service};
use sterna_testkit::{Server, reserve_port};

use crate::checks::{Bench, table};
use crate::dialer;

fn find<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    let found = checks.iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no check of {name}:\n{}", table(checks)))
}

fn set_to(settings: &[(&str, &str)]) -> Server {
    let builder = settings.iter().fold(Server::builder(), |builder, (name, value)| {
        builder.config(name, value)
    });
    builder.start().expect("started")
}

#[tokio::test]
async fn a_node_is_fit_for_both_roles() {
    let server = set_to(&[("save", "3600 1"), ("repl-backlog-size", "64mb")]);
    let nodes = [dialer(server.address())];
    for role in [ServiceRole::Primary, ServiceRole::Replica] {
        let checks = service(&nodes, role, ConfigRewrite::default()).await;
        assert_eq!(verdict(&checks), Verdict::Pass, "{}", table(&checks));
        assert_eq!(
            find(&checks, "permissions").subject.to_string(),
            server.address().to_string()
        );
    }
    let server = set_to(&[("save", ""), ("repl-backlog-size", "1mb")]);
    server.client().cmd(&["SET", "key", "value"]).expect("written");
    let nodes = [dialer(server.address())];
    let checks = service(&nodes, ServiceRole::Replica, ConfigRewrite::default()).await;
    for name in ["empty", "persistence"] {
        assert_eq!(find(&checks, name).verdict, Verdict::Warn, "{}", table(&checks));
    }
    let checks = service(&nodes, ServiceRole::Primary, ConfigRewrite::default()).await;
    let backlog = find(&checks, "backlog");
    let is_raised = backlog.detail.contains("repl-backlog-size is set to 64.0 MiB");
    assert!(
        backlog.verdict == Verdict::Pass && is_raised,
        "{}",
        table(&checks)
    );
    assert_eq!(find(&checks, "role").verdict, Verdict::Pass, "{}", table(&checks));
}

#[tokio::test]
async fn a_node_that_lacks_a_command_or_does_not_answer_is_refused_by_itself() {
    let unfit = set_to(&[("rename-command", "FAILOVER \"\"")]);
    let down = reserve_port().expect("a free port");
    let nodes = [
        dialer(unfit.address()),
        dialer(([127, 0, 0, 1], down.number()).into()),
    ];
    let checks = service(&nodes, ServiceRole::Replica, ConfigRewrite::default()).await;
    let refused: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Refuse)
        .collect();
    assert_eq!(refused.len(), 2, "{}", table(&checks));
    assert!(refused[0].name == "permissions" && refused[0].detail.contains("FAILOVER"));
    assert_eq!(refused[1].name, "reachable");
}

#[tokio::test]
async fn a_user_that_can_not_let_clients_go_is_told_of_and_taken() {
    let server = set_to(&[
        ("save", "3600 1"),
        ("repl-backlog-size", "64mb"),
        ("user", "default on nopass ~* &* +@all -client|kill -client|list"),
    ]);
    for role in [ServiceRole::Primary, ServiceRole::Replica] {
        let checks = service(&[dialer(server.address())], role, ConfigRewrite::default()).await;
        let told: Vec<_> = checks
            .iter()
            .filter(|check| check.name == "permissions")
            .collect();
        assert_eq!(told.len(), 2, "{}", table(&checks));
        for (check, right) in told.iter().zip(["list", "kill"]) {
            let advice = check.advice.as_deref().unwrap_or_default();
            assert_eq!(check.verdict, Verdict::Warn, "{}", table(&checks));
            assert_eq!(
                advice,
                format!("on the node: ACL SETUSER default +client|{right}")
            );
        }
    }
}

#[tokio::test]
async fn a_primary_where_the_fence_can_not_be_set_is_refused_for_a_group_that_has_one() {
    let source = set_to(&[("rename-command", "CONFIG HIDDEN")]);
    let target = Server::start();
    let bench = Bench::between(&source, &target);
    for (fenced, there) in [(true, true), (false, false)] {
        let request = CopyRequest {
            purpose: Purpose::Group { fenced },
            ..bench.request.clone()
        };
        let checks = copy(&request).await;
        let fence = checks.iter().find(|check| check.name == "fence");
        assert_eq!(fence.is_some(), there, "{}", table(&checks));
        assert!(
            fence.is_none_or(|check| check.verdict == Verdict::Refuse),
            "{}",
            table(&checks)
        );
    }
    assert!(bench.report().await.iter().all(|check| check.name != "fence"));
}
