//! How groups are doing: what a person needs at three in the morning, worst first.

use std::fmt::Write as _;

use sterna_model::{
    Alert, AlertCode, AlertSubject, GroupState, GroupStatus, NodeStatus, ServiceRole, ServiceStatus,
    Severity, ShardStatus,
};

use super::style::{Style, Tone};
use super::table::{Cell, Column, Table, wrap};
use super::units::{age, amount, span};
use crate::output;

/// What an alert means stands so far from the edge.
const ALERT_INDENT: usize = 6;

/// All groups, the worst first.
pub(crate) fn status(groups: &[GroupStatus], style: &Style) -> String {
    if groups.is_empty() {
        return "there is no group yet; make one with `sterna group create`\n".to_owned();
    }
    let mut sorted: Vec<_> = groups.iter().collect();
    sorted.sort_by_key(|status| (gravity(status.summary.state), status.group.clone()));
    let blocks: Vec<_> = sorted.iter().map(|status| group_block(status, style)).collect();
    blocks.join("\n")
}

/// What changed since the last status, on one line; none if it is only numbers.
pub(crate) fn change_line(before: Option<&GroupStatus>, now: &GroupStatus, style: &Style) -> Option<String> {
    if before.is_some_and(|before| gist(before) == gist(now)) {
        return None;
    }
    let word = now.summary.state.as_str();
    let state = match before {
        Some(before) if before.summary.state != now.summary.state => {
            format!(
                "{} -> {}",
                before.summary.state.as_str(),
                style.paint(tone(now.summary.state), word)
            )
        }
        _ => style.paint(tone(now.summary.state), word),
    };
    let primary = primary(now).map_or("-", |service| service.name.as_str());
    let mut line = format!(
        "{}  {}  {state}  epoch {}  primary {primary}  unreplicated {}",
        now.at.strftime("%H:%M:%SZ"),
        now.group,
        now.summary.epoch,
        amount(now.unreplicated_bytes(), now.unreplicated_seconds()),
    );
    if now.summary.paused {
        line.push_str("  paused");
    }
    if let Some(id) = now.summary.operation {
        write!(line, "  operation {id}").expect("a string takes any text");
    }
    write!(line, "  {}", now.summary.reason).expect("a string takes any text");
    let known =
        |alert: &Alert| before.is_some_and(|before| before.alerts.iter().any(|one| one.is_same(alert)));
    for alert in now.alerts.iter().filter(|alert| !known(alert)) {
        let severity = style.paint(severity_tone(alert.severity), severity_word(alert.severity));
        write!(line, "\n          {severity} {}: {}", alert.subject, alert.reason)
            .expect("a string takes any text");
    }
    Some(line)
}

/// What a change of which is worth a line.
#[derive(Debug, PartialEq)]
struct Gist<'a> {
    state: GroupState,
    epoch: sterna_model::Epoch,
    paused: bool,
    operation: Option<sterna_model::OperationId>,
    services: Vec<(&'a str, ServiceRole, bool)>,
    alerts: Vec<(AlertCode, &'a AlertSubject)>,
    fenced: bool,
}

fn gist(status: &GroupStatus) -> Gist<'_> {
    Gist {
        state: status.summary.state,
        epoch: status.summary.epoch,
        paused: status.summary.paused,
        operation: status.summary.operation,
        services: status
            .services
            .iter()
            .map(|service| (service.name.as_str(), service.role, service.ok))
            .collect(),
        alerts: status
            .alerts
            .iter()
            .map(|alert| (alert.code(), &alert.subject))
            .collect(),
        fenced: status.is_fenced(),
    }
}

fn group_block(status: &GroupStatus, style: &Style) -> String {
    let mut text = format!(
        "{}  {}  epoch {}",
        style.paint(Tone::Bold, status.group.as_str()),
        style.paint(
            tone(status.summary.state),
            &status.summary.state.as_str().to_uppercase()
        ),
        status.summary.epoch,
    );
    if status.summary.paused {
        write!(text, "  {}", style.paint(Tone::Warn, "PAUSED")).expect("a string takes any text");
    }
    text.push('\n');
    alerts(&mut text, status, style);
    let mut lead = Table::new(vec![Column::left(""), Column::left("")]).indented(2);
    lead.row(vec!["why".into(), status.summary.reason.to_string().into()]);
    lead.row(vec![
        "failover".into(),
        status.summary.failover.to_string().into(),
    ]);
    lead.row(vec!["unreplicated".into(), unreplicated(status)]);
    for shard in &status.shards {
        lead.row(vec!["fence".into(), fence(shard)]);
        lead.row(vec!["log".into(), log(shard)]);
    }
    if let Some(id) = status.summary.operation {
        lead.row(vec![
            "operation".into(),
            format!("{id} is under way: sterna operation wait {id}").into(),
        ]);
    }
    text.push_str(&lead.render(style));
    text.push_str(&services(status).render(style));
    text
}

fn unreplicated(status: &GroupStatus) -> Cell {
    let text = format!(
        "{} of writes, if the primary were lost now",
        amount(status.unreplicated_bytes(), status.unreplicated_seconds())
    );
    let tone = if status.unreplicated_seconds() >= 5.0 {
        Tone::Warn
    } else {
        Tone::Plain
    };
    Cell::toned(tone, text)
}

fn fence(shard: &ShardStatus) -> Cell {
    let tone = if shard.fence.is_in_place() {
        Tone::Plain
    } else {
        Tone::Warn
    };
    Cell::toned(tone, shard.fence.to_string())
}

fn log(shard: &ShardStatus) -> Cell {
    let link = shard.link.word();
    match &shard.disk_error {
        Some(error) => Cell::toned(Tone::Bad, format!("{link}, IN MEMORY ONLY: {error}")),
        None => format!("{link}, {} on disk", output::bytes(shard.figures.log_bytes)).into(),
    }
}

fn services(status: &GroupStatus) -> Table {
    let mut table = Table::new(vec![
        Column::left("SERVICE"),
        Column::left("ROLE"),
        Column::left("SITE"),
        Column::right("LAG"),
        Column::left("STATE"),
    ])
    .indented(2);
    for service in &status.services {
        let tone = if service.ok { Tone::Good } else { Tone::Bad };
        let state = match service.nodes.as_slice() {
            [node] => format!("{} ({})", service.condition, node.address),
            _ => service.condition.to_string(),
        };
        table.row(vec![
            Cell::toned(Tone::Bold, service.name.as_str()),
            role_word(service.role).into(),
            service.site.as_ref().map_or("-", |site| site.as_str()).into(),
            service_lag(service).into(),
            Cell::toned(tone, state),
        ]);
        if service.nodes.len() > 1 {
            for node in &service.nodes {
                table.row(vec![
                    format!("  {}", node.address).into(),
                    node.role.as_str().into(),
                    "".into(),
                    node_lag(node).into(),
                    node.condition.to_string().into(),
                ]);
            }
        }
    }
    table
}

/// The lag of the node that is furthest behind.
fn service_lag(service: &ServiceStatus) -> String {
    if service.role == ServiceRole::Primary {
        return "-".to_owned();
    }
    let behind = service
        .nodes
        .iter()
        .filter(|node| node.figures.lag_bytes.is_some());
    behind
        .max_by_key(|node| node.figures.lag_bytes)
        .map_or_else(|| "?".to_owned(), node_lag)
}

fn node_lag(node: &NodeStatus) -> String {
    match (node.figures.lag_bytes, node.figures.lag_seconds) {
        (Some(bytes), Some(seconds)) => amount(bytes, seconds),
        (Some(bytes), None) => output::bytes(bytes),
        (None, Some(seconds)) => span(seconds),
        (None, None) => "-".to_owned(),
    }
}

/// Each alert on a line, with what it means under it.
fn alerts(text: &mut String, status: &GroupStatus, style: &Style) {
    let mut alerts: Vec<_> = status.alerts.iter().collect();
    alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.since));
    for alert in alerts {
        let severity = style.paint(severity_tone(alert.severity), severity_word(alert.severity));
        let since = age(alert.since, style.now);
        writeln!(text, "  {severity}  {}  {} {since}", alert.subject, alert.code())
            .expect("a string takes any text");
        let room = style.width.map_or(usize::MAX, |width| {
            width.saturating_sub(ALERT_INDENT).max(ALERT_INDENT)
        });
        for line in wrap(&alert.reason.to_string(), room) {
            writeln!(text, "{:ALERT_INDENT$}{line}", "").expect("a string takes any text");
        }
    }
}

fn primary(status: &GroupStatus) -> Option<&ServiceStatus> {
    let mut services = status.services.iter();
    services.find(|service| service.role == ServiceRole::Primary)
}

fn tone(state: GroupState) -> Tone {
    match state {
        GroupState::Healthy => Tone::Good,
        GroupState::Starting | GroupState::Copying | GroupState::Changing | GroupState::Degraded => {
            Tone::Warn
        }
        GroupState::PrimaryDown | GroupState::Holding => Tone::Bad,
    }
}

fn gravity(state: GroupState) -> u8 {
    match state {
        GroupState::PrimaryDown => 0,
        GroupState::Holding => 1,
        GroupState::Changing => 2,
        GroupState::Degraded => 3,
        GroupState::Copying => 4,
        GroupState::Starting => 5,
        GroupState::Healthy => 6,
    }
}

fn role_word(role: ServiceRole) -> &'static str {
    match role {
        ServiceRole::Primary => "primary",
        ServiceRole::Replica => "replica",
        ServiceRole::FormerPrimary => "former primary",
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Critical => "CRITICAL",
    }
}

fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Warning => Tone::Warn,
        Severity::Critical => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn groups_are_shown_the_worst_first() {
        let style = Style::plain(samples::now());
        let groups = [samples::healthy("cart"), samples::primary_down("orders")];
        insta::assert_snapshot!(status(&groups, &style));
    }

    #[test]
    fn a_narrow_terminal_wraps_the_words_only() {
        let style = Style {
            width: Some(80),
            ..Style::plain(samples::now())
        };
        insta::assert_snapshot!(status(&[samples::primary_down("orders")], &style));
    }

    #[test]
    fn colours_underline_what_the_words_say() {
        let style = Style {
            colour: true,
            ..Style::plain(samples::now())
        };
        let text = status(&[samples::primary_down("orders")], &style);
        assert!(text.contains("\x1b[1;31mPRIMARY-DOWN\x1b[0m"), "{text}");
    }

    #[test]
    fn without_groups_it_says_how_to_make_one() {
        assert!(status(&[], &Style::plain(samples::now())).contains("sterna group create"));
    }

    #[test]
    fn only_changes_of_substance_get_a_line() {
        let style = Style::plain(samples::now());
        let before = samples::healthy("orders");
        let mut now = before.clone();
        now.shards[0].figures.unreplicated_bytes += 1_000;
        now.summary.reason = sterna_model::GroupReason::FullCopyArrives;
        assert_eq!(change_line(Some(&before), &now, &style), None);
        let down = samples::primary_down("orders");
        insta::assert_snapshot!(change_line(Some(&before), &down, &style).expect("a change"));
        assert!(change_line(None, &before, &style).is_some());
    }
}
