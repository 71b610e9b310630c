//! Figures as people read them.

use std::time::Duration;

/// `1.5 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut divisor = 1_u64;
    while unit + 1 < UNITS.len() && count / divisor >= 1024 {
        unit += 1;
        divisor *= 1024;
    }
    if unit == 0 {
        return format!("{count} B");
    }
    let tenths = count.saturating_mul(10) / divisor;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `12,345,678`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

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
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(took(Duration::from_micros(640)), "0.6 ms");
        assert_eq!(took(Duration::from_millis(64)), "64 ms");
        assert_eq!(ms(1440.0), "1.4 s");
        assert_eq!(byte_rate(100 << 20, Duration::from_secs(2)), "50.0 MiB/s");
        assert_eq!(byte_rate(0, Duration::ZERO), "0 B/s");
    }
}
