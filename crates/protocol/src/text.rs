//! Text from outside, made fit to be kept and shown: what a server says, what is asked of the API with a token or without, a client's name.

use std::borrow::Cow;

/// What stands where something was that is not shown.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// One line, in the order in which it reads: without control characters (C0, C1, escape sequences with them), line separators,
/// marks that change the direction of what follows (Unicode Standard Annex 9), and what has no width.
pub fn one_line(text: &str) -> Cow<'_, str> {
    replaced(text, is_harmful)
}

/// The same with its line ends.
pub fn lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| is_harmful(c) && c != '\n' && c != '\r')
}

/// What our own programs print for a terminal: several lines, with tabs and colours (`ESC [ … m`), and nothing else that a terminal
/// would obey.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !is_harmful(c) || c == '\n' || c == '\t';
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = colour(rest).unwrap_or(c.len_utf8());
        if taken > 1 && c == '\u{1b}' || is_plain(c) {
            safe.push_str(&rest[..taken]);
        } else {
            safe.push(REPLACEMENT);
        }
        rest = &rest[taken..];
    }
    Cow::Owned(safe)
}

/// The length of the colour sequence that a text begins with, in bytes.
fn colour(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\u{1b}[")?;
    let end = inner.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    inner[end..].starts_with('m').then_some(2 + end + 1)
}

fn replaced(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().any(&is_bad) {
        Cow::Owned(
            text.chars()
                .map(|c| if is_bad(c) { REPLACEMENT } else { c })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_pretend_is_replaced_and_the_rest_stays() {
        for (text, expected) in [
            ("orders-eu.example.com", "orders-eu.example.com"),
            ("Zürich 東京", "Zürich 東京"),
            ("a\nb\r\tc", "a\u{fffd}b\u{fffd}\u{fffd}c"),
            ("\u{1b}[2J\u{9b}31m", "\u{fffd}[2J\u{fffd}31m"),
            (
                "a\u{202e}b\u{2066}c\u{2028}d\u{feff}",
                "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}",
            ),
        ] {
            assert_eq!(one_line(text), expected);
        }
        assert_eq!(lines("a:1\r\nb:\u{1b}2\r\n"), "a:1\r\nb:\u{fffd}2\r\n");
    }

    #[test]
    fn a_terminal_is_given_lines_and_colours_and_nothing_else() {
        for (text, expected) in [
            ("a\n\tb", "a\n\tb"),
            ("\u{1b}[1;31mred\u{1b}[0m\n", "\u{1b}[1;31mred\u{1b}[0m\n"),
            ("\u{1b}[2Jgone", "\u{fffd}[2Jgone"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{1b}", "\u{fffd}"),
            ("a\rb\u{202e}c", "a\u{fffd}b\u{fffd}c"),
        ] {
            assert_eq!(for_terminal(text), expected);
        }
    }
}
