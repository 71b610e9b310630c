//! Bad input that the checks before the start find: one message, the right exit code, and nothing changed anywhere.

use sterna_testkit::{ScriptedPrimary, Server, TestTls, WebServer, reserve_port};

use crate::common::{Footprint, ends_with, fill, refuses, replica_node};
use crate::support::{Link, url};

const REFUSED: i32 = 3;
const SERVER: i32 = 4;

/// A primary with keys, and an empty node that could follow it.
fn pair() -> (Server, Server) {
    let (primary, target) = (Server::start(), replica_node());
    fill(&primary, "key", 10);
    (primary, target)
}

fn locked() -> Server {
    Server::builder()
        .password("right-secret")
        .start()
        .expect("started")
}

fn tls_url(server: &Server, parameters: &str) -> String {
    let port = server.tls_port().expect("a TLS port");
    format!("rediss://127.0.0.1:{port}?{parameters}")
}

#[test]
fn a_wrong_password_for_the_source() {
    let (primary, target) = (locked(), Server::start());
    let link = Link::new(url(&primary), &[&target]).env("STERNA_FROM_PASSWORD", "wrong-secret");
    refuses(
        link,
        &[&primary, &target],
        SERVER,
        &["from: ", "refused the login"],
    );
}

#[test]
fn a_wrong_password_for_the_target() {
    let (primary, target) = (Server::start(), locked());
    let link = Link::new(url(&primary), &[&target]).env("STERNA_TO_PASSWORD", "wrong-secret");
    refuses(
        link,
        &[&primary, &target],
        SERVER,
        &["to 127.0.0.1", "refused the login"],
    );
}

#[test]
fn a_missing_password() {
    let (primary, target) = (locked(), Server::start());
    let link = Link::new(url(&primary), &[&target]);
    refuses(
        link,
        &[&primary, &target],
        SERVER,
        &["wants a password and none was given"],
    );
}

#[test]
fn a_user_that_the_target_does_not_have() {
    let (primary, target) = pair();
    let to = format!("redis://nobody@{}", target.address());
    let link = Link::new(url(&primary), &[])
        .to(to)
        .env("STERNA_TO_PASSWORD", "any");
    refuses(
        link,
        &[&primary, &target],
        SERVER,
        &["refused the login as user \"nobody\""],
    );
}

#[test]
fn a_user_with_too_few_rights_at_either_side() {
    let rules = "operator on >pass ~* +@all -psync -replicaof";
    let limited = || Server::builder().config("user", rules).start().expect("started");
    let (primary, target) = (limited(), limited());
    let from = format!("redis://operator@{}", primary.address());
    let link = Link::new(from, &[&target]).env("STERNA_FROM_PASSWORD", "pass");
    refuses(
        link,
        &[&primary, &target],
        REFUSED,
        &["user operator may not run PSYNC"],
    );

    let to = format!("redis://operator@{}", target.address());
    let link = Link::new(url(&primary), &[])
        .to(to)
        .env("STERNA_TO_PASSWORD", "pass");
    refuses(
        link,
        &[&primary, &target],
        REFUSED,
        &["user operator may not run REPLICAOF"],
    );
}

#[test]
fn a_password_on_the_command_line() {
    let (primary, target) = pair();
    let from = format!("redis://:sesame@{}", primary.address());
    let mut link = Link::new(from, &[&target]);
    let before = Footprint::of(&target);
    link.start();
    let said = ends_with(
        &link,
        REFUSED,
        &["--from has a password in it", "STERNA_FROM_PASSWORD"],
    );
    assert!(!said.contains("sesame"), "{said}");
    assert_eq!(before, Footprint::of(&target));
}

#[test]
fn a_certificate_that_another_authority_signed() {
    let tls = TestTls::generate().expect("certificates");
    let secure = || {
        Server::builder()
            .tls_for_clients_only(&tls)
            .start()
            .expect("started")
    };
    let (primary, target) = (secure(), secure());
    let wrong = format!("cacert={}", tls.wrong_ca_cert.display());
    let words = ["CA that is not trusted here"];
    let link = Link::new(tls_url(&primary, &wrong), &[&target]);
    refuses(link, &[&primary, &target], SERVER, &words);
    let link = Link::new(url(&primary), &[]).to(tls_url(&target, &wrong));
    refuses(link, &[&primary, &target], SERVER, &words);
}

#[test]
fn a_certificate_for_another_name() {
    let tls = TestTls::generate().expect("certificates");
    let primary = Server::builder()
        .tls_for_clients_only(&tls)
        .start()
        .expect("started");
    let target = Server::start();
    let from = tls_url(
        &primary,
        &format!("cacert={}&sni=db.example", tls.ca_cert.display()),
    );
    let words = ["not for \"db.example\"", "localhost", "sni=NAME"];
    refuses(Link::new(from, &[&target]), &[&primary, &target], SERVER, &words);
}

#[test]
fn nothing_listens_there() {
    let (primary, target) = pair();
    let nobody = reserve_port().expect("a free port");
    let nowhere = format!("redis://127.0.0.1:{}", nobody.number());
    let link = Link::new(nowhere.clone(), &[&target]);
    refuses(
        link,
        &[&target],
        SERVER,
        &["from: ", "the connection was refused"],
    );
    let link = Link::new(url(&primary), &[]).to(nowhere);
    refuses(
        link,
        &[&primary],
        SERVER,
        &["to 127.0.0.1", "the connection was refused"],
    );
}

#[test]
fn a_name_that_does_not_resolve() {
    let (_, target) = pair();
    let link = Link::new("redis://no-such-host.invalid:6379", &[&target]);
    refuses(
        link,
        &[&target],
        SERVER,
        &["no-such-host.invalid:6379", "the name does not resolve"],
    );
}

#[test]
fn a_web_server_in_place_of_either_side() {
    let (primary, target) = pair();
    let web = WebServer::start().expect("a web server");
    let address = format!("redis://{}", web.address());
    let words = ["a web server, not Redis or Valkey"];
    refuses(Link::new(address.clone(), &[&target]), &[&target], SERVER, &words);
    refuses(
        Link::new(url(&primary), &[]).to(address),
        &[&primary],
        SERVER,
        &words,
    );
}

#[test]
fn engines_that_only_look_like_redis() {
    let (primary, target) = pair();
    for (field, value, name) in [
        ("dragonfly_version", "df-v1.40.1", "this is Dragonfly"),
        ("mvcc_depth", "0", "this is KeyDB"),
    ] {
        let other = ScriptedPrimary::builder().info(field, value).start(|_, _| Ok(()));
        let other = other.expect("a scripted server");
        let address = format!("redis://{}", other.address());
        refuses(
            Link::new(address.clone(), &[&target]),
            &[&target],
            SERVER,
            &[name],
        );
        refuses(
            Link::new(url(&primary), &[]).to(address),
            &[&primary],
            SERVER,
            &[name],
        );
        assert_eq!(other.psyncs(), 0);
    }
}

#[test]
fn a_member_of_a_cluster() {
    let (_, target) = pair();
    let member = Server::builder().cluster().start().expect("started");
    let words = ["member of a Redis Cluster, which can't be replicated yet"];
    refuses(
        Link::new(url(&member), &[&target]),
        &[&member, &target],
        REFUSED,
        &words,
    );
}

#[test]
fn a_target_with_keys_and_no_overwrite() {
    let (primary, target) = pair();
    fill(&target, "precious", 3);
    let words = ["it holds 3 keys", "replication would delete"];
    refuses(
        Link::new(url(&primary), &[&target]),
        &[&primary, &target],
        REFUSED,
        &words,
    );
}

#[test]
fn the_source_as_its_own_target() {
    let (primary, _) = pair();
    let other_name = format!("redis://localhost:{}", primary.port());
    let link = Link::new(url(&primary), &[]).to(other_name);
    refuses(link, &[&primary], REFUSED, &["it is the source itself"]);
}

#[test]
fn a_target_from_which_the_source_replicates() {
    let (top, _) = pair();
    let middle = top.start_replica();
    middle.wait_link_up();
    let words = ["the source replicates from it", "in a ring"];
    refuses(
        Link::new(url(&middle), &[&top]),
        &[&top, &middle],
        REFUSED,
        &words,
    );
}
