//! The `sterna` command.

mod cli;
mod commands;
mod config;
mod data_dir;
mod display;
mod docs;
mod exit;
mod inspect;
mod metrics;
mod output;
mod promote;
mod replicate;
mod serve;
mod service;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use cli::{Cli, LogVerb, Verb};
use exit::{Classify as _, CommandResult, Failure};

/// Threads for work that blocks: disk jobs of the log, and name lookups.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long such work may go on after the command is done.
const BLOCKING_END_MAX: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.verb, Verb::Serve(_)) {
        init_logging();
    }
    match dispatch(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::message(&format!("error: {}", exit::in_words(&error.error)));
            error.failure.code()
        }
    }
}

fn dispatch(verb: Verb) -> CommandResult {
    if let Some(result) = commands::run(&verb) {
        return result;
    }
    match verb {
        Verb::Config(args) => config::run(&args),
        Verb::Log(LogVerb::Inspect { dir, output }) => inspect::run(&dir, output),
        Verb::Docs { page } => docs::run(page),
        Verb::Completions { shell } => {
            docs::completions(shell);
            Ok(())
        }
        Verb::Man { dir } => docs::manual(&dir),
        other => data_plane(other),
    }
}

/// What runs until it is stopped. `replicate` has one shard and runs it here: a byte passes from socket to socket without
/// waking another thread. The gateway has threads of its own for its shards.
fn data_plane(verb: Verb) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build();
    let runtime = runtime
        .context("the runtime can't be started")
        .class(Failure::Local)?;
    let result = runtime.block_on(async {
        match verb {
            Verb::Serve(args) => serve::run(&args).await,
            Verb::Replicate(args) => replicate::run(&args).await,
            Verb::Promote(args) => promote::run(args).await,
            other => Err(Failure::Other.because(format!("{other:?} has no runner, which is a defect"))),
        }
    });
    // Whatever still blocks (a name lookup) must not keep a process that has said its last word.
    runtime.shutdown_timeout(BLOCKING_END_MAX);
    result
}

/// Structured logs on stderr, where somebody asks for them with `STERNA_LOG`.
fn init_logging() {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("STERNA_LOG") else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}
