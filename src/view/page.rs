//! A page of text under construction: lines that are wrapped, indented and painted. Everything that comes in as text is made
//! visible here, so that no view can forget it: colours travel as private marks and become ANSI only at the end.

use super::style::{Style, visible};

const MARKS: [(char, &str); 6] = [
    ('\u{f0000}', "\u{1b}[0m"),
    ('\u{f0001}', "\u{1b}[1m"),
    ('\u{f0002}', "\u{1b}[2m"),
    ('\u{f0003}', "\u{1b}[31m"),
    ('\u{f0004}', "\u{1b}[32m"),
    ('\u{f0005}', "\u{1b}[33m"),
];

/// A paint. It never carries meaning by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// What the eye should find first.
    Bold = 1,
    /// What may be passed over.
    Dim = 2,
    /// Trouble.
    Red = 3,
    /// Well.
    Green = 4,
    /// Needs attention.
    Yellow = 5,
}

/// Paints a text, for a page.
#[must_use]
pub fn paint(paint: Paint, text: &str) -> String {
    format!("{}{text}{}", MARKS[paint as usize].0, MARKS[0].0)
}

/// How many columns a text takes, marks left out.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().filter(|c| !is_mark(*c)).count()
}

fn is_mark(c: char) -> bool {
    MARKS.iter().any(|(mark, _)| *mark == c)
}

/// A page of text.
#[derive(Debug)]
pub struct Page {
    style: Style,
    text: String,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { style, text: String::new() }
    }

    /// The style of the page.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// An empty line, unless the page is empty or ends with one.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A heading, with an empty line before it.
    pub fn heading(&mut self, text: &str) {
        self.gap();
        self.line(&paint(Paint::Bold, text));
    }

    /// A line; where it is too long it is wrapped, and goes on below its first word.
    pub fn line(&mut self, text: &str) {
        let text = visible(text);
        let indent = text.chars().take_while(|c| *c == ' ').count();
        self.wrapped(&text[..indent], indent, &text[indent..]);
    }

    /// A line with a label in front; what follows is wrapped beside the label.
    pub fn labelled(&mut self, label: &str, text: &str) {
        let (label, text) = (visible(label), visible(text));
        let hang = columns(&label);
        self.wrapped(&label, hang, &text);
    }

    /// A line that must not be wrapped, such as a command to copy.
    pub fn exact(&mut self, text: &str) {
        self.text.push_str(visible(text).trim_end());
        self.text.push('\n');
    }

    /// Lines that are ready, such as a table, each indented.
    pub fn block(&mut self, indent: usize, lines: &str) {
        for line in lines.lines() {
            self.exact(&format!("{:indent$}{line}", ""));
        }
    }

    fn wrapped(&mut self, first: &str, hang: usize, text: &str) {
        let most = self.style.width.max(20);
        // On a narrow page a deep hang would leave no room.
        let hang = hang.min(most / 2);
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split(' ') {
            let fits = columns(&line) + usize::from(!empty) + columns(word) <= most;
            if !empty && !fits {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                line = " ".repeat(hang);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// The text, with or without colours.
    #[must_use]
    pub fn finish(self) -> String {
        let mut out = String::with_capacity(self.text.len());
        for c in self.text.chars() {
            match MARKS.iter().find(|(mark, _)| *mark == c) {
                Some((_, ansi)) if self.style.colour => out.push_str(ansi),
                Some(_) => {}
                None => out.push(c),
            }
        }
        out
    }
}

/// A table without lines: rows of cells under a head, wrapped to the width.
#[must_use]
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>, width: usize, right: &[usize]) -> String {
    use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.set_header(head.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| visible(cell)).collect::<Vec<_>>());
    }
    // The first column has the names, which people copy: others are wrapped before it is.
    let names = table.column_max_content_widths().first().copied().unwrap_or(0);
    if usize::from(names) <= width / 2
        && let Some(column) = table.column_mut(0)
    {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    let last = table.column_count().saturating_sub(1);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if i == last { 0 } else { 2 }));
        if right.contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_below_their_first_word() {
        let mut page = Page::new(Style { width: 24, ..Style::plain() });
        page.labelled("  hint: ", "find out who writes there today");
        page.line("  one two three four five six");
        assert_eq!(
            page.finish(),
            "  hint: find out who\n        writes there\n        today\n  one two three four\n  five six\n"
        );
    }

    #[test]
    fn text_from_outside_cannot_bring_colours_or_lines() {
        let mut page = Page::new(Style { colour: true, ..Style::plain() });
        page.line(&paint(Paint::Red, "a\u{1b}[2J\nnext: rm"));
        assert_eq!(page.finish(), "\u{1b}[31ma\\u{1b}[2J\\u{a}next: rm\u{1b}[0m\n");
    }

    #[test]
    fn without_colour_no_escape_is_written() {
        let mut page = Page::new(Style::plain());
        page.heading("x");
        assert_eq!(page.finish(), "x\n");
    }
}
