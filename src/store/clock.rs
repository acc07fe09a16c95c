//! Whether the clock can be trusted to have run evenly: a retention that is over only because the clock jumped is not
//! over.

use chrono::{DateTime, TimeDelta, Utc};

use super::StoreError;
use super::connection::AnyConnection;
use super::facts;

const LAST: &str = "clock.last";
const STEADY: &str = "clock.steady_since";
/// A longer gap between two passes may hide a jump of the clock (or tenantd was away for that long).
const LONGEST_GAP: TimeDelta = TimeDelta::hours(36);
/// A clock that is set back by more than this has jumped.
const BACKWARDS: TimeDelta = TimeDelta::hours(1);

fn read(conn: &mut AnyConnection, name: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    let text = facts::get(conn, name)?;
    Ok(text.and_then(|text| DateTime::parse_from_rfc3339(&text).ok()).map(|at| at.with_timezone(&Utc)))
}

/// Since when passes have come without a gap or a step back. A first pass begins now.
pub(super) fn steady_since(
    conn: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, StoreError> {
    let (last, since) = (read(conn, LAST)?, read(conn, STEADY)?);
    Ok(judge(last, since, now))
}

fn judge(last: Option<DateTime<Utc>>, since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    match (last, since) {
        (Some(last), Some(since)) if now - last <= LONGEST_GAP && last - now <= BACKWARDS => since.min(now),
        _ => now,
    }
}

pub(super) fn note(conn: &mut AnyConnection, now: DateTime<Utc>) -> Result<(), StoreError> {
    let since = steady_since(conn, now)?;
    facts::put(conn, LAST, &now.to_rfc3339(), now)?;
    facts::put(conn, STEADY, &since.to_rfc3339(), now)
}

/// As if the clock had begun to run evenly that much earlier.
pub(super) fn age(conn: &mut AnyConnection, by: TimeDelta) -> Result<(), StoreError> {
    match read(conn, STEADY)? {
        Some(since) => facts::put(conn, STEADY, &(since - by).to_rfc3339(), since),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_either_way_begins_anew() {
        let at = |hours: i64| DateTime::from_timestamp(1_750_000_000 + hours * 3600, 0).unwrap();
        assert_eq!(judge(Some(at(10)), Some(at(0)), at(11)), at(0));
        assert_eq!(judge(Some(at(10)), Some(at(0)), at(10 + 24 * 365)), at(10 + 24 * 365));
        assert_eq!(judge(Some(at(10)), Some(at(0)), at(8)), at(8));
        assert_eq!(judge(None, None, at(5)), at(5));
    }
}
