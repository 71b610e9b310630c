//! Where a test lets the gateway die: `STERNA_FAILPOINT=failover.promote.after` kills this process there, as
//! `kill -9` would. `STERNA_FAILPOINT=record` logs the points as they are passed instead, so that tests know them all.

use sterna_model::OperationKind;

/// Instead of a point: note all of them.
const RECORD: &str = "record";

/// The point that was named, if any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failpoint(Option<String>);

impl Failpoint {
    /// Reads the environment once.
    pub(crate) fn from_env() -> Self {
        Self(
            std::env::var("STERNA_FAILPOINT")
                .ok()
                .filter(|point| !point.is_empty()),
        )
    }

    /// Dies here if this is the point.
    pub(crate) fn pass(&self, operation: OperationKind, step: &str, place: &str) {
        let Some(point) = &self.0 else { return };
        let here = format!("{operation}.{step}.{place}");
        if point == RECORD {
            tracing::info!(point = here, "failpoint passed");
        } else if *point == here {
            tracing::warn!(point = here, "dying at the failpoint");
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}
