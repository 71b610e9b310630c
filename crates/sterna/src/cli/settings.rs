//! A group's settings as options. What is left out keeps its value, or its default in a new group.

use clap::Args;
use sterna_model::{Acknowledge, FenceLinks, Fencing, RescuePatch, SettingsPatch};

use super::{AcknowledgeArg, parse_bytes};

/// How an old primary is kept from accepting writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FencingArg {
    /// The gateway's acknowledgements are a lease; a primary that no longer hears them closes itself.
    Lease,
    /// Nothing; the old primary's extra writes end in a rescue file.
    None,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// Whether a replica service is promoted without a person when the primary service is lost (true in a new group).
    #[arg(long, value_name = "true|false")]
    pub(crate) automatic_failover: Option<bool>,
    /// How an old primary is kept from accepting writes (lease in a new group).
    #[arg(long, value_enum)]
    pub(crate) fencing: Option<FencingArg>,
    /// How long a primary goes on accepting writes without hearing from the gateway (3 in a new group).
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lease_seconds: Option<u32>,
    /// How much longer an old primary's lease is waited for: what its clock may be set back by (150 in a new group).
    #[arg(long, value_name = "MS")]
    pub(crate) lease_margin_ms: Option<u64>,
    /// Replication connections that the gateway keeps to the primary for its lease: one more than others follow it, or a
    /// number (auto in a new group).
    #[arg(long, value_name = "auto|NUMBER")]
    pub(crate) fence_links: Option<FenceLinks>,
    /// How long the primary must have been away before a failover begins (1000 in a new group).
    #[arg(long, value_name = "MS")]
    pub(crate) down_after_ms: Option<u64>,
    /// How long a service's own Sentinels have to promote one of its own nodes first (45 in a new group).
    #[arg(long, value_name = "SECONDS")]
    pub(crate) sentinel_grace_seconds: Option<u32>,
    /// No automatic failover so soon after the last failover (30 in a new group).
    #[arg(long, value_name = "SECONDS")]
    pub(crate) failover_pause_seconds: Option<u32>,
    /// An automatic failover that would lose more seconds of writes than this is left to a person (30 in a new group).
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_lag_on_failover_seconds: Option<u32>,
    /// How long a switchover may keep writes waiting before it is given up (5000 in a new group).
    #[arg(long, value_name = "MS")]
    pub(crate) switchover_timeout_ms: Option<u64>,
    /// What `WAIT` at the primary means (replica in a new group).
    #[arg(long, value_enum)]
    pub(crate) acknowledge: Option<AcknowledgeArg>,
    /// Largest size of the replication log; takes KiB, MiB, GiB (8.0 GiB in a new group).
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    pub(crate) log_max_bytes: Option<u64>,
    /// Memory for the hot end of the stream (16.0 MiB in a new group).
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    pub(crate) tail_bytes: Option<u64>,
    /// The largest command or transaction; with a larger one the replica services are given a full copy (1.0 GiB in a new group).
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    pub(crate) unit_bytes_max: Option<u64>,
    /// The largest rescue file (64.0 GiB in a new group).
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    pub(crate) rescue_max_bytes: Option<u64>,
    /// For how many days rescue files are kept (30 in a new group).
    #[arg(long, value_name = "DAYS")]
    pub(crate) rescue_keep_days: Option<u32>,
}

impl SettingsArgs {
    /// What was said.
    pub(crate) fn patch(&self) -> SettingsPatch {
        SettingsPatch {
            automatic_failover: self.automatic_failover,
            fencing: self.fencing.map(|fencing| match fencing {
                FencingArg::Lease => Fencing::Lease,
                FencingArg::None => Fencing::None,
            }),
            lease_seconds: self.lease_seconds,
            lease_margin_ms: self.lease_margin_ms,
            fence_links: self.fence_links,
            down_after_ms: self.down_after_ms,
            sentinel_grace_seconds: self.sentinel_grace_seconds,
            failover_pause_seconds: self.failover_pause_seconds,
            max_lag_on_failover_seconds: self.max_lag_on_failover_seconds,
            switchover_timeout_ms: self.switchover_timeout_ms,
            acknowledge: self.acknowledge.map(Acknowledge::from),
            log_max_bytes: self.log_max_bytes,
            tail_bytes: self.tail_bytes,
            unit_bytes_max: self.unit_bytes_max,
            rescue: RescuePatch {
                max_bytes: self.rescue_max_bytes,
                keep_days: self.rescue_keep_days,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};
    use sterna_model::GroupSettings;

    use super::*;
    use crate::output;

    #[test]
    fn the_help_names_the_defaults() {
        let command = SettingsArgs::augment_args(Command::new("settings"));
        let GroupSettings {
            automatic_failover,
            fencing: Fencing::Lease,
            lease_seconds,
            lease_margin_ms,
            fence_links,
            down_after_ms,
            sentinel_grace_seconds,
            failover_pause_seconds,
            max_lag_on_failover_seconds,
            switchover_timeout_ms,
            acknowledge: Acknowledge::Replica,
            log_max_bytes,
            tail_bytes,
            unit_bytes_max,
            rescue,
        } = GroupSettings::default()
        else {
            panic!("the help of --fencing and --acknowledge names other defaults");
        };
        let defaults = [
            ("automatic_failover", automatic_failover.to_string()),
            ("fencing", "lease".to_owned()),
            ("lease_seconds", lease_seconds.to_string()),
            ("lease_margin_ms", lease_margin_ms.to_string()),
            ("fence_links", fence_links.to_string()),
            ("down_after_ms", down_after_ms.to_string()),
            ("sentinel_grace_seconds", sentinel_grace_seconds.to_string()),
            ("failover_pause_seconds", failover_pause_seconds.to_string()),
            (
                "max_lag_on_failover_seconds",
                max_lag_on_failover_seconds.to_string(),
            ),
            ("switchover_timeout_ms", switchover_timeout_ms.to_string()),
            ("acknowledge", "replica".to_owned()),
            ("log_max_bytes", output::bytes(log_max_bytes)),
            ("tail_bytes", output::bytes(tail_bytes)),
            ("unit_bytes_max", output::bytes(unit_bytes_max)),
            ("rescue_max_bytes", output::bytes(rescue.max_bytes)),
            ("rescue_keep_days", rescue.keep_days.to_string()),
        ];
        assert_eq!(command.get_arguments().count(), defaults.len());
        for (id, default) in defaults {
            let option = command.get_arguments().find(|option| option.get_id() == id);
            let help = option.and_then(clap::Arg::get_help).expect(id).to_string();
            assert!(
                help.ends_with(&format!("({default} in a new group)")),
                "{id}: {help}"
            );
        }
    }
}
