//! Columns that line up. Only the last one wraps, at the terminal's edge.

use sterna_protocol::text::one_line;

use super::style::{Style, Tone};

/// Spaces between columns.
const GAP: usize = 2;
/// The last column is not made narrower than this, however narrow the terminal.
const LAST_WIDTH_MIN: usize = 24;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
}

impl Column {
    /// For words.
    pub(crate) fn left(title: &'static str) -> Self {
        Self { title, right: false }
    }

    /// For numbers.
    pub(crate) fn right(title: &'static str) -> Self {
        Self { title, right: true }
    }
}

/// A cell: one line of text in a tone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text in a tone.
    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        let text = one_line(&text.into()).into_owned();
        Self { text, tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
            indent: 0,
        }
    }

    /// Moves all of it to the right.
    pub(crate) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row; what is missing at its end stays empty.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as lines, each with its end.
    pub(crate) fn render(&self, style: &Style) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|index| self.width(index)).collect();
        let mut text = String::new();
        let titles: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::toned(Tone::Dim, column.title))
            .collect();
        if self.columns.iter().any(|column| !column.title.is_empty()) {
            self.line(&mut text, &titles, &widths, style);
        }
        for row in &self.rows {
            self.line(&mut text, row, &widths, style);
        }
        text
    }

    fn width(&self, index: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(index));
        let widest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0);
        widest.max(self.columns[index].title.chars().count())
    }

    fn line(&self, text: &mut String, cells: &[Cell], widths: &[usize], style: &Style) {
        let mut lead = " ".repeat(self.indent);
        let last = self.columns.len() - 1;
        let mut at = self.indent;
        for (index, width) in widths.iter().enumerate().take(last) {
            let empty = Cell::default();
            let cell = cells.get(index).unwrap_or(&empty);
            let pad = " ".repeat(width - cell.text.chars().count());
            let shown = style.paint(cell.tone, &cell.text);
            if self.columns[index].right {
                lead.push_str(&pad);
                lead.push_str(&shown);
            } else {
                lead.push_str(&shown);
                lead.push_str(&pad);
            }
            lead.push_str(&" ".repeat(GAP));
            at += width + GAP;
        }
        let empty = Cell::default();
        let cell = cells.get(last).unwrap_or(&empty);
        let room = style
            .width
            .map(|width| width.saturating_sub(at).max(LAST_WIDTH_MIN));
        let lines = match room {
            Some(room) => wrap(&cell.text, room),
            None => vec![cell.text.clone()],
        };
        for (index, line) in lines.iter().enumerate() {
            let before = if index == 0 { lead.clone() } else { " ".repeat(at) };
            let pad = if self.columns[last].right && room.is_none() {
                " ".repeat(widths[last].saturating_sub(line.chars().count()))
            } else {
                String::new()
            };
            let whole = format!("{before}{pad}{}", style.paint(cell.tone, line));
            text.push_str(whole.trim_end());
            text.push('\n');
        }
    }
}

/// Breaks at spaces, any number of which count as one; a word longer than the width stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
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
    use jiff::Timestamp;

    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![
            Column::left("NAME"),
            Column::right("SIZE"),
            Column::left("WHY"),
        ]);
        table.row(vec!["a".into(), "12 B".into(), "it is as large as that".into()]);
        table.row(vec![
            Cell::toned(Tone::Bad, "longer"),
            "1 B".into(),
            "it is small".into(),
        ]);
        table.row(vec!["short".into()]);
        table
    }

    #[test]
    fn columns_line_up() {
        let style = Style::plain(Timestamp::UNIX_EPOCH);
        let expected = "\
NAME    SIZE  WHY
a       12 B  it is as large as that
longer   1 B  it is small
short
";
        assert_eq!(table().render(&style), expected);
    }

    #[test]
    fn colours_take_no_room_and_the_last_column_wraps() {
        let style = Style {
            colour: true,
            width: Some(30),
            now: Timestamp::UNIX_EPOCH,
        };
        let text = table().indented(2).render(&style);
        assert!(
            text.contains("\x1b[1;31mlonger\x1b[0m   1 B  it is small\n"),
            "{text}"
        );
        let mut narrow = Table::new(vec![Column::left(""), Column::left("")]);
        narrow.row(vec!["x".into(), "these are more words than fit".into()]);
        let style = Style {
            colour: false,
            ..style
        };
        assert_eq!(narrow.render(&style), "x  these are more words than\n   fit\n");
    }
}
