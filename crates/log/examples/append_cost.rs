//! What writing and reading the log costs in processor time, per GiB of stream.
//!
//! `cargo run --release -p sterna-log --example append_cost -- [DIR]`. DIR should be on the kind of disk that the log
//! will be on; the default is a temporary directory. Writeback by the kernel's own threads is not counted.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sterna_log::{Block, Log, LogFs, LogReader, LogSettings, LogWriter, RealFs};
use sterna_protocol::Offset;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args()
        .nth(1)
        .map_or_else(|| temporary.path().to_owned(), Into::into);
    let mut out = io::stdout();
    writeln!(out, "{:<58} {:>9} {:>9}", "per GiB of stream", "CPU s", "wall s")?;
    for spare_segments in [0, 4] {
        let settings = LogSettings {
            max_bytes: 512 * MIB,
            spare_segments,
            ..LogSettings::default()
        };
        let dir = dir.join(format!("log-{spare_segments}"));
        let mut writer = start(&dir, &settings)?;
        for (what, block_bytes, blocks, sync_every) in [
            (
                "first GiB, blocks of 1 MiB, synced when a segment is full",
                MIB,
                1,
                u64::MAX,
            ),
            ("blocks of 1 MiB, synced when a segment is full", MIB, 1, u64::MAX),
            ("blocks of 1 MiB, each synced", MIB, 1, 1),
            (
                "blocks of 64 KiB, 16 at once, not synced",
                64 * 1024,
                16,
                u64::MAX,
            ),
            (
                "blocks of 16 KiB, one at once, not synced",
                16 * 1024,
                1,
                u64::MAX,
            ),
        ] {
            let (cpu, wall) = measure(|| append(&mut writer, block_bytes, blocks, sync_every))?;
            let what = format!("append, {spare_segments} spare: {what}");
            writeln!(out, "{what:<58} {cpu:>9.3} {wall:>9.3}")?;
        }
        let (read, cpu, wall) = {
            let mut reader = writer.readers().reader();
            let (start, end) = (writer.extent().start, writer.extent().end);
            let (cpu, wall) = measure(|| read(&mut reader, start, end))?;
            (end.bytes_since(start), cpu, wall)
        };
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let per_gib = GIB as f64 / read as f64;
        writeln!(
            out,
            "{:<58} {:>9.3} {:>9.3}",
            "read back, 1 MiB at once",
            cpu * per_gib,
            wall * per_gib
        )?;
        drop(writer);
        let (cpu, wall) = measure(|| open(&dir, &settings).map(drop))?;
        writeln!(out, "{:<58} {cpu:>9.3} {wall:>9.3}", "open (in all, not per GiB)")?;
    }
    Ok(())
}

fn open(dir: &Path, settings: &LogSettings) -> Result<LogWriter, Box<dyn Error>> {
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    Ok(Log::open(fs, dir, settings.clone())?.writer)
}

fn start(dir: &Path, settings: &LogSettings) -> Result<LogWriter, Box<dyn Error>> {
    let mut writer = open(dir, settings)?;
    writer.begin("0123456789abcdef0123456789abcdef01234567".parse()?, Offset::ZERO)?;
    Ok(writer)
}

fn append(
    writer: &mut LogWriter,
    block_bytes: u64,
    blocks: usize,
    sync_every: u64,
) -> Result<(), Box<dyn Error>> {
    let bytes = Bytes::from(vec![0x5a; usize::try_from(block_bytes)?]);
    let block = Block {
        bytes: vec![bytes],
        wall_ms: 1,
        ends_on_unit: true,
    };
    let batch = vec![block; blocks];
    let (end, mut appends) = (writer.extent().end + GIB, 0_u64);
    while writer.extent().end < end {
        writer.append(writer.extent().end, &batch)?;
        appends += 1;
        if appends.is_multiple_of(sync_every) {
            writer.sync()?;
        }
        if appends.is_multiple_of(64) {
            writer.enforce_retention(1, None)?;
        }
    }
    Ok(())
}

fn read(reader: &mut LogReader, mut from: Offset, end: Offset) -> Result<(), Box<dyn Error>> {
    while from < end {
        from += reader.read(from, 1 << 20, end)?.len() as u64;
    }
    Ok(())
}

/// Seconds on the processor and seconds by the clock.
fn measure(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(f64, f64), Box<dyn Error>> {
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    work()?;
    Ok((cpu_seconds()? - cpu, wall.elapsed().as_secs_f64()))
}

fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}
