//! Stage 6: what an operator or a program reads of a plan and of its outcome.
//!
//! Work makes values; only this stage turns them into text or JSON.

mod changes;
mod conditions;
mod effects;
mod json;
mod log;
mod preview;
mod reasons;
mod status;
mod text;

pub use changes::{FileChanges, PlanChanges, Reported, ReportedFiles};
pub use conditions::{broken_file, conditions, in_a_word, paused, reason_text, unusual_file};
pub use json::{ErrorJson, FORMAT_VERSION, OutcomeJson, PlanJson, ProblemsJson};
pub use log::{files as log_files, outcome as log_outcome, plan as log_plan, users as log_users};
pub use preview::{plan as preview, settings_compared, summary, tenant_diff};
pub use status::{
    ChangeNoteJson, CheckJson, DaemonJson, HoldJson, IgnoredJson, InstanceStatusJson, PassJson, StatusJson,
    TenantStatusJson, UnusualJson, WarningJson, status_summary, status_table,
};
pub use text::{Paint, count, outcome as outcome_text, set_table_width, table, wrapped};

/// An error with its sources, in one line: `cannot … : … : …`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
