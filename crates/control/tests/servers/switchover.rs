//! Planned changes of primary, there and back.

use sterna_model::{GroupSettings, GroupState};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Server, digests_equal};

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
