//! A `sterna serve` on free ports, and the operator verbs that talk to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sterna_testkit::Process;
use sterna_testkit::process::Source;
use tempfile::TempDir;

use crate::support::{DEADLINE, sterna};

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The output, where the command went well.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }

    /// The output as JSON, where the command went well.
    pub(crate) fn json(self) -> Value {
        let text = self.good();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What it said, where it ended with `code`.
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.err
    }
}

/// Runs `sterna` to its end in a directory of its own choice, with nothing of the surroundings' settings.
pub(crate) fn sterna_in(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Said {
    let process = Process::spawn_in(dir, sterna(), args, env).expect("sterna starts");
    let code = process
        .exit_code(DEADLINE)
        .unwrap_or_else(|error| panic!("{args:?}: {error:#}\n{}", process.tail()));
    Said {
        code,
        out: process.text(Source::Stdout),
        err: process.text(Source::Stderr),
    }
}

/// Listens on free ports of this machine, with its data below the directory that it starts in.
pub(crate) fn serve_args<'a>(extra: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["serve", "--data-dir", "data"];
    for listener in ["--listen-api", "--listen-relay", "--listen-discovery"] {
        args.extend([listener, "127.0.0.1:0"]);
    }
    args.extend(extra);
    args
}

/// A running gateway. It ends, and its directory goes, with the value.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) api: String,
    pub(crate) relay: String,
    pub(crate) discovery: String,
    pub(crate) dir: TempDir,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(dir, extra)
    }

    /// Starts on a data directory that is there already.
    pub(crate) fn start_in(dir: TempDir, extra: &[&str]) -> Self {
        Self::start_env_in(dir, extra, &[])
    }

    /// The same with more environment.
    pub(crate) fn start_env_in(dir: TempDir, extra: &[&str], env: &[(&str, &str)]) -> Self {
        let args = serve_args(extra);
        let process = Process::spawn_in(dir.path(), sterna(), &args, env).expect("sterna starts");
        Self::of(process, dir)
    }

    /// One that was just started with these arguments.
    pub(crate) fn of(process: Process, dir: TempDir) -> Self {
        let line = |what: &str| {
            let line = process
                .wait_for_line(what, DEADLINE)
                .unwrap_or_else(|error| panic!("{error:#}"));
            line.split_whitespace().nth(1).expect("an address").to_owned()
        };
        let (api, relay, discovery) = (line("  API "), line("  relay "), line("  discovery "));
        Self {
            process,
            api,
            relay,
            discovery,
            dir,
        }
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.dir.path().join("data/admin-token")
    }

    pub(crate) fn token(&self) -> String {
        let text = std::fs::read_to_string(self.token_file()).expect("the token's file");
        text.trim().to_owned()
    }

    /// Runs a verb against this gateway, as the admin on its machine.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, &[])
    }

    /// The same with more environment.
    pub(crate) fn run_with(&self, args: &[&str], more: &[(&str, &str)]) -> Said {
        let mut env = vec![("STERNA_API", self.api.as_str()), ("STERNA_DATA_DIR", "data")];
        env.extend(more);
        sterna_in(self.dir.path(), args, &env)
    }

    /// SIGTERM; its exit code, and its directory for another start.
    pub(crate) fn stop(self) -> (i32, TempDir) {
        self.process.sigterm().expect("it runs");
        let code = self
            .process
            .exit_code(Duration::from_secs(20))
            .unwrap_or_else(|error| panic!("{error:#}"));
        (code, self.dir)
    }
}
