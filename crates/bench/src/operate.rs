//! Changes of primary under faults, measured and checked from the outside: the gateway is its own process, asked over
//! its API; the load is a client's; the servers are real.

mod campaign;
mod combined;
mod copy;
mod failover;
mod faults;
mod five_replicas;
mod kept;
mod load;
mod many_groups;
mod nodes;
mod results;
mod split_brain;
mod switchover;
mod table;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
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
    /// Planned changes of primary under load, there and back.
    Switchover {
        #[command(flatten)]
        campaign: Campaign,
    },
    /// Random faults, and a client at every server that never goes elsewhere. The number of a run is its seed.
    SplitBrain {
        #[command(flatten)]
        campaign: Campaign,
        /// Only the run of this seed, as a failed run names it.
        #[arg(long, conflicts_with_all = ["runs", "first"])]
        seed: Option<u64>,
        /// Without the fence: most runs with a partition then fail, which shows that the checks see two writers.
        #[arg(long)]
        unfenced: bool,
    },
    /// Five replica services in one group.
    Five {
        #[command(flatten)]
        campaign: Campaign,
    },
    /// The rest of the fault list.
    Faults {
        #[command(flatten)]
        campaign: Campaign,
        /// Only these.
        #[arg(long, value_enum)]
        only: Vec<faults::Scenario>,
    },
    /// Pairs of situations and a fault that comes into them, of each seed others.
    Combined {
        #[command(flatten)]
        seeds: combined::Seeds,
    },
    /// A full copy under load, beside plain `REPLICAOF`.
    Copy {
        #[command(flatten)]
        size: copy::Size,
    },
    /// Many groups behind one gateway: the cost of doing nothing, and the loss of the site of all primaries at once.
    Many {
        #[command(flatten)]
        size: many_groups::Size,
    },
    /// Everything above but combined ones and many groups, one after the other, whatever fails: of split brain twice as many runs, of five services at most
    /// 3, of the rest of the fault list at most 5.
    All {
        #[command(flatten)]
        campaign: Campaign,
    },
    /// The page of the fault list, from the results of the others.
    Table {
        /// The results.
        file: PathBuf,
        /// Where to write the page; otherwise it is printed.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Measures it.
pub(crate) fn run(what: &Operate) -> Result<()> {
    match what {
        Operate::Failover { campaign, fault } => failover::run(campaign, *fault),
        Operate::Switchover { campaign } => switchover::run(campaign),
        Operate::SplitBrain {
            campaign,
            seed,
            unfenced,
        } => {
            let alone = seed.map(|seed| Campaign {
                runs: 1,
                first: seed,
                ..campaign.clone()
            });
            split_brain::run(alone.as_ref().unwrap_or(campaign), *unfenced)
        }
        Operate::Five { campaign } => five_replicas::run(campaign),
        Operate::Faults { campaign, only } => faults::run(campaign, only),
        Operate::Combined { seeds } => combined::run(seeds),
        Operate::Copy { size } => copy::run(size),
        Operate::Many { size } => many_groups::run(*size),
        Operate::All { campaign } => all(campaign),
        Operate::Table { file, output } => {
            let page = table::render(file)?;
            if let Some(output) = output {
                std::fs::write(output, page).with_context(|| output.display().to_string())?;
            } else {
                crate::print(page.trim_end());
            }
            Ok(())
        }
    }
}

fn all(campaign: &Campaign) -> Result<()> {
    let of = |runs: u64| Campaign {
        runs,
        ..campaign.clone()
    };
    let runs = campaign.runs;
    let faults = [
        failover::Fault::Kill,
        failover::Fault::Freeze,
        failover::Fault::Drop,
    ];
    let done = faults
        .map(|fault| failover::run(campaign, fault))
        .into_iter()
        .chain([
            switchover::run(campaign),
            five_replicas::run(&of(runs.min(3))),
            faults::run(&of(runs.min(5)), &[]),
            split_brain::run(&of(runs * 2), false),
        ]);
    let failed: Vec<String> = done
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
