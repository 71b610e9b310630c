//! The last act: everything is compared, and the summary.

use sterna_harness::GROUP;
use sterna_testkit::workload::SequenceWriter;

use crate::assert::assert;
use crate::change::Change;
use crate::nodes::Demo;
use crate::timeline::Timeline;
use crate::units::{count, ms, took};
use crate::verify::{self, Equality};

/// Compares all nodes at rest, counts the orders, and asks the gateway what it counted.
pub(crate) fn compare(
    demo: &Demo,
    application: &SequenceWriter,
    changes: &[Change],
) -> anyhow::Result<Equality> {
    let Demo {
        nodes,
        gateway,
        operator,
        timeline,
        ..
    } = demo;
    let [primary, _] = &nodes.us;
    let known: u64 = changes.iter().map(|change| change.lost_orders).sum();
    let missing = application.missing(&mut primary.client()?)?;
    assert(
        missing.len() as u64 == known,
        format!("no acknowledged order is missing but the {known} that were counted when it happened"),
        format!("{missing:?}"),
    )?;
    timeline.row(
        "stop",
        &format!(
            "{} orders acknowledged, of which {known} are missing; {} attempts failed while there was no primary",
            count(application.acknowledged()),
            count(application.failed().len() as u64),
        ),
    );
    timeline.row(
        "compare",
        "DEBUG DIGEST keeps a server busy for seconds, as if it were lost: nothing is to be done about that",
    );
    operator.show(&["pause", GROUP], 0, timeline)?;
    let equality = verify::equal(nodes, primary)?;
    operator.show(&["resume", GROUP], 0, timeline)?;
    timeline.proven(
        "equal",
        &format!(
            "{} keys, all at offset {}, digested in {}:\neu    {digest}\nus-1  {digest}\nus-2  {digest}",
            count(equality.keys),
            count(equality.offset),
            took(equality.took),
            digest = equality.digest,
        ),
    );
    let status = gateway.status()?;
    assert(
        status.needless_full_syncs() == 0,
        "no node took a full copy that could have continued with a partial resync",
        format!("{} did", status.needless_full_syncs()),
    )?;
    timeline.proven("recopied", "needless full syncs: 0, as the gateway counts them");
    operator.show(&["history", GROUP], 8, timeline)?;
    Ok(equality)
}

/// What the person saw, as a table.
pub(crate) fn summary(changes: &[Change], equality: &Equality, timeline: &Timeline) {
    timeline.act("What you saw");
    let head = ["", "RPO", "RTO", "client's gap", "old primary came back"].map(str::to_owned);
    let rows = changes.iter().map(|change| {
        let rescued = match change.report.rpo.rescue {
            Some(id) => format!(", all in rescue {id}"),
            None => String::new(),
        };
        [
            change.what.to_owned(),
            format!("{} writes{rescued}", count(change.lost)),
            ms(change.report.rto_ms),
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
            count(equality.offset)
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
