//! The load: a client that follows the group, one at every node that never goes elsewhere, and large writes where buffers
//! are small.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use sterna_harness::{Finder, Gateway};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Client, Host};

use super::world::{CLIENTS, JOINING, World};
use crate::operate::load::{CLIENT_TIMEOUT, stays};

const FOLLOWING_PER_SECOND: u32 = 1_000;
const STAYING_PER_SECOND: u32 = 100;
/// Large writes: one megabyte in a second.
const LARGE_EVERY: Duration = Duration::from_millis(10);
const LARGE_BYTES: usize = 10_000;
const LARGE_KEYS: u64 = 100;

/// A client whose writes are known one by one.
#[derive(Debug)]
pub(super) struct Writer {
    /// What its keys begin with.
    pub(super) prefix: String,
    pub(super) writes: SequenceWriter,
}

/// All of them; the first one follows.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) writers: Vec<Writer>,
    large: Option<Large>,
}

impl Clients {
    /// Starts them. The nodes of a service that joins later have none: they are not the group's yet.
    pub(super) fn start(world: &World<'_>, large: bool) -> Result<Self> {
        let host = world.net.host(CLIENTS);
        let site = world.site()?;
        let mut writers = vec![Writer {
            prefix: "seq".to_owned(),
            writes: follows_from(site, &host)?,
        }];
        for node in world.run.nodes.iter().filter(|node| node.name != JOINING) {
            let prefix = format!("at-{}", node.name);
            writers.push(Writer {
                writes: stays(&prefix, &node.server, STAYING_PER_SECOND)?,
                prefix,
            });
        }
        let large = large.then(|| Large::start(site, &host)).transpose()?;
        Ok(Self { writers, large })
    }

    /// The one that follows.
    pub(super) fn following(&self) -> &SequenceWriter {
        &self.writers[0].writes
    }

    /// Ends them all, after what is under way.
    pub(super) fn stop(&mut self) -> Result<()> {
        for writer in &self.writers {
            writer.writes.stop()?;
        }
        self.large.take().map_or(Ok(()), Large::stop)
    }
}

fn connector(site: &Gateway, host: &Host) -> impl Fn() -> Result<Client> + Send + Sync + 'static {
    let finder = Finder::new(site.discovery(), CLIENT_TIMEOUT);
    let host = host.clone();
    move || host.connect_within(finder.primary()?, CLIENT_TIMEOUT)
}

fn follows_from(site: &Gateway, host: &Host) -> Result<SequenceWriter> {
    let mut options = SequenceOptions::load("seq", FOLLOWING_PER_SECOND);
    options.timeout = Some(CLIENT_TIMEOUT);
    SequenceWriter::start(options, connector(site, host))
}

/// Large writes that nobody counts.
#[derive(Debug)]
struct Large {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Large {
    fn start(site: &Gateway, host: &Host) -> Result<Self> {
        let connect = connector(site, host);
        let (end, ended) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("large".to_owned())
            .spawn(move || {
                let value = vec![b'x'; LARGE_BYTES];
                let (mut client, mut number): (Option<Client>, u64) = (None, 0);
                while ended.recv_timeout(LARGE_EVERY) == Err(RecvTimeoutError::Timeout) {
                    number += 1;
                    let key = format!("large:{}", number % LARGE_KEYS);
                    client = client.take().or_else(|| connect().ok()).and_then(|mut client| {
                        let done = client.cmd(&[&b"SET"[..], key.as_bytes(), &value]);
                        done.is_ok().then_some(client)
                    });
                }
            })?;
        Ok(Self { end, thread })
    }

    fn stop(self) -> Result<()> {
        drop(self.end);
        self.thread
            .join()
            .map_err(|_| anyhow!("the large writes panicked"))
    }
}
