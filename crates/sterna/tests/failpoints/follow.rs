//! A client that follows the group by discovery, as an application's client library does.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use sterna_testkit::Client;
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};

use crate::gateway::GROUP;

/// What its keys begin with.
pub(crate) const PREFIX: &str = "seq";
/// Writes a second. Enough that something is under way at every moment, and little enough for two cases at a time.
const PER_SECOND: u32 = 300;
/// How long it waits for a server.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Discovery is asked this often at most, by all connections together.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Starts it. Until discovery knows better, `first` is the primary.
pub(crate) fn start(discovery: SocketAddr, first: SocketAddr) -> Result<SequenceWriter> {
    let finder = Finder {
        discovery,
        known: Mutex::new(Known {
            client: None,
            primary: first,
            asked: None,
        }),
    };
    let mut options = SequenceOptions::load(PREFIX, PER_SECOND);
    options.connections = 2;
    options.timeout = Some(TIMEOUT);
    SequenceWriter::start(options, move || Client::connect_within(finder.primary(), TIMEOUT))
}

struct Finder {
    discovery: SocketAddr,
    known: Mutex<Known>,
}

struct Known {
    client: Option<Client>,
    primary: SocketAddr,
    asked: Option<Instant>,
}

impl Finder {
    fn primary(&self) -> SocketAddr {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            known.asked = Some(Instant::now());
            let client = match known.client.take() {
                Some(client) => Ok(client),
                None => Client::connect_within(self.discovery, TIMEOUT),
            };
            // A gateway that is down leaves clients with what they know.
            if let Ok(mut client) = client
                && let Ok(primary) = ask(&mut client)
            {
                known.primary = primary;
                known.client = Some(client);
            }
        }
        known.primary
    }
}

fn ask(discovery: &mut Client) -> Result<SocketAddr> {
    let reply = discovery.cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP])?;
    let [host, port] = reply.array() else {
        return Err(anyhow!("{reply:?}"));
    };
    let host: IpAddr = host.text().parse().context("an address")?;
    Ok((host, port.text().parse()?).into())
}
