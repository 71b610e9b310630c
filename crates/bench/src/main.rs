//! Benchmarks: Sterna and plain `REPLICAOF` side by side in one run, on this machine; and changes of primary under faults.
//!
//! Times depend on the machine; what counts in the comparison is the ratio of two measurements that were taken in turn.

mod catch_up;
mod full_sync;
mod gateway;
mod lateness;
mod offline;
mod operate;
mod stats;

use std::io::Write as _;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmarks side by side with native replication.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Catch-up, full sync, lateness and processor time against plain REPLICAOF.
    Replicate {
        /// Runs of each; medians are compared.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Only this part: catch-up, full-sync or lateness.
        #[arg(long)]
        only: Option<String>,
    },
    /// A replica that is away for a long stretch of stream: how it comes back, and the gateway's memory meanwhile.
    Offline {
        /// Bytes of stream that it misses, in MiB.
        #[arg(long, default_value_t = 2048)]
        mebibytes: u64,
    },
    /// Changes of primary under faults, with `sterna serve` as it is run.
    #[command(subcommand)]
    Operate(operate::Operate),
}

fn main() -> Result<()> {
    match Cli::parse().bench {
        Bench::Replicate { runs, only } => replicate(runs, only.as_deref()),
        Bench::Offline { mebibytes } => offline::run(mebibytes << 20),
        Bench::Operate(what) => operate::run(&what),
    }
}

fn replicate(runs: usize, only: Option<&str>) -> Result<()> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    if wanted("catch-up") {
        catch_up::run(runs)?;
    }
    if wanted("full-sync") {
        full_sync::run(runs)?;
    }
    if wanted("lateness") {
        lateness::run(runs)?;
    }
    Ok(())
}

/// Prints a line of results.
pub(crate) fn print(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
