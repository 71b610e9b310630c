//! The `sterna` command.

mod cli;
mod demo;
mod display;
mod docs;
mod exit;
mod inspect;
mod metrics;
mod promote;
mod replicate;
mod service;
mod words;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, LogVerb, Verb};
use exit::{CommandResult, Failure};

/// Threads for work that blocks: disk jobs of the log, and name lookups.
const BLOCKING_THREADS_MAX: usize = 16;

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    // One thread owns the data plane: a byte passes from socket to socket without waking another thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli.verb)),
        Err(error) => Err(Failure::Local.because(format!("the runtime can't be started: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            words::say(&format!("error: {}", exit::in_words(&error.error)));
            error.failure.code()
        }
    }
}

async fn dispatch(verb: Verb) -> CommandResult {
    match verb {
        Verb::Replicate(args) => replicate::run(&args).await,
        Verb::Promote(args) => promote::run(args).await,
        Verb::Log(LogVerb::Inspect { dir, output }) => inspect::run(&dir, output),
        Verb::Docs { page } => docs::run(page),
        Verb::Demo(args) => demo::run(args).await,
    }
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
