//! The checks as a table for a terminal.

use std::fmt::Write as _;

use super::report::{Check, Report};

/// The narrowest that the text column becomes, however narrow the terminal.
const TEXT_WIDTH_MIN: usize = 30;

/// Spaces between columns.
const GAP: usize = 2;

impl Report {
    /// The checks as lines of at most `width` columns: verdict, subject, check, and what was found. Advice stands
    /// under it, after an arrow.
    pub fn to_table(&self, width: usize) -> String {
        let widest = |text: fn(&Check) -> usize, least: usize| {
            self.checks.iter().map(text).max().unwrap_or(0).max(least)
        };
        let verdict = "refuse".len();
        let subject = widest(|check| check.subject.to_string().chars().count(), 4);
        let name = widest(|check| check.name.chars().count(), 5);
        let indent = verdict + subject + name + 3 * GAP;
        let text_width = width.saturating_sub(indent).max(TEXT_WIDTH_MIN);
        let mut table = String::new();
        for check in &self.checks {
            let lead = format!(
                "{:verdict$}  {:subject$}  {:name$}",
                check.verdict, check.subject, check.name
            );
            let mut lines = wrap(&check.detail, text_width);
            if let Some(advice) = &check.advice {
                let arrow = "-> ";
                let wrapped = wrap(advice, text_width - arrow.len());
                let marked = wrapped.into_iter().enumerate().map(|(index, line)| {
                    if index == 0 {
                        format!("{arrow}{line}")
                    } else {
                        format!("   {line}")
                    }
                });
                lines.extend(marked);
            }
            for (index, line) in lines.iter().enumerate() {
                let row = if index == 0 {
                    format!("{lead}  {line}")
                } else {
                    format!("{:indent$}{line}", "")
                };
                let _ = writeln!(table, "{}", row.trim_end());
            }
        }
        table
    }
}

/// Breaks at spaces, any number of which count as one; a word longer than the width stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let options = textwrap::Options::new(width)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(&words.join(" "), options)
        .into_iter()
        .map(Into::into)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::Subject;
    use super::*;
    use crate::address::NodeAddress;

    #[test]
    fn columns_line_up_and_long_text_wraps() {
        let to = Subject::To(NodeAddress::new("db", 6380));
        let report = Report {
            checks: vec![
                Check::pass(&Subject::From, "reachable", "db:6379 answers"),
                Check::refuse(
                    &to,
                    "empty",
                    "it holds 3 keys in two databases",
                    "name another node, or say so",
                ),
            ],
        };
        let expected = "\
pass    from        reachable  db:6379 answers
refuse  to db:6380  empty      it holds 3 keys in two
                               databases
                               -> name another node, or say
                                  so
";
        assert_eq!(report.to_table(61), expected);
    }

    #[test]
    fn a_report_without_checks_is_empty() {
        assert_eq!(Report::default().to_table(80), "");
    }
}
