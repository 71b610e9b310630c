//! The client programs, one for each library, and the libraries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use sterna_testkit::Process;
use sterna_testkit::process::Source;

use crate::numbers::Options;
use crate::redis_rs;
use crate::report::Report;

/// Longer than any client program runs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A library.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Library {
    RedisPy,
    IoRedis,
    RedisRs,
}

/// A client program at work.
pub(crate) enum Client {
    Program(Process),
    Thread(thread::JoinHandle<anyhow::Result<Report>>),
}

impl Client {
    /// Starts it with the arguments that all of them take.
    pub(crate) fn start(library: Library, args: Vec<String>) -> Self {
        // From the directory of any crate: that of the gateway drives these programs, too.
        let program = |name: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../discovery/tests/clients")
                .join(name);
            path.to_string_lossy().into_owned()
        };
        let (interpreter, script) = match library {
            Library::RedisPy => (installed().join("python/bin/python"), program("redis_py.py")),
            Library::IoRedis => {
                installed();
                (PathBuf::from("node"), program("ioredis.js"))
            }
            Library::RedisRs => {
                return Self::thread(args, redis_rs::run);
            }
        };
        let mut all = vec![script];
        all.extend(args);
        Self::Program(Process::spawn(interpreter, &all, &[]).expect("the client program starts"))
    }

    /// A library of this process.
    pub(crate) fn thread(args: Vec<String>, run: fn(&Options) -> anyhow::Result<Report>) -> Self {
        let args = ["client".to_owned()].into_iter().chain(args);
        let options = Options::parse_from(args);
        Self::Thread(thread::spawn(move || run(&options)))
    }

    /// Waits for its end and gives its report.
    pub(crate) fn report(self) -> Report {
        match self {
            Self::Thread(thread) => thread.join().expect("no panic").expect("the client ran"),
            Self::Program(process) => {
                let code = process.exit_code(DEADLINE).expect("the client program ends");
                assert_eq!(code, 0, "{}", process.tail());
                let line = process.text(Source::Stdout);
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
            }
        }
    }
}

/// Where `scripts/clients` puts the libraries; they are there when this returns.
pub(crate) fn installed() -> PathBuf {
    static DONE: OnceLock<()> = OnceLock::new();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    DONE.get_or_init(|| {
        let output = Command::new(workspace.join("scripts/clients"))
            .output()
            .expect("the script can be run");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/clients failed: {words}");
    });
    workspace.join("target/clients")
}
