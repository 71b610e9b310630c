//! What a process uses, as `/proc` tells.

use std::fs;

use anyhow::{Context, Result};

/// Memory resident now, in bytes.
pub fn rss_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most memory that was ever resident, in bytes.
pub fn peak_rss_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Processor time of all its threads, user and system, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    // The program's name stands in brackets and may hold anything; utime and stime are fields 14 and 15.
    let (_, rest) = text
        .rsplit_once(')')
        .with_context(|| format!("{path}: {text:?}"))?;
    let ticks: u32 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u32>)
        .sum::<Result<u32, _>>()
        .with_context(|| format!("{path}: {text:?}"))?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(f64::from(ticks) / f64::from(per_second))
}

/// Open file descriptors.
pub fn open_files(pid: u32) -> Result<usize> {
    let path = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&path).context(path)?.count())
}

fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .with_context(|| format!("{path}: no {field}"))?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}
