//! Changes of primary under faults, measured and checked from the outside: the gateway is its own process, asked over
//! its API; the load is a client's; the servers are real.

mod campaign;
mod failover;
mod load;
mod rescues;
mod rest;
mod results;
mod site;

use anyhow::Result;
use clap::Subcommand;

use campaign::Campaign;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Operate {
    /// The primary node is lost under load.
    Failover {
        #[command(flatten)]
        campaign: Campaign,
        /// How it is lost.
        #[arg(long, value_enum)]
        fault: failover::Fault,
    },
}

/// Measures it.
pub(crate) fn run(what: &Operate) -> Result<()> {
    match what {
        Operate::Failover { campaign, fault } => failover::run(campaign, *fault),
    }
}
