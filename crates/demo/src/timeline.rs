//! What the demo prints: one row for each thing that happened, with the seconds since the start.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use textwrap::{Options, WordSeparator, WordSplitter};

use crate::units::took;

/// Width of the elapsed seconds, of what happened in a word, and so of the margin before the text.
const SECONDS_WIDTH: usize = 6;
const WORD_WIDTH: usize = 10;
const MARGIN: usize = SECONDS_WIDTH + 4 + WORD_WIDTH + 1;
/// Rows are no wider than this.
const WIDTH: usize = 110;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// Prints rows on stdout.
#[derive(Debug)]
pub(crate) struct Timeline {
    started: Instant,
    colour: bool,
}

impl Timeline {
    /// Starts the clock. Colour only on a terminal, and not where `NO_COLOR` is set.
    pub(crate) fn new() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            started: Instant::now(),
            colour: std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    /// Lines as they are. That nobody reads them any more is no reason to stop: the exit code still tells.
    pub(crate) fn plain(text: &str) {
        let mut out = std::io::stdout().lock();
        drop(writeln!(out, "{text}").and_then(|()| out.flush()));
    }

    /// The title of an act.
    pub(crate) fn act(&self, title: &str) {
        Self::plain("");
        Self::plain(&self.paint(BOLD, title));
    }

    /// Something happened now. Long lines of `text` are wrapped.
    pub(crate) fn row(&self, word: &str, text: &str) {
        self.coloured_row(CYAN, word, text);
    }

    /// What the demo asserts did hold.
    pub(crate) fn proven(&self, word: &str, text: &str) {
        self.coloured_row(GREEN, word, text);
    }

    /// The first lines of what a command said, as they are but for their length.
    pub(crate) fn quote(&self, text: &str, lines_max: usize) {
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in lines.iter().take(lines_max) {
            Self::plain(&format!("{:MARGIN$}{}", "", self.paint(DIM, &shortened(line))));
        }
        if lines_max > 0 && lines.len() > lines_max {
            let more = format!("… {} more lines", lines.len() - lines_max);
            Self::plain(&format!("{:MARGIN$}{}", "", self.paint(DIM, &more)));
        }
    }

    /// A line without a time: `word` and what there is to say about it.
    pub(crate) fn line(&self, word: &str, text: &str) {
        let text = wrapped(text, WORD_WIDTH + 3);
        Self::plain(&format!(
            "  {} {text}",
            self.paint(BOLD, &format!("{word:<WORD_WIDTH$}"))
        ));
    }

    /// A line of less weight.
    pub(crate) fn remark(&self, text: &str) {
        Self::plain(&self.paint(DIM, text));
    }

    /// The last line: how long it took, and what is left.
    pub(crate) fn end(&self, left: &str) {
        Self::plain("");
        Self::plain(&format!("{} in all; {left}.", took(self.started.elapsed())));
    }

    fn coloured_row(&self, colour: &str, word: &str, text: &str) {
        let seconds = format!("{:>SECONDS_WIDTH$.2} s", self.started.elapsed().as_secs_f64());
        let word = format!("{word:<WORD_WIDTH$}");
        let text = wrapped(text, MARGIN);
        Self::plain(&format!(
            "{}  {} {text}",
            self.paint(DIM, &seconds),
            self.paint(colour, &word)
        ));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Breaks lines between words; those after the first begin at `margin`. A line that fits stays exactly as it is.
fn wrapped(text: &str, margin: usize) -> String {
    let options = Options::new(WIDTH - margin)
        .break_words(false)
        // What is to be pasted must not be torn apart.
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let lines: Vec<_> = text
        .lines()
        .flat_map(|line| textwrap::wrap(line, &options))
        .collect();
    lines.join(&format!("\n{:margin$}", ""))
}

/// As much of a line as fits.
fn shortened(line: &str) -> String {
    let room = WIDTH - MARGIN;
    if line.chars().count() <= room {
        return line.to_owned();
    }
    let kept: String = line.chars().take(room - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_between_words() {
        assert_eq!(wrapped("short   as it is\nnext", 4), "short   as it is\n    next");
        let text = "word ".repeat(40);
        let lines = wrapped(text.trim_end(), 20);
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 40);
    }

    #[test]
    fn long_lines_of_others_are_cut() {
        assert_eq!(shortened("as it is"), "as it is");
        let cut = shortened(&"ä".repeat(200));
        assert_eq!(cut.chars().count(), WIDTH - MARGIN);
        assert!(cut.ends_with("ä…"), "{cut}");
    }
}
