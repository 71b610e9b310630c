//! One server process in one folder: start, readiness, signals, end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::folder::Folder;
use crate::client::Client;
use crate::engine::Engine;
use crate::guard::{self, Guarded};
use crate::net::Host;
use crate::port::Port;
use crate::wait::{pause_for, try_wait_until};

/// How long a server may take to answer; loading a large file on a busy machine included.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// How long a server may take to end in order: it may wait 10 s for its replicas.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const LOG_FILE: &str = "server.log";
const LOG_TAIL_LINES: usize = 30;

/// Part of the error when a foreign process answers on the port.
pub(super) const FOREIGN: &str = "another process answers on port";

/// A user (none: the default one) and a password.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: String,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) engine: Engine,
    pub(super) port: Port,
    /// Where it runs; none for beside the tests, on 127.0.0.1.
    pub(super) host: Option<Host>,
    pub(super) config_file: PathBuf,
    pub(super) login: Option<Login>,
    pub(super) child: Option<Guarded>,
    /// Arguments after the configuration file.
    arguments: Vec<String>,
    folder: Folder,
}

impl Instance {
    /// A folder with a configuration file; nothing runs yet.
    pub(super) fn new(
        engine: Engine,
        host: Option<Host>,
        port: Port,
        folder: Folder,
        config: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        let dir = folder.path();
        let config_file = dir.join("server.conf");
        let own = format!("dir {}\nlogfile {}\n", quoted(dir), quoted(&dir.join(LOG_FILE)));
        fs::write(&config_file, own + config).with_context(|| format!("{}", config_file.display()))?;
        Ok(Self {
            engine,
            host,
            port,
            config_file,
            login: None,
            child: None,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            folder,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process and waits until it, and nobody else, answers `PING` on the port.
    pub(super) fn launch(&mut self) -> Result<()> {
        let (program, rest) = self
            .engine
            .program
            .split_first()
            .context("an engine needs a program")?;
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.dir().join("output.log"))?;
        let mut command = guard::command_on(self.host.as_ref(), program);
        command
            .args(rest)
            .arg(&self.config_file)
            .args(&self.arguments)
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        self.child = Some(guard::spawn(command).with_context(|| format!("{program} can't be started"))?);
        self.wait_ready()
            .inspect_err(|_| self.kill9())
            .with_context(|| format!("{} on port {}", self.engine.name, self.port.number()))
    }

    fn wait_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let child = self.child.as_mut().context("it was not started")?;
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}; its log:\n{}", self.log_tail());
            }
            let pid = child.id();
            let state = match self.answering_pid() {
                Ok(answering) if answering == pid.to_string() => return Ok(()),
                Ok(answering) => bail!("{FOREIGN} {}: {answering} and not {pid}", self.port.number()),
                Err(error) => error,
            };
            if start.elapsed() > START_DEADLINE {
                return Err(state.context(format!(
                    "no answer after {} s; its log:\n{}",
                    START_DEADLINE.as_secs(),
                    self.log_tail()
                )));
            }
            pause_for(Duration::from_millis(5));
        }
    }

    fn answering_pid(&self) -> Result<String> {
        let mut client = self.connect_locally()?;
        client.cmd(&["PING"])?;
        client.info_field("server", "process_id")
    }

    pub(super) fn connect(&self) -> Result<Client> {
        self.log_in(Client::connect(self.address())?)
    }

    /// A connection that no fault of a network hits: from its own host, by the loopback interface.
    pub(super) fn connect_locally(&self) -> Result<Client> {
        let loopback = (Ipv4Addr::LOCALHOST, self.port.number());
        match &self.host {
            None => self.connect(),
            Some(host) => self.log_in(host.connect(loopback)?),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        let host = self.host.as_ref().map_or(Ipv4Addr::LOCALHOST, Host::address);
        (host, self.port.number()).into()
    }

    pub(super) fn log_in(&self, client: Client) -> Result<Client> {
        logged_in(client, self.login.as_ref())
    }

    /// The whole log; what went to the standard output (a refused configuration) when there is none.
    pub(super) fn log(&self) -> String {
        let read = |name| fs::read(self.dir().join(name)).unwrap_or_default();
        let output = read("output.log");
        let text = [output, read(LOG_FILE)].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(super) fn log_tail(&self) -> String {
        tail(&self.log())
    }

    pub(super) fn is_running(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => false,
        }
    }

    pub(super) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill9();
        }
    }

    pub(super) fn shutdown(&mut self, command: &[&str]) -> Result<()> {
        self.resume()?;
        let mut client = self.connect_locally()?;
        client.set_timeout(STOP_DEADLINE)?;
        // The server hangs up instead of answering; only a refusal comes as a reply.
        if let Ok(reply) = client.raw(command) {
            bail!("port {}: {reply:?} to {}", self.port.number(), command.join(" "));
        }
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        let ended = try_wait_until(STOP_DEADLINE, "the server to end", || {
            child
                .try_wait()
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "running".to_owned())
        });
        ended.with_context(|| format!("port {}; its log:\n{}", self.port.number(), self.log_tail()))?;
        self.child = None;
        Ok(())
    }

    pub(super) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self
            .child
            .as_ref()
            .with_context(|| format!("port {}: it is down", self.port.number()))?;
        Ok(child.signal(signal)?)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// The client, after it has logged in where that is asked for.
pub(super) fn logged_in(mut client: Client, login: Option<&Login>) -> Result<Client> {
    if let Some(login) = login {
        client.log_in(login.user.as_deref(), &login.password)?;
    }
    Ok(client)
}

/// A path as a configuration file takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
