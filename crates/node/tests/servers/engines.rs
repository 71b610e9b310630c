//! Engines that speak the protocol but are neither Redis nor Valkey, by what they answer to INFO.

use sterna_node::engine::{Engine, EngineKind};
use sterna_node::{Info, Version};
use sterna_testkit::Server;

use crate::scripted::info_server;
use crate::upstream;

/// The telling lines of each engine's INFO, from its documentation and source.
const OTHERS: &[(&str, &str)] = &[
    (
        "Dragonfly",
        "# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.40.1\r\nredis_mode:standalone\r\nexecutable:/usr/bin/dragonfly\r\nrole:master\r\n",
    ),
    (
        "Dragonfly",
        "# Server\r\nredis_version:df-v1.0.0\r\nredis_mode:standalone\r\n",
    ),
    (
        "KeyDB",
        "# Server\r\nredis_version:6.3.4\r\nexecutable:/data/keydb-server\r\nrole:master\r\n# KeyDB\r\nmvcc_depth:0\r\n",
    ),
    (
        "Garnet",
        "# Server\r\ngarnet_version:1.0.50\r\nredis_version:7.4.3\r\nos:Unix 6.1\r\n",
    ),
    (
        "Apache Kvrocks",
        "# Server\r\nversion:2.9.0\r\nkvrocks_version:2.9.0\r\nredis_version:7.0.0\r\n",
    ),
    (
        "Redis Enterprise",
        "# Server\r\nredis_version:7.2.4\r\nrlec_version:7.4.2-169\r\n",
    ),
    (
        "Redict",
        "# Server\r\nredis_version:7.2.4\r\nredict_version:7.3.1\r\n",
    ),
    (
        "Amazon ElastiCache",
        "# Server\r\nredis_version:6.2.5\r\nos:Amazon ElastiCache\r\nrun_id:133863b990a0f0e29472afde545febd775fd624f\r\n",
    ),
    (
        "futuredb",
        "# Server\r\nredis_version:7.2.4\r\nserver_name:futuredb\r\n",
    ),
    ("an unknown server", "# Server\r\nversion:1\r\n"),
    ("Redis 6.2.14", "# Server\r\nredis_version:6.2.14\r\n"),
    ("Redis 5.0.14", "# Server\r\nredis_version:5.0.14\r\n"),
    ("Redis 2.8.24", "# Server\r\nredis_version:2.8.24\r\n"),
];

#[tokio::test]
async fn other_engines_are_refused_by_name() {
    for (name, info) in OTHERS {
        let server = info_server(info).await;
        let error = upstream(&format!("redis://{}", server.address))
            .find_primary()
            .await
            .expect_err(name);
        assert!(
            error.to_string().contains(&format!("this is {name} (")),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn the_engine_of_a_real_server_is_known() {
    for engine in sterna_testkit::Engine::installed()
        .into_iter()
        .chain([sterna_testkit::Engine::default()])
    {
        let server = Server::builder().engine(engine.clone()).start().expect("started");
        let found = upstream(&format!("redis://{}", server.address()))
            .find_primary()
            .await
            .expect("a primary");
        let sterna_testkit::Version(major, minor, patch) = engine.version;
        let kind = match engine.kind {
            sterna_testkit::EngineKind::Redis => EngineKind::Redis,
            sterna_testkit::EngineKind::Valkey => EngineKind::Valkey,
        };
        let version = Version::new(major.into(), minor.into(), patch.into());
        assert_eq!(found.engine, Engine { kind, version });
        assert!(found.engine.rdb_version().is_some(), "{}", found.engine);
    }
}

#[test]
fn valkey_goes_by_its_own_version() {
    let info = Info::parse(b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.0.1\r\n");
    let engine = Engine::recognise(&info).expect("Valkey");
    assert_eq!(engine.to_string(), "Valkey 9.0.1");
    let info = Info::parse(b"redis_version:8.4.0\r\n");
    assert_eq!(
        Engine::recognise(&info).expect("Redis").to_string(),
        "Redis 8.4.0"
    );
    assert!(Engine::recognise(&Info::parse(b"redis_version:seven\r\n")).is_err());
    assert!(Engine::recognise(&Info::parse(b"server_name:valkey\r\nredis_version:7.2.4\r\n")).is_err());
}
