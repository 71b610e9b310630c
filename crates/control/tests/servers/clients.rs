//! Clients that no longer are where they wanted to be are let go: their connections end, and nothing else tells them.

use std::io;
use std::time::{Duration, Instant};

use sterna_model::{
    AuditRecord, ClientsLetGo, GroupSettings, GroupState, Operation, OperationKind, OperationState,
    StepDetail, StepName, StepOutcome,
};
use sterna_testkit::client::Reply;
use sterna_testkit::{Client, Server, wait_until};

use crate::common::{DEADLINE, Site, TestGateway};

/// What our own connections call themselves.
const OWN: &str = "sterna";

/// It is looked each half second whether clients go on to write to an old primary, for 15 s.
const SEVERAL_LOOKS: Duration = Duration::from_millis(1750);
const LOOKED_ON: Duration = Duration::from_secs(10);

/// Waits for the server to end a connection of which nothing else is expected.
fn assert_let_go(what: &str, client: &mut Client) {
    let error = match client.receive() {
        Ok(reply) => panic!("{what} was answered: {reply:?}"),
        Err(error) => error,
    };
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let ended = matches!(
        kind,
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
    );
    assert!(ended, "{what}: {error:#}");
}

/// A client that waits for something to come into a list, at this server.
fn blocked(server: &Server, command: &[&str]) -> Client {
    let mut client = server.client();
    let id = client
        .cmd(&["CLIENT", "ID"])
        .expect("its id")
        .int()
        .expect("a number");
    client.send(command);
    client.flush().expect("sent");
    let mut other = server.client();
    wait_until(DEADLINE, "the client to be blocked", || {
        let list = other
            .cmd(&["CLIENT", "LIST", "ID", &id.to_string()])
            .expect("a list");
        list.text()
            .contains(" flags=b ")
            .then_some(())
            .ok_or_else(|| list.text())
    });
    client
}

fn subscriber(server: &Server) -> Client {
    let mut client = server.client();
    client.cmd(&["SUBSCRIBE", "news"]).expect("subscribed");
    client
}

/// Ids of the gateway's own connections for questions.
fn own_connections(server: &Server) -> Vec<String> {
    let list = server
        .client()
        .cmd(&["CLIENT", "LIST", "TYPE", "normal"])
        .expect("a list")
        .text();
    let named = format!(" name={OWN} ");
    let lines = list.lines().filter(|line| line.contains(&named));
    lines
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

fn let_go_in(operation: &Operation, name: StepName) -> &ClientsLetGo {
    let found = operation.steps.iter().find(|step| step.name == name);
    match found.map(|step| &step.detail) {
        Some(StepDetail::Outcome(
            StepOutcome::WritesPaused { clients }
            | StepOutcome::FormerPrimaryAccepted { clients }
            | StepOutcome::WritesBlocked { clients, .. }
            | StepOutcome::Attached { clients, .. },
        )) => clients,
        other => panic!("{name}: {other:?} in {operation:#?}"),
    }
}

/// That readers of a new primary were let go, or not.
fn wait_audit(gateway: &TestGateway) -> AuditRecord {
    wait_until(DEADLINE, "the readers of the new primary to be let go", || {
        let records = gateway
            .ask(|control| async move { Ok(control.catalogue().audit.newest(None, 100).await?) })
            .expect("the audit");
        records
            .into_iter()
            .find(|record| record.action == "clients.disconnect")
    })
}

#[test]
fn after_a_switchover_nobody_stays_with_the_old_primary_or_reads_from_the_new_one() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us, ap) = (Server::start(), Server::start(), Server::start());
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    gateway.create_group("eu", &["us", "ap"], GroupSettings::default());
    let mut left = [
        ("a client of the old primary", eu.client()),
        ("a subscriber of the old primary", subscriber(&eu)),
        ("a reader of the new primary", us.client()),
        ("a subscriber of the new primary", subscriber(&us)),
    ];
    let mut stays = ap.client();
    let watches = [&eu, &us].map(own_connections);

    let done = gateway.switch_over("us");
    for (what, client) in &mut left {
        assert_let_go(what, client);
    }
    stays
        .cmd(&["PING"])
        .expect("a reader of another replica service stays");
    for (server, before) in [&eu, &us].into_iter().zip(watches) {
        let after = own_connections(server);
        let kept = before.iter().filter(|id| after.contains(id)).count();
        assert!(kept > 0, "{before:?} and then {after:?}");
    }
    let at_eu = let_go_in(&done, StepName::AcceptFormerPrimary);
    assert!(at_eu.count >= 2 && at_eu.error.is_none(), "{done:#?}");
    let audit = wait_audit(gateway);
    assert!(audit.outcome == "ok" && audit.target == "orders", "{audit:#?}");
    us.client().cmd(&["SET", "after", "1"]).expect("written");
    gateway.wait_state(GroupState::Healthy);
}

/// As redis-py does in a transaction that watches keys: it opens its connection again at the same node.
#[test]
fn a_client_that_goes_on_to_write_to_the_old_primary_is_let_go_again() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.stand(&[("eu", &eu), ("us", &us)]);
    gateway.switch_over("us");
    let mut writer = eu.client();
    let ended = wait_until(DEADLINE, "its connection to end", || {
        match writer.raw(&["SET", "key", "1"]) {
            Ok(reply) => Err(format!("{reply:?}")),
            Err(error) => Ok(error),
        }
    });
    assert!(ended.downcast_ref::<io::Error>().is_some(), "{ended:#}");
    // The last write may still be counted. Once nobody writes, nobody is let go, though it is looked on for 15 s.
    wait_until(LOOKED_ON, "a reader to stay over several looks", || {
        let (mut reader, began) = (eu.client(), Instant::now());
        while began.elapsed() < SEVERAL_LOOKS {
            reader.cmd(&["PING"])?;
        }
        Ok::<_, anyhow::Error>(())
    });
}

#[test]
fn blocked_clients_are_let_go_before_the_primary_steps_down_and_those_who_wait_for_replicas_are_answered() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let mut workers = [
        ("BRPOP", blocked(&eu, &["BRPOP", "jobs", "0"])),
        (
            "BLMOVE",
            blocked(&eu, &["BLMOVE", "jobs", "done", "LEFT", "LEFT", "0"]),
        ),
        ("BZPOPMIN", blocked(&eu, &["BZPOPMIN", "later", "0"])),
    ];
    let mut waits = blocked(&eu, &["WAIT", "9", "0"]);

    let done = gateway.switch_over("us");
    for (what, client) in &mut workers {
        assert_let_go(what, client);
    }
    // Nobody but the server ends it: it asks for more replicas than there are.
    let answer = waits.receive().expect("an answer");
    assert!(
        matches!(&answer, Reply::Error(text) if text.starts_with("UNBLOCKED")),
        "{answer:?}"
    );
    assert_let_go("WAIT", &mut waits);
    let clients = let_go_in(&done, StepName::PauseWrites);
    assert_eq!((clients.count, &clients.error), (3, &None), "{done:#?}");
    us.client().cmd(&["LPUSH", "jobs", "1"]).expect("written");
    gateway.wait_state(GroupState::Healthy);
}

#[test]
fn clients_of_an_old_primary_that_wakes_up_are_let_go_at_its_rejoin() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let mut left = [
        ("a client of the old primary", eu.client()),
        ("a subscriber of the old primary", subscriber(&eu)),
    ];
    let mut reader = us.client();

    eu.pause().expect("frozen");
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    assert_let_go("a reader of the new primary", &mut reader);
    eu.resume().expect("thawed");
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    for (what, client) in &mut left {
        assert_let_go(what, client);
    }
    let blocked = let_go_in(&rejoin, StepName::BlockWrites);
    assert!(blocked.count >= 2 && blocked.error.is_none(), "{rejoin:#?}");
    assert_eq!(let_go_in(&rejoin, StepName::Attach).error, None, "{rejoin:#?}");
    gateway.wait_state(GroupState::Healthy);
}

#[test]
fn a_node_that_does_not_let_clients_be_disconnected_holds_up_nothing_and_it_is_told() {
    let site = Site::new();
    let gateway = &site.gateway;
    let limited = || {
        Server::builder()
            .config("user", "default on nopass ~* &* +@all -client|kill -client|pause")
            .start()
            .expect("a server")
    };
    let (eu, us) = (limited(), limited());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let (mut stays, mut reader) = (eu.client(), us.client());
    let mut worker = blocked(&eu, &["BRPOP", "jobs", "0"]);

    let done = gateway.switch_over("us");
    for name in [StepName::PauseWrites, StepName::AcceptFormerPrimary] {
        let clients = let_go_in(&done, name);
        let error = clients.error.as_deref().unwrap_or_default();
        assert!(
            clients.count == 0 && error.contains("does not let this user run CLIENT"),
            "{name}: {done:#?}"
        );
    }
    let audit = wait_audit(gateway);
    let detail = audit.detail.as_deref().unwrap_or_default();
    assert!(
        audit.outcome == "failed" && detail.contains("CLIENT KILL"),
        "{audit:#?}"
    );
    let answer = worker.receive().expect("an answer");
    assert!(
        matches!(&answer, Reply::Error(text) if text.starts_with("UNBLOCKED")),
        "{answer:?}"
    );
    for client in [&mut stays, &mut reader] {
        client.cmd(&["PING"]).expect("it was not let go");
    }
    us.client().cmd(&["SET", "after", "1"]).expect("written");
    gateway.wait_state(GroupState::Healthy);
}

/// docs/security.md has this.
const RIGHTS: &str = "resetchannels -@all +psync +replconf +ping +info +role +dbsize +multi +exec +discard \
                      +replicaof +failover +config|get +config|set +config|rewrite +acl|whoami +acl|dryrun \
                      +pubsub|numsub +client|setname +client|id +client|list +client|kill +client|pause \
                      +client|unpause";

#[test]
fn the_user_of_the_documentation_may_do_all_that_a_group_needs() {
    let site = Site::new();
    let gateway = &site.gateway;
    let limited = || {
        let server = Server::builder()
            .config("user", "person on >secret ~* &* +@all")
            .config("user", &format!("default on nopass {RIGHTS}"))
            .start();
        server.expect("a server")
    };
    let (eu, us) = (limited(), limited());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    let person = |server: &Server| {
        let mut client = server.client();
        client.log_in(Some("person"), "secret").expect("logged in");
        client
    };
    person(&eu).cmd(&["SET", "before", "1"]).expect("written");
    let mut left = person(&eu);
    for to in ["us", "eu", "us"] {
        let done = gateway.switch_over(to);
        for name in [StepName::PauseWrites, StepName::AcceptFormerPrimary] {
            assert_eq!(let_go_in(&done, name).error, None, "{done:#?}");
        }
        gateway.wait_state(GroupState::Healthy);
    }
    assert_let_go("a client of the old primary", &mut left);
    assert_eq!(wait_audit(gateway).outcome, "ok");
    us.pause().expect("frozen");
    let failover = gateway.wait_kind(OperationKind::Failover);
    assert_eq!(failover.state, OperationState::Succeeded, "{failover:#?}");
    us.resume().expect("thawed");
    let rejoin = gateway.wait_kind(OperationKind::Rejoin);
    assert_eq!(rejoin.state, OperationState::Succeeded, "{rejoin:#?}");
    assert_eq!(
        let_go_in(&rejoin, StepName::BlockWrites).error,
        None,
        "{rejoin:#?}"
    );
    let got = person(&eu).cmd(&["GET", "before"]).expect("read");
    assert_eq!(got.text(), "1");
}
