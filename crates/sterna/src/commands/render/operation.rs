//! Operations: their steps as they happen, and in lists.

use std::fmt::Write as _;

use sterna_model::{Operation, OperationKind, OperationState, Step, StepState};

use super::report::report;
use super::style::{Style, Tone};
use super::table::{Cell, Column, Table};
use super::units::{age, millis, time};

/// Step names are padded to this width, so that lines that come one by one line up.
const NAME_WIDTH: usize = 21;

/// `operation 12: switchover of orders to us, asked for by ops`.
pub(crate) fn headline(operation: &Operation) -> String {
    let mut text = format!(
        "operation {}: {} of {}",
        operation.id, operation.kind, operation.group
    );
    if let Some(service) = &operation.service {
        let word = match operation.kind {
            OperationKind::Failover | OperationKind::Switchover => "to",
            _ => "with",
        };
        write!(text, " {word} {service}").expect("a string takes any text");
    }
    if operation.force {
        text.push_str(", forced");
    }
    text
}

/// One step on one line.
pub(crate) fn step_line(step: &Step, style: &Style) -> String {
    let took = step.finished_at.map_or_else(String::new, |end| {
        let ms = end.as_millisecond() - step.started_at.as_millisecond();
        // A step is too short for this to lose anything.
        millis(std::time::Duration::from_millis(ms.max(0).unsigned_abs()).as_secs_f64() * 1_000.0)
    });
    let (tone, word) = match step.state {
        StepState::Running => (Tone::Plain, "begun"),
        StepState::Done => (Tone::Good, "done"),
        StepState::Failed => (Tone::Bad, "FAILED"),
    };
    let padded = format!("{word:<6}");
    let line = format!(
        "  {}  {:<NAME_WIDTH$}  {took:>8}  {}",
        style.paint(tone, &padded),
        step.name,
        step.detail
    );
    line.trim_end().to_owned()
}

/// The steps, where what is tried again and again (waiting for a copy) counts as one: from the first try to the last.
pub(crate) fn whole_steps(operation: &Operation) -> Vec<Step> {
    let mut whole: Vec<Step> = Vec::new();
    for step in &operation.steps {
        match whole.last_mut() {
            Some(last) if last.name == step.name && last.detail == step.detail => {
                last.state = step.state;
                last.finished_at = step.finished_at;
            }
            _ => whole.push(step.clone()),
        }
    }
    whole
}

/// An operation with everything that is known of it.
pub(crate) fn operation(operation: &Operation, style: &Style) -> String {
    let mut text = format!("{}\n", style.paint(Tone::Bold, &headline(operation)));
    let mut table = Table::new(vec![Column::left(""), Column::left("")]).indented(2);
    table.row(vec!["state".into(), state_cell(operation)]);
    if !operation.state.is_final() {
        table.row(vec!["now".into(), activity(operation).into()]);
        let cancel = if operation.committed {
            "past the point of no return: it can only be completed".to_owned()
        } else {
            format!(
                "it can be cancelled still: sterna operation cancel {}",
                operation.id
            )
        };
        table.row(vec!["return".into(), cancel.into()]);
    }
    table.row(vec![
        "asked for".into(),
        format!("{} by {}", time(operation.created_at), operation.requested_by).into(),
    ]);
    table.row(vec!["why".into(), operation.reason.to_string().into()]);
    if let Some(end) = operation.finished_at {
        table.row(vec!["ended".into(), time(end).into()]);
    }
    if let Some(result) = &operation.result {
        table.row(vec!["result".into(), result.to_string().into()]);
    }
    text.push_str(&table.render(style));
    for step in whole_steps(operation) {
        text.push_str(&step_line(&step, style));
        text.push('\n');
    }
    if let Some(facts) = &operation.report {
        text.push_str(&report(facts, style));
    }
    text
}

/// What it is doing at this moment.
pub(crate) fn activity(operation: &Operation) -> String {
    let now = operation.now.as_ref();
    now.map_or_else(|| "it begins".to_owned(), ToString::to_string)
}

/// A list of them.
pub(crate) fn operations(operations: &[Operation], style: &Style) -> String {
    if operations.is_empty() {
        return "there is no operation\n".to_owned();
    }
    let mut table = Table::new(vec![
        Column::right("ID"),
        Column::left("GROUP"),
        Column::left("WHAT"),
        Column::left("STATE"),
        Column::left("BY"),
        Column::left("BEGUN"),
        Column::left("RESULT"),
    ]);
    for operation in operations {
        let what = match &operation.service {
            Some(service) => format!("{} {service}", operation.kind),
            None => operation.kind.to_string(),
        };
        let result = operation.result.as_ref();
        let result = result.map_or_else(|| activity(operation), ToString::to_string);
        table.row(vec![
            operation.id.to_string().into(),
            operation.group.as_str().into(),
            what.into(),
            state_cell(operation),
            operation.requested_by.as_str().into(),
            age(operation.created_at, style.now).into(),
            result.into(),
        ]);
    }
    table.render(style)
}

fn state_cell(operation: &Operation) -> Cell {
    let (tone, word) = match operation.state {
        OperationState::Running => (Tone::Warn, "running"),
        OperationState::Succeeded => (Tone::Good, "succeeded"),
        OperationState::Failed => (Tone::Bad, "failed"),
        OperationState::Cancelled => (Tone::Warn, "cancelled"),
    };
    match operation.progress {
        Some(progress) if operation.state == OperationState::Running => {
            Cell::toned(tone, format!("{word} {:.0}%", progress * 100.0))
        }
        _ => Cell::toned(tone, word),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn an_operation_is_shown_with_its_steps_and_report() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(operation(&samples::switchover(), &style));
    }

    #[test]
    fn a_running_one_says_what_it_is_doing_and_whether_it_can_be_ended() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(operation(&samples::running(), &style));
    }

    #[test]
    fn tries_of_the_same_step_count_as_one() {
        let mut repeated = samples::switchover();
        let mut again = repeated.steps[0].clone();
        again.started_at = repeated.steps[1].started_at;
        again.finished_at = repeated.steps[1].finished_at;
        repeated.steps.insert(1, again);
        let whole = whole_steps(&repeated);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0].started_at, repeated.steps[0].started_at);
        assert_eq!(whole[0].finished_at, repeated.steps[1].finished_at);
    }

    #[test]
    fn operations_are_listed() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(operations(&[samples::running(), samples::switchover()], &style));
        assert_eq!(operations(&[], &style), "there is no operation\n");
    }
}
