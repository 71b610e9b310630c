//! What the command says to programs: JSON lines, metrics, the relay's answers, exit codes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::Value;
use sterna_testkit::process::Source;
use sterna_testkit::{Client, Server, digests_equal, reserve_port, wait_until};

use crate::common::{fill, replica_node};
use crate::support::{DEADLINE, Link, url};

/// Every metric that is promised, with its labels beside the group's; programs look for these names.
const METRICS: [(&str, &str); 22] = [
    ("sterna_stream_received_bytes_total", ""),
    ("sterna_stream_commands_total", ""),
    ("sterna_snapshot_received_bytes_total", ""),
    ("sterna_lag_bytes", ""),
    ("sterna_lag_seconds", ""),
    ("sterna_full_syncs_total", r#",direction="up""#),
    ("sterna_full_syncs_total", r#",direction="down""#),
    ("sterna_partial_syncs_total", r#",direction="up""#),
    ("sterna_partial_syncs_total", r#",direction="down""#),
    ("sterna_invariant_violations_total", r#",invariant="I5""#),
    ("sterna_reconnects_total", ""),
    ("sterna_log_bytes", ""),
    ("sterna_log_start_offset", ""),
    ("sterna_log_end_offset", ""),
    ("sterna_log_on_disk", ""),
    ("sterna_log_fsyncs_total", ""),
    ("sterna_log_fsync_seconds_total", ""),
    ("sterna_log_read_bytes_total", ""),
    ("sterna_log_memory_bytes", ""),
    ("sterna_replicas", ""),
    ("sterna_link_state", r#",state="streaming""#),
    ("sterna_link_state", r#",state="holding""#),
];

/// A metric of the link.
fn series(name: &str, labels: &str) -> String {
    format!(r#"{name}{{group="replicate",shard="0"{labels}}}"#)
}

fn scrape(port: u16) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let text = line.unwrap_or_else(|| panic!("no {name} in:\n{metrics}"));
    text.parse().unwrap_or_else(|_| panic!("{name} {text}"))
}

#[test]
fn metrics_have_their_names_and_tell_what_happened() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 1000);
    let port = reserve_port().expect("a free port");
    let address = format!("127.0.0.1:{}", port.number());
    let mut link = Link::new(url(&primary), &[&replica]).with(&["--metrics-addr", &address]);
    link.start_and_follow();
    fill(&primary, "more", 1000);
    digests_equal(&primary, &replica).expect("equal");
    let answer = wait_until(DEADLINE, "the stream in the log on disk", || {
        let answer = scrape(port.number());
        let synced = value(&answer, &series("sterna_log_fsyncs_total", "")) >= 1.0;
        if synced && value(&answer, &series("sterna_log_bytes", "")) > 150_000.0 {
            Ok(answer)
        } else {
            Err(answer)
        }
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    for (name, labels) in METRICS {
        value(&answer, &series(name, labels));
    }
    let of = |name: &str, labels: &str| value(&answer, &series(name, labels));
    assert!(of("sterna_stream_commands_total", "") >= 1000.0);
    assert!(of("sterna_stream_received_bytes_total", "") > 150_000.0);
    assert!(of("sterna_snapshot_received_bytes_total", "") > 1000.0);
    assert!(value(&answer, "process_resident_memory_bytes") > 1e6);
    assert!(answer.contains("sterna_build_info{version="), "{answer}");
    for (name, labels, expected) in [
        ("sterna_full_syncs_total", r#",direction="up""#, 1.0),
        ("sterna_full_syncs_total", r#",direction="down""#, 1.0),
        ("sterna_invariant_violations_total", r#",invariant="I5""#, 0.0),
        ("sterna_log_on_disk", "", 1.0),
        ("sterna_replicas", "", 1.0),
        ("sterna_link_state", r#",state="streaming""#, 1.0),
    ] {
        let seen = of(name, labels);
        assert!((seen - expected).abs() < 0.1, "{name}{labels} is {seen}");
    }
}

#[test]
fn every_line_on_stdout_is_one_json_object_with_its_name_and_time() {
    let (mut primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 1000);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    primary.kill9();
    link.wait_for("lost");
    primary.restart().expect("restarted");
    link.wait_for("holding");
    link.process().sigterm().expect("it runs");
    assert_eq!(link.process().exit_code(DEADLINE).expect("it ends"), 0);
    let text = link.process().text(Source::Stdout);
    let events: Vec<_> = text
        .lines()
        .map(|line| {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(object["time"].is_string(), "{line}");
            object["event"]
                .as_str()
                .unwrap_or_else(|| panic!("{line}"))
                .to_owned()
        })
        .collect();
    for name in [
        "check",
        "connected",
        "full-sync-started",
        "full-sync-received",
        "replica-full-sync",
        "replica-online",
        "status",
        "lost",
        "holding",
    ] {
        assert!(
            events.iter().any(|event| event == name),
            "no {name} in {events:?}"
        );
    }
    assert_eq!(events.last().map(String::as_str), Some("end"));
    assert_eq!(link.process().text(Source::Stderr), "");
}

#[test]
fn both_signals_end_it_in_order_and_say_how_to_go_on() {
    let (primary, replica) = (Server::start(), replica_node());
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    link.process().sigterm().expect("it runs");
    assert_eq!(link.process().exit_code(DEADLINE).expect("it ends"), 0);
    let end = link.wait_for("end");
    let words = end["message"].as_str().expect("words");
    assert!(
        words.contains("to resume") && words.contains("sterna promote --to redis://"),
        "{words}"
    );
    link.start();
    link.wait_for("replica-resumed");
    assert_eq!(link.interrupt(), 0);
}

#[test]
fn the_relay_answers_as_what_it_is_and_takes_no_writes() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    let text = std::fs::read(link.data_dir().join("link.json")).expect("link.json");
    let stored: Value = serde_json::from_slice(&text).expect("JSON");
    let mut relay = Client::connect((Ipv4Addr::LOCALHOST, link.relay_port)).expect("connected");
    let stranger = relay.raw(&["INFO"]).expect("an answer");
    assert!(stranger.text().starts_with("NOAUTH"), "{stranger:?}");
    relay
        .cmd(&["AUTH", "sterna", stored["secret"].as_str().expect("a secret")])
        .expect("logged in");
    assert_eq!(relay.cmd(&["PING"]).expect("an answer").text(), "PONG");
    let info = relay.info("replication").expect("INFO");
    let history = primary
        .client()
        .info_field("replication", "master_replid")
        .expect("INFO");
    assert_eq!(info["role"], "master");
    assert_eq!(info["master_replid"], history);
    assert_eq!(info["connected_slaves"], "1");
    assert_eq!(
        (
            info["slave_priority"].as_str(),
            info["replica_announced"].as_str()
        ),
        ("0", "0")
    );
    let role = relay.cmd(&["ROLE"]).expect("ROLE");
    assert_eq!(role.array()[0].text(), "master");
    let follower = role.array()[2].array()[0].array();
    assert_eq!(follower[1].text(), replica.port().to_string());
    for command in [
        &["SET", "a", "b"][..],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["SHUTDOWN"],
    ] {
        let answer = relay.raw(command).expect("an answer");
        assert!(
            answer.is_error() && answer.text().starts_with("READONLY"),
            "{command:?}: {answer:?}"
        );
    }
    fill(&primary, "more", 100);
    digests_equal(&primary, &replica).expect("equal");
}
