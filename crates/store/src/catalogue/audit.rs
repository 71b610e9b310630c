//! The audit: who did what.

use sterna_model::AuditRecord;

use super::records::{PAGE, Records};
use super::values;
use crate::backend::Commit;
use crate::error::StoreError;

/// The records that are kept; the oldest beyond them are dropped.
pub const AUDIT_RECORDS_MAX: u64 = 100_000;

const PREFIX: &str = "audit/";

/// Who did what.
#[derive(Debug, Clone)]
pub struct Audit {
    pub(super) records: Records,
}

impl Audit {
    /// Appends a record and returns its number; the one that it came with does not matter.
    pub async fn append(&self, record: AuditRecord) -> Result<u64, StoreError> {
        self.append_within(record, AUDIT_RECORDS_MAX).await
    }

    /// At most `limit` records, newest first, and older than `before`.
    pub async fn newest(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        let mut records: Vec<AuditRecord> = Vec::new();
        let mut before = before.map(key);
        loop {
            let wanted = (limit - records.len()).min(PAGE);
            let page = self.records.newest(PREFIX, before.as_deref(), wanted).await?;
            for entry in &page {
                records.push(values::parse(entry)?);
            }
            if page.len() < wanted || records.len() == limit {
                return Ok(records);
            }
            before = page.last().map(|entry| entry.key.clone());
        }
    }

    async fn append_within(&self, mut record: AuditRecord, records_max: u64) -> Result<u64, StoreError> {
        let (id, _) = self
            .records
            .numbered("audit", |number| {
                record.id = number;
                let key = key(number);
                let mut commit = Commit::default();
                commit.create(&key, values::json(&key, &record)?);
                // Numbers have no gaps, so one goes for each that comes.
                if let Some(dropped) = number.checked_sub(records_max) {
                    commit.delete(&self::key(dropped));
                }
                Ok(commit)
            })
            .await?;
        Ok(id)
    }
}

fn key(id: u64) -> String {
    values::numbered_key(PREFIX, id)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::*;
    use crate::Catalogue;

    #[tokio::test]
    async fn the_oldest_records_are_dropped() {
        let dir = TempDir::new().expect("a directory");
        let catalogue = Catalogue::open(dir.path(), &dir.path().join("key")).expect("it opens");
        let record = AuditRecord {
            id: 0,
            at: Timestamp::UNIX_EPOCH,
            actor: "ann".to_owned(),
            remote: None,
            action: "failover".to_owned(),
            target: "g".to_owned(),
            outcome: "ok".to_owned(),
            detail: None,
        };
        for number in 1..=10 {
            let given = catalogue
                .audit
                .append_within(record.clone(), 3)
                .await
                .expect("appended");
            assert_eq!(given, number);
        }
        let kept: Vec<_> = catalogue
            .audit
            .newest(None, 100)
            .await
            .expect("read")
            .into_iter()
            .map(|record| record.id)
            .collect();
        assert_eq!(kept, [10, 9, 8]);
    }
}
