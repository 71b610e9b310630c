//! What the demo asserts about what it shows.

use std::fmt::Display;
use std::time::Duration;

use sterna_testkit::{Probe, try_wait_until};

/// Nothing in the demo takes so long on a machine that works.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A sentence of the demo that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("what the demo says does not hold: {sentence}\nfound: {found}")]
struct DoesNotHold {
    sentence: String,
    found: String,
}

/// An error unless `holds`; `found` is what was seen in its place.
pub(crate) fn assert(holds: bool, sentence: impl Display, found: impl Display) -> anyhow::Result<()> {
    if holds {
        return Ok(());
    }
    Err(DoesNotHold {
        sentence: sentence.to_string(),
        found: found.to_string(),
    }
    .into())
}

/// Looks until there is what is looked for, and returns it.
pub(crate) fn until<P: Probe>(what: &str, look: impl FnMut() -> P) -> anyhow::Result<P::Value> {
    try_wait_until(DEADLINE, what, look)
}
