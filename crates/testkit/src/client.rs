//! A small blocking RESP2 client: binary safe, pipelining, over TCP or TLS.

mod reply;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

pub use reply::{Reply, ServerError};
pub use stream::ClientTls;
use stream::Stream;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a command may take before the client gives up on it.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to a server.
pub struct Client {
    stream: BufReader<Stream>,
    out: Vec<u8>,
    peer: SocketAddr,
    login: Option<(Option<String>, String)>,
    tls: Option<ClientTls>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.peer)
    }
}

impl Client {
    /// Connects over plain TCP.
    pub fn connect(address: impl ToSocketAddrs) -> Result<Self> {
        Self::over(address, None, None)
    }

    /// Connects over plain TCP; that, and every later read and write, gives up after `timeout`.
    pub fn connect_within(address: impl ToSocketAddrs, timeout: Duration) -> Result<Self> {
        Self::over(address, None, Some(timeout))
    }

    /// Connects over TLS.
    pub fn connect_tls(address: impl ToSocketAddrs, tls: &ClientTls) -> Result<Self> {
        Self::over(address, Some(tls), None)
    }

    fn over(address: impl ToSocketAddrs, tls: Option<&ClientTls>, timeout: Option<Duration>) -> Result<Self> {
        let peer = address
            .to_socket_addrs()?
            .next()
            .context("the name has no address")?;
        let stream = Stream::connect(peer, tls, timeout.unwrap_or(CONNECT_TIMEOUT))
            .with_context(|| format!("connecting to {peer}"))?;
        let client = Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            out: Vec::new(),
            peer,
            login: None,
            tls: tls.cloned(),
        };
        client.set_timeout(timeout.unwrap_or(TIMEOUT))?;
        Ok(client)
    }

    /// Whom this client talks to.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How long a single read or write may block; 60 s at first.
    pub fn set_timeout(&self, timeout: Duration) -> Result<()> {
        self.stream.get_ref().set_timeout(timeout)
    }

    /// One command; an error reply is an [`Err`] that holds a [`ServerError`].
    pub fn cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply> {
        match self.raw(args)? {
            Reply::Error(text) => Err(anyhow!(ServerError(text)).context(summary(args))),
            reply => Ok(reply),
        }
    }

    /// One command; an error reply is a [`Reply::Error`].
    pub fn raw<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply> {
        self.send(args);
        self.flush()?;
        self.receive().with_context(|| summary(args))
    }

    /// Many commands in one go, with all their replies; error replies are [`Reply::Error`].
    pub fn pipeline<C: AsRef<[A]>, A: AsRef<[u8]>>(&mut self, commands: &[C]) -> Result<Vec<Reply>> {
        for command in commands {
            self.send(command.as_ref());
        }
        self.flush()?;
        commands.iter().map(|_| self.receive()).collect()
    }

    /// Adds a command to what the next [`Client::flush`] sends.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        encode(&mut self.out, args);
    }

    /// Adds bytes as they are to what the next [`Client::flush`] sends.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Sends what [`Client::send`] has gathered.
    pub fn flush(&mut self) -> Result<()> {
        let sent = self
            .stream
            .get_mut()
            .write_all(&self.out)
            .and_then(|()| self.stream.get_mut().flush());
        self.out.clear();
        self.out.shrink_to(1 << 20);
        sent.with_context(|| format!("writing to {}", self.peer))
    }

    /// Reads one reply.
    pub fn receive(&mut self) -> Result<Reply> {
        reply::read(&mut self.stream).with_context(|| format!("reading from {}", self.peer))
    }

    /// Reads the replies of so many commands and drops them; an error reply is an [`Err`].
    pub fn discard(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            if let Reply::Error(text) = self.receive()? {
                return Err(ServerError(text).into());
            }
        }
        Ok(())
    }

    /// Logs in; with no user as the default one.
    pub fn log_in(&mut self, user: Option<&str>, password: &str) -> Result<()> {
        match user {
            Some(user) => self.cmd(&["AUTH", user, password])?,
            None => self.cmd(&["AUTH", password])?,
        };
        self.login = Some((user.map(str::to_owned), password.to_owned()));
        Ok(())
    }

    /// Another connection to the same server, with the same login and TLS settings.
    pub fn another(&self) -> Result<Self> {
        let mut client = Self::over(self.peer, self.tls.as_ref(), None)?;
        if let Some((user, password)) = &self.login {
            client.log_in(user.as_deref(), password)?;
        }
        Ok(client)
    }

    /// The fields of an `INFO` section (`""` for the usual ones).
    pub fn info(&mut self, section: &str) -> Result<HashMap<String, String>> {
        let reply = if section.is_empty() {
            self.cmd(&["INFO"])?
        } else {
            self.cmd(&["INFO", section])?
        };
        Ok(reply
            .text()
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// One setting, as `CONFIG GET` has it.
    pub fn setting(&mut self, name: &str) -> Result<String> {
        let reply = self.cmd(&["CONFIG", "GET", name])?;
        let value = reply.array().get(1).map(Reply::text);
        value.with_context(|| format!("{} has no setting {name}", self.peer))
    }

    /// One field of an `INFO` section.
    pub fn info_field(&mut self, section: &str, field: &str) -> Result<String> {
        self.info(section)?
            .remove(field)
            .with_context(|| format!("{} has no {field} in INFO {section}", self.peer))
    }
}

/// Appends a command in its wire form.
pub fn encode<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    let header = |out: &mut Vec<u8>, mark: u8, number: usize| {
        out.push(mark);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    header(out, b'*', args.len());
    for arg in args {
        let arg = arg.as_ref();
        header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// A command short enough to read in an error.
fn summary<A: AsRef<[u8]>>(args: &[A]) -> String {
    let mut text = String::new();
    for arg in args.iter().take(8) {
        let arg = arg.as_ref();
        text.push_str(&arg[..arg.len().min(40)].escape_ascii().to_string());
        text.push_str(if arg.len() > 40 { "… " } else { " " });
    }
    text.truncate(text.trim_end().len());
    if args.len() > 8 {
        text.push_str(" …");
    }
    text
}
