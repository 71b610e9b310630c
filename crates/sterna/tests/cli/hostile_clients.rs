//! Clients that nobody invited on the ports of a gateway: the relay, the API and discovery refuse them, and go on for everybody else.

use std::fs::{Permissions, set_permissions};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use sterna_testkit::{ScriptedReplica, Server, TestTls, wait_until};

use crate::gateway::Gateway;
use crate::groups::{set, value};
use crate::secret_search::{ask, connect, exchange, private_file, read_to_end, read_what_is_there, text};
use crate::support::{DEADLINE, url};

/// Handshakes that begin and never go on: more than the relay has room for at once.
const FLOOD: usize = 300;
/// Connections to the API at once.
const CROWD: usize = 200;

/// A gateway with a group of its own servers for each name.
struct Fixture {
    gateway: Gateway,
    groups: Vec<(Server, Server)>,
}

impl Fixture {
    fn start(names: &[&str]) -> Self {
        let gateway = Gateway::start();
        let mut groups = Vec::new();
        for name in names {
            let (primary, replica) = (Server::start(), Server::start());
            let (first, second) = (format!("{name}-eu"), format!("{name}-us"));
            for (service, server) in [(&first, &primary), (&second, &replica)] {
                gateway
                    .run(&["service", "add", service, "--url", &url(server)])
                    .good();
            }
            gateway
                .run(&["group", "create", name, "--primary", &first, "--replica", &second])
                .good();
            groups.push((primary, replica));
        }
        let fixture = Self { gateway, groups };
        for group in 0..names.len() {
            fixture.still_replicates(group, "at-first");
        }
        fixture
    }

    /// A write at the primary arrives at the replica.
    fn still_replicates(&self, group: usize, word: &str) {
        let (primary, replica) = &self.groups[group];
        set(primary, "word", word);
        wait_until(DEADLINE, "the write arrives", || {
            let value = value(replica, "word");
            value.contains(word).then_some(()).ok_or(value)
        });
    }

    /// User name and secret with which the replica node of a group logs in to the relay.
    fn login(&self, group: usize) -> (String, String) {
        let setting = |name: &str| {
            let mut client = self.groups[group].1.client();
            let pair = client.cmd(&["CONFIG", "GET", name]).expect("its settings");
            pair.array().last().expect("a value").text()
        };
        (setting("masteruser"), setting("masterauth"))
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    sterna_testkit::client::encode(&mut bytes, words);
    bytes
}

/// What the relay says to a client that logs in so and asks for everything.
fn demand_all(relay: &str, login: Option<&[&str]>) -> String {
    let mut socket = connect(relay);
    let login = login.map_or_else(Vec::new, |words| command(&[&["AUTH"], words].concat()));
    // What is no RESP ends the connection, so that nobody waits for more.
    let all = [login, command(&["PSYNC", "?", "-1"]), b"*x\r\n".to_vec()].concat();
    socket.write_all(&all).expect("written");
    text(&read_to_end(&mut socket))
}

#[test]
fn the_relay_gives_nothing_to_who_has_not_the_secret_of_this_very_group() {
    let fixture = Fixture::start(&["orders", "users"]);
    let relay = &fixture.gateway.relay;
    let (orders, secret) = fixture.login(0);
    let (users, other) = fixture.login(1);
    assert_ne!(secret, other);
    for login in [
        None,
        Some(&[orders.as_str(), "wrong"][..]),
        Some(&[orders.as_str(), ""]),
        Some(&[orders.as_str(), other.as_str()]),
        Some(&[users.as_str(), secret.as_str()]),
        Some(&["default", secret.as_str()]),
        Some(&[secret.as_str()]),
        Some(&["nobody", secret.as_str()]),
    ] {
        let said = demand_all(relay, login);
        assert!(said.starts_with('-'), "{login:?}: {said:?}");
        for granted in ["+OK", "FULLRESYNC", "CONTINUE", "REDIS0"] {
            assert!(!said.contains(granted), "{login:?}: {said:?}");
        }
    }
    // The right one opens it, so the others were refused for what they were.
    let address = relay.parse().expect("an address");
    let mut replica = ScriptedReplica::builder(address)
        .login(Some(&orders), &secret)
        .connect()
        .expect("the right secret");
    replica.psync_full().expect("an answer");
    fixture.still_replicates(0, "after-hostile-clients");
    fixture.still_replicates(1, "after-hostile-clients");
}

/// Each that follows costs memory, and one secret is for the nodes of one service.
#[test]
fn one_secret_does_not_let_any_number_follow() {
    let fixture = Fixture::start(&["orders"]);
    let address = fixture.gateway.relay.parse().expect("an address");
    let (user, secret) = fixture.login(0);
    let mut mute = Vec::new();
    for _ in 0..20 {
        let builder = ScriptedReplica::builder(address).login(Some(&user), &secret);
        let mut replica = builder.listening_port(0).connect().expect("the right secret");
        replica.psync_full().expect("an answer");
        mute.push(replica);
    }
    // The node itself and two more may follow: the others are hung up on.
    for replica in &mut mute[..18] {
        replica.read_for(DEADLINE).expect_err("it made room");
    }
    fixture.still_replicates(0, "beside-them");
}

#[test]
fn the_relay_survives_what_is_no_handshake() {
    let fixture = Fixture::start(&["orders"]);
    let relay = &fixture.gateway.relay;
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"*1000000000\r\n".to_vec(),
        b"*2\r\n$-5\r\n".to_vec(),
        b"*2\r\n$4\r\nAUTH\r\n$99999999999\r\n".to_vec(),
        b"*x\r\n".to_vec(),
        b"*1\r\n:5\r\n".to_vec(),
        vec![b'a'; 4 << 20],
        [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            &vec![0xA5; 70_000],
        ]
        .concat(),
    ] {
        let said = text(&exchange(relay, &bytes));
        assert!(
            !said.contains("FULLRESYNC") && !said.contains("CONTINUE"),
            "{said:?}"
        );
    }
    fixture.still_replicates(0, "after-garbage");
}

#[test]
fn half_open_handshakes_do_not_keep_a_replica_from_following() {
    let fixture = Fixture::start(&["orders"]);
    let flood: Vec<TcpStream> = (0..FLOOD)
        .map(|_| {
            let mut socket = connect(&fixture.gateway.relay);
            // The relay may let go of the oldest while the newest come.
            drop(socket.write_all(b"*3\r\n$4\r\nAUTH\r\n"));
            socket
        })
        .collect();
    let mut replica = fixture.groups[0].1.client();
    replica
        .cmd(&["CLIENT", "KILL", "TYPE", "MASTER"])
        .expect("it hangs up");
    let since = std::time::Instant::now();
    fixture.still_replicates(0, "after-flood");
    fixture.groups[0].1.wait_link_up();
    // It takes half a minute until the relay gives a silent client up: nobody waited for that.
    assert!(since.elapsed().as_secs() < 15, "{:?}", since.elapsed());
    drop(flood);
}

#[test]
fn the_api_and_discovery_go_on_beside_abuse() {
    let fixture = Fixture::start(&["orders"]);
    let (api, token) = (&fixture.gateway.api, fixture.gateway.token());
    for bytes in [
        b"\x00\x01\x02\x03\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        [&b"GET /"[..], &vec![b'a'; 1 << 20]].concat(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(100),
    ] {
        let said = text(&exchange(api, &bytes));
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said:?}");
    }
    let oversized = ask(api, "POST", "/api/v1/tokens", &token, &" ".repeat(2 << 20));
    assert!(
        oversized.is_empty() || oversized.starts_with("HTTP/1.1 413"),
        "{oversized}"
    );
    // One that never gets to the end of its request stays while a crowd asks at once.
    let mut slow = connect(api);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHos").expect("written");
    let crowd: Vec<_> = (0..CROWD).map(|_| connect(api)).collect();
    let askers = crowd.into_iter().map(|mut socket| {
        thread::spawn(move || {
            socket
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .expect("written");
            text(&read_to_end(&mut socket))
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        let answer = asker.join().expect("it asked");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let given_up = text(&read_to_end(&mut slow));
    assert!(!given_up.contains(" 200 "), "{given_up}");

    let said = text(&exchange(
        &fixture.gateway.discovery,
        b"*2\r\n$4\r\nPING\r\n$99999999999\r\n",
    ));
    assert!(said.starts_with('-'), "{said:?}");
    fixture.gateway.run(&["status", "orders"]).good();
    fixture.still_replicates(0, "after-abuse");
}

/// Without a token nobody changes what a person sees of the audit: neither rows nor the terminal.
#[test]
fn what_is_asked_for_without_a_token_is_text_in_the_audit() {
    let gateway = Gateway::start();
    for name in [
        "x%0A2026-01-01T00:00:00Z%20admin%20token.revoke",
        "x%1B%5B2J%1B%5D0;owned%07",
        "x%E2%80%AEdetaerc",
        &"long".repeat(2000),
    ] {
        let said = ask(
            &gateway.api,
            "DELETE",
            &format!("/api/v1/groups/{name}"),
            "no-token",
            "",
        );
        assert!(
            said.starts_with("HTTP/1.1 40") || said.starts_with("HTTP/1.1 41"),
            "{said}"
        );
    }
    let audit = gateway.run(&["audit"]).good();
    let rows: Vec<_> = audit
        .lines()
        .filter(|line| line.contains("group.delete"))
        .collect();
    assert!(rows.len() >= 3, "{audit}");
    assert!(
        !audit.lines().any(|line| line.starts_with("2026-01-01")),
        "{audit}"
    );
    for harmful in ['\u{1b}', '\u{7}', '\u{202e}'] {
        assert!(!audit.contains(harmful), "{audit:?}");
    }
    assert!(audit.lines().all(|line| line.len() < 1000), "{audit}");
}

#[test]
fn discovery_tells_nothing_without_its_password() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    private_file(&dir.path().join("password"), "discovery-secret");
    let env = [("STERNA_DISCOVERY_PASSWORD_FILE", "password")];
    let gateway = Gateway::start_env_in(dir, &[], &env);
    let said = text(&exchange(
        &gateway.discovery,
        b"SENTINEL MASTERS\r\nAUTH wrong\r\nAUTH wrong\r\nAUTH wrong\r\nAUTH wrong\r\n",
    ));
    assert!(
        said.starts_with("-NOAUTH") && said.contains("-WRONGPASS"),
        "{said}"
    );
    let mut client = connect(&gateway.discovery);
    client
        .write_all(b"AUTH discovery-secret\r\nPING\r\n")
        .expect("written");
    assert_eq!(text(&read_what_is_there(&mut client)), "+OK\r\n+PONG\r\n");
}

#[test]
fn tls_and_plaintext_on_the_wrong_port_are_turned_away() {
    let tls = TestTls::generate().expect("certificates");
    set_permissions(&tls.server_key, Permissions::from_mode(0o600)).expect("chmod");
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (cert, key, ca) = (path(&tls.server_cert), path(&tls.server_key), path(&tls.ca_cert));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let env = [
        ("STERNA_API_TLS_CERT", cert.as_str()),
        ("STERNA_API_TLS_KEY", &key),
        ("STERNA_RELAY_TLS_CERT", &cert),
        ("STERNA_RELAY_TLS_KEY", &key),
        ("STERNA_DISCOVERY_TLS_CERT", &cert),
        ("STERNA_DISCOVERY_TLS_KEY", &key),
    ];
    let secured = Gateway::start_env_in(dir, &[], &env);
    for (port, plain) in [
        (&secured.api, &b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
        (&secured.relay, b"*1\r\n$4\r\nPING\r\n"),
        (&secured.discovery, b"*1\r\n$4\r\nPING\r\n"),
    ] {
        let said = text(&exchange(port, plain));
        assert!(!said.contains("200 OK") && !said.contains("PONG"), "{said:?}");
    }
    secured.run(&["status", "--ca-file", &ca]).good();
    // And TLS at a port that speaks none.
    let plain = Gateway::start();
    let https = plain.api.replace("http://", "https://");
    let said = plain.run(&["status", "--api", &https, "--ca-file", &ca]);
    said.failed(4);
    plain.run(&["status"]).good();
}
