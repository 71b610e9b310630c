//! A group is changed: what is left out stays.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::names::ServiceName;
use crate::settings::{Acknowledge, FenceLinks, Fencing, GroupSettings, RescueSettings};

/// Changes to a group; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GroupPatch {
    /// Settings; those that are left out stay as they are.
    #[serde(skip_serializing_if = "SettingsPatch::is_empty")]
    #[schema(value_type = GroupSettings)]
    pub settings: SettingsPatch,
    /// The same replica services in another order of preference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Vec<ServiceName>>,
}

/// Some of the values of another type, with parts that are such types too.
macro_rules! patch {
    (
        $(#[$doc:meta])*
        $patch:ident of $whole:ident { $($field:ident: $type:ty,)* $(; $part:ident: $part_type:ty)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[expect(missing_docs, reason = "each is in place of the field of that name")]
        pub struct $patch {
            $(
                #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            $(
                #[serde(skip_serializing_if = "is_default")]
                pub $part: $part_type,
            )?
        }

        impl $patch {
            /// What was, with what is said here put in.
            pub fn over(&self, kept: &$whole) -> $whole {
                $whole {
                    $($field: self.$field.unwrap_or(kept.$field),)*
                    $($part: self.$part.over(&kept.$part),)?
                }
            }
        }
    };
}

patch! {
    /// Some of a group's settings.
    SettingsPatch of GroupSettings {
        automatic_failover: bool,
        fencing: Fencing,
        lease_seconds: u32,
        lease_margin_ms: u64,
        fence_links: FenceLinks,
        down_after_ms: u64,
        sentinel_grace_seconds: u32,
        failover_pause_seconds: u32,
        max_lag_on_failover_seconds: u32,
        switchover_timeout_ms: u64,
        acknowledge: Acknowledge,
        log_max_bytes: u64,
        tail_bytes: u64,
        unit_bytes_max: u64,
        ; rescue: RescuePatch
    }
}

patch! {
    /// Some of a group's settings for rescue files.
    RescuePatch of RescueSettings {
        max_bytes: u64,
        keep_days: u32,
    }
}

impl SettingsPatch {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        is_default(self)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A value that is there; `null` is none, unlike with an `Option` alone.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict::strictly;

    fn read(text: &str) -> Result<GroupPatch, serde_json::Error> {
        strictly(&mut serde_json::Deserializer::from_str(text))
    }

    #[test]
    fn settings_that_are_left_out_stay_as_they_are() {
        let mut before = GroupSettings {
            automatic_failover: false,
            ..GroupSettings::default()
        };
        before.rescue.max_bytes = 7;
        let text = r#"{"settings":{"lease_seconds":5,"rescue":{"keep_days":2}}}"#;
        let patch = read(text).unwrap();
        assert_eq!(serde_json::to_string(&patch).unwrap(), text);
        let after = patch.settings.over(&before);
        assert!(!after.automatic_failover);
        assert_eq!(after.lease_seconds, 5);
        assert_eq!((after.rescue.max_bytes, after.rescue.keep_days), (7, 2));
    }

    #[test]
    fn every_setting_can_be_changed() {
        let all = serde_json::to_value(GroupSettings::default()).unwrap();
        let patch: SettingsPatch = strictly(all.clone()).unwrap();
        assert_eq!(serde_json::to_value(patch).unwrap(), all);
        let nothing = read("{}").unwrap();
        assert!(nothing.settings.is_empty());
        assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
    }

    #[test]
    fn unknown_and_unfit_settings_are_refused() {
        for bad in [
            r#"{"leese_seconds":5}"#,
            r#"{"rescue":{"days":2}}"#,
            r#"{"rescue":3}"#,
            r#"{"lease_seconds":null}"#,
            r#"{"lease_seconds":-1}"#,
        ] {
            assert!(read(&format!(r#"{{"settings":{bad}}}"#)).is_err(), "{bad}");
        }
    }
}
