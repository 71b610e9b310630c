//! Tells people and clients how the group is doing, where that changed.

use std::collections::BTreeMap;
use std::time::Duration;

use sterna_model::{EventKind, GroupStatus, Operation, ServiceName};
use tokio::sync::watch;

use super::alerts::AlertsSince;
use super::{routing, status};
use crate::access::Access;
use crate::context::Context;
use crate::route::Route;
use crate::state::GroupState;
use crate::time::{Moment, Now};

/// A status without news is renewed this often.
const RENEW: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Debug)]
pub(super) struct Publisher {
    status: watch::Sender<GroupStatus>,
    operation: watch::Sender<Option<Operation>>,
    route: watch::Sender<Option<Route>>,
    published: Moment,
    alerts: AlertsSince,
}

impl Publisher {
    pub(super) fn new(state: &GroupState, now: Now) -> Self {
        let operation = state.run().map(|run| run.operation.clone());
        Self {
            status: watch::Sender::new(status::starting(state, now)),
            operation: watch::Sender::new(operation),
            route: watch::Sender::new(None),
            published: now.at,
            alerts: AlertsSince::default(),
        }
    }

    pub(super) fn receivers(
        &self,
    ) -> (
        watch::Receiver<GroupStatus>,
        watch::Receiver<Option<Operation>>,
        watch::Receiver<Option<Route>>,
    ) {
        (
            self.status.subscribe(),
            self.operation.subscribe(),
            self.route.subscribe(),
        )
    }

    /// Tells what changed.
    pub(super) fn publish(
        &mut self,
        context: &Context,
        state: &GroupState,
        access: &BTreeMap<ServiceName, Access>,
        now: Now,
    ) {
        if let Some(route) = routing::route(state, access, now.at) {
            self.route.send_if_modified(|known| {
                let changed = known.as_ref() != Some(&route);
                if changed {
                    *known = Some(route);
                }
                changed
            });
        }
        let operation = state.run().map(|run| &run.operation);
        self.operation.send_if_modified(|known| {
            let changed = known.as_ref() != operation;
            if changed {
                *known = operation.cloned();
            }
            changed
        });
        let record = &state.known().record;
        let (word, reason) = status::state(state, now.at);
        let news = {
            let known = self.status.borrow();
            known.state != word
                || known.epoch != record.epoch
                || known.operation != operation.map(|operation| operation.id)
        };
        if !news && now.at.since(self.published) < RENEW {
            return;
        }
        self.published = now.at;
        let alerts = self.alerts.alerts(state, now.wall);
        let status = status::status(state, access, (word, reason), alerts, now);
        if news {
            tracing::info!(group = %record.name, state = ?status.state, reason = %status.reason, epoch = %status.epoch, "group");
        }
        let kind = EventKind::Status {
            status: Box::new(status.clone()),
        };
        context.tell(Some(&record.name), kind);
        self.status.send_replace(status);
    }
}
