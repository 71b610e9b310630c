//! The client that stays with the old primary: it never asks anybody, and sends on without waiting for answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use sterna_testkit::client::encode;

use crate::assert::until;

/// What its keys begin with.
pub(crate) const PREFIX: &str = "direct";
/// One write each.
const TICK: Duration = Duration::from_millis(5);
/// So many may be without an answer: they fit into the socket of a server that does not read.
const UNANSWERED_MAX: u64 = 600;

/// What came of its writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    /// How many it sent; their numbers begin with 1.
    pub(crate) sent: u64,
    /// The numbers of those that were acknowledged.
    pub(crate) acknowledged: Vec<u64>,
    /// How many were refused.
    pub(crate) refused: u64,
    /// The first refusal, in the server's words.
    pub(crate) refusal: Option<String>,
    /// The server closed the connection: what has no answer yet gets none.
    closed: bool,
}

impl Answers {
    fn answered(&self) -> u64 {
        self.acknowledged.len() as u64 + self.refused
    }

    fn unanswered(&self) -> u64 {
        self.sent - self.answered()
    }

    /// Answers come in the order of the writes; each is one line.
    fn take(&mut self, line: &str) {
        let number = self.answered() + 1;
        match line.strip_prefix('-') {
            None => self.acknowledged.push(number),
            Some(error) => {
                self.refused += 1;
                self.refusal.get_or_insert_with(|| error.trim_end().to_owned());
            }
        }
    }
}

/// The running client. Its threads end with the value, and when the connection does.
#[derive(Debug)]
pub(crate) struct StaleClient {
    link: Arc<Link>,
    stop: Sender<()>,
}

#[derive(Debug)]
struct Link {
    stream: TcpStream,
    answers: Mutex<Answers>,
}

impl StaleClient {
    /// Connects to a node and begins.
    pub(crate) fn start(node: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(node).with_context(|| format!("no connection to {node}"))?;
        stream.set_nodelay(true)?;
        let from = BufReader::new(stream.try_clone()?);
        let link = Arc::new(Link {
            stream,
            answers: Mutex::default(),
        });
        let (stop, stopped) = mpsc::channel();
        let reader = Arc::clone(&link);
        thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                reader.answers().take(&line);
            }
            reader.answers().closed = true;
        });
        let writer = Arc::clone(&link);
        thread::spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let full = writer.answers().unanswered() >= UNANSWERED_MAX;
                if !full && writer.send(1).is_err() {
                    return;
                }
            }
        });
        Ok(Self { link, stop })
    }

    /// Sends so many writes at once. They are in the server's socket when this returns.
    pub(crate) fn burst(&self, writes: u64) -> anyhow::Result<()> {
        self.link.send(writes)
    }

    /// Waits until so many writes in all are acknowledged.
    pub(crate) fn wait_acknowledged(&self, writes: usize) -> anyhow::Result<()> {
        until("the direct client's writes are acknowledged", || {
            self.link.answers().acknowledged.len() >= writes
        })
    }

    /// Sends no more, and waits until everything is answered, or the server closes the connection, as it does when it is no
    /// longer the primary.
    pub(crate) fn stop(self) -> anyhow::Result<Answers> {
        // The thread may have ended with the connection.
        let _ended = self.stop.send(());
        until("everything that the direct client sent is answered", || {
            let answers = self.link.answers();
            match answers.unanswered() {
                _ if answers.closed => Ok(answers.clone()),
                0 => Ok(answers.clone()),
                left => Err(format!("{left} are not")),
            }
        })
    }
}

impl Link {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock, so that the order of the numbers is that of the answers.
    fn send(&self, writes: u64) -> anyhow::Result<()> {
        let mut answers = self.answers();
        let mut batch = Vec::new();
        for _ in 0..writes {
            answers.sent += 1;
            let number = answers.sent.to_string();
            encode(&mut batch, &["SET", &format!("{PREFIX}:{number}"), &number]);
        }
        (&self.stream)
            .write_all(&batch)
            .context("the direct client can't write to the old primary")
    }
}
