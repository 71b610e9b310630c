//! What clients rely on, compared between real servers.

use sterna_model::Verdict;
use sterna_testkit::{Server, ServerBuilder};

use crate::checks::Bench;

fn start(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Server {
    configure(Server::builder()).start().expect("started")
}

#[tokio::test]
async fn what_locks_clients_out_of_a_target_is_warned_of_and_no_secret_is_shown() {
    const NAME: &str = "client settings";
    let source = start(|server| {
        server
            .config("user", "app on >hunter2 ~* &* +@all")
            .config("user", "ops on >hunter2 ~* &* +@all")
            .config("maxclients", "200")
            .config("notify-keyspace-events", "KEA")
            .config("proto-max-bulk-len", "1gb")
            .config("maxmemory", "1gb")
            .config("maxmemory-policy", "allkeys-lru")
    });
    let target = start(|server| {
        server
            .config("user", "ops on >other ~* &* +@all")
            .config("maxclients", "100")
            .config("maxmemory", "2gb")
    });
    let mut app = source.client();
    app.cmd(&["AUTH", "app", "hunter2"]).expect("logged in");
    let bench = Bench::between(&source, &target);
    for detail in [
        "no ACL user app, as which 1 of the primary's connections",
        "its ACL user ops has other rules, or another password",
        "maxclients is \"100\", the primary's \"200\"",
        "notify-keyspace-events is \"\"",
        "proto-max-bulk-len",
        "maxmemory is",
        "maxmemory-policy",
    ] {
        bench.expect(NAME, Verdict::Warn, detail).await;
    }
    let report = serde_json::to_string(&bench.report().await).expect("plain data");
    let digest = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
    assert!(
        !report.contains("hunter2") && !report.contains(digest),
        "{report}"
    );
    Bench::between(&source, &source.start_replica())
        .expect(NAME, Verdict::Warn, "no ACL user app")
        .await;
    Bench::between(
        &target,
        &start(|server| {
            server
                .config("user", "ops on >other ~* &* +@all")
                .config("maxclients", "100")
                .config("maxmemory", "2gb")
        }),
    )
    .expect(NAME, Verdict::Pass, "as at the primary")
    .await;
}
