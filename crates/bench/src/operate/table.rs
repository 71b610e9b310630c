//! The fault list as a page: what failed, what Sterna did, how long nobody took writes, what was lost and where it went.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use super::results::{self, Row};
use crate::stats::{median, quantile};

const HEAD: &str = "# Faults

What happens when something fails: measured, not promised. Each run is a `sterna serve` of its own process, asked over its
API, with real servers and clients that write all the time and count every acknowledgement. Nothing stands here that was
not measured. `make campaign-operate` makes this page.

*Without writes* is the time during which a client that follows by discovery had no write acknowledged, its own timeout
for a silent server included. *Lost* counts acknowledged writes that the group does not have at the end; where they went
stands beside it. Group settings are the defaults (`lease_seconds` 3, `down_after_ms` 1000), but for random faults, which
follow each other within seconds, with `failover_pause_seconds` 2.
";

/// The page from the rows of a file.
pub(super) fn render(path: &Path) -> Result<String> {
    let rows = results::read(path)?;
    ensure!(!rows.is_empty(), "{} has no rows yet", path.display());
    Ok(page(&rows))
}

fn page(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    let engines: BTreeSet<&str> = rows.iter().map(|row| row.engine.as_str()).collect();
    let engines: Vec<&str> = engines.into_iter().collect();
    let days = rows.iter().map(|row| row.at.strftime("%Y-%m-%d").to_string());
    let days: Vec<String> = days.collect::<BTreeSet<_>>().into_iter().collect();
    line(
        &mut text,
        &format!("\nMeasured on {} with {}.\n", days.join(", "), engines.join(", ")),
    );
    line(
        &mut text,
        "| what failed | what Sterna did | runs | without writes, median | max | lost | where they went |",
    );
    line(&mut text, "| --- | --- | ---: | ---: | ---: | ---: | --- |");
    for group in groups(rows) {
        let times: Vec<f64> = group.iter().map(|row| row.without_writes_ms).collect();
        let lost: u64 = group.iter().map(|row| row.losses.lost).sum();
        let cells = [
            group[0].failed.clone(),
            group[0].did.clone(),
            group.len().to_string(),
            seconds(median(&times)),
            seconds(quantile(&times, 1.0)),
            lost.to_string(),
            whereabouts(&group),
        ];
        line(&mut text, &format!("| {} |", cells.join(" | ")));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes all");
}

/// Rows of the same fault and the same outcome together, in the order of their first appearance; outcomes of one fault
/// next to each other.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut faults: Vec<&str> = Vec::new();
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        if !faults.contains(&row.failed.as_str()) {
            faults.push(&row.failed);
        }
        let same = |group: &&mut Vec<&Row>| group[0].failed == row.failed && group[0].did == row.did;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups.sort_by_key(|group| faults.iter().position(|fault| *fault == group[0].failed));
    groups
}

fn whereabouts(rows: &[&Row]) -> String {
    let sum = |of: fn(&Row) -> u64| rows.iter().map(|row| of(row)).sum::<u64>();
    let (lost, rescued) = (sum(|row| row.losses.lost), sum(|row| row.losses.rescued));
    let unacknowledged = sum(|row| row.losses.unacknowledged);
    let mut words = Vec::new();
    if rescued > 0 {
        words.push(format!("{rescued} in rescue files"));
    }
    if lost > rescued {
        words.push(format!(
            "{} gone with the memory of the killed process",
            lost - rescued
        ));
    }
    if unacknowledged > 0 {
        words.push(format!(
            "{unacknowledged} more in rescue files that no client was told of as done"
        ));
    }
    words.join("; ")
}

fn seconds(ms: f64) -> String {
    if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.2} s", ms / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::results::Losses;

    fn row(failed: &str, did: &str, ms: f64, lost: u64, rescued: u64) -> Row {
        let losses = Losses {
            lost,
            rescued,
            unacknowledged: 0,
        };
        Row {
            engine: "redis-7.0.15".to_owned(),
            at: "2026-11-23T00:00:00Z".parse().unwrap(),
            ..Row::new(failed, did, 1, ms, losses)
        }
    }

    #[test]
    fn runs_of_one_fault_and_outcome_become_one_line() {
        let rows = [
            row("killed", "failed over", 900.0, 2, 0),
            row("frozen", "failed over", 5_100.0, 3, 3),
            row("killed", "nothing", 10.0, 0, 0),
            row("killed", "failed over", 1_200.0, 0, 0),
            row("killed", "failed over", 1_000.0, 0, 0),
        ];
        let page = page(&rows);
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("| killed")).collect();
        assert_eq!(
            lines,
            [
                "| killed | failed over | 3 | 1.00 s | 1.20 s | 2 | 2 gone with the memory of the killed process |",
                "| killed | nothing | 1 | 10 ms | 10 ms | 0 |  |",
            ]
        );
        assert!(
            page.contains("| frozen | failed over | 1 | 5.10 s | 5.10 s | 3 | 3 in rescue files |"),
            "{page}"
        );
        assert!(
            page.contains("Measured on 2026-11-23 with redis-7.0.15."),
            "{page}"
        );
    }
}
