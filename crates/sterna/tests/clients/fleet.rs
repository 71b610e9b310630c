//! One client program of each library, all at work at the same time.

use sterna_testkit::{Server, wait_until};

use crate::client::{Client, Library};
use crate::report::Report;
use crate::support::DEADLINE;
use crate::world::{GROUP, PASSWORD, World};

/// Writes a second, of each.
const RATE: u32 = 200;
/// Numbers that each has written before anything happens.
const NUMBERS_BEFORE: u32 = 200;
/// From start to end of a client: a failover on a loaded machine fits into it several times.
const SECONDS: u32 = 15;
/// After how long without an answer a client gives a connection up.
const TIMEOUT_MS: u32 = 1000;

/// The libraries, and the RESP version that each speaks here.
const LIBRARIES: [(Library, u8); 3] = [
    (Library::RedisPy, 3),
    (Library::IoRedis, 2),
    (Library::RedisRs, 2),
];

/// Clients at work.
pub(crate) struct Fleet {
    clients: Vec<(String, Client)>,
}

/// A client that has ended.
pub(crate) struct Ended {
    prefix: String,
    pub(crate) report: Report,
}

impl Fleet {
    /// Starts them. They are told of discovery and the group, and of no node. `run` goes into the keys.
    pub(crate) fn start(world: &World, run: &str) -> Self {
        let clients = LIBRARIES.into_iter().map(|(library, resp)| {
            let prefix = format!("{run}:{library:?}:");
            let args = arguments(&world.gateway.discovery, &prefix, resp);
            (prefix, Client::start(library, args))
        });
        Self {
            clients: clients.collect(),
        }
    }

    /// Waits until each has written for some time.
    pub(crate) fn wait_for_writes(&self, primary: &Server) {
        let mut connection = primary.client();
        for (prefix, _) in &self.clients {
            let key = format!("{prefix}{NUMBERS_BEFORE}");
            wait_until(DEADLINE, &key, || {
                let reply = connection.cmd(&["EXISTS", &key]).ok();
                reply.is_some_and(|reply| reply.int() == Some(1))
            });
        }
    }

    /// Waits until each has ended by itself, with its report and without a failure.
    pub(crate) fn ended(self) -> Vec<Ended> {
        let clients = self.clients.into_iter();
        let ended = clients.map(|(prefix, client)| Ended {
            prefix,
            report: client.report(),
        });
        ended.collect()
    }
}

impl Ended {
    /// It wrote to the one, then to the other, and for some time to both.
    pub(crate) fn assert_went_on(&self, from: &Server, to: &Server) {
        let report = &self.report;
        let ports: Vec<u16> = report
            .primaries
            .iter()
            .filter_map(|primary| primary.rsplit(':').next()?.parse().ok())
            .collect();
        assert_eq!(ports, [from.port(), to.port()], "{report:?}");
        let at_least = u64::from(NUMBERS_BEFORE + RATE);
        assert!(report.acknowledged > at_least, "{report:?}");
        assert_eq!(report.acknowledged, report.last_number, "{report:?}");
    }

    /// Which of its acknowledged numbers the server does not have.
    pub(crate) fn missing(&self, server: &Server) -> Vec<String> {
        let keys: Vec<_> = (1..=self.report.last_number)
            .map(|number| format!("{}{number}", self.prefix))
            .collect();
        let commands: Vec<[&str; 2]> = keys.iter().map(|key| ["EXISTS", key]).collect();
        let replies = server.client().pipeline(&commands).expect("it answers");
        assert_eq!(replies.len(), keys.len());
        let all = keys.iter().zip(replies);
        let missing = all.filter(|(_, reply)| reply.int() != Some(1));
        missing.map(|(key, _)| key.clone()).collect()
    }
}

fn arguments(discovery: &str, prefix: &str, resp: u8) -> Vec<String> {
    [
        ("--sentinel", discovery),
        ("--master", GROUP),
        ("--password", PASSWORD),
        ("--prefix", prefix),
        ("--rate", &RATE.to_string()),
        ("--seconds", &SECONDS.to_string()),
        ("--timeout-ms", &TIMEOUT_MS.to_string()),
        ("--resp", &resp.to_string()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
    .collect()
}
