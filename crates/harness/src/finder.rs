//! Where the primary is, as a client learns it from discovery.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use sterna_testkit::Client;

use crate::gateway::GROUP;

/// Discovery is asked this often at most, by all connections together.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A client's knowledge of where the primary is.
#[derive(Debug)]
pub struct Finder {
    discovery: SocketAddr,
    timeout: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    client: Option<Client>,
    primary: Option<SocketAddr>,
    asked: Option<Instant>,
}

impl Finder {
    /// Asks this discovery, and waits so long for it.
    pub fn new(discovery: SocketAddr, timeout: Duration) -> Self {
        Self {
            discovery,
            timeout,
            known: Mutex::default(),
        }
    }

    /// Until discovery knows better, this is the primary.
    #[must_use]
    pub fn at_first(self, primary: SocketAddr) -> Self {
        let known = Known {
            primary: Some(primary),
            ..Known::default()
        };
        Self {
            known: Mutex::new(known),
            ..self
        }
    }

    /// A connection to the primary, as far as discovery knows.
    pub fn connect(&self, timeout: Duration) -> Result<Client> {
        Client::connect_within(self.primary()?, timeout)
    }

    /// Where the primary is, as far as discovery knows.
    pub fn primary(&self) -> Result<SocketAddr> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            known.asked = Some(Instant::now());
            let client = match known.client.take() {
                Some(client) => Ok(client),
                None => Client::connect_within(self.discovery, self.timeout),
            };
            // A gateway that is down leaves clients with what they know.
            if let Ok(mut client) = client
                && let Ok(primary) = ask(&mut client)
            {
                known.primary = Some(primary);
                known.client = Some(client);
            }
        }
        known.primary.context("discovery does not answer")
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
