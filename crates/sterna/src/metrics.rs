//! Prometheus metrics of a link, taken from the shard's status when they are asked for.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use sterna_replication::Status;
use tokio::sync::watch;

/// Every state of the link, for the gauge that has one series for each.
const LINK_STATES: [&str; 6] = [
    "serving",
    "connecting",
    "retrying",
    "full-sync",
    "streaming",
    "holding",
];

/// Ends the endpoint when it is dropped.
#[derive(Debug)]
pub(crate) struct Endpoint(tokio::task::JoinHandle<()>);

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves `/metrics` until the endpoint is dropped.
pub(crate) async fn serve(address: SocketAddr, status: watch::Receiver<Status>) -> anyhow::Result<Endpoint> {
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| {
        format!("metrics can't be served on {address}; choose another with --metrics-addr")
    })?;
    let router = Router::new().route("/metrics", get(show)).with_state(status);
    Ok(Endpoint(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "metrics are no longer served");
        }
    })))
}

async fn show(State(status): State<watch::Receiver<Status>>) -> impl IntoResponse {
    let status = status.borrow().clone();
    match render(status) {
        Ok(text) => (
            StatusCode::OK,
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

/// All metrics as text.
pub(crate) fn render(status: Status) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(LinkMetrics(status)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct LinkMetrics(Status);

/// Writes metrics one after the other.
struct Sheet<'a>(DescriptorEncoder<'a>);

impl Sheet<'_> {
    fn counter(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> std::fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> std::fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn directions(&mut self, name: &str, help: &str, up: u64, down: u64) -> std::fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (direction, value) in [("up", up), ("down", down)] {
            let labels = [("direction", direction)];
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for LinkMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let (status, counters, mut sheet) = (&self.0, self.0.counters, Sheet(encoder));
        let bytes = Some(&Unit::Bytes);
        let seconds = Some(&Unit::Seconds);
        sheet.counter(
            "sterna_stream_received",
            "Bytes of stream received from the primary",
            bytes,
            counters.stream_bytes,
        )?;
        sheet.counter(
            "sterna_stream_commands",
            "Commands received from the primary",
            None,
            counters.commands,
        )?;
        sheet.counter(
            "sterna_snapshot_received",
            "Bytes of snapshots received from the primary",
            bytes,
            counters.snapshot_bytes,
        )?;
        sheet.gauge(
            "sterna_lag",
            "How far the slowest replica node is behind the primary",
            bytes,
            float(status.lag_bytes()),
        )?;
        sheet.gauge(
            "sterna_lag",
            "How far the slowest replica node is behind the primary",
            seconds,
            status.lag_seconds(),
        )?;
        sheet.directions(
            "sterna_full_syncs",
            "Full copies: up from the primary, down to replica nodes",
            counters.full_syncs_up,
            counters.full_syncs_down,
        )?;
        sheet.directions(
            "sterna_partial_syncs",
            "Partial resyncs: up with the primary, down with replica nodes",
            counters.partial_syncs_up,
            counters.partial_syncs_down,
        )?;
        sheet.counter(
            "sterna_full_syncs_needless",
            "Full copies given to replica nodes that already held a part of this history",
            None,
            counters.full_syncs_needless,
        )?;
        sheet.counter(
            "sterna_reconnects",
            "Attempts to connect to the primary after the first",
            None,
            counters.reconnects,
        )?;
        sheet.gauge(
            "sterna_log",
            "Bytes of the replication log on disk",
            bytes,
            float(status.log_bytes),
        )?;
        sheet.gauge(
            "sterna_log_on_disk",
            "1 while the log is written to disk, 0 while the disk refuses it",
            None,
            if status.disk_error.is_none() { 1.0 } else { 0.0 },
        )?;
        sheet.counter(
            "sterna_log_fsyncs",
            "Times that the log was synced to disk",
            None,
            counters.syncs,
        )?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds of a process's life fit in 53 bits"
        )]
        let sync_seconds = counters.sync_micros as f64 / 1e6;
        let encoder = sheet.0.encode_descriptor(
            "sterna_log_fsync",
            "Time spent syncing the log to disk",
            seconds,
            MetricType::Counter,
        )?;
        ConstCounter::new(sync_seconds).encode(encoder)?;
        sheet.counter(
            "sterna_log_read",
            "Bytes read back from disk for replica nodes behind the tail",
            bytes,
            counters.disk_read_bytes,
        )?;
        sheet.gauge(
            "sterna_tail",
            "Stream and snapshot held in memory",
            bytes,
            float(status.memory_bytes),
        )?;
        sheet.gauge(
            "sterna_process_resident",
            "Resident memory of this process",
            bytes,
            float(resident_bytes()),
        )?;
        sheet.gauge(
            "sterna_replicas",
            "Attached replica nodes",
            None,
            float(status.followers.len() as u64),
        )?;
        let mut states = sheet.0.encode_descriptor(
            "sterna_link_state",
            "1 for the state that the link is in",
            None,
            MetricType::Gauge,
        )?;
        for state in LINK_STATES {
            let labels = [("state", state)];
            ConstGauge::new(u32::from(state == status.link.word())).encode(states.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; sizes fit in 53 bits"
)]
fn float(value: u64) -> f64 {
    value as f64
}

/// From `/proc`; 0 where there is none.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * 4096
}
