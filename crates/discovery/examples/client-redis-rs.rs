//! A client program on redis-rs: writes through a Sentinel and reports the longest gap. See `--help`.

#[path = "../tests/clients/numbers.rs"]
mod numbers;
#[path = "../tests/clients/redis_rs.rs"]
mod redis_rs;
#[path = "../tests/clients/report.rs"]
mod report;

use std::io::Write as _;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    let report = redis_rs::run(&numbers::Options::parse())?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    anyhow::ensure!(report.acknowledged > 0, "no write was acknowledged");
    Ok(())
}
