//! The checks on real servers: who may be copied to whom.

use std::time::Duration;

use sterna_model::{Check, Verdict, verdict};
use sterna_node::checks::{CopyRequest, Purpose, copy};
use sterna_node::{Dialer, NodeAddress, RelayEndpoint};
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Engine, Server, TestTls, reserve_port, wait_until};
use tempfile::TempDir;

use crate::scripted::info_server;
use crate::{at, dialer, dialer_as, upstream};

/// A request that passes between two ordinary servers, to be spoiled by each test in one way.
pub(crate) struct Bench {
    pub(crate) request: CopyRequest,
    _dir: TempDir,
}

impl Bench {
    pub(crate) fn new(from: &str, to: Vec<Dialer>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let request = CopyRequest {
            purpose: Purpose::Link,
            from: upstream(from),
            to,
            overwrite: false,
            data_dir: dir.path().join("data"),
            log_max_bytes: 1 << 20,
            relay: listening("127.0.0.1"),
            relay_tls: false,
            known_histories: Vec::new(),
        };
        Self { request, _dir: dir }
    }

    pub(crate) fn between(source: &Server, target: &Server) -> Self {
        Self::new(
            &format!("redis://{}", source.address()),
            vec![dialer(target.address())],
        )
    }

    pub(crate) async fn report(&self) -> Vec<Check> {
        copy(&self.request).await
    }

    /// The check of this name that came out like this and says this.
    pub(crate) async fn expect(&self, name: &str, verdict: Verdict, detail: &str) -> Check {
        let report = self.report().await;
        let is_it =
            |check: &&Check| check.name == name && check.verdict == verdict && check.detail.contains(detail);
        let Some(check) = report.iter().find(is_it) else {
            panic!("no {verdict} of {name} that says {detail:?}:\n{}", table(&report))
        };
        assert_eq!(check.advice.is_some(), verdict != Verdict::Pass, "{check:?}");
        check.clone()
    }
}

/// A relay that listens here.
fn listening(ip: &str) -> RelayEndpoint {
    RelayEndpoint {
        announced: None,
        listen: format!("{ip}:7801").parse().expect("an address"),
    }
}

/// The checks as lines, for who reads that a test failed.
pub(crate) fn table(checks: &[Check]) -> String {
    let line = |check: &Check| {
        format!(
            "{:6}  {}  {}: {}\n",
            check.verdict, check.subject, check.name, check.detail
        )
    };
    checks.iter().map(line).collect()
}

#[tokio::test]
async fn two_ordinary_servers_pass() {
    let source = Server::start();
    let target = Server::builder()
        .config("save", "3600 1")
        .start()
        .expect("started");
    source.client().cmd(&["SET", "key", "value"]).expect("written");
    let report = Bench::between(&source, &target).report().await;
    assert_eq!(verdict(&report), Verdict::Pass, "{}", table(&report));
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json[0]["subject"], "from");
    assert_eq!(json[0]["verdict"], "pass");
    assert!(
        json.as_array()
            .expect("a list")
            .iter()
            .all(|check| check.get("advice").is_none())
    );
    assert!(!target.log().contains("error"));
}

#[tokio::test]
async fn a_source_that_can_not_be_asked_is_refused() {
    let target = Server::start();
    let to = || vec![dialer(target.address())];
    let down = reserve_port().expect("a free port");
    Bench::new(&format!("redis://127.0.0.1:{}", down.number()), to())
        .expect("reachable", Verdict::Refuse, "refused")
        .await;
    let locked = Server::builder().password("secret").start().expect("started");
    Bench::new(&format!("redis://{}", locked.address()), to())
        .expect("authenticated", Verdict::Refuse, "wants a password")
        .await;
    Bench::new(&format!("redis://:wrong@{}", locked.address()), to())
        .expect("authenticated", Verdict::Refuse, "refused the login")
        .await;
    let other = info_server("# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.40.1\r\n").await;
    Bench::new(&format!("redis://{}", other.address), to())
        .expect("engine", Verdict::Refuse, "this is Dragonfly")
        .await;
    let web = crate::scripted::says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    Bench::new(&format!("redis://{}", web.address), to())
        .expect("engine", Verdict::Refuse, "a web server")
        .await;
    let tls = TestTls::generate().expect("certificates");
    let secure = Server::builder().tls(&tls).start().expect("started");
    let url = |ca: &std::path::Path| {
        format!(
            "rediss://127.0.0.1:{}?cacert={}",
            secure.tls_port().expect("a TLS port"),
            ca.display()
        )
    };
    Bench::new(&url(&tls.wrong_ca_cert), to())
        .expect("tls", Verdict::Refuse, "CA that is not trusted")
        .await;
    Bench::new(&url(&tls.ca_cert), to())
        .expect("reachable", Verdict::Pass, "TLS verified")
        .await;
    Bench::new(&format!("{}&insecure=true", url(&tls.ca_cert)), to())
        .expect("reachable", Verdict::Warn, "without verification")
        .await;
}

#[tokio::test]
async fn a_target_that_can_not_be_asked_is_refused() {
    let source = Server::start();
    let url = format!("redis://{}", source.address());
    let locked = Server::builder().password("secret").start().expect("started");
    Bench::new(&url, vec![dialer_as(locked.address(), None, "wrong")])
        .expect("authenticated", Verdict::Refuse, "refused the login")
        .await;
    let other = info_server("# Server\r\ngarnet_version:1.0.50\r\nredis_version:7.4.3\r\n").await;
    Bench::new(&url, vec![dialer(other.address)])
        .expect("engine", Verdict::Refuse, "this is Garnet")
        .await;
}

#[tokio::test]
async fn missing_rights_are_named_with_the_command_that_grants_them() {
    let source = Server::builder()
        .config("user", "app on >pass +@all -psync")
        .start()
        .expect("started");
    let target = Server::builder()
        .config("user", "app on >pass +@all -config|rewrite -replicaof")
        .config(
            "user",
            "blind on >pass +info +ping +multi +discard +replicaof +config|set +config|get",
        )
        .start()
        .expect("started");
    let bench = |user: &str| {
        let from = format!("redis://app:pass@{}", source.address());
        Bench::new(&from, vec![dialer_as(target.address(), Some(user), "pass")])
    };
    let check = bench("app")
        .expect("permissions", Verdict::Refuse, "may not run PSYNC")
        .await;
    assert!(check.advice.expect("advice").contains("ACL SETUSER app +psync"));
    let report = bench("app").report().await;
    let of = |verdict, text: &str| {
        report
            .iter()
            .any(|check| check.verdict == verdict && check.detail.contains(text))
    };
    assert!(of(Verdict::Refuse, "REPLICAOF"), "{}", table(&report));
    assert!(of(Verdict::Warn, "CONFIG REWRITE"), "{}", table(&report));

    // Without ACL DRYRUN the answer comes from a discarded transaction.
    let report = bench("blind").report().await;
    let rights: Vec<_> = report
        .iter()
        .filter(|check| check.name == "permissions" && check.subject.to_string() != "from")
        .collect();
    assert_eq!(rights.len(), 1, "{}", table(&report));
    assert_eq!(rights[0].verdict, Verdict::Warn);
    assert!(
        rights[0].detail.contains("may not run CONFIG REWRITE"),
        "{:?}",
        rights[0]
    );
    let role = target.client().cmd(&["ROLE"]).expect("ROLE");
    assert_eq!(role.array()[0].text(), "master", "the dry run ran");
}

#[tokio::test]
async fn a_renamed_command_is_told_from_a_forbidden_one() {
    let source = Server::start();
    let target = Server::builder()
        .config("rename-command", "REPLICAOF \"\"")
        .start()
        .expect("started");
    Bench::between(&source, &target)
        .expect("permissions", Verdict::Refuse, "no command REPLICAOF")
        .await;
}

#[tokio::test]
async fn data_at_the_target_needs_overwrite() {
    let (source, target) = (Server::start(), Server::start());
    let mut client = target.client();
    client.cmd(&["SET", "key", "value"]).expect("written");
    client.cmd(&["SELECT", "3"]).expect("selected");
    client.cmd(&["SET", "key", "value"]).expect("written");
    let mut bench = Bench::between(&source, &target);
    bench
        .expect("empty", Verdict::Refuse, "2 keys (db0: 1, db3: 1)")
        .await;
    bench.request.overwrite = true;
    bench.expect("empty", Verdict::Warn, "will be deleted").await;
}

#[tokio::test]
async fn a_target_in_a_known_history_continues() {
    let (source, relay) = (Server::start(), Server::start());
    let target = relay.start_replica();
    target.wait_link_up();
    let mut writer = relay.client();
    writer.cmd(&["SET", "key", "value"]).expect("written");
    writer.cmd(&["WAIT", "1", "10000"]).expect("replicated");
    let info = relay.client().info("replication").expect("INFO");
    let history: sterna_protocol::ReplicationId = info["master_replid"].parse().expect("an id");

    let mut bench = Bench::between(&source, &target);
    bench.expect("role", Verdict::Refuse, "it is a replica of").await;
    bench.expect("empty", Verdict::Refuse, "1 key").await;
    bench.request.overwrite = true;
    bench.expect("role", Verdict::Warn, "will be taken from it").await;
    bench.request.overwrite = false;
    bench.request.known_histories = vec![history];
    bench.expect("role", Verdict::Pass, "already a replica").await;
    bench.expect("empty", Verdict::Pass, "continues").await;

    // A promoted target may have writes of its own; one that has none yet is still an earlier state.
    target
        .client()
        .cmd(&["REPLICAOF", "NO", "ONE"])
        .expect("promoted");
    bench.expect("empty", Verdict::Warn, "an earlier state").await;
    let follower = target.start_replica();
    follower.wait_link_up();
    target.client().cmd(&["SET", "own", "write"]).expect("written");
    bench.expect("empty", Verdict::Refuse, "2 keys").await;
}

#[tokio::test]
async fn a_target_that_follows_this_gateway_is_no_stranger() {
    let (source, relay) = (Server::start(), Server::start());
    let target = relay.start_replica();
    target.wait_link_up();
    let mut bench = Bench::between(&source, &target);
    bench.request.relay.announced = Some(at(relay.address()));
    bench.expect("role", Verdict::Pass, "already a replica").await;
}

#[tokio::test]
async fn rings_and_doubles_are_refused() {
    let source = Server::start();
    Bench::between(&source, &source)
        .expect("topology", Verdict::Refuse, "the source itself")
        .await;

    let middle = source.start_replica();
    middle.wait_link_up();
    let below = middle.start_replica();
    below.wait_link_up();
    let ring = Bench::between(&below, &source);
    ring.expect("topology", Verdict::Refuse, "the source replicates from it")
        .await;
    ring.expect("role", Verdict::Warn, "itself a replica").await;

    let target = Server::start();
    let from = format!("redis://{}", source.address());
    let twice = NodeAddress::new("localhost", target.port());
    Bench::new(&from, vec![dialer(target.address()), Dialer::new(twice)])
        .expect("topology", Verdict::Refuse, "the same node as")
        .await;
}

#[tokio::test]
async fn a_ring_that_can_not_be_seen_is_warned_of() {
    let hidden = Server::builder().password("secret").start().expect("started");
    let (source, target) = (hidden.start_replica(), Server::start());
    source.wait_link_up();
    Bench::between(&source, &target)
        .expect("topology", Verdict::Warn, "can't be asked")
        .await;
}

#[tokio::test]
async fn a_sentinel_at_the_target_is_noticed() {
    let (source, target) = (Server::start(), Server::start());
    let sentinel = SentinelServer::start(Engine::default(), "replica", &target, 1).expect("a Sentinel");
    wait_until(Duration::from_secs(30), "the Sentinel's subscription", || {
        let answer = target.client().cmd(&["PUBSUB", "NUMSUB", "__sentinel__:hello"]);
        answer.is_ok_and(|answer| answer.array()[1].int() > Some(0))
    });
    Bench::between(&source, &target)
        .expect("sentinel", Verdict::Warn, "watch it")
        .await;
    drop(sentinel);
}

#[tokio::test]
async fn cluster_nodes_are_refused() {
    let (source, target) = (
        Server::start(),
        Server::builder().cluster().start().expect("started"),
    );
    Bench::between(&source, &target)
        .expect("cluster mode", Verdict::Refuse, "can't be replicated yet")
        .await;
    Bench::between(&target, &source)
        .expect("cluster mode", Verdict::Refuse, "can't be replicated yet")
        .await;
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test that skips itself says so")]
async fn engines_must_match_and_older_targets_load() {
    let named = |name: &str| Engine::named(name).ok();
    let start = |engine| Server::builder().engine(engine).start().expect("started");
    let all = [
        "redis-7.0.15",
        "redis-8.0.2",
        "valkey-8.0.1",
        "valkey-8.1.1",
        "valkey-9.1",
    ]
    .map(named);
    let [
        Some(redis7),
        Some(redis8),
        Some(valkey80),
        Some(valkey81),
        Some(valkey9),
    ] = all
    else {
        eprintln!("skipped: run scripts/fetch-engines for the other engines");
        return;
    };
    let [redis7, redis8] = [redis7, redis8].map(start);
    let [valkey80, valkey81, valkey9] = [valkey80, valkey81, valkey9].map(start);
    let rdb = "RDB version";
    Bench::between(&redis7, &redis8)
        .expect(rdb, Verdict::Pass, "RDB 10")
        .await;
    Bench::between(&redis8, &redis7)
        .expect(rdb, Verdict::Refuse, "loads up to RDB 10")
        .await;
    Bench::between(&valkey80, &valkey81)
        .expect(rdb, Verdict::Pass, "RDB 11")
        .await;
    Bench::between(&valkey81, &valkey80)
        .expect(rdb, Verdict::Warn, "is older")
        .await;
    // What it really writes depends on who loads it.
    Bench::between(&valkey9, &valkey9)
        .expect(rdb, Verdict::Pass, "RDB 80")
        .await;
    Bench::between(&valkey9, &valkey81)
        .expect(rdb, Verdict::Warn, "RDB 11, which the source writes for it")
        .await;
    let mut client = valkey9.client();
    client.cmd(&["HSET", "hash", "field", "1"]).expect("set");
    client
        .cmd(&["HEXPIRE", "hash", "3600", "FIELDS", "1", "field"])
        .expect("set");
    Bench::between(&valkey9, &valkey81)
        .expect(rdb, Verdict::Refuse, "hash fields that expire")
        .await;
    // Redis 8 comes with a module that others lack.
    Bench::between(&redis8, &redis7)
        .expect("modules", Verdict::Refuse, "vectorset")
        .await;
    Bench::between(&redis7, &valkey81)
        .expect("engine", Verdict::Refuse, "grown apart")
        .await;
    Bench::between(&valkey81, &redis8)
        .expect("engine", Verdict::Refuse, "grown apart")
        .await;
}
