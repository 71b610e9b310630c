//! Private networks: real servers on hosts of their own, and every fault between them.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sterna_testkit::server::SentinelServer;
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Client, Engine, Host, Net, Process, Server, try_wait_until, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// What takes longer than this got no answer; every answer here comes within a few milliseconds.
const SILENCE: Duration = Duration::from_millis(400);
/// Much less than any timeout of a client, much more than a refusal takes.
const AT_ONCE: Duration = Duration::from_secs(2);

fn server_on(host: &Host) -> Server {
    Server::builder().on(host).start().unwrap()
}

/// Why this client got no answer to a `PING`.
fn ping(client: &mut Client) -> Result<(), io::ErrorKind> {
    match client.raw(&["PING"]) {
        Ok(reply) => {
            assert_eq!(reply.text(), "PONG");
            Ok(())
        }
        Err(error) => Err(kind(&error)),
    }
}

fn kind(error: &anyhow::Error) -> io::ErrorKind {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.unwrap_or_else(|| panic!("{error:#}")).kind()
}

/// Whether a new connection from one host to a server on another gets an answer.
fn reaches(from: &Host, server: &Server) -> bool {
    let connected = server.connector_from(from, SOON)();
    connected.is_ok_and(|mut client| ping(&mut client).is_ok())
}

/// Whether a new connection gets no answer whatever, not even a refusal.
fn silent(from: &Host, server: &Server) -> bool {
    let connected = server.connector_from(from, SILENCE)();
    connected.is_err_and(|error| kind(&error) == io::ErrorKind::TimedOut)
}

/// The namespace that a process is in, or that a file names.
fn namespace_of(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn namespace_file(host: &Host) -> PathBuf {
    Path::new("/run/netns").join(host.namespace().unwrap())
}

#[test]
fn all_hosts_reach_each_other_by_their_own_addresses() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (a, b, test) = (net.host("a"), net.host("b"), net.test_host());
    let primary = server_on(&a);
    let replica = Server::builder().on(&b).replica_of(&primary).start().unwrap();
    let beside = server_on(&test);
    replica.wait_link_up();
    for (from, to) in [
        (&a, &replica),
        (&b, &primary),
        (&test, &primary),
        (&a, &beside),
        (&a, &primary),
    ] {
        assert_eq!(to.address().ip(), to.host().unwrap().address());
        assert!(reaches(from, to), "{} to {}", from.name(), to.address());
    }
    let seen = primary.client().info_field("replication", "slave0").unwrap();
    assert!(
        seen.contains(&format!("ip={},port={}", b.address(), replica.port())),
        "{seen}"
    );
    // A server that is not on a host is on no network.
    assert!(
        Server::builder()
            .on(&a)
            .replica_of(&Server::start())
            .start()
            .is_err()
    );
}

#[test]
fn a_cut_silences_new_and_established_connections_until_it_heals() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (a, b, test) = (net.host("a"), net.host("b"), net.test_host());
    let (server, other) = (server_on(&a), server_on(&b));
    let mut established = server.client();
    let mut between_hosts = server.connector_from(&b, SOON)().unwrap();
    ping(&mut established).unwrap();

    net.cut(&a, &test).unwrap();
    established.set_timeout(SILENCE).unwrap();
    assert_eq!(ping(&mut established), Err(io::ErrorKind::WouldBlock));
    assert!(silent(&test, &server));
    ping(&mut between_hosts).unwrap();
    assert!(reaches(&a, &other) && reaches(&test, &other) && reaches(&a, &server));

    net.cut(&b, &a).unwrap();
    between_hosts.set_timeout(SILENCE).unwrap();
    assert_eq!(ping(&mut between_hosts), Err(io::ErrorKind::WouldBlock));
    net.heal(&test, &a).unwrap();
    assert!(reaches(&test, &server) && silent(&b, &server) && silent(&a, &other));
    // The question was sent again, and its answer comes on the connection that stalled.
    established.set_timeout(SOON).unwrap();
    assert_eq!(established.receive().unwrap().text(), "PONG");
    net.heal_all().unwrap();
    between_hosts.set_timeout(SOON).unwrap();
    assert_eq!(between_hosts.receive().unwrap().text(), "PONG");
    assert!(reaches(&b, &server));
}

#[test]
fn one_way_means_that_the_other_way_is_open() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (a, b) = (net.host("a"), net.host("b"));
    let socket = |host: &Host| {
        let socket = host
            .run(|| UdpSocket::bind((host.address(), 0)))
            .unwrap()
            .unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        socket
    };
    let (at_a, at_b) = (socket(&a), socket(&b));
    let arrives = |from: &UdpSocket, to: &UdpSocket| {
        from.send_to(b"?", to.local_addr().unwrap()).unwrap();
        to.recv_from(&mut [0; 8]).is_ok()
    };
    assert!(arrives(&at_a, &at_b) && arrives(&at_b, &at_a));
    net.cut_one_way(&a, &b).unwrap();
    assert!(!arrives(&at_a, &at_b) && arrives(&at_b, &at_a));
    net.heal(&b, &a).unwrap();
    assert!(arrives(&at_a, &at_b) && arrives(&at_b, &at_a));
}

#[test]
fn an_isolated_host_reaches_only_itself_and_whom_it_may_keep() {
    let Some(net) = Net::or_skip(&["a", "b", "c"]) else {
        return;
    };
    let (a, b, c, test) = (net.host("a"), net.host("b"), net.host("c"), net.test_host());
    let (at_a, at_b) = (server_on(&a), server_on(&b));
    net.isolate(&a, &[&test]).unwrap();
    assert!(reaches(&test, &at_a) && reaches(&a, &at_a) && reaches(&c, &at_b));
    assert!(silent(&b, &at_a) && silent(&c, &at_a) && silent(&a, &at_b));
    net.isolate(&a, &[]).unwrap();
    assert!(silent(&test, &at_a) && reaches(&a, &at_a) && reaches(&test, &at_b));
    net.heal_all().unwrap();
    net.split(&[&a, &c], &[&b, &test]).unwrap();
    assert!(reaches(&c, &at_a) && reaches(&test, &at_b) && silent(&test, &at_a) && silent(&c, &at_b));
    let strange = Net::new(&["a"]).unwrap().host("a");
    assert!(net.cut(&strange, &b).is_err());
}

#[test]
fn a_refusal_is_told_at_once() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (a, b, test) = (net.host("a"), net.host("b"), net.test_host());
    let server = server_on(&a);
    let datagrams = b.run(|| UdpSocket::bind((b.address(), 0))).unwrap().unwrap();
    datagrams.set_read_timeout(Some(SOON)).unwrap();
    datagrams.connect(server.address()).unwrap();
    for from in [&b, &test] {
        let connect = server.connector_from(from, SOON);
        let mut established = connect().unwrap();
        ping(&mut established).unwrap();
        net.reject(&a, from).unwrap();
        let start = Instant::now();
        assert_eq!(ping(&mut established), Err(io::ErrorKind::ConnectionReset));
        assert_eq!(kind(&connect().unwrap_err()), io::ErrorKind::ConnectionRefused);
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    }
    datagrams.send(b"?").unwrap();
    assert_eq!(
        datagrams.recv(&mut [0; 8]).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    // The last fault counts.
    net.cut(&a, &b).unwrap();
    assert!(silent(&b, &server));
    net.heal_all().unwrap();
    assert!(reaches(&b, &server) && reaches(&test, &server));
}

#[test]
fn signals_hit_the_server_itself_and_no_other() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (a, b, test) = (net.host("a"), net.host("b"), net.test_host());
    let (mut server, other) = (server_on(&a), server_on(&b));
    assert_eq!(
        server.client().info_field("server", "process_id").unwrap(),
        server.pid().to_string()
    );
    assert_eq!(
        namespace_of(format!("/proc/{}/ns/net", server.pid())),
        namespace_of(namespace_file(&a))
    );

    let mut client = server.client();
    server.pause().unwrap();
    client.set_timeout(SILENCE).unwrap();
    assert_eq!(ping(&mut client), Err(io::ErrorKind::WouldBlock));
    assert!(reaches(&test, &other));
    server.resume().unwrap();
    client.set_timeout(SOON).unwrap();
    assert_eq!(client.receive().unwrap().text(), "PONG");

    server.kill9();
    assert_eq!(
        kind(&server.connect().unwrap_err()),
        io::ErrorKind::ConnectionRefused
    );
    assert!(reaches(&test, &other));
    // What tests do to a server gets there whatever is cut.
    net.isolate(&a, &[]).unwrap();
    server.restart().unwrap();
    ping(&mut server.connect_locally().unwrap()).unwrap();
    assert!(silent(&test, &server));
    server.stop().unwrap();
    assert!(!server.is_running());
}

#[test]
fn a_process_on_a_host_is_the_program_itself() {
    let Some(net) = Net::or_skip(&["a"]) else { return };
    let a = net.host("a");
    let dir = tempfile::tempdir().unwrap();
    let script = "echo \"$WORD at $(pwd)\"; ip -4 -oneline address show dev eth0; exec sleep 600";
    let process = Process::spawn_on(&a, dir.path(), "sh", &["-c", script], &[("WORD", "here")]).unwrap();
    let folder = dir.path().canonicalize().unwrap();
    process
        .wait_for_line(&format!("here at {}", folder.display()), SOON)
        .unwrap();
    process.wait_for_line(&a.address().to_string(), SOON).unwrap();
    let name = || fs::read_to_string(format!("/proc/{}/comm", process.pid()));
    wait_until(SOON, "the program", || name().is_ok_and(|name| name == "sleep\n"));
    assert_eq!(
        namespace_of(format!("/proc/{}/ns/net", process.pid())),
        namespace_of(namespace_file(&a))
    );
    process.kill9();
    assert_eq!(process.exit_code(SOON).unwrap(), 128 + 9);
    assert!(name().is_err(), "the process is gone");
}

#[test]
fn a_writer_stays_on_its_side_of_a_partition() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (a, b, test) = (net.host("a"), net.host("b"), net.test_host());
    let server = server_on(&a);
    let load = |prefix, timeout| SequenceOptions {
        timeout: Some(timeout),
        ..SequenceOptions::load(prefix, 1000)
    };
    let near = SequenceWriter::start(load("near", SOON), server.connector_from(&a, SOON)).unwrap();
    let far = SequenceWriter::start(load("far", SILENCE), server.connector_from(&b, SILENCE)).unwrap();
    far.wait_acknowledged(100, SOON).unwrap();
    net.isolate(&a, &[&test]).unwrap();
    let cut = Instant::now();
    // Both what was established and what is tried since.
    wait_until(SOON, "writes without an answer", || {
        ["reading from", "connecting to"]
            .into_iter()
            .all(|start| far.errors().keys().any(|error| error.starts_with(start)))
    });
    let gap = cut.elapsed();
    near.wait_acknowledged(1000, SOON).unwrap();
    assert!(far.first_acknowledged_after(cut + SILENCE / 2).is_none());
    net.heal_all().unwrap();
    far.wait_acknowledged(100, SOON).unwrap();
    near.stop().unwrap();
    far.stop().unwrap();
    assert!(
        near.errors().is_empty() && near.failed().is_empty(),
        "{:?}",
        near.errors()
    );
    assert!(far.longest_gap() >= gap, "{:?}", far.longest_gap());
    assert_eq!(far.missing(&mut server.client()).unwrap(), []);
}

#[test]
fn a_sentinel_on_a_host_loses_a_primary_that_is_cut_off() {
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let (a, b) = (net.host("a"), net.host("b"));
    let primary = server_on(&a);
    let sentinel = SentinelServer::start_on(&b, Engine::default(), "main", &primary, 1).unwrap();
    assert_eq!(sentinel.primary_address().unwrap(), primary.address());
    let says = |text: &str| {
        try_wait_until(SOON, text, || {
            if sentinel.log().contains(text) {
                Ok(())
            } else {
                Err(sentinel.log())
            }
        })
        .unwrap();
    };
    net.cut(&a, &b).unwrap();
    says("+sdown master main");
    net.heal(&a, &b).unwrap();
    says("-sdown master main");
}

#[test]
fn nothing_is_left_of_a_dropped_network() {
    let links = || -> BTreeSet<_> {
        let own = format!("stna{}-", std::process::id());
        let entries = fs::read_dir("/sys/class/net").unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(&own)).collect()
    };
    let Some(net) = Net::or_skip(&["a", "b"]) else {
        return;
    };
    let hosts = [net.host("a"), net.host("b")];
    let files: Vec<PathBuf> = hosts.iter().map(namespace_file).collect();
    let hub = files[0].with_file_name(hosts[0].namespace().unwrap().replace("-a", "-hub"));
    let server = server_on(&hosts[0]);
    assert!(hub.exists() && files.iter().all(|file| file.exists()) && !links().is_empty());
    let mut established = server.client();
    let own_link =
        format!("{}-", std::process::id()) + hosts[0].namespace().unwrap().split('-').nth(2).unwrap();
    assert!(links().contains(&format!("stna{own_link}")), "{:?}", links());
    // Also with a server that still runs.
    drop(net);
    assert!(!hub.exists() && files.iter().all(|file| !file.exists()));
    assert!(!links().contains(&format!("stna{own_link}")), "{:?}", links());
    established.set_timeout(SILENCE).unwrap();
    ping(&mut established).unwrap_err();
    assert!(hosts[0].run(|| ()).is_err());
}

/// Makes this test's own process the one that is killed, where the variable says so.
const VICTIM: &str = "STERNA_TEST_NET_VICTIM";

#[test]
fn what_a_killed_process_left_behind_goes_when_the_next_one_starts() {
    let Some(net) = Net::or_skip(&["a"]) else { return };
    if let Ok(role) = std::env::var(VICTIM) {
        let server = server_on(&net.host("a"));
        // Past the test harness, which would hold it back.
        let text = format!("victim {} {}\n", net.host("a").namespace().unwrap(), server.pid());
        io::Write::write_all(&mut io::stderr(), text.as_bytes()).unwrap();
        if role == "stay" {
            loop {
                std::thread::park();
            }
        }
        return;
    }
    let start = |role: &str| {
        let name = "what_a_killed_process_left_behind_goes_when_the_next_one_starts";
        let process = Process::spawn(
            std::env::current_exe().unwrap(),
            &["--exact", name],
            &[(VICTIM, role)],
        )
        .unwrap();
        let line = process.wait_for_line("victim ", SOON).unwrap();
        let mut words = line.split_whitespace().skip(1).map(str::to_owned);
        (process, words.next().unwrap(), words.next().unwrap())
    };
    let (victim, namespace, server) = start("stay");
    let file = Path::new("/run/netns").join(namespace);
    assert!(file.exists());
    victim.kill9();
    wait_until(SOON, "its server to die with it", || {
        !Path::new("/proc").join(&server).exists()
    });
    let (successor, _, _) = start("go");
    assert_eq!(successor.exit_code(SOON).unwrap(), 0);
    // Tests of other processes tidy up too, and may be at it just now.
    wait_until(SOON, "the namespace to be removed", || !file.exists());
    // Ours is nobody's orphan.
    assert!(namespace_file(&net.host("a")).exists());
}
