//! What any process of Sterna has: the version, and what it uses, under the names that Prometheus' own clients give.

use std::fmt::Result;
use std::fs;

use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

use super::writer::{MetricsWriter, float};

/// What `/proc` says of this process; 0 where there is none.
#[derive(Debug, Default)]
struct Usage {
    cpu_seconds: f64,
    /// Unix time, in seconds.
    start_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

pub(super) fn encode(writer: &mut MetricsWriter<'_>) -> Result {
    writer.gauge(
        "sterna_build_info",
        "1, with the version of the program",
        None,
        [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    )?;
    let usage = Usage::read().unwrap_or_default();
    writer.single_seconds(
        "process_cpu",
        "Processor time of this process, user and system, in seconds",
        usage.cpu_seconds,
    )?;
    let mut gauge = |name, help, unit: Option<&Unit>, value| writer.single_gauge(name, help, unit, value);
    gauge(
        "process_start_time",
        "When this process started, in seconds of Unix time",
        Some(&Unit::Seconds),
        usage.start_seconds,
    )?;
    gauge(
        "process_virtual_memory",
        "Virtual memory of this process, in bytes",
        Some(&Unit::Bytes),
        float(usage.virtual_bytes),
    )?;
    gauge(
        "process_resident_memory",
        "Resident memory of this process, in bytes",
        Some(&Unit::Bytes),
        float(usage.resident_bytes),
    )?;
    let open = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
    gauge(
        "process_open_fds",
        "Open file descriptors of this process",
        None,
        float(open),
    )?;
    let most = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, float);
    gauge(
        "process_max_fds",
        "The most file descriptors that this process may have open",
        None,
        most,
    )
}

impl Usage {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name stands in brackets and may hold anything; after it begins field 3 of proc(5).
        let fields: Vec<u64> = text
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let seconds = |ticks| float(ticks) / float(rustix::param::clock_ticks_per_second());
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime "))?;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            start_seconds: float(booted.trim().parse().ok()?) + seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * rustix::param::page_size() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_is_read() {
        let usage = Usage::read().unwrap();
        let now = jiff::Timestamp::now().as_second();
        let age = float(u64::try_from(now).unwrap()) - usage.start_seconds;
        assert!((-2.0..3600.0).contains(&age), "{usage:?}");
        assert!(
            usage.resident_bytes > 1 << 20 && usage.virtual_bytes > usage.resident_bytes,
            "{usage:?}"
        );
    }
}
