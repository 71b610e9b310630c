//! Checks as a table: verdict, subject, check, and what was found, with advice under it after an arrow.

use std::fmt::Write as _;

use sterna_model::{Check, Verdict};

use super::style::{Style, Tone};
use super::table::wrap;

/// The text's columns where there is no terminal.
const TEXT_WIDTH: usize = 100;
/// The narrowest that the text becomes, however narrow the terminal.
const TEXT_WIDTH_MIN: usize = 30;
/// Spaces between columns.
const GAP: usize = 2;
/// What advice begins with.
const ARROW: &str = "-> ";

/// The checks, a line or more for each.
pub(crate) fn checks(checks: &[Check], style: &Style) -> String {
    let widest = |text: fn(&Check) -> usize| checks.iter().map(text).max().unwrap_or(0);
    let verdict = "refuse".len();
    let subject = widest(|check| check.subject.to_string().chars().count());
    let name = widest(|check| check.name.chars().count());
    let indent = verdict + subject + name + 3 * GAP;
    let width = style.width.unwrap_or(indent + TEXT_WIDTH);
    let width = width.saturating_sub(indent).max(TEXT_WIDTH_MIN);
    let mut text = String::new();
    for check in checks {
        let tone = match check.verdict {
            Verdict::Pass => Tone::Good,
            Verdict::Warn => Tone::Warn,
            Verdict::Refuse => Tone::Bad,
        };
        let mut lead = format!(
            "{}  {:subject$}  {:name$}  ",
            style.paint(tone, &format!("{:verdict$}", check.verdict)),
            check.subject,
            check.name
        );
        let mut lines = wrap(&check.detail, width);
        let advice = check
            .advice
            .iter()
            .flat_map(|advice| wrap(advice, width - ARROW.len()));
        let arrows = std::iter::once(ARROW).chain(std::iter::repeat("   "));
        lines.extend(advice.zip(arrows).map(|(line, arrow)| format!("{arrow}{line}")));
        for line in lines {
            writeln!(text, "{}", format!("{lead}{line}").trim_end()).expect("a string takes any text");
            lead = " ".repeat(indent);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use sterna_model::Subject;
    use sterna_node::NodeAddress;

    use super::super::samples;
    use super::*;

    #[test]
    fn columns_line_up_and_long_text_wraps() {
        let to = Subject::To(NodeAddress::new("db", 6380));
        let all = [
            Check::pass(&Subject::From, "reachable", "db:6379 answers"),
            Check::refuse(
                &to,
                "empty",
                "it holds 3 keys in two databases",
                "name another node, or say so",
            ),
        ];
        let style = Style {
            width: Some(61),
            ..Style::plain(samples::now())
        };
        let expected = "\
pass    from        reachable  db:6379 answers
refuse  to db:6380  empty      it holds 3 keys in two
                               databases
                               -> name another node, or say
                                  so
";
        assert_eq!(checks(&all, &style), expected);
        assert_eq!(checks(&[], &style), "");
    }
}
