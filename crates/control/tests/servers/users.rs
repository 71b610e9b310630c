//! Users that clients need, missing at a service that is to take over.

use sterna_control::{Change, ControlError};
use sterna_model::{GroupSettings, Operation, OperationState, ServiceRole, Verdict};
use sterna_testkit::Server;

use crate::common::{Site, group, me, service};

fn switch_over(site: &Site, allow_missing_users: bool) -> Result<Operation, ControlError> {
    let to = service("us");
    let change = Change::Switchover {
        to,
        allow_missing_users,
    };
    site.gateway
        .ask(|control| async move { control.begin(group(), change, me()).await })
}

#[test]
fn a_switchover_to_where_users_are_missing_is_refused_unless_that_is_said() {
    let site = Site::new();
    let gateway = &site.gateway;
    let with_user = || Server::builder().config("user", "app on >hunter2 ~* &* +@all");
    let (eu, us) = (with_user().start().expect("started"), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());

    let mut app = eu.client();
    app.cmd(&["AUTH", "app", "hunter2"]).expect("logged in");
    let refused = switch_over(&site, false).expect_err("clients would be locked out");
    let text = format!("{refused:?}");
    assert!(
        text.contains("app with 1 connection,") && text.contains("--allow-missing-users"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
    let role = ServiceRole::Replica;
    let report = gateway
        .ask(|control| async move { control.doctor(service("us"), role).await })
        .expect("a report");
    let warned = |check: &&sterna_model::Check| {
        check.name == "client settings"
            && check.verdict == Verdict::Warn
            && check.detail.contains("no ACL user app")
    };
    assert!(report.checks.iter().any(|check| warned(&check)), "{report:#?}");

    let asked = switch_over(&site, true).expect("it was said");
    assert_eq!(gateway.wait_operation(asked.id).state, OperationState::Succeeded);
}

#[test]
fn a_user_that_nobody_is_logged_in_as_refuses_nothing() {
    let site = Site::new();
    let gateway = &site.gateway;
    let eu = Server::builder()
        .config("user", "app on >hunter2 ~* &* +@all")
        .start()
        .expect("started");
    let us = Server::start();
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let asked = switch_over(&site, false).expect("nobody is locked out");
    assert_eq!(gateway.wait_operation(asked.id).state, OperationState::Succeeded);
}
