//! Sizes, spans and times in the words that all tables share.

use std::time::Duration;

use jiff::Timestamp;

use crate::output;

/// `1.2 KiB, 0.4 s`.
pub(crate) fn amount(bytes: u64, seconds: f64) -> String {
    format!("{}, {}", output::bytes(bytes), span(seconds))
}

/// Seconds as a person says them; what is no span is `?`.
pub(crate) fn span(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "?".to_owned(), output::duration)
}

/// Milliseconds: `840 ms`, `1.25 s`.
pub(crate) fn millis(ms: f64) -> String {
    if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.2} s", ms / 1_000.0)
    }
}

/// `2026-03-01 12:00:05Z`: the same for everybody who talks about it.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `3 min 5 s ago`, `just now`; for the future `in 2 h 0 min`.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    match seconds {
        0 => "just now".to_owned(),
        1.. => format!("{} ago", long_span(seconds.unsigned_abs())),
        _ => format!("in {}", long_span(seconds.unsigned_abs())),
    }
}

fn long_span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..86_400 => output::duration(Duration::from_secs(seconds)),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_ages_are_readable() {
        let now = Timestamp::from_second(1_000_000).expect("in range");
        let at = |second| Timestamp::from_second(second).expect("in range");
        assert_eq!(age(now, now), "just now");
        assert_eq!(age(at(999_995), now), "5 s ago");
        assert_eq!(age(at(996_000), now), "1 h 6 min ago");
        assert_eq!(age(at(1_200_000), now), "in 2 d 7 h");
        assert_eq!(millis(12.4), "12 ms");
        assert_eq!(millis(1_250.0), "1.25 s");
        assert_eq!(amount(1536, 0.44), "1.5 KiB, 0.4 s");
        assert_eq!(span(f64::NAN), "?");
        assert_eq!(time(at(0)), "1970-01-01 00:00:00Z");
    }
}
