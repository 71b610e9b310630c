//! A writer that knows which of its writes were acknowledged: for counting what a failover loses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::background::{Background, Outcome};
use super::{Rate, is_refusal};
use crate::client::{Client, Reply};

/// Keys that are asked for in one pipeline.
const BATCH: usize = 1000;

/// Writes `<prefix>:<n>` = `n` for n from 0 on, one after the other, each once.
#[derive(Debug)]
pub struct SequenceWriter {
    prefix: String,
    acknowledged: Arc<Mutex<Vec<u64>>>,
    background: Background,
}

impl SequenceWriter {
    /// Starts in the background; ends when stopped or after `writes_max`.
    pub fn spawn(
        prefix: &str,
        connect: impl Fn() -> Result<Client> + Send + 'static,
        rate: Rate,
        writes_max: u64,
    ) -> Result<Self> {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let (numbers, name) = (Arc::clone(&acknowledged), prefix.to_owned());
        let mut client: Option<Client> = None;
        let mut next = 0;
        let step = move || {
            let connected = match client.take() {
                Some(connected) => Ok(connected),
                None => connect(),
            };
            let mut connected = match connected {
                Ok(connected) => connected,
                Err(error) => return Outcome::Lost(format!("{error:#}")),
            };
            let number: u64 = next;
            next += 1;
            match connected.raw(&["SET", &format!("{name}:{number}"), &number.to_string()]) {
                Ok(Reply::Simple(_)) => {
                    numbers
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(number);
                    client = Some(connected);
                    Outcome::Acknowledged
                }
                // A server that keeps refusing may have become a replica: the next connection may lead elsewhere.
                Ok(Reply::Error(text)) if is_refusal(&text) => Outcome::Refused(text),
                Ok(reply) => Outcome::Lost(format!("odd reply {reply:?}")),
                Err(error) => Outcome::Lost(format!("{error:#}")),
            }
        };
        let background = Background::start(step, rate, writes_max)?;
        Ok(Self {
            prefix: prefix.to_owned(),
            acknowledged,
            background,
        })
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.background.acknowledged()
    }

    /// Waits until so many more writes are acknowledged.
    pub fn wait_acknowledged(&self, more: u64, deadline: Duration) -> Result<()> {
        self.background.wait_acknowledged(more, deadline)
    }

    /// What went wrong so far, by the first words of it, with how often.
    pub fn errors(&self) -> std::collections::BTreeMap<String, u64> {
        self.background.errors()
    }

    /// The longest time without an acknowledged write so far: the outage as a client saw it.
    pub fn longest_gap(&self) -> Duration {
        self.background.longest_gap()
    }

    /// Stops after the write under way.
    pub fn stop(&self) -> Result<()> {
        self.background.stop()
    }

    /// The acknowledged numbers that this server does not have.
    pub fn missing(&self, client: &mut Client) -> Result<Vec<u64>> {
        let numbers = self
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut missing = Vec::new();
        for batch in numbers.chunks(BATCH) {
            let gets: Vec<[String; 2]> = batch
                .iter()
                .map(|number| ["GET".to_owned(), format!("{}:{number}", self.prefix)])
                .collect();
            for (number, reply) in batch.iter().zip(client.pipeline(&gets)?) {
                if reply.text() != number.to_string() {
                    missing.push(*number);
                }
            }
        }
        Ok(missing)
    }
}
