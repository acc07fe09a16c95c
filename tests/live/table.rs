//! The result of each scenario on each version and database, as one table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::common::harness::Backend;

#[derive(Clone, Debug)]
pub enum Cell {
    Passed(Duration),
    Failed(Duration),
    Ignored(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(time) => write!(f, "{:.1} s", time.as_secs_f32()),
            Self::Failed(time) => write!(f, "FAILED ({:.1} s)", time.as_secs_f32()),
            Self::Ignored(reason) => write!(f, "ignored: {reason}"),
        }
    }
}

/// Cells by scenario, then by the server's place in the list and the database.
pub struct Table {
    scenarios: Vec<&'static str>,
    cells: Mutex<BTreeMap<(&'static str, usize, &'static str), Cell>>,
}

pub fn name_of(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "SQLite",
        Backend::Postgres => "PostgreSQL",
    }
}

impl Table {
    pub fn new(scenarios: Vec<&'static str>) -> Self {
        Self { scenarios, cells: Mutex::default() }
    }

    pub fn put(&self, scenario: &'static str, server: usize, backend: Backend, cell: Cell) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.insert((scenario, server, name_of(backend)), cell);
    }

    /// Writes it to the file that `TENANTD_LIVE_TABLE` names. After every trial, so that a run that is cut short leaves
    /// what it found.
    pub fn save(&self, titles: &[String]) {
        let Some(path) = std::env::var_os("TENANTD_LIVE_TABLE") else { return };
        let text = self.markdown(titles).unwrap_or_default() + "\n";
        std::fs::write(path, text).expect("TENANTD_LIVE_TABLE names a file that can be written");
    }

    /// As Markdown, which a terminal shows as well. `titles` are the servers'. `None` where nothing was run.
    pub fn markdown(&self, titles: &[String]) -> Option<String> {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.is_empty() {
            return None;
        }
        let columns: Vec<(usize, &str)> =
            (0..titles.len()).flat_map(|server| [(server, "SQLite"), (server, "PostgreSQL")]).collect();
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        let header = columns.iter().map(|(server, database)| format!("{} {database}", titles[*server]));
        table.set_header(std::iter::once("scenario".to_owned()).chain(header));
        let ran = |scenario: &&&str| cells.keys().any(|(name, ..)| name == *scenario);
        for scenario in self.scenarios.iter().filter(ran) {
            let row = columns.iter().map(|(server, database)| {
                cells
                    .get(&(*scenario, *server, *database))
                    .map_or("not asked for".to_owned(), Cell::to_string)
            });
            table.add_row(std::iter::once((*scenario).to_owned()).chain(row));
        }
        Some(table.to_string())
    }
}
