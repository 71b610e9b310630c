//! The sequence writer follows a primary that changes, and knows what became of every number.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use sterna_testkit::workload::{Acknowledged, Rate, SequenceOptions, SequenceWriter};
use sterna_testkit::{Client, Server, wait_until};

const SOON: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(300);

/// Where the primary is, as a discovery service would say.
#[derive(Clone)]
struct Target(Arc<Mutex<SocketAddr>>);

impl Target {
    fn new(server: &Server) -> Self {
        Self(Arc::new(Mutex::new(server.address())))
    }

    fn move_to(&self, server: &Server) {
        *self.0.lock().unwrap() = server.address();
    }

    fn connector(&self) -> impl Fn() -> Result<Client> + Send + Sync + 'static {
        let target = self.clone();
        move || Client::connect_within(*target.0.lock().unwrap(), TIMEOUT)
    }
}

fn load(per_second: u32) -> SequenceOptions {
    SequenceOptions {
        timeout: Some(TIMEOUT),
        ..SequenceOptions::load("n", per_second)
    }
}

fn numbers_by(writer: &SequenceWriter, server: &Server) -> BTreeSet<u64> {
    let all = writer.acknowledgements();
    let own = all.iter().filter(|write| write.by == server.address());
    own.map(|write| write.number).collect()
}

fn stored(server: &Server) -> u64 {
    let keys = server.client().cmd(&["DBSIZE"]).unwrap().int().unwrap();
    u64::try_from(keys).unwrap()
}

/// Every number from 0 on was either acknowledged or failed, and none twice.
fn assert_accounted_for(writer: &SequenceWriter) {
    let acknowledged = writer.acknowledgements();
    let mut numbers: Vec<u64> = acknowledged.iter().map(|write| write.number).collect();
    numbers.extend(writer.failed());
    numbers.sort_unstable();
    assert!(
        numbers.iter().copied().eq(0..numbers.len() as u64),
        "a number is missing or there twice"
    );
    assert!(acknowledged.is_sorted_by_key(|write| write.at));
    assert_eq!(
        writer.errors().values().sum::<u64>(),
        writer.failed().len() as u64
    );
}

#[test]
fn load_is_paced_over_several_connections() {
    let server = Server::start();
    let start = Instant::now();
    let options = SequenceOptions {
        writes_max: 10_000,
        ..load(5000)
    };
    let writer = SequenceWriter::start(options, server.connector()).unwrap();
    wait_until(SOON, "all writes", || writer.acknowledged() == 10_000);
    assert!(
        start.elapsed() >= Duration::from_millis(1990),
        "{:?}",
        start.elapsed()
    );
    writer.stop().unwrap();
    assert_accounted_for(&writer);
    assert_eq!((writer.acknowledged(), stored(&server)), (10_000, 10_000));
    assert_eq!(writer.missing(&mut server.client()).unwrap(), []);
    let clients = server
        .client()
        .info_field("stats", "total_connections_received")
        .unwrap();
    assert!(clients.parse::<u64>().unwrap() >= 4, "{clients}");
}

#[test]
fn after_a_crash_the_writer_goes_on_where_the_primary_is_then() {
    let (mut old, new) = (Server::start(), Server::start());
    let target = Target::new(&old);
    let writer = SequenceWriter::start(load(2000), target.connector()).unwrap();
    writer.wait_acknowledged(500, SOON).unwrap();
    let crash = Instant::now();
    old.kill9();
    // Half a second's worth: what is due goes on failing at the same pace.
    wait_until(SOON, "refused connections", || writer.failed().len() > 1000);
    assert!(
        crash.elapsed() >= Duration::from_millis(400),
        "{:?}",
        crash.elapsed()
    );
    assert!(
        writer
            .errors()
            .keys()
            .any(|error| error.starts_with("connecting to"))
    );
    target.move_to(&new);
    let recovered = writer.wait_acknowledged_by(new.address(), crash, SOON).unwrap();
    writer.wait_acknowledged(500, SOON).unwrap();
    writer.stop().unwrap();
    assert_accounted_for(&writer);
    // The clock of the outage: from the last answer before it to the first one after it.
    let outage = recovered.at - last_before(&writer, recovered.at).at;
    assert_eq!(writer.longest_gap(), outage);
    assert_eq!(writer.longest_gap_since(crash), outage);
    assert!(writer.longest_gap_since(recovered.at) < outage);
    // Nothing was copied, so all that only the old server acknowledged is lost; and that exactly.
    let missing = writer.missing(&mut new.client()).unwrap();
    assert!(missing.into_iter().collect::<BTreeSet<u64>>() == numbers_by(&writer, &old));
    assert_eq!(stored(&new), numbers_by(&writer, &new).len() as u64);
}

fn last_before(writer: &SequenceWriter, instant: Instant) -> Acknowledged {
    let all = writer.acknowledgements();
    *all.iter().rfind(|write| write.at < instant).unwrap()
}

#[test]
fn a_refusal_leads_elsewhere_and_is_counted() {
    let (old, new) = (Server::start(), Server::start());
    let target = Target::new(&old);
    let writer = SequenceWriter::start(load(2000), target.connector()).unwrap();
    writer.wait_acknowledged(200, SOON).unwrap();
    let demotion = Instant::now();
    old.client()
        .cmd(&["REPLICAOF", "127.0.0.1", &new.port().to_string()])
        .unwrap();
    wait_until(SOON, "a refusal", || {
        writer.errors().keys().any(|error| error.starts_with("READONLY"))
    });
    target.move_to(&new);
    let recovered = writer
        .wait_acknowledged_by(new.address(), demotion, SOON)
        .unwrap();
    let first = writer.first_acknowledged_after(demotion).unwrap();
    assert!(first.at <= recovered.at && first.at > demotion);
    writer.stop().unwrap();
    assert_accounted_for(&writer);
}

#[test]
fn a_server_that_hangs_is_left_after_the_timeout() {
    let (old, new) = (Server::start(), Server::start());
    let target = Target::new(&old);
    let writer = SequenceWriter::start(load(1000), target.connector()).unwrap();
    writer.wait_acknowledged(200, SOON).unwrap();
    old.pause().unwrap();
    let hang = Instant::now();
    target.move_to(&new);
    let recovered = writer.wait_acknowledged_by(new.address(), hang, SOON).unwrap();
    // What became due meanwhile is made up for.
    wait_until(SOON, "the backlog", || {
        let due = recovered.at.elapsed().as_millis();
        numbers_by(&writer, &new).len() as u128 > due + 100
    });
    old.resume().unwrap();
    writer.stop().unwrap();
    assert_accounted_for(&writer);
    assert!(writer.slowest() >= TIMEOUT, "{:?}", writer.slowest());
    assert!(writer.longest_gap() >= TIMEOUT / 2, "{:?}", writer.longest_gap());
    // Whether they were written nobody knows, but nothing that was acknowledged is gone.
    assert!(!writer.failed().is_empty());
    let kept = writer.missing(&mut old.client()).unwrap();
    assert!(kept.into_iter().collect::<BTreeSet<u64>>() == numbers_by(&writer, &new));
}

#[test]
fn a_single_connection_writes_in_order() {
    let server = Server::start();
    let writer = SequenceWriter::spawn("n", server.connector(), Rate::Unlimited, 2000).unwrap();
    wait_until(SOON, "all writes", || writer.acknowledged() == 2000);
    writer.stop().unwrap();
    let all = writer.acknowledgements();
    assert!(all.iter().map(|write| write.number).eq(0..2000));
    assert!(all.iter().all(|write| write.by == server.address()));
}
