use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// How a tenant stands after a run: one of these, the first in this order that is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// An operator paused tenantd's work on it.
    Paused,
    /// A step failed; the next run tries again.
    Failed,
    /// No one could look: its instance cannot be reached, or the tenants directory cannot be read.
    NotChecked,
    /// A field came back changed three times, so tenantd leaves it alone.
    Contested,
    /// Planned, and not allowed now.
    Held,
    /// Changed on the PBX, and only reported.
    Drifted,
    /// Planned, and done by the next run.
    Pending,
    /// Done when time has passed: its deletion, or the end of its web sessions.
    Scheduled,
    /// File, record and PBX agree.
    InSync,
}

impl Condition {
    pub const ALL: [Self; 9] = [
        Self::Paused,
        Self::Failed,
        Self::NotChecked,
        Self::Contested,
        Self::Held,
        Self::Drifted,
        Self::Pending,
        Self::Scheduled,
        Self::InSync,
    ];

    /// As people read it, and as the database holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
            Self::Contested => "contested",
            Self::Held => "held",
            Self::Drifted => "drifted",
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::InSync => "in sync",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == text)
    }

    /// Whether an operator has to do something, or tenantd cannot do its work.
    pub fn is_problem(self) -> bool {
        match self {
            Self::Failed | Self::NotChecked | Self::Contested | Self::Held | Self::Drifted => true,
            Self::Paused | Self::Pending | Self::Scheduled | Self::InSync => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A condition with its reason, as a run concluded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantCondition {
    pub condition: Condition,
    pub reason: Option<String>,
    /// The command that lifts a hold.
    pub lifted_by: Option<String>,
    /// When the time has come that it waits for.
    pub until: Option<DateTime<Utc>>,
}

impl TenantCondition {
    pub fn new(condition: Condition, reason: impl Into<String>) -> Self {
        Self { condition, reason: Some(reason.into()), lifted_by: None, until: None }
    }

    pub fn in_sync() -> Self {
        Self { condition: Condition::InSync, reason: None, lifted_by: None, until: None }
    }

    /// Whether `since` continues: what was so before is so still.
    pub fn goes_on(&self, before: &Self) -> bool {
        (self.condition, &self.reason) == (before.condition, &before.reason)
    }
}

/// A standing, and since when it has been so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionSince {
    pub standing: TenantCondition,
    pub since: DateTime<Utc>,
}

/// What a daemon does, as it wrote it down last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonState {
    Serving,
    StandingBy,
    /// It ended as it was told to.
    Stopped,
    /// No daemon: the last run from the command line.
    Command,
}

impl DaemonState {
    const ALL: [Self; 4] = [Self::Serving, Self::StandingBy, Self::Stopped, Self::Command];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::StandingBy => "standing by",
            Self::Stopped => "stopped",
            Self::Command => "command",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The heartbeat of one tenantd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Program, machine and process.
    pub holder: String,
    pub state: DaemonState,
    pub interval_seconds: i64,
    pub seen_at: DateTime<Utc>,
    pub pass_started_at: Option<DateTime<Utc>>,
    pub pass_ended_at: Option<DateTime<Utc>>,
    /// What the last run came to, in a few words.
    pub pass_result: Option<String>,
    pub next_pass_at: Option<DateTime<Utc>>,
    /// Why the last run that failed as a whole did.
    pub last_error: Option<String>,
    pub last_error_at: Option<DateTime<Utc>>,
    /// Why a changed configuration could not be read again; the daemon runs with the one before.
    pub configuration_error: Option<String>,
    /// Since when.
    pub configuration_error_at: Option<DateTime<Utc>>,
}

impl Heartbeat {
    /// Since when, and why, the daemon runs with an older configuration than the file's.
    pub fn old_configuration(&self) -> Option<(DateTime<Utc>, &str)> {
        Some((self.configuration_error_at?, self.configuration_error.as_deref()?))
    }

    pub fn new(
        holder: impl Into<String>,
        state: DaemonState,
        interval_seconds: i64,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            holder: holder.into(),
            state,
            interval_seconds,
            seen_at: now,
            pass_started_at: None,
            pass_ended_at: None,
            pass_result: None,
            next_pass_at: None,
            last_error: None,
            last_error_at: None,
            configuration_error: None,
            configuration_error_at: None,
        }
    }

    /// Whether a run is under way, or was when it was seen last.
    pub fn is_in_a_pass(&self) -> bool {
        self.pass_started_at > self.pass_ended_at
    }

    /// Whether the daemon was not seen for so long that it cannot be running as it should.
    pub fn is_silent(&self, now: DateTime<Utc>) -> bool {
        // A run over many new tenants takes minutes, and the next begins a tenth later or earlier.
        let patience = chrono::TimeDelta::seconds((self.interval_seconds * 2).max(60));
        now - self.seen_at > patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_reads_back_as_it_is_written() {
        for condition in Condition::ALL {
            assert_eq!(Condition::parse(condition.as_str()), Some(condition));
        }
        let (sqlite, postgres) = (
            include_str!("../../migrations/sqlite/2026-11-27-007500_conditions/up.sql"),
            include_str!("../../migrations/postgres/2026-11-27-007500_conditions/up.sql"),
        );
        let states = DaemonState::ALL.map(DaemonState::as_str);
        for word in Condition::ALL.map(Condition::as_str).into_iter().chain(states) {
            let quoted = format!("'{word}'");
            assert!(sqlite.contains(&quoted) && postgres.contains(&quoted), "{word}");
        }
    }

    #[test]
    fn a_daemon_is_silent_after_twice_its_interval_and_never_within_a_minute() {
        let seen = Utc::now();
        let beat = |interval| Heartbeat::new("tenantd", DaemonState::Serving, interval, seen);
        let after = |seconds| seen + chrono::TimeDelta::seconds(seconds);
        assert!(!beat(300).is_silent(after(600)));
        assert!(beat(300).is_silent(after(601)));
        assert!(!beat(1).is_silent(after(60)), "a short interval is no reason to worry at once");
        assert!(beat(1).is_silent(after(61)));
        assert!(!beat(300).is_silent(after(-86_400)), "a clock that was put back");
    }

    #[test]
    fn since_goes_on_while_condition_and_reason_stay_and_the_command_changes() {
        let before = TenantCondition {
            lifted_by: Some("tenantd approve r-1".into()),
            ..TenantCondition::new(Condition::Held, "a limit")
        };
        assert!(TenantCondition::new(Condition::Held, "a limit").goes_on(&before));
        assert!(!TenantCondition::new(Condition::Held, "another").goes_on(&before));
        assert!(!TenantCondition::new(Condition::Pending, "a limit").goes_on(&before));
    }
}
