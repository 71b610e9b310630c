//! `sterna promote`: only with everything that the log holds, unless a person gives it up.

use std::net::Ipv4Addr;

use sterna_testkit::process::Source;
use sterna_testkit::{Engine, Process, Proxy, Server, digests_equal};

use crate::common::{fill, get, offset, replica_node, role, wait_log_reaches};
use crate::support::{DEADLINE, Link, run, sterna, url};

const REFUSED: i32 = 3;

/// A link whose replica node misses what was written last; the primary is dead, the link is stopped.
struct Bench {
    link: Link,
    far: Proxy,
    replica: Server,
}

impl Bench {
    fn new() -> Self {
        let mut primary = Server::start();
        let replica = Server::builder()
            .engine(Engine::replica())
            .config("masterauth", "its-own-secret")
            .config("masteruser", "its-own-user")
            .start()
            .expect("started");
        fill(&primary, "key", 100);
        let mut link = Link::new(url(&primary), &[&replica]);
        let relay = (Ipv4Addr::LOCALHOST, link.relay_port).into();
        let far = Proxy::start(relay).expect("a proxy");
        link.extra
            .extend(["--announce-addr".to_owned(), far.address().to_string()]);
        link.start_and_follow();
        digests_equal(&primary, &replica).expect("equal");
        far.refuse();
        far.cut().expect("cut");
        fill(&primary, "missed", 100);
        wait_log_reaches(&link, offset(&primary));
        primary.kill9();
        assert_eq!(link.interrupt(), 0);
        Self { link, far, replica }
    }

    fn promote(&self, extra: &[&str]) -> (i32, String, String) {
        run(&[&self.args(), extra].concat())
    }

    fn args(&self) -> [&str; 5] {
        let to: &str = Box::leak(url(&self.replica).into_boxed_str());
        let data = self.link.data_dir().to_str().expect("a path");
        ["promote", "--to", to, "--data-dir", data]
    }
}

fn setting(server: &Server, name: &str) -> String {
    let reply = server.client().cmd(&["CONFIG", "GET", name]).expect("CONFIG GET");
    reply.array()[1].text()
}

#[test]
fn it_waits_until_the_node_has_what_the_log_holds_and_gives_its_settings_back() {
    let bench = Bench::new();
    assert_eq!(setting(&bench.replica, "masteruser"), "sterna");
    let promote = Process::spawn(
        sterna(),
        &[&bench.args()[..], &["--output", "json"]].concat(),
        &[],
    );
    let promote = promote.expect("started");
    bench.far.accept().expect("it listens");
    assert_eq!(
        promote.exit_code(DEADLINE).expect("it ends"),
        0,
        "{}",
        promote.tail()
    );
    let said: serde_json::Value = serde_json::from_str(&promote.text(Source::Stdout)).expect("one object");
    assert_eq!(
        (&said["event"], &said["missing_bytes"]),
        (&"promoted".into(), &0.into())
    );
    assert_eq!(said["offset"], said["log_end"]);
    assert_eq!(role(&bench.replica), "master");
    assert!(get(&bench.replica, "missed:99").is_some());
    assert_eq!(setting(&bench.replica, "masteruser"), "its-own-user");
    assert_eq!(setting(&bench.replica, "masterauth"), "its-own-secret");
    let config = std::fs::read_to_string(bench.replica.config_file()).expect("its configuration");
    assert!(
        !config.contains("replicaof"),
        "a restart would make it a replica again: {config}"
    );
}

#[test]
fn it_refuses_when_the_time_is_over_and_says_how_much_is_missing() {
    let bench = Bench::new();
    let (code, out, err) = bench.promote(&["--timeout", "1"]);
    assert_eq!(code, REFUSED, "{out}{err}");
    assert!(
        err.contains("bytes of writes are missing") && err.contains("--force"),
        "{err}"
    );
    assert_eq!(role(&bench.replica), "slave");
    assert_eq!(setting(&bench.replica, "masteruser"), "sterna");
    assert_eq!(get(&bench.replica, "missed:1"), None);

    // Given up by a person.
    let (code, out, err) = bench.promote(&["--timeout", "0", "--force"]);
    assert_eq!(code, 0, "{out}{err}");
    let missing = out.lines().find(|line| line.contains("missing")).expect("a line");
    assert!(missing.contains("bytes of writes"), "{out}");
    assert_eq!(role(&bench.replica), "master");
    assert_eq!(get(&bench.replica, "missed:1"), None);
    bench
        .replica
        .client()
        .cmd(&["SET", "a", "b"])
        .expect("it takes writes");
}

#[test]
fn a_running_link_goes_on_feeding_the_node_until_it_is_promoted() {
    let (mut primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let mut link = Link::new(url(&primary), &[&replica]);
    let relay = (Ipv4Addr::LOCALHOST, link.relay_port).into();
    let far = Proxy::start(relay).expect("a proxy");
    link.extra
        .extend(["--announce-addr".to_owned(), far.address().to_string()]);
    link.start_and_follow();
    digests_equal(&primary, &replica).expect("equal");
    far.block();
    fill(&primary, "missed", 100);
    wait_log_reaches(&link, offset(&primary));
    primary.kill9();
    let (to, data) = (url(&replica), link.data_dir().to_str().expect("a path"));
    let args = ["promote", "--to", &to, "--data-dir", data];
    let (code, out, err) = run(&[&args[..], &["--timeout", "1"]].concat());
    assert_eq!(code, REFUSED, "{out}{err}");
    assert_eq!(role(&replica), "slave");
    far.unblock();
    let (code, out, err) = run(&args);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("missing       nothing"), "{out}");
    assert!(get(&replica, "missed:99").is_some());
    assert_eq!(role(&replica), "master");
    assert!(link.process().is_running());
}

#[test]
fn what_it_can_not_do_it_says_and_changes_nothing() {
    let bench = Bench::new();
    let (code, _, err) = run(&[
        "promote",
        "--to",
        &url(&bench.replica),
        "--data-dir",
        "/nonexistent/sterna",
    ]);
    assert_eq!(code, 5, "{err}");
    assert!(
        err.contains("holds no link") && err.contains("--data-dir"),
        "{err}"
    );

    let primary = Server::start();
    let data = bench.link.data_dir().to_str().expect("a path");
    let (code, _, err) = run(&["promote", "--to", &url(&primary), "--data-dir", data]);
    assert_eq!(code, REFUSED, "{err}");
    assert!(err.contains("is a primary already"), "{err}");

    let (code, _, err) = run(&["promote", "--to", "redis://127.0.0.1:1", "--data-dir", data]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("connection was refused"), "{err}");

    // A replica of somebody else has nothing to do with this log, however high its offset.
    fill(&primary, "other", 5000);
    let other = primary.start_replica();
    other.wait_link_up();
    let (code, _, err) = run(&[
        "promote",
        "--to",
        &url(&other),
        "--data-dir",
        data,
        "--timeout",
        "1",
    ]);
    assert_eq!(code, REFUSED, "{err}");
    assert!(err.contains("not in that of the log"), "{err}");
    assert_eq!(role(&other), "slave");
}
