//! Rescue files, loaded as a person would load them, and what is found in them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use sterna_model::{Rescue, RescueKind};
use sterna_testkit::{Client, Server};
use tempfile::TempDir;

use crate::gateway::{GROUP, Gateway};

/// Ends the replies of loaded commands.
const MARK: &str = "that-was-the-last";
/// Keys that are asked for in one pipeline.
const BATCH: usize = 1000;

/// Every rescue file of the group, each on a server of its own.
#[derive(Debug)]
pub struct Rescues(Vec<Loaded>);

#[derive(Debug)]
struct Loaded {
    rescue: Rescue,
    server: Server,
    _dir: Option<TempDir>,
}

impl Rescues {
    /// Fetches all of them over the API and loads each.
    pub fn load(gateway: &Gateway) -> Result<Self> {
        let rescues: Vec<Rescue> = gateway.rest.get(&format!("/rescues?group={GROUP}"))?;
        let loaded = rescues.into_iter().map(|rescue| {
            let bytes = gateway.rest.bytes(&format!("/rescues/{}/file", rescue.id))?;
            Loaded::load(rescue, &bytes)
        });
        Ok(Self(loaded.collect::<Result<_>>()?))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this kind.
    pub fn has_kind(&self, kind: RescueKind) -> bool {
        self.0.iter().any(|file| file.rescue.kind == kind)
    }

    /// The numbers n of the keys `<prefix>:<n>` in the files of commands.
    pub fn numbers(&self, prefix: &str) -> Result<BTreeSet<u64>> {
        let mut numbers = BTreeSet::new();
        let commands = |file: &&Loaded| file.rescue.kind == RescueKind::Commands;
        for file in self.0.iter().filter(commands) {
            let keys = file.server.connect()?.cmd(&["KEYS", &format!("{prefix}:*")])?;
            for key in keys.array() {
                let number = key.text().rsplit(':').next().unwrap_or_default().parse();
                numbers.insert(number.with_context(|| format!("{key:?}"))?);
            }
        }
        Ok(numbers)
    }

    /// Which of these keys are in none of the files.
    pub fn without(&self, keys: &[String]) -> Result<Vec<String>> {
        let mut left = keys.to_vec();
        for file in &self.0 {
            left = absent(&mut file.server.connect()?, &left)?;
        }
        Ok(left)
    }

    /// Whether writes of this service were saved.
    pub fn has(&self, service: &str) -> bool {
        self.0.iter().any(|file| file.rescue.service.as_str() == service)
    }

    /// Write commands in the files of commands, as their summaries say.
    pub fn commands(&self) -> u64 {
        let summaries = self.0.iter().filter_map(|file| file.rescue.summary.as_ref());
        summaries.map(|summary| summary.commands).sum()
    }
}

impl Loaded {
    fn load(rescue: Rescue, bytes: &[u8]) -> Result<Self> {
        ensure!(
            bytes.len() as u64 == rescue.bytes,
            "rescue {} has {} bytes and says {}",
            rescue.id,
            bytes.len(),
            rescue.bytes
        );
        let (server, dir) = match rescue.kind {
            RescueKind::Commands => {
                let server = Server::builder().start()?;
                load_commands(&mut server.connect()?, bytes)
                    .with_context(|| format!("loading {}", rescue.file))?;
                (server, None)
            }
            RescueKind::Snapshot => {
                let dir = tempfile::tempdir()?;
                std::fs::write(dir.path().join("rescue.rdb"), bytes)?;
                let path = dir.path().to_str().context("a path in UTF-8")?;
                let server = Server::builder()
                    .config("dir", path)
                    .config("dbfilename", "rescue.rdb")
                    .start()
                    .with_context(|| format!("a server on {}", rescue.file))?;
                (server, Some(dir))
            }
        };
        Ok(Self {
            rescue,
            server,
            _dir: dir,
        })
    }
}

/// As `redis-cli --pipe` does it: everything, then an `ECHO` whose answer is the end.
fn load_commands(client: &mut Client, bytes: &[u8]) -> Result<()> {
    client.send_raw(bytes);
    client.send(&["ECHO", MARK]);
    client.flush()?;
    loop {
        let reply = client.receive()?;
        ensure!(!reply.is_error(), "{reply:?}");
        if reply.text() == MARK {
            return Ok(());
        }
    }
}

/// The keys `<prefix>:<n>` of writes with these numbers.
pub fn keys(prefix: &str, numbers: &[u64]) -> Vec<String> {
    numbers
        .iter()
        .map(|number| format!("{prefix}:{number}"))
        .collect()
}

/// Which of these keys `<prefix>:<n>` a server does not have with their value n.
pub fn absent(client: &mut Client, keys: &[String]) -> Result<Vec<String>> {
    let mut absent = Vec::new();
    for batch in keys.chunks(BATCH) {
        let gets: Vec<[&str; 2]> = batch.iter().map(|key| ["GET", key]).collect();
        for (key, reply) in batch.iter().zip(client.pipeline(&gets)?) {
            let value = key.rsplit(':').next().unwrap_or_default();
            if reply.text() != value {
                absent.push(key.clone());
            }
        }
    }
    Ok(absent)
}
