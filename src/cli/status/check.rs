//! `tenantd status --check`: one line and an exit code for a monitoring system, in Icinga's meaning.

use crate::cli::exit::Exit;
use crate::model::{Condition, DaemonState};
use crate::report::{self, CheckJson, StatusJson};

/// Icinga's four states; a later one is worse, but for UNKNOWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The exits whose numbers are Icinga's.
    pub fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Done,
            Self::Warning => Exit::Error,
            Self::Critical => Exit::Changes,
            Self::Unknown => Exit::Held,
        }
    }

    /// How bad a tenant's condition is: critical where tenantd cannot do its work, a warning where an operator has to
    /// decide.
    fn of(condition: Condition) -> Self {
        match condition {
            Condition::Failed | Condition::NotChecked | Condition::Contested => Self::Critical,
            Condition::Held | Condition::Drifted => Self::Warning,
            Condition::Paused | Condition::Pending | Condition::Scheduled | Condition::InSync => Self::Ok,
        }
    }
}

/// What the check says of a status.
pub fn check(status: &StatusJson) -> (State, CheckJson) {
    let mut findings: Vec<(State, String)> = Vec::new();
    if let Some(daemon) = of_daemon(status) {
        findings.push(daemon);
    }
    if let Some(reason) = status.daemon.old_configuration_reason.as_ref().filter(|_| status.daemon.running) {
        let since = status.daemon.old_configuration_since.as_deref();
        let since = since.map_or_else(String::new, super::text::minute);
        findings
            .push((State::Warning, format!("the previous configuration is in use since {since}: {reason}")));
    }
    for instance in &status.instances {
        if let Some(problem) = &instance.problem {
            findings.push((State::Critical, format!("{}: {problem}", instance.key)));
        }
    }
    for condition in Condition::ALL {
        let state = State::of(condition);
        let tenants: Vec<&str> = status
            .tenants
            .iter()
            .filter(|tenant| tenant.condition == condition && state != State::Ok)
            .map(|tenant| tenant.key.as_str())
            .collect();
        if !tenants.is_empty() {
            findings.push((state, format!("{} {condition} ({})", tenants.len(), some_of(&tenants))));
        }
    }
    let unknown = status.daemon.state.is_none() && status.last_pass.is_none();
    let state = match unknown {
        true => State::Unknown,
        false => findings.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok),
    };
    // The worst first: a pager shows the beginning.
    findings.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let mut parts: Vec<String> = findings.into_iter().map(|(_, text)| text).collect();
    parts.push(report::status_summary(&status.summary).trim_end_matches('.').to_owned());
    (state, document(state, &parts.join("; "), status))
}

/// The check where there is no status.
pub fn failed(error: &str) -> (State, CheckJson) {
    (State::Unknown, document(State::Unknown, error, &StatusJson::default()))
}

fn document(state: State, text: &str, status: &StatusJson) -> CheckJson {
    // What stands behind the bar is for graphs.
    let numbers: Vec<String> = status
        .summary
        .iter()
        .map(|(condition, number)| format!("{}={number}", condition.replace(' ', "_")))
        .collect();
    let numbers = if numbers.is_empty() { String::new() } else { format!(" | {}", numbers.join(" ")) };
    // The bar and the line's end have a meaning of their own there.
    let text = text.replace('|', "/").replace('\n', " ");
    CheckJson {
        state: state.as_str(),
        exit_code: state.exit().number(),
        text: format!("TENANTD {} - {text}{numbers}", state.as_str()),
    }
}

fn of_daemon(status: &StatusJson) -> Option<(State, String)> {
    let daemon = &status.daemon;
    match daemon.state {
        None => Some((State::Critical, "no daemon has run with this database yet".to_owned())),
        Some(DaemonState::Stopped) => Some((State::Critical, "the daemon was stopped".to_owned())),
        Some(_) if daemon.ended_abruptly => {
            let seen = daemon.seen_at.as_deref().map_or_else(String::new, super::text::minute);
            let holder = daemon.holder.as_deref().unwrap_or("the daemon");
            Some((
                State::Critical,
                format!("no daemon is running: {holder} ended unexpectedly and was last seen {seen}"),
            ))
        }
        Some(_) if !daemon.running => {
            let seen = daemon.seen_at.as_deref().map_or_else(String::new, super::text::minute);
            Some((State::Critical, format!("the daemon was last seen {seen}")))
        }
        Some(_) => {
            let error = daemon.last_error.as_ref()?;
            Some((State::Critical, format!("the last run failed: {error}")))
        }
    }
}

/// The first few, and how many more.
fn some_of(keys: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = keys.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match keys.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_problem_is_ok_and_nothing_that_is_no_problem_wakes_anybody() {
        for condition in Condition::ALL {
            assert_eq!(State::of(condition) != State::Ok, condition.is_problem(), "{condition}");
        }
        let numbers =
            [State::Ok, State::Warning, State::Critical, State::Unknown].map(|state| state.exit().number());
        assert_eq!(numbers, [0, 1, 2, 3], "Icinga's numbers");
    }

    #[test]
    fn a_line_holds_no_bar_and_no_second_line_but_its_own() {
        let (_, check) = failed("a | b\nc");
        assert_eq!(check.text, "TENANTD UNKNOWN - a / b c");
    }
}
