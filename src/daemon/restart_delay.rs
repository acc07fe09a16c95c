//! A start soon after another rests before its first request, so that a tenantd that is started again and again asks
//! its PBXs no more than one that runs.
//!
//! What a PBX may be asked in a second is saved up for a second, in memory. A start begins with that second's worth,
//! and has earned it by resting as long. The rest is longer by chance, so that many daemons that fell over together
//! do not come back together.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt as _;

use crate::environment::Environment;
use crate::store::{Database, StoreError};

/// When tenantd was started last, in RFC 3339.
const STARTED: &str = "daemon.started";
/// A start within this time after another is one too many.
const SOON: TimeDelta = TimeDelta::seconds(60);
/// At least what a request budget saves up.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_millis(2500);

/// Notes the start, and says how long to rest if another was shortly before.
pub(super) async fn rest(
    database: &Database,
    environment: &dyn Environment,
) -> Result<Option<Duration>, StoreError> {
    let now = environment.now();
    let before = database.read(|store| store.fact(STARTED)).await?;
    database.write(move |store| store.put_fact(STARTED, &now.to_rfc3339(), now)).await?;
    let before = before.and_then(|text| text.parse().ok());
    Ok(is_soon(before, now).then(|| rand::rng().random_range(LEAST..=MOST)))
}

/// A clock that was put back says nothing about the last start.
fn is_soon(before: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    before.is_some_and(|before| (now - before).abs() < SOON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_start_soon_after_another_rests() {
        let now = Utc::now();
        assert!(!is_soon(None, now), "the first start is at once");
        assert!(is_soon(Some(now - TimeDelta::seconds(59)), now));
        assert!(!is_soon(Some(now - TimeDelta::seconds(61)), now));
        assert!(is_soon(Some(now + TimeDelta::seconds(5)), now));
        assert!(!is_soon(Some(now + TimeDelta::days(1)), now), "a clock that was put back");
    }
}
