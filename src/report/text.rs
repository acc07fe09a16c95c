//! Colours, tables and outcomes for people.

use std::fmt::Write as _;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Color, Style};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::chain;
use crate::apply::{Outcome, StepResult};
use crate::plan::Action;

/// Whether text is painted. A terminal gets colours, a file and the journal do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn colour(self, colour: AnsiColor, text: &str) -> String {
        self.with(Style::new().fg_color(Some(Color::Ansi(colour))), text)
    }

    pub fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    pub fn added(self, text: &str) -> String {
        self.colour(AnsiColor::Green, text)
    }

    pub fn removed(self, text: &str) -> String {
        self.colour(AnsiColor::Red, text)
    }

    pub fn warning(self, text: &str) -> String {
        self.colour(AnsiColor::Yellow, text)
    }

    pub fn action(self, action: Action) -> String {
        match action {
            Action::Create | Action::Adopt | Action::Enable => self.added(&action.to_string()),
            Action::Update | Action::Rename | Action::Move => self.warning(&action.to_string()),
            Action::Disable | Action::Delete | Action::DeleteRecord => self.removed(&action.to_string()),
        }
    }
}

/// What became of a plan's steps, one line each where it was not simply done, and a closing count.
pub fn outcome(outcome: &Outcome, paint: Paint) -> String {
    let mut text = String::new();
    for step in &outcome.steps {
        let what = format!("{} {} on {}", step.action, step.tenant, step.instance);
        let _ = match &step.result {
            StepResult::Done => {
                let note = step.note().map_or_else(String::new, |note| format!(": {note}"));
                writeln!(text, "{} {what}{note}", paint.added("done"))
            }
            StepResult::Failed(error) => {
                writeln!(text, "{} {what}: {}", paint.removed("failed"), chain(error))
            }
            StepResult::Skipped(why) => writeln!(text, "{} {what}: {why}", paint.warning("skipped")),
        };
    }
    let _ = writeln!(
        text,
        "{} {} done, {} failed, {} skipped.",
        paint.strong("Applied:"),
        outcome.done(),
        outcome.failed(),
        outcome.skipped()
    );
    text
}

/// `1 tenant`, `2 tenants`.
pub fn count(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The width of the terminal that tables go to, once it was set.
static TABLE_WIDTH: OnceLock<Option<u16>> = OnceLock::new();

/// Tables fit this width from now on; without one, no line is wrapped, as programs that read them line by line need it.
pub fn set_table_width(width: Option<u16>) {
    // A second time, as in tests, keeps the first.
    let _ = TABLE_WIDTH.set(width);
}

/// Sentences, broken between words where the terminal ends.
pub fn wrapped(text: &str) -> String {
    wrapped_within(TABLE_WIDTH.get().copied().flatten(), text)
}

fn wrapped_within(width: Option<u16>, text: &str) -> String {
    match width {
        Some(width) => textwrap::fill(text, usize::from(width.max(40))),
        None => text.to_owned(),
    }
}

/// A table without lines between rows, as wide as its content and not wider than the terminal.
pub fn table<'h>(header: impl IntoIterator<Item = &'h str>) -> Table {
    table_within(TABLE_WIDTH.get().copied().flatten(), header)
}

fn table_within<'h>(width: Option<u16>, header: impl IntoIterator<Item = &'h str>) -> Table {
    let header: Vec<&str> = header.into_iter().collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.clone());
    match width {
        // A little more than nothing is left for a column, whatever the terminal.
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(40));
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    // The gap between two columns is enough.
    for (column, heading) in table.column_iter_mut().zip(&header) {
        column.set_padding((0, 2));
        // A heading is broken between words and never within one.
        let longest = heading.split(' ').map(str::len).max().unwrap_or_default();
        if width.is_some() {
            let least = u16::try_from(longest + 2).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
    }
    table
}
