//! A group from its creation to its end, by the command line alone, on real servers.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use sterna_testkit::process::Source;
use sterna_testkit::{Process, Server, wait_until};

use crate::gateway::Gateway;
use crate::support::{DEADLINE, sterna, url};

const PASSWORD: &str = "correct-horse";

/// Two services and a group of them.
pub(crate) struct Pair {
    pub(crate) gateway: Gateway,
    eu: Server,
    us: Server,
}

impl Pair {
    pub(crate) fn start(settings: &[&str]) -> Self {
        let server = || {
            let server = Server::builder().password(PASSWORD).start();
            server.expect("a server")
        };
        let (eu, us) = (server(), server());
        let gateway = Gateway::start();
        let file = gateway.dir.path().join("password");
        write(&file, PASSWORD).expect("written");
        set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
        for (name, server) in [("eu", &eu), ("us", &us)] {
            let url = url(server);
            let args = ["service", "add", name, "--url", &url, "--site", name];
            let with_password = [&args[..], &["--password-file", "password"]].concat();
            gateway.run(&with_password).good();
        }
        let create = ["group", "create", "orders", "--primary", "eu", "--replica", "us"];
        gateway.run(&[&create, settings].concat()).good();
        Self { gateway, eu, us }
    }

    fn status(&self) -> Value {
        self.gateway.run(&["status", "orders", "--output", "json"]).json()
    }

    fn wait_for_state(&self, state: &str) {
        self.wait_for("state", &state.into());
    }

    fn wait_for(&self, field: &str, value: &Value) {
        wait_until(DEADLINE, &format!("{field} is {value}"), || {
            let status = self.status();
            let reached = status[field] == *value;
            reached
                .then_some(())
                .ok_or_else(|| format!("{}: {}", status[field], status["reason"]))
        });
    }
}

pub(crate) fn set(server: &Server, key: &str, value: &str) {
    server.client().cmd(&["SET", key, value]).expect("a write");
}

pub(crate) fn value(server: &Server, key: &str) -> String {
    let value = server.client().cmd(&["GET", key]).expect("a read");
    format!("{value:?}")
}

#[test]
fn a_group_lives_by_the_command_line() {
    let pair = Pair::start(&["--automatic-failover", "false", "--lease-seconds", "5"]);
    let Pair { gateway, eu, us } = &pair;
    pair.wait_for_state("healthy");
    set(eu, "greeting", "hello");

    let shown = gateway.run(&["group", "show", "orders"]).good();
    assert!(shown.contains("lease-seconds                5"), "{shown}");
    let said = gateway.run(&["group", "update", "orders", "--down-after-ms", "1500"]);
    assert!(said.good().contains("down-after-ms                1500"));
    let table = gateway.run(&["status"]).good();
    for word in [
        "orders  HEALTHY  epoch 1",
        "takes writes",
        "follows",
        "fence",
        "unreplicated",
    ] {
        assert!(table.contains(word), "{word}: {table}");
    }

    gateway.run(&["pause", "orders"]).good();
    pair.wait_for("paused", &true.into());
    gateway.run(&["resume", "orders"]).good();
    pair.wait_for("paused", &false.into());

    let said = gateway.run(&["switchover", "orders", "--to", "us", "--yes"]);
    assert!(said.err.contains("done    promote"), "{}", said.err);
    let report = said.good();
    for word in ["RPO      no write lost (counted)", "RTO", "0 full"] {
        assert!(report.contains(word), "{word}: {report}");
    }
    pair.wait_for_state("healthy");
    assert!(value(us, "greeting").contains("hello"));
    set(us, "greeting", "again");
    wait_until(DEADLINE, "eu follows us", || {
        let value = value(eu, "greeting");
        value.contains("again").then_some(()).ok_or(value)
    });
    let history = gateway.run(&["history", "orders", "--output", "json"]).json();
    let causes: Vec<_> = history
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["cause"].clone())
        .collect();
    assert_eq!(causes, ["created", "switchover"]);

    let operations = gateway.run(&["operation", "list", "--group", "orders"]).good();
    assert!(
        operations.contains("switchover us") && operations.contains("succeeded"),
        "{operations}"
    );
    let audit = gateway.run(&["audit"]).good();
    for action in ["service.create", "group.create", "switchover"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    assert!(!audit.contains(PASSWORD));
}

#[test]
fn a_lost_primary_is_left_by_hand_and_comes_back_as_a_replica() {
    let mut pair = Pair::start(&["--automatic-failover", "false"]);
    pair.wait_for_state("healthy");
    set(&pair.eu, "greeting", "hello");
    pair.eu.kill9();
    pair.wait_for_state("primary-down");
    let said = pair.gateway.run(&["failover", "orders", "--yes"]);
    assert!(said.err.contains("LEFT BEHIND"), "{}", said.err);
    let report = said.good();
    assert!(report.contains("RPO") && report.contains("RTO"), "{report}");
    set(&pair.us, "greeting", "from us");

    pair.eu.restart().expect("it is back");
    pair.wait_for_state("healthy");
    wait_until(DEADLINE, "eu follows us", || {
        let value = value(&pair.eu, "greeting");
        value.contains("from us").then_some(()).ok_or(value)
    });
}

#[test]
fn who_watches_sees_an_automatic_failover() {
    let mut pair = Pair::start(&[]);
    pair.wait_for_state("healthy");
    let env = [
        ("STERNA_API", pair.gateway.api.as_str()),
        ("STERNA_DATA_DIR", "data"),
    ];
    let args = ["status", "orders", "--watch"];
    let watch = Process::spawn_in(pair.gateway.dir.path(), sterna(), &args, &env).expect("sterna starts");
    let line = |text: &str| {
        watch
            .wait_for_line(text, DEADLINE)
            .unwrap_or_else(|error| panic!("{error:#}"))
    };
    line("orders  healthy  epoch 1  primary eu");
    pair.eu.kill9();
    line("-> primary-down");
    line("epoch 2  primary us");
    let operations = pair
        .gateway
        .run(&["operation", "list", "--output", "json"])
        .json();
    let failover = operations
        .as_array()
        .and_then(|all| all.iter().find(|operation| operation["kind"] == "failover"));
    let id = failover.expect("a failover")["id"].to_string();
    let said = pair.gateway.run(&["operation", "wait", &id]);
    assert!(said.err.contains("failover of orders to us"), "{}", said.err);
    assert!(said.good().contains("RTO"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let pair = Pair::start(&[]);
    pair.wait_for_state("healthy");
    // A frozen primary is waited for before the first signal's work is done.
    pair.eu.pause().expect("frozen");
    let process = &pair.gateway.process;
    process.sigterm().expect("it runs");
    process.wait_for_line("stopping", DEADLINE).expect("it says so");
    process.sigterm().expect("it runs");
    let code = process.exit_code(DEADLINE).expect("it ends");
    pair.eu.resume().expect("thawed");
    let log = process.text(Source::Stderr);
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("stopped at once by a second signal"), "{log}");
}

#[test]
fn the_doctor_says_what_is_not_fit_and_what_to_do() {
    let pair = Pair::start(&[]);
    let gateway = &pair.gateway;
    let unfit = Server::builder()
        .config("rename-command", "REPLICAOF \"\"")
        .start();
    let unfit = unfit.expect("a server");
    gateway
        .run(&["service", "add", "unfit", "--url", &url(&unfit)])
        .good();
    let said = gateway.run(&["service", "doctor", "unfit"]);
    assert!(
        said.out.contains("unfit is NOT fit to be a replica"),
        "{}",
        said.out
    );
    assert!(said.out.contains("refuse  "), "{}", said.out);
    assert!(said.failed(3).contains("stands against unfit as a replica"));

    let full = Server::start();
    set(&full, "key", "value");
    gateway
        .run(&["service", "add", "full", "--url", &url(&full)])
        .good();
    gateway
        .run(&["service", "doctor", "full", "--role", "primary"])
        .good();
    let doctor = gateway.run(&["service", "doctor", "full"]).good();
    assert!(
        doctor.contains("-> ") && doctor.contains("--overwrite"),
        "{doctor}"
    );
}
