//! Stores what the group's state wants stored.

use sterna_store::StoreError;

use crate::context::Context;
use crate::state::{Commit, CommitKind, Point, PointStep, Stored};

/// Stores it.
pub(super) async fn store(context: &Context, commit: Commit) -> Result<Stored, StoreError> {
    pass(context, commit.before);
    let catalogue = &context.catalogue;
    let stored = match commit.what {
        CommitKind::Begin(operation) => of_operation(catalogue.operations.create(*operation).await?),
        CommitKind::Operation(operation) => of_operation(catalogue.operations.save(*operation).await?),
        CommitKind::Change(change) => {
            let (group, operation) = catalogue
                .groups
                .change(change.group, change.operation, change.entry)
                .await?;
            Stored {
                group: Some(group),
                operation,
            }
        }
        CommitKind::Delete { operation, group } => {
            let operation = catalogue.operations.save(*operation).await?;
            catalogue.groups.delete(&group).await?;
            of_operation(operation)
        }
    };
    pass(context, commit.after);
    Ok(stored)
}

/// Passes a place at which a test may let the gateway die.
pub(super) fn pass(context: &Context, point: Option<Point>) {
    let Some(point) = point else { return };
    let step = match point.step {
        PointStep::Ask => "ask",
        PointStep::Step(name) => name.as_str(),
        PointStep::Finish => "finish",
    };
    context.failpoint.pass(point.kind, step, point.place);
}

fn of_operation(operation: sterna_model::Operation) -> Stored {
    Stored {
        group: None,
        operation: Some(operation),
    }
}
