//! Options of `sterna demo`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running, and say how to look around.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Data to fill in, in MiB.
    #[arg(
        long,
        default_value_t = 50,
        value_parser = clap::value_parser!(u64).range(1..=100_000),
        value_name = "MIB"
    )]
    pub(crate) megabytes: u64,
}
