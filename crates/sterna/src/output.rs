//! Words for people, on stderr; data goes to stdout.

use std::io::Write as _;
use std::time::Duration;

pub(crate) use sterna_model::units::{bytes, count};
use sterna_protocol::text::for_terminal;

/// Prints one line on stderr. A closed stderr is nobody's loss.
pub(crate) fn message(line: &str) {
    drop(writeln!(std::io::stderr(), "{}", for_terminal(line)));
}

/// Prints a warning.
pub(crate) fn warn(line: &str) {
    message(&format!("warning: {line}"));
}

/// Prints data on stdout, as far as a terminal may have it; `false` when nobody reads it any more.
pub(crate) fn data(text: &str) -> bool {
    screen(&for_terminal(text))
}

/// Prints what may move the cursor, and so has only what was made safe put into it.
pub(crate) fn screen(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// `0.3 s`, `2 min 5 s`, `3 h 2 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(Duration::from_millis(340)), "0.3 s");
        assert_eq!(duration(Duration::from_secs(3_725)), "1 h 2 min");
    }
}
