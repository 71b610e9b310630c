//! Prometheus metrics of a gateway, taken from the groups' statuses when they are asked for.

use std::fmt::{Result, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use sterna_model::{GroupState, GroupStatus, ServiceRole, ServiceStatus, Severity};
use sterna_replication::Status;

use crate::meters::{Answers, Ended};
use crate::settings::LISTENERS_MAX;
use crate::shared::Shared;

/// The media type of [`render`]'s text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const STATES: [(GroupState, &str); 7] = [
    (GroupState::Starting, "starting"),
    (GroupState::Copying, "copying"),
    (GroupState::Healthy, "healthy"),
    (GroupState::Degraded, "degraded"),
    (GroupState::PrimaryDown, "primary-down"),
    (GroupState::Changing, "changing"),
    (GroupState::Holding, "holding"),
];

/// Everything that the metrics are made from, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) groups: Vec<(GroupStatus, Status)>,
    pub(crate) ready: bool,
    pub(crate) ended: Ended,
    pub(crate) answers: Answers,
    pub(crate) listeners: u64,
    pub(crate) audit_failures: u64,
}

impl Sight {
    /// What is seen now.
    pub(crate) fn of(app: &Shared) -> Self {
        let views = app.control.views();
        Self {
            groups: views
                .values()
                .map(|view| (view.status.borrow().clone(), view.shard.borrow().clone()))
                .collect(),
            ready: app.control.is_ready(),
            ended: app.meters.ended(),
            answers: app.meters.answers(),
            listeners: (LISTENERS_MAX - app.listeners.available_permits()) as u64,
            audit_failures: app.recorder.failed(),
        }
    }
}

/// All metrics as text.
pub(crate) fn render(sight: Sight) -> std::result::Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sight));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// The page that lists the metrics of a gateway.
pub fn metrics_reference() -> String {
    let mut page =
        "## Of a gateway\n\nServed by `sterna serve` at `/metrics` of the API, with a viewer's token unless \
                    `metrics_public` is set.\n\n| metric | type | meaning |\n| --- | --- | --- |\n"
            .to_owned();
    let mut kinds = std::collections::BTreeMap::new();
    let sheet = render(Sight::default()).expect("writing to a string can't fail");
    for line in sheet.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                kinds.entry(name).or_insert(("", "")).1 = help;
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                kinds.entry(name).or_insert(("", "")).0 = kind;
            }
            _ => {}
        }
    }
    for (name, (kind, help)) in kinds {
        let total = if kind == "counter" { "_total" } else { "" };
        let help = help.trim_end_matches('.');
        writeln!(page, "| `{name}{total}` | {kind} | {help} |").expect("writing to a string can't fail");
    }
    page
}

/// Writes metrics one after the other.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
    fn gauge<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        series: impl IntoIterator<Item = (L, f64)>,
    ) -> Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in series {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A gauge of the gateway as a whole.
    fn single_gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> Result {
        let encoder = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// A counter of the gateway as a whole.
    fn single_counter(&mut self, name: &str, help: &str, value: u64) -> Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn counter<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Sight {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
        let mut sheet = Sheet(encoder);
        self.encode_groups(&mut sheet)?;
        self.encode_services(&mut sheet)?;
        self.encode_logs(&mut sheet)?;
        self.encode_syncs(&mut sheet)?;
        self.encode_gateway(&mut sheet)
    }
}

impl Sight {
    /// One series for each group.
    fn per_group<'a, T>(
        &'a self,
        value: impl Fn(&GroupStatus, &Status) -> T + 'a,
    ) -> impl Iterator<Item = ([(&'static str, &'a str); 1], T)> {
        self.groups
            .iter()
            .map(move |(group, shard)| ([("group", group.group.as_str())], value(group, shard)))
    }

    fn encode_groups(&self, sheet: &mut Sheet<'_>) -> Result {
        let states = self.groups.iter().flat_map(|(group, _)| {
            STATES.iter().map(|(state, word)| {
                let labels = [("group", group.group.as_str()), ("state", *word)];
                (labels, truth(*state == group.state))
            })
        });
        sheet.gauge(
            "sterna_group_state",
            "1 for the state that the group is in",
            None,
            states,
        )?;
        sheet.gauge(
            "sterna_group_epoch",
            "The group's term: one more at each change of primary",
            None,
            self.per_group(|group, _| float(group.epoch.0)),
        )?;
        sheet.gauge(
            "sterna_group_paused",
            "1 while nothing is changed by itself",
            None,
            self.per_group(|group, _| truth(group.paused)),
        )?;
        sheet.gauge(
            "sterna_group_operation_running",
            "1 while an operation is under way",
            None,
            self.per_group(|group, _| truth(group.operation.is_some())),
        )?;
        sheet.gauge(
            "sterna_group_unreplicated",
            "Bytes of writes that would be lost if the primary were lost now",
            Some(&Unit::Bytes),
            self.per_group(|group, _| float(group.unreplicated_bytes)),
        )?;
        sheet.gauge(
            "sterna_group_unreplicated",
            "For how long the writes that would be lost if the primary were lost now have been made, in seconds",
            Some(&Unit::Seconds),
            self.per_group(|group, _| group.unreplicated_seconds),
        )?;
        sheet.gauge(
            "sterna_group_fence_in_place",
            "1 while the fence at the primary is in place",
            None,
            self.per_group(|group, _| truth(group.fence.in_place)),
        )?;
        let severities = [(Severity::Warning, "warning"), (Severity::Critical, "critical")];
        let alerts = self.groups.iter().flat_map(|(group, _)| {
            severities.map(|(severity, word)| {
                let alerts = group.alerts.iter().filter(|alert| alert.severity == severity);
                let labels = [("group", group.group.as_str()), ("severity", word)];
                (labels, float(alerts.count() as u64))
            })
        });
        sheet.gauge("sterna_group_alerts", "Alerts that need a person", None, alerts)
    }

    fn encode_services(&self, sheet: &mut Sheet<'_>) -> Result {
        let services = || {
            self.groups.iter().flat_map(|(group, _)| {
                group
                    .services
                    .iter()
                    .map(|service| (group.group.as_str(), service))
            })
        };
        let ok = services().map(|(group, service)| {
            let role = match service.role {
                ServiceRole::Primary => "primary",
                ServiceRole::Replica => "replica",
                ServiceRole::FormerPrimary => "former-primary",
            };
            let labels = [
                ("group", group),
                ("service", service.name.as_str()),
                ("role", role),
            ];
            (labels, truth(service.ok))
        });
        sheet.gauge("sterna_service_ok", "1 while the service does its part", None, ok)?;
        let lag = |of: fn(&ServiceStatus) -> Option<f64>| {
            services().filter_map(move |(group, service)| {
                let labels = [("group", group), ("service", service.name.as_str())];
                Some((labels, of(service)?))
            })
        };
        let help = "How far the service's slowest node is behind the primary";
        let bytes = lag(|service| slowest(service.nodes.iter().map(|node| node.lag_bytes.map(float))));
        sheet.gauge("sterna_service_lag", help, Some(&Unit::Bytes), bytes)?;
        let seconds = lag(|service| slowest(service.nodes.iter().map(|node| node.lag_seconds)));
        sheet.gauge("sterna_service_lag", help, Some(&Unit::Seconds), seconds)?;
        let nodes = || {
            services().flat_map(|(group, service)| {
                service.nodes.iter().map(move |node| {
                    let labels = [
                        ("group", group.to_owned()),
                        ("service", service.name.to_string()),
                        ("node", node.address.to_string()),
                    ];
                    (labels, node)
                })
            })
        };
        let help = "How far the node is behind the primary";
        let bytes = nodes().filter_map(|(labels, node)| Some((labels, float(node.lag_bytes?))));
        sheet.gauge("sterna_node_lag", help, Some(&Unit::Bytes), bytes)?;
        let seconds = nodes().filter_map(|(labels, node)| Some((labels, node.lag_seconds?)));
        sheet.gauge("sterna_node_lag", help, Some(&Unit::Seconds), seconds)
    }

    fn encode_logs(&self, sheet: &mut Sheet<'_>) -> Result {
        sheet.gauge(
            "sterna_group_log_start_offset",
            "The oldest offset from which a replica node can continue",
            None,
            self.per_group(|_, shard| float(shard.log_start.get())),
        )?;
        sheet.gauge(
            "sterna_group_log_end_offset",
            "The offset of the last whole unit received from the primary",
            None,
            self.per_group(|_, shard| float(shard.log_end.get())),
        )?;
        sheet.gauge(
            "sterna_group_log",
            "Bytes of the replication log on disk",
            Some(&Unit::Bytes),
            self.per_group(|_, shard| float(shard.log_bytes)),
        )?;
        sheet.gauge(
            "sterna_group_log_on_disk",
            "1 while the log is written to disk, 0 while the disk refuses it",
            None,
            self.per_group(|_, shard| truth(shard.disk_error.is_none())),
        )?;
        sheet.gauge(
            "sterna_group_memory",
            "Stream and snapshot held in memory",
            Some(&Unit::Bytes),
            self.per_group(|_, shard| float(shard.memory_bytes)),
        )?;
        sheet.counter(
            "sterna_group_stream_received",
            "Bytes of stream received from the primary",
            Some(&Unit::Bytes),
            self.per_group(|_, shard| shard.counters.stream_bytes),
        )?;
        sheet.counter(
            "sterna_group_stream_commands",
            "Commands received from the primary",
            None,
            self.per_group(|_, shard| shard.counters.commands),
        )
    }

    fn encode_syncs(&self, sheet: &mut Sheet<'_>) -> Result {
        let directions = |of: fn(&Status) -> [u64; 2]| {
            self.groups.iter().flat_map(move |(group, shard)| {
                let [up, down] = of(shard);
                [("up", up), ("down", down)].map(|(direction, count)| {
                    let labels = [("group", group.group.as_str()), ("direction", direction)];
                    (labels, count)
                })
            })
        };
        sheet.counter(
            "sterna_group_full_syncs",
            "Full copies: up from the primary, down to replica nodes",
            None,
            directions(|shard| [shard.counters.full_syncs_up, shard.counters.full_syncs_down]),
        )?;
        sheet.counter(
            "sterna_group_partial_syncs",
            "Partial resyncs: up with the primary, down with replica nodes",
            None,
            directions(|shard| [shard.counters.partial_syncs_up, shard.counters.partial_syncs_down]),
        )?;
        sheet.counter(
            "sterna_group_reconnects",
            "Attempts to connect to the primary after the first",
            None,
            self.per_group(|_, shard| shard.counters.reconnects),
        )?;
        let violations = self.groups.iter().map(|(group, shard)| {
            let labels = [("group", group.group.as_str()), ("invariant", "I5")];
            (labels, shard.counters.full_syncs_needless)
        });
        sheet.counter(
            "sterna_invariant_violations",
            "Times that an invariant was seen broken; I5: full copies given to nodes that held a part of this history",
            None,
            violations,
        )
    }

    fn encode_gateway(&self, sheet: &mut Sheet<'_>) -> Result {
        sheet.single_gauge(
            "sterna_ready",
            "1 once every group was taken up after the start",
            None,
            truth(self.ready),
        )?;
        let ended = self
            .ended
            .iter()
            .map(|((kind, result), count)| ([("kind", *kind), ("result", *result)], *count));
        sheet.counter(
            "sterna_operations_finished",
            "Operations that ended since the start, by kind and result",
            None,
            ended,
        )?;
        let answers = self.answers.iter().map(|((action, status), count)| {
            let labels = [("action", (*action).to_owned()), ("status", status.to_string())];
            (labels, *count)
        });
        sheet.counter(
            "sterna_api_requests",
            "Answers of the API by what was asked for and status",
            None,
            answers,
        )?;
        sheet.single_gauge(
            "sterna_api_listeners",
            "Who listens to events",
            None,
            float(self.listeners),
        )?;
        sheet.single_counter(
            "sterna_api_audit_failures",
            "Requests that could not be written to the audit",
            self.audit_failures,
        )?;
        sheet.single_gauge(
            "sterna_process_resident",
            "Resident memory of this process",
            Some(&Unit::Bytes),
            float(resident_bytes()),
        )
    }
}

fn slowest(lags: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    lags.flatten().reduce(f64::max)
}

fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; sizes and offsets fit in 53 bits"
)]
fn float(value: u64) -> f64 {
    value as f64
}

/// Memory of this process that is resident, in bytes, from `/proc`; 0 where there is none.
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}
