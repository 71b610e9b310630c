//! One connection of a scripted primary: what a script can do.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Shared;
use crate::client::encode;
use crate::peers::replica::RdbForm;
use crate::peers::wire::{PATIENCE, Wire};
use crate::wait::pause_for;

/// A replica's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Psync {
    /// The history, or `?`.
    pub id: String,
    /// The wire position: one more than the offset held, or -1.
    pub next: i64,
    /// `PSYNC … FAILOVER`
    pub failover: bool,
    /// How many came to this primary before, on all connections.
    pub before: usize,
}

/// The script's side of a connection. The connection is closed when the script returns.
#[derive(Debug)]
pub struct Session {
    wire: Wire,
    number: usize,
    shared: Arc<Shared>,
}

impl Session {
    pub(super) fn new(socket: TcpStream, number: usize, shared: Arc<Shared>) -> Result<Self> {
        Ok(Self {
            wire: Wire::new(socket)?,
            number,
            shared,
        })
    }

    /// Connections that came before this one.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Reads the next command and records it; `None` when the replica hung up.
    pub fn command(&mut self) -> Result<Option<Vec<Vec<u8>>>> {
        let command = self.wire.command()?;
        if let Some(command) = &command {
            self.shared.lock().records[self.number]
                .commands
                .push(command.clone());
        }
        Ok(command)
    }

    /// Answers everything up to `PSYNC` as a server would; `None` when the client hung up before.
    pub fn handshake(&mut self) -> Result<Option<Psync>> {
        let mut logged_in = self.shared.settings.password.is_none();
        while let Some(command) = self.command()? {
            let words: Vec<String> = command
                .iter()
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            let name = words
                .first()
                .map(|word| word.to_ascii_uppercase())
                .unwrap_or_default();
            match name.as_str() {
                "AUTH" => {
                    let right = words.last() == self.shared.settings.password.as_ref();
                    logged_in |= right;
                    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
                    self.send(if right { "+OK\r\n" } else { wrong })?;
                }
                _ if !logged_in => self.send("-NOAUTH Authentication required.\r\n")?,
                "PSYNC" => return Ok(Some(self.psync(&words)?)),
                "INFO" => {
                    let streamed = self.shared.lock().streamed;
                    let info = self.shared.settings.info_after(streamed);
                    self.send(format!("${}\r\n{info}\r\n", info.len()))?;
                }
                "PING" => self.send("+PONG\r\n")?,
                "REPLCONF" | "CLIENT" | "SELECT" => self.send("+OK\r\n")?,
                _ => self.send(format!("-ERR unknown command '{name}'\r\n"))?,
            }
        }
        Ok(None)
    }

    fn psync(&self, words: &[String]) -> Result<Psync> {
        ensure!(words.len() >= 3, "{words:?} is no PSYNC");
        let next = words[2].parse().with_context(|| format!("{words:?}"))?;
        let failover = words
            .get(3)
            .is_some_and(|word| word.eq_ignore_ascii_case("FAILOVER"));
        let mut state = self.shared.lock();
        state.psyncs += 1;
        Ok(Psync {
            id: words[1].clone(),
            next,
            failover,
            before: state.psyncs - 1,
        })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.wire.write(bytes.as_ref())
    }

    /// Sends bytes in pieces of `chunk_bytes` with a pause after each, so that the other side gets them split there.
    pub fn send_split(&mut self, bytes: &[u8], chunk_bytes: usize, pause: Duration) -> Result<()> {
        for chunk in bytes.chunks(chunk_bytes.max(1)) {
            self.wire.write(chunk)?;
            pause_for(pause);
        }
        Ok(())
    }

    /// Sends a command of the stream, by which the primary's offset grows; how many bytes that is.
    pub fn send_command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<u64> {
        let mut bytes = Vec::new();
        encode(&mut bytes, args);
        self.send(&bytes)?;
        self.shared.lock().streamed += bytes.len() as u64;
        Ok(bytes.len() as u64)
    }

    /// `+FULLRESYNC`, then the snapshot in one of its forms.
    pub fn full_resync(&mut self, id: &str, offset: u64, rdb: &[u8], form: &RdbForm) -> Result<()> {
        self.send(format!("+FULLRESYNC {id} {offset}\r\n"))?;
        self.send(framed(rdb, form))
    }

    /// `+CONTINUE id`
    pub fn resume(&mut self, id: &str) -> Result<()> {
        self.send(format!("+CONTINUE {id}\r\n"))
    }

    /// Waits for a `REPLCONF ACK` of at least `offset`, and says which it was.
    pub fn wait_ack(&mut self, offset: u64, deadline: Duration) -> Result<u64> {
        let end = Instant::now() + deadline;
        let mut last = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "no ACK of {offset} within {deadline:?}; the last was {last:?}"
            );
            self.wire.socket().set_read_timeout(Some(left))?;
            let command = self
                .command()
                .with_context(|| format!("waiting for the ACK of {offset}; the last was {last:?}"))?;
            self.wire.socket().set_read_timeout(Some(PATIENCE))?;
            let command = command.context("the replica hung up")?;
            if let [name, kind, value] = command.as_slice()
                && name.eq_ignore_ascii_case(b"REPLCONF")
                && kind.eq_ignore_ascii_case(b"ACK")
            {
                let acked = String::from_utf8_lossy(value).parse()?;
                if acked >= offset {
                    return Ok(acked);
                }
                last = Some(acked);
            }
        }
    }

    /// Reads and records commands until the replica hangs up.
    pub fn until_hang_up(&mut self) -> Result<()> {
        self.wire.socket().set_read_timeout(None)?;
        // A reset is a way to hang up too.
        while let Ok(Some(_)) = self.command() {}
        Ok(())
    }

    /// Closes with FIN.
    pub fn close(&self) {
        self.wire.hang_up();
    }

    /// Closes with RST as soon as the script returns.
    pub fn reset(&self) {
        self.wire.reset();
        // The primary keeps a second handle for hanging up; without it the last close is ours.
        self.shared
            .lock()
            .sockets
            .retain(|socket| socket.peer_addr().ok() != self.wire.socket().peer_addr().ok());
    }
}

/// A snapshot with its framing.
pub(super) fn framed(rdb: &[u8], form: &RdbForm) -> Vec<u8> {
    match form {
        RdbForm::Length => [format!("${}\r\n", rdb.len()).as_bytes(), rdb].concat(),
        RdbForm::Mark(mark) => [b"$EOF:", mark.as_slice(), b"\r\n", rdb, mark].concat(),
    }
}
