//! Groups as they are kept, and the primaries that they have had.

use sterna_model::{Acknowledge, Fencing, Group, HistoryCause, HistoryEntry};

use super::style::{Style, Tone};
use super::table::{Cell, Column, Table};
use super::units::time;
use crate::output;

/// A list of groups.
pub(crate) fn groups(groups: &[Group], style: &Style) -> String {
    if groups.is_empty() {
        return "there is no group yet; make one with `sterna group create`\n".to_owned();
    }
    let mut table = Table::new(vec![
        Column::left("GROUP"),
        Column::right("EPOCH"),
        Column::left("PRIMARY"),
        Column::left("REPLICAS, PREFERRED FIRST"),
        Column::left("FAILOVER"),
        Column::left("SINCE"),
    ]);
    for group in groups {
        let failover = match (group.paused, group.settings.automatic_failover) {
            (true, _) => Cell::toned(Tone::Warn, "paused"),
            (false, true) => "automatic".into(),
            (false, false) => "by hand".into(),
        };
        table.row(vec![
            Cell::toned(Tone::Bold, group.name.as_str()),
            group.epoch.to_string().into(),
            group.primary.as_str().into(),
            names(&group.replicas).into(),
            failover,
            time(group.primary_since).into(),
        ]);
    }
    table.render(style)
}

/// One group with its settings.
pub(crate) fn group(group: &Group, style: &Style) -> String {
    let mut table = Table::new(vec![Column::left(""), Column::left("")]);
    let nodes = group
        .shards
        .values()
        .filter_map(|shard| shard.primary_node.as_ref());
    let nodes: Vec<String> = nodes.map(ToString::to_string).collect();
    let node = if nodes.is_empty() {
        String::new()
    } else {
        format!(" ({})", nodes.join(", "))
    };
    let mut row = |name: &str, value: String| table.row(vec![name.into(), value.into()]);
    row("group", group.name.to_string());
    row("primary", format!("{}{node}", group.primary));
    row("since", time(group.primary_since));
    row("replicas", names(&group.replicas));
    row("epoch", group.epoch.to_string());
    row("paused", yes(group.paused));
    for former in group.former_primaries() {
        row(
            "former primary",
            format!(
                "{} ({}) was primary until epoch {}, and has not come back",
                former.service, former.node, former.epoch
            ),
        );
    }
    row("created", time(group.created_at));
    row("revision", group.revision.to_string());
    let settings = &group.settings;
    row("automatic-failover", yes(settings.automatic_failover));
    let fencing = match settings.fencing {
        Fencing::Lease => "lease",
        Fencing::None => "none",
    };
    row("fencing", fencing.to_owned());
    row("lease-seconds", settings.lease_seconds.to_string());
    row("fence-links", settings.fence_links.to_string());
    row("down-after-ms", settings.down_after_ms.to_string());
    row(
        "sentinel-grace-seconds",
        settings.sentinel_grace_seconds.to_string(),
    );
    row(
        "failover-pause-seconds",
        settings.failover_pause_seconds.to_string(),
    );
    row(
        "max-lag-on-failover-seconds",
        settings.max_lag_on_failover_seconds.to_string(),
    );
    row(
        "switchover-timeout-ms",
        settings.switchover_timeout_ms.to_string(),
    );
    let acknowledge = match settings.acknowledge {
        Acknowledge::Gateway => "gateway",
        Acknowledge::Replica => "replica",
    };
    row("acknowledge", acknowledge.to_owned());
    row("log-max-bytes", output::bytes(settings.log_max_bytes));
    row("tail-bytes", output::bytes(settings.tail_bytes));
    row("unit-bytes-max", output::bytes(settings.unit_bytes_max));
    row("rescue-max-bytes", output::bytes(settings.rescue.max_bytes));
    row("rescue-keep-days", settings.rescue.keep_days.to_string());
    table.render(style)
}

/// The primaries that a group has had, the oldest first.
pub(crate) fn history(entries: &[HistoryEntry], style: &Style) -> String {
    if entries.is_empty() {
        return "nothing has happened yet\n".to_owned();
    }
    let sharded = entries.iter().any(|entry| entry.shards.len() > 1);
    let mut columns = vec![
        Column::right("EPOCH"),
        Column::left("SINCE"),
        Column::left("PRIMARY"),
        Column::left("NODE"),
        Column::left("CAUSE"),
        Column::right("DIVERGENCE OFFSET"),
        Column::right("OPERATION"),
        Column::left("WHY"),
    ];
    if sharded {
        columns.insert(3, Column::right("SHARD"));
    }
    let mut table = Table::new(columns);
    for entry in entries {
        let cause = match entry.cause {
            HistoryCause::Created => "created",
            HistoryCause::Failover => "failover",
            HistoryCause::Switchover => "switchover",
            HistoryCause::WithinService => "within-service",
        };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        for (id, shard) in &entry.shards {
            let mut row = vec![
                entry.epoch.to_string().into(),
                time(entry.at).into(),
                entry.primary.as_str().into(),
                or_dash(shard.node.as_ref().map(ToString::to_string)).into(),
                cause.into(),
                or_dash(shard.divergence_offset.map(|offset| offset.to_string())).into(),
                or_dash(entry.operation.map(|id| id.to_string())).into(),
                entry.reason.to_string().into(),
            ];
            if sharded {
                row.insert(3, id.to_string().into());
            }
            table.row(row);
        }
    }
    table.render(style)
}

fn names(services: &[sterna_model::ServiceName]) -> String {
    let names: Vec<_> = services.iter().map(sterna_model::ServiceName::as_str).collect();
    names.join(", ")
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use sterna_model::ShardId;

    use super::super::samples;
    use super::*;

    #[test]
    fn groups_are_listed_and_shown() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(groups(&[samples::group("orders")], &style));
        insta::assert_snapshot!(group(&samples::group("orders"), &style));
    }

    #[test]
    fn history_is_a_table_of_terms() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(history(&samples::history(), &style));
    }

    #[test]
    fn history_has_a_line_for_each_shard() {
        let style = Style::plain(samples::now());
        let mut terms = samples::history();
        for term in &mut terms {
            let second = term.shards[&ShardId(0)].clone();
            term.shards.insert(ShardId(1), second);
        }
        insta::assert_snapshot!(history(&terms, &style));
    }
}
