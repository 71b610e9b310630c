//! Writes numbers one after the other, and tells how long that was impossible: what the programs in Rust have in common.

use std::thread;
use std::time::{Duration, Instant};

use crate::report::Report;

const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(5);
const ERROR_CHARS_MAX: usize = 200;

/// What to write, and where to ask for the primary.
#[derive(Debug, Clone, clap::Parser)]
pub(crate) struct Options {
    /// `HOST:PORT` of a Sentinel; more may be given.
    #[arg(long, required = true)]
    pub(crate) sentinel: Vec<String>,
    /// The group.
    #[arg(long)]
    pub(crate) master: String,
    /// Writes per second.
    #[arg(long, default_value_t = 200.0)]
    pub(crate) rate: f64,
    /// How long.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// What the keys begin with.
    #[arg(long, default_value = "seq:")]
    pub(crate) prefix: String,
    /// The first number.
    #[arg(long, default_value_t = 1)]
    pub(crate) first: u64,
    /// Of a connect, read or write; as the library has it where none is given.
    #[arg(long)]
    pub(crate) timeout_ms: Option<u64>,
    /// 2 or 3.
    #[arg(long, default_value_t = 2)]
    pub(crate) resp: u8,
    /// Password of the nodes.
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Password of the Sentinel.
    #[arg(long)]
    pub(crate) sentinel_password: Option<String>,
}

/// Writes until the time is over. `write` makes one attempt at a number, and gives the primary that took it, where the
/// library says which.
pub(crate) fn run<E: std::fmt::Display>(
    client: &str,
    options: &Options,
    mut write: impl FnMut(u64) -> Result<Option<String>, E>,
) -> Report {
    let mut report = Report {
        client: client.to_owned(),
        ..Report::default()
    };
    let interval = Duration::from_secs_f64(1.0 / options.rate);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.seconds);
    let (mut last, mut due) = (start, start);
    let mut longest_gap = Duration::ZERO;
    let mut number = options.first;
    while Instant::now() < end {
        pause(due.saturating_duration_since(Instant::now()));
        report.attempts += 1;
        match write(number) {
            Ok(primary) => {
                let now = Instant::now();
                if report.acknowledged > 0 && now - last > longest_gap {
                    longest_gap = now - last;
                    report.gap_before = Some(number);
                }
                last = now;
                report.acknowledged += 1;
                report.last_number = number;
                number += 1;
                due = (due + interval).max(now);
                if primary.is_some() && report.primaries.last() != primary.as_ref() {
                    report.primaries.extend(primary);
                }
            }
            Err(error) => {
                let text: String = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
                *report.errors.entry(text).or_default() += 1;
                due = Instant::now() + PAUSE_AFTER_ERROR;
            }
        }
    }
    if last.elapsed() > longest_gap {
        longest_gap = last.elapsed();
        report.gap_before = Some(number);
    }
    report.failed = report.attempts - report.acknowledged;
    report.longest_gap_ms = longest_gap.as_secs_f64() * 1000.0;
    report.seconds = start.elapsed().as_secs_f64();
    report
}

#[expect(clippy::disallowed_methods, reason = "a rate is what was asked for")]
fn pause(time: Duration) {
    thread::sleep(time);
}
