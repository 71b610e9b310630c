//! Looking at an API until there is what is looked for.

use std::time::{Duration, Instant};

use anyhow::Result;
use sterna_testkit::try_wait_until;

/// Nothing takes longer, on a loaded machine either.
pub const DEADLINE: Duration = Duration::from_secs(90);
/// How often a state is asked for: the API gives one token 50 answers a second.
const LOOK_EVERY: Duration = Duration::from_millis(60);

/// Looks until there is what is looked for; the error says what was seen last.
pub fn look_until<T>(what: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let mut due = Instant::now();
    let mut last = String::new();
    try_wait_until(DEADLINE, what, || {
        if Instant::now() < due {
            return Err(last.clone());
        }
        let looked = look();
        due = Instant::now() + LOOK_EVERY;
        looked.map_err(|error| {
            last = format!("{error:#}");
            last.clone()
        })
    })
}
