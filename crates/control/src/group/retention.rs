//! Rescue files are kept for so many days.

use std::time::Duration;

use sterna_store::StoreError;
use tokio::time::Instant;

use super::owner::Owner;
use super::steps::{Action, Effect};
use super::world::since;

/// How often it is looked whether one is too old.
const INTERVAL: Duration = Duration::from_secs(600);
/// A day.
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Owner {
    /// Drops the oldest rescue file that is older than the group's settings keep it, if there is one.
    pub(super) fn drop_old_rescue(&mut self, now: Instant) {
        if now < self.retention_at {
            return;
        }
        let keep = DAY * self.group.settings.rescue.keep_days;
        let Some(place) = self
            .rescued
            .iter()
            .position(|rescue| since(rescue.saved_at) > keep)
        else {
            self.retention_at = now + INTERVAL;
            return;
        };
        let old = self.rescued.remove(place);
        let common = self.common.clone();
        self.begin_work(Action::Work, async move {
            match common.catalogue.delete_rescue(old.id).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.to_string()),
            }
            for name in [old.file.clone(), format!("{}.json", old.file)] {
                // A person may have removed it before.
                drop(tokio::fs::remove_file(common.rescue_dir().join(name)).await);
            }
            let text = format!(
                "rescue {} of {} was kept for as long as the settings say",
                old.id, old.service
            );
            common
                .note("rescue.expire", old.group.as_str(), "ok", Some(text))
                .await;
            Ok(Effect::default())
        });
    }
}
