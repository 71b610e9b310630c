//! The proxy, the process helper and the small disk do to programs what they promise.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sterna_testkit::process::Source;
use sterna_testkit::{Direction, Process, Proxy, Server, SmallDisk, digests_equal, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// A server that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                drop(std::io::copy(&mut stream, &mut writer));
            });
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn bytes_pass_unchanged_and_are_counted() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    let data: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| (n % 251).to_le_bytes())
        .take(3_000_000)
        .collect();
    let mut writer = stream.try_clone().unwrap();
    let sent = data.clone();
    let sending = thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut answer = vec![0; data.len()];
    stream.read_exact(&mut answer).unwrap();
    sending.join().unwrap();
    assert!(answer == data, "the bytes changed on their way");
    assert_eq!(proxy.bytes(Direction::ToServer), 3_000_000);
    assert_eq!(proxy.bytes(Direction::ToClient), 3_000_000);
    assert_eq!((proxy.connections(), proxy.connections_open()), (1, 1));
    drop(stream);
    wait_until(SOON, "the connection to end", || proxy.connections_open() == 0);
}

#[test]
fn a_cut_resets_and_a_close_ends_in_order() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"hello");
    proxy.cut().unwrap();
    assert_eq!(
        stream.read(&mut [0; 1]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );

    let mut stream = connect(&proxy);
    assert_eq!(exchange(&mut stream, b"again"), b"again");
    proxy.close().unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(proxy.connections(), 2);
}

#[test]
fn a_black_hole_swallows_and_gives_back() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"hello");
    proxy.block();
    stream.write_all(b"lost?").unwrap();
    let mut newcomer = connect(&proxy);
    newcomer.write_all(b"new").unwrap();
    for silent in [&mut stream, &mut newcomer] {
        silent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(
            silent.read(&mut [0; 1]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        silent.set_read_timeout(Some(SOON)).unwrap();
    }
    proxy.unblock();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"lost?");
    newcomer.read_exact(&mut answer[..3]).unwrap();
    assert_eq!(&answer[..3], b"new");

    proxy.block_direction(Direction::ToClient);
    stream.write_all(b"heard").unwrap();
    wait_until(SOON, "the server to hear it", || {
        proxy.bytes(Direction::ToServer) == 18
    });
    assert_eq!(proxy.bytes(Direction::ToClient), 13);
    proxy.cut().unwrap();
    assert_eq!(
        stream.read(&mut [0; 1]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_refusing_proxy_keeps_what_is_open_and_listens_again() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"hello");
    proxy.refuse();
    assert_eq!(
        TcpStream::connect(proxy.address()).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(exchange(&mut stream, b"still here"), b"still here");
    proxy.accept().unwrap();
    assert_eq!(exchange(&mut connect(&proxy), b"hello"), b"hello");
}

#[test]
fn a_delay_costs_latency_and_not_throughput() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"hello");
    proxy.delay(Duration::from_millis(50));
    let start = Instant::now();
    exchange(&mut stream, b"hello");
    let round_trip = start.elapsed();
    assert!(round_trip >= Duration::from_millis(100), "{round_trip:?}");
    let start = Instant::now();
    // 64 chunks one after the other would take 6.4 s.
    exchange(&mut stream, &vec![7; 1 << 20]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_throttled_link_keeps_its_rate() {
    let proxy = Proxy::start(echo()).unwrap();
    proxy.throttle(Some(200_000));
    let mut stream = connect(&proxy);
    let start = Instant::now();
    exchange(&mut stream, &vec![7; 100_000]);
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(480) && took < Duration::from_secs(3),
        "{took:?}"
    );
    // Lifting the limit frees also what was waiting for its turn.
    proxy.throttle(Some(10));
    stream.write_all(&[7; 1000]).unwrap();
    proxy.throttle(None);
    stream.read_exact(&mut [0; 1000]).unwrap();
}

#[test]
fn one_byte_is_damaged_exactly_where_asked() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    proxy.corrupt_after(3, Direction::ToClient);
    assert_eq!(exchange(&mut stream, b"aaaaaa"), b"aaa`aa");
    assert_eq!(exchange(&mut stream, b"aaaaaa"), b"aaaaaa");
}

#[test]
fn a_truncated_connection_ends_after_exactly_that_many_bytes() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    proxy.truncate_after(40_000, Direction::ToClient);
    let mut writer = stream.try_clone().unwrap();
    let sending = thread::spawn(move || drop(writer.write_all(&vec![7; 100_000])));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    sending.join().unwrap();
    assert_eq!(answer.len(), 40_000);
    assert_eq!(exchange(&mut connect(&proxy), b"hello"), b"hello");
}

#[test]
fn a_replica_follows_through_a_proxy_that_is_cut_and_retargeted() {
    let primary = Server::start();
    let other = primary.start_replica();
    other.wait_link_up();
    let proxy = Proxy::start(primary.address()).unwrap();
    let replica = Server::builder()
        .replica_of_address(proxy.address())
        .start()
        .unwrap();
    replica.wait_link_up();
    primary.client().cmd(&["SET", "a", "1"]).unwrap();
    digests_equal(&primary, &replica).unwrap();
    proxy.cut().unwrap();
    primary.client().cmd(&["SET", "a", "2"]).unwrap();
    wait_until(SOON, "the replica to come again", || proxy.connections() >= 2);
    replica.wait_link_up();
    digests_equal(&primary, &replica).unwrap();

    proxy.retarget(other.address());
    proxy.cut().unwrap();
    replica.wait_link_up();
    let chained = || other.client().info("replication").unwrap()["connected_slaves"] == "1";
    wait_until(SOON, "the replica to follow the other server", chained);
}

#[test]
fn a_process_is_heard_signalled_measured_and_ended() {
    let script =
        "trap 'echo caught; exit 7' INT; echo $GREETING; echo trouble >&2; while :; do sleep 0.05; done";
    let process = Process::spawn("sh", &["-c", script], &[("GREETING", "good day")]).unwrap();
    assert_eq!(process.wait_for_line("good", SOON).unwrap(), "good day");
    wait_until(SOON, "the other output", || {
        process.text(Source::Stderr) == "trouble"
    });
    assert!(process.is_running());
    assert!(process.rss_bytes().unwrap() > 100_000);
    let rss = process.rss_bytes().unwrap();
    assert!(process.peak_rss_bytes().unwrap() >= rss);
    assert!(process.cpu_seconds().unwrap() < 5.0);
    process.sigint().unwrap();
    assert_eq!(process.wait_for_line("caught", SOON).unwrap(), "caught");
    assert_eq!(process.exit_code(SOON).unwrap(), 7);
    assert!(process.sigint().is_err(), "a process that is gone took a signal");

    let error = process.wait_for_line("never said", SOON).unwrap_err().to_string();
    assert!(
        error.contains("never said") && error.contains("good day"),
        "{error}"
    );
    let process = Process::spawn("sleep", &["600"], &[]).unwrap();
    process.kill9();
    assert_eq!(process.exit_code(SOON).unwrap(), 137);
}

#[test]
fn nothing_that_a_test_started_outlives_it() {
    let this = std::env::current_exe().unwrap();
    let args = ["--ignored", "--exact", "a_test_that_hangs", "--nocapture"];
    let test = Process::spawn(this, &args, &[]).unwrap();
    let line = test.wait_for_line("server pid ", SOON).unwrap();
    let pid: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    let folder = format!("/proc/{pid}");
    assert!(fs::exists(&folder).unwrap());
    test.kill9();
    let gone = || match fs::read_to_string(format!("{folder}/stat")) {
        Err(_) => Ok(()),
        // Whoever inherits it may leave it unburied.
        Ok(stat) if stat.contains(") Z ") => Ok(()),
        Ok(stat) => Err(stat),
    };
    wait_until(SOON, "the server to die with its test", gone);
    // The next process to use the testkit removes what this one left.
    let owner = format!("sterna-server-{}-", test.pid());
    let left = || {
        let names = fs::read_dir(std::env::temp_dir())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(&owner))
            .count()
    };
    assert_eq!(left(), 1);
    let args = ["--ignored", "--exact", "a_test_that_passes"];
    assert_eq!(
        Process::spawn(std::env::current_exe().unwrap(), &args, &[])
            .unwrap()
            .exit_code(SOON)
            .unwrap(),
        0
    );
    assert_eq!(left(), 0);
}

#[test]
#[ignore = "run by nothing_that_a_test_started_outlives_it, which kills it"]
#[expect(clippy::print_stdout, reason = "its parent reads the process id")]
fn a_test_that_hangs() {
    let server = thread::spawn(Server::start).join().unwrap();
    println!("server pid {}", server.pid());
    loop {
        thread::park();
    }
}

#[test]
#[ignore = "run by nothing_that_a_test_started_outlives_it"]
fn a_test_that_passes() {
    drop(Server::start());
}

#[test]
fn a_small_disk_runs_full_and_is_freed() {
    let disk = SmallDisk::mount(1 << 20).expect("this test needs the right to mount a tmpfs");
    let file = disk.path().join("file");
    fs::write(&file, vec![1; 100_000]).unwrap();
    disk.fill_up().unwrap();
    let error = fs::write(disk.path().join("another"), vec![1; 100_000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    disk.free().unwrap();
    fs::write(disk.path().join("another"), vec![1; 100_000]).unwrap();
    let path = disk.path().to_owned();
    drop(disk);
    assert!(!path.exists());
}
