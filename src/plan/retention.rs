//! How long a disabled tenant is kept before it may be deleted, and whether a deletion has begun.

use chrono::{DateTime, TimeDelta, Utc};

use super::Inputs;
use super::reason::{RetentionStart, ScheduledReason};
use super::types::Action;
use crate::model::{InstanceKey, TenantId, TenantRecord};
use crate::sabotage::{Bug, active};

/// Whether deleting the tenant's domain there has begun and not finished: the answer was lost, or the server died in
/// the middle of it. To finish needs no other approval than to begin, and no other retention.
pub(super) fn deletion_started(inputs: Inputs<'_>, tenant: TenantId, instance: &InstanceKey) -> bool {
    inputs.recorded.open_intents.iter().any(|intent| {
        intent.tenant == tenant && intent.instance == *instance && intent.action == Action::Delete.as_str()
    })
}

/// How long the clock must have run evenly before a retention is believed to be over.
const STEADY_CLOCK: TimeDelta = TimeDelta::hours(24);

/// Until when a deletion waits because the clock jumped, or tenantd was away: a day, or the retention if that is
/// shorter.
fn clock_suspect(inputs: Inputs<'_>) -> Option<DateTime<Utc>> {
    let since = inputs.recorded.clock_steady_since?;
    let retention = TimeDelta::days(i64::from(inputs.policy.deletion.retention_days));
    let until = since + STEADY_CLOCK.min(retention);
    (inputs.now < until).then_some(until)
}

/// Until when a deletion is scheduled, and why: its retention runs, or the end of it cannot be trusted yet.
pub(super) fn scheduled(
    inputs: Inputs<'_>,
    until: DateTime<Utc>,
    since: RetentionStart,
    protected: bool,
) -> Option<(DateTime<Utc>, ScheduledReason)> {
    if inputs.now < until {
        let days = inputs.policy.deletion.retention_days;
        return Some((until, ScheduledReason::Retention { days, since, protected }));
    }
    clock_suspect(inputs).map(|until| (until, ScheduledReason::ClockNotSteady { protected }))
}

/// When a removed tenant's retention is over; `None` while its file is there or its closing is not confirmed.
///
/// A clock that was set back leaves times that are still to come, so the latest of them counts.
pub fn record_retention_end(record: &TenantRecord, retention_days: u32) -> Option<DateTime<Utc>> {
    let confirmed_at = record.disable_confirmed_at?.max(record.disabled_at?);
    Some(retention_end(record.file_removed_at?, confirmed_at, retention_days))
}

/// So many days after the later of the removal of the file, or the tenant's leaving, and the PBX's no.
pub fn retention_end(
    file_removed_at: DateTime<Utc>,
    disable_confirmed_at: DateTime<Utc>,
    retention_days: u32,
) -> DateTime<Utc> {
    let from = file_removed_at.max(disable_confirmed_at);
    let days = if active(Bug::NoRetention) { 0 } else { i64::from(retention_days) };
    from.checked_add_signed(TimeDelta::days(days)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
