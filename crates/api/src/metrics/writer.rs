//! Writes metrics as text, and the page that lists them.

use std::collections::BTreeMap;
use std::fmt::{Result, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Everything that a collector has, as text in the format of `OpenMetrics`.
pub(super) fn encode(collector: Box<dyn Collector>) -> std::result::Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(collector);
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// A table of the metrics in a text that [`encode`] made.
pub(super) fn table(metrics: &str) -> String {
    let mut kinds: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => kinds.entry(name).or_default().1 = help,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => kinds.entry(name).or_default().0 = kind,
            _ => {}
        }
    }
    let mut table = "| metric | type | meaning |\n| --- | --- | --- |\n".to_owned();
    for (name, (kind, help)) in kinds {
        let total = if kind == "counter" { "_total" } else { "" };
        let help = help.trim_end_matches('.');
        writeln!(table, "| `{name}{total}` | {kind} | {help} |").expect("writing to a string can't fail");
    }
    table
}

/// Writes metrics one after the other.
pub(super) struct MetricsWriter<'a>(pub(super) DescriptorEncoder<'a>);

impl MetricsWriter<'_> {
    pub(super) fn gauge<L: EncodeLabelSet>(
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

    /// A gauge of the process as a whole.
    pub(super) fn single_gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> Result {
        let encoder = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// A counter of the process as a whole.
    pub(super) fn single_counter(&mut self, name: &str, help: &str, value: u64) -> Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// A counter of time of the process as a whole.
    pub(super) fn single_seconds(&mut self, name: &str, help: &str, value: f64) -> Result {
        let seconds = Some(&Unit::Seconds);
        let encoder = self
            .0
            .encode_descriptor(name, help, seconds, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    pub(super) fn counter<L: EncodeLabelSet>(
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

    /// A counter of time.
    pub(super) fn seconds<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, f64)>,
    ) -> Result {
        let seconds = Some(&Unit::Seconds);
        let mut family = self
            .0
            .encode_descriptor(name, help, seconds, MetricType::Counter)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

pub(super) fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; sizes, offsets and microseconds of a process's life fit in 53 bits"
)]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}
