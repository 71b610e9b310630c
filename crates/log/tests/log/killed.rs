//! A real process that is killed while it writes, and the real disk that it leaves behind.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sterna_log::sim::SimRng;
use sterna_log::{LogFs, LogSettings, RealFs};

use crate::common::{at, block, id, open, read_all, small, stream_bytes};

/// The directory to write to, in the process that is to be killed.
const DIR_VARIABLE: &str = "STERNA_LOG_KILLED_DIR";
const SEED_VARIABLE: &str = "STERNA_LOG_KILLED_SEED";

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 20_000,
        block_bytes_max: 1000,
        max_bytes: 100_000,
        ..small()
    }
}

/// Not a test of its own: what the process does that [`a_killed_process_loses_nothing_that_it_had_reported`] kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let (Ok(dir), Ok(seed)) = (std::env::var(DIR_VARIABLE), std::env::var(SEED_VARIABLE)) else {
        return;
    };
    let mut rng = SimRng::new(seed.parse().expect("a number"));
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    let mut writer = open(&fs, Path::new(&dir), &settings()).expect("opened").writer;
    if writer.history().current().is_none() {
        writer.begin(id(1), at(0)).expect("begun");
    }
    let mut out = std::io::stdout();
    let mut ids = seed.parse::<u64>().expect("a number") * 1_000_000;
    loop {
        let from = writer.extent().end.get();
        let blocks: Vec<_> = (0..rng.between(1, 4))
            .scan(from, |from, _| {
                let to = *from + rng.between(1, 3000);
                let block = block(*from, to, rng.chance(700));
                *from = to;
                Some(block)
            })
            .collect();
        writer.append(at(from), &blocks).expect("appended");
        match rng.below(40) {
            0 => {
                writer.enforce_retention(from, None).expect("enforced");
            }
            1 if writer.extent().unit_end == writer.extent().end => {
                ids += 1;
                writer
                    .extend_history(id(ids), writer.extent().end)
                    .expect("extended");
            }
            2..15 => {
                let unit_end = writer.extent().unit_end;
                writer.sync().expect("synced");
                writeln!(out, "durable {unit_end}").expect("somebody listens");
            }
            _ => {}
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_had_reported() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fs: Arc<dyn LogFs> = Arc::new(RealFs);
    let mut rng = SimRng::new(7);
    let mut durable = 0;
    for round in 1..=12_u64 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "killed::child_that_writes_until_it_is_killed",
                "--nocapture",
            ])
            .env(DIR_VARIABLE, dir.path())
            .env(SEED_VARIABLE, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut reports_left = rng.between(1, 40);
        while reports_left > 0 {
            let line = lines.next().expect("it writes until it is killed").expect("text");
            if let Some(offset) = line.strip_prefix("durable ") {
                durable = offset.parse().expect("an offset");
                reports_left -= 1;
            }
        }
        // It goes on writing meanwhile, so this is anywhere in what it does.
        child.kill().expect("killed");
        child.wait().expect("waited");
        for line in lines {
            // The last line may be cut off in the middle of a number: then it is only a smaller one.
            if let Some(offset) = line.expect("text").strip_prefix("durable ") {
                durable = offset.parse().unwrap_or(durable).max(durable);
            }
        }

        let opened = open(&fs, dir.path(), &settings()).expect("it opens");
        let (start, end) = (opened.start.get(), opened.end.get());
        assert!(
            end >= durable,
            "round {round}: {durable} was reported durable, the log ends at {end}"
        );
        assert_eq!(opened.recovered.lost_synced_bytes, 0);
        assert_eq!(
            read_all(&mut opened.writer.readers().reader(), start, end, 100_000),
            stream_bytes(0, start, end)
        );
    }
    assert!(durable > 0);
}
