//! Waiting for a condition with a deadline, saying what was awaited and what was seen last.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What a condition may answer: a `bool`, an `Option`, or a `Result` whose error describes the present state.
pub trait Probe {
    /// What the wait hands back.
    type Value;
    /// The value, or the state that was seen instead.
    fn probe(self) -> Result<Self::Value, String>;
}

impl Probe for bool {
    type Value = ();

    fn probe(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Probe for Option<T> {
    type Value = T;

    fn probe(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Probe for Result<T, E> {
    type Value = T;

    fn probe(self) -> Result<T, String> {
        self.map_err(|state| format!("{state:#}"))
    }
}

/// Polls quickly until `condition` holds; panics after `deadline` with `what` was awaited and the last state.
#[track_caller]
pub fn wait_until<P: Probe>(deadline: Duration, what: &str, condition: impl FnMut() -> P) -> P::Value {
    match try_wait_until(deadline, what, condition) {
        Ok(value) => value,
        Err(error) => panic!("{error:#}"),
    }
}

/// [`wait_until`] that gives an error instead of a panic.
pub fn try_wait_until<P: Probe>(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> P,
) -> Result<P::Value> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let state = match condition().probe() {
            Ok(value) => return Ok(value),
            Err(state) => state,
        };
        if start.elapsed() >= deadline {
            bail!(
                "waited {:.1} s for {what}; last seen: {state}",
                start.elapsed().as_secs_f64()
            );
        }
        pause_for(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The only sleep of the testkit: between two looks at something that tells nobody of its changes, and where slowness is
/// what was asked for.
#[expect(
    clippy::disallowed_methods,
    reason = "servers and processes send no event when they are ready"
)]
pub(crate) fn pause_for(time: Duration) {
    thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_value_as_soon_as_it_is_there() {
        let mut tries = 0;
        let value = wait_until(Duration::from_secs(5), "three tries", || {
            tries += 1;
            if tries == 3 {
                Ok(tries)
            } else {
                Err(format!("{tries} tries"))
            }
        });
        assert_eq!(value, 3);
    }

    #[test]
    fn a_failed_wait_says_what_was_awaited_and_what_was_seen() {
        let error = try_wait_until(Duration::from_millis(5), "the moon", || {
            Err::<(), _>("only clouds")
        })
        .expect_err("the moon is never reached");
        let text = error.to_string();
        assert!(
            text.contains("the moon") && text.contains("only clouds"),
            "{text}"
        );
    }
}
