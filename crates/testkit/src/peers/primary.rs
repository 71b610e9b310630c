//! A primary by script: it introduces itself like a real one, then does just what the script says.

mod session;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};

use crate::port::{Port, reserve_port};
use crate::wait::try_wait_until;
pub use session::{Psync, Session};

/// What a script is: called on a thread of its own for each connection that it is meant for.
type Script = Box<dyn Fn(&mut Session, Option<&Psync>) -> Result<()> + Send + Sync>;

/// A listening fake primary; it ends with the value, and its connections with it.
#[derive(Debug)]
pub struct ScriptedPrimary {
    port: Port,
    shared: Arc<Shared>,
    // Closing it ends the thread that accepts.
    _stop: UnixStream,
}

/// What a fake primary says about itself.
#[derive(Debug, Clone)]
#[must_use = "nothing listens before start()"]
pub struct PrimaryBuilder {
    info: String,
    password: Option<String>,
}

/// What happened on one connection.
#[derive(Debug, Clone, Default)]
pub struct SessionRecord {
    /// All commands that came, in their order.
    pub commands: Vec<Vec<Vec<u8>>>,
    /// How the script ended; `None` while it runs.
    pub outcome: Option<Result<(), String>>,
}

impl SessionRecord {
    /// The commands as text, words separated by spaces.
    pub fn lines(&self) -> Vec<String> {
        let word = |arg: &Vec<u8>| arg.escape_ascii().to_string();
        self.commands
            .iter()
            .map(|command| command.iter().map(word).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

pub(super) struct Shared {
    script: Script,
    raw: bool,
    settings: PrimaryBuilder,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<SessionRecord>,
    sockets: Vec<TcpStream>,
    psyncs: usize,
    /// Bytes of stream that were sent, each once.
    streamed: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl PrimaryBuilder {
    /// What `INFO` answers when so much of the stream was sent.
    fn info_after(&self, streamed: u64) -> String {
        let field = "master_repl_offset:";
        let line = |line: &str| match line.strip_prefix(field).and_then(|at| at.parse::<u64>().ok()) {
            Some(at) => format!("{field}{}\r\n", at + streamed),
            None => format!("{line}\r\n"),
        };
        self.info.lines().map(line).collect()
    }
}

impl Default for PrimaryBuilder {
    fn default() -> Self {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:\
                    1111111111111111111111111111111111111111\r\n# Persistence\r\nloading:0\r\n# Replication\r\n\
                    role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n\
                    master_replid:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\
                    master_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:0\r\n\
                    second_repl_offset:-1\r\nrepl_backlog_active:0\r\n# Cluster\r\ncluster_enabled:0\r\n";
        Self {
            info: info.to_owned(),
            password: None,
        }
    }
}

impl PrimaryBuilder {
    /// Replaces fields of what `INFO` answers.
    pub fn info(mut self, field: &str, value: &str) -> Self {
        let mut lines: Vec<String> = self
            .info
            .lines()
            .filter(|line| !line.starts_with(&format!("{field}:")))
            .map(str::to_owned)
            .collect();
        lines.push(format!("{field}:{value}"));
        self.info = lines.join("\r\n") + "\r\n";
        self
    }

    /// The password that a replica must know.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Listens. The handshake and `INFO` are answered as a server would; the script runs for every connection that
    /// comes to `PSYNC`, whose first answer is up to it.
    pub fn start(
        self,
        script: impl Fn(&mut Session, &Psync) -> Result<()> + Send + Sync + 'static,
    ) -> Result<ScriptedPrimary> {
        self.listen(
            false,
            Box::new(move |session, psync| psync.map_or(Ok(()), |psync| script(session, psync))),
        )
    }

    /// Listens. The script runs for every connection from its first byte on.
    pub fn start_raw(
        self,
        script: impl Fn(&mut Session) -> Result<()> + Send + Sync + 'static,
    ) -> Result<ScriptedPrimary> {
        self.listen(true, Box::new(move |session, _| script(session)))
    }

    fn listen(self, raw: bool, script: Script) -> Result<ScriptedPrimary> {
        let port = reserve_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))?;
        listener.set_nonblocking(true)?;
        let (stop, stopped) = UnixStream::pair()?;
        let shared = Arc::new(Shared {
            script,
            raw,
            settings: self,
            state: Mutex::default(),
        });
        let inner = Arc::clone(&shared);
        thread::spawn(move || accept_until(&listener, &stopped, &inner));
        Ok(ScriptedPrimary {
            port,
            shared,
            _stop: stop,
        })
    }
}

impl ScriptedPrimary {
    /// A fake primary that says it is Redis 7.0.15 with an empty history.
    pub fn builder() -> PrimaryBuilder {
        PrimaryBuilder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// The port where it listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// All connections so far.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        self.shared.lock().records.clone()
    }

    /// How often `PSYNC` was asked.
    pub fn psyncs(&self) -> usize {
        self.shared.lock().psyncs
    }

    /// Waits until `PSYNC` was asked so many times.
    pub fn wait_psyncs(&self, count: usize, deadline: Duration) -> Result<()> {
        try_wait_until(deadline, &format!("{count} times PSYNC"), || {
            let state = self.shared.lock();
            if state.psyncs >= count {
                Ok(())
            } else {
                Err(format!("{} times: {:?}", state.psyncs, state.records))
            }
        })
    }

    /// Closes all connections.
    pub fn hang_up(&self) {
        for socket in self.shared.lock().sockets.drain(..) {
            // One that is gone already can't be closed again.
            drop(socket.shutdown(std::net::Shutdown::Both));
        }
    }
}

impl Drop for ScriptedPrimary {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept_until(listener: &TcpListener, stopped: &UnixStream, shared: &Arc<Shared>) {
    loop {
        let mut wanted = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        if poll(&mut wanted, None).is_err() {
            continue;
        }
        if !wanted[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((socket, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || run(socket, &shared));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn run(socket: TcpStream, shared: &Arc<Shared>) {
    let Ok(clone) = socket.try_clone() else { return };
    let number = {
        let mut state = shared.lock();
        state.sockets.push(clone);
        state.records.push(SessionRecord::default());
        state.records.len() - 1
    };
    let outcome = play(socket, number, shared);
    let mut state = shared.lock();
    state.records[number].outcome = Some(outcome.map_err(|error| format!("{error:#}")));
}

fn play(socket: TcpStream, number: usize, shared: &Arc<Shared>) -> Result<()> {
    socket.set_nonblocking(false)?;
    let mut session = Session::new(socket, number, Arc::clone(shared))?;
    let result = if shared.raw {
        (shared.script)(&mut session, None)
    } else {
        match session.handshake()? {
            None => Ok(()),
            Some(psync) => (shared.script)(&mut session, Some(&psync)),
        }
    };
    session.close();
    result
}
