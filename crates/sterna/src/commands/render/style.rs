//! How text may look: colours, width, and the time from which ages are counted.

use std::io::IsTerminal as _;

use jiff::Timestamp;

/// A meaning that a colour underlines. The words carry it as well: without colours nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// No colour.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Needs attention.
    Warn,
    /// Data or service is in danger.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
}

/// How text may look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Whether colours are shown.
    pub(crate) colour: bool,
    /// Columns of the terminal; none where there is none, and then nothing is wrapped.
    pub(crate) width: Option<usize>,
    /// Ages are counted from here.
    pub(crate) now: Timestamp,
}

impl Style {
    /// For the standard output of this process.
    pub(crate) fn stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            colour: terminal && wants_colour(),
            width: terminal.then(|| width_of(&std::io::stdout())).flatten(),
            now: Timestamp::now(),
        }
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            colour: terminal && wants_colour(),
            width: terminal.then(|| width_of(&std::io::stderr())).flatten(),
            now: Timestamp::now(),
        }
    }

    /// Plain text of any width, for tests and files.
    #[cfg(test)]
    pub(crate) fn plain(now: Timestamp) -> Self {
        Self {
            colour: false,
            width: None,
            now,
        }
    }

    /// The text in a tone.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "1;31",
            Tone::Dim => "2",
            Tone::Bold => "1",
            Tone::Plain => return text.to_owned(),
        };
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn wants_colour() -> bool {
    let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !asked_not_to && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn width_of(terminal: &impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}
