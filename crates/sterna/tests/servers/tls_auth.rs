//! TLS and logins, to source and target and from the targets to the relay.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use sterna_testkit::process::Source;
use sterna_testkit::{Client, Engine, Server, TestTls, digests_equal};

use crate::common::{fill, get, replica_node, role};
use crate::support::{DEADLINE, Link, run, url};

fn certificates() -> TestTls {
    TestTls::generate().expect("certificates")
}

fn tls_url(server: &Server, tls: &TestTls) -> String {
    format!(
        "rediss://127.0.0.1:{}?cacert={}&cert={}&key={}",
        server.tls_port().expect("a TLS port"),
        tls.ca_cert.display(),
        tls.client_cert.display(),
        tls.client_key.display(),
    )
}

/// The password with which nodes log in to the relay.
fn relay_secret(link: &Link) -> String {
    let text = fs::read(link.data_dir().join("link.json")).expect("link.json");
    let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    json["secret"].as_str().expect("a secret").to_owned()
}

#[test]
fn source_target_and_relay_over_tls_with_client_certificates() {
    let tls = certificates();
    let secure = || {
        Server::builder()
            .tls(&tls)
            .config("tls-auth-clients", "yes")
            .start()
    };
    let (primary, replica) = (secure().expect("started"), secure().expect("started"));
    fill(&primary, "key", 500);
    let (cert, key, ca) = (&tls.server_cert, &tls.server_key, &tls.ca_cert);
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let mut link = Link::new(tls_url(&primary, &tls), &[])
        .to(tls_url(&replica, &tls))
        .with(&[
            "--relay-tls-cert",
            &path(cert),
            "--relay-tls-key",
            &path(key),
            "--relay-tls-client-ca",
            &path(ca),
        ]);
    link.start_and_follow();
    fill(&primary, "more", 500);
    digests_equal(&primary, &replica).expect("equal");

    // Who speaks plain TCP to the relay gets no word of the stream.
    let plain = Client::connect((Ipv4Addr::LOCALHOST, link.relay_port));
    assert!(plain.and_then(|mut plain| plain.raw(&["PING"])).is_err());

    // What the link was told once serves again after a restart.
    link.kill9();
    fill(&primary, "away", 500);
    link.start();
    link.wait_for("replica-resumed");
    digests_equal(&primary, &replica).expect("equal");

    // And its own promote finds it there.
    let data = link.data_dir().to_str().expect("a path");
    let (code, out, err) = run(&["promote", "--to", &tls_url(&replica, &tls), "--data-dir", data]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(get(&replica, "away:499").is_some());
    assert_eq!(role(&replica), "master");
}

#[test]
fn a_target_that_replicates_over_tls_is_told_to_speak_plain_to_a_plain_relay_and_gets_its_setting_back() {
    let tls = certificates();
    let primary = Server::start();
    let replica = Server::builder()
        .engine(Engine::replica())
        .tls(&tls)
        .start()
        .expect("started");
    let setting = || {
        let reply = replica
            .client()
            .cmd(&["CONFIG", "GET", "tls-replication"])
            .expect("CONFIG");
        reply.array()[1].text()
    };
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    assert_eq!(setting(), "no");
    assert_eq!(link.interrupt(), 0);
    let data = link.data_dir().to_str().expect("a path");
    let (code, out, err) = run(&["promote", "--to", &url(&replica), "--data-dir", data]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(setting(), "yes");
}

#[test]
fn the_name_to_be_verified_is_sent_to_the_server() {
    let tls = certificates();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let from = format!(
        "rediss://{address}?cacert={}&sni=orders.db.example",
        tls.ca_cert.display()
    );
    let target = Server::start();
    let mut link = Link::new(from, &[&target]);
    link.start();
    let (mut greeting, _) = listener.accept().expect("a connection");
    greeting.set_read_timeout(Some(DEADLINE)).expect("set");
    let mut hello = [0; 2048];
    let length = greeting.read(&mut hello).expect("a greeting");
    let name = b"orders.db.example";
    assert!(hello[..length].windows(name.len()).any(|part| part == name));
    drop((greeting, listener));
    assert_eq!(link.ended().0, 4);
}

#[test]
fn users_and_passwords_from_files_and_variables_are_shown_nowhere() {
    let secrets = ["from-pass-31415", "to-pass-27182"];
    let primary = Server::builder()
        .user("reader", secrets[0])
        .start()
        .expect("started");
    let replica = Server::builder()
        .engine(Engine::replica())
        .user("keeper", secrets[1])
        .start()
        .expect("started");
    fill(&primary, "key", 100);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("to.password");
    fs::write(&file, format!("{}\n", secrets[1])).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
    let from = format!("redis://reader@{}", primary.address());
    let mut link = Link::new(from, &[])
        .to(format!("redis://keeper@{}", replica.address()))
        .with(&["--to-password-file", file.to_str().expect("a path")])
        .env("STERNA_FROM_PASSWORD", secrets[0])
        .env("STERNA_LOG", "trace");
    link.start_and_follow();
    fill(&primary, "more", 100);
    digests_equal(&primary, &replica).expect("equal");

    let command_line = fs::read(format!("/proc/{}/cmdline", link.process().pid())).expect("it runs");
    let relay = relay_secret(&link);
    let said = [
        String::from_utf8_lossy(&command_line).into_owned(),
        link.process().text(Source::Stdout),
        link.process().text(Source::Stderr),
    ];
    assert!(
        said[2].contains("INFO"),
        "the logs were to be looked through: {}",
        said[2]
    );
    for secret in secrets.iter().copied().chain([relay.as_str()]) {
        for text in &said {
            assert!(!text.contains(secret), "{secret} in: {text}");
        }
    }
    let stored = fs::read_to_string(link.data_dir().join("link.json")).expect("link.json");
    assert!(
        !stored.contains(secrets[0]) && !stored.contains(secrets[1]),
        "{stored}"
    );
    let mode = fs::metadata(link.data_dir().join("link.json"))
        .expect("link.json")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_password_file_that_anybody_can_read_is_warned_of_and_a_missing_one_refused() {
    let primary = Server::builder().password("right").start().expect("started");
    let target = Server::start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("password");
    let link = |file: &std::path::Path| {
        let file = file.to_str().expect("a path");
        Link::new(url(&primary), &[&target]).with(&["--from-password-file", file])
    };
    crate::common::refuses(link(&file), &[&target], 5, &["password"]);
    fs::write(&file, "right").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
    let mut link = link(&file);
    link.start_and_follow();
    let said = link.process().text(Source::Stderr);
    assert!(said.contains("warning: ") && said.contains("password"), "{said}");
}

#[test]
fn a_node_without_the_relays_secret_gets_nothing() {
    let (primary, replica) = (Server::start(), replica_node());
    fill(&primary, "key", 100);
    let mut link = Link::new(url(&primary), &[&replica]);
    link.start_and_follow();
    let relay = (Ipv4Addr::LOCALHOST, link.relay_port).into();
    let stranger = |password: Option<&str>| {
        let builder = Server::builder()
            .engine(Engine::replica())
            .replica_of_address(relay);
        let builder = match password {
            Some(password) => builder
                .config("masteruser", "sterna")
                .config("masterauth", password),
            None => builder,
        };
        builder.start().expect("started")
    };
    let strangers = [
        (stranger(None), "NOAUTH Authentication required"),
        (stranger(Some("guessed")), "WRONGPASS"),
    ];
    for (node, refusal) in &strangers {
        node.wait_for_log(refusal, DEADLINE).expect("it is refused");
        assert_eq!(node.client().cmd(&["DBSIZE"]).expect("an answer").int(), Some(0));
        assert_eq!(role(node), "slave");
    }
    let right = stranger(Some(&relay_secret(&link)));
    right.wait_link_up();
    digests_equal(&primary, &right).expect("equal");

    // Anybody may try a few passwords on a connection, not many.
    let mut guesser = Client::connect(relay).expect("connected");
    guesser.set_timeout(Duration::from_secs(10)).expect("set");
    for _ in 0..3 {
        let answer = guesser.raw(&["AUTH", "sterna", "guess"]).expect("an answer");
        assert!(answer.text().starts_with("WRONGPASS"), "{answer:?}");
    }
    assert!(guesser.raw(&["AUTH", "sterna", "guess"]).is_err());
}
