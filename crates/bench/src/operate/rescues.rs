//! Rescue files, loaded as a person would load them, and what is found in them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use sterna_model::{Rescue, RescueKind};
use sterna_testkit::{Client, Server};
use tempfile::TempDir;

use super::site::{GROUP, Site};

/// Ends the replies of loaded commands.
const MARK: &str = "that-was-the-last";
/// Keys that are asked for in one pipeline.
const BATCH: usize = 1000;

/// The contents of every rescue file of the group, on servers of their own.
#[derive(Debug, Default)]
pub(super) struct Rescued {
    pub(super) loaded: Vec<Loaded>,
}

/// A rescue file and a server that holds what is in it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) rescue: Rescue,
    server: Server,
    _dir: Option<TempDir>,
}

impl Rescued {
    /// Fetches all of them over the API and loads each.
    pub(super) fn load(site: &Site) -> Result<Self> {
        let rescues: Vec<Rescue> = site.rest.get(&format!("/rescues?group={GROUP}"))?;
        let loaded = rescues.into_iter().map(|rescue| {
            let bytes = site.rest.bytes(&format!("/rescues/{}/file", rescue.id))?;
            Loaded::load(rescue, &bytes)
        });
        Ok(Self {
            loaded: loaded.collect::<Result<_>>()?,
        })
    }

    /// Which of these writes are in none of the files.
    pub(super) fn without(&self, prefix: &str, numbers: &[u64]) -> Result<Vec<u64>> {
        let mut left = numbers.to_vec();
        for file in &self.loaded {
            left = absent(&mut file.server.connect()?, prefix, &left)?;
        }
        Ok(left)
    }

    /// The numbers with this prefix in the files of commands.
    pub(super) fn numbers(&self, prefix: &str) -> Result<BTreeSet<u64>> {
        let mut numbers = BTreeSet::new();
        let commands = |file: &&Loaded| file.rescue.kind == RescueKind::Commands;
        for file in self.loaded.iter().filter(commands) {
            let keys = file.server.connect()?.cmd(&["KEYS", &format!("{prefix}:*")])?;
            for key in keys.array() {
                let number = key.text().rsplit(':').next().unwrap_or_default().parse();
                numbers.insert(number.with_context(|| format!("{key:?}"))?);
            }
        }
        Ok(numbers)
    }

    /// Write commands in the files of commands, as their summaries say.
    pub(super) fn commands(&self) -> u64 {
        let summaries = self.loaded.iter().filter_map(|file| file.rescue.summary.as_ref());
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

/// Which of these writes a server does not have.
pub(super) fn absent(client: &mut Client, prefix: &str, numbers: &[u64]) -> Result<Vec<u64>> {
    let mut absent = Vec::new();
    for batch in numbers.chunks(BATCH) {
        let gets: Vec<[String; 2]> = batch
            .iter()
            .map(|number| ["GET".to_owned(), format!("{prefix}:{number}")])
            .collect();
        for (number, reply) in batch.iter().zip(client.pipeline(&gets)?) {
            if reply.text() != number.to_string() {
                absent.push(*number);
            }
        }
    }
    Ok(absent)
}
