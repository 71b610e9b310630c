//! An inspection for people.

use std::fmt;

use super::{Inspection, SegmentInspection, SegmentState, SnapshotInspection};

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Log in {}", self.dir.display())?;
        match (self.start(), self.end()) {
            (Some(start), Some(end)) => {
                writeln!(
                    f,
                    "It holds offsets {start} to {end}: {} bytes.",
                    end.bytes_since(start)
                )?;
            }
            _ => writeln!(f, "It holds nothing yet.")?,
        }
        if let Some(history) = &self.history {
            writeln!(f, "\nHistory, oldest id first:")?;
            for entry in history.entries() {
                match entry.end {
                    Some(end) => writeln!(f, "  {}  up to {end}", entry.id)?,
                    None => writeln!(f, "  {}  now", entry.id)?,
                }
            }
        }
        if !self.segments.is_empty() {
            writeln!(f, "\nSegments, oldest first:")?;
            let (start, end) = ("START", "END");
            writeln!(
                f,
                "  {start:>20}  {end:>20}  {:>8}  {:<20}  {:<20}  STATE",
                "BLOCKS", "FIRST", "LAST"
            )?;
            self.segments
                .iter()
                .try_for_each(|segment| writeln!(f, "  {segment}"))?;
        }
        if !self.snapshots.is_empty() {
            writeln!(f, "\nSnapshots, oldest first:")?;
            self.snapshots
                .iter()
                .try_for_each(|snapshot| writeln!(f, "  {snapshot}"))?;
        }
        if !self.problems.is_empty() {
            writeln!(f, "\nProblems:")?;
            self.problems
                .iter()
                .try_for_each(|problem| writeln!(f, "  {problem}"))?;
        }
        let verdict = if self.is_sound() {
            "Every checksum holds."
        } else {
            "The log is damaged."
        };
        writeln!(f, "\n{verdict}")
    }
}

impl fmt::Display for SegmentInspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            start, end, blocks, ..
        } = self;
        let (first, last) = (time(self.first_ms), time(self.last_ms));
        write!(
            f,
            "{start:>20}  {end:>20}  {blocks:>8}  {first:<20}  {last:<20}  {}",
            self.state
        )
    }
}

impl fmt::Display for SegmentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::TornTail { offset, what } => {
                write!(
                    f,
                    "unfinished after {offset} ({what}); dropped when the log is opened"
                )
            }
            Self::Damaged { offset, what } => write!(f, "damaged after {offset}: {what}"),
        }
    }
}

impl fmt::Display for SnapshotInspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id, offset, bytes, ..
        } = self;
        let state = match (self.intact, self.durable) {
            (None, _) => "unfinished",
            (Some(false), _) => "damaged: its bytes do not match their checksum",
            (Some(true), true) => "ok",
            (Some(true), false) => "ok, until the next start",
        };
        write!(
            f,
            "{id} at {offset}: {bytes} bytes, {}, {state}",
            time(self.finished_ms)
        )
    }
}

fn time(wall_ms: Option<u64>) -> String {
    let timestamp = wall_ms.map(|wall_ms| {
        let wall_ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(wall_ms)
            .map(|timestamp| timestamp.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
    });
    match timestamp {
        Some(Ok(text)) => text,
        Some(Err(_)) => "beyond all calendars".to_owned(),
        None => "-".to_owned(),
    }
}
