//! A client that reads from replica nodes finds those that are up, and only those.

use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{ConnectionAddr, ErrorKind, ProtocolVersion};
use sterna_testkit::{Server, wait_until};

use crate::DEADLINE;
use crate::support::{GROUP, Running, route, settings};

#[test]
fn redis_rs_reads_from_replicas_that_are_up() {
    let primary = Server::start();
    let replica = primary.start_replica();
    replica.wait_link_up();
    let endpoint = Running::start(settings(), route(1, primary.port(), replica.port()));
    for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let address = ConnectionAddr::Tcp("127.0.0.1".to_owned(), endpoint.address.port());
        let mut client = SentinelClientBuilder::new([address], GROUP, SentinelServerType::Replica)
            .expect("an address")
            .set_client_to_sentinel_protocol(protocol)
            .set_client_to_redis_protocol(protocol)
            .build()
            .expect("a client");
        let mut connection = client.get_connection().expect("the replica is up");
        let found: redis::InfoDict = redis::cmd("INFO").query(&mut connection).expect("INFO");
        assert_eq!(found.get::<u16>("tcp_port"), Some(replica.port()));
        assert_eq!(found.get::<String>("role").as_deref(), Some("slave"));

        let mut alone = route(1, primary.port(), replica.port());
        alone.replicas[0].up = false;
        endpoint.publish(alone);
        wait_until(DEADLINE, "no replica to be found", || {
            client
                .get_connection()
                .err()
                .filter(|error| error.kind() == ErrorKind::NoValidReplicasFoundBySentinel)
        });
        endpoint.publish(route(1, primary.port(), replica.port()));
        wait_until(DEADLINE, "the replica to be found again", || {
            client.get_connection().map(drop)
        });
    }
}
