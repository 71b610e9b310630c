//! The checks on real servers: settings, room, and what will bite later.

use sterna_model::Verdict;
use sterna_node::NodeAddress;
use sterna_testkit::{Server, ServerBuilder, TestTls};

use crate::checks::Bench;

fn start(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Server {
    configure(Server::builder()).start().expect("started")
}

#[tokio::test]
async fn too_few_databases_at_the_target_are_refused() {
    let (source, target) = (Server::start(), start(|server| server.config("databases", "4")));
    Bench::between(&source, &target)
        .expect("databases", Verdict::Warn, "it has 4, the source 16")
        .await;
    let mut client = source.client();
    client.cmd(&["SELECT", "3"]).expect("selected");
    client.cmd(&["SET", "key", "value"]).expect("written");
    Bench::between(&source, &target)
        .expect("databases", Verdict::Warn, "uses db4 or higher")
        .await;
    client.cmd(&["SELECT", "4"]).expect("selected");
    client.cmd(&["SET", "key", "value"]).expect("written");
    let check = Bench::between(&source, &target)
        .expect("databases", Verdict::Refuse, "keys in db4")
        .await;
    assert!(check.advice.expect("advice").contains("`databases 16`"));
}

#[tokio::test]
async fn persistence_decides_about_the_next_restart() {
    let source = Server::start();
    let none = Server::start();
    Bench::between(&source, &none)
        .expect("persistence", Verdict::Warn, "saves nothing")
        .await;
    let aof = start(|server| server.config("appendonly", "yes"));
    Bench::between(&source, &aof)
        .expect("persistence", Verdict::Warn, "append-only file is on")
        .await;
    let rdb = start(|server| server.config("save", "3600 1"));
    Bench::between(&source, &rdb)
        .expect("persistence", Verdict::Pass, "continues")
        .await;
}

#[tokio::test]
async fn a_target_without_room_in_memory_is_told_of() {
    let source = Server::start();
    source
        .client()
        .cmd(&[b"SET".to_vec(), b"large".to_vec(), vec![b'x'; 16 << 20]])
        .expect("written");
    let small = |server: ServerBuilder| server.config("maxmemory", "8mb");
    let ignoring = start(small);
    Bench::between(&source, &ignoring)
        .expect("memory", Verdict::Warn, "its maxmemory is 8.0 MiB")
        .await;
    let strict = start(|server| small(server).config("replica-ignore-maxmemory", "no"));
    Bench::between(&source, &strict)
        .expect("memory", Verdict::Refuse, "drop keys")
        .await;

    let evicting = |server: ServerBuilder| {
        server
            .config("maxmemory", "1gb")
            .config("maxmemory-policy", "allkeys-lru")
    };
    Bench::between(&source, &start(evicting))
        .expect("eviction", Verdict::Warn, "once promoted")
        .await;
    let strict = start(|server| evicting(server).config("replica-ignore-maxmemory", "no"));
    Bench::between(&source, &strict)
        .expect("eviction", Verdict::Warn, "even as a replica")
        .await;
}

#[tokio::test]
async fn a_small_backlog_is_told_in_seconds() {
    let source = start(|server| server.config("repl-backlog-size", "16kb"));
    let target = Server::start();
    Bench::between(&source, &target)
        .expect("backlog", Verdict::Warn, "16.0 KiB")
        .await;
    // With a replica attached the offset grows, and with it the average rate.
    let replica = source.start_replica();
    replica.wait_link_up();
    source
        .client()
        .cmd(&[b"SET".to_vec(), b"large".to_vec(), vec![b'x'; 64 << 20]])
        .expect("written");
    Bench::between(&source, &target)
        .expect("backlog", Verdict::Warn, "a full copy instead")
        .await;
    let check = Bench::between(&target, &Server::start())
        .expect("backlog", Verdict::Pass, "come in")
        .await;
    assert_eq!(check.advice, None);
}

#[tokio::test]
async fn settings_that_let_the_copy_drift_are_told() {
    let source = Server::start();
    let writable = start(|server| server.config("replica-read-only", "no"));
    Bench::between(&source, &writable)
        .expect("read-only", Verdict::Pass, "will be turned off")
        .await;
    let direct = start(|server| server.config("repl-diskless-load", "on-empty-db"));
    Bench::between(&source, &direct)
        .expect("full copy", Verdict::Warn, "on-empty-db")
        .await;
    let swap = start(|server| server.config("repl-diskless-load", "swapdb"));
    Bench::between(&source, &swap)
        .expect("full copy", Verdict::Pass, "swapdb")
        .await;
    let linked = start(|server| server.config("masterauth", "hunter2"));
    let check = Bench::between(&source, &linked)
        .expect("masterauth", Verdict::Pass, "put aside")
        .await;
    assert!(!format!("{check:?}").contains("hunter2"));
}

#[tokio::test]
async fn tls_of_the_target_must_fit_the_relay() {
    let source = Server::start();
    let tls = TestTls::generate().expect("certificates");
    let secure = start(|server| server.tls(&tls));
    let mut bench = Bench::between(&source, &secure);
    bench
        .expect("relay TLS", Verdict::Warn, "will be turned off")
        .await;
    bench.request.relay_tls = true;
    bench.expect("relay TLS", Verdict::Pass, "tls-ca-cert-file").await;
    let plain = Server::start();
    let mut bench = Bench::between(&source, &plain);
    bench.request.relay_tls = true;
    bench.expect("relay TLS", Verdict::Refuse, "no CA").await;
}

#[tokio::test]
async fn the_data_directory_must_take_files_and_have_room() {
    let (source, target) = (Server::start(), Server::start());
    let mut bench = Bench::between(&source, &target);
    bench
        .expect("disk room", Verdict::Pass, "a snapshot may take")
        .await;
    bench.request.log_max_bytes = u64::MAX;
    bench.expect("disk room", Verdict::Warn, "less than").await;
    bench.request.data_dir = "/proc/sterna/data".into();
    bench
        .expect(
            "data directory",
            Verdict::Refuse,
            "nothing can be written in /proc",
        )
        .await;
}

#[tokio::test]
async fn the_address_that_the_target_is_told_must_lead_here() {
    let (source, target) = (Server::start(), Server::start());
    let mut bench = Bench::between(&source, &target);
    bench.request.relay.listen = ([0, 0, 0, 0], 7801).into();
    bench
        .expect("relay address", Verdict::Pass, "127.0.0.1:7801")
        .await;
    bench.request.relay.announced = Some(NodeAddress::new("gateway.example.com", 7801));
    bench
        .expect("relay address", Verdict::Pass, "gateway.example.com:7801")
        .await;
}
