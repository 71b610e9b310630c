//! The measured facts of a change of primary.

use sterna_model::{Certainty, Report};

use super::style::{Style, Tone};
use super::table::{Cell, Column, Table};
use super::units::{millis, span};
use crate::output;

/// What it cost: writes, time, recopies.
pub(crate) fn report(report: &Report, style: &Style) -> String {
    let mut table = Table::new(vec![Column::left(""), Column::left("")]).indented(2);
    let from = match &report.from_node {
        Some(node) => format!("{} ({node})", report.from),
        None => report.from.to_string(),
    };
    table.row(vec![
        "primary".into(),
        format!(
            "{from} -> {} ({}), epoch {}",
            report.to, report.to_node, report.epoch
        )
        .into(),
    ]);
    table.row(vec!["why".into(), report.reason.to_string().into()]);
    table.row(vec!["RPO".into(), lost(report)]);
    if let Some(id) = report.rpo.rescue {
        table.row(vec![
            "rescued".into(),
            format!("what was left behind is in rescue file {id}: sterna rescue show {id}").into(),
        ]);
    }
    let phases: Vec<_> = report
        .phases
        .iter()
        .map(|phase| format!("{} {}", phase.name, millis(phase.ms)))
        .collect();
    let rto = if phases.is_empty() {
        format!("{} without writes", millis(report.rto_ms))
    } else {
        format!("{} without writes: {}", millis(report.rto_ms), phases.join(", "))
    };
    table.row(vec!["RTO".into(), rto.into()]);
    let tone = if report.full_resyncs == 0 {
        Tone::Plain
    } else {
        Tone::Warn
    };
    table.row(vec![
        "resyncs".into(),
        Cell::toned(
            tone,
            format!("{} partial, {} full", report.partial_resyncs, report.full_resyncs),
        ),
    ]);
    table.render(style)
}

fn lost(report: &Report) -> Cell {
    let rpo = &report.rpo;
    let sure = match (rpo.certainty, rpo.bytes_max) {
        (Certainty::Exact, _) => "counted".to_owned(),
        (Certainty::Estimate, Some(most)) => format!(
            "known of; at most {}; counted when the old primary is back",
            output::bytes(most)
        ),
        (Certainty::Estimate, None) => {
            "known of; nobody can tell how much more; counted when the old primary is back".to_owned()
        }
    };
    if rpo.bytes == 0 && rpo.certainty == Certainty::Exact {
        return Cell::toned(Tone::Good, "no write lost (counted)");
    }
    let commands = rpo.commands.map_or_else(String::new, |commands| {
        format!(", {} commands", output::count(commands))
    });
    let tone = if rpo.bytes == 0 { Tone::Plain } else { Tone::Warn };
    Cell::toned(
        tone,
        format!(
            "{}{commands}, {} of writes left behind ({sure})",
            output::bytes(rpo.bytes),
            span(rpo.seconds)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_report_says_what_was_lost_and_how_long_it_took() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(report(&samples::report(), &style));
    }

    #[test]
    fn nothing_lost_is_said_plainly() {
        let style = Style::plain(samples::now());
        let mut clean = samples::report();
        clean.rpo = sterna_model::Rpo {
            bytes: 0,
            bytes_max: Some(0),
            commands: Some(0),
            seconds: 0.0,
            certainty: Certainty::Exact,
            rescue: None,
        };
        let text = report(&clean, &style);
        assert!(text.contains("no write lost (counted)"), "{text}");
        assert!(!text.contains("rescue"), "{text}");
    }
}
