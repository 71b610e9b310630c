//! A small client for one node: log in, ask, configure. One command at a time, each with a time limit.

mod admin;
mod clients;
mod error;

use std::time::Duration;

use bytes::BytesMut;
use sterna_protocol::resp::{ReplyReader, Value, encode_command};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use admin::NodeRole;
pub use clients::{FollowingClient, HandOver};
pub use error::ClientError;
use sterna_protocol::{Credentials, Secret};

use crate::address::NodeAddress;
use crate::connect::{Dialer, Stream};

/// How long one command may take where nothing else is said.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer that is taken: of INFO, CONFIG and the Sentinels they are far below...
const REPLY_BYTES_MAX: u64 = 1 << 20;
/// ...and lists of what clients made grow with that. A line of `CLIENT LIST` has about 350 bytes.
const LIST_BYTES_MAX: u64 = 16 << 20;
const LISTS: [&str; 3] = ["CLIENT", "ACL", "FUNCTION"];

/// Room made for each read.
const READ_BYTES: usize = 16 << 10;

/// What our connections call themselves at a node (`CLIENT SETNAME`), so that neither this gateway nor another one takes
/// them for connections of clients.
pub const CONNECTION_NAME: &str = "sterna";

/// A logged-in connection to a node.
#[derive(Debug)]
pub struct Client {
    address: NodeAddress,
    stream: Stream,
    input: BytesMut,
    reader: ReplyReader,
    timeout: Duration,
    /// Set while an answer is outstanding. Still set at the next command, the answer was never read.
    awaiting: bool,
    greeted: bool,
}

impl Client {
    /// Connects, logs in and makes sure that a Redis or Valkey answers.
    ///
    /// A node that is loading, whose disk is full (`MISCONF`) or whose ACL forbids PING still counts as connected.
    pub async fn connect(dialer: &Dialer) -> Result<Self, ClientError> {
        Self::connect_with_timeout(dialer, COMMAND_TIMEOUT).await
    }

    /// [`Client::connect`] with a limit of one's own for every command, the login included.
    pub async fn connect_with_timeout(dialer: &Dialer, timeout: Duration) -> Result<Self, ClientError> {
        let stream = dialer.dial().await?;
        let mut client = Self {
            address: dialer.address.clone(),
            stream,
            input: BytesMut::new(),
            reader: ReplyReader::with_limit(REPLY_BYTES_MAX),
            timeout,
            awaiting: false,
            greeted: false,
        };
        client.log_in(&dialer.credentials).await?;
        client.greet().await?;
        Ok(client)
    }

    /// Sends one command and returns its answer; an error answer is an `Err`.
    pub async fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, ClientError> {
        let name = command_name(args);
        match self.ask(args).await? {
            Value::Error(text) => Err(ClientError::from_reply(&self.address, &name, &text)),
            value => Ok(value),
        }
    }

    /// Sends one command and returns its answer, error answers included.
    pub async fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Value, ClientError> {
        let mut answers = self.pipeline(&[args]).await?;
        answers
            .pop()
            .ok_or_else(|| self.closed("nothing was asked of it"))
    }

    /// Sends commands in one go and returns their answers in turn, error answers included. The time limit is that of one
    /// command.
    pub async fn pipeline<C: AsRef<[A]>, A: AsRef<[u8]>>(
        &mut self,
        commands: &[C],
    ) -> Result<Vec<Value>, ClientError> {
        match self.converse(commands).await {
            (answers, None) => Ok(answers),
            (_, Some(error)) => Err(error),
        }
    }

    /// The address that was connected to.
    pub fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// The connection.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Changes the time limit of the commands that follow.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Gives the logged-in connection up for another protocol, with what was read beyond the last answer.
    pub fn into_stream(self) -> (Stream, BytesMut) {
        (self.stream, self.input)
    }

    async fn log_in(&mut self, credentials: &Credentials) -> Result<(), ClientError> {
        let password = credentials
            .password
            .as_ref()
            .map(Secret::expose)
            .unwrap_or_default();
        let answer = match &credentials.user {
            Some(user) => self.ask(&[b"AUTH", user.as_bytes(), password]).await?,
            None if credentials.password.is_some() => self.ask(&[b"AUTH", password]).await?,
            None => return Ok(()),
        };
        match answer {
            Value::Error(text) => Err(ClientError::from_auth_reply(&self.address, credentials, &text)),
            _ => Ok(()),
        }
    }

    /// Makes sure that a Redis or Valkey answers, and tells it our name; one whose ACL forbids that goes without.
    async fn greet(&mut self) -> Result<(), ClientError> {
        let commands = [&["PING"][..], &["CLIENT", "SETNAME", CONNECTION_NAME]];
        let (answers, ended) = self.converse(&commands).await;
        if let Some(Value::Error(text)) = answers.first() {
            let refused = ClientError::from_reply(&self.address, "PING", text);
            if !refused.leaves_usable() {
                return Err(refused);
            }
        }
        match ended {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The answers that came, and why no more did.
    async fn converse<C: AsRef<[A]>, A: AsRef<[u8]>>(
        &mut self,
        commands: &[C],
    ) -> (Vec<Value>, Option<ClientError>) {
        let mut answers = Vec::with_capacity(commands.len());
        if self.awaiting {
            let reason = "an earlier command was given up before its answer came";
            return (answers, Some(self.closed(reason)));
        }
        self.awaiting = true;
        let (mut out, mut bytes_max) = (BytesMut::new(), REPLY_BYTES_MAX);
        for command in commands {
            encode_command(&mut out, command.as_ref());
            bytes_max = bytes_max.max(answer_bytes_max(command.as_ref()));
        }
        self.reader.set_limit(bytes_max);
        let limit = self.timeout;
        let outcome = tokio::time::timeout(limit, self.exchange(&out, commands.len(), &mut answers)).await;
        let ended = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(ClientError::Timeout {
                address: self.address.clone(),
                command: commands
                    .get(answers.len())
                    .map_or_else(String::new, |command| command_name(command.as_ref())),
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            }),
        };
        self.awaiting = ended.is_some();
        (answers, ended)
    }

    async fn exchange(
        &mut self,
        commands: &[u8],
        count: usize,
        answers: &mut Vec<Value>,
    ) -> Result<(), ClientError> {
        let written = self.stream.write_all(commands).await;
        let written = match written {
            Ok(()) => self.stream.flush().await,
            failed => failed,
        };
        // A node that refuses us may close before it has read the command: its reason is still there to be read.
        let mut write_error = written.err();
        while answers.len() < count {
            answers.push(self.answer(&mut write_error).await?);
            self.greeted = true;
        }
        Ok(())
    }

    async fn answer(&mut self, write_error: &mut Option<std::io::Error>) -> Result<Value, ClientError> {
        loop {
            let first: Vec<u8> = self.input[..self.input.len().min(64)].to_vec();
            match self.reader.feed(&mut self.input) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) => {}
                Err(error) if !self.greeted => {
                    tracing::debug!(address = %self.address, %error, "the first answer is not RESP");
                    return Err(ClientError::not_redis(&self.address, &first));
                }
                Err(error) => {
                    return Err(ClientError::Garbled {
                        address: self.address.clone(),
                        source: error,
                    });
                }
            }
            self.input.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Err(self.ended(write_error.take())),
                Ok(_) => {}
                Err(error) => return Err(self.ended(Some(write_error.take().unwrap_or(error)))),
            }
        }
    }

    fn ended(&self, error: Option<std::io::Error>) -> ClientError {
        match error {
            None if self.greeted => self.closed("it closed the connection"),
            None => self
                .closed("it closed the connection without an answer (a TLS port does so to a plain client)"),
            Some(error) => match crate::tls::TlsError::from_io(&error) {
                Some(source) => ClientError::Tls {
                    address: self.address.clone(),
                    source,
                },
                None => self.closed(&error.to_string()),
            },
        }
    }

    fn closed(&self, reason: &str) -> ClientError {
        ClientError::Closed {
            address: self.address.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// The largest answer to a command that is taken.
fn answer_bytes_max<A: AsRef<[u8]>>(args: &[A]) -> u64 {
    let is_list = args.first().is_some_and(|name| {
        let mut lists = LISTS.iter();
        lists.any(|list| name.as_ref().eq_ignore_ascii_case(list.as_bytes()))
    });
    if is_list { LIST_BYTES_MAX } else { REPLY_BYTES_MAX }
}

/// What a message calls the command: its name, with the subcommand where the name alone says little.
fn command_name<A: AsRef<[u8]>>(args: &[A]) -> String {
    let word = |arg: &A| String::from_utf8_lossy(arg.as_ref()).to_ascii_uppercase();
    let Some(name) = args.first().map(word) else {
        return String::new();
    };
    match args.get(1) {
        Some(sub)
            if matches!(
                name.as_str(),
                "CONFIG" | "ACL" | "SENTINEL" | "CLUSTER" | "CLIENT"
            ) =>
        {
            format!("{name} {}", word(sub))
        }
        _ => name,
    }
}
