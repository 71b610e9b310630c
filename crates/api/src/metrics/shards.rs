//! Metrics of shards, the same for a gateway's groups and for the one link of `sterna replicate`.

use std::fmt::Result;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use sterna_model::{LinkState, ShardId};
use sterna_replication::{Counters, Status};

use super::writer::{MetricsWriter, float, truth};

/// A shard, and what it is called.
#[derive(Debug)]
pub(super) struct Shard<'a> {
    group: &'a str,
    id: String,
    status: &'a Status,
}

impl<'a> Shard<'a> {
    pub(super) fn new(group: &'a str, id: ShardId, status: &'a Status) -> Self {
        Self {
            group,
            id: id.to_string(),
            status,
        }
    }

    fn labels(&self) -> [(&'static str, &str); 2] {
        [("group", self.group), ("shard", &self.id)]
    }

    fn labels_with<'b>(&'b self, name: &'static str, value: &'b str) -> [(&'static str, &'b str); 3] {
        let [group, shard] = self.labels();
        [group, shard, (name, value)]
    }
}

/// All shards.
#[derive(Debug)]
pub(super) struct Shards<'a>(pub(super) Vec<Shard<'a>>);

impl Shards<'_> {
    pub(super) fn encode(&self, writer: &mut MetricsWriter<'_>) -> Result {
        self.encode_link(writer)?;
        self.encode_syncs(writer)?;
        self.encode_log(writer)?;
        self.encode_disk(writer)
    }

    /// One series for each shard.
    fn each<'a, T>(
        &'a self,
        value: impl Fn(&Status) -> T + 'a,
    ) -> impl Iterator<Item = ([(&'static str, &'a str); 2], T)> {
        self.0
            .iter()
            .map(move |shard| (shard.labels(), value(shard.status)))
    }

    /// What passes, and how far behind the other end is.
    fn encode_link(&self, writer: &mut MetricsWriter<'_>) -> Result {
        let states = self.0.iter().flat_map(|shard| {
            LinkState::WORDS.map(|state| {
                let labels = shard.labels_with("state", state);
                (labels, truth(state == shard.status.link.word()))
            })
        });
        writer.gauge(
            "sterna_link_state",
            "1 for the state that the link to the primary is in",
            None,
            states,
        )?;
        writer.gauge(
            "sterna_lag",
            "How far the slowest attached replica node is behind the primary, in bytes of stream",
            Some(&Unit::Bytes),
            self.each(|shard| float(shard.lag_bytes())),
        )?;
        writer.gauge(
            "sterna_lag",
            "How far the slowest attached replica node is behind the primary, in seconds",
            Some(&Unit::Seconds),
            self.each(|status| status.lag_seconds(tokio::time::Instant::now())),
        )?;
        writer.gauge(
            "sterna_replicas",
            "Attached replica nodes",
            None,
            self.each(|shard| float(shard.followers.len() as u64)),
        )?;
        writer.counter(
            "sterna_stream_received",
            "Bytes of stream received from the primary",
            Some(&Unit::Bytes),
            self.each(|shard| shard.counters.stream_bytes),
        )?;
        writer.counter(
            "sterna_stream_commands",
            "Commands received from the primary",
            None,
            self.each(|shard| shard.counters.commands),
        )?;
        writer.counter(
            "sterna_snapshot_received",
            "Bytes of snapshots received from the primary",
            Some(&Unit::Bytes),
            self.each(|shard| shard.counters.snapshot_bytes),
        )
    }

    fn encode_syncs(&self, writer: &mut MetricsWriter<'_>) -> Result {
        let directions = |of: fn(&Counters) -> [u64; 2]| {
            self.0.iter().flat_map(move |shard| {
                let [up, down] = of(&shard.status.counters);
                [("up", up), ("down", down)]
                    .map(|(direction, count)| (shard.labels_with("direction", direction), count))
            })
        };
        writer.counter(
            "sterna_full_syncs",
            "Full copies: up from the primary, down to replica nodes",
            None,
            directions(|counters| [counters.full_syncs_up, counters.full_syncs_down]),
        )?;
        writer.counter(
            "sterna_partial_syncs",
            "Partial resyncs: up with the primary, down with replica nodes",
            None,
            directions(|counters| [counters.partial_syncs_up, counters.partial_syncs_down]),
        )?;
        writer.counter(
            "sterna_reconnects",
            "Attempts to connect to the primary after the first",
            None,
            self.each(|shard| shard.counters.reconnects),
        )?;
        let violations = self.0.iter().map(|shard| {
            let labels = shard.labels_with("invariant", "I5");
            (labels, shard.status.counters.full_syncs_needless)
        });
        writer.counter(
            "sterna_invariant_violations",
            "Times that an invariant was seen broken; I5: full copies given to nodes that held a part of this history",
            None,
            violations,
        )
    }

    fn encode_log(&self, writer: &mut MetricsWriter<'_>) -> Result {
        writer.gauge(
            "sterna_log_start_offset",
            "The oldest offset from which a replica node can continue",
            None,
            self.each(|shard| float(shard.log_start.get())),
        )?;
        writer.gauge(
            "sterna_log_end_offset",
            "The offset of the last whole unit received from the primary",
            None,
            self.each(|shard| float(shard.log_end.get())),
        )?;
        writer.gauge(
            "sterna_log",
            "Bytes of the replication log on disk",
            Some(&Unit::Bytes),
            self.each(|shard| float(shard.log_bytes)),
        )?;
        writer.gauge(
            "sterna_log_memory",
            "Bytes of stream and snapshot held in memory",
            Some(&Unit::Bytes),
            self.each(|shard| float(shard.memory_bytes)),
        )?;
        writer.gauge(
            "sterna_log_on_disk",
            "1 while the log is written to disk, 0 while the disk refuses it",
            None,
            self.each(|shard| truth(shard.disk_error.is_none())),
        )
    }

    fn encode_disk(&self, writer: &mut MetricsWriter<'_>) -> Result {
        writer.counter(
            "sterna_log_fsyncs",
            "Times that the log was synced to disk",
            None,
            self.each(|shard| shard.counters.syncs),
        )?;
        writer.seconds(
            "sterna_log_fsync",
            "Time spent syncing the log to disk, in seconds",
            self.each(|shard| float(shard.counters.sync_micros) / 1e6),
        )?;
        writer.counter(
            "sterna_log_read",
            "Bytes read back from disk for replica nodes behind the tail",
            Some(&Unit::Bytes),
            self.each(|shard| shard.counters.disk_read_bytes),
        )
    }
}

/// The one shard of `sterna replicate`, and its process.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: &'static str,
    pub(super) status: Status,
}

impl Collector for Link {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
        let mut writer = MetricsWriter(encoder);
        let shard = Shard::new(self.name, ShardId::STANDALONE, &self.status);
        Shards(vec![shard]).encode(&mut writer)?;
        super::process::encode(&mut writer)
    }
}
