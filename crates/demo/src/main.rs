//! `sterna-demo`: two sites on this machine, with servers of their own, and what happens to them, told as it happens.
//!
//! Real nodes, a real gateway and the operator's commands run as child processes in a temporary directory. Every sentence
//! that the timeline prints about them is measured or asked from outside; one that does not hold ends the demo with an
//! error and keeps the logs. The children end with the demo however that ends: by their values, by
//! [`process::end_all`] when it is told to stop, and, where it is killed with -9, by the testkit's `setpriv
//! --pdeathsig`. Only the directory stays behind in that last case.

mod assert;
mod change;
mod ending;
mod frozen;
mod instructions;
mod killed;
mod node;
mod nodes;
mod operator;
mod planned;
mod script;
mod setup;
mod stale_client;
mod timeline;
mod units;
mod verify;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use sterna_testkit::process;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use timeline::Timeline;

/// Exit code where something is wrong with this machine, such as a missing server program.
const LOCAL: u8 = 5;

/// Two sites on this machine, with servers of their own: failover, rejoin, switchback, rescue.
#[derive(Debug, Parser)]
#[command(name = "sterna-demo", version)]
struct Cli {
    /// Let everything run on at the end, until Ctrl-C, and say how to look around.
    #[arg(long)]
    keep: bool,
    /// Data to fill in, in MiB.
    #[arg(
        long,
        default_value_t = 50,
        value_parser = clap::value_parser!(u64).range(1..=100_000),
        value_name = "MIB"
    )]
    megabytes: u64,
    /// The gateway's program; the one beside this program otherwise.
    #[arg(long, env = "STERNA_DEMO_BINARY", value_name = "FILE")]
    sterna: Option<PathBuf>,
    /// The server program.
    #[arg(
        long,
        env = "STERNA_DEMO_SERVER",
        default_value = "redis-server",
        value_name = "FILE"
    )]
    server: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let engine = match node::engine(&cli.server) {
        Ok(engine) => engine,
        Err(error) => return fail(&error, LOCAL),
    };
    let begun = gateway_program(cli.sterna.clone()).and_then(|sterna| Ok((sterna, directory()?)));
    let (sterna, dir) = match begun {
        Ok(begun) => begun,
        Err(error) => return fail(&error, LOCAL),
    };
    let options = script::Options {
        sterna,
        engine,
        dir: dir.path().to_owned(),
        megabytes: cli.megabytes,
    };
    match run(options, cli.keep) {
        Ok(Ended::Played(timeline)) => {
            if let Err(error) = dir.close() {
                return fail(&error.into(), LOCAL);
            }
            timeline.end("every process has ended, and nothing is left on this machine");
            ExitCode::SUCCESS
        }
        Ok(Ended::Stopped) => {
            drop(dir);
            say("error: stopped before the end: every process of the demo was ended and its data removed");
            ExitCode::FAILURE
        }
        Err(error) => {
            let kept = dir.keep();
            let hint = format!(
                "The demo's processes were ended. What they logged is kept in {}\nhint: read gateway.log and \
                 */server.log there",
                kept.display()
            );
            fail(&error.context(hint), 1)
        }
    }
}

enum Ended {
    /// All of it was played, and with `--keep` looked at for as long as somebody wanted.
    Played(Timeline),
    /// Somebody did not want to see the end.
    Stopped,
}

/// Plays the script on a thread of its own, so that it can be stopped whatever it waits for.
fn run(options: script::Options, keep: bool) -> anyhow::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut stopped = Box::pin(stop_signal());
        let mut play = tokio::task::spawn_blocking(move || script::play(&options));
        let played = tokio::select! {
            played = &mut play => played.context("the demo panicked")??,
            stop = &mut stopped => {
                stop?;
                return Ok(Ended::Stopped);
            }
        };
        if keep {
            instructions::print(&played);
            stopped.await?;
        }
        Ok(Ended::Played(played.into_timeline()))
    });
    if !matches!(ended, Ok(Ended::Played(_))) {
        process::end_all();
    }
    // The thread of a script that was stopped may be waiting for something that does not happen any more.
    runtime.shutdown_background();
    ended
}

/// Ctrl-C, SIGTERM, or the terminal goes away.
async fn stop_signal() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

fn gateway_program(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("sterna"),
    };
    let path = std::path::absolute(path)?;
    anyhow::ensure!(
        path.is_file(),
        "{} is not there\nhint: `make demo` builds it; or say --sterna FILE",
        path.display()
    );
    Ok(path)
}

/// A directory that goes with its value, readable by its owner only.
fn directory() -> anyhow::Result<TempDir> {
    let made = tempfile::Builder::new().prefix("sterna-demo-").tempdir();
    made.context("no temporary directory can be made; set TMPDIR to another place")
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    say(&format!("error: {}", causes.join("\n")));
    ExitCode::from(code)
}

/// One line on stderr. A closed stderr is nobody's loss.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
