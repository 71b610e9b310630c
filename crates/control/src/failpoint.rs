//! Where a test lets the gateway die: `STERNA_FAILPOINT=failover.promote.after` kills this process there, as
//! `kill -9` would.

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
    pub(crate) fn pass(&self, operation: &str, step: &str, place: &str) {
        let here = || format!("{operation}.{step}.{place}");
        if self.0.as_ref().is_some_and(|point| *point == here()) {
            tracing::warn!(point = here(), "dying at the failpoint");
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}
