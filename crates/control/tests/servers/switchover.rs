//! Planned changes of primary, there and back.

use sterna_model::{GroupSettings, GroupState};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Server, digests_equal, wait_until};

use crate::common::{DEADLINE, Site};

#[test]
fn there_and_back_without_a_lost_write_or_a_full_copy() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us, ap) = (Server::start(), Server::start(), Server::start());
    for (name, server) in [("eu", &eu), ("us", &us), ("ap", &ap)] {
        gateway.add_service(name, &[server]);
    }
    gateway.create_group("eu", &["us", "ap"], GroupSettings::default());
    let full_before: Vec<_> = [&eu, &us, &ap]
        .map(|server| {
            server
                .client()
                .info_field("stats", "sync_full")
                .expect("a number")
        })
        .into();

    let (at_eu, at_us, routes) = (eu.connector(), us.connector(), gateway.routes.clone());
    let eu_port = eu.port();
    let writer = SequenceWriter::start(SequenceOptions::load("seq", 2000), move || {
        let port = routes
            .borrow()
            .values()
            .next()
            .map_or(eu_port, |route| route.primary.port);
        if port == eu_port { at_eu() } else { at_us() }
    })
    .expect("a writer");
    writer.wait_acknowledged(1000, DEADLINE).expect("writes");
    for to in ["us", "eu", "us"] {
        let done = gateway.switch_over(to);
        let report = done.report.clone().expect("a report");
        assert_eq!(report.full_resyncs, 0, "{done:#?}");
        gateway.wait_state(GroupState::Healthy);
        writer.wait_acknowledged(1000, DEADLINE).expect("more writes");
    }
    writer.stop().expect("stopped");
    assert_eq!(
        writer.missing(&mut us.client()).expect("read back"),
        Vec::<u64>::new()
    );
    digests_equal(&us, &eu).expect("equal");
    digests_equal(&us, &ap).expect("equal");
    let full_after: Vec<_> = [&eu, &us, &ap]
        .map(|server| {
            server
                .client()
                .info_field("stats", "sync_full")
                .expect("a number")
        })
        .into();
    assert_eq!(full_before, full_after);
}

/// While the primary is elsewhere it follows the relay, like every node of a replica service.
#[test]
fn a_local_replica_goes_back_to_its_own_primary() {
    let site = Site::new();
    let gateway = &site.gateway;
    let eu = Server::start();
    let (beside, us) = (eu.start_replica(), Server::start());
    beside.wait_link_up();
    gateway.add_service("eu", &[&eu, &beside]);
    gateway.add_service("us", &[&us]);
    gateway.create_group("eu", &["us"], GroupSettings::default());
    assert_eq!(beside.full_copies_taken(), 1);
    let follows = |port: u16| {
        wait_until(DEADLINE, "the local replica to follow", || {
            let mut client = beside.client();
            let followed = client.info_field("replication", "master_port")?;
            let link = client.info_field("replication", "master_link_status")?;
            if followed == port.to_string() && link == "up" {
                Ok(())
            } else {
                Err(anyhow::anyhow!("{followed}, {link}: {:#?}", gateway.status()))
            }
        });
    };
    for (to, port) in [
        ("us", gateway.relay_port),
        ("eu", eu.port()),
        ("us", gateway.relay_port),
    ] {
        gateway.switch_over(to);
        follows(port);
    }
    us.client().cmd(&["SET", "seen", "1"]).expect("taken");
    digests_equal(&us, &beside).expect("equal");
    assert_eq!(beside.full_copies_taken(), 1, "{}", beside.log());
}
