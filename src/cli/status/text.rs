//! The status for people: the table, the summary, the heartbeat, and what does not belong to one tenant.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::cli::context::Context;
use crate::environment::to_the_minute;
use crate::model::DaemonState;
use crate::report::{self, StatusJson};

/// A time of the document for people.
pub fn minute(rfc3339: &str) -> String {
    DateTime::parse_from_rfc3339(rfc3339)
        .map_or_else(|_| rfc3339.to_owned(), |at| to_the_minute(at.to_utc()).to_string())
}

pub fn text(context: &Context, status: &StatusJson, now: DateTime<Utc>) -> String {
    let paint = context.paint();
    let table = report::status_table(status, context.global.wide, minute);
    let mut text = String::new();
    let all: usize = status.summary.values().sum();
    let _ = write!(text, "\n\n{}", report::status_summary(&status.summary));
    if status.tenants.len() != all {
        let _ = write!(text, " Shown: {}.", status.tenants.len());
    }
    text.push('\n');
    text.push_str(&life_signs(status, now));
    for instance in &status.instances {
        let _ = writeln!(text, "{}", instance_line(instance));
    }
    for warning in &status.warnings {
        let _ = writeln!(text, "{} {}", paint.warning("warning:"), warning.text);
    }
    for instance in &status.instances {
        if let Some(problem) = &instance.users_problem {
            let warning = paint.warning("instance");
            let _ = writeln!(text, "{warning} {}: its users were not fully read: {problem}", instance.key);
        }
    }
    for pause in &status.pauses {
        let _ = writeln!(text, "{} {pause}", paint.warning("paused:"));
    }
    for unusual in &status.unusual_files {
        let word = paint.removed("unusual");
        let _ = writeln!(text, "{word} {}: {}; {}", unusual.file, unusual.what, unusual.mend);
    }
    for ignored in &status.ignored_files {
        let _ = writeln!(text, "{} {}: {}", paint.dim("ignored"), ignored.file, ignored.reason);
    }
    table + &report::wrapped(&text)
}

fn instance_line(instance: &report::InstanceStatusJson) -> String {
    let version =
        instance.version.as_ref().map_or_else(String::new, |version| format!("FusionPBX {version}, "));
    let seen = match &instance.last_seen {
        Some(at) => format!("last success {}", minute(at)),
        None => "no success yet".to_owned(),
    };
    let failed = instance.problem_at.as_deref().filter(|_| instance.problem.is_some());
    let failed = failed.map_or_else(String::new, |at| format!(", last error {}", minute(at)));
    format!("{}: {version}{seen}{failed}", instance.key)
}

/// Who serves, the last run and the next one. Where no daemon runs, how old all of this is.
fn life_signs(status: &StatusJson, now: DateTime<Utc>) -> String {
    let daemon = &status.daemon;
    let at = |time: &Option<String>| time.as_deref().map_or_else(|| "an unknown time".to_owned(), minute);
    let last_pass = status.last_pass.as_ref().filter(|pass| pass.ended_at.is_some());
    let mut text = match (daemon.state, &daemon.holder) {
        (None, _) | (_, None) => "tenantd: no daemon has run with this database yet.".to_owned(),
        (Some(DaemonState::Stopped), Some(holder)) => {
            format!("tenantd: not running; {holder} was stopped at {}.", at(&daemon.seen_at))
        }
        (Some(_), Some(holder)) if daemon.ended_abruptly => format!(
            "tenantd: not running; {holder} ended unexpectedly and was last seen at {}.",
            at(&daemon.seen_at)
        ),
        (Some(_), Some(holder)) if !daemon.running => {
            format!("tenantd: not running; {holder} was last seen at {}.", at(&daemon.seen_at))
        }
        (Some(state), Some(holder)) => format!("tenantd: running; {holder}, {}.", state.as_str()),
    };
    if let Some(pass) = last_pass {
        let result = pass.result.as_ref().map_or_else(String::new, |result| format!(": {result}"));
        let _ = write!(text, " Last run {}{result}.", at(&pass.ended_at));
        if !daemon.running
            && let Some(age) = age(pass.ended_at.as_deref(), now)
        {
            let _ = write!(text, " This state is {age} old.");
        }
    }
    if daemon.running && daemon.next_pass_at.is_some() {
        let _ = write!(text, " Next run {}.", at(&daemon.next_pass_at));
    }
    text.push('\n');
    if let Some(error) = &daemon.last_error {
        let _ = writeln!(text, "tenantd: the run of {} failed: {error}", at(&daemon.last_error_at));
    }
    if let Some(reason) = daemon.old_configuration_reason.as_ref().filter(|_| daemon.running) {
        let since = at(&daemon.old_configuration_since);
        let _ = writeln!(text, "tenantd: the previous configuration is in use since {since}: {reason}");
    }
    for holder in &status.standing_by {
        let _ = writeln!(text, "tenantd: standing by: {holder}");
    }
    text
}

/// `2h 5m`, without seconds from a minute on.
fn age(since: Option<&str>, now: DateTime<Utc>) -> Option<String> {
    let since = DateTime::parse_from_rfc3339(since?).ok()?.to_utc();
    let seconds = u64::try_from((now - since).num_seconds()).ok()?;
    let shown = if seconds < 60 { seconds } else { seconds - seconds % 60 };
    Some(humantime::format_duration(std::time::Duration::from_secs(shown)).to_string())
}
