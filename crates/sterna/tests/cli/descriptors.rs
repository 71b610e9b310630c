//! A gateway that may have few files open, and more clients than that.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use sterna_testkit::{Process, Proxy, Server, wait_until};

use crate::gateway::{Gateway, serve_args};
use crate::groups::{set, value};
use crate::secret_search::{connect, exchange, text};
use crate::support::{DEADLINE, sterna, url};

/// The usual soft limit; here the hard one too.
const FILES_MAX: usize = 1024;

/// A gateway that may have so many files open, and can't raise that.
fn start_with_files(most: usize) -> Gateway {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let limited = format!("ulimit -n {most} && exec \"$@\"");
    let shell = ["-c", limited.as_str(), "sh", sterna()];
    let args = [&shell[..], &serve_args(&[])].concat();
    let process = Process::spawn_in(dir.path(), "sh", &args, &[]).expect("sterna starts");
    Gateway::of(process, dir)
}

/// Whether discovery goes on to serve one that asks.
fn is_served(client: &mut TcpStream) -> bool {
    let mut answer = [0; 7];
    client.write_all(b"PING\r\n").is_ok() && client.read_exact(&mut answer).is_ok() && &answer == b"+PONG\r\n"
}

#[test]
fn more_clients_than_open_files_keep_nobody_from_a_failover() {
    let gateway = start_with_files(FILES_MAX);
    let (mut eu, us) = (Server::start(), Server::start());
    for (name, server) in [("eu", &eu), ("us", &us)] {
        gateway
            .run(&["service", "add", name, "--url", &url(server)])
            .good();
    }
    gateway
        .run(&["group", "create", "orders", "--primary", "eu", "--replica", "us"])
        .good();
    // Two remotes, both on this machine.
    let elsewhere = Proxy::start(gateway.discovery.parse().expect("an address")).expect("a way");
    elsewhere.come_from([127, 0, 0, 2].into());
    let mut clients: Vec<_> = (0..FILES_MAX + 100)
        .map(|_| connect(&gateway.discovery))
        .collect();
    let served = clients.iter_mut().map(is_served).filter(|served| *served).count();
    assert!((100..FILES_MAX / 2).contains(&served), "{served}");
    let mut other = connect(&elsewhere.address().to_string());
    assert!(is_served(&mut other), "one address has taken all that there is");
    // Heads without an end, at the API too.
    let halves: Vec<_> = (0..FILES_MAX)
        .map(|_| {
            let mut half = connect(&gateway.api);
            drop(half.write_all(b"GET / HTTP/1.1\r\nHos"));
            half
        })
        .collect();
    gateway.run(&["status", "orders"]).good();

    set(&eu, "word", "before");
    wait_until(DEADLINE, "the write arrives", || {
        let value = value(&us, "word");
        value.contains("before").then_some(()).ok_or(value)
    });
    eu.kill9();
    wait_until(DEADLINE, "the other takes over", || {
        let status = gateway.run(&["status", "orders", "--output", "json"]).json();
        let primary = status["services"][0]["name"].clone();
        (primary == "us").then_some(()).ok_or(status)
    });
    // Clients are told once it takes writes, which is after it was decided.
    wait_until(DEADLINE, "clients are told", || {
        let said = text(&exchange(
            &elsewhere.address().to_string(),
            b"SENTINEL GET-MASTER-ADDR-BY-NAME orders\r\nQUIT\r\n",
        ));
        said.contains(&us.port().to_string()).then_some(()).ok_or(said)
    });
    drop((clients, halves));
}

#[test]
fn a_group_for_which_there_are_too_few_is_refused() {
    let gateway = start_with_files(160);
    let (eu, us) = (Server::start(), Server::start());
    for (name, server) in [("eu", &eu), ("us", &us)] {
        gateway
            .run(&["service", "add", name, "--url", &url(server)])
            .good();
    }
    let create = ["group", "create", "orders", "--primary", "eu", "--replica", "us"];
    let said = gateway.run(&create).failed(3);
    assert!(
        said.contains("160 files open") && said.contains("ulimit -Hn"),
        "{said}"
    );
    let status = gateway.run(&["status"]).good();
    assert!(status.contains("no group"), "{status}");
}
