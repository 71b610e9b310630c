//! The same questions to a real Sentinel and to the endpoint, about the same servers.

use std::time::Duration;

use sterna_model::Route;
use sterna_protocol::resp::Value;
use sterna_testkit::server::SentinelServer;
use sterna_testkit::{Engine, EngineKind, Server, wait_until};

use crate::support::{GROUP, Running, route, settings};
use crate::wire::{Wire, fields};

const DEADLINE: Duration = Duration::from_secs(60);
/// Fields whose values differ by what they are: times, counters, and the run id, which is not known here.
const OWN_VALUES: [&str; 10] = [
    "runid",
    "link-pending-commands",
    "last-ping-sent",
    "last-ok-ping-reply",
    "last-ping-reply",
    "info-refresh",
    "role-reported-time",
    "s-down-time",
    "o-down-time",
    "master-link-down-time",
];
/// Values that are the configuration of the Sentinel that is compared with.
const CONFIGURED: [&str; 2] = ["failover-timeout", "slave-repl-offset"];

/// Questions whose answers are the same to the byte, about a group and servers that nobody knows.
const SAME_ANSWERS: [&str; 41] = [
    "PING",
    "PING hi",
    "PING a b",
    "ROLE",
    "ROLE x",
    "SENTINEL GET-MASTER-ADDR-BY-NAME m1",
    "SENTINEL GET-MASTER-ADDR-BY-NAME nobody",
    "SENTINEL GET-MASTER-ADDR-BY-NAME",
    "SENTINEL SENTINELS m1",
    "SENTINEL SENTINELS nobody",
    "SENTINEL MASTER nobody",
    "SENTINEL MASTER",
    "SENTINEL MASTER m1 x",
    "SENTINEL REPLICAS nobody",
    "SENTINEL SLAVES nobody",
    "SENTINEL CKQUORUM m1",
    "SENTINEL CKQUORUM nobody",
    "SENTINEL MYID x",
    "SENTINEL PENDING-SCRIPTS",
    "SENTINEL NOPE",
    "SENTINEL",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 192.0.2.1 6379 0 *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 192.0.2.1 x 0 *",
    "AUTH",
    "AUTH x",
    "AUTH nobody x",
    "AUTH default x",
    "HELLO 4",
    "HELLO x",
    "CLIENT GETNAME",
    "CLIENT SETNAME web",
    "CLIENT NOPE",
    "CLIENT TRACKING ON OPTIN",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING maybe",
    "CLIENT TRACKING",
    "CLIENT HELP x",
    "COMMAND HELP x",
    "COMMAND NOPE",
    "INFO nothing",
    "SUBSCRIBE",
];
/// The conversation of a subscriber. Leaving with no subscription at all is an error in Valkey and none in Redis and here.
const SUBSCRIBER: [&str; 7] = [
    "SUBSCRIBE +switch-master",
    "PSUBSCRIBE *",
    "PING",
    "PING hi",
    "UNSUBSCRIBE +switch-master",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE *",
];

struct Pair {
    engine: Engine,
    primary: Server,
    replica: Server,
    sentinel: SentinelServer,
    endpoint: Running,
}

impl Pair {
    /// A primary with a replica of this priority, which a Sentinel of this engine watches.
    fn start(engine: &Engine, priority: u32) -> Self {
        let primary = Server::start();
        let replica = Server::builder()
            .config("replica-priority", &priority.to_string())
            .replica_of(&primary)
            .start()
            .expect("a server");
        replica.wait_link_up();
        let sentinel = SentinelServer::start(engine.clone(), GROUP, &primary, 1).expect("a Sentinel");
        let endpoint = Running::start(settings(), route(0, primary.port(), replica.port()));
        let pair = Self {
            engine: engine.clone(),
            primary,
            replica,
            sentinel,
            endpoint,
        };
        // It hears of the replica when it asks its primary for the first time, and of the rest a little later.
        let mut wire = Wire::connect(pair.sentinel.address(), 2);
        wait_until(DEADLINE, "the Sentinel to know the replica", || {
            let replicas = wire.ask("SENTINEL REPLICAS m1");
            match replicas.as_array() {
                Some([replica]) if value_of(&fields(replica), "master-link-status") == "ok" => Ok(()),
                _ => Err(format!("{replicas:?}")),
            }
        });
        pair
    }

    fn route(&self) -> Route {
        route(0, self.primary.port(), self.replica.port())
    }

    /// The same question to both, in a version of RESP.
    fn ask(&self, question: &str, resp: u8) -> (Value, Value) {
        (
            Wire::connect(self.sentinel.address(), resp).ask(question),
            Wire::connect(self.endpoint.address, resp).ask(question),
        )
    }
}

/// The engine under test, and every other one that is here.
fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::default()];
    engines.extend(Engine::installed());
    engines.dedup_by(|a, b| a.name == b.name);
    engines
}

#[test]
fn fields_and_answers_are_those_of_a_real_sentinel() {
    for engine in engines() {
        let pair = Pair::start(&engine, 100);
        for resp in [2, 3] {
            compare_fields(&pair, resp);
            for question in SAME_ANSWERS {
                let (real, own) = pair.ask(question, resp);
                assert_eq!(own, real, "{} RESP{resp}: {question}", engine.name);
            }
            let mut real = Wire::connect(pair.sentinel.address(), resp);
            let mut own = Wire::connect(pair.endpoint.address, resp);
            for line in SUBSCRIBER {
                assert_eq!(
                    own.ask(line),
                    real.ask(line),
                    "{} RESP{resp}: {line}",
                    engine.name
                );
            }
        }
        compare_info(&pair);
        compare_hello(&pair);
        compare_help(&pair);
    }
}

#[test]
fn a_primary_that_is_down_is_told_as_by_a_real_sentinel() {
    // A replica that no Sentinel would promote, so that the primary stays what it is.
    let mut pair = Pair::start(&Engine::default(), 0);
    pair.primary.kill9();
    let mut wire = Wire::connect(pair.sentinel.address(), 2);
    wait_until(DEADLINE, "the Sentinel to call the primary down", || {
        let master = fields(&wire.ask("SENTINEL MASTER m1"));
        match value_of(&master, "flags") {
            "s_down,o_down,master,disconnected" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    let mut down = pair.route();
    down.primary_down = true;
    let mut listener = Wire::connect(pair.endpoint.address, 2);
    listener.ask("SUBSCRIBE +odown");
    pair.endpoint.publish(down);
    // Who hears of it and asks is answered from it.
    listener.next();
    wait_until(
        DEADLINE,
        "the Sentinel to see that the replica hears no primary",
        || {
            let (real, own) = pair.ask("SENTINEL REPLICAS m1", 2);
            let links = [real, own].map(|answer| {
                let replica = fields(&answer.as_array().expect("replicas")[0]);
                ["flags", "master-link-status"].map(|name| value_of(&replica, name).to_owned())
            });
            (links[0] == ["slave", "err"] && links[1] == links[0])
                .then_some(())
                .ok_or_else(|| format!("{links:?}"))
        },
    );
    let address = format!(
        "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 {} 0 *",
        pair.primary.port()
    );
    for resp in [2, 3] {
        let (real, own) = pair.ask("SENTINEL MASTER m1", resp);
        compare_instances(&real, &own);
        for question in [&address, "SENTINEL GET-MASTER-ADDR-BY-NAME m1"] {
            let (real, own) = pair.ask(question, resp);
            assert_eq!(own, real, "{question}");
        }
    }
    compare_info(&pair);
}

fn compare_fields(pair: &Pair, resp: u8) {
    let (real, own) = pair.ask("SENTINEL MASTER m1", resp);
    compare_instances(&real, &own);
    for question in ["SENTINEL MASTERS", "SENTINEL REPLICAS m1", "SENTINEL SLAVES m1"] {
        let (real, own) = pair.ask(question, resp);
        let (real, own) = (real.as_array(), own.as_array());
        let (Some([real]), Some([own])) = (real, own) else {
            panic!("{question}: {real:?} and {own:?}");
        };
        compare_instances(real, own);
    }
}

/// The same fields in the same order, as a map or as an array, with the same values where they can be the same.
fn compare_instances(real: &Value, own: &Value) {
    assert_eq!(matches!(real, Value::Map(_)), matches!(own, Value::Map(_)));
    let (real, own) = (fields(real), fields(own));
    let names = |fields: &[(String, String)]| -> Vec<String> {
        fields.iter().map(|(name, _)| name.clone()).collect()
    };
    let known: Vec<_> = names(&own)
        .into_iter()
        .filter(|name| !name.starts_with("sterna-"))
        .collect();
    assert_eq!(known, names(&real));
    for ((name, real), (_, own)) in real.iter().zip(&own) {
        if name == "runid" {
            assert!(own.is_empty(), "{own}");
        } else if OWN_VALUES.contains(&name.as_str()) || CONFIGURED.contains(&name.as_str()) {
            assert!(
                own.parse::<u64>().is_ok() && real.parse::<u64>().is_ok(),
                "{name}: {own}, {real}"
            );
        } else {
            assert_eq!(own, real, "{name}");
        }
    }
}

fn compare_info(pair: &Pair) {
    let text = |value: Value| value.as_text().expect("INFO is text").to_owned();
    let (real, own) = pair.ask("INFO sentinel", 2);
    let (real, own) = (text(real), text(own));
    // A Valkey 9 also counts how often it distrusted its clock.
    let known = |line: &&str| !line.starts_with("sentinel_total_tilt:");
    assert!(own.lines().eq(real.lines().filter(known)), "{own}\nand {real}");
    if pair.engine.kind == EngineKind::Valkey {
        // It calls itself and its mode by other names.
        return;
    }
    let (real, own) = pair.ask("INFO", 2);
    let (real, own) = (text(real), text(own));
    for line in own.lines().filter(|line| !line.starts_with("sterna_version:")) {
        let name = line.split_inclusive(':').next().unwrap_or(line);
        assert!(real.contains(name), "a real Sentinel has no {line}");
    }
    assert!(own.contains("redis_mode:sentinel\r\n") && real.contains("redis_mode:sentinel\r\n"));
}

/// Lines of text, as there.
fn compare_help(pair: &Pair) {
    for question in ["CLIENT HELP", "COMMAND HELP", "SENTINEL HELP"] {
        for resp in [2, 3] {
            let (real, own) = pair.ask(question, resp);
            for answer in [real, own] {
                let lines = answer.as_array().unwrap_or_default();
                let is_text = |line: &Value| matches!(line, Value::Simple(_));
                assert!(
                    !lines.is_empty() && lines.iter().all(is_text),
                    "{question}: {answer:?}"
                );
            }
        }
    }
}

fn compare_hello(pair: &Pair) {
    for resp in [2, 3] {
        let (real, own) = pair.ask("HELLO", resp);
        assert_eq!(matches!(real, Value::Map(_)), matches!(own, Value::Map(_)));
        let pairs = |value: &Value| -> Vec<(String, Value)> {
            let pairs = value.as_pairs().expect("HELLO has fields");
            pairs
                .into_iter()
                .map(|(name, value)| (name.as_text().expect("a name").to_owned(), value.clone()))
                .collect()
        };
        for ((name, real), (own_name, own)) in pairs(&real).into_iter().zip(pairs(&own)) {
            assert_eq!(own_name, name);
            if !matches!(name.as_str(), "server" | "version" | "id") {
                assert_eq!(own, real, "{name}");
            }
        }
    }
}

fn value_of<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    let found = fields.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value.as_str())
}
