//! A replica by script: a real handshake, then it reads, stores and acknowledges just as told.

mod follower;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::wire::{PATIENCE, Wire, lossy};
use crate::client::encode;
use crate::wait::pause_for;
pub use follower::{Acks, Follower};

/// Length of an end mark.
const MARK_BYTES: usize = 40;
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// How long to wait for the stream before asking for it again.
const TICK: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to introduce oneself to a primary.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before connect()"]
pub struct ReplicaBuilder {
    address: SocketAddr,
    login: Option<(Option<String>, String)>,
    listening_port: u16,
    announced_ip: Option<String>,
    capabilities: Vec<String>,
    version: Option<String>,
    snapshot_only: bool,
}

/// What a primary answers to `PSYNC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `+FULLRESYNC id offset`
    FullResync {
        /// The history's name.
        id: String,
        /// The stream begins after this offset.
        offset: u64,
    },
    /// `+CONTINUE [id]`
    Continue {
        /// The history's name, when it is told.
        id: Option<String>,
    },
    /// `-…`, without the dash
    Error(String),
}

/// How an RDB was framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RdbForm {
    /// `$<length>`
    Length,
    /// `$EOF:<mark>`
    Mark(Vec<u8>),
}

/// What came over the link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// The snapshot, without its framing.
    pub rdb: Vec<u8>,
    /// How it was framed.
    pub form: Option<RdbForm>,
    /// All stream bytes since the answer to `PSYNC`.
    pub stream: Vec<u8>,
    /// Bare newlines before the answer and before the snapshot.
    pub newlines: usize,
}

/// A connection that looks like a replica's.
#[derive(Debug)]
pub struct ScriptedReplica {
    wire: Wire,
    /// All that has come so far.
    pub received: Received,
    /// Offset before the first byte of [`Received::stream`].
    start: u64,
    snapshot_only: bool,
    /// Whether the stream is still to be asked for by an ACK.
    unasked: bool,
}

impl ScriptedReplica {
    /// A replica of whatever listens there.
    pub fn builder(address: SocketAddr) -> ReplicaBuilder {
        ReplicaBuilder {
            address,
            login: None,
            listening_port: 6380,
            announced_ip: None,
            capabilities: vec!["eof".into(), "psync2".into()],
            version: None,
            snapshot_only: false,
        }
    }

    /// Sends a command and reads its one-line answer.
    pub fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<String> {
        self.send(args)?;
        let line = self.wire.line()?.context("the primary hung up")?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Sends a command and reads nothing.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<()> {
        let mut bytes = Vec::new();
        encode(&mut bytes, args);
        self.wire.write(&bytes)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.wire.write(bytes)
    }

    /// `PSYNC ? -1` and its answer.
    pub fn psync_full(&mut self) -> Result<Answer> {
        self.send(&["PSYNC", "?", "-1"])?;
        self.answer()
    }

    /// `PSYNC id held+1`: asks for what comes after the offset that is held, and reads the answer.
    pub fn psync(&mut self, id: &str, held: u64) -> Result<Answer> {
        self.start = held;
        self.send(&["PSYNC", id, &(held + 1).to_string()])?;
        self.answer()
    }

    /// Reads the answer to `PSYNC`, counting the newlines before it.
    pub fn answer(&mut self) -> Result<Answer> {
        let line = self.line_after_newlines()?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = text.split(' ').collect();
        Ok(match words.as_slice() {
            ["+FULLRESYNC", id, offset] => {
                let offset = offset.parse().with_context(|| text.clone())?;
                self.start = offset;
                Answer::FullResync {
                    id: (*id).to_owned(),
                    offset,
                }
            }
            ["+CONTINUE"] => Answer::Continue { id: None },
            ["+CONTINUE", id] => Answer::Continue {
                id: Some((*id).to_owned()),
            },
            [first, ..] if first.starts_with('-') => Answer::Error(text[1..].to_owned()),
            _ => bail!("no answer to PSYNC: {text:?}"),
        })
    }

    /// Reads the snapshot in either form. After it the first read of the stream acknowledges the snapshot until the
    /// stream begins, as a primary expects.
    pub fn read_rdb(&mut self) -> Result<&[u8]> {
        self.read_rdb_paced(None)?;
        self.unasked = !self.snapshot_only;
        Ok(&self.received.rdb)
    }

    /// Reads the snapshot at a chosen pace and acknowledges nothing.
    pub fn read_rdb_paced(&mut self, bytes_per_second: Option<u64>) -> Result<()> {
        let header = self.line_after_newlines()?;
        let form = match header.as_slice() {
            [b'$', b'E', b'O', b'F', b':', mark @ ..] if mark.len() == MARK_BYTES => {
                RdbForm::Mark(mark.to_vec())
            }
            [b'$', ..] => RdbForm::Length,
            _ => bail!("no header of an RDB: {:?}", lossy(&header)),
        };
        self.received.form = Some(form.clone());
        self.received.rdb.clear();
        let pace = Pace::new(bytes_per_second);
        match form {
            RdbForm::Length => {
                let length = std::str::from_utf8(&header[1..])?.parse()?;
                while self.received.rdb.len() < length {
                    self.some_rdb(pace.chunk_bytes().min(length - self.received.rdb.len()))?;
                    pace.wait(self.received.rdb.len());
                }
            }
            RdbForm::Mark(mark) => {
                while !self.received.rdb.ends_with(&mark) {
                    // The mark may be followed by the stream at once, so it is never read past.
                    let most = self
                        .wire
                        .pending()
                        .windows(MARK_BYTES)
                        .position(|window| window == mark);
                    let straddling = MARK_BYTES - 1;
                    match most {
                        Some(at) => self.some_rdb(at + MARK_BYTES)?,
                        None if self.wire.pending().len() > straddling => {
                            self.some_rdb(pace.chunk_bytes().min(self.wire.pending().len() - straddling))?;
                        }
                        None => {
                            ensure!(
                                self.wire.fill().context("reading the RDB")?,
                                "the primary hung up in the RDB"
                            );
                        }
                    }
                    pace.wait(self.received.rdb.len());
                }
                let content = self.received.rdb.len() - MARK_BYTES;
                self.received.rdb.truncate(content);
            }
        }
        Ok(())
    }

    /// Reads stream bytes until `count` more have come.
    pub fn read_stream(&mut self, count: usize) -> Result<&[u8]> {
        let end = Instant::now() + PATIENCE;
        while self.wire.pending().len() < count {
            let have = self.wire.pending().len();
            ensure!(
                Instant::now() < end,
                "{have} of {count} bytes came after offset {}",
                self.offset()
            );
            self.fill_stream(TICK)?;
        }
        let bytes = self.wire.take(count);
        self.received.stream.extend_from_slice(&bytes);
        Ok(&self.received.stream[self.received.stream.len() - count..])
    }

    /// Reads stream bytes until `offset` is reached.
    pub fn read_until(&mut self, offset: u64) -> Result<&[u8]> {
        let left = offset
            .checked_sub(self.offset())
            .context("the offset lies behind")?;
        self.read_stream(usize::try_from(left)?)
    }

    /// Reads what comes within `time`, if anything does.
    pub fn read_for(&mut self, time: Duration) -> Result<&[u8]> {
        let (end, before) = (Instant::now() + time, self.received.stream.len());
        loop {
            let bytes = self.wire.take(usize::MAX);
            self.received.stream.extend_from_slice(&bytes);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.fill_stream(left)?;
        }
        Ok(&self.received.stream[before..])
    }

    /// The offset that is held: what it has got of the stream.
    pub fn offset(&self) -> u64 {
        self.start + self.received.stream.len() as u64
    }

    /// `REPLCONF ACK` with any offset.
    pub fn ack(&mut self, offset: u64) -> Result<()> {
        self.send(&["REPLCONF", "ACK", &offset.to_string()])
    }

    /// Goes on in the background, reading and acknowledging as told.
    pub fn follow(self, acks: Acks, bytes_per_second: Option<u64>) -> Follower {
        Follower::start(self, acks, bytes_per_second)
    }

    /// Ends the connection with RST.
    pub fn reset(self) {
        self.wire.reset();
    }

    /// Reads more of the stream for at most `time`. An ACK that comes before the primary has noticed the end of its own
    /// snapshot process is lost, so it is repeated until something comes.
    fn fill_stream(&mut self, time: Duration) -> Result<()> {
        if self.unasked {
            self.ack(self.start)?;
        }
        let time = if self.unasked { time.min(TICK) } else { time };
        self.wire
            .socket()
            .set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
        let filled = self.wire.fill();
        self.wire.socket().set_read_timeout(Some(PATIENCE))?;
        match filled {
            Ok(true) => self.unasked = false,
            Ok(false) => bail!("the primary hung up at offset {}", self.offset()),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error).context(format!("reading after offset {}", self.offset())),
        }
        Ok(())
    }

    fn some_rdb(&mut self, most: usize) -> Result<()> {
        if self.wire.pending().is_empty() {
            ensure!(
                self.wire.fill().context("reading the RDB")?,
                "the primary hung up in the RDB"
            );
        }
        // In the form with a mark, `most` is counted on what is pending; else it may be more than that.
        let bytes = self.wire.take(most);
        self.received.rdb.extend_from_slice(&bytes);
        Ok(())
    }

    fn line_after_newlines(&mut self) -> Result<Vec<u8>> {
        loop {
            let line = self.wire.line()?.context("the primary hung up")?;
            if !line.is_empty() {
                return Ok(line);
            }
            self.received.newlines += 1;
        }
    }
}

impl ReplicaBuilder {
    /// Logs in, with a user or as the default one.
    pub fn login(mut self, user: Option<&str>, password: &str) -> Self {
        self.login = Some((user.map(str::to_owned), password.to_owned()));
        self
    }

    /// The announced port; 6380 at first.
    pub fn listening_port(mut self, port: u16) -> Self {
        self.listening_port = port;
        self
    }

    /// The announced address; none at first.
    pub fn announced_ip(mut self, ip: &str) -> Self {
        self.announced_ip = Some(ip.to_owned());
        self
    }

    /// The announced capabilities; `eof` and `psync2` at first.
    pub fn capabilities(mut self, capabilities: &[&str]) -> Self {
        self.capabilities = capabilities.iter().map(ToString::to_string).collect();
        self
    }

    /// `REPLCONF version`, as Valkey 8 and later send it.
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// `REPLCONF rdb-only 1`: the primary hangs up after the snapshot.
    pub fn snapshot_only(mut self) -> Self {
        self.snapshot_only = true;
        self
    }

    /// Connects and goes through the handshake up to `PSYNC`. An error in it other than to `REPLCONF version` fails.
    pub fn connect(&self) -> Result<ScriptedReplica> {
        let mut replica = self.connect_only()?;
        let pong = replica.ask(&["PING"])?;
        let fine = ["+", "-NOAUTH", "-NOPERM"]
            .iter()
            .any(|start| pong.starts_with(start));
        ensure!(fine, "PING was answered with {pong:?}");
        if let Some((user, password)) = &self.login {
            let answer = match user {
                Some(user) => replica.ask(&["AUTH", user, password])?,
                None => replica.ask(&["AUTH", password])?,
            };
            ensure!(answer == "+OK", "AUTH was answered with {answer:?}");
        }
        for command in self.introductions() {
            let answer = replica.ask(&command)?;
            ensure!(answer == "+OK", "{command:?} was answered with {answer:?}");
        }
        if let Some(version) = &self.version {
            // Servers that don't know it answer with an error and go on.
            replica.ask(&["REPLCONF", "version", version])?;
        }
        Ok(replica)
    }

    /// Connects and says nothing.
    pub fn connect_only(&self) -> Result<ScriptedReplica> {
        let socket = TcpStream::connect_timeout(&self.address, CONNECT_TIMEOUT)
            .with_context(|| format!("connecting to {}", self.address))?;
        Ok(ScriptedReplica {
            wire: Wire::new(socket)?,
            received: Received::default(),
            start: 0,
            snapshot_only: self.snapshot_only,
            unasked: false,
        })
    }

    fn introductions(&self) -> Vec<Vec<String>> {
        let mut commands = vec![vec!["listening-port".to_owned(), self.listening_port.to_string()]];
        commands.extend(
            self.announced_ip
                .iter()
                .map(|ip| vec!["ip-address".to_owned(), ip.clone()]),
        );
        if !self.capabilities.is_empty() {
            commands.push(
                self.capabilities
                    .iter()
                    .flat_map(|name| ["capa".to_owned(), name.clone()])
                    .collect(),
            );
        }
        if self.snapshot_only {
            commands.push(vec!["rdb-only".to_owned(), "1".to_owned()]);
        }
        for command in &mut commands {
            command.insert(0, "REPLCONF".to_owned());
        }
        commands
    }
}

/// Whether a read only ran into its timeout.
fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}

/// Slows a reader down to a rate.
struct Pace {
    start: Instant,
    bytes_per_second: Option<u64>,
}

impl Pace {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            start: Instant::now(),
            bytes_per_second,
        }
    }

    /// How much to read at once, so that a slow reader does not go in bursts.
    fn chunk_bytes(&self) -> usize {
        let share = self.bytes_per_second.map_or(u64::MAX, |rate| rate / 50);
        usize::try_from(share)
            .unwrap_or(usize::MAX)
            .clamp(1, CHUNK_BYTES_MAX)
    }

    /// How long to wait after this many bytes since the start.
    fn ahead(&self, bytes: usize) -> Duration {
        let Some(rate) = self.bytes_per_second else {
            return Duration::ZERO;
        };
        let micros = bytes as u64 * 1_000_000 / rate.max(1);
        Duration::from_micros(micros).saturating_sub(self.start.elapsed())
    }

    fn wait(&self, bytes: usize) {
        pause_for(self.ahead(bytes));
    }
}
