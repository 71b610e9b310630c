//! Figures as people read them.

use std::time::Duration;

pub(crate) use sterna_model::units::{bytes, count};

/// `0.6 ms`, `64 ms`, `1.4 s`.
pub(crate) fn took(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

/// A time in milliseconds, as [`took`] writes it.
pub(crate) fn ms(ms: f64) -> String {
    took(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default())
}

/// `54.0 MiB/s`.
pub(crate) fn byte_rate(total: u64, duration: Duration) -> String {
    let micros = duration.as_micros().max(1);
    let rate = u128::from(total) * 1_000_000 / micros;
    format!("{}/s", bytes(u64::try_from(rate).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(took(Duration::from_micros(640)), "0.6 ms");
        assert_eq!(took(Duration::from_millis(64)), "64 ms");
        assert_eq!(ms(1440.0), "1.4 s");
        assert_eq!(byte_rate(100 << 20, Duration::from_secs(2)), "50.0 MiB/s");
        assert_eq!(byte_rate(0, Duration::ZERO), "0 B/s");
    }
}
