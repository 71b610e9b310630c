//! Writes that a failover left behind are saved, and reports learn what was found.

use sterna_model::{Certainty, EventKind, Operation, OperationId, Rescue, StepOutcome};
use sterna_store::StoreError;

use super::Executor;
use crate::job::{JobError, JobReport};
use crate::observe::NodeKey;
use crate::rescue::{self, RescueJob, Source};

/// Saves writes that a node has, and keeps that they are saved.
pub(super) async fn of_a_node(at: &Executor, job: RescueJob) -> Result<JobReport, JobError> {
    let source = Source::Node(at.dialer(&job.node)?);
    save(at, source, job).await
}

/// Saves writes of the old primary that the log holds, and keeps that they are saved.
pub(super) async fn of_the_log(at: &Executor, job: RescueJob) -> Result<JobReport, JobError> {
    save(at, Source::Log(at.shard.handle.clone()), job).await
}

async fn save(at: &Executor, source: Source, job: RescueJob) -> Result<JobReport, JobError> {
    let catalogue = &at.context.catalogue;
    let (NodeKey { service, address }, corrects) = (job.node.clone(), job.corrects);
    let saved = rescue::save(source, job, &at.context.rescue_dir()).await?;
    let kept = catalogue.rescues.add(saved).await?;
    if let Some(failover) = corrects
        && let Err(error) = correct_report(at, failover, &kept).await
    {
        tracing::warn!(group = %at.group, %error, "the failover's report can't be corrected");
    }
    let outcome = StepOutcome::Saved {
        service,
        address,
        rescue: kept.id,
        bytes: kept.bytes,
    };
    at.context
        .note("rescue.save", at.group.as_str(), "ok", Some(outcome.to_string()))
        .await;
    Ok(JobReport {
        rescued: Some(kept),
        ..JobReport::of(outcome)
    })
}

/// Deletes a rescue file and its record.
pub(super) async fn expire(at: &Executor, old: Rescue) -> Result<JobReport, JobError> {
    match at.context.catalogue.rescues.delete(old.id).await {
        Ok(()) | Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    for name in [old.file.clone(), format!("{}.json", old.file)] {
        // A person may have removed it before.
        drop(tokio::fs::remove_file(at.context.rescue_dir().join(name)).await);
    }
    Ok(JobReport::default())
}

/// What was estimated at the failover is counted now.
async fn correct_report(at: &Executor, failover: OperationId, rescue: &Rescue) -> Result<(), StoreError> {
    let mut operation = at.context.catalogue.operations.get(failover).await?;
    if let Some(report) = &mut operation.report {
        report.rpo.rescue = Some(rescue.id);
        // A process that was started since has lost what was in its memory alone, and another node never had it all.
        let has_them_all = report.history == Some(rescue.history)
            && report.divergence_offset == rescue.from
            && report.from_node.as_ref() == Some(&rescue.node);
        if let Some(summary) = rescue.summary.as_ref().filter(|_| has_them_all) {
            report.rpo.bytes = rescue.to.bytes_since(rescue.from);
            report.rpo.bytes_max = Some(report.rpo.bytes);
            report.rpo.commands = Some(summary.commands);
            report.rpo.certainty = Certainty::Exact;
        }
        keep(at, operation).await?;
    }
    Ok(())
}

/// The old primary came back with its memory, and with nothing that the new one lacks.
pub(super) async fn confirm_report(at: &Executor, failover: OperationId) -> Result<(), StoreError> {
    let mut operation = at.context.catalogue.operations.get(failover).await?;
    if let Some(report) = &mut operation.report {
        report.rpo.bytes = 0;
        report.rpo.bytes_max = Some(0);
        report.rpo.commands = Some(0);
        report.rpo.certainty = Certainty::Exact;
        keep(at, operation).await?;
    }
    Ok(())
}

/// Keeps a corrected report, and tells those who know the one before.
async fn keep(at: &Executor, operation: Operation) -> Result<(), StoreError> {
    let kept = at.context.catalogue.operations.save(operation).await?;
    let operation = Box::new(kept);
    at.context
        .tell(Some(&at.group), EventKind::Operation { operation });
    Ok(())
}
