//! A server whose wall clock a test sets.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

use std::time::{SystemTime, UNIX_EPOCH};

use sterna_testkit::{Engine, Server, ShiftedClock};

/// How far a server's clock is ahead of ours, in seconds.
fn ahead(server: &Server) -> i64 {
    let reply = server.client().cmd(&["TIME"]).unwrap();
    let theirs: i64 = reply.array()[0].text().parse().unwrap();
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    theirs - i64::try_from(ours).unwrap()
}

#[test]
fn a_server_goes_by_the_clock_that_the_test_sets_and_another_does_not() {
    let clock = ShiftedClock::new().unwrap();
    let shifted = Server::builder()
        .engine(clock.engine(Engine::default()))
        .start()
        .unwrap();
    let other = Server::start();
    let near = |server: &Server, wanted: i64| {
        let ahead = ahead(server);
        assert!((ahead - wanted).abs() <= 1, "{ahead} and not {wanted}");
    };
    near(&shifted, 0);
    for seconds in [-5, 3600, 0] {
        clock.set(seconds * 1000).unwrap();
        near(&shifted, seconds);
        near(&other, 0);
    }
}
