use sterna_protocol::{Offset, ReplicationId};

use super::*;
use crate::address::NodeAddress;

const PRIMARY: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nos:Linux\r\nprocess_id:42\r\n\
    run_id:0123456789abcdef0123456789abcdef01234567\r\nuptime_in_seconds:7\r\nexecutable:/usr/bin/redis-server\r\n\
    config_file:\r\ntcp_port:6379\r\n\r\n# Memory\r\nused_memory:1000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\
    # Persistence\r\nloading:0\r\naof_enabled:1\r\nrdb_bgsave_in_progress:0\r\n\
    # Replication\r\nrole:master\r\nconnected_slaves:1\r\n\
    slave0:ip=10.0.0.7,port=6380,state=online,offset=98,lag=1\r\nmaster_failover_state:no-failover\r\n\
    master_replid:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\
    master_replid2:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\nmaster_repl_offset:100\r\nsecond_repl_offset:51\r\n\
    repl_backlog_active:1\r\nrepl_backlog_size:1048576\r\nrepl_backlog_first_byte_offset:1\r\n\
    repl_backlog_histlen:100\r\n# Cluster\r\ncluster_enabled:0\r\n# Keyspace\r\n\
    db0:keys=3,expires=0,avg_ttl=0\r\ndb12:keys=1,expires=1,avg_ttl=5,subexpiry=0\r\n";

#[test]
fn a_primary_is_read_whole() {
    let info = Info::parse(PRIMARY.as_bytes());
    let replication = info.replication().expect("complete");
    assert_eq!(replication.role, Role::Primary);
    assert_eq!(replication.replid.as_str(), "a".repeat(40));
    assert_eq!(replication.replid2.map(|id| id.to_string()), Some("b".repeat(40)));
    assert_eq!(
        (replication.offset, replication.second_offset),
        (Offset::new(100), Some(Offset::new(50)))
    );
    assert_eq!(
        replication.replicas,
        [AttachedReplica {
            address: NodeAddress::new("10.0.0.7", 6380),
            state: "online".to_owned(),
            offset: Offset::new(98),
            lag_s: Some(1),
        }]
    );
    assert_eq!(replication.backlog_size_bytes, Some(1 << 20));
    assert_eq!(info.keyspace().into_iter().collect::<Vec<_>>(), [(0, 3), (12, 1)]);
    assert_eq!(info.memory().maxmemory_bytes, None);
    assert!(info.persistence().aof_enabled && !info.cluster_enabled());
    let server = info.server();
    assert_eq!(
        (server.process_id, server.uptime_s, server.config_file),
        (Some(42), Some(7), None)
    );
}

#[test]
fn a_fresh_node_has_no_second_history() {
    let text = PRIMARY
        .replace(&"b".repeat(40), ReplicationId::ZERO.as_str())
        .replace("second_repl_offset:51", "second_repl_offset:-1");
    let replication = Info::parse(text.as_bytes()).replication().expect("complete");
    assert_eq!((replication.replid2, replication.second_offset), (None, None));
}

#[test]
fn a_replica_names_its_primary() {
    let text = PRIMARY.replace(
        "role:master",
        "role:slave\r\nmaster_host:::1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
         master_sync_in_progress:0\r\nslave_read_repl_offset:90\r\nslave_repl_offset:80\r\nslave_read_only:1",
    );
    let replication = Info::parse(text.as_bytes()).replication().expect("complete");
    assert_eq!(replication.role, Role::Replica);
    assert_eq!(replication.primary, Some(NodeAddress::new("::1", 6379)));
    assert!(replication.link_up && !replication.sync_in_progress);
    assert_eq!(replication.read_offset, Some(Offset::new(90)));
    assert_eq!(replication.applied_offset, Some(Offset::new(80)));
}

#[test]
fn missing_and_foreign_fields_are_errors_that_name_them() {
    let error = Info::parse(b"role:king\r\n")
        .replication()
        .expect_err("no such role");
    assert_eq!(error.to_string(), "INFO has \"king\" for role");
    let error = Info::parse(b"role:master\r\n").replication().expect_err("no id");
    assert_eq!(error.to_string(), "INFO has nothing for master_replid");
    assert_eq!(Info::parse(b"\xff\xfe\0garbage").fields().count(), 0);
}

#[test]
fn every_loaded_module_is_kept() {
    let info = Info::parse(
        b"# Modules\r\nmodule:name=vectorset,ver=1,api=1,filters=0\r\nmodule:name=lua,ver=1,api=1\r\n\
          module:name=ReJSON,ver=20008,api=1\r\n",
    );
    assert_eq!(info.modules(), ["vectorset", "ReJSON"]);
}
