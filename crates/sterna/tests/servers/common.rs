//! What several of these tests need: data, what a node looks like, and how a command ended.

use std::collections::BTreeMap;

use sterna_testkit::{Client, Engine, Server, try_wait_until, wait_until};

use crate::support::{DEADLINE, Link};

/// A node that is to follow: of the engine under test on the replicas' side.
pub(crate) fn replica_node() -> Server {
    let builder = Server::builder().engine(Engine::replica());
    builder.start().expect("started")
}

/// Writes `keys` strings under a prefix, up to 300 bytes each.
pub(crate) fn fill(server: &Server, prefix: &str, keys: usize) {
    let mut client = server.client();
    let commands: Vec<_> = (0..keys)
        .map(|key| vec!["SET".to_owned(), format!("{prefix}:{key}"), "x".repeat(key % 300)])
        .collect();
    client.pipeline(&commands).expect("writes");
}

/// Writes about so many KiB that no compression makes smaller.
pub(crate) fn fill_kib(server: &Server, prefix: &str, kib: u64) {
    let mut client = server.client();
    let mut state = kib | 1;
    for first in (0..kib).step_by(256) {
        let commands: Vec<_> = (first..kib.min(first + 256))
            .map(|key| {
                let noise = std::iter::repeat_with(|| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()
                });
                let value: Vec<u8> = noise.take(128).flatten().collect();
                vec![b"SET".to_vec(), format!("{prefix}:{key}").into_bytes(), value]
            })
            .collect();
        client.pipeline(&commands).expect("writes");
    }
}

/// Writes an RDB file, as soon as no other save is under way (the one for a full copy ends a little after the copy).
pub(crate) fn save(server: &Server) {
    wait_until(DEADLINE, "SAVE", || server.client().cmd(&["SAVE"]));
}

/// A number from `INFO`.
pub(crate) fn info_number(server: &Server, section: &str, field: &str) -> u64 {
    let text = server.client().info_field(section, field).expect("INFO");
    text.parse().unwrap_or_else(|_| panic!("{field}:{text}"))
}

/// How often a primary had to give a full copy.
pub(crate) fn full_syncs(primary: &Server) -> u64 {
    info_number(primary, "stats", "sync_full")
}

/// The primary's own offset.
pub(crate) fn offset(primary: &Server) -> u64 {
    info_number(primary, "replication", "master_repl_offset")
}

/// Waits until the link's log holds everything that the primary has.
pub(crate) fn wait_log_reaches(link: &Link, offset: u64) {
    let reached = try_wait_until(DEADLINE, &format!("offset {offset} in the log"), || {
        let last = link.events("status").pop();
        let end = last.as_ref().and_then(|status| status["log_end"].as_u64());
        match end {
            Some(end) if end >= offset => Ok(()),
            _ => Err(format!("{last:?}")),
        }
    });
    reached.unwrap_or_else(|error| panic!("{error:#}\n{}", link.process().tail()));
}

/// A key's value; `None` where it is missing.
pub(crate) fn get(server: &Server, key: &str) -> Option<String> {
    let reply = server.client().cmd(&["GET", key]).expect("an answer");
    reply
        .bytes()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// `master` or `slave`.
pub(crate) fn role(server: &Server) -> String {
    let reply = server.client().cmd(&["ROLE"]).expect("ROLE");
    reply.array()[0].text()
}

/// What a link that comes to nothing must leave as it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    digest: String,
    role: String,
    settings: BTreeMap<String, String>,
}

impl Footprint {
    pub(crate) fn of(server: &Server) -> Self {
        let mut client = server.client();
        let digest = client.cmd(&["DEBUG", "DIGEST"]).expect("DEBUG DIGEST").text();
        let all = client.cmd(&["CONFIG", "GET", "*"]).expect("CONFIG GET");
        let settings = all.array().chunks(2).map(|pair| (pair[0].text(), pair[1].text()));
        Self {
            digest,
            role: role_line(&mut client),
            settings: settings.collect(),
        }
    }

    /// The digest of its data.
    pub(crate) fn data(&self) -> &str {
        &self.digest
    }
}

fn role_line(client: &mut Client) -> String {
    let role = client.cmd(&["ROLE"]).expect("ROLE");
    // A primary's offset moves on with its own PINGs.
    match role.array() {
        [name, ..] if name.text() == "master" => "master".to_owned(),
        [name, host, port, ..] => format!("{} of {}:{}", name.text(), host.text(), port.text()),
        _ => format!("{role:?}"),
    }
}

/// The link ends by itself: with this code, and with one message that says all of these words.
#[track_caller]
pub(crate) fn ends_with(link: &Link, code: i32, words: &[&str]) -> String {
    let (ended, said) = link.ended();
    let shown = format!("{said}\n{}", link.process().tail());
    assert_eq!(ended, code, "{shown}");
    assert_eq!(
        said.lines().filter(|line| line.starts_with("error: ")).count(),
        1,
        "not one message: {shown}"
    );
    assert!(!said.contains("panicked"), "{shown}");
    assert!(
        said.matches("(os error").count() <= 1,
        "a cause is repeated: {shown}"
    );
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {shown}");
    }
    said
}

/// Starts the link, which must end by itself and leave every one of the nodes as it was.
#[track_caller]
pub(crate) fn refuses(mut link: Link, untouched: &[&Server], code: i32, words: &[&str]) {
    let before: Vec<_> = untouched.iter().map(|server| Footprint::of(server)).collect();
    link.start();
    ends_with(&link, code, words);
    let after: Vec<_> = untouched.iter().map(|server| Footprint::of(server)).collect();
    assert_eq!(before, after, "a node was changed");
}
