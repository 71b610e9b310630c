//! The last act: everything is compared, and the summary.

use super::cast::Cast;
use super::change::{self, Change};
use super::claim::claim;
use super::operator::GROUP;
use super::proof::{self, Equality};
use super::timeline::{Timeline, took};
use super::writer::{PREFIX, Progress};
use crate::words;

/// Compares all nodes at rest, counts the orders, and asks the gateway what it counted.
pub(super) async fn compare(
    cast: &Cast,
    written: &Progress,
    changes: &[Change],
    timeline: &Timeline,
) -> anyhow::Result<Equality> {
    let [primary, _] = &cast.us;
    let known: u64 = changes.iter().map(|change| change.lost_orders).sum();
    let missing = proof::missing(primary, PREFIX, &written.acknowledged).await?;
    claim(
        missing.len() as u64 == known,
        format!("no acknowledged order is missing but the {known} that were counted when it happened"),
        format!("{missing:?}"),
    )?;
    timeline.row(
        "stop",
        &format!(
            "{} orders acknowledged, of which {known} are missing; {} refused, {} never answered",
            words::count(written.acknowledged.len() as u64),
            words::count(written.refused),
            words::count(written.unanswered)
        ),
    );
    timeline.row(
        "compare",
        "DEBUG DIGEST keeps a server busy for seconds, as if it were lost: nothing is to be done about that",
    );
    let operator = &cast.operator;
    operator.show(&["pause", GROUP], 0, timeline).await?;
    let equality = proof::equal(cast, primary).await?;
    operator.show(&["resume", GROUP], 0, timeline).await?;
    timeline.proven(
        "equal",
        &format!(
            "{} keys, all at offset {}, digested in {}:\neu    {digest}\nus-1  {digest}\nus-2  {digest}",
            words::count(equality.keys),
            words::count(equality.offset),
            took(equality.took),
            digest = equality.digest,
        ),
    );
    let status = operator.status().await?;
    claim(
        status.log.needless_full_syncs == 0,
        "no node took a full copy that could have continued with a partial resync",
        format!("{} did", status.log.needless_full_syncs),
    )?;
    timeline.proven("recopied", "needless full syncs: 0, as the gateway counts them");
    operator.show(&["history", GROUP], 8, timeline).await?;
    Ok(equality)
}

/// What the person saw, as a table.
pub(super) fn summary(changes: &[Change], equality: &Equality, timeline: &Timeline) {
    timeline.act("What you saw");
    let head = ["", "RPO", "RTO", "client's gap", "old primary came back"].map(str::to_owned);
    let rows = changes.iter().map(|change| {
        let rescued = match change.report.rpo.rescue {
            Some(id) => format!(", all in rescue {id}"),
            None => String::new(),
        };
        [
            change.what.to_owned(),
            format!("{} writes{rescued}", words::count(change.lost)),
            change::ms(change.report.rto_ms),
            took(change.gap),
            change.rejoined.to_owned(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    for row in &rows {
        Timeline::plain(&aligned(row, &rows));
    }
    timeline.line(
        "recopied",
        "nothing that could have continued: needless full syncs 0",
    );
    timeline.line(
        "equal",
        &format!(
            "{} on all nodes, at offset {}",
            equality.digest,
            words::count(equality.offset)
        ),
    );
}

/// A row with every cell as wide as the widest of its column.
fn aligned(row: &[String; 5], rows: &[[String; 5]]) -> String {
    let cells = row.iter().enumerate().map(|(column, cell)| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        let width = widths.max().unwrap_or_default();
        format!("  {cell:<width$}")
    });
    cells.collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 5]| cells.map(str::to_owned);
        let rows = [
            row(["", "RPO", "RTO", "", "end"]),
            row(["killed", "0", "1.3 s", "gap", "x"]),
        ];
        assert_eq!(aligned(&rows[0], &rows), "          RPO  RTO         end");
        assert_eq!(aligned(&rows[1], &rows), "  killed  0    1.3 s  gap  x");
    }
}
