use sterna_model::Routes;
use sterna_protocol::NodeAddress;

use super::*;
use crate::answers::Identity;
use crate::observed::Observed;
use crate::samples::{route, routes};

const ID: &str = "0123456789abcdef0123456789abcdef01234567";
const NOW: Duration = Duration::from_secs(100);

/// A session and what it talks about.
struct Talk {
    session: Session,
    observed: Observed,
    identity: Identity,
}

impl Talk {
    fn about(routes: Routes, password: Option<&str>) -> Self {
        let peer = ([127, 0, 0, 1], 5000).into();
        let logins = password.map_or_else(Logins::default, |password| {
            let default = Logins::with_default(Secret::new(password));
            default.and(b"web:of web").expect("a user")
        });
        Self {
            session: Session::new(7, peer, logins, NOW),
            observed: Observed::first(routes.into(), NOW),
            identity: Identity {
                address: ([127, 0, 0, 1], 7802).into(),
                id: ID.to_owned(),
                announce: Some(NodeAddress::new("discovery.example", 26379)),
            },
        }
    }

    fn open() -> Self {
        Self::about(
            routes([route("m1", "a.example", &["b.example", "c.example"])]),
            None,
        )
    }

    fn step(&mut self, line: &str) -> (String, Flow) {
        self.step_words(&line.split(' ').collect::<Vec<_>>())
    }

    fn step_words(&mut self, words: &[&str]) -> (String, Flow) {
        let args = words
            .iter()
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect();
        let facts = Facts {
            observed: &self.observed,
            now: NOW,
            identity: &self.identity,
            connections: 3,
        };
        let mut out = BytesMut::new();
        let flow = self.session.on(Incoming::Command(args), &facts, &mut out);
        (String::from_utf8_lossy(&out).replace("\r\n", "|"), flow)
    }

    /// The bytes of the answer, with `|` for the end of a line.
    fn say(&mut self, line: &str) -> String {
        let (answer, flow) = self.step(line);
        assert_eq!(flow, Flow::Continue, "{line}: {answer}");
        answer
    }
}

#[test]
fn the_primary_is_named_also_while_it_is_down() {
    let mut group = route("m1", "a.example", &["b.example"]);
    group.primary_down = true;
    group.failover_possible = false;
    let mut talk = Talk::about(routes([group]), None);
    assert_eq!(
        talk.say("SENTINEL GET-MASTER-ADDR-BY-NAME m1"),
        "*2|$9|a.example|$4|6379|"
    );
    let master = talk.say("SENTINEL MASTER m1");
    assert!(master.contains("|s_down,o_down,master,disconnected|"), "{master}");
    assert!(
        talk.say("INFO sentinel")
            .contains("status=odown,address=a.example:6379,slaves=1,sentinels=1|")
    );
    assert!(
        talk.say("SENTINEL CKQUORUM m1")
            .starts_with("-NOQUORUM 1 usable Sentinels.")
    );
    assert_eq!(
        talk.say("SENTINEL IS-MASTER-DOWN-BY-ADDR a.example 6379 0 *"),
        "*3|:1|$1|*|:0|"
    );
    assert_eq!(
        talk.say("SENTINEL IS-MASTER-DOWN-BY-ADDR b.example 6379 0 *"),
        "*3|:0|$1|*|:0|"
    );
}

#[test]
fn unknown_names_are_answered_as_by_a_real_sentinel() {
    let mut talk = Talk::open();
    assert_eq!(talk.say("SENTINEL GET-MASTER-ADDR-BY-NAME no"), "*-1|");
    for question in ["MASTER", "REPLICAS", "SLAVES", "SENTINELS", "CKQUORUM"] {
        assert_eq!(
            talk.say(&format!("SENTINEL {question} no")),
            "-ERR No such master with that name|"
        );
    }
    talk.say("HELLO 3");
    assert_eq!(talk.say("SENTINEL GET-MASTER-ADDR-BY-NAME no"), "_|");
}

#[test]
fn maps_are_maps_in_resp3_and_flat_arrays_before() {
    let mut talk = Talk::open();
    assert!(
        talk.say("SENTINEL MASTERS")
            .starts_with("*1|*40|$4|name|$2|m1|$2|ip|$9|a.example|")
    );
    assert!(
        talk.say("SENTINEL REPLICAS m1")
            .starts_with("*2|*46|$4|name|$14|b.example:6379|")
    );
    assert_eq!(
        talk.say("HELLO 3 SETNAME web"),
        "%6|$6|server|$5|redis|$7|version|$5|7.2.4|$5|proto|:3|$2|id|:7|$4|mode|$8|sentinel|$7|modules|*0|"
    );
    assert!(talk.say("SENTINEL MASTERS").starts_with("*1|%20|"));
    assert!(talk.say("SENTINEL REPLICAS m1").starts_with("*2|%23|"));
    assert_eq!(talk.say("SENTINEL SENTINELS m1"), "*0|");
    assert_eq!(talk.say("CLIENT GETNAME"), "$3|web|");
    assert!(talk.say("HELLO 2").starts_with("*12|"));
}

#[test]
fn it_says_what_it_is() {
    let mut talk = Talk::open();
    assert_eq!(talk.say("ROLE"), "*2|$8|sentinel|*1|$2|m1|");
    assert_eq!(talk.say("SENTINEL MYID"), format!("$40|{ID}|"));
    assert_eq!(talk.say("PING"), "+PONG|");
    assert_eq!(talk.say("PING hi"), "$2|hi|");
    assert_eq!(talk.say("CLIENT ID"), ":7|");
    assert!(
        talk.say("CLIENT INFO")
            .contains("id=7 addr=127.0.0.1:5000 laddr=127.0.0.1:7802")
    );
    let info = talk.say("INFO");
    for part in [
        "|redis_mode:sentinel|",
        "|tcp_port:7802|",
        "|connected_clients:3|",
        "|sentinel_masters:1|",
    ] {
        assert!(info.contains(part), "{part} in {info}");
    }
    assert_eq!(talk.say("INFO keyspace"), "$0||");
    assert_eq!(
        talk.say("SENTINEL CONFIG GET announce-*"),
        "*6|$18|announce-hostnames|$3|yes|$11|announce-ip|$17|discovery.example|$13|announce-port|$5|26379|"
    );
    assert_eq!(
        talk.say("SENTINEL CKQUORUM m1"),
        "+OK 1 usable Sentinels. Quorum and failover authorization can be reached|"
    );
}

#[test]
fn nothing_is_told_before_the_password() {
    let mut talk = Talk::about(routes([route("m1", "a.example", &[])]), Some("hunter2"));
    for line in [
        "PING",
        "SENTINEL MASTERS",
        "INFO",
        "SUBSCRIBE +switch-master",
        "COMMAND",
        "NOPE",
        "PING a b",
    ] {
        assert_eq!(talk.say(line), "-NOAUTH Authentication required.|", "{line}");
    }
    assert!(
        talk.say("HELLO 3")
            .starts_with("-NOAUTH HELLO must be called with the client already")
    );
    assert!(!talk.session.is_trusted());
    assert!(talk.say("AUTH hunter3").starts_with("-WRONGPASS "));
    assert!(talk.say("AUTH somebody hunter2").starts_with("-WRONGPASS "));
    assert!(talk.say("HELLO 3 AUTH default hunter2").starts_with("%6|"));
    assert!(talk.session.is_trusted());
    assert_eq!(talk.say("PING"), "+PONG|");
}

#[test]
fn every_user_has_a_password_of_its_own() {
    let mut talk = Talk::about(routes([route("m1", "a.example", &[])]), Some("hunter2"));
    assert!(talk.say("AUTH web hunter2").starts_with("-WRONGPASS "));
    let hello = talk.step("HELLO 2 AUTH web x").0;
    assert!(hello.starts_with("-WRONGPASS "), "{hello}");
    let mut talk = Talk::about(routes([route("m1", "a.example", &[])]), Some("hunter2"));
    talk.step_words(&["AUTH", "web", "of web"]);
    assert!(talk.say("CLIENT INFO").contains(" user=web "));
    assert_eq!(talk.say("ROLE"), "*2|$8|sentinel|*1|$2|m1|");
}

#[test]
fn passwords_can_not_be_tried_for_ever() {
    let mut talk = Talk::about(Routes::default(), Some("hunter2"));
    for _ in 1..AUTH_FAILURES_MAX {
        talk.say("HELLO 2 AUTH default guess");
    }
    let (answer, flow) = talk.step("AUTH default guess");
    assert!(answer.starts_with("-WRONGPASS "), "{answer}");
    assert_eq!(flow, Flow::Close("too many wrong passwords"));
    assert!(!format!("{:?}", talk.session).contains("hunter2"));
}

#[test]
fn without_a_password_the_default_user_takes_any() {
    let mut talk = Talk::open();
    assert!(!talk.session.is_trusted());
    assert!(
        talk.say("AUTH x")
            .starts_with("-ERR AUTH <password> called without any password")
    );
    assert_eq!(talk.say("AUTH default x"), "+OK|");
    assert!(talk.say("AUTH somebody x").starts_with("-WRONGPASS "));
    assert!(talk.session.is_trusted());
}

#[test]
fn a_subscriber_of_resp2_may_say_little_else() {
    let mut talk = Talk::open();
    assert_eq!(
        talk.say("SUBSCRIBE +switch-master"),
        "*3|$9|subscribe|$14|+switch-master|:1|"
    );
    assert_eq!(talk.say("PING"), "*2|$4|pong|$0||");
    assert_eq!(talk.say("PING hi"), "*2|$4|pong|$2|hi|");
    assert!(talk.say("INFO").starts_with("-ERR Can't execute 'info': only "));
    assert!(
        talk.say("HELLO 3")
            .starts_with("-ERR Can't execute 'hello': only ")
    );
    assert_eq!(
        talk.say("UNSUBSCRIBE"),
        "*3|$11|unsubscribe|$14|+switch-master|:0|"
    );
    assert_eq!(talk.say("UNSUBSCRIBE"), "*3|$11|unsubscribe|$-1|:0|");
    assert_eq!(talk.say("PING"), "+PONG|");
    assert_eq!(
        talk.step("QUIT"),
        ("+OK|".to_owned(), Flow::Close("it said goodbye"))
    );
}

#[test]
fn a_subscriber_of_resp3_may_ask_on_and_is_pushed_to() {
    let mut talk = Talk::open();
    talk.say("HELLO 3");
    assert_eq!(talk.say("PSUBSCRIBE *"), ">3|$10|psubscribe|$1|*|:1|");
    assert_eq!(talk.say("PING"), "+PONG|");
    assert_eq!(talk.say("ROLE"), "*2|$8|sentinel|*1|$2|m1|");
    let event = Event::switch_master("m1", ("a", 1), ("b", 2));
    let mut out = BytesMut::new();
    talk.session.publish(&event, &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out).replace("\r\n", "|"),
        ">4|$8|pmessage|$1|*|$14|+switch-master|$10|m1 a 1 b 2|"
    );
}
