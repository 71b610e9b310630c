//! Rescue files.

use sterna_model::{Rescue, RescueKind};

use super::style::{Style, Tone};
use super::table::{Column, Table};
use super::units::time;
use crate::output;

/// A list of rescue files.
pub(crate) fn rescues(rescues: &[Rescue], style: &Style) -> String {
    if rescues.is_empty() {
        return "there is no rescue file: no failover has left a write behind\n".to_owned();
    }
    let mut table = Table::new(vec![
        Column::right("ID"),
        Column::left("GROUP"),
        Column::left("FROM"),
        Column::right("EPOCH"),
        Column::left("KIND"),
        Column::right("SIZE"),
        Column::right("COMMANDS"),
        Column::left("SAVED"),
    ]);
    for rescue in rescues {
        let commands = rescue
            .summary
            .as_ref()
            .map_or_else(|| "-".to_owned(), |summary| output::count(summary.commands));
        table.row(vec![
            rescue.id.to_string().into(),
            rescue.group.as_str().into(),
            rescue.service.as_str().into(),
            rescue.epoch.to_string().into(),
            kind(rescue.kind).into(),
            output::bytes(rescue.bytes).into(),
            commands.into(),
            time(rescue.saved_at).into(),
        ]);
    }
    table.render(style)
}

/// What is in a rescue file, and what to do with it.
pub(crate) fn rescue(rescue: &Rescue, style: &Style) -> String {
    let mut table = Table::new(vec![Column::left(""), Column::left("")]);
    let mut row = |name: &str, value: String| table.row(vec![name.into(), value.into()]);
    row("rescue", rescue.id.to_string());
    row("group", rescue.group.to_string());
    row(
        "from",
        format!(
            "{} ({}), primary in epoch {}",
            rescue.service, rescue.node, rescue.epoch
        ),
    );
    row("kind", kind(rescue.kind).to_owned());
    row(
        "writes",
        format!(
            "after offset {} up to {} of history {}",
            rescue.from, rescue.to, rescue.history
        ),
    );
    row("size", output::bytes(rescue.bytes));
    row("file", rescue.file.clone());
    row("saved", time(rescue.saved_at));
    if let Some(summary) = &rescue.summary {
        row("commands", output::count(summary.commands));
        let mut by_command: Vec<_> = summary.by_command.iter().collect();
        by_command.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let by_command: Vec<_> = by_command
            .iter()
            .map(|(name, count)| format!("{name} {}", output::count(**count)))
            .collect();
        row("of which", by_command.join(", "));
        row("keys", output::count(summary.keys));
        row("first keys", summary.first_keys.join(" "));
        row("transactions", output::count(summary.transactions));
        let databases: Vec<_> = summary.databases.iter().map(ToString::to_string).collect();
        row("databases", databases.join(", "));
    }
    let mut text = table.render(style);
    let advice = match rescue.kind {
        RescueKind::Commands => format!(
            "look through it, then load what is still wanted: sterna rescue export {} --to - | redis-cli -h PRIMARY --pipe",
            rescue.id
        ),
        RescueKind::Snapshot => format!(
            "nobody can tell which writes were extra, so all data was kept; load it into a server of its own: sterna \
             rescue export {} --to dump.rdb",
            rescue.id
        ),
    };
    text.push_str(&style.paint(Tone::Dim, &advice));
    text.push('\n');
    text
}

fn kind(kind: RescueKind) -> &'static str {
    match kind {
        RescueKind::Commands => "commands",
        RescueKind::Snapshot => "snapshot",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn rescue_files_are_listed_and_explained() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(rescues(&[samples::rescue()], &style));
        insta::assert_snapshot!(rescue(&samples::rescue(), &style));
        assert!(rescues(&[], &style).contains("no rescue file"));
    }
}
