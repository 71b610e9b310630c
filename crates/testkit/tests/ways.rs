//! Ways through the router of a private network: translated addresses, and a proxy that slows connections down.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

use std::time::{Duration, Instant};

use sterna_testkit::{Net, Server};

/// The address that the server sees of a new connection from this process.
fn seen_by(server: &Server) -> String {
    let mut client = server.connect().unwrap();
    let info = client.cmd(&["CLIENT", "INFO"]).unwrap().text();
    let word = info.split(' ').find_map(|word| word.strip_prefix("addr="));
    word.unwrap().split(':').next().unwrap().to_owned()
}

#[test]
fn behind_a_translation_a_server_does_not_see_who_connects_and_cuts_still_cut() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (test, host) = (net.test_host(), net.host("a"));
    let server = Server::builder().on(&host).start().unwrap();
    let untouched = Server::builder().on(&net.host("b")).start().unwrap();
    assert_eq!(seen_by(&server), test.address().to_string());
    net.translate(&test, &host).unwrap();
    assert_ne!(seen_by(&server), test.address().to_string());
    assert_eq!(seen_by(&untouched), test.address().to_string());
    net.cut(&test, &host).unwrap();
    let connected = server.connector_from(&test, Duration::from_millis(300))();
    assert!(connected.is_err(), "it was cut");
    net.heal_all().unwrap();
    net.straight_ways().unwrap();
    assert_eq!(seen_by(&server), test.address().to_string());
}

#[test]
fn a_slow_way_needs_no_other_address_and_ends_with_its_host_unchanged() {
    let Some(net) = Net::or_skip(&["a"]) else {
        return;
    };
    let (test, host) = (net.test_host(), net.host("a"));
    let server = Server::builder().on(&host).start().unwrap();
    let proxy = net.lead_through_proxy(&test, server.address()).unwrap();
    proxy.delay(Duration::from_millis(40));
    let mut client = server.connect().unwrap();
    let began = Instant::now();
    client.cmd(&["PING"]).unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(80),
        "{:?}",
        began.elapsed()
    );
    // On the host itself nothing is slow.
    let mut beside = server.connect_locally().unwrap();
    let began = Instant::now();
    beside.cmd(&["PING"]).unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(80),
        "{:?}",
        began.elapsed()
    );
    proxy.block();
    client.set_timeout(Duration::from_millis(300)).unwrap();
    assert!(client.cmd(&["PING"]).is_err(), "nothing passes");
}
