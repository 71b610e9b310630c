//! Planned changes of primary, there and back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sterna_model::{GroupSettings, GroupState};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Client, Reply, Server, digests_equal, wait_until};

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

/// A node with a secret of the group says that it is the old primary and stepped down, again and again. A value is on its way
/// from the primary meanwhile, and the target has all that has arrived so far.
#[test]
fn only_the_old_primary_itself_can_say_that_it_stepped_down() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    let way = gateway.create_group_behind(&eu, &us);
    let forger = Forger::start(&us, gateway.relay_port);
    way.throttle(Some(1 << 20));
    let value = vec![b'x'; 2 << 20];
    eu.client()
        .cmd(&[&b"SET"[..], b"last", &value])
        .expect("acknowledged");
    let done = gateway.switch_over("us");
    assert!(forger.stop() > 0, "it was let wait as one that hands over");
    assert_eq!(
        us.client().cmd(&["STRLEN", "last"]).expect("an answer"),
        Reply::Int(2 << 20),
        "{done:#?}"
    );
    gateway.wait_state(GroupState::Healthy);
    assert_eq!(gateway.rescues(), []);
    digests_equal(&us, &eu).expect("equal");
}

/// How long an answer is waited for.
const FORGER_WAITS: Duration = Duration::from_millis(10);

/// Asks the relay again and again to follow it as a primary that hands over, with the secret of a node and from where that is.
struct Forger {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
}

impl Forger {
    fn start(node: &Server, relay: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (connect, over) = (node.connector(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut client = connect().expect("a connection");
            let user = client.setting("masteruser").expect("a user");
            let secret = client.setting("masterauth").expect("a secret");
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, relay));
            // Those that are let wait stay.
            let mut waiting = Vec::new();
            while !over.load(Ordering::Relaxed) {
                // Its connections end when it is promoted.
                let Ok(replication) = client.info("replication") else {
                    client = connect().expect("a connection");
                    continue;
                };
                let held: u64 = replication["master_repl_offset"].parse().expect("an offset");
                let (id, next) = (&replication["master_replid"], (held + 1).to_string());
                let mut forger = Client::connect(at).expect("a connection");
                forger.log_in(Some(&user), &secret).expect("logged in");
                forger.set_timeout(FORGER_WAITS).expect("set");
                let refused = forger
                    .raw(&["PSYNC", id.as_str(), &next, "FAILOVER"])
                    .is_ok_and(|reply| matches!(reply, Reply::Error(_)));
                if !refused {
                    waiting.push(forger);
                }
            }
            waiting.len()
        });
        Self { stop, thread }
    }

    /// Ends it; returns how often it was let wait.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}
