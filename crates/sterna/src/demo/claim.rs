//! What the demo claims, and how it waits for it.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Nothing in the demo takes so long on a machine that works.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A sentence of the demo that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("a claim of the demo does not hold: {claim}\nfound: {found}")]
struct BrokenClaim {
    claim: String,
    found: String,
}

/// An error unless `holds`; `found` is what was seen in its place.
pub(super) fn claim(holds: bool, claim: impl Display, found: impl Display) -> anyhow::Result<()> {
    if holds {
        return Ok(());
    }
    Err(BrokenClaim {
        claim: claim.to_string(),
        found: found.to_string(),
    }
    .into())
}

/// Asks again and again until there is an answer, and returns it; a claim that is not true in time is broken. An
/// error of `look` only says what is missing so far.
pub(super) async fn until<T>(what: &str, look: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    until_every(LOOK_INTERVAL, what, look).await
}

/// [`until`], for looks that cost something.
pub(super) async fn until_every<T>(
    interval: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        let missing = match look().await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if Instant::now() >= end {
            claim(
                false,
                format!("within {} s {what}", DEADLINE.as_secs()),
                format!("{missing:#}"),
            )?;
        }
        sleep(interval).await;
    }
}
