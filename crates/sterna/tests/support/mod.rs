//! Runs the `sterna` command beside real servers.

#![allow(dead_code, reason = "every test target uses its own part")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sterna_testkit::process::Source;
use sterna_testkit::{Process, Server, reserve_port, try_wait_until};
use tempfile::TempDir;

/// Long enough for a loaded machine; nothing waits so long where all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The command under test.
pub(crate) fn sterna() -> &'static str {
    env!("CARGO_BIN_EXE_sterna")
}

/// `redis://` URL of a server.
pub(crate) fn url(server: &Server) -> String {
    format!("redis://{}", server.address())
}

/// One `sterna replicate`, with a data directory and a relay port that outlive the process.
pub(crate) struct Link {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: TempDir,
    pub(crate) relay_port: u16,
    pub(crate) extra: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Instead of `data`, for a data directory on a disk of its own.
    pub(crate) data_elsewhere: Option<PathBuf>,
    process: Option<Process>,
    _port: sterna_testkit::Port,
}

impl Link {
    pub(crate) fn new(from: impl Into<String>, to: &[&Server]) -> Self {
        let port = reserve_port().expect("a free port");
        Self {
            from: from.into(),
            to: to.iter().map(|server| url(server)).collect(),
            data: tempfile::tempdir().expect("a temporary directory"),
            relay_port: port.number(),
            extra: Vec::new(),
            env: Vec::new(),
            data_elsewhere: None,
            process: None,
            _port: port,
        }
    }

    pub(crate) fn with(mut self, extra: &[&str]) -> Self {
        self.extra.extend(extra.iter().map(|&word| word.to_owned()));
        self
    }

    /// Adds a target by its URL.
    pub(crate) fn to(mut self, url: impl Into<String>) -> Self {
        self.to.push(url.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn data_at(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_elsewhere = Some(dir.into());
        self
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.data_elsewhere.as_deref().unwrap_or(self.data.path())
    }

    /// With which nodes log in to its relay, as `sterna`.
    pub(crate) fn secret(&self) -> String {
        let text = std::fs::read(self.data_dir().join("link.json")).expect("link.json");
        let stored: Value = serde_json::from_slice(&text).expect("JSON");
        stored["secret"].as_str().expect("a secret").to_owned()
    }

    pub(crate) fn start(&mut self) -> &Process {
        let mut args: Vec<OsString> = vec!["replicate".into(), "--output".into(), "json".into()];
        args.extend(["--from".into(), self.from.clone().into()]);
        for to in &self.to {
            args.extend(["--to".into(), to.into()]);
        }
        args.extend(["--data-dir".into(), self.data_dir().into()]);
        args.extend([
            "--relay-addr".into(),
            format!("127.0.0.1:{}", self.relay_port).into(),
        ]);
        args.extend(self.extra.iter().map(OsString::from));
        let env: Vec<_> = self
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let process = Process::spawn(sterna(), &args, &env).expect("sterna starts");
        self.process.insert(process)
    }

    /// Starts and waits until every target follows the stream.
    pub(crate) fn start_and_follow(&mut self) {
        self.start();
        self.wait_for_count("replica-online", self.to.len());
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("the link runs")
    }

    /// Waits for an event by name, since the process started.
    pub(crate) fn wait_for(&self, event: &str) -> Value {
        self.wait_for_count(event, 1)
    }

    /// Waits until an event has come so often; returns the last of them.
    pub(crate) fn wait_for_count(&self, event: &str, count: usize) -> Value {
        let seen = try_wait_until(DEADLINE, &format!("{count} {event}"), || {
            self.events(event).into_iter().nth(count - 1)
        });
        seen.unwrap_or_else(|error| panic!("{error:#}\n{}", self.process().tail()))
    }

    /// Every event of that name so far.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        let text = self.process().text(Source::Stdout);
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|value| value["event"] == event).collect()
    }

    pub(crate) fn kill9(&mut self) {
        self.process().kill9();
        self.process = None;
    }

    /// Ctrl-C; returns the exit code.
    pub(crate) fn interrupt(&mut self) -> i32 {
        self.process().sigint().expect("the process runs");
        let code = self.process().exit_code(DEADLINE).expect("it ends");
        self.process = None;
        code
    }

    /// Waits until it ends by itself; returns the exit code and what it said on stderr.
    pub(crate) fn ended(&self) -> (i32, String) {
        let code = self
            .process()
            .exit_code(DEADLINE)
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.process().tail()));
        (code, self.process().text(Source::Stderr))
    }
}

/// Runs `sterna` with these arguments to its end: exit code, stdout, stderr.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    let process = Process::spawn(sterna(), args, &[]).expect("sterna starts");
    let code = process
        .exit_code(DEADLINE)
        .unwrap_or_else(|error| panic!("{error:#}\n{}", process.tail()));
    (code, process.text(Source::Stdout), process.text(Source::Stderr))
}
